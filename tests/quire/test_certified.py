"""The error bounds hold, sums come near them, and weaker ones would give wrong bits."""

from __future__ import annotations

from fractions import Fraction
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

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
