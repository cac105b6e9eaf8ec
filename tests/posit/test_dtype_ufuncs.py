"""Ufuncs of the dtype: every one against its definition, in every kind of memory and method."""

from __future__ import annotations

import operator
from collections.abc import Callable
from fractions import Fraction
from math import copysign, floor, trunc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import posit
from posit import PositSpec, bposit16, bposit32, bposit64, functions, reference

from ..formats import corners
from .dtype_arrays import SPECS, fractions, layouts, made, random, spec_of
from .functions_oracle import FORMULAS, judge

Array = npt.NDArray[Any]
Rule = Callable[..., Fraction | int | None]
specs = pytest.mark.parametrize("spec", SPECS, ids=str)


def remainder(a: Fraction, b: Fraction) -> Fraction | None:
    return None if b == 0 else a - b * floor(a / b)


def fmod(a: Fraction, b: Fraction) -> Fraction | None:
    return None if b == 0 else a - b * trunc(a / b)


def divided(a: Fraction, b: Fraction) -> Fraction | None:
    return None if b == 0 else a / b


# Exact values to exact values, None for NaR; a NaR operand gives NaR.
EXACT: dict[str, Rule] = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": divided,
    "true_divide": divided, "floor_divide": lambda a, b: None if b == 0 else floor(a / b),
    "remainder": remainder, "mod": remainder, "fmod": fmod,
    "negative": operator.neg, "absolute": abs, "fabs": abs, "positive": lambda a: a,
    "conjugate": lambda a: a, "square": lambda a: a * a,
    "reciprocal": lambda a: divided(Fraction(1), a), "sign": lambda a: (a > 0) - (a < 0),
    "floor": floor, "ceil": lambda a: -floor(-a), "rint": round, "trunc": trunc,
    "copysign": lambda a, b: abs(a) if b >= 0 else -abs(a),
    "maximum": max, "minimum": min,
}  # fmt: skip
SQRT = "sqrt"
TRUTHS: dict[str, Callable[..., bool]] = {
    "less": operator.lt, "less_equal": operator.le, "greater": operator.gt,
    "greater_equal": operator.ge, "equal": operator.eq, "not_equal": operator.ne,
    "isnan": lambda a: a is None, "isfinite": lambda a: a is not None, "isinf": lambda a: False,
    "signbit": lambda a: a is None or a < 0, "logical_not": lambda a: a == 0,
}  # fmt: skip
ORACLE = {  # NumPy's name -> the oracle's
    "exp": "exp", "exp2": "exp2", "expm1": "exp_minus_1", "log": "log", "log2": "log2",
    "log10": "log10", "log1p": "log_plus_1", "sin": "sin", "cos": "cos", "tan": "tan",
    "arcsin": "arc_sin", "arccos": "arc_cos", "arctan": "arc_tan", "sinh": "sin_h",
    "cosh": "cos_h", "tanh": "tan_h", "arcsinh": "arc_sin_h", "arccosh": "arc_cos_h",
    "arctanh": "arc_tan_h", "cbrt": "cbrt", "hypot": "hypot", "arctan2": "arc_tan2",
    "power": "pow", "float_power": "pow",
}  # fmt: skip
OTHERS = {"nextafter", "fmax", "fmin", "clip", "divmod", "matmul", "vecdot", "matvec", "vecmat",
          "logical_and", "logical_or", "logical_xor"}  # fmt: skip
NONE = {
    "bitwise_and", "bitwise_count", "bitwise_or", "bitwise_xor", "deg2rad", "degrees", "frexp",
    "gcd", "heaviside", "invert", "isnat", "lcm", "ldexp", "left_shift", "logaddexp", "logaddexp2",
    "modf", "rad2deg", "radians", "right_shift", "spacing",
}  # fmt: skip


