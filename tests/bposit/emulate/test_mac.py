"""Mac: every accumulator against its twin over fractions, and against the quire."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest

import quire
from bposit import emulate
from bposit.emulate import Aligned, FusedChain, Mac, Quire, RoundEachStep, Window
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, encode, standard

from ...formats import Bits, mixed
from . import twins

FORMATS = [
    (bposit16, bposit16), (bposit8, bposit16), (bposit8, bposit8), (standard(16), standard(16)),
    (standard(8), bposit32), (bposit16, bposit32), (bposit32, bposit16), (bposit32, bposit32),
    (bposit64, bposit64), (PositSpec(3, 2, 0), PositSpec(5, 4, 2)), (PositSpec(7, 3, 8), bposit16),
    (standard(32), standard(16)), (PositSpec(64, 63, 0), PositSpec(64, 63, 0)),
]  # fmt: skip


def near_one(spec: PositSpec, shape: tuple[int, ...], rng: np.random.Generator) -> Bits:
    x = rng.standard_normal(shape) * np.exp2(rng.integers(-3, 4, shape))
    return np.asarray(encode(x * (rng.random(shape) < 0.9), spec))


def accumulators(rng: np.random.Generator) -> list[Any]:
    found: list[Any] = [Quire(), FusedChain(), RoundEachStep()]
    for overflow in ("wrap", "saturate", "nar"):
        for low in ("trunc", "floor", "rne"):
            lsb = int(rng.integers(-30, 0))
            found.append(Window(lsb, lsb + int(rng.integers(1, 90)), overflow, low,
                                bool(rng.integers(2))))  # fmt: skip
    for twos in (False, True):
        for width in (2, 9, 14, 24, 70):
            found.append(Aligned(width, int(rng.integers(1, 9)), twos))
    return found


def agree(mac: Mac, a: Bits, b: Bits, start: Bits | None) -> None:
    """Every row of a and b."""
    found = mac.dot(a, b, start)
    first = np.zeros(len(a), mac.out.storage) if start is None else start
    for i, (x, y, s) in enumerate(zip(a, b, first, strict=True)):
        want = twins.dot(x.tolist(), y.tolist(), int(s), mac.in_spec, mac.out, mac.accumulator)
        nar = {*x.tolist(), *y.tolist()} & {mac.in_spec.nar} or s == mac.out.nar
        got = int(found.bits[i]), bool(found.overflow[i]), bool(found.bits_lost[i])
        assert got[0] == want[0], (str(mac), x.tolist(), y.tolist(), int(s))
        assert bool(found.nar[i]) == (want[0] == mac.out.nar)
        if not nar:
            assert got == want, (str(mac), x.tolist(), y.tolist(), int(s))


@pytest.mark.parametrize(("in_spec", "out"), FORMATS, ids=str)
def test_every_accumulator_is_its_definition(in_spec: PositSpec, out: PositSpec) -> None:
    rng = np.random.default_rng(in_spec.n * 100 + out.n)
    for accumulator in accumulators(rng):
        mac = Mac(in_spec, out, accumulator)
        for make in (mixed, near_one):
            a, b = make(in_spec, (4, 7), rng), make(in_spec, (4, 7), rng)
            agree(mac, a, b, None)
            agree(mac, a, b, make(out, (4,), rng))


@pytest.mark.parametrize("spec", [bposit8, bposit16, standard(16), bposit32, bposit64], ids=str)
def test_the_quire_and_a_wide_window_are_quire_dot(spec: PositSpec) -> None:
    rng = np.random.default_rng(5)
    a, b = mixed(spec, (20, 9), rng), mixed(spec, (20, 9), rng)
    a[:15][a[:15] == spec.nar] = 1
    b[:15][b[:15] == spec.nar] = 1
    want = quire.dot(a, b, spec)
    layout = quire.Layout.exact(spec)
    for accumulator in (Quire(), Window(layout.lsb, layout.lsb + layout.width - 1)):
        found = Mac(spec, accumulator=accumulator).dot(a, b)
        np.testing.assert_array_equal(found.bits, want)
        assert not (found.overflow | found.bits_lost).any()
        np.testing.assert_array_equal(found.nar, want == spec.nar)


def test_the_paper_s_quire_loses_what_quire_loses() -> None:
    small = np.array([[1, 3], [bposit32.one, 77]], np.int32)
    found = Mac(bposit32, accumulator=Quire("paper800")).dot(small, small)
    np.testing.assert_array_equal(found.bits, quire.dot(small, small, bposit32, layout="paper800"))
    assert found.bits_lost.all()


@pytest.mark.parametrize("accumulator", [
    Quire(), Window(-40, 20, "saturate", "rne"), Aligned(18, 3), FusedChain(), RoundEachStep(),
], ids=str)  # fmt: skip
def test_matmul_is_dot_of_every_row_and_column(accumulator: Any) -> None:
    rng = np.random.default_rng(1)
    a, b = near_one(bposit16, (2, 5, 7), rng), near_one(bposit16, (7, 6), rng)
    a[0, 1, 2], b[3, 4] = bposit16.nar, bposit16.nar
    start = near_one(bposit16, (5, 6), rng)
    for mac in (Mac(bposit16, accumulator=accumulator), Mac(bposit16, bposit32, accumulator)):
        given = encode_as(start, mac.out)
        for first in (None, given, np.asfortranarray(given), given[::-1].T[::-1].T, given[:1]):
            want = mac.dot(a[:, :, np.newaxis, :], b.T, first)
            for flags in (True, False):
                found = mac.matmul(a, b, first, flags=flags)
                np.testing.assert_array_equal(found.bits, want.bits)
                np.testing.assert_array_equal(found.nar, want.nar)
                if flags:
                    np.testing.assert_array_equal(found.flags, want.flags)
        for m, k, n in ((0, 7, 6), (5, 0, 6), (5, 7, 0)):
            empty = mac.matmul(a[0, :m, :k], b[:k, :n], flags=False).bits
            assert empty.shape == (m, n)
            assert not empty.any()


@pytest.mark.parametrize("spec", [bposit8, bposit32, bposit64], ids=str)
def test_one_sum_is_one_of_many(spec: PositSpec) -> None:
    """By itself, and traced, in machine words and in Python's integers."""
    rng = np.random.default_rng(6)
    for make in (mixed, near_one):
        a, b = make(spec, (3, 9), rng), make(spec, (3, 9), rng)
        for accumulator in (*accumulators(rng), Aligned(60, 4), Aligned(62, 15, True)):
            mac = Mac(spec, accumulator=accumulator)
            many = mac.dot(a, b, a[:, 0])
            for i in range(3):
                for trace in (False, True):
                    one = mac.dot(a[i], b[i], a[i, 0], trace=trace)
                    assert one.bits.shape == one.flags.shape == ()
                    assert (one.bits, one.flags) == (many.bits[i], many.flags[i]), str(mac)


