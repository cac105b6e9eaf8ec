"""The error bounds hold, sums come near them, and weaker ones would give wrong bits."""

from __future__ import annotations

from fractions import Fraction
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import posit
import quire
from posit import PositSpec, bposit8, bposit16, bposit32, standard
from quire import certified
from quire._core import core_spec, lib, pointer

from .cases import KINDS, matrices, whole
from .near import NEAR, exact_sum, near_bound, tie_by_preload
from .routes import force

Bits = npt.NDArray[np.signedinteger[Any]]

SPECS = [
    bposit8, PositSpec(13, 6, 5), bposit16, PositSpec(20, 6, 5), bposit32, standard(16),
    standard(32), PositSpec(60, 6, 5), PositSpec(55, 10, 5), PositSpec(55, 15, 5),
]  # fmt: skip

every = pytest.mark.parametrize("spec", SPECS, ids=str)
near = pytest.mark.parametrize("spec", NEAR, ids=str)


class Bounds(certified.Product):
    """Its estimates and bounds, instead of what they decide."""

    def __init__(self, a: Bits, b: Bits, spec: PositSpec) -> None:
        out = np.empty((a.shape[0], b.shape[1]), spec.storage)
        super().__init__(a, b, spec, None, out, 1)

    def _round(self, row: Any, col: Any, magnitude: Any) -> Any:
        return row[:, np.newaxis] * (col if magnitude is None else magnitude)

    def worst(self, exact: Any) -> float:
        """The largest share of its bound that an error makes up."""
        share = 0.0
        for bound in (self.by_norms(), self.by_magnitudes()):
            for x, e, want in zip(self.estimate.flat, bound.flat, exact.flat, strict=True):
                error = abs(Fraction(x) - want)
                # what is compared are the rounded ends
                assert Fraction(x - e) <= want <= Fraction(x + e), (x, e, float(error))
                share = max(share, float(error / Fraction(e)) if e else 0.0)
        return share


def exact_products(a: Bits, b: Bits, spec: PositSpec) -> Any:
    (x, low, _), (y, at, _) = whole(a, spec), whole(b, spec)
    made = np.empty((a.shape[0], b.shape[1]), object)
    made.reshape(-1)[:] = [Fraction(v, 1 << (low + at)) for v in (x @ y).flat]
    return made


@every
def test_the_bounds_hold(spec: PositSpec) -> None:
    for kind in (*KINDS, "ties"):
        for k in (3, 41, 300):
            a, b = matrices(kind, spec, k, np.random.default_rng([k, spec.n]))
            Bounds(a, b, spec).worst(exact_products(a, b, spec))


@near
@pytest.mark.parametrize("k", [9, 60, 250])
def test_errors_come_near_the_bounds(k: int, spec: PositSpec) -> None:
    """So near as the order allows in which the BLAS adds; none can reach it."""
    a, b, _ = near_bound(spec, k)
    x, y = np.tile(a, (9, 1)), np.tile(b[:, np.newaxis], 8)
    exact = np.full((9, 8), exact_sum(a, b, spec), object)
    assert 0.03 < Bounds(x, y, spec).worst(exact) < 1


