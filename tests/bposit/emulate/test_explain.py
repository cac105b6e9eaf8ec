"""Devices with a defect: found, and the step that went wrong named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bposit.emulate import (
    Accumulator,
    Aligned,
    FusedChain,
    Quire,
    RoundEachStep,
    Window,
    fields,
    read_accumulator,
)
from bposit.emulate.vectors import OPERATIONS, Scoreboard, Task
from posit import PositSpec, bposit16, encode, reference, standard
from posit.reference.encode import floor_body

from .test_files import GOOD, judged, task_of, written


def device(defect: Callable[[int, PositSpec], int]) -> Callable[[int, int, PositSpec], int]:
    return lambda a, b, s: defect(reference.mul(a, b, s), s)


def truncated(a: int, b: int, s: PositSpec) -> int:
    x, y = reference.decode(a, s), reference.decode(b, s)
    if x is None or y is None or not x * y:
        return reference.mul(a, b, s)
    body, _, _ = floor_body(abs(x * y), s)
    body = max(body, 1)
    return body if x * y > 0 else -body


def half_up(a: int, b: int, s: PositSpec) -> int:
    x, y = reference.decode(a, s), reference.decode(b, s)
    if x is None or y is None or not x * y:
        return reference.mul(a, b, s)
    body, guard, _ = floor_body(abs(x * y), s)
    body = min(max(body + guard, 1), s.maxpos_pattern)
    return body if x * y > 0 else -body


DEFECTS: list[tuple[str, Callable[[int, int, PositSpec], int], str]] = [
    ("truncates", truncated, "rounding: down with guard 1"),
    ("rounds ties up", half_up, "a tie, which goes to the even pattern"),
    ("loses the sign", device(lambda p, s: p if p == s.nar else abs(p)), "sign: the two's compl"),
    ("overflows to NaR", device(lambda p, s: s.nar if abs(p) == s.maxpos_pattern else p),
     "special cases: NaR instead of a number"),
    ("underflows to 0", device(lambda p, s: 0 if abs(p) == 1 else p),
     "zero: a result that is not 0 never becomes 0"),
    ("saturates too low", device(lambda p, s: p - 1 if p == s.maxpos_pattern else p),
     "saturation: beyond ±maxpos"),
    ("has NaR at 0", device(lambda p, s: s.nar if p == 0 else p), "special cases: NaR"),
    ("drops a regime bit", device(lambda p, s: p ^ 1 << s.n - 4 if p > s.one else p), "regime"),
    ("swaps exponent bits", device(lambda p, s: p ^ 1 << s.f_max if 0 < p < s.one // 2 * 3 and
                                   p > s.one else p), "exponent"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "mul", "step"), DEFECTS, ids=[d[0] for d in DEFECTS])
@pytest.mark.parametrize("spec", [bposit16, standard(16)], ids=str)
def test_a_defect_is_found_and_its_step_named(
    spec: PositSpec, what: str, mul: Callable[[int, int, PositSpec], int], step: str
) -> None:
    mask = (1 << spec.n) - 1

    def signed(x: int) -> int:
        return x - (1 << spec.n) if x >> (spec.n - 1) else x

    lines = written(Task("mul", spec), count=600, seed=1).splitlines()
    for i, line in enumerate(lines[1:-1], 1):
        a, b, flags, _ = line.split("_")
        found = mul(signed(int(a, 16)), signed(int(b, 16)), spec) & mask
        lines[i] = "_".join([a, b, flags, f"{found:04x}"])
    report = judged("\n".join(lines), flags=False, explained=600)
    assert report.wrong, what
    named = [m.explanation[-1] for m in report.mismatches]
    assert any(step in text for text in named), (what, named[:5])


def test_two_patterns_off_is_no_rounding() -> None:
    """The exact value lies between, but it is not the other neighbour."""
    half = "4000_3700_2_4000\n"  # 1 + 2^-9, which is a tie
    header = GOOD.splitlines(keepends=True)[0]
    assert judged(header + half).wrong == 0
    for answer, step in (("4001", "rounding: up with guard 1, sticky 0, a tie"),
                         ("4002", "fraction: 1/128 instead of 0")):  # fmt: skip
        (m,) = judged(header + half[:-5] + answer + "\n").mismatches
        assert step in m.explanation[-1]


def test_explanations_say_it_all() -> None:
    (m,) = judged(GOOD.replace("4100\n", "4101\n")).mismatches
    assert m.explanation == [
        "add(a = 0x4000 = 1, b = 0x4000 = 1)",
        "expected  0x4100  0 10 00001 00000000  2",
        "got       0x4101  0 10 00001 00000001  2.0078125",
        "exact     2",
        "distance  1 pattern; 1 ulp from the exact value, 0 would be right",
        "first wrong step: fraction: 1/256 instead of 0",
    ]


@pytest.mark.parametrize("op", OPERATIONS)
def test_every_wrong_answer_has_an_explanation(op: str) -> None:
    """Every output in turn one bit off, and all x."""
    for spec in (bposit16, PositSpec(7, 3, 8)):
        task = task_of(op, spec)
        lines = written(task, count=40, layout="csv").splitlines()
        for at, column in enumerate(task.outputs, len(task.inputs)):
            for change in (lambda d: f"{int(d, 16) ^ 1:0{len(d)}x}", lambda d: "x" * len(d)):
                rows = [line.split(",") for line in lines[2:-1]]
                text = [",".join([*r[:at], change(r[at]), *r[at + 1 :]]) for r in rows]
                report = judged("\n".join([*lines[:2], *text]), explained=40)
                assert report.wrong == 40
                for m in report.mismatches:
                    assert m.explanation[0].startswith(f"{op}(")
                    assert m.explanation[-1].startswith("first wrong step: ")
                    assert column.name in " ".join(m.explanation) or column.spec is not None


def test_a_quire_s_first_wrong_bit() -> None:
    lines = written(Task("quire", bposit16), style="regimes", count=3, layout="csv").splitlines()
    parts = lines[3].split(",")
    parts[4] = f"{int(parts[4], 16) ^ 0x50:0{len(parts[4])}x}"
    lines[3] = ",".join(parts)
    (m,) = judged("\n".join(lines)).mismatches
    assert m.explanation[-1].endswith(
        "bits 4 to 6 of the quire differ, of weights 2^-388 to 2^-386"
    )


def test_a_datapath_s_steps_are_shown() -> None:
    task = Task("mac", bposit16, terms=3, accumulator=Window(-8, 7))
    lines = written(task, style="regimes", count=3, layout="csv").splitlines()
    one = f"{bposit16.one:04x}"
    lines[2] = ",".join([one] * 6 + ["0000", "0", one])
    (m,) = judged("\n".join(lines[:3]).replace('"count": 3', '"count": 1')).mismatches
    assert m.explanation[-4:] == [
        "step 0: register 16'h0100, bit 0 weighs 2^-8",
        "step 1: register 16'h0200, bit 0 weighs 2^-8",
        "step 2: register 16'h0300, bit 0 weighs 2^-8",
        "first wrong step: exponent: 0 instead of 1",
    ]


@pytest.mark.parametrize("accumulator", [
    Quire(), Quire("paper800"), Window(-9, 9, "nar", "floor", True), Aligned(9, 2, True),
    FusedChain(), RoundEachStep(),
])  # fmt: skip
def test_accumulators_are_read_as_they_are_written(accumulator: Accumulator) -> None:
    assert read_accumulator(repr(accumulator)) == accumulator


@pytest.mark.parametrize("text", [
    "", "Window", "Window(1)", "Windows(1, 2)", "Window(1, 2, 'clip')", "Window(f(), 2)",
    "__import__('os')", "Quire().x", "Aligned(1 + 1)", "Aligned(*[9])", "1 +",
])  # fmt: skip
def test_nothing_else_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"accumulator|Window: overflow"):
        read_accumulator(text)


# ---- the scoreboard
class Logic:
    """As a simulator's value: an integer where all bits are known."""

    def __init__(self, bits: str) -> None:
        self.bits = bits

    def to_unsigned(self) -> int:
        return int(self.bits, 2)


