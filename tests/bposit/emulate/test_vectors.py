"""Vectors: every answer against the definition, every style for what it promises."""

from __future__ import annotations

import struct
from fractions import Fraction
from math import isfinite, isnan
from typing import Any

import numpy as np
import pytest

from bposit.emulate import Aligned, FusedChain, RoundEachStep, Window
from bposit.emulate import Quire as QuireModel
from bposit.emulate.codec import fields
from bposit.emulate.vectors import OPERATIONS, STYLES, Task, possible
from bposit.emulate.vectors.answers import INEXACT, NAR, SATURATED, ZERO
from bposit.emulate.vectors.styles import check, exhaustive_count, generate
from bposit.errors import BadInput
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, reference, standard
from posit.reference.encode import floor_body
from quire import Quire

from . import twins

FORMATS = [bposit8, bposit16, standard(16), bposit32, bposit64, PositSpec(13, 6, 5),
           PositSpec(7, 3, 8), PositSpec(3, 2, 0), PositSpec(24, 3, 0)]  # fmt: skip
WORDS = dict[str, Any]


def task_of(op: str, spec: PositSpec, **more: Any) -> Task:
    to = bposit8 if spec != bposit8 else PositSpec(6, 3, 1)
    return Task(op, spec, to if op == "convert" else None, **more)


def made(task: Task, style: str, count: int = 64, seed: int = 1) -> tuple[WORDS, WORDS]:
    operands = generate(task, style, np.random.default_rng(seed), 0, count)
    return operands, task.answers(operands, task.start())


def signed(word: int, bits: int) -> int:
    return word - (1 << bits) if word >> (bits - 1) else word


def value(word: int, spec: PositSpec) -> Fraction | None:
    return reference.decode(signed(word, spec.n), spec)


def exact(task: Task, row: dict[str, int]) -> Fraction | str | None:
    """The result before rounding; None for NaR; "root" where it is one."""
    s = task.spec
    if task.op == "encode":
        if row["nar"] or row["zero"]:
            return None if row["nar"] else Fraction(0)
        (width,) = (c.bits for c in task.inputs if c.name == "scale")
        low = Fraction(row["guard"], 2) + Fraction(row["sticky"], 4)
        f = ((row["fraction"] if s.f_max else 0) + low) / (1 << s.f_max)
        power = Fraction(2) ** signed(row["scale"], width)
        if task.form == "twos" and row["sign"]:
            return (f - 2) * power
        return (1 + f) * power * (-1 if row["sign"] else 1)
    if task.op in ("from_f32", "from_f64"):
        kind, size = (">f", 4) if task.op == "from_f32" else (">d", 8)
        (x,) = struct.unpack(kind, row["a"].to_bytes(size, "big"))
        return Fraction(x) if isfinite(x) else None
    if task.op == "from_i64":
        return Fraction(signed(row["a"], 64))
    values = [value(w, s) for w in row.values()]
    if None in values:
        return None
    v: list[Any] = values
    match task.op:
        case "add":
            return v[0] + v[1]
        case "sub":
            return v[0] - v[1]
        case "mul":
            return v[0] * v[1]
        case "div":
            return v[0] / v[1] if v[1] else None
        case "fma":
            return v[0] * v[1] + v[2]
        case "dot":
            half = len(v) // 2
            return sum((x * y for x, y in zip(v[:half], v[half:], strict=True)), Fraction(0))
        case "neg":
            return -v[0]
        case "abs":
            return abs(v[0])
        case "convert":
            return v[0]
        case "sqrt":
            return None if v[0] < 0 else "root"
    raise AssertionError(task.op)