def expected(name: str, *operands: Array) -> npt.NDArray[Any]:
    """Patterns (or truths) by the definition."""
    spec = spec_of(operands[0])
    rows = zip(*(fractions(x) for x in np.broadcast_arrays(*operands)), strict=True)
    shape = np.broadcast_shapes(*(x.shape for x in operands))
    if name in TRUTHS:
        below = [tuple(_rank(x) if len(r) > 1 else x for x in r) for r in rows]
        return np.array([TRUTHS[name](*r) for r in below], bool).reshape(shape)
    if name == SQRT:
        patterns = posit.bits(operands[0]).reshape(-1).tolist()
        found = [reference.sqrt(p, spec) for p in patterns]
    else:
        exact = [None if None in r else EXACT[name](*r) for r in rows]
        found = [reference.encode(None if x is None else Fraction(x), spec) for x in exact]
    return np.array(found, spec.storage).reshape(shape)


def _rank(x: Fraction | None) -> tuple[bool, Fraction]:
    """NaR is below everything."""
    return (False, Fraction(0)) if x is None else (True, x)


def same(got: Any, want: Array, what: str = "") -> None:
    """Equal patterns or truths, of the right dtype and shape."""
    found = got if got.dtype == bool else posit.bits(got)
    assert found.dtype == want.dtype
    assert found.shape == want.shape
    wrong = np.argwhere(np.asarray(found != want))
    assert not len(wrong), f"{what}: {len(wrong)} wrong, first at {wrong[0]}"


def operands_of(name: str, spec: PositSpec, shape: int | tuple[int, ...], seed: int) -> list[Array]:
    return [random(spec, shape, seed + i) for i in range(getattr(np, name).nin)]


# ---- what each computes
def test_every_ufunc_is_here() -> None:
    known = {*EXACT, SQRT, *TRUTHS, *ORACLE, *OTHERS, *NONE}
    ufuncs = {getattr(np, n) for n in dir(np) if isinstance(getattr(np, n), np.ufunc)}
    assert {ufunc.__name__ for ufunc in ufuncs} <= known


@pytest.mark.parametrize("name", sorted(NONE & set(dir(np))))
def test_without_a_loop(name: str) -> None:
    a = made([1, 2])
    with pytest.raises(TypeError, match=r"did not contain a loop|not supported"):
        getattr(np, name)(*[a] * getattr(np, name).nin)


@specs
@pytest.mark.parametrize("name", [*EXACT, SQRT, *TRUTHS])
def test_definition(name: str, spec: PositSpec) -> None:
    operands = operands_of(name, spec, 200, 1)
    same(getattr(np, name)(*operands), expected(name, *operands), name)


@pytest.mark.parametrize("name", [*EXACT, SQRT, *TRUTHS])
def test_every_pair_of_corners(name: str) -> None:
    p = posit.view(np.array(corners(bposit16, 1), np.int16)[::5], bposit16)
    operands = [p] if getattr(np, name).nin == 1 else [p[:, np.newaxis], p]
    same(getattr(np, name)(*operands), expected(name, *operands), name)


@pytest.mark.parametrize("spec", [bposit16, bposit32, PositSpec(34, 6, 5)], ids=str)
@pytest.mark.parametrize("name", ORACLE)
def test_functions_by_mpfr(name: str, spec: PositSpec) -> None:
    operands = operands_of(name, spec, 40, 3)
    assert ORACLE[name] in FORMULAS
    judge(ORACLE[name], spec, [posit.bits(x) for x in operands],
          posit.bits(getattr(np, name)(*operands)))  # fmt: skip


@specs
@pytest.mark.parametrize("name", sorted(set(functions.UFUNCS)))
def test_functions_of_patterns_are_the_same(name: str, spec: PositSpec) -> None:
    operands = operands_of(name, spec, 30, 5)
    want = functions.UFUNCS[name](*(posit.bits(x) for x in operands), spec)
    same(getattr(np, name)(*operands), want, name)


@specs
def test_extrema_that_skip_nar(spec: PositSpec) -> None:
    a, b = random(spec, 300, 1), random(spec, 300, 2)
    a[::7] = b[::5] = posit.NaR
    for name, choose in (("fmax", max), ("fmin", min)):
        rows = zip(fractions(a), fractions(b), strict=True)
        want = [
            reference.encode(choose((x for x in row if x is not None), default=None), spec)
            for row in rows
        ]
        same(getattr(np, name)(a, b), np.array(want, spec.storage), name)