def encode_as(bits: Bits, spec: PositSpec) -> Bits:
    from posit import convert

    return np.asarray(convert(bits, bposit16, spec))


def test_nothing_to_add() -> None:
    for accumulator in (Quire(), Window(-9, 9), Aligned(8), FusedChain(), RoundEachStep()):
        mac = Mac(bposit16, accumulator=accumulator)
        assert mac.dot(np.zeros(0, np.int16), np.zeros(0, np.int16)).bits == 0
        found = mac.matmul(np.zeros((3, 0), np.int16), np.zeros((0, 2), np.int16))
        assert found.bits.tolist() == [[0, 0]] * 3
        assert not found.flags.any()
        empty = mac.matmul(np.zeros((0, 3), np.int16), np.zeros((3, 2), np.int16))
        assert empty.bits.shape == (0, 2)


def test_a_narrow_window_is_flagged() -> None:
    one = np.full(4, bposit16.one, np.int16)
    found = Mac(bposit16, accumulator=Window(-4, 2)).dot(one, one)
    assert found.overflow
    assert found.bits == encode(-4.0, bposit16)  # of 2 integer bits and a sign
    assert Mac(bposit16, accumulator=Window(-4, 2, "saturate")).dot(one, one).overflow
    assert Mac(bposit16, accumulator=Window(-4, 2, "nar")).dot(one, one).nar
    assert not Mac(bposit16, accumulator=Window(-4, 3)).dot(one, one).flags


@pytest.mark.parametrize("accumulator", [
    Quire(), Window(-20, 9), Aligned(12, 2), FusedChain(), RoundEachStep(),
], ids=str)  # fmt: skip
def test_a_trace_shows_each_step(accumulator: Any) -> None:
    rng = np.random.default_rng(2)
    a, b = near_one(bposit16, (5,), rng), near_one(bposit16, (5,), rng)
    mac = Mac(bposit16, accumulator=accumulator)
    found = mac.dot(a, b, trace=True)
    assert found.bits == mac.dot(a, b).bits
    trace = found.trace
    assert trace is not None
    text = io.StringIO()
    trace.write_jsonl(text)
    rows = [json.loads(line) for line in text.getvalue().splitlines()]
    assert [*rows[0]] == ["step", "stage", "name", "hex", "width", "signed", "lsb_weight"]
    inputs = [row for row in rows if row["stage"] == "input"]
    assert [row["hex"] for row in inputs if row["name"] == "a"] == [
        f"{p & 0xFFFF:04x}" for p in a.tolist()
    ]
    for signal in trace:  # every value fits the width that is claimed for it
        half = 1 << (signal.width - 1)
        assert -half <= signal.value < half, signal


def test_a_traced_register_is_the_sum_so_far() -> None:
    a = encode([1.5, -2.0, 0.25], bposit16)
    trace = Mac(bposit16, accumulator=Window(-8, 8)).dot(a, a, trace=True).trace
    assert trace is not None
    held = [s.value * 2.0**s.lsb_weight for s in trace if s.name == "register"]
    assert held == [2.25, 6.25, 6.3125]