def agree(task: Task, operands: WORDS, answers: WORDS) -> None:
    """Result and flags of every row."""
    to = task.result
    for i in range(len(answers["flags"])):
        row = {name: int(x[i]) for name, x in operands.items()}
        got, flags = signed(int(answers["result"][i]), to.n), int(answers["flags"][i])
        x = exact(task, row)
        if x == "root":
            assert got == reference.sqrt(signed(row["a"], to.n), to), row
            y, a = reference.decode(got, to), value(row["a"], to)
            want = (INEXACT * (y * y != a)) | (ZERO * (got == 0))  # type: ignore[operator]
        else:
            assert isinstance(x, Fraction) or x is None
            assert got == reference.encode(x, to), (task, row)
            inexact = x is not None and reference.decode(got, to) != x
            beyond = x is not None and x != 0 and not to.minpos <= abs(x) <= to.maxpos
            want = NAR * (x is None) | INEXACT * inexact | SATURATED * beyond | ZERO * (got == 0)
        assert flags == want, (task, row, got)


APART = ("decode", "compare", "to_f32", "to_f64", "quire", "mac")
PLAIN = [op for op in OPERATIONS if op not in APART]


@pytest.mark.parametrize("op", PLAIN)
@pytest.mark.parametrize("spec", FORMATS, ids=str)
def test_answers_are_the_definition_s(spec: PositSpec, op: str) -> None:
    for form in ("sign-magnitude", "twos") if op == "encode" else ("sign-magnitude",):
        task = task_of(op, spec, form=form)
        for style in possible(op):
            if style == "exhaustive":
                continue
            try:
                operands, answers = made(task, style)
            except BadInput:
                if style != "ties":  # which some formats do not have
                    raise
                continue
            agree(task, operands, answers)


def test_every_operation_has_a_test() -> None:
    assert {*PLAIN, *APART} == set(OPERATIONS)


def test_the_checks_can_fail() -> None:
    """One wrong bit in one answer, and one wrong flag."""
    task = task_of("mul", bposit16)
    for name in ("result", "flags"):
        operands, answers = made(task, "mixed")
        answers[name] = answers[name].copy()
        answers[name][7] ^= 2
        with pytest.raises(AssertionError):
            agree(task, operands, answers)


@pytest.mark.parametrize("form", ["sign-magnitude", "twos"])
def test_decode(form: Any) -> None:
    for spec in FORMATS:
        task = Task("decode", spec, form=form)
        operands, answers = made(task, "mixed")
        columns = {c.name: c for c in task.columns}
        bits = columns["a"].values(operands["a"])
        f = fields(bits, spec, form)
        assert np.array_equal(answers["sign"], f.sign)
        assert np.array_equal(columns["scale"].values(answers["scale"]), f.scale)
        assert np.array_equal(answers["fraction"], f.fraction)
        assert np.array_equal(answers["flags"], NAR * f.nar | ZERO * f.zero)


def test_compare() -> None:
    for spec in FORMATS:
        operands, answers = made(Task("compare", spec), "mixed")
        for a, b, got, flags in zip(operands["a"].tolist(), operands["b"].tolist(),
                                    answers["result"], answers["flags"], strict=True):  # fmt: skip
            x, y = signed(a, spec.n), signed(b, spec.n)
            assert got == {-1: 1, 0: 2, 1: 0}[reference.compare(x, y, spec)]
            assert flags == (NAR if spec.nar in (x, y) else 0)


@pytest.mark.parametrize("accumulator", [
    QuireModel(), Window(-12, 9, "saturate", "rne", True), Aligned(11, 3), FusedChain(),
    RoundEachStep(),
], ids=str)  # fmt: skip
def test_datapaths(accumulator: Any) -> None:
    for spec, to in ((bposit16, None), (bposit8, bposit16)):
        task = Task("mac", spec, to, terms=5, accumulator=accumulator)
        for style in possible("mac"):
            if style == "exhaustive":
                continue
            operands, answers = made(task, style, 20)
            for i in range(20):
                row = {name: int(x[i]) for name, x in operands.items()}
                c = signed(row.pop("c"), task.result.n)
                words = [signed(w, spec.n) for w in row.values()]
                want = twins.dot(words[:5], words[5:], c, spec, task.result, accumulator)
                assert signed(int(answers["result"][i]), task.result.n) == want[0]
                if task.spec.nar not in words and c != task.result.nar:
                    flags = want[1] | want[2] << 1 | (want[0] == task.result.nar) << 2
                    assert answers["flags"][i] == flags


