"""Order in arrays: NaR equals itself and is below everything, wherever it is and in any memory."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import posit
from posit import NaR, Posit, PositSpec, bposit16, bposit32

from ..oracle import all_patterns
from .dtype_arrays import SPECS, fractions, layouts, made, random

Array = npt.NDArray[Any]
specs = pytest.mark.parametrize("spec", SPECS, ids=str)
KINDS: list[Any] = ["quicksort", "heapsort", "mergesort", "stable"]


def rank(x: Fraction | None) -> tuple[bool, Fraction]:
    """What the Posit Standard orders by: NaR below all numbers."""
    return (False, Fraction(0)) if x is None else (True, x)


def ranks(a: Array) -> list[tuple[bool, Fraction]]:
    return [rank(x) for x in fractions(a)]


def repeating(spec: PositSpec, size: int, seed: int) -> Array:
    """Few different posits, NaR among them, so that there are ties."""
    rng = np.random.default_rng(seed)
    pool = random(spec, 6, seed)
    pool[0] = NaR
    return pool[rng.integers(6, size=size)]


def same(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and np.array_equal(posit.bits(a), posit.bits(b))


# ---- sorting
@pytest.mark.parametrize("kind", KINDS)
@specs
def test_sort(spec: PositSpec, kind: Any) -> None:
    for size in (0, 1, 2, 17, 300):
        a = random(spec, size, size)
        want = sorted(ranks(a))
        for what, x in layouts(a):
            assert ranks(np.sort(x, kind=kind)) == want, what
            if x.flags.writeable:
                x.sort(kind=kind)
                assert ranks(x) == want, what
            else:
                with pytest.raises(ValueError, match="read-only"):
                    x.sort(kind=kind)


@pytest.mark.parametrize("kind", KINDS)
@specs
def test_argsort(spec: PositSpec, kind: Any) -> None:
    for size in (0, 1, 17, 300):
        a = repeating(spec, size, size)
        want = sorted(range(size), key=ranks(a).__getitem__)  # stable
        for what, x in layouts(a):
            found = np.argsort(x, kind=kind)
            assert sorted(found) == list(range(size))
            assert ranks(a[found]) == sorted(ranks(a)), what
            if kind in ("stable", "mergesort"):
                assert found.tolist() == want, what


@pytest.mark.parametrize("axis", [0, 1, 2, -1, None])
def test_sorting_along_axes(axis: int | None) -> None:
    a = random(bposit16, (4, 5, 6), 1)
    p = posit.bits(a)
    for what, x in layouts(a):
        assert np.array_equal(posit.bits(np.sort(x, axis)), np.sort(p, axis)), what
        found = np.argsort(x, axis, kind="stable")
        assert np.array_equal(found, np.argsort(p, axis, kind="stable")), what


@specs
def test_lexsort(spec: PositSpec) -> None:
    first, second = repeating(spec, 60, 1), repeating(spec, 60, 2)
    keys = list(zip(ranks(first), ranks(second), strict=True))
    want = sorted(range(60), key=keys.__getitem__)
    for (what, x), (_, y) in zip(layouts(first), layouts(second), strict=True):
        assert np.lexsort((y, x)).tolist() == want, what


@specs
def test_partition(spec: PositSpec) -> None:
    a = repeating(spec, 40, 3)
    ordered = sorted(ranks(a))
    for what, x in layouts(a):
        for k in (0, 1, 20, 39, -1):
            at = np.argpartition(x, k)
            for found in (np.partition(x, k), x[at]):
                r, middle = ranks(found), ordered[k]
                assert r[k] == middle, what
                assert max(r[: k % 40], default=middle) <= middle <= min(r[k % 40 :])
                assert sorted(r) == ordered
    several = ranks(np.partition(a, [3, 30]))
    assert (several[3], several[30]) == (ordered[3], ordered[30])


@pytest.mark.parametrize("side", ["left", "right"])
@specs
def test_searchsorted(spec: PositSpec, side: Any) -> None:
    a = np.sort(repeating(spec, 30, 4))
    sought = np.concatenate([a[::5], random(spec, 20, 5), made([NaR, 0], spec)])
    r = ranks(a)
    want = [sum(x < s or (side == "right" and x == s) for x in r) for s in ranks(sought)]
    for what, x in layouts(a):
        assert np.searchsorted(x, sought, side).tolist() == want, what
        assert [int(x.searchsorted(s, side)) for s in sought] == want, what
    for what, v in layouts(sought):
        assert np.searchsorted(a, v, side).tolist() == want, what
    shuffled = np.random.default_rng(1).permutation(30)
    mixed = np.empty_like(a)
    mixed[shuffled] = a
    assert np.searchsorted(mixed, sought, side, sorter=shuffled).tolist() == want
    assert np.searchsorted(a, 0, side) == want[-1]


@specs
def test_unique(spec: PositSpec) -> None:
    a = repeating(spec, 50, 6)
    r = ranks(a)
    different = sorted(set(r))
    for what, x in layouts(a):
        values, index, inverse, counts = np.unique(
            x, return_index=True, return_inverse=True, return_counts=True
        )
        assert ranks(values) == ranks(np.unique(x)) == different, what
        assert index.tolist() == [r.index(v) for v in different]
        assert counts.tolist() == [r.count(v) for v in different]
        assert same(values[inverse], a)


def test_sets() -> None:
    a, b = repeating(bposit16, 40, 1), repeating(bposit16, 40, 2)
    b[:3] = a[:3]
    x, y = set(ranks(a)), set(ranks(b))
    for function, want in ((np.intersect1d, x & y), (np.union1d, x | y), (np.setdiff1d, x - y),
                           (np.setxor1d, x ^ y)):  # fmt: skip
        assert ranks(function(a, b)) == sorted(want)
    assert np.isin(a, b).tolist() == [v in y for v in ranks(a)]
    grid = np.stack([a[:20], b[:20]], axis=1)
    assert len(np.unique(grid, axis=0)) == len(set(zip(ranks(a[:20]), ranks(b[:20]), strict=True)))


# ---- comparisons
@pytest.mark.parametrize("spec", [PositSpec(3, 2, 0), PositSpec(5, 3, 1), PositSpec(6, 2, 3)],
                         ids=str)  # fmt: skip
def test_every_pair(spec: PositSpec) -> None:
    a = posit.view(all_patterns(spec), spec)
    r = ranks(a)
    for compare, test in (
        (np.less, lambda x, y: x < y), (np.less_equal, lambda x, y: x <= y),
        (np.equal, lambda x, y: x == y), (np.not_equal, lambda x, y: x != y),
        (np.greater, lambda x, y: x > y), (np.greater_equal, lambda x, y: x >= y),
    ):  # fmt: skip
        assert compare.outer(a, a).tolist() == [[test(x, y) for y in r] for x in r]


def test_nar_is_itself() -> None:
    a = made([NaR, 1, NaR])
    assert np.array_equal(a, a)
    assert (a == a.copy()).all()
    for found in (a == NaR, a == Posit(NaR, bposit16), np.isnan(a)):
        assert found.tolist() == [True, False, True]
    assert (a < -1e300).tolist() == [True, False, True]
    assert np.isin(a, made([NaR])).tolist() == [True, False, True]
    np.testing.assert_array_equal(a, a.copy())
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(a, a[::-1] * 0)


# ---- extremes
EXTREMES: dict[str, tuple[Callable[..., Any], bool, bool]] = {
    "max": (np.max, True, False), "min": (np.min, False, False),
    "fmax": (np.fmax.reduce, True, True), "fmin": (np.fmin.reduce, False, True),
}  # fmt: skip


def extreme(values: list[Fraction | None], largest: bool, skip: bool) -> Fraction | None:
    real = [x for x in values if x is not None]
    if not real or (len(real) < len(values) and not skip):
        return None
    return max(real) if largest else min(real)


@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_nar_in_every_place(size: int, name: str) -> None:
    function, largest, skip = EXTREMES[name]
    plain = np.random.default_rng(size).permutation(size) - size // 2
    for gone in [(), *((i,) for i in range(size)), tuple(range(size)), tuple(range(1, size))]:
        a = made(plain)
        a[list(gone)] = NaR
        want = extreme(fractions(a), largest, skip)
        for what, x in layouts(a):
            got = function(x)
            assert type(got) is Posit, what
            assert (None if got.is_nar else got.as_fraction()) == want, what


@pytest.mark.parametrize("name", EXTREMES)
@specs
def test_extremes_over_axes(spec: PositSpec, name: str) -> None:
    function, largest, skip = EXTREMES[name]
    a = random(spec, (6, 5, 50), 8)
    a[a == NaR] = 0
    a[1, 2, 49] = a[0, 0, 0] = a[5, :, 7] = NaR
    for axis in (0, 1, 2, (0, 2), None):
        lines = np.moveaxis(a, axis, range(-np.size(axis), 0)) if axis is not None else a  # type: ignore[arg-type]
        kept = () if axis is None else lines.shape[: 3 - np.size(axis)]
        want = [extreme(fractions(line), largest, skip)
                for line in lines.reshape(int(np.prod(kept)), -1)]  # fmt: skip
        for what, x in layouts(a):
            got = np.asarray(function(x, axis=axis))
            assert got.shape == kept, what
            assert fractions(got) == want, what


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@specs
def test_where_the_extreme_is(spec: PositSpec, name: str) -> None:
    """The first of equal ones; NaR, where there is one, as NumPy has it for NaN."""
    choose = max if name == "argmax" else min
    for seed in range(6):
        a = repeating(spec, 40, seed)
        if seed % 2:
            a[a == NaR] = a[a != NaR][0]
        found = fractions(a)
        at = (
            found.index(None)
            if None in found
            else found.index(choose(x for x in found if x is not None))
        )
        for what, x in layouts(a):
            assert getattr(np, name)(x) == at, what
            assert getattr(x, name)() == at, what
    grid = random(spec, (7, 9), 1)
    for axis in (0, 1):
        want = [getattr(np, name)(line.copy()) for line in np.moveaxis(grid, axis, -1)]
        for what, x in layouts(grid):
            assert getattr(x, name)(axis=axis).tolist() == want, what
    with pytest.raises(ValueError, match="empty"):
        getattr(a[:0], name)()


def test_nar_among_many() -> None:
    """At every place of a block of the loops, and beyond one."""
    plain = made(np.arange(-1000, 1100))
    for at in (0, 1, 7, 8, 511, 512, 513, 1023, 1024, 2047, 2048, 2099):
        a = plain.copy()
        a[at] = NaR
        assert a.max().is_nar
        assert a.min().is_nar
        assert a.argmax() == a.argmin() == at
        assert np.fmax.reduce(a) == Posit(1099 if at < 2099 else 1098, bposit16)
        assert np.fmin.reduce(a) == Posit(-1000 if at else -999, bposit16)
        assert np.sort(a)[0].is_nar


# ---- truth
@specs
def test_truth(spec: PositSpec) -> None:
    """Only zero is false; NaR is true, as NaN is."""
    a = random(spec, (5, 40), 3)
    a[:, ::3] = 0
    a[2] = 0
    a[2, 7] = NaR
    a[3] = 0
    plain = np.array([x != 0 for x in fractions(a)]).reshape(a.shape)
    for what, x in layouts(a):
        assert np.array_equal(np.nonzero(x), np.nonzero(plain)), what
        assert np.array_equal(np.flatnonzero(x), np.flatnonzero(plain)), what
        assert np.count_nonzero(x) == np.count_nonzero(plain), what
        for axis in (None, 0, 1):
            for function in (np.any, np.all, np.count_nonzero):
                assert np.array_equal(function(x, axis=axis), function(plain, axis=axis)), what
        assert np.array_equal(x.astype(bool), plain)
    assert [bool(x) for x in made([0, NaR, -1])] == [False, True, True]
    assert not made([0, 0]).any()
    assert made([NaR]).all()


def test_running_extremes() -> None:
    for order in permutations([NaR, 1, -2, 3]):
        a, r = made(order, bposit32), fractions(made(order, bposit32))
        for ufunc, largest, skip in ((np.maximum, True, False), (np.minimum, False, False),
                                     (np.fmax, True, True), (np.fmin, False, True)):  # fmt: skip
            want = [extreme(r[: i + 1], largest, skip) for i in range(4)]
            assert fractions(ufunc.accumulate(a)) == want


# ---- by blocks
@specs
def test_extremes_and_clip_of_long_arrays(spec: PositSpec) -> None:
    a = random(spec, 1300, 8, nar=False)
    p = posit.bits(a)
    low, high = sorted(random(spec, 2, 9, nar=False))
    with_nar = a.copy()
    with_nar[[700, 900]] = NaR
    for (what, x), (_, y) in zip(layouts(a), layouts(with_nar), strict=True):
        assert (x.argmax(), x.argmin()) == (p.argmax(), p.argmin()), what
        assert (y.argmax(), y.argmin()) == (700, 700), what
        clipped = posit.bits(np.clip(x, low, high))
        assert np.array_equal(clipped, np.clip(p, low.bits, high.bits)), what
        assert np.array_equal(x.astype(bool), p != 0)
        assert np.count_nonzero(x) == np.count_nonzero(p)
        assert np.isnan(np.clip(y, low, high)).nonzero()[0].tolist() == [700, 900]
        assert x.any()
        assert y.all() == (p != 0).all()