@specs
def test_clip(spec: PositSpec) -> None:
    a, low, high = (random(spec, 200, i) for i in range(3))
    same(np.clip(a, low, high), posit.bits(np.minimum(np.maximum(a, low), high)))
    for limits in ((0, 1), (None, 1), (0, None), (0, high), (low, 1), (0.25, high)):
        least = a if limits[0] is None else np.maximum(a, limits[0])
        same(np.clip(a, *limits), posit.bits(least if limits[1] is None else
                                             np.minimum(least, limits[1])))  # fmt: skip
    same(np.clip(1, low, high), posit.bits(np.clip(np.ones_like(low), low, high)))


@specs
def test_nextafter(spec: PositSpec) -> None:
    a, b = random(spec, 200, 1), random(spec, 200, 2)
    for p, q, got in zip(
        *(posit.bits(x).tolist() for x in (a, b, np.nextafter(a, b))), strict=True
    ):
        if spec.nar in (p, q):
            assert got == spec.nar
        else:
            assert got == p + (p < q) - (p > q)


@specs
def test_divmod(spec: PositSpec) -> None:
    a, b = random(spec, 200, 1), random(spec, 200, 2)
    quotient, rest = np.divmod(a, b)
    same(quotient, expected("floor_divide", a, b))
    same(rest, expected("remainder", a, b))
    first, second = a.copy(), b.copy()
    np.divmod(first, second, out=(second, first))  # each output is an input
    same(second, expected("floor_divide", a, b))
    same(first, expected("remainder", a, b))


def test_logic() -> None:
    a, b = random(bposit16, 400, 1), random(bposit16, 400, 2)
    a[::3] = b[::4] = 0
    for name in ("logical_and", "logical_or", "logical_xor"):
        want = getattr(np, name)(posit.bits(a) != 0, posit.bits(b) != 0)
        assert np.array_equal(getattr(np, name)(a, b), want)
        assert np.array_equal(getattr(np, name).reduce(a), getattr(np, name).reduce(a.astype(bool)))


def test_operators() -> None:
    a, b = random(bposit32, 50, 1), random(bposit32, 50, 2)
    pairs: list[tuple[Callable[..., Any], np.ufunc]] = [
        (operator.add, np.add), (operator.sub, np.subtract), (operator.mul, np.multiply),
        (operator.truediv, np.divide), (operator.floordiv, np.floor_divide),
        (operator.mod, np.remainder), (operator.pow, np.power), (operator.lt, np.less),
        (operator.le, np.less_equal), (operator.gt, np.greater), (operator.ge, np.greater_equal),
        (operator.eq, np.equal), (operator.ne, np.not_equal),
    ]  # fmt: skip
    for symbol, ufunc in pairs:
        assert np.array_equal(symbol(a, b), ufunc(a, b))
    for symbol, ufunc in ((operator.neg, np.negative), (abs, np.absolute)):
        assert np.array_equal(symbol(a), ufunc(a))
    for symbol in (operator.and_, operator.or_, operator.xor, operator.lshift):
        with pytest.raises(TypeError):
            symbol(a, b)
    c = a.copy()
    c += b
    c *= 2
    c -= a
    c /= 4
    assert np.array_equal(c, ((a + b) * 2 - a) / 4)


# ---- memory
IN_MEMORY = [
    "add", "multiply", "divide", "sqrt", "negative", "less", "maximum", "isnan", "square", "exp",
    "reciprocal", "hypot", "floor", "positive", "remainder", "logical_not",
]  # fmt: skip