@pytest.mark.parametrize("width", [32, 64])
def test_to_floats(width: int) -> None:
    kind, size = {32: (">f", 4), 64: (">d", 8)}[width]
    for spec in FORMATS:
        operands, answers = made(Task(f"to_f{width}", spec), "mixed")
        for a, got, flags in zip(operands["a"].tolist(), answers["result"].tolist(),
                                 answers["flags"].tolist(), strict=True):  # fmt: skip
            x = value(a, spec)
            (y,) = struct.unpack(kind, got.to_bytes(size, "big"))
            if x is None:
                assert isnan(y)
                assert flags == NAR
                continue
            try:
                want = struct.unpack(kind, struct.pack(kind, _nearest(x)))[0]
            except OverflowError:
                want = float("inf") if x > 0 else -float("inf")
            if width == 64 or spec.f_max <= 52:  # else a float would be rounded twice here
                assert y == want
            inexact = not isfinite(y) or Fraction(y) != x
            ends = inexact and (not isfinite(y) or y == 0)
            assert flags == INEXACT * inexact | SATURATED * ends | ZERO * (y == 0)


def _nearest(x: Fraction) -> float:
    return x.numerator / x.denominator


@pytest.mark.parametrize("spec", [bposit8, bposit16, bposit32, bposit64], ids=str)
def test_a_sequence_is_a_quire_s(spec: PositSpec) -> None:
    task = Task("quire", spec)
    for style in possible("quire"):
        operands, answers = made(task, style, 300)
        assert operands["clear"].any()
        q = Quire(spec)
        for i in range(300):
            if operands["clear"][i]:
                q.clear()
            q.fma(*(signed(int(operands[n][i]), spec.n) for n in "ab"))
            width = q.layout.width
            held = 0 if q.value is None else int(q.value / Fraction(2) ** q.layout.lsb)
            assert answers["quire"][i] == held & ((1 << width) - 1)
            assert signed(int(answers["result"][i]), spec.n) == q.round()
            lost = q.value is not None and reference.decode(int(q.round()), spec) != q.value
            flags = NAR * q.is_nar | INEXACT * lost | ZERO * (q.value == 0)
            assert int(answers["flags"][i]) & ~SATURATED == flags


def test_a_sequence_goes_on() -> None:
    """In two parts as in one."""
    task = Task("quire", bposit16)
    operands, whole = made(task, "regimes", 100)
    state = task.start()
    for part in (slice(0, 37), slice(37, 100)):
        some = task.answers({k: v[part] for k, v in operands.items()}, state)
        assert np.array_equal(some["quire"], whole["quire"][part])


# ---- what the styles promise
def halves(task: Task, operands: WORDS) -> list[bool]:
    """Where the exact result is a tie."""
    found = []
    for i in range(len(operands["a" if "a" in operands else next(iter(operands))])):
        x = exact(task, {name: int(w[i]) for name, w in operands.items()})
        assert isinstance(x, Fraction)
        _, guard, sticky = floor_body(abs(x), task.result) if x else (0, 0, True)
        found.append(bool(guard) and not sticky)
    return found


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div", "fma", "dot", "encode", "convert",
                                "from_f32", "from_f64", "from_i64"])  # fmt: skip
@pytest.mark.parametrize("spec", [bposit8, bposit16, standard(16), bposit32], ids=str)
def test_ties_are_ties(spec: PositSpec, op: str) -> None:
    for terms in (1, 2, 5) if op == "dot" else (4,):
        task = task_of(op, spec, terms=terms)
        try:
            operands, _ = made(task, "ties", 200)
        except BadInput:
            assert (op, spec) == ("div", bposit8)  # every regime has all but one fraction bit
            continue
        share = sum(halves(task, operands)) / 200
        assert 0.3 < share < 0.8, (op, share)  # and the rest a hair beside


