"""SystolicArray against a model clocked cycle by cycle: bits, order and cycles."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest

import quire
from bposit.emulate import (
    Aligned,
    FusedChain,
    Mac,
    Quire,
    RoundEachStep,
    SystolicArray,
    Window,
)
from posit import bposit8, bposit16, bposit32, encode
from posit.reference import decode
from posit.reference import encode as rounded

from ...formats import Bits, mixed
from . import clocked, twins

ACCUMULATORS = [
    Quire(), Window(-12, 8, "wrap"), Window(-6, 5, "saturate", "rne"), Aligned(9, 3),
    Aligned(14, 1), FusedChain(), RoundEachStep(),
]  # fmt: skip
SHAPES = [(4, 6, 3), (5, 7, 4), (1, 1, 1), (3, 13, 8), (8, 3, 2)]


class Cell:
    """What a cell's register holds, as the twins' definitions have it, operands being groups."""

    def __init__(self, array: SystolicArray) -> None:
        self.array, self.mac = array, array.mac
        exact = isinstance(self.mac.accumulator, (Quire, Window))
        self.zero: Any = Fraction(0) if exact else 0
        self.exact = exact

    def step(self, held: Any, a: tuple[int, ...], b: tuple[int, ...]) -> Any:
        mac = self.mac
        if not self.exact:
            return twins.dot(a, b, held, mac.in_spec, mac.out, mac.accumulator)[0]
        for x, y in zip(a, b, strict=True):
            value = decode(x, mac.in_spec) * decode(y, mac.in_spec)  # type: ignore[operator]
            if isinstance(mac.accumulator, Quire):
                held += value
                continue
            w = mac.accumulator
            assert isinstance(w, Window)
            top, total = twins.power(w.msb), held + twins.cut(value, w.lsb, w.low)
            if w.overflow == "wrap":
                held = (total + top) % (2 * top) - top
            else:
                held = min(max(total, -top), top - twins.power(w.lsb))
        return held

    def read(self, held: Any) -> int:
        return rounded(held, self.mac.out) if self.exact else held

    def write(self, bits: int) -> Any:
        return decode(bits, self.mac.out) if self.exact else bits


def grouped(line: Any, lanes: int) -> list[tuple[int, ...]]:
    values = [int(x) for x in line]
    values += [0] * (-len(values) % lanes)
    return [tuple(values[i : i + lanes]) for i in range(0, len(values), lanes)]


def by_clock(array: SystolicArray, a: Bits, b: Bits) -> tuple[Bits, int]:
    """Tile by tile; edge tiles are filled up with zeros, cells without work included."""
    cell = Cell(array)
    lanes = array.mac.accumulator.lanes
    left = [grouped(line, lanes) for line in a]  # M lines of T groups
    top = [grouped(line, lanes) for line in b.T]  # N lines of T groups
    steps, nothing = len(left[0]), (0,) * lanes
    rows, cols, (m, n) = array.rows, array.cols, (len(a), b.shape[1])
    out, cycles = np.zeros((m, n), array.mac.out.storage), 0
    shape = (rows, cols, array.latency)
    if array.dataflow == "os":
        for i, j in product(range(0, m, rows), range(0, n, cols)):
            x = [left[r] if r < m else [nothing] * steps for r in range(i, i + rows)]
            y = [[top[c][t] if c < n else nothing for c in range(j, j + cols)]
                 for t in range(steps)]  # fmt: skip
            got, spent = clocked.output_stationary(*shape, x, y, cell.step, cell.zero, cell.read)
            part = np.array(got)[: m - i, : n - j]
            out[i : i + rows, j : j + cols] = part
            cycles += spent
        return out, cycles
    for j in range(0, n, cols):
        sums: list[list[Any]] = [[cell.zero] * cols for _ in range(m)]
        for t in range(0, steps, rows):
            x = [[line[r] if r < steps else nothing for r in range(t, t + rows)] for line in left]
            y = [[(top[c][r] if c < n else nothing) if r < steps else None
                  for c in range(j, j + cols)] for r in range(t, t + rows)]  # fmt: skip
            sums, spent = clocked.weight_stationary(*shape, x, y, sums, cell.step, lambda s: s)
            cycles += spent
            if array.spill == "format":
                sums = [[cell.write(cell.read(s)) for s in line] for line in sums]
        out[:, j : j + cols] = np.array([[cell.read(s) for s in line] for line in sums])[:, : n - j]
    return out, cycles


@pytest.mark.parametrize("dataflow", ["os", "ws"])
@pytest.mark.parametrize("accumulator", ACCUMULATORS, ids=str)
def test_bits_and_cycles_are_the_clocked_array_s(accumulator: Any, dataflow: Any) -> None:
    rng = np.random.default_rng(7)
    for (m, k, n), (rows, cols, latency), spill in product(
        SHAPES[:4], [(3, 2, 0), (2, 3, 2)], ["exact", "format"]
    ):
        mac = Mac(bposit16, accumulator=accumulator)
        array = SystolicArray(rows, cols, dataflow, mac, latency, spill)  # type: ignore[arg-type]
        a = encode(rng.standard_normal((m, k)) * 2, bposit16)
        b = encode(rng.standard_normal((k, n)), bposit16)
        bits, cycles = by_clock(array, a, b)
        np.testing.assert_array_equal(array.matmul(a, b, bposit16), bits, str((m, k, n, array)))
        np.testing.assert_array_equal(array.run(a, b).bits, bits)
        assert array.plan(m, k, n).cycles == cycles, (m, k, n, array)


def test_the_formula() -> None:
    array = partial(SystolicArray, 16, 8)
    assert array("os").plan(16, 100, 8).cycles == 2 * 16 + 8 + 100 - 2
    assert array("ws").plan(100, 16, 8).cycles == 2 * 16 + 8 + 100 - 2
    assert array("ws", latency=3).plan(100, 17, 9).cycles == 4 * (2 * 16 + 8 + 100 - 2 + 3)
    lanes = array("os", Mac(bposit16, accumulator=Aligned(14, 4)))
    assert lanes.plan(16, 100, 8).cycles == 2 * 16 + 8 + 25 - 2


def test_shares() -> None:
    plan = SystolicArray(4, 4).plan(6, 50, 4)
    assert plan.tiles == (2, 1)
    assert plan.mapping == 6 * 4 / 32
    assert plan.utilisation == 6 * 50 * 4 / (16 * plan.cycles)
    assert SystolicArray(4, 4).plan(0, 5, 4).cycles == 0
    many = SystolicArray(4, 4).plan(4, 10**6, 4)
    assert 0.99999 < many.utilisation < 1


def test_a_quire_array_is_quire_matmul() -> None:
    rng = np.random.default_rng(2)
    for spec in (bposit8, bposit16, bposit32):
        a, b = mixed(spec, (20, 40), rng), mixed(spec, (40, 9), rng)
        a[a == spec.nar] = 0
        b[3, 4] = spec.nar
        want = quire.matmul(a, b, spec)
        for flow in ("os", "ws"):
            found = SystolicArray(4, 4, flow, Mac(spec)).run(a, b)  # type: ignore[arg-type]
            np.testing.assert_array_equal(found.bits, want)
            np.testing.assert_array_equal(found.nar, want == spec.nar)


def test_spilling_to_the_format_loses_bits() -> None:
    big = encode([[2.0**30, 1.0, -(2.0**30)]], bposit16)
    one = np.full((3, 1), bposit16.one, np.int16)
    for spill, value in (("exact", 1), ("format", 0)):
        array = SystolicArray(1, 1, "ws", Mac(bposit16), spill=spill)  # type: ignore[arg-type]
        assert decode(int(array.matmul(big, one)[0, 0]), bposit16) == value


def test_flags_of_every_tile_are_kept() -> None:
    a, b = encode([[1.0, 3.0, 0.0, 0.0]], bposit16), encode([[1.0], [1.0], [0.0], [0.0]], bposit16)
    array = SystolicArray(2, 1, "ws", Mac(bposit16, accumulator=Window(-4, 2)), spill="format")
    assert array.run(a, b).overflow.all()


def test_batches() -> None:
    rng = np.random.default_rng(4)
    a, b = mixed(bposit16, (2, 1, 3, 5), rng), mixed(bposit16, (4, 5, 2), rng)
    array = SystolicArray(2, 2, "ws", Mac(bposit16, accumulator=Aligned(12)), spill="format")
    found = array.matmul(a, b)
    assert found.shape == (2, 4, 3, 2)
    for i, j in product(range(2), range(4)):
        np.testing.assert_array_equal(found[i, j], array.matmul(a[i, 0], b[j]))


@pytest.mark.parametrize(("make", "said"), [
    (lambda: SystolicArray(0, 4), "rows = 0"), (lambda: SystolicArray(4, 4, latency=-1), "latency"),
    (lambda: SystolicArray(4, 4, "is"), "'os' and 'ws'"),  # type: ignore[arg-type]
    (lambda: SystolicArray(4, 4, spill="disk"), "'exact' and 'format'"),  # type: ignore[arg-type]
    (lambda: SystolicArray(4, 4).plan(1, -1, 1), "not negative"),
    (lambda: SystolicArray(4, 4).matmul(np.zeros((1, 1), np.int16), np.zeros((1, 1), np.int16),
                                        "bposit32"), "Mac\\('bposit32'"),
    (lambda: SystolicArray(4, 4).run([1], [1]), "matmul of shapes"),
])  # fmt: skip
def test_bad_arrays_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(("make", "said"), [
    (lambda: SystolicArray(1.5, 2), "rows=1.5 is no integer"),  # type: ignore[arg-type]
    (lambda: SystolicArray(2, True), "cols=True"),
    (lambda: SystolicArray(2, 2, latency=0.5), "latency=0.5"),  # type: ignore[arg-type]
    (lambda: SystolicArray(2, 2, mac=Aligned(8)), r"Mac\(format"),  # type: ignore[arg-type]
])  # fmt: skip
def test_arrays_of_something_else_are_refused(make: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        make()
