"""posit.sum, mean, var, std, median, dot and einsum: exact over any axes, and rounded once.

Statistics are judged by fractions and the rounding boundaries, einsum by NumPy's own on arrays of
fractions. The judges themselves are tried on functions that round twice.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import posit
from posit import NaR, Posit, PositSpec, bposit8, bposit16, bposit32, reference, standard
from posit._bounds import means, variances

from ..oracle import rounds_to, rounds_to_root
from .dtype_arrays import SPECS, fractions, layouts, made, random

Array = npt.NDArray[Any]
Line = list[Fraction]
specs = pytest.mark.parametrize("spec", SPECS, ids=str)


def median(line: Line) -> Fraction:
    ordered, n = sorted(line), len(line)
    return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2


def variance(line: Line, ddof: Fraction = Fraction(0)) -> Fraction:
    mean = sum(line) / Fraction(len(line))
    return sum((x - mean) ** 2 for x in line) / (len(line) - ddof)


RULES: dict[str, Callable[[Line], Fraction]] = {
    "sum": lambda line: sum(line, Fraction(0)), "median": median, "var": variance, "std": variance,
    "mean": lambda line: sum(line) / Fraction(len(line)),
}  # fmt: skip
NAMES = list(RULES)


def inputs(spec: PositSpec, shape: tuple[int, ...], seed: int) -> Array:
    """Not NaR: any patterns, numbers near one, or huge ones that cancel."""
    rng = np.random.default_rng(seed)
    if seed % 3 == 0:
        return random(spec, shape, seed, nar=False)
    if seed % 3 == 1:
        return (1 + rng.standard_normal(shape) / 4).astype(posit.dtype(spec))
    half = random(spec, (*shape[:-1], (shape[-1] + 1) // 2), seed, nar=False)
    both = np.concatenate([half, -half], axis=-1)[..., : shape[-1]]
    return rng.permuted(posit.bits(both), axis=-1).view(both.dtype)


def judge(name: str, function: Callable[[Array], Any], spec: PositSpec, seeds: int = 15) -> None:
    """One line at a time; AssertionError where a result is not the rounding of the exact one."""
    for seed in range(seeds):
        a = inputs(spec, (1 + seed * 3 % 11,), seed)
        line = [x for x in fractions(a) if x is not None]
        want, got = RULES[name](line), function(a)
        right = rounds_to_root if name == "std" else rounds_to
        assert isinstance(got, Posit)
        assert right(got.bits, want, spec), (name, a, got)


@pytest.mark.parametrize("name", NAMES)
@specs
def test_rounded_once(spec: PositSpec, name: str) -> None:
    judge(name, getattr(posit, name), spec)


TWICE: dict[str, list[Callable[[Array], Any]]] = {
    "sum": [lambda a: sum(a[1:], a[0]), lambda a: posit.sum(a[::2]) + posit.sum(a[1::2])],
    "mean": [np.mean, lambda a: posit.sum(a) / a.size],
    "median": [lambda a: np.sort(a)[(a.size - 1) // 2] / 2 + np.sort(a)[a.size // 2] / 2],
    "var": [np.var, lambda a: posit.mean((a - posit.mean(a)) ** 2),
            lambda a: posit.mean(a * a) - posit.mean(a) ** 2],
    "std": [np.std, lambda a: np.sqrt(posit.var(a))],
}  # fmt: skip


@pytest.mark.parametrize("spec", [bposit8, bposit16, bposit32], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_the_judge_sees_two_roundings(name: str, spec: PositSpec) -> None:
    for twice in TWICE[name]:
        with pytest.raises(AssertionError):
            judge(name, twice, spec, seeds=60)


# ---- axes, shapes, memory
AXES: list[Any] = [None, 0, 1, -1, (0, 2), (2, 0), (-1, -2), (0, 1, 2), [1], (), np.int64(1)]


@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_axes(name: str, axis: Any) -> None:
    function = getattr(posit, name)
    for spec in (bposit16, PositSpec(34, 6, 5)):
        a = random(spec, (3, 4, 5), 7, nar=False)
        a[0, 0, 0] = a[2, 1, 4] = NaR
        axes = (0, 1, 2) if axis is None else tuple(np.atleast_1d(axis).astype(int).tolist())
        last = tuple(range(3 - len(axes), 3))
        lines = np.moveaxis(a, axes, last)
        kept = lines.shape[: 3 - len(axes)]
        want = [function(line.copy()) for line in lines.reshape(int(np.prod(kept)), -1)]
        for what, x in layouts(a):
            got = np.asarray(function(x, axis))
            assert (got.shape, got.dtype) == (kept, a.dtype), what
            assert got.reshape(-1).tolist() == want, what
            kept_dims = np.asarray(function(x, axis, keepdims=True))
            ones = np.expand_dims(got, tuple(i % 3 for i in axes)) if axes else got
            assert kept_dims.shape == ones.shape
            assert np.array_equal(kept_dims, ones)


@pytest.mark.parametrize("name", NAMES)
def test_nar_anywhere_gives_nar(name: str) -> None:
    for size in (1, 2, 5):
        for at in range(size):
            a = made(np.arange(size))
            a[at] = NaR
            assert getattr(posit, name)(a).is_nar


@pytest.mark.parametrize("name", NAMES)
def test_of_nothing(name: str) -> None:
    function = getattr(posit, name)
    empty = np.zeros((0, 3), posit.dtype(bposit16))
    want = Posit(0 if name == "sum" else NaR, bposit16)
    assert function(empty) == function(empty[:, 0]) == want
    assert function(empty, 0).tolist() == [want] * 3
    assert function(empty, 1).shape == (0,)
    assert function(empty, 0, keepdims=True).shape == (1, 3)


def test_degrees_of_freedom() -> None:
    for seed in range(12):
        a = inputs(bposit16, (7,), seed)
        line = [x for x in fractions(a) if x is not None]
        for ddof in (0, 1, 6, -2, 0.5, np.int64(1)):
            want = variance(line, Fraction(float(ddof)))
            assert rounds_to(posit.var(a, ddof=ddof).bits, want, bposit16)
            assert rounds_to_root(posit.std(a, ddof=ddof).bits, want, bposit16)
    for ddof in (7, 8, 7.5):
        assert posit.var(a, ddof=ddof).is_nar
        assert posit.std(a, ddof=ddof).is_nar


@pytest.mark.parametrize("name", NAMES)
def test_arguments(name: str) -> None:
    function = getattr(posit, name)
    one = Posit(2.5, bposit16)
    for given in (one, np.asarray(one), [one], [[one]]):
        assert function(given) == (2.5 if name not in ("var", "std") else 0)
        assert type(function(given)) is Posit
    a = made([[1, 2], [3, 4]])
    for axis in (2, -3, (0, 5)):
        with pytest.raises(np.exceptions.AxisError):
            function(a, axis)
    with pytest.raises(ValueError, match="repeated axis"):
        function(a, (0, -2))
    for wrong in (np.ones(3), [1, 2], 3, "1", np.ones(2, int), a.astype(object)):
        with pytest.raises(TypeError, match="a: expected an array of a posit dtype, got"):
            function(wrong)


def test_a_sum_is_exact_whatever_the_order() -> None:
    rng = np.random.default_rng(1)
    a = random(standard(16), 4000, 1, nar=False)
    want = posit.sum(a)
    for _ in range(5):
        assert posit.sum(rng.permutation(posit.bits(a)).view(a.dtype)) == want
    assert posit.sum(np.concatenate([a, -a[::-1]])) == 0


# ---- products
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


@pytest.mark.parametrize(
    ("subscripts", "count", "text"),
    [
        ("ij,jk,kl->il", 3, "a quire holds products of two posits; multiply pairs first"),
        ("", 0, "einsum of 0 operands"), ("ii->i", 1, "does not name the 2 axes"),
        ("i", 1, "does not name the 2 axes"), ("...i->i", 1, "does not fit 1 operand"),
        ("ij", 2, "does not fit 2 operand"), ("ij->ijk", 1, "repeats a letter or names a new one"),
        ("ij->ii", 1, "repeats a letter"), ("1j", 1, "does not fit"), ("ij->->j", 1, "not fit"),
        ("ij,jk", 2, "'j' is 3 in one operand and 2 in the other"),
    ],
)  # fmt: skip
def test_subscripts_that_mean_nothing(subscripts: str, count: int, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        posit.einsum(subscripts, *[np.zeros((2, 3), posit.dtype(bposit16))] * count)


# ---- NumPy's own prod, which rounds after each factor
@specs
def test_prod_and_cumprod(spec: PositSpec) -> None:
    a = inputs(spec, (4, 6), 1)
    for nar in (False, True):
        a[2, 3] = NaR if nar else 1
        running = a.copy()
        for j in range(1, 6):
            for i in range(4):
                running[i, j] = running[i, j - 1] * a[i, j]
        for what, x in layouts(a):
            assert np.array_equal(np.cumprod(x, axis=1), running), what
            assert np.array_equal(np.prod(x, axis=1), running[:, -1]), what
            assert np.array_equal(np.prod(x.T, axis=0, keepdims=True), running[None, :, -1]), what
        assert np.prod(a[0], initial=2) == np.prod(np.concatenate([made([2], spec), a[0]]))
        assert np.prod(a).is_nar is nar
    assert np.prod(a[:0], axis=0).tolist() == [1] * 6
    assert np.cumprod(a[:0]).shape == (0,)


# ---- float64 decides where it can
@specs
def test_rows_in_float64_are_as_those_in_quires(
    spec: PositSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ties, equal elements, cancellation, NaR, and more rows than a block has."""
    rng = np.random.default_rng(4)
    uses: list[Callable[[Array], Any]] = [
        lambda a: posit.mean(a, 1), lambda a: posit.var(a, 1), lambda a: posit.median(a, 1),
        lambda a: posit.var(a, 1, ddof=1), lambda a: posit.std(a, 1, ddof=1.5),
    ]  # fmt: skip
    for n in (1, 2, 3, 4, 8, 33):
        near = rng.standard_normal((60, n)).astype(posit.dtype(spec))
        alike = np.repeat(rng.standard_normal((20, 1)).astype(near.dtype), n, axis=1)
        beside = posit.view(posit.bits(alike) ^ (np.arange(n) % 2).astype(spec.storage), spec)
        cancelling = np.concatenate([near, -near], axis=1)[:, ::2]
        for a in (near, alike, beside, cancelling, random(spec, (60, n), n), near * 0):
            fast = [posit.bits(use(a)) for use in uses]
            with monkeypatch.context() as patch:
                patch.setattr("posit.reductions.holds", lambda spec: False)
                exact = [posit.bits(use(a)) for use in uses]
            assert all(map(np.array_equal, fast, exact)), n


