"""posit.dot and posit.einsum: NumPy's shapes, every element exact and rounded once.

They are judged by NumPy's own on arrays of fractions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import posit
from posit import NaR, Posit, PositSpec, bposit8, bposit16, bposit32, reference, standard

from .dtype_arrays import fractions, layouts, made, random

Array = npt.NDArray[Any]


def exact_array(a: Array) -> npt.NDArray[np.object_]:
    """Fractions in the shape of the array; an array without NaR."""
    found = np.empty(a.size, object)
    found[:] = fractions(a)
    return found.reshape(a.shape)


def rounded(exact: Any, spec: PositSpec) -> list[int]:
    return [reference.encode(Fraction(x), spec) for x in np.asarray(exact, object).reshape(-1)]


EINSUMS: list[tuple[str, list[tuple[int, ...]]]] = [
    ("i,i", [(6,), (6,)]), ("i,i->i", [(6,), (6,)]), ("i,j->ij", [(3,), (4,)]),
    ("i,j->ji", [(3,), (4,)]), ("i,j->", [(3,), (4,)]), ("ij,jk", [(3, 4), (4, 2)]),
    ("ij,jk->ki", [(3, 4), (4, 2)]), ("ij,kj->ik", [(3, 4), (2, 4)]),
    ("ij,ij->", [(3, 4), (3, 4)]), ("ij,ij->j", [(3, 4), (3, 4)]), ("ij,ji->i", [(3, 4), (4, 3)]),
    ("bij,bjk->bik", [(2, 3, 4), (2, 4, 2)]), ("bij,jkb->kib", [(2, 3, 4), (4, 2, 2)]),
    ("ij,k->i", [(3, 4), (2,)]), ("ijk,k", [(2, 3, 4), (4,)]), ("ba,ac", [(2, 3), (3, 2)]),
    ("i,->i", [(3,), ()]), (",", [(), ()]), (" i j , j k -> i k ", [(3, 4), (4, 2)]),
    ("Ij,jI->I", [(3, 2), (2, 3)]), ("ij->", [(3, 4)]), ("ij->ji", [(3, 4)]), ("ji", [(3, 4)]),
    ("ijk->j", [(2, 3, 4)]), ("ijk->ki", [(2, 3, 4)]), ("i", [(3,)]), ("", [()]),
    ("i,i->", [(0,), (0,)]), ("ij,jk->ik", [(2, 0), (0, 3)]), ("ij->i", [(2, 0)]),
    # one letter twice: traces and diagonals
    ("ii", [(3, 3)]), ("ii->i", [(3, 3)]), ("iii->i", [(2, 2, 2)]), ("iji->j", [(3, 2, 3)]),
    ("ijij->ji", [(2, 3, 2, 3)]), ("jiji", [(2, 3, 2, 3)]), ("ii->", [(0, 0)]),
    ("ij,jj->i", [(2, 3), (3, 3)]),
    ("ii,ii->i", [(3, 3), (3, 3)]), ("iij,jk->ik", [(2, 2, 3), (3, 4)]),
    ("ii,jj->ij", [(2, 2), (3, 3)]),
    # ellipses, which broadcast from the last axis on
    ("...", [(2, 3)]), ("...->...", [()]), ("...i->i...", [(2, 3, 4)]), ("i...->...", [(3, 2)]),
    ("...ii->...", [(2, 4, 3, 3)]), ("...ii->...i", [(2, 3, 3)]), ("i...i->...", [(3, 2, 3)]),
    ("i...j->ji...", [(2, 3, 4)]),
    ("...ij,...jk->...ik", [(5, 2, 3), (5, 3, 2)]), ("...ij,...jk", [(2, 1, 2, 3), (3, 3, 2)]),
    ("...i,...i->...", [(2, 3), (3,)]), ("...i,i", [(2, 3), (3,)]),
    ("i...,...->i...", [(2, 1), (3,)]), ("...,...", [(2, 1), (3,)]),
    ("...,...->...", [(4, 2), ()]), ("b...,b...->b...", [(2, 3), (2, 4, 3)]), ("...i->i", [(3,)]),
    ("i,...i->i...", [(1,), (2, 3)]),
    ("i,j->i...j", [(2,), (3,)]), ("...a,...a", [(1, 2), (0, 2)]),
    # an axis of length one fits any other
    ("i,i", [(1,), (4,)]), ("ij,jk->ik", [(2, 3), (1, 4)]), ("ij,ij->ij", [(2, 1), (1, 3)]),
    ("i,i->", [(1,), (0,)]),
]  # fmt: skip


@pytest.mark.parametrize(("subscripts", "shapes"), EINSUMS, ids=lambda x: str(x).replace(" ", ""))
@pytest.mark.parametrize("spec", [bposit16, bposit8, PositSpec(34, 6, 5), standard(64)], ids=str)
def test_einsum(spec: PositSpec, subscripts: str, shapes: list[tuple[int, ...]]) -> None:
    for seed in range(3):
        arrays = [random(spec, shape, seed + i, nar=False) for i, shape in enumerate(shapes)]
        want = np.asarray(np.einsum(subscripts, *map(exact_array, arrays)))
        for kinds in zip(*map(layouts, arrays), strict=True):
            got = posit.einsum(subscripts, *(x for _, x in kinds))
            assert isinstance(got, np.ndarray if want.ndim else Posit)
            assert np.shape(got) == want.shape, kinds[0][0]
            assert posit.bits(np.asarray(got)).reshape(-1).tolist() == rounded(want, spec)
    if len(arrays) == 2 and arrays[0].size and arrays[1].size:
        arrays[0][(0,) * arrays[0].ndim] = NaR
        assert np.isnan(posit.einsum(subscripts, *arrays)).any()


SHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 2)), ((3, 4), (4, 2)), ((2, 3, 4), (4, 5)),
    ((4,), (2, 4, 3)), ((3, 4), (2, 4, 3)), ((2, 3, 4), (2, 4, 3)), ((), (2, 3)), ((2, 3), ()),
    ((), ()), ((0,), (0,)), ((3, 0), (0, 2)), ((4, 0), (2, 0, 3)), ((0, 2), (3, 2, 1)),
    ((4, 2), (3, 2, 0)), ((2, 2), (0, 2, 3)), ((2, 3, 4), (4,)),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right"), SHAPES, ids=str)
@pytest.mark.parametrize("spec", [bposit16, PositSpec(13, 6, 5), standard(64)], ids=str)
def test_dot(spec: PositSpec, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = random(spec, left, 1, nar=False), random(spec, right, 2, nar=False)
    want = np.asarray(np.dot(exact_array(a), exact_array(b)))
    for (what, x), (_, y) in zip(layouts(a), layouts(b), strict=True):
        got = posit.dot(x, y)
        assert isinstance(got, np.ndarray if want.ndim else Posit)
        assert np.shape(got) == want.shape, what
        assert posit.bits(np.asarray(got)).reshape(-1).tolist() == rounded(want, spec), what


def test_products_that_fuse_nothing_are_seen() -> None:
    """Rounding each product first, as a loop over NumPy's + and * does, gives other bits."""
    a, b = random(bposit16, (9, 60), 1, nar=False), random(bposit16, (9, 60), 2, nar=False)
    fused = posit.einsum("ij,ij->i", a, b)
    assert not np.array_equal(fused, posit.sum(a * b, 1))
    assert posit.bits(fused).tolist() == rounded((exact_array(a) * exact_array(b)).sum(1), bposit16)