class Handle:
    def __init__(self, value: int | None) -> None:
        self.value = value

    def __int__(self) -> int:
        if self.value is None:
            raise ValueError("x")
        return self.value


def test_a_scoreboard_takes_simulators_values() -> None:
    board = Scoreboard(Task("add", bposit16))
    one = 0x4000
    assert board.check({"a": one, "b": Logic(f"{one:016b}")}, result=Handle(0x4100))
    assert board.check({"a": -one, "b": one}, result=0, flags=8)
    assert not board.check({"a": one, "b": one}, result=Handle(None))
    assert not board.check({"a": one, "b": one}, result=Logic("01x0"))
    assert not board.check({"a": one, "b": one}, result=0x4100, flags=2)
    assert (board.count, board.wrong) == (5, 3)
    report = board.report()
    assert report.startswith("2 of 5 right\nvector 3:\n  add(a = 0x4000 = 1, b = 0x4000 = 1)\n")
    assert report.count("not driven") == 2


def test_a_scoreboard_follows_a_sequence() -> None:
    board = Scoreboard(Task("quire", bposit16), keep=1)
    one = bposit16.one
    assert board.check({"clear": 1, "a": one, "b": one}, result=one)
    assert board.check({"clear": 0, "a": one, "b": one}, result=0x4100)
    assert not board.check({"clear": 0, "a": one, "b": one}, result=0x4100)
    assert board.check({"clear": 1, "a": 0, "b": 0}, result=0, quire=0)