@pytest.mark.parametrize("name", IN_MEMORY)
@pytest.mark.parametrize("spec", [bposit16, bposit64, PositSpec(13, 6, 5)], ids=str)
def test_every_kind_of_memory(name: str, spec: PositSpec) -> None:
    ufunc = getattr(np, name)
    for shape in ((37,), (3, 5, 7), (700,), (0,), (4, 0), (), (1,)):
        if name in ("exp", "hypot", "remainder") and shape == (700,):
            continue  # by table or by MPFR: slow, and of no other route
        operands = operands_of(name, spec, shape, 7)
        want = np.asarray(ufunc(*(x.copy() for x in operands)))
        for kinds in zip(*(layouts(x) for x in operands), strict=True):
            got = np.asarray(ufunc(*(x for _, x in kinds)))
            assert np.array_equal(got, want), f"{name} of {kinds[0][0]} {shape}"
            assert got.dtype == want.dtype
            mixed = [kinds[0][1], *operands[1:]]
            assert np.array_equal(np.asarray(ufunc(*mixed)), want)
        for what, out in layouts(np.zeros_like(want)):
            if what == "read-only":
                with pytest.raises(ValueError, match="read-only"):
                    ufunc(*operands, out=out)
            else:
                assert ufunc(*operands, out=out) is out
                assert np.array_equal(out, want), f"{name} into {what} {shape}"


@pytest.mark.parametrize("name", ["add", "multiply", "hypot", "maximum", "less"])
def test_broadcasting(name: str) -> None:
    ufunc = getattr(np, name)
    a, b = random(bposit16, (5, 1), 1), random(bposit16, (1, 6), 2)
    want = ufunc(np.repeat(a, 6, 1), np.repeat(b, 5, 0))
    assert np.array_equal(ufunc(a, b), want)
    assert np.array_equal(ufunc(np.broadcast_to(a, (5, 6)), b[0]), want)
    assert np.array_equal(ufunc(a, b[0, 0]), ufunc(a, b[:, :1]))
    assert ufunc(random(bposit16, (3, 0)), b[0, :1]).shape == (3, 0)
    with pytest.raises(ValueError, match="broadcast"):
        ufunc(a[:3, 0], b[0])


@pytest.mark.parametrize("name", ["add", "divide", "hypot", "minimum"])
def test_overlapping_output(name: str) -> None:
    ufunc = getattr(np, name)
    a = random(bposit16, 400, 4)
    for x, y, out in (
        (slice(0, -1), slice(1, None), slice(1, None)),
        (slice(0, -1), slice(1, None), slice(0, -1)),
        (slice(1, None), slice(0, -1), slice(0, -1)), (slice(None), slice(None), slice(None)),
        (slice(None, None, -1), slice(None), slice(None)),
        (slice(0, 200), slice(0, 400, 2), slice(100, 300)),
    ):  # fmt: skip
        b = a.copy()
        ufunc(b[x], b[y], out=b[out])
        assert np.array_equal(b[out], ufunc(a[x].copy(), a[y].copy()))


def test_scalars_come_out_of_axes_that_are_gone() -> None:
    a = made([1.5, 2])
    for found in (np.add(a[0], a[1]), a[0] + a[1], np.exp(a[0]), a.sum(), np.maximum(a[0], 1)):
        assert type(found) is posit.Posit
    assert isinstance(np.add(a[0], a[1], out=np.zeros((), a.dtype)), np.ndarray)
    assert np.isnan(a[0]) is np.False_


# ---- out=, where=, and the methods
@pytest.mark.parametrize("name", ["add", "divide", "exp", "negative", "hypot"])
def test_where(name: str) -> None:
    ufunc = getattr(np, name)
    operands = operands_of(name, bposit16, 300, 9)
    chosen = np.arange(300) % 3 == 1
    out = made(np.full(300, 7))
    ufunc(*operands, out=out, where=chosen)
    assert np.array_equal(out, np.where(chosen, ufunc(*operands), out.dtype.type(7, bposit16)))


def test_out_of_other_types() -> None:
    a = random(bposit16, 50, nar=False)
    wide = np.zeros(50, posit.dtype(bposit32))
    np.add(a, a, out=wide)
    assert np.array_equal(wide, (a + a).astype(wide.dtype))
    doubles = np.zeros(50)
    assert np.array_equal(np.multiply(a, 2, out=doubles), (a * 2).astype(float))
    truths = np.zeros(50, a.dtype)
    assert np.array_equal(np.less(a, 1, out=truths), (a < 1).astype(a.dtype))
    with pytest.raises(TypeError, match="Cannot cast"):
        np.add(a, a, out=np.zeros(50, int))
    assert np.array_equal(np.sqrt(np.arange(50), out=a), np.sqrt(np.arange(50)).astype(a.dtype))


