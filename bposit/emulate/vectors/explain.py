"""What is wrong with an answer: fields, exact value, distance, and the step that first differs."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from posit import PositSpec
from posit.reference import decode
from posit.reference.encode import floor_body
from quire import Layout

from ... import numerals
from ...fields import split
from .. import accumulator
from ..accumulator import LOST, OVERFLOW
from ..mac import Mac
from .answers import INEXACT, NAR, SATURATED, ZERO
from .columns import Column
from .exact import Asked, signed, value
from .exact import exact as exact_of
from .operations import Task

__all__ = ["explain"]

_DATAPATH = {OVERFLOW: "overflow", LOST: "bits lost", accumulator.NAR: "NaR"}
_MOST_STEPS = 16
_FLAGS = {NAR: "NaR", INEXACT: "inexact", SATURATED: "saturated", ZERO: "zero"}


def explain(
    task: Task, operands: Asked, expected: Asked, actual: Mapping[str, int | None]
) -> list[str]:
    """Lines of text about one answer that differs; words as :class:`Mismatch` has them."""
    columns = {c.name: c for c in task.columns}
    asked = ", ".join(_shown(columns[name], x, name) for name, x in operands.items())
    lines = [f"{task.op}({asked})"]
    if task.op == "decode":
        lines.append(_drawn("bits    ", signed(operands["a"], task.spec.n), task.spec))
    steps = []
    for name, want in expected.items():
        got, column = actual[name], columns[name]
        if got == want:
            continue
        if got is None:
            lines.append(f"{name}: expected {_plain(column, want)}, answered with x or z bits")
            steps.append(f"{name} has unknown bits: not driven, or not reset")
        elif name == "flags":
            names = _DATAPATH if task.op == "mac" else _FLAGS
            lines.append(f"flags: expected {_flags(want, names)}, got {_flags(got, names)}")
            steps.append("flags")
        elif column.spec is not None:
            more, step = _posits(task, operands, column.spec, want, got)
            lines += more + _registers(task, operands)
            steps.append(step)
        else:
            lines.append(f"{name}: expected {_plain(column, want)}, got {_plain(column, got)}")
            steps.append(_other(task, operands, name, want, got))
    # results say more than flags, which come first in a vector
    steps.sort(key=lambda step: step == "flags")
    return [*lines, f"first wrong step: {steps[0]}"]


def _shown(column: Column, word: int, name: str) -> str:
    if column.spec is None:
        return f"{name} = {_plain(column, word)}"
    pattern = signed(word, column.spec.n)
    value = numerals.decimal(decode(pattern, column.spec))
    return f"{name} = {numerals.hexadecimal(pattern, column.spec)} = {value}".replace("= ≈", "≈")


def _plain(column: Column, word: int) -> str:
    if column.signed:
        return str(signed(word, column.bits))
    return f"{word}" if column.bits == 1 else f"0x{word:0{column.digits}x}"


def _flags(word: int, names: Mapping[int, str]) -> str:
    return " and ".join(name for bit, name in names.items() if word & bit) or "none"


def _posits(
    task: Task, operands: Asked, spec: PositSpec, want: int, got: int
) -> tuple[list[str], str]:
    if got >> spec.n:
        return [f"got 0x{got:x}"], f"the answer has more than {spec.n} bits"
    p, q = signed(want, spec.n), signed(got, spec.n)
    lines = [_drawn("expected", p, spec), _drawn("got     ", q, spec)]
    exact = None if task.op in ("quire", "mac") else exact_of(task, operands)
    right, wrong = decode(p, spec), decode(q, spec)
    if exact is not None:
        sign = "≈ " if task.op == "sqrt" and exact * exact != value(operands["a"], spec) else ""
        text = numerals.decimal(exact) if sign else _number(exact)
        lines.append(f"exact     {sign}{text.removeprefix('≈ ') if sign else text}")
    if right is not None and wrong is not None:
        away = abs(p - q)
        line = f"distance  {away} pattern{'s' if away > 1 else ''}"
        gap = _gap(p, spec)
        if exact is not None and gap:
            line += f"; {numerals.rough(abs(wrong - exact) / gap)} ulp from the exact value"
            line += f", {numerals.rough(abs(right - exact) / gap)} would be right"
        lines.append(line)
    return lines, _step(p, q, exact, spec)


def _registers(task: Task, operands: Asked) -> list[str]:
    """What a datapath holds after each step."""
    if task.accumulator is None:
        return []
    words = [signed(w, task.spec.n) for name, w in operands.items() if name != "c"]
    start = signed(operands["c"], task.result.n)
    cell = Mac(task.spec, task.result, task.accumulator)
    trace = cell.dot(words[: task.terms], words[task.terms :], start, trace=True).trace
    assert trace is not None
    held = [s for s in trace if s.stage in ("accumulate", "round") and s.name != "before"]
    return [
        f"step {s.step}: {s.name} {s.width}'h{s.hex}"
        + ("" if s.name == "result" else f", bit 0 weighs 2^{s.lsb_weight}")
        for s in held[:_MOST_STEPS]
    ]


def _drawn(what: str, pattern: int, spec: PositSpec) -> str:
    found = split(pattern, spec)
    bits = numerals.binary(pattern, spec)[2:] if found is None else " ".join(
        part for part in (found.sign, found.regime, found.exponent, found.fraction) if part
    )  # fmt: skip
    value = numerals.decimal(decode(pattern, spec))
    return f"{what}  {numerals.hexadecimal(pattern, spec)}  {bits}  {value}"


def _number(value: Fraction) -> str:
    text = numerals.decimal(value)
    return f"{numerals.dyadic(value)} {text}" if text.startswith("≈") else text


def _gap(p: int, spec: PositSpec) -> Fraction | None:
    """From a posit to the next one away from 0; towards 0 from ±maxpos."""
    size = abs(p)
    other = size - 1 if size == spec.maxpos_pattern else size + 1
    near, far = decode(size, spec), decode(other, spec)
    return None if near is None or far is None else abs(far - near)


def _step(p: int, q: int, exact: Fraction | None, spec: PositSpec) -> str:
    """Of decode, special cases, sign, regime, exponent, fraction, rounding: the first."""
    if spec.nar in (p, q):
        return f"special cases: {'NaR' if q == spec.nar else 'a number'} instead of" + (
            " NaR" if p == spec.nar else " a number")  # fmt: skip
    if 0 in (p, q):
        return "zero: a result that is not 0 never becomes 0" if q == 0 and p else (
            "zero: the exact result is 0")  # fmt: skip
    if (p < 0) != (q < 0):
        return "sign: the two's complement of the right answer" if p == -q else "sign"
    if exact is not None and exact and _rounds_between(abs(p), abs(q), abs(exact), spec):
        return _rounding(abs(p), abs(q), abs(exact), spec)
    if abs(p) in (1, spec.maxpos_pattern) and exact is not None:
        size = abs(exact)
        if size > spec.maxpos or size < spec.minpos:
            end = "maxpos" if size > spec.maxpos else "minpos"
            return f"saturation: beyond ±{end} the result is ±{end}"
    a, b = split(p, spec), split(q, spec)
    assert a is not None
    assert b is not None
    for name in ("r", "e", "f"):
        if getattr(a, name) != getattr(b, name):
            full = {"r": "regime", "e": "exponent", "f": "fraction"}[name]
            return f"{full}: {getattr(b, name)} instead of {getattr(a, name)}"
    return "encoding"


def _rounds_between(p: int, q: int, size: Fraction, spec: PositSpec) -> bool:
    """Whether the answer is the other neighbour of the exact value."""
    near, far = decode(p, spec), decode(q, spec)
    assert near is not None
    assert far is not None
    return abs(p - q) == 1 and min(near, far) <= size <= max(near, far) and size != near


def _rounding(p: int, q: int, size: Fraction, spec: PositSpec) -> str:
    _, guard, sticky = floor_body(size, spec)
    way = "up" if q > p else "down"
    tie = ", a tie, which goes to the even pattern" if guard and not sticky else ""
    return f"rounding: {way} with guard {guard}, sticky {int(sticky)}{tie}"


def _other(task: Task, operands: Asked, name: str, want: int, got: int) -> str:
    if task.op == "quire" and name == "quire":
        layout = Layout.exact(task.spec)
        low = ((want ^ got) & -(want ^ got)).bit_length() - 1
        high = (want ^ got).bit_length() - 1
        return (
            f"accumulation: bits {low} to {high} of the quire differ, of weights"
            f" 2^{layout.lsb + low} to 2^{layout.lsb + high}"
        )
    if task.op == "compare":
        names = {0: "greater or NaR apart", 1: "less", 2: "equal", 3: "less and equal"}
        return f"comparison: {names.get(got, 'neither')} instead of {names[want]}"
    if task.op == "decode":
        if name == "fraction":
            return f"fraction{_moved(want, got, task.spec.f_max)}"
        return _decoding(task, operands, want, got) if name == "scale" else name
    return "conversion"


def _decoding(task: Task, operands: Asked, want: int, got: int) -> str:
    """Which part of a scale is wrong: as in the bits, which in twos form it is the complement of,
    for negative numbers."""
    (column,) = (c for c in task.outputs if c.name == "scale")
    turned = -1 if task.form == "twos" and operands["a"] >> (task.spec.n - 1) else 0
    parts = [divmod(signed(word, column.bits) ^ turned, 1 << task.spec.es) for word in (want, got)]
    for name, x, y in zip(("regime", "exponent"), *parts, strict=True):
        if x != y:
            return f"{name}: {y} instead of {x}"
    return f"scale has more than {column.bits} bits"


def _moved(want: int, got: int, bits: int) -> str:
    """How far an answer is shifted, if that is all."""
    for k in range(1, bits):
        if got and got == (want << k) & ((1 << bits) - 1):
            return f": shifted left by {k}"
        if got and got == want >> k:
            return f": shifted right by {k}"
    return ""
