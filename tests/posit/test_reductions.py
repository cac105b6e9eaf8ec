"""posit.sum, mean, var, std and median: exact over any axes, and rounded once.

They are judged by fractions and the rounding boundaries. The judge itself is tried on functions
that round twice.
"""

from __future__ import annotations

import inspect
import re
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
    for function in (posit.var, posit.std):
        for left, ddof in ((7, 7), (7, 8), (7, 7.5), (0, -1), (1, 1)):
            assert function(a[:left], ddof=ddof).is_nar
        for ddof in (np.inf, -np.inf, np.nan):
            with pytest.raises(ValueError, match=f"ddof: expected a finite number, got {ddof}"):
                function(a, ddof=ddof)


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
    with pytest.raises(TypeError, match="masks are not understood"):
        function(np.ma.masked_array(a, [[True, False], [False, False]]))


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_name_every_parameter(name: str) -> None:
    function = getattr(posit, name)
    said = re.findall(r"^(\w+) : ", function.__doc__, re.MULTILINE)
    assert said == [
        word for word in ("a", "axis", "ddof", "keepdims", "where")
        if word in inspect.signature(function).parameters
    ]  # fmt: skip
    assert all(part in function.__doc__ for part in ("Returns", "Raises", "Source"))


# ---- where=
CHOOSING = ["sum", "mean", "var", "std"]
CONDITIONS: list[tuple[int, ...]] = [(3, 4, 5), (4, 5), (5,), (3, 1, 1), (1, 4, 1), (1,), ()]


@pytest.mark.parametrize("shape", CONDITIONS, ids=str)
@pytest.mark.parametrize("name", CHOOSING)
def test_where(name: str, shape: tuple[int, ...]) -> None:
    """As if what is excluded were not there, NaR too; and as the fractions have it."""
    function = getattr(posit, name)
    right = rounds_to_root if name == "std" else rounds_to
    rng = np.random.default_rng(8)
    for spec in (bposit16, PositSpec(34, 6, 5)):
        for share in (0.0, 0.3, 0.7, 1.0):
            where = rng.random(shape) < share
            every = np.broadcast_to(where, (3, 4, 5))
            a = random(spec, (3, 4, 5), 9, nar=False)
            a[~every & (rng.random((3, 4, 5)) < 0.5)] = NaR
            for axes in ((0,), (2,), (0, 2), (2, 1), (0, 1, 2)):
                lines, chosen = (
                    np.moveaxis(x, axes, range(3 - len(axes), 3)).reshape(
                        *(n for i, n in enumerate(a.shape) if i not in axes), -1
                    )
                    for x in (a, every)
                )
                for what, x in layouts(a):
                    got = function(x, axes, where=where)
                    assert np.shape(got) == lines.shape[:-1], what
                    for i in np.ndindex(lines.shape[:-1]):
                        left = [v for v in fractions(lines[i][chosen[i]]) if v is not None]
                        bits = int(posit.bits(got)[i])
                        if left or name == "sum":
                            assert right(bits, RULES[name](left), spec), (what, axes, i)
                        else:
                            assert bits == spec.nar
                    kept = function(x, axes, where=where, keepdims=True)
                    assert np.array_equal(kept, np.expand_dims(got, axes))


@pytest.mark.parametrize("name", CHOOSING)
def test_where_keeps_the_nar_that_counts(name: str) -> None:
    function = getattr(posit, name)
    a = made([[1, NaR, 3], [4, 5, 6]])
    assert function(a, where=~np.isnan(a)) == function(a[~np.isnan(a)])
    assert function(a, 1, where=[True, True, False])[0].is_nar
    assert function(a, 0, where=[[False], [True]]).tolist() == [
        function(a[1:, i]) for i in range(3)
    ]
    assert function(a[:0], 0, where=True).tolist() == function(a[:0], 0, where=False).tolist()
    assert function(a[:, :0], 1, where=np.zeros((2, 0), bool)).tolist() == [function(a[0, :0])] * 2
    if name in ("var", "std"):
        few = np.array([[False, False, True], [True, True, False]])
        assert posit.bits(function(a, 1, ddof=1, where=few)).tolist() == [
            bposit16.nar, function(made([4, 5]), ddof=1).bits,
        ]  # fmt: skip


def test_where_of_many_rows() -> None:
    rng = np.random.default_rng(10)
    a, where = random(bposit16, (5000, 9), 10), rng.random((5000, 9)) < 0.6
    for function in (posit.sum, posit.mean, posit.var, posit.std):
        got = function(a, 1, where=where)
        for i in range(0, 5000, 83):
            assert got[i] == function(a[i][where[i]])


@pytest.mark.parametrize("name", CHOOSING)
def test_conditions_that_mean_nothing(name: str) -> None:
    function, a = getattr(posit, name), made([[1, 2, 3], [4, 5, 6]])
    for shape in ((2,), (3, 2), (1, 2, 3), (0,)):
        with pytest.raises(ValueError, match=r"where: shape .* does not broadcast to \(2, 3\)"):
            function(a, where=np.ones(shape, bool))
    for wrong in (1, [1, 0, 1], None, a, "yes", np.ones(3)):
        with pytest.raises(TypeError, match="where: expected booleans, such as a > 0, got"):
            function(a, where=wrong)
    with pytest.raises(TypeError, match="where: masks are not understood"):
        function(a, where=np.ma.masked_array([True, False, True], [True, False, False]))


def test_a_sum_is_exact_whatever_the_order() -> None:
    rng = np.random.default_rng(1)
    a = random(standard(16), 4000, 1, nar=False)
    want = posit.sum(a)
    for _ in range(5):
        assert posit.sum(rng.permutation(posit.bits(a)).view(a.dtype)) == want
    assert posit.sum(np.concatenate([a, -a[::-1]])) == 0


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
