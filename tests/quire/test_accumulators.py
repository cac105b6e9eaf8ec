"""Accumulators: an array of sums that are, element by element, what single quires are."""

from __future__ import annotations

import copy
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import posit
import quire
from posit import PositSpec, bposit16, bposit32, bposit64, reference, standard
from quire import Accumulators, Quire, _window, gradient

from ..formats import mixed
from .cases import EXTREME, KINDS, SPECS, finite, whole
from .routes import force

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
    assert sums.is_nar.shape == sums.shape
    for index in np.ndindex(sums.shape):
        assert got[index] == singles[index].round()
        assert sums.is_nar[index] == singles[index].is_nar
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


@every
def test_the_digits_are_the_sums(spec: PositSpec) -> None:
    """Against integers: every kind of operand, one after the other, into one window."""
    for k in (1, 513):
        rng = np.random.default_rng([k, spec.n])
        sums, total, unit = Accumulators(k, spec), np.zeros(k, object), 2 * 4096 + 200
        for make in KINDS.values():
            for values in make(spec, k, rng):
                part = np.zeros(k, spec.storage)
                part[: values[:k].size] = values[:k]
                sums.add(part)
                numbers, low, _ = whole(part, spec)
                total = total + numbers * 2 ** (unit - low)
        want = [reference.encode(Fraction(v, 1 << unit), spec) for v in total]
        assert sums.round().tolist() == want
        assert Accumulators.from_bytes(sums.to_bytes(), k).round().tolist() == want
        low, high = sums.window
        digits = sum(d.astype(object) << 32 * i for i, d in enumerate(sums._digits))
        assert (digits * 2 ** (unit + low) == total).all()
        assert high - low == 32 * len(sums._digits)