def test_many_short_rows() -> None:
    a = random(bposit16, (20_000, 2), 5)
    p = posit.bits(a)
    want = [
        bposit16.nar if bposit16.nar in pair else reference.encode(
            sum(reference.decode(x, bposit16) or 0 for x in pair) / Fraction(2), bposit16
        )
        for pair in p[::50].tolist()
    ]  # fmt: skip
    for found in (posit.mean(a, 1), posit.median(a, 1), posit.mean(a.T.copy(), 0)):
        assert posit.bits(found)[::50].tolist() == want


def test_bounds_hold() -> None:
    rng = np.random.default_rng(6)
    x = rng.standard_normal((200, 33)) * np.exp2(rng.integers(-30, 30, (200, 33)))
    lines = [[Fraction(float(v)) for v in row] for row in x]
    for found, rule in ((means(x, 52), RULES["mean"]), (variances(x, 1.5), None)):
        want = [rule(line) if rule else variance(line, Fraction(3, 2)) for line in lines]
        off = [abs(Fraction(float(v)) - w) for v, w in zip(found[0], want, strict=True)]
        bounds = [Fraction(float(e)) for e in found[1]]
        assert all(o <= e for o, e in zip(off, bounds, strict=True))
        assert max(off) > 0


def test_a_mean_just_above_a_tie() -> None:
    """float64 alone sees the tie, and rounds it down to the even pattern."""
    a = made([[1, 1 + 2**-8, 2**-100, 0]])
    assert a.astype(float).mean() == 0.5 + 2**-10
    assert posit.bits(posit.mean(a, 1)) == reference.encode(0.5, bposit16) + 1
    assert posit.bits(posit.mean(a[:, [0, 1, 3, 3]], 1)) == reference.encode(0.5, bposit16)
