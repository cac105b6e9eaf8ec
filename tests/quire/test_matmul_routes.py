"""Every route through matmul gives the bits of the exact sum rounded once, and is told."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import posit
import quire
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, standard
from quire import products
from quire.certified import can_certify

from .cases import KINDS, exact_product, finite, matrices
from .routes import FLOAT64, ROUTES, force

Bits = npt.NDArray[np.signedinteger[Any]]

SPECS = [
    bposit8, PositSpec(13, 6, 5), bposit16, PositSpec(20, 6, 5), bposit32, bposit64, standard(16),
    standard(32), PositSpec(28, 2, 8), PositSpec(55, 10, 5),
]  # fmt: skip
"""The last two reach 2^512, whose products leave float64, and fill 48 of its 53 bits."""

every = pytest.mark.parametrize("spec", SPECS, ids=str)


@cache
def case(kind: str, spec: PositSpec, k: int) -> tuple[Bits, Bits, Bits]:
    a, b = matrices(kind, spec, k, np.random.default_rng([k, spec.n, spec.rs, spec.es]))
    return a, b, exact_product(a, b, spec)


def test_which_formats_go_through_float64() -> None:
    assert [s for s in SPECS if not can_certify(s)] == [bposit64, PositSpec(28, 2, 8)]
    assert not can_certify(standard(64))
    for spec in (PositSpec(40, 30, 4), PositSpec(40, 15, 5)):  # 480 binary places each way
        assert can_certify(spec)
    assert not can_certify(PositSpec(40, 31, 4))  # 496


@every
@pytest.mark.parametrize("route", ROUTES)
def test_hard_sums(route: str, spec: PositSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, route)
    for kind in (*KINDS, "ties"):
        a, b, want = case(kind, spec, 41)
        stats: dict[str, int] = {}
        got = quire.matmul(a, b, spec, stats=stats)
        assert (got == want).all(), kind
        assert sum(stats.values()) == want.size, (kind, stats)


@every
@pytest.mark.parametrize("k", [15, 16, 17, 511, 512, 513, 1023, 1024, 1025])
def test_lengths_at_the_edges_of_blocks(
    k: int, spec: PositSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("cancelling", "maxima", "negative maxima"):
        a, b = matrices(kind, spec, k, np.random.default_rng([k, spec.n]))
        a, b = a[1:3], b[:, :2]
        want = exact_product(a, b, spec)
        for route in ("as it comes", "slices alone", "quires alone"):
            with monkeypatch.context() as patch:
                force(patch, route)
                assert (quire.matmul(a, b, spec) == want).all(), (kind, route)


@every
@pytest.mark.parametrize("route", ROUTES)
def test_one_nar(route: str, spec: PositSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, route)
    rng = np.random.default_rng(1)
    a, b = finite(spec, (5, 33), rng), finite(spec, (33, 4), rng)
    a[:, 7] = 0  # not even 0 rescues it
    b[7, 2] = spec.nar
    want = exact_product(a, b, spec)
    assert ((want == spec.nar) == [False, False, True, False]).all()
    assert (quire.matmul(a, b, spec) == want).all()
    assert (quire.matmul(b.T, a.T, spec) == want.T).all()
    add = np.zeros((5, 4), spec.storage)
    add[3, 0] = spec.nar
    assert (quire.matmul(a, b, spec, add=add) == exact_product(a, b, spec, add)).all()


@pytest.mark.parametrize("spec", [s for s in SPECS if can_certify(s) and s.n < 50], ids=str)
@pytest.mark.parametrize("route", FLOAT64[1:])
def test_the_route_is_told(route: str, spec: PositSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """All elements that are not zero by their rows go the forced way, or on from there."""
    force(monkeypatch, route)
    rng = np.random.default_rng(spec.n)
    whole = (lambda x: np.ceil(4 * x)) if route == "exact" else (lambda x: x)
    a, b = (posit.encode(whole(rng.uniform(1, 2, shape)), spec) for shape in ((9, 50), (50, 8)))
    stats: dict[str, int] = {"quire": 1000}
    got = quire.matmul(a, b, spec, stats=stats)
    assert (got == exact_product(a, b, spec)).all()
    assert stats.pop("norms") == 0
    stats["quire"] -= 1000
    assert sum(stats.values()) == 72
    assert stats[route] >= 71  # magnitudes may leave one to the quire


@pytest.mark.parametrize("spec", [bposit16, bposit32], ids=str)
def test_what_comes_naturally(spec: PositSpec) -> None:
    """Normal data need the norms alone, sums without terms magnitudes, cancellation slices.

    Short significands make sums of few bits, and so ties, which the norms leave.
    """
    rng = np.random.default_rng(0)
    x, y = posit.encode(rng.standard_normal((2, 64, 64)), spec)
    apart = np.arange(64) < 32  # where the left has values the right has none
    tiny = posit.encode(posit.decode(y, spec) * 1e-15, spec)
    empty = "exact" if spec == bposit16 else "magnitudes"  # bposit32 has too many bits
    ones, ties = np.full_like(x, spec.one), np.zeros_like(y)
    ties[0] = posit.encode(rng.uniform(1, 2, 64), spec)
    ties[1] = posit.encode(float(spec.epsilon) / 2, spec)
    for left, right, route in (
        ([x], [y], "norms"), ([x * apart], [y * ~apart[:, np.newaxis]], empty),
        ([x, -x, x], [y, y, tiny], "slices"), ([ones], [ties], "exact"),
    ):  # fmt: skip
        a, b = np.concatenate(left, axis=1), np.concatenate(right).astype(spec.storage)
        stats: dict[str, int] = {}
        got = quire.matmul(a.astype(spec.storage), b, spec, stats=stats)
        assert (got == exact_product(a, b, spec)).all()
        assert sum(stats.values()) == got.size
        assert stats[route] > got.size * 0.9, stats


def test_no_stats_for_other_layouts_nor_preloads() -> None:
    x = np.ones((20, 20), np.int16)
    stats: dict[str, int] = {}
    quire.matmul(x, x, bposit16, layout="paper800", stats=stats)
    assert not stats
    with pytest.raises(ValueError, match="exact layout"):
        quire.matmul(x, x, bposit16, layout="paper800", add=x)


@every
def test_gram_matrices(spec: PositSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """One operand is the other's transpose in the same memory, and need be read only once."""
    rng = np.random.default_rng(spec.n)
    for x in (finite(spec, (7, 40), rng), np.asfortranarray(finite(spec, (7, 40), rng))):
        want = exact_product(x, x.T, spec)
        for route in ROUTES:
            with monkeypatch.context() as patch:
                force(patch, route)
                assert (quire.matmul(x, x.T, spec) == want).all(), route