@pytest.mark.parametrize(("op", "lowest"), [("add", 6), ("encode", 5)])
def test_beside_ties_any_single_bit_decides(op: str, lowest: int) -> None:
    """So that a sticky bit which forgets one of those that it gathers is seen: in one regime."""
    task = Task(op, bposit16)
    operands, _ = made(task, "ties", 3000)
    seen = set()
    for i in range(3000):
        x = exact(task, {name: int(w[i]) for name, w in operands.items()})
        assert isinstance(x, Fraction)
        size = abs(x)
        body, guard, sticky = floor_body(size, bposit16) if x else (0, 0, False)
        if body >> 10 in (1, 30) and guard and sticky:  # two of the longest regimes
            low, high = (reference.decode(p, bposit16) for p in (body, body + 1))
            assert low is not None
            assert high is not None
            hair = (size - (low + high) / 2) / (high - low)
            seen.add(hair.denominator.bit_length() - 1 if hair.numerator == 1 else 0)
    assert seen >= set(range(2, lowest + 1))


@pytest.mark.parametrize("spec", [bposit8, bposit16, standard(16), bposit32], ids=str)
def test_each_dropped_bit_of_a_product_decides_somewhere(spec: PositSpec) -> None:
    """What full significands' products drop: a half, and any single bit more, or less."""
    task = Task("mul", spec)
    operands, _ = made(task, "ties", 12000)
    f, seen = spec.f_max, set()
    columns = (c.values(operands[c.name]).tolist() for c in task.inputs)
    for pair in zip(*columns, strict=True):
        found = (abs(reference.decode(p, spec) or Fraction(1)).numerator for p in pair)
        m, n = (v << f >> (v.bit_length() - 1) for v in found)
        dropped = (m * n).bit_length() - f - 1
        seen.add((dropped, m * n % 2**dropped))
    for length in (f, f + 1):
        half = 1 << (length - 1)
        assert seen >= {(length, half + (1 << t)) for t in range(length - 1)}
        assert seen >= {(length, half - (1 << t)) for t in range(length - 1)}


def test_ties_of_a_sequence() -> None:
    task = Task("quire", bposit16)
    operands, _ = made(task, "ties", 400)
    q, ties = Quire(bposit16), 0
    for i in range(400):
        if operands["clear"][i]:
            q.clear()
        q.fma(*(signed(int(operands[n][i]), 16) for n in "ab"))
        if i % 4 == 3 and q.value:
            _, guard, sticky = floor_body(abs(q.value), bposit16)
            ties += guard and not sticky
    assert ties > 50


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div", "fma", "dot", "encode", "convert",
                                "from_f64"])  # fmt: skip
def test_saturation_saturates_both_ways(op: str) -> None:
    for spec in (bposit16, standard(16)):
        task = task_of(op, spec)
        to, (_, answers) = task.result, made(task, "saturation", 2000)
        beyond = answers["flags"] & SATURATED != 0
        assert 0.03 < beyond.mean() < 0.95
        reached = {abs(signed(int(w), to.n)) for w in answers["result"][beyond]}
        assert to.maxpos_pattern in reached
        if op != "dot" and (op, spec) not in [("add", standard(16)), ("sub", standard(16))]:
            assert 1 in reached, op  # sums of standard posits are multiples of minpos
    assert "saturation" not in possible("from_i64")


@pytest.mark.parametrize("op", ["add", "sub", "fma", "dot", "compare", "quire"])
def test_cancellation_cancels(op: str) -> None:
    task = Task(op, bposit16)
    operands, answers = made(task, "cancellation", 1000)
    if op == "compare":
        assert 0.2 < (answers["result"] == 2).mean() < 0.9
        return
    if op in ("add", "sub", "quire"):
        assert (answers["flags"] & ZERO != 0).mean() > 0.1
        return
    small = 0
    for i in range(1000):
        row = {n: int(x[i]) for n, x in operands.items()}
        x, last = exact(task, row), value(row["c" if op == "fma" else "a3"], bposit16)
        small += isinstance(x, Fraction) and bool(last) and abs(x) * 64 < abs(last or 0)
    assert small > 300


