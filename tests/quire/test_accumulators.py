"""Accumulators: an array of quires that is, element by element, what single quires are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import quire
from posit import PositSpec, bposit16, bposit32, bposit64
from quire import Accumulators, Quire

from ..formats import mixed
from .cases import EXTREME, SPECS

every = pytest.mark.parametrize("spec", SPECS + EXTREME, ids=str)


@every
@pytest.mark.parametrize("shape", [(), 0, 5, (2, 3), (4, 0), (2, 1, 3)], ids=str)
def test_add_and_round(spec: PositSpec, shape: Any) -> None:
    rng = np.random.default_rng(spec.n)
    sums = Accumulators(shape, spec)
    singles = {index: Quire(spec) for index in np.ndindex(sums.shape)}
    for _ in range(20):
        values = mixed(spec, sums.shape, rng)
        if rng.random() < 0.9:
            values = np.where(values == spec.nar, 0, values).astype(spec.storage)
        assert sums.add(values) is sums
        for index in np.ndindex(sums.shape):
            singles[index].add(values[index])
    got = sums.round()
    assert got.shape == sums.shape
    assert got.dtype == spec.storage
    assert sums.is_nar.shape == sums.inexact.shape == sums.shape
    for index in np.ndindex(sums.shape):
        assert got[index] == singles[index].round()
        assert sums.is_nar[index] == singles[index].is_nar
    assert not sums.inexact.any()
    assert not sums.clear().round().any()
    assert not sums.is_nar.any()


def test_add_broadcasts_and_takes_any_strides() -> None:
    rng = np.random.default_rng(0)
    big = mixed(bposit16, (8, 6), rng)
    for values in (big[::2, ::-2], big.T[:4, :3], big[0, :3], big[:4, :1], big[0, 0], 5):
        sums = Accumulators((4, 3), bposit16).add(values)
        assert (sums.round() == np.broadcast_to(values, (4, 3))).all()


@every
def test_products_in_any_split_and_order(spec: PositSpec) -> None:
    rng = np.random.default_rng(spec.n)
    a, b = mixed(spec, (3, 40), rng), mixed(spec, (40, 4), rng)
    a[a == spec.nar] = 1
    want = quire.matmul(a, b, spec)
    sums = Accumulators((3, 4), spec)
    for part in np.array_split(rng.permutation(40), 7):
        sums.add_products(a[:, part], b[part])
    assert (sums.round() == want).all()
    halves = [Accumulators((3, 4), spec).add_products(a[:, s], b[s])
              for s in (slice(None, 11), slice(11, None))]  # fmt: skip
    merged = Accumulators((3, 4), spec).merge(halves[1]).merge(halves[0])
    assert merged.to_bytes() == sums.to_bytes()
    assert (sums.is_nar == (want == spec.nar)).all()


@every
def test_what_cancels_between_calls_is_kept(spec: PositSpec) -> None:
    """Rounding between the calls would lose the small product."""
    top, tiny = np.array([[spec.maxpos_pattern]], spec.storage), np.array([[1]], spec.storage)
    sums = Accumulators((1, 1), spec)
    sums.add_products(top, top).add_products(tiny, tiny).add_products(-top, top)
    assert sums.round()[0, 0] == Quire(spec).fma(1, 1).round()


@pytest.mark.parametrize("n", [14, 16, 32, 64])
def test_dropped_bits_are_flagged(n: int) -> None:
    spec = PositSpec(n, 6, 5)
    a, b = np.array([[2, -1], [1 << (n - 2), 0]], spec.storage), np.array([[2], [3]], spec.storage)
    paper = Accumulators((2, 1), spec, "paper800").add_products(a, b)
    assert paper.round()[0, 0] == 0
    assert paper.inexact.tolist() == [[True], [False]]
    exact = Accumulators((2, 1), spec).add_products(a, b)
    assert exact.round()[0, 0] == 1
    assert not exact.inexact.any()
    assert Accumulators((2, 1), spec, "paper800").merge(paper).inexact.tolist() == [[True], [False]]
    assert not paper.clear().inexact.any()


@every
def test_overflow_of_one_leaves_the_others(spec: PositSpec) -> None:
    top = spec.maxpos_pattern
    row = np.array([[top], [spec.one]], spec.storage)
    sums = Accumulators((2, 1), spec).add_products(row, row[:1])
    for _ in range(40):
        copy = Accumulators((2, 1), spec).merge(sums)
        sums.merge(copy)
    # 2^40 · maxpos² does not fit. Nor may 2^40 · maxpos, where maxpos is small.
    assert sums.is_nar[0, 0]
    q = Quire(spec).fma(spec.one, top)
    for _ in range(40):
        q.merge(q.copy())
    assert sums.is_nar[1, 0] == q.is_nar
    assert sums.round()[1, 0] == q.round()


def test_sizes_are_told() -> None:
    sums = Accumulators((3, 5), bposit16)
    assert sums.spec == bposit16
    assert sums.layout == quire.Layout.exact(bposit16)
    assert sums.nbytes == 15 * (8 * sums.layout.limbs + 4)


def test_bad_input_changes_nothing() -> None:
    sums = Accumulators((2, 3), bposit16).add(0x1234)
    before = sums.to_bytes()
    x = np.ones((2, 3), np.int16)
    for values, error in (
        (x.T, ValueError), (np.ones(4, np.int16), ValueError), (x.astype(np.int32), TypeError),
        (x.astype(float), TypeError), ([[1, 2, 1 << 15]], ValueError),
    ):  # fmt: skip
        with pytest.raises(error):
            sums.add(values)
    for a, b, error in (
        (x, x, ValueError), (x.T, x, ValueError), (x[0], x, ValueError),
        (np.ones((2, 4), np.int32), np.ones((4, 3), np.int16), TypeError),
        (np.ones((2, 4), np.int16), np.ones((4, 3), np.float64), TypeError),
    ):  # fmt: skip
        with pytest.raises(error):
            sums.add_products(a, b)
    for other, error in (
        (Accumulators((3, 2), bposit16), ValueError), (Accumulators(6, bposit16), ValueError),
        (Accumulators((2, 3), bposit32), ValueError), (Quire(bposit16), TypeError),
        (Accumulators((2, 3), bposit16, "paper800"), ValueError),
    ):  # fmt: skip
        with pytest.raises(error):
            sums.merge(other)  # type: ignore[arg-type]
    assert sums.to_bytes() == before


@pytest.mark.parametrize("shape", [-1, (2, -3)])
def test_bad_shapes(shape: Any) -> None:
    with pytest.raises(ValueError, match="negative"):
        Accumulators(shape, bposit64)