def test_a_scoreboard_refuses_what_is_not_asked() -> None:
    board = Scoreboard(Task("add", bposit16))
    for operands in ({"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "b": "x"}):
        with pytest.raises(ValueError, match="add takes a, b"):
            board.check(operands, result=0)
    with pytest.raises(KeyError, match="product"):
        board.check({"a": 1, "b": 2}, product=0)


@pytest.mark.parametrize("form", ["sign-magnitude", "twos"])
@pytest.mark.parametrize(
    ("value", "regime", "exponent"),
    [(3.0, 0, 1), (-3.0, 0, 1), (2.0**-40, -2, 24), (-(2.0**40), 1, 8)],
)
def test_what_a_decoder_got_wrong(value: float, regime: int, exponent: int, form: Any) -> None:
    """By the fields in the bits, which in twos form are those of the complement."""
    task = Task("decode", bposit16, form=form)
    a = int(encode(value, bposit16)) & 0xFFFF
    found = fields(np.int16(a - (a >> 15 << 16)), bposit16, form)
    assert form == "twos" or (int(found.regime), int(found.exponent)) == (regime, exponent)
    for move, text in (
        (32, f"regime: {found.regime + 1} instead of {found.regime}"),
        (1, f"exponent: {found.exponent + 1} instead of {found.exponent}"),
    ):
        board = Scoreboard(task)
        raw = int(found.scale) + (-move if form == "twos" and value < 0 else move)
        right = {"sign": int(found.sign), "fraction": int(found.fraction), "flags": 0}
        assert not board.check({"a": a}, scale=raw & 0x1FF, **right)
        assert board.mismatches[0].explanation[-1] == f"first wrong step: {text}"
        assert board.check({"a": a}, scale=int(found.scale), **right)


def test_a_decoder_that_shifts_too_far() -> None:
    board = Scoreboard(Task("decode", bposit16))
    for a, got, said in ((0x0001, 0x20, "fraction: shifted left by 1"),
                         (0x4080, 0x20, "fraction: shifted right by 2"),
                         (0x4080, 0x81, "fraction"), (0x4080, 0, "fraction")):  # fmt: skip
        assert not board.check({"a": a}, fraction=got)
        told = board.mismatches[-1].explanation
        assert told[-1] == f"first wrong step: {said}"
    assert told[1].split() == ["bits", "0x4080", "0", "10", "00000", "10000000", "1.5"]