def test_formats_of_one_family_widen() -> None:
    a, b = made([1.5, 2]), made([0.1, 3], bposit32)
    want = rounded((exact_array(a) * exact_array(b)).sum(), bposit32)
    for found in (posit.dot(a, b), posit.dot(b, a), posit.einsum("i,i", a, b)):
        assert (found.spec, [found.bits]) == (bposit32, want)
    for use in (posit.dot, lambda x, y: posit.einsum("i,i", x, y)):
        with pytest.raises(TypeError, match=r"cannot mix posits of <16,6,5> and <8,3,2>"):
            use(a, made([1, 2], bposit8))
        with pytest.raises(TypeError, match="expected an array of a posit dtype, got float64"):
            use(a, np.ones(2))


NUMBERS: list[Array] = [
    np.array([3, -4, 2**40 + 1, 7]), np.array([True, False, True, True]),
    np.arange(4, dtype=np.uint8), np.array([2**64 - 1, 0, 1, 2**63], np.uint64),
    np.array([1, -2, 3, 4], ">i4"),
]  # fmt: skip


@pytest.mark.parametrize("n", NUMBERS, ids=lambda n: n.dtype.str)
@pytest.mark.parametrize("spec", [bposit8, bposit16, standard(64)], ids=str)
def test_integers_and_booleans_are_rounded_first(spec: PositSpec, n: Array) -> None:
    a = random(spec, (3, 4), 3, nar=False)
    values = [reference.decode(reference.encode(int(x), spec), spec) for x in n.tolist()]
    exact, numbers = exact_array(a), np.array(values, object)
    want = rounded(exact @ numbers, spec)
    for got in (
        posit.dot(a, n), posit.dot(n, a.T), posit.einsum("ij,j->i", a, n), a @ n,
        posit.einsum("j,ij", n, a), posit.dot(a, n.tolist()) if n.dtype.kind != "u" else a @ n,
    ):  # fmt: skip
        assert got.dtype == a.dtype
        assert posit.bits(got).tolist() == want
    product = posit.dot(a, n[2]), posit.dot(n[2], a), posit.einsum(",ij", n[2], a)
    for got in product:
        assert posit.bits(got).reshape(-1).tolist() == rounded(exact * numbers[2], spec)


