"""What is wrong with an answer: fields, exact value, distance, and the step that first differs."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from fractions import Fraction
from math import isfinite

from posit import PositSpec
from posit.reference import decode
from posit.reference.arithmetic import root
from posit.reference.encode import floor_body
from quire import Layout

from ... import numerals
from ...fields import split
from .. import accumulator
from ..accumulator import LOST, OVERFLOW
from ..codec import magnitudes
from ..mac import Mac
from .answers import INEXACT, NAR, SATURATED, ZERO
from .columns import Column
from .operations import Task

__all__ = ["explain"]

Asked = Mapping[str, int]
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
            steps.append(_other(task, name, want, got))
    # results say more than flags, which come first in a vector
    steps.sort(key=lambda step: step == "flags")
    return [*lines, f"first wrong step: {steps[0]}"]


def _shown(column: Column, word: int, name: str) -> str:
    if column.spec is None:
        return f"{name} = {_plain(column, word)}"
    pattern = _signed(word, column.spec.n)
    value = numerals.decimal(decode(pattern, column.spec))
    return f"{name} = {numerals.hexadecimal(pattern, column.spec)} = {value}".replace("= ≈", "≈")


def _plain(column: Column, word: int) -> str:
    if column.signed:
        return str(_signed(word, column.bits))
    return f"{word}" if column.bits == 1 else f"0x{word:0{column.digits}x}"


def _flags(word: int, names: Mapping[int, str]) -> str:
    return " and ".join(name for bit, name in names.items() if word & bit) or "none"


def _signed(word: int, bits: int) -> int:
    """The low ``bits`` bits in two's complement."""
    word &= (1 << bits) - 1
    return word - (1 << bits) if word >> (bits - 1) else word


def _posits(
    task: Task, operands: Asked, spec: PositSpec, want: int, got: int
) -> tuple[list[str], str]:
    if got >> spec.n:
        return [f"got 0x{got:x}"], f"the answer has more than {spec.n} bits"
    p, q = _signed(want, spec.n), _signed(got, spec.n)
    lines = [_drawn("expected", p, spec), _drawn("got     ", q, spec)]
    exact = None if task.op in ("quire", "mac") else _exact(task, operands)
    right, wrong = decode(p, spec), decode(q, spec)
    if exact is not None:
        sign = "≈ " if task.op == "sqrt" and exact * exact != _value(operands["a"], spec) else ""
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
    words = [_signed(w, task.spec.n) for name, w in operands.items() if name != "c"]
    start = _signed(operands["c"], task.result.n)
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


def _other(task: Task, name: str, want: int, got: int) -> str:
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
        return f"{name}"
    return "conversion"


def _value(word: int, spec: PositSpec) -> Fraction | None:
    return decode(_signed(word, spec.n), spec)


def _exact(task: Task, operands: Asked) -> Fraction | None:
    """The exact result, or None where it is NaR or there is none."""
    if task.op == "encode":
        return _encoded(task, operands)
    if task.inputs[0].spec is None:
        return _given(task, operands["a"])
    values = [_value(word, task.spec) for word in operands.values()]
    if task.op == "dot":
        half = len(values) // 2
        pairs = zip(values[:half], values[half:], strict=True)
        products = [None if x is None or y is None else x * y for x, y in pairs]
        return None if None in products else sum((x for x in products if x is not None), Fraction())
    if None in values or task.op not in _FUNCTIONS:
        return None
    try:
        return _FUNCTIONS[task.op](*values)
    except (ZeroDivisionError, ValueError):
        return None


def _given(task: Task, word: int) -> Fraction | None:
    if task.op == "from_i64":
        return Fraction(_signed(word, 64))
    size = task.inputs[0].bits // 8
    (x,) = struct.unpack({4: ">f", 8: ">d"}[size], word.to_bytes(size, "big"))
    return Fraction(x) if isfinite(x) else None


def _encoded(task: Task, operands: Asked) -> Fraction | None:
    if operands["nar"] or operands["zero"]:
        return None
    spec, column = task.spec, {c.name: c for c in task.inputs}["scale"]
    fraction = operands["fraction"] & ((1 << spec.f_max) - 1)
    scale = _signed(operands["scale"], column.bits)
    sign, sig, t = magnitudes(operands["sign"], scale, fraction, operands["guard"],
                              operands["sticky"], spec, task.form)  # fmt: skip
    size = Fraction(int(sig), 1 << 63) * Fraction(2) ** int(t)
    return -size if sign else size


def _root(x: Fraction) -> Fraction:
    if x < 0:
        raise ValueError
    return root(x, 128)


_FUNCTIONS: dict[str, Callable[..., Fraction]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "fma": lambda a, b, c: a * b + c,
    "sqrt": _root,
    "neg": lambda a: -a,
    "abs": abs,
    "convert": lambda a: a,
}