@near
@pytest.mark.parametrize("k", [9, 60, 250])
@pytest.mark.parametrize("route", ["as it comes", "magnitudes", "slices", "quire"])
def test_sums_near_the_bounds(
    route: str, k: int, spec: PositSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(monkeypatch, route)
    a, b, want = near_bound(spec, k)
    x, y = np.tile(a, (9, 1)), np.tile(b[:, np.newaxis], 8)
    assert (quire.matmul(x, y, spec) == want).all()
    assert (quire.matmul(-x, y, spec) == -want).all()


@near
@pytest.mark.parametrize("k", [9, 60, 250])
@pytest.mark.parametrize("route", ["as it comes", "magnitudes"])
@pytest.mark.parametrize("weaker", ["a thousandth", "half of what is needed"])
def test_a_weaker_bound_gives_wrong_bits(
    weaker: str, route: str, k: int, spec: PositSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: this mutant decides what it must not."""
    a, b, want = near_bound(spec, k)
    x, y = np.tile(a, (9, 1)), np.tile(b[:, np.newaxis], 8)
    exact = np.full((9, 8), exact_sum(a, b, spec), object)
    by = 1e-3 if weaker == "a thousandth" else Bounds(x, y, spec).worst(exact) / 2
    force(monkeypatch, route)
    right = certified.bound_factor
    monkeypatch.setattr(certified, "bound_factor", lambda inner: right(inner) * by)
    stats: dict[str, int] = {}
    got = quire.matmul(x, y, spec, stats=stats)
    assert (got == want - 1).any()
    assert stats["norms"] + stats.get("magnitudes", 0) > 0


@pytest.mark.parametrize("spec", NEAR[1:], ids=str)
@pytest.mark.parametrize("route", ["as it comes", "magnitudes", "slices", "quire", "tiny"])
def test_a_preload_is_rounded_with_the_sum(
    route: str, spec: PositSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 + half a last place + what float64 loses when it adds the preload."""
    force(monkeypatch, route)
    a, b, add, want = tie_by_preload(spec)
    x, y = np.tile(a, (9, 1)), np.tile(b[:, np.newaxis], 8)
    assert (quire.matmul(x, y, spec, add=add) == want).all()
    assert (quire.matmul(-x, y, spec, add=-add) == -want).all()
    x[:, 1] *= -1  # and as much below
    assert (quire.matmul(x, y, spec, add=add) == add).all()


# ---- dot


def interval(a: Bits, b: Bits, spec: PositSpec) -> Any:
    return lib.bp_dot_enclosed(
        core_spec(spec), a.size, pointer(a), *a.strides, pointer(b), *b.strides
    )


@every
def test_intervals_of_dots_hold(spec: PositSpec) -> None:
    for make in KINDS.values():
        for k in (0, 1, 15, 16, 17, 511, 513, 1100):
            a, b = make(spec, k, np.random.default_rng([k, spec.n]))
            for x, y in ((a, b), (a[::-1], b[::-1]), (a, np.broadcast_to(b[:1], a.shape))):
                if x.size and y.size:
                    found, exact = interval(x, y, spec), exact_sum(x, y, spec)
                    ends = found.middle - found.error, found.middle + found.error
                    assert Fraction(ends[0]) <= exact <= Fraction(ends[1])


@near
def test_dots_near_their_bound(spec: PositSpec) -> None:
    """Sixteen chains, each as deep as a block."""
    a, b, want = near_bound(spec, 512, 16)
    found = interval(a, b, spec)
    assert abs(Fraction(found.middle) - exact_sum(a, b, spec)) > Fraction(found.error) / 4
    assert quire.dot(np.stack([a, -a, a]), b, spec).tolist() == [want, -want, want]


@near
def test_sums_of_blocks_lose_nothing(spec: PositSpec) -> None:
    """One term in each block: added in plain float64 they would lose more than the bound allows."""
    a, b, want = near_bound(spec, 250)
    x, y = np.zeros((2, 512 * 250), spec.storage)
    x[::512], y[::512] = a, b
    assert quire.dot(np.stack([x, -x]), y, spec).tolist() == [want, -want]
    found = interval(x, y, spec)
    assert abs(Fraction(found.middle) - exact_sum(x, y, spec)) < Fraction(found.error) / 50


def test_long_dots_are_enclosed_in_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of intervals decide, or else merged quires; a tie's far ends are in two stretches."""
    dots: Any = import_module("quire.dot")  # whose name in quire is the function's
    monkeypatch.setattr(dots, "_CHUNK", 16)
    for spec in NEAR:
        a, b, want = near_bound(spec, 512, 16)
        for order in (np.arange(512), np.random.default_rng(0).permutation(512)):
            for threads in (2, 3, 7):
                assert quire.dot(a[order], b[order], spec, threads=threads) == want
                assert quire.dot(-a[order], b[order], spec, threads=threads) == -want
        a[77] = spec.nar
        assert quire.dot(a, b, spec, threads=4) == spec.nar


def test_the_bound_of_many_terms() -> None:
    """γ with its denominator, and eight roundings more, for every length that a quire holds."""
    u = Fraction(1, 2**53)
    for inner in (1, 2, 1024, 10**6, (1 << 31) - 1):
        gamma = inner * u / (1 - inner * u)
        assert Fraction(certified.bound_factor(inner)) * (1 - gamma - 4 * u) >= gamma + 4 * u


# ---- sums that do not round
def by_grids(a: Bits, b: Bits, spec: PositSpec) -> tuple[Any, Any]:
    """Which elements of the product count as exact sums, and whether their estimates are exact."""
    out = np.zeros((a.shape[0], b.shape[1]), spec.storage)
    product = certified.Product(a, b, spec, None, out, 1)
    left = product.by_grids(np.arange(out.size))
    chosen = np.setdiff1d(np.arange(out.size), left)
    pairs = zip(product.estimate.flat, exact_products(a, b, spec).flat, strict=True)
    return chosen, np.array([Fraction(x) == want for x, want in pairs])


@every
def test_sums_that_count_as_exact_are(spec: PositSpec) -> None:
    for kind in (*KINDS, "ties"):
        for k in (3, 41, 300):
            a, b = matrices(kind, spec, k, np.random.default_rng([k, spec.n, 1]))
            chosen, exact = by_grids(a, b, spec)
            assert exact[chosen].all()


@pytest.mark.parametrize("orders", ["CC", "CF", "FC", "FF"])
def test_the_rule_is_sharp(orders: str) -> None:
    """2^52·ones + 1 is one sum below 2^53 and the next at it: the last bit decides."""
    spec = PositSpec(64, 6, 5)
    spec = spec if spec.f_max <= 52 else PositSpec(58, 6, 5)
    for high, count in ((26, 1), (27, 0)):
        x = np.array([[2.0**high, 1.0], [2.0**high, 0.0]])
        a = np.asarray(posit.encode(x, spec), order=orders[0])
        b = np.asarray(posit.encode(x.T, spec), order=orders[1])
        chosen, exact = by_grids(a, b, spec)
        assert exact[chosen].all()
        # 2^(2·high) + 1: norms² against 2^53 times the grid, which is 1 for the first row
        assert (0 in chosen) == bool(count)
        assert 3 in chosen  # one product


def test_a_rule_that_forgets_a_bit_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the check: with 2^p a little too large, sums count as exact that are not."""
    spec = PositSpec(32, 6, 5)
    grids = certified.grids
    monkeypatch.setattr(certified, "grids", lambda x, axis: grids(x, axis) * 2.0**8)
    rng = np.random.default_rng(0)
    a, b = (posit.encode(rng.standard_normal(s), spec) for s in ((20, 9), (9, 20)))
    assert not all(exact[chosen].all() for chosen, exact in [by_grids(a, b, spec)])


@every
def test_grids(spec: PositSpec) -> None:
    """Against the definition: the largest power of two that divides every element."""
    a = matrices(next(iter(KINDS)), spec, 9, np.random.default_rng(spec.n))[0]
    x = np.asarray(posit.decode(np.where(a == spec.nar, 0, a).astype(a.dtype), spec))
    for axis in (0, 1):
        for y in (x, x * 0, x[:0], x[:, :0]):
            lines = y if axis == 0 else y.T
            want = [min([low_bit(v) for v in line if v] or [np.inf]) for line in lines]
            for order in "CF":
                assert certified.grids(np.array(y, order=order), axis).tolist() == want


def low_bit(v: float) -> float:
    n, d = abs(v).as_integer_ratio()
    return float(Fraction(n & -n, d))