def test_what_is_no_posit() -> None:
    a = made([1, 2])
    uses: list[Callable[[Any, Any], Any]] = [posit.dot, lambda x, y: posit.einsum("i,i", x, y)]
    for use in uses:
        for wrong in (np.ones(2), [1.5, 2], ["1", "2"], a.astype(object), np.ones(2, complex)):
            for x, y in ((a, wrong), (wrong, a)):
                with pytest.raises(
                    TypeError, match=r"expected an array of a posit dtype, got .*; x"
                ):
                    use(x, y)
        with pytest.raises(TypeError, match="expected an array of a posit dtype, got int64"):
            use([1, 2], [3, 4])
        for masked in (np.ma.masked_array(a, [True, False]), np.ma.masked_array([1, 2])):
            with pytest.raises(TypeError, match="masks are not understood"):
                use(a, masked)
    with pytest.raises(TypeError, match="operand 0: expected an array of a posit dtype, got int64"):
        posit.einsum("i", [1, 2])
    with pytest.raises(TypeError, match=r"the subscripts come first, as text .*, got ndarray"):
        posit.einsum(a, [0], a, [0])  # type: ignore[arg-type]


def test_nothing_summed_is_a_view() -> None:
    a = random(bposit16, (3, 3, 2), 1)
    for subscripts in ("ijk->kji", "iij->ji", "...", "i...->...i"):
        assert np.shares_memory(posit.einsum(subscripts, a), a)


@pytest.mark.parametrize("function", [posit.dot, posit.einsum])
def test_docstrings_have_every_part(function: Callable[..., Any]) -> None:
    text = function.__doc__ or ""
    for part in ("Parameters", "Returns", "Raises"):
        assert re.search(rf"{part}\n +-+\n", text)
    assert "Source: " in text


@pytest.mark.parametrize(
    ("subscripts", "count", "text"),
    [
        ("ij,jk,kl->il", 3, "a quire holds products of two posits; multiply pairs first"),
        ("", 0, "einsum of 0 operands"), ("ii->i", 1, "'i' is 2 and 3 in one operand"),
        ("i", 1, "'i' does not name the 2 axes"), ("...i->i", 1, r"'i' leaves out '...', whose"),
        ("ijk", 1, "does not name the 2 axes"), ("...ijk", 1, "does not name the 2 axes"),
        ("ij", 2, r"does not fit 2 operand\(s\): it names 1"), ("ij,ij", 1, "it names 2"),
        ("ij->ijk", 1, "repeats a letter or names a new one"), ("ij->ii", 1, "repeats a letter"),
        ("...->......", 1, "at most one '...'"), ("......", 1, "at most one '...'"),
        ("i..j", 1, "not consist of letters"), ("1j", 1, "not consist of letters"),
        ("ij->->j", 1, "not consist of letters"), ("éj", 1, "not consist of letters"),
        ("ij,jk", 2, "'j' is 3 in one operand and 2 in the other"),
        ("i...,...j", 2, r"axis -1 of '...' is 3 in one operand and 2 in the other"),
        ("...,...->", 2, "leaves out '...'"),
    ],
)  # fmt: skip
def test_subscripts_that_mean_nothing(subscripts: str, count: int, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        posit.einsum(subscripts, *[np.zeros((2, 3), posit.dtype(bposit16))] * count)