def test_regimes_are_as_likely() -> None:
    spec = bposit16
    operands, _ = made(Task("add", spec), "regimes", 6000)
    bits = Task("add", spec).inputs[0].values(operands["a"])
    f = fields(bits, spec)
    regimes, counts = np.unique(f.regime[~(f.zero | f.nar)], return_counts=True)
    assert regimes.tolist() == list(range(-6, 6))
    assert counts.min() > 350
    assert f.zero.any()
    assert f.nar.any()


def test_corners_have_all_that_they_say() -> None:
    for spec in FORMATS:
        operands, _ = made(Task("sqrt", spec), "corners", 4000)
        found = {signed(int(w), spec.n) for w in operands["a"]}
        assert {0, spec.nar, 1, -1, spec.one, -spec.one, spec.maxpos_pattern} <= found
        values = [reference.decode(p, spec) for p in found if p > 0]
        assert {spec.minpos, spec.maxpos} <= set(values)


@pytest.mark.parametrize(("op", "spec", "count"), [
    ("decode", bposit16, 1 << 16), ("sqrt", bposit16, 1 << 16), ("mul", bposit8, 1 << 16),
    ("fma", PositSpec(5, 3, 1), 1 << 15), ("neg", PositSpec(3, 2, 0), 8),
    ("encode", PositSpec(5, 3, 1), 1 << 11),
])  # fmt: skip
def test_exhaustive_is_all(op: str, spec: PositSpec, count: int) -> None:
    task = Task(op, spec)
    assert exhaustive_count(task) == count
    half = [generate(task, "exhaustive", np.random.default_rng(0), i, count // 2)
            for i in (0, count // 2)]  # fmt: skip
    rows = {tuple(int(x[i]) for x in part.values()) for part in half for i in range(count // 2)}
    assert len(rows) == count
    assert next(iter(half[0])) == task.inputs[-1].name or len(task.inputs) == 1
    if count <= 1 << 12:
        agree(task, half[1], task.answers(half[1]))


def test_mixed_has_a_share_of_all() -> None:
    task = Task("add", bposit16)
    _, answers = made(task, "mixed", 5000)
    flags = answers["flags"]
    assert (flags & SATURATED != 0).mean() > 0.005
    assert (flags & ZERO != 0).mean() > 0.05
    assert (flags & NAR != 0).any()


def test_styles_that_make_no_sense_are_refused() -> None:
    assert set(STYLES) == {s for op in OPERATIONS for s in possible(op)}
    for op, style, said in [
        ("sqrt", "ties", "sqrt has no ties: possible are mixed, random"),
        ("mul", "cancellation", "mul has no cancellation"),
        ("mul", "wild", "unknown"), ("quire", "exhaustive", "no exhaustive"),
    ]:  # fmt: skip
        with pytest.raises(BadInput, match=said):
            check(Task(op, bposit16), style)
    with pytest.raises(BadInput, match=r"2\^32 vectors; at most 2\^24"):
        exhaustive_count(Task("add", bposit16))
    with pytest.raises(BadInput, match="no ties"):
        made(Task("add", PositSpec(3, 2, 8)), "ties")
    for make, said in [
        (lambda: Task("cube", bposit16), "unknown operation 'cube': possible are decode"),
        (lambda: Task("convert", bposit16), "--to FORMAT"),
        (lambda: Task("add", bposit16, bposit8), "belongs to convert"),
        (lambda: Task("mac", bposit16), "mac needs --accumulator"),
        (lambda: Task("dot", bposit16, accumulator=QuireModel()), "belongs to mac"),
        (lambda: Task("dot", bposit16, terms=0), "1 to 256"),
        (lambda: Task("decode", bposit16, form="ones"), "twos"),  # type: ignore[arg-type]
    ]:
        with pytest.raises(BadInput, match=said):
            make()