@pytest.mark.parametrize("dtype", [float, "f4", complex, object, "U", int])
def test_dtype_argument(dtype: Any) -> None:
    a = made([1, 4])
    for name in ("add", "sqrt", "less", "hypot", "matmul"):
        ufunc = getattr(np, name)
        with pytest.raises(TypeError, match=r"do not mix implicitly; write x.astype"):
            ufunc(*[a] * ufunc.nin, dtype=dtype)
    assert np.array_equal(np.add(a, 1, dtype=type(a.dtype)), a + 1)


@pytest.mark.parametrize("name", ["add", "multiply", "maximum", "hypot", "subtract", "fmin"])
def test_at(name: str) -> None:
    ufunc = getattr(np, name)
    a, index = random(bposit16, 20, 1), [3, 3, 0, -1, 3, 19]
    b = random(bposit16, len(index), 2)
    want = a.copy()
    for i, x in zip(index, b, strict=True):
        want[i] = ufunc(want[i], x)
    ufunc.at(a, index, b)
    assert np.array_equal(a, want)
    m = random(bposit16, (4, 5), 3)
    want = m.copy()
    want[1] = ufunc(m[1], 2)
    ufunc.at(m, 1, 2)
    assert np.array_equal(m, want)
    ufunc.at(m, [], 2)
    with pytest.raises(IndexError):
        ufunc.at(m, 9, 2)


def test_at_of_one_operand() -> None:
    a = made([1, -4, 9])
    np.negative.at(a, [0, 0, 1])
    np.sqrt.at(a, [1, 2])
    assert a.tolist() == [1, 2, 3]


def one_by_one(ufunc: np.ufunc, a: Array) -> list[posit.Posit]:
    """Every partial result of a fold from the left."""
    found = [a[0]]
    for x in a[1:]:
        found.append(ufunc(found[-1], x))
    return found


FOLDED = [
    "subtract", "multiply", "divide", "hypot", "maximum", "minimum", "fmax", "fmin", "arctan2",
    "power", "remainder", "copysign", "nextafter", "floor_divide", "fmod",
]  # fmt: skip


@pytest.mark.parametrize("spec", [bposit16, bposit64, PositSpec(34, 6, 5)], ids=str)
@pytest.mark.parametrize("name", FOLDED)
def test_reduce_and_accumulate(name: str, spec: PositSpec) -> None:
    """In sequence, each step rounded; sums, which are exact, are elsewhere."""
    ufunc = getattr(np, name)
    a = random(spec, 30, 5, nar=name.startswith("f"))
    small = a[np.abs(a) < 4][:12] if name == "power" else a
    want = one_by_one(ufunc, small)
    for what, x in layouts(small):
        assert np.array_equal(ufunc.accumulate(x), want), what
        assert ufunc.reduce(x) == want[-1], what
    m = np.stack([small, small[::-1]])
    want = [one_by_one(ufunc, row)[-1] for row in m]
    assert np.array_equal(ufunc.reduce(m, axis=1), want)
    assert np.array_equal(ufunc.reduce(m.T, axis=0), want)
    assert np.array_equal(ufunc.accumulate(m.T, axis=0)[-1], want)
    assert ufunc.reduce(small[:1]) == small[0]
    cut = [0, 4, 2, 9]
    want = [one_by_one(ufunc, small[i:j] if i < j else small[i : i + 1])[-1]
            for i, j in zip(cut, [*cut[1:], small.size], strict=True)]  # fmt: skip
    assert np.array_equal(ufunc.reduceat(small, cut), want)


@pytest.mark.parametrize("name", ["add", "multiply", "hypot", "less", "divmod"])
def test_outer(name: str) -> None:
    ufunc = getattr(np, name)
    a, b = random(bposit16, 7, 1), random(bposit16, (3, 2), 2)
    got, want = ufunc.outer(a, b), ufunc(a[:, np.newaxis, np.newaxis], b)
    assert np.array_equal(np.asarray(got), np.asarray(want))