def test_the_plan_is_a_plan() -> None:
    """It covers the exponents that occur, and asks for slices where those are cheaper."""
    rng = np.random.default_rng(2)
    a, b = posit.encode(rng.uniform(1, 2, (2, 300, 300)), bposit16)
    made = products.plan(a, b, bposit16, 1)
    assert made.left
    assert made.right
    assert made.low == -16
    assert made.high >= 2 + 9
    assert made.left.bits * made.left.parts >= 9
    assert made.left.outside == 0
    a[5, 5] = 1  # far away: outside the slices, by itself, and perhaps outside the sample
    again = products.plan(a, b, bposit16, 1)
    assert again.low < -200
    assert again.left
    assert again.left.outside in (0, 3)
    _, outside = products._slices(a, again.left, bposit16, np.empty(again.left.parts * a.size))
    assert outside.tolist() == [5 * 300 + 5]
    assert products.plan(a[:10], b, bposit16, 1).left.outside == 1  # type: ignore[union-attr]
    wide = finite(bposit64, (3, 20), rng)
    assert products.plan(wide, wide.T, bposit64, 1).left is None
    assert products.plan(a * 0, b, bposit16, 1).nanoseconds == 0


@pytest.mark.parametrize("wider", [False, True])
@pytest.mark.parametrize("k", [1023, 1024])
def test_slices_as_wide_as_they_may_be(
    k: int, wider: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest digits throughout; with slices 3 bits wider float64 would round some sums."""
    force(monkeypatch, "slices alone")
    if wider:
        monkeypatch.setattr(products, "_SUM_BITS", products._SUM_BITS + 6)
    ones = bposit32.one | ((1 << bposit32.f_max) - 1)  # 2 - epsilon
    a = np.full((9, k), ones, np.int32)
    a[:, k // 2 :] += 1 - (1 << 14)  # and a little less
    b = np.full((k, 7), ones, np.int32)
    want = exact_product(a[:1], b[:, :1], bposit32, -posit.encode([[4.0 * k]], bposit32))
    add = -posit.encode(4.0 * k, bposit32)
    got = quire.matmul(a, b, bposit32, add=add)
    assert (got == want).all() != wider