@pytest.mark.parametrize("group", [1, 3, 8, 15])
def test_the_carry_bits_of_a_group_are_enough_and_needed(group: int) -> None:
    """Largest significands of one sign: W bits each, and those that the sum is said to have."""
    top = np.full(2 * group, int(encode(2.0, bposit16)) - 1, np.int16)
    for width in (18, 27, 29, 60):
        mac = Mac(bposit16, accumulator=Aligned(width, group))
        found = mac.dot(top, top, top[0], trace=True)
        want = twins.dot(top.tolist(), top.tolist(), int(top[0]), bposit16, bposit16,
                         mac.accumulator)  # fmt: skip
        assert (int(found.bits), False, bool(found.bits_lost)) == want
        assert found.trace is not None
        sums = [s for s in found.trace if s.name == "sum"]
        assert {s.width for s in sums} == {width + group.bit_length() + 1}
        assert all(abs(s.value) < 1 << s.width - 1 for s in sums)
    assert max(s.value.bit_length() for s in sums) > 60 if group > 3 else True


def test_a_waveform_has_every_signal() -> None:
    a = encode([1.5, -2.0], bposit16)
    text = io.StringIO()
    trace = Mac(bposit16, accumulator=Window(-8, 8)).dot(a, a, trace=True).trace
    assert trace is not None
    trace.write_vcd(text)
    lines = text.getvalue().splitlines()
    (code,) = (line.split()[3] for line in lines if line.endswith(" register $end"))
    assert [line.split()[0] for line in lines if line.endswith(f" {code}") and line[0] == "b"] == [
        f"b{9 * 64:b}", f"b{25 * 64:b}"
    ]  # fmt: skip
    assert lines.count("#1") == lines.count("#2") == 1
    (weight,) = (line.split()[3] for line in lines if line.endswith(" register_lsb $end"))
    assert f"b{(1 << 32) - 8:b} {weight}" in lines  # bit 0 weighs 2^-8


@pytest.mark.parametrize(("make", "said"), [
    (lambda: Window(-(10**20), 1 - 10**20), "-65536 to 65536"),
    (lambda: Window(3, 3), "lsb < msb"), (lambda: Window(0, 1 << 16), "lsb < msb"),
    (lambda: Window(0, 9, overflow="clip"), "wrap, saturate, nar"),  # type: ignore[arg-type]
    (lambda: Window(0, 9, low="up"), "trunc, floor, rne"),  # type: ignore[arg-type]
    (lambda: Aligned(1), "2 to 4096"), (lambda: Aligned(8, 0), "1 to 4096"),
    (lambda: Quire("wide"), "paper800"),
    (lambda: Mac("bposit8", accumulator=Quire("paper800")), "6"),
    (lambda: Mac(bposit16).dot([1], [1, 2]), "last axes"),
    (lambda: Mac(bposit16).dot([[1]], [[1]], trace=True), "one sum"),
    (lambda: Mac(bposit16).matmul([1], [1]), r"\(M, K\) times"),
])  # fmt: skip
def test_bad_parameters_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(("make", "said"), [
    (lambda: Window(0.5, 7.5), "Window: lsb=0.5 is no integer"),  # type: ignore[arg-type]
    (lambda: Window(True, 7), "lsb=True is no integer"), (lambda: Aligned(8, True), "group=True"),
    (lambda: Window(0, 7, sticky="no"), "neither True nor"),  # type: ignore[arg-type]
    (lambda: Aligned(14.5), "width=14.5"), (lambda: Aligned(9, twos=5), "twos=5"),  # type: ignore[arg-type]
])  # fmt: skip
def test_widths_are_integers(make: Any, said: str) -> None:
    """NumPy's are."""
    with pytest.raises(TypeError, match=said):
        make()
    assert repr(Aligned(np.int64(9), twos=np.True_)) == "Aligned(width=9, group=4, twos=True)"  # type: ignore[arg-type]


def test_only_models_are_accumulators() -> None:
    with pytest.raises(TypeError, match="Quire"):
        Mac(bposit16, accumulator="quire")  # type: ignore[arg-type]


def test_the_twins_can_fail() -> None:
    """A model with another group, rounding or width is seen."""
    rng = np.random.default_rng(3)
    a, b = near_one(bposit16, (30, 8), rng), near_one(bposit16, (30, 8), rng)
    pairs = [
        (Aligned(14, 4), Aligned(14, 8)), (Aligned(10, 4), Aligned(9, 4)),
        (Aligned(14, 4), Aligned(14, 4, True)), (FusedChain(), RoundEachStep()),
        (Window(-9, 20, low="rne"), Window(-9, 20)), (Window(-9, 20, low="floor"), Window(-9, 20)),
        (Window(-9, 4), Window(-9, 4, "saturate")),
        (Window(-3, 20, sticky=True), Window(-3, 20)),
    ]  # fmt: skip
    for right, wrong in pairs:
        found = Mac(bposit16, accumulator=wrong).dot(a, b).bits
        want = [twins.dot(x.tolist(), y.tolist(), 0, bposit16, bposit16, right)[0]
                for x, y in zip(a, b, strict=True)]  # fmt: skip
        assert found.tolist() != want, (right, wrong)
    assert emulate.Mac is Mac