def test_reductions_of_nothing() -> None:
    empty = np.zeros((0, 3), posit.dtype(bposit16))
    assert np.add.reduce(empty).tolist() == [0] * 3
    assert np.multiply.reduce(empty).tolist() == [1] * 3
    assert np.add.reduce(empty, axis=None) == 0
    for name in ("maximum", "minimum", "fmax", "fmin", "subtract", "divide", "hypot"):
        with pytest.raises(ValueError, match="no identity"):
            getattr(np, name).reduce(empty)
    assert np.maximum.reduce(empty, initial=2).tolist() == [2] * 3
    assert np.add.reduce(made([1, 2]), initial=10) == 13
    assert np.multiply.reduce(made([3, 2]), initial=0.5, keepdims=True).tolist() == [3]


@pytest.mark.parametrize("spec", [bposit16, PositSpec(13, 6, 5), bposit64], ids=str)
def test_extrema_of_arrays(spec: PositSpec) -> None:
    for seed in range(20):
        a = random(spec, (9, 40), seed, nar=seed % 2 == 0)
        p = posit.bits(a)
        nar = (p == spec.nar).any(axis=1)
        real = np.where(p == spec.nar, p.max(), p).min(axis=1)
        for x in (a, np.asfortranarray(a)):
            same(x.max(axis=1), np.where(nar, spec.nar, p.max(axis=1)).astype(p.dtype))
            same(x.min(axis=1), np.where(nar, spec.nar, p.min(axis=1)).astype(p.dtype))
            same(np.fmax.reduce(x, axis=1), p.max(axis=1))
            same(np.fmin.reduce(x, axis=1), real)
            same(np.nanmin(x, axis=1), real)
            same(np.nanmax(x, axis=1), p.max(axis=1))
    all_nar = made([np.nan] * 3, spec)
    for ufunc in (np.maximum, np.minimum, np.fmax, np.fmin):
        assert ufunc.reduce(all_nar).is_nar


def test_cut_patterns_raise_and_leave_numpy_usable() -> None:
    """What a file may hold: words that are no pattern of a format narrower than they are."""
    spec = PositSpec(46, 12, 0)
    bad = np.frombuffer(np.random.default_rng(1).bytes(8 * 90_000), posit.dtype(spec))
    for use in (
        lambda: bad + 1, lambda: bad / bad, lambda: np.sqrt(bad), lambda: bad.sum(),
        lambda: np.cumsum(bad), lambda: bad @ bad, lambda: bad.astype(float),
        lambda: bad.astype("i4"), lambda: bad.astype(bool), lambda: bad.astype("g"),
        lambda: bad.astype(posit.dtype(bposit16)), lambda: np.logical_or(bad, True),
        lambda: np.logical_or.outer(bad[:90], bad), lambda: bad[0], lambda: bad[:5].tolist(),
        lambda: bad[:9].astype(str), lambda: np.exp(bad[:9]), lambda: np.hypot(bad[:9], 1),
        lambda: posit.sum(bad), lambda: posit.mean(bad), lambda: posit.median(bad),
        lambda: posit.var(bad), lambda: posit.dot(bad, bad),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"(not a pattern of|out of range for) <46,12,0>"):
            use()
    integers = bad.view(np.int64)
    for found, want in (
        (bad < bad[::-1], integers < integers[::-1]), (np.sort(bad), np.sort(integers)),
        (bad[::2].copy(), integers[::2]), (np.argmax(bad), np.argmax(integers)),
        (np.unique(bad), np.unique(integers)), (bad.byteswap(), integers.byteswap()),
    ):  # fmt: skip
        got = found if found.dtype != bad.dtype else found.view(np.int64)
        assert np.array_equal(got, want)


def test_new_memory_of_cut_formats_holds_patterns() -> None:
    for spec in (PositSpec(13, 6, 5), PositSpec(46, 12, 0), PositSpec(3, 2, 0)):
        for _ in range(20):
            np.full(5000, 0x5A, np.uint8)  # memory to be used again
            assert not posit.bits(np.empty(5000 // spec.storage.itemsize, posit.dtype(spec))).any()
    assert copysign(1, float(made([0], PositSpec(13, 6, 5))[0])) == 1