@every
@pytest.mark.parametrize("route", ["slices", "quire"])
def test_sums_of_products(route: str, spec: PositSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to multiply, mixed with additions; lines for what is outside the slices."""
    force(monkeypatch, route)
    rng = np.random.default_rng(spec.n)
    sums, unit = Accumulators((5, 4), spec), 4 * 4096 + 400
    total = np.zeros((5, 4), object)
    for _ in range(3):
        a, b, c = (finite(spec, shape, rng) for shape in ((5, 30), (30, 4), (5, 4)))
        sums.add_products(a, b).add(c)
        (x, at), (y, to), (z, low) = (whole(t, spec)[:2] for t in (a, b, c))
        total = total + (x @ y) * 2 ** (unit - at - to) + z * 2 ** (unit - low)
    want = [reference.encode(Fraction(v, 1 << unit), spec) for v in total.flat]
    assert sums.round().reshape(-1).tolist() == want
    assert sums.copy().add_products(a * 0, b) == sums


@pytest.mark.parametrize("due", [4, 5, 9, 64])
@pytest.mark.parametrize("spec", [PositSpec(13, 6, 5), bposit32, bposit64], ids=str)
def test_carries_when_they_are_due(
    due: int, spec: PositSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Carrying often changes nothing."""
    rng = np.random.default_rng(due)
    terms = [finite(spec, (3, 3), rng) for _ in range(60)]

    def made() -> Accumulators:
        sums, other = Accumulators((3, 3), spec), Accumulators((3, 3), spec)
        for i, x in enumerate(terms):
            (sums if i % 3 else other).add(x)
            if i % 7 == 0:
                sums.add_products(x, terms[i - 1])
            if i % 11 == 0:
                sums.merge(other)
        return sums

    want = made()
    monkeypatch.setattr(_window, "_CARRY_DUE", due)
    got = made()
    assert got._added <= due + 3
    assert (got.round() == want.round()).all()
    assert got.to_bytes() == want.to_bytes()


@pytest.mark.parametrize("spec", [bposit16, bposit32, bposit64], ids=str)
@pytest.mark.parametrize("sign", [1, -1])
def test_digits_as_full_as_they_get(sign: int, spec: PositSpec) -> None:
    """After 2^30 - 2 additions of the largest term to a digit: two more, then a carry."""
    x = spec.storage.type(sign * spec.maxpos_pattern)
    sums = Accumulators(3, spec).add(x)
    count = (1 << 30) - 2
    sums._digits *= count
    sums._added = count
    value = reference.decode(int(x), spec)
    assert value is not None
    for more in range(1, 6):
        sums.add(x)
        assert sums._added <= _window._CARRY_DUE
        assert abs(sums._digits).max() < 1 << 62
        digits = sum(int(d[0]) << 32 * i for i, d in enumerate(sums._digits))
        assert digits * Fraction(2) ** sums.window[0] == (count + more) * value
        assert (sums.round() == reference.encode((count + more) * value, spec)).all()
    assert sums._added < 10


@pytest.mark.parametrize("spec", [bposit16, bposit64, standard(32)], ids=str)
def test_as_many_terms_as_are_promised(spec: PositSpec) -> None:
    """2^31 - 1 products of the largest size, by doubling; what does not fit is NaR, and kept."""
    top = np.full((1, 1), spec.maxpos_pattern, spec.storage)
    sums = Accumulators((1, 1), spec).add_products(top, top)
    for _ in range(30):
        sums.merge(sums.copy()).add_products(top, top)
    exact = Quire(spec).fma(spec.maxpos_pattern, spec.maxpos_pattern)
    for _ in range(30):
        exact.merge(exact.copy()).fma(spec.maxpos_pattern, spec.maxpos_pattern)
    assert exact.round() == spec.maxpos_pattern
    assert sums.round()[0, 0] == spec.maxpos_pattern
    before = sums.copy()
    for _ in range(40):
        sums.merge(sums)
    assert sums.round()[0, 0] == spec.nar
    assert Accumulators.from_bytes(sums.to_bytes(), (1, 1)).round()[0, 0] == spec.nar
    for _ in range(40):
        before.merge(before)
    assert sums == before


def test_a_window_without_end_is_refused() -> None:
    sums = Accumulators(2, bposit16).add(bposit16.maxpos_pattern)

    def double(times: int) -> None:
        for _ in range(times):
            sums.merge(sums)

    with pytest.raises(OverflowError, match="window"):
        double(600)
    assert (sums.round() == bposit16.nar).all()


@every
def test_overflow_of_one_leaves_the_others(spec: PositSpec) -> None:
    top = spec.maxpos_pattern
    row = np.array([[top], [spec.one]], spec.storage)
    sums = Accumulators((2, 1), spec).add_products(row, row[:1])
    for _ in range(40):
        copy = Accumulators((2, 1), spec).merge(sums)
        sums.merge(copy)
    # 2^40 · maxpos² does not fit. Nor may 2^40 · maxpos, where maxpos is small.
    q = Quire(spec).fma(spec.one, top)
    for _ in range(40):
        q.merge(q.copy())
    assert sums.round().tolist() == [[spec.nar], [q.round()]]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_do_not_matter(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor that each finds that the window must grow."""
    monkeypatch.setattr(gradient, "_PIECE", 64)
    rng = np.random.default_rng(0)
    sums, want = Accumulators((50, 40), bposit32), Accumulators((50, 40), bposit32)
    for width in (0, 3, 40):
        x = rng.standard_normal((50, 40)) * np.exp2(rng.uniform(-width, width, (50, 40)))
        bits = posit.encode(x, bposit32)
        sums.add(bits, threads=threads)
        want.add(bits)
        a, b = bits[:, :30], np.ascontiguousarray(bits[:30])
        sums.add_products(a, b, threads=threads)
        want.add_products(a, b)
    assert (sums.round(threads=threads) == want.round()).all()
    assert sums.to_bytes() == want.to_bytes()


def test_sizes_are_told() -> None:
    sums = Accumulators((3, 5), bposit16)
    assert sums.spec == bposit16
    assert sums.layout == quire.Layout.exact(bposit16)
    assert sums.window == (0, 0)
    assert sums.nbytes == 15
    sums.add(bposit16.one)
    assert sums.window == (-32, 32)
    assert sums.nbytes == 15 * (8 * 2 + 1)
    assert len(sums.to_bytes()) == 40 + 2 + 4 * 15
    for p in mixed(bposit16, 500, np.random.default_rng(0)):
        sums.add(int(p))
    assert sums.nbytes <= 15 * (8 * 26 + 1)
    assert str(sums.window[0]) in repr(sums)


def test_copies_are_independent() -> None:
    sums = Accumulators(3, bposit16).add([5, 6, 7])
    for made in (
        sums.copy(),
        copy.copy(sums),
        copy.deepcopy(sums),
        pickle.loads(pickle.dumps(sums)),
    ):
        assert made == sums
        assert made.add(1) != sums
    assert sums != Accumulators((3, 1), bposit16)
    assert sums != 3
    with pytest.raises(TypeError):
        hash(sums)


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
    ):  # fmt: skip
        with pytest.raises(error):
            sums.merge(other)  # type: ignore[arg-type]
    assert sums.to_bytes() == before


@pytest.mark.parametrize("shape", [-1, (2, -3)])
def test_bad_shapes(shape: Any) -> None:
    with pytest.raises(ValueError, match="negative"):
        Accumulators(shape, bposit64)
