"""posit.Posit, one number: judged by fractions, and a real number among Python's and NumPy's."""

from __future__ import annotations

import cmath
import copy
import math
import numbers
import operator
import statistics
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import posit
from posit import NaR, Posit, PositSpec, bposit8, bposit16, bposit32, bposit64, reference

from ..formats import EDGES, EIGHT, TINY, corners
from ..oracle import rounds_to
from .dtype_arrays import SPECS, random

specs = pytest.mark.parametrize("spec", SPECS, ids=str)
HALF = Posit(2.5, bposit16)
NOT_REAL = Posit(NaR, bposit16)


def exact(x: Posit) -> Fraction | None:
    return reference.decode(x.bits, x.spec)


def scalars(spec: PositSpec, count: int, seed: int) -> list[Posit]:
    return [Posit.from_bits(p, spec) for p in posit.bits(random(spec, count, seed)).tolist()]


def is_rounded(got: Posit, want: Fraction | int | None, spec: PositSpec) -> bool:
    """Whether it is the rounding of an exact value, None being NaR."""
    if type(got) is not Posit or got.spec != spec:
        return False
    return got.is_nar if want is None else rounds_to(got.bits, Fraction(want), spec)


# ---- made of numbers
@specs
def test_made_of_every_number(spec: PositSpec) -> None:
    for value in (0, -3, 10**400, 0.1, -1e300, 5e-324, Fraction(-22, 7), Decimal("1e-30"), True,
                  np.float32(0.1), np.float16(7), np.int8(-128), np.uint64(2**64 - 1),
                  np.longdouble(1) / 3, np.bool_(True), np.float64(-0.0)):  # fmt: skip
        if isinstance(value, np.floating):
            want = Fraction(*value.as_integer_ratio())
        else:
            want = Fraction(int(value) if isinstance(value, (np.integer, np.bool_)) else value)
        assert is_rounded(Posit(value, spec), want, spec), value
        assert np.array([value], posit.dtype(spec))[0].bits == Posit(value, spec).bits
    for value in (NaR, math.inf, -math.inf, Decimal("nan"), "NaR", np.float32("inf")):
        assert Posit(value, spec).is_nar
    assert is_rounded(Posit("1/3", spec), Fraction(1, 3), spec)


def test_the_format_is_named_or_taken_over() -> None:
    assert Posit(1.5, "bposit16").spec == Posit(1.5, "<16,6,5>").spec == bposit16
    assert Posit(HALF).spec == bposit16
    assert Posit(Posit("0.1", bposit64), bposit16).bits == Posit("0.1", bposit16).bits
    assert Posit.from_bits(np.int16(5), bposit16).bits == 5


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Posit(1.5), TypeError, r"needs a format: Posit\(1.5, posit.bposit16\)"),
        (lambda: Posit(), TypeError, "needs a format"),
        (lambda: Posit(1, "nope"), ValueError, "unknown format"),
        (lambda: Posit(1, 16), TypeError, "expected a (string|format)"),  # type: ignore[arg-type]
        (lambda: Posit("x", bposit16), ValueError, "not a number: 'x'; possible are"),
        (lambda: Posit(None, bposit16), TypeError, "cannot read None as a real number"),
        (lambda: Posit(1j, bposit16), TypeError, "cannot read 1j"),
        (lambda: Posit(b"1", bposit16), TypeError, "cannot read"),
        (lambda: Posit([1], bposit16), TypeError, "0-dimensional"),
        (lambda: Posit.from_bits(1 << 15, bposit16), ValueError, "32768 is not a pattern"),
        (lambda: Posit.from_bits(-(1 << 15) - 1, bposit16), ValueError, "is not a pattern"),
        (lambda: Posit.from_bits(1.0, bposit16), TypeError, "integer"),  # type: ignore[arg-type]
        (lambda: Posit.from_bits("1", bposit16), TypeError, "integer"),  # type: ignore[arg-type]
        (lambda: HALF.astype(float), TypeError, "expected a (string|format)"),
    ],
)
def test_what_makes_no_posit(make: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make()


def test_immutable() -> None:
    for change in (
        lambda: setattr(HALF, "bits", 3), lambda: setattr(HALF, "new", 3),
        lambda: setattr(HALF, "_bits", 3), lambda: delattr(HALF, "_bits"),
    ):  # fmt: skip
        with pytest.raises(AttributeError):
            change()


# ---- arithmetic
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
    "//": operator.floordiv, "%": operator.mod,
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
@specs
def test_operators_are_rounded_once(spec: PositSpec, name: str) -> None:
    operate = OPERATORS[name]
    for x, y in pairwise(scalars(spec, 60, 1)):
        a, b = exact(x), exact(y)
        bad = a is None or b is None or (b == 0 and name in ("/", "//", "%"))
        assert is_rounded(operate(x, y), None if bad else operate(a, b), spec), (x, y)


@specs
def test_one_operand(spec: PositSpec) -> None:
    for x in scalars(spec, 60, 2):
        a = exact(x)
        assert is_rounded(-x, None if a is None else -a, spec)
        assert is_rounded(abs(x), None if a is None else abs(a), spec)
        assert +x is x
        assert bool(x) == (a != 0)


@specs
def test_powers_and_divmod(spec: PositSpec) -> None:
    for x, y in pairwise(scalars(spec, 20, 3)):
        assert divmod(x, y) == (x // y, x % y)
        a = exact(x)
        assert is_rounded(x**2, None if a is None else a * a, spec)
        assert is_rounded(x**-1, 1 / a if a else None, spec)
        assert x**y == np.power(x, y)
    if spec.maxpos > 4:
        assert (Posit(4, spec) ** 0.5, 2 ** Posit(2, spec)) == (2, 4)
    assert (Posit(-1, spec) ** 0.5).is_nar
    assert Posit(0, spec) ** -1 == Posit(NaR, spec)


@pytest.mark.parametrize(
    "other",
    [3, -2.5, True, Fraction(1, 3), Decimal("0.1"), 10**400, math.inf, np.float64(0.1),
     np.float32(1.5), np.float16(3), np.int8(-7), np.uint64(2**64 - 1), np.bool_(True),
     np.longdouble(3)],
)  # fmt: skip
@pytest.mark.parametrize("name", [*OPERATORS, "**"])
def test_with_other_numbers(name: str, other: Any) -> None:
    """They are rounded to the format first, on either side."""
    operate = OPERATORS.get(name, operator.pow)
    rounded = Posit(other, bposit16)
    for got, want in (
        (operate(HALF, other), operate(HALF, rounded)),
        (operate(other, HALF), operate(rounded, HALF)),
    ):
        assert (type(got), got.spec, got.bits) == (Posit, bposit16, want.bits)


def test_divmod_with_other_numbers() -> None:
    assert divmod(7, HALF) == divmod(np.int64(7), HALF) == (2, 2)
    assert divmod(HALF, 2) == divmod(HALF, np.float64(2)) == (1, 0.5)


@pytest.mark.parametrize("other", ["a", None, [1], 1j, np.complex128(1j), object(), b"1"])
def test_what_does_not_mix(other: Any) -> None:
    for operate in (*OPERATORS.values(), operator.pow, operator.lt):
        if not (isinstance(other, (str, bytes)) and operate is operator.mod):
            with pytest.raises(TypeError):
                operate(other, HALF)
        with pytest.raises(TypeError):
            operate(HALF, other)
    if not isinstance(other, np.generic):
        assert operator.ne(HALF, other)
        assert not operator.eq(HALF, other)


def test_formats_widen_within_a_family() -> None:
    narrow, wide, other = HALF, Posit("0.1", bposit32), Posit(1, bposit8)
    for total in (narrow + wide, wide + narrow):
        assert is_rounded(total, Fraction(5, 2) + wide.as_fraction(), bposit32)
    assert narrow > wide
    for operate in (*OPERATORS.values(), operator.lt):
        with pytest.raises(TypeError, match=r"<16,6,5> and <8,3,2>: only widening .* \.astype"):
            operate(narrow, other)
    assert narrow + other.astype(bposit16) == 3.5
    assert (narrow.astype("bposit8").spec, narrow.astype(posit.dtype(bposit8))) == (bposit8, 2.5)


def test_with_arrays() -> None:
    for got, want in (
        (HALF + np.array([1, 2]), [3.5, 4.5]), (np.array([1, 2]) * HALF, [2.5, 5]),
        (np.array([True]) - HALF, [-1.5]), (HALF / np.ones(2, posit.dtype(bposit32)), [2.5] * 2),
    ):  # fmt: skip
        assert got.tolist() == want
    for operate in OPERATORS.values():
        for x in (np.array([1.5]), np.array([1j])):
            for pair in ((x, HALF), (HALF, x)):
                with pytest.raises(TypeError, match="do not mix implicitly; write"):
                    operate(*pair)


# ---- order and hashing
COMPARISONS = (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge)
OTHERS = [
    0, -1, 10**400, -(10**400), 2**64 + 1, True, 0.1, -0.0, 5e-324, -1e308, Fraction(1, 3),
    Fraction(1, 3**90), Decimal("0.1"), Decimal("-1e-4000"), Decimal("1e999999"), np.float64(0.1),
    np.float32(0.1), np.float16(0.1), np.int8(-1), np.uint64(2**64 - 1), np.bool_(True),
    np.longdouble(1) / 3,
]  # fmt: skip


def value_of(x: Any) -> Fraction:
    """The exact value of a number of Python or NumPy."""
    if isinstance(x, np.floating):
        return Fraction(*x.as_integer_ratio())
    return Fraction(int(x) if isinstance(x, (np.integer, np.bool_)) else x)


@pytest.mark.parametrize("other", OTHERS, ids=repr)
@specs
def test_comparisons_with_other_numbers_round_nothing(spec: PositSpec, other: Any) -> None:
    if isinstance(other, Decimal) and other.adjusted() > 9999:
        want: Any = math.inf  # beyond every format; a fraction of it would be long in the making
    else:
        want = value_of(other)
    near = Posit(other, spec)
    for x in (near, -near, *scalars(spec, 5, 7)):
        if x.is_nar:
            continue
        a = x.as_fraction()
        for compare in COMPARISONS:
            assert compare(x, other) is compare(a, want)
            assert bool(compare(other, x)) is compare(want, a)
        if x == other:
            assert hash(x) == hash(other)


def test_rounding_makes_nothing_equal() -> None:
    third = Posit(1 / 3, bposit16)
    assert third != 1 / 3
    assert third == Fraction(341, 1024) == float(third)
    assert Posit(1.5, bposit16) < 1.5000001
    assert np.array([1 / 3], posit.dtype(bposit16)) == 1 / 3  # arrays round, as docs/numpy.md says


@specs
def test_infinity_and_nan(spec: PositSpec) -> None:
    nar = Posit(NaR, spec)
    for inf in (math.inf, Decimal("inf"), np.float32("inf"), np.longdouble("inf")):
        for x in (Posit(0, spec), Posit.from_bits(spec.maxpos_pattern, spec)):
            assert (-inf < x < inf, x == inf, x >= inf, inf > x) == (True, False, False, True)
        assert (nar < -inf, nar == inf, -inf > nar, nar >= -inf) == (True, False, True, False)
    for nan in (math.nan, Decimal("nan"), Decimal("snan"), np.float16("nan"), np.longdouble("nan")):
        assert (nar == nan, nar != nan, nar < nan, nar <= nan) == (True, False, False, True)
        one = Posit(1, spec)
        assert (one == nan, one != nan, one < nan, one > nan) == (False, True, False, True)


def test_complex_numbers_may_be_equal() -> None:
    assert HALF == 2.5 + 0j == HALF
    assert HALF != 2.5 + 1j
    assert np.complex64(2.5) == HALF
    assert hash(HALF) == hash(2.5 + 0j)
    with pytest.raises(TypeError):
        HALF < 2.5 + 0j  # noqa: B015


@specs
def test_order_is_that_of_the_values(spec: PositSpec) -> None:
    found = scalars(spec, 60, 4)
    for x, y in pairwise([*found, *found]):
        a, b = ((v is not None, v or 0) for v in (exact(x), exact(y)))
        for compare in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq):
            assert compare(x, y) is compare(a, b)
    assert [x.bits for x in sorted(found)] == sorted(x.bits for x in found)


@pytest.mark.parametrize("spec", [*TINY, *EIGHT], ids=str)
def test_equal_numbers_hash_alike(spec: PositSpec) -> None:
    for p in range(spec.nar, spec.maxpos_pattern + 1):
        x = Posit.from_bits(p, spec)
        wide = x.astype(bposit64)
        assert (x == wide) == (exact(x) == exact(wide))
        if x == wide:
            assert hash(x) == hash(wide)
        if not x.is_nar:
            value = x.as_fraction()
            assert x == value
            assert hash(x) == hash(value)
            assert {x: 1}[value] == 1
        if x.is_integer():
            assert {int(x): 1}[x] == 1


def test_all_nar_are_one() -> None:
    every = [Posit(NaR, spec) for spec in SPECS]
    assert len(set(every)) == 1
    for x in every:
        assert x == x.astype(bposit16)
        y = copy.copy(x)
        assert (x == NaR, x < -1e300, x < y, x <= y, x > y, x >= y) == (1, 1, 0, 1, 0, 1)
        assert max(x, Posit(0, x.spec)) == 0


# ---- other numbers
@pytest.mark.parametrize("spec", [*TINY, *SPECS, *EDGES], ids=str)
def test_whole_numbers_and_fractions(spec: PositSpec) -> None:
    for p in corners(spec, 1):
        x, value = Posit.from_bits(p, spec), reference.decode(p, spec)
        assert (x.bits, x.spec, x.is_nar) == (p, spec, value is None)
        if value is None:
            continue
        assert x.as_fraction() == value
        assert Fraction(*x.as_integer_ratio()) == value
        assert math.gcd(*x.as_integer_ratio()) == 1
        whole: tuple[Callable[[Any], int], ...] = (
            int, math.trunc, math.floor, math.ceil, round,
        )  # fmt: skip
        for to in whole:
            assert to(x) == to(value)
            assert type(to(x)) is int
        assert x.is_integer() == (value.denominator == 1)
        for digits in (0, 2, -1):
            assert is_rounded(round(x, digits), round(value, digits), spec)


@specs
def test_floats(spec: PositSpec) -> None:
    for x in scalars(spec, 200, 5):
        value = exact(x)
        if value is None:
            assert math.isnan(float(x))
        else:
            beyond = abs(value) >= 2**1024
            want = (math.inf if value > 0 else -math.inf) if beyond else float(value)
            assert float(x) == want
            assert complex(x) == want


def test_nar_is_no_number() -> None:
    for to in (int, round, math.floor, math.ceil, math.trunc, Posit.as_fraction,
               Posit.as_integer_ratio):  # fmt: skip
        with pytest.raises(ValueError, match="NaR is not a number"):
            to(NOT_REAL)
    assert round(NOT_REAL, 2).is_nar
    assert (NOT_REAL.is_integer(), bool(NOT_REAL), math.isnan(NOT_REAL)) == (False, True, True)
    for x in (NOT_REAL + 1, 1 - NOT_REAL, -NOT_REAL, abs(NOT_REAL), NOT_REAL**0, HALF / 0):
        assert x.is_nar


def test_a_real_number_of_python() -> None:
    assert isinstance(HALF, numbers.Real)
    assert not isinstance(HALF, numbers.Rational)
    assert (HALF.real, HALF.imag, HALF.conjugate()) == (2.5, 0, 2.5)
    assert sum([HALF, HALF]) == math.fsum([HALF, HALF]) == 5
    assert math.prod([HALF, 2]) == 5
    assert (min(HALF, 3), max([HALF, 1]), sorted([3, HALF, 1])) == (2.5, 2.5, [1, 2.5, 3])
    assert (statistics.fmean([HALF, 3]), math.sqrt(HALF), cmath.sqrt(-HALF)) == (
        2.75, math.sqrt(2.5), cmath.sqrt(-2.5),
    )  # fmt: skip
    assert HALF in [1, 2.5]
    for use in (operator.index, range, len, iter, list, lambda x: [1, 2, 3][x]):
        with pytest.raises(TypeError):
            use(HALF)


def test_a_scalar_of_numpy() -> None:
    assert (HALF.dtype, HALF.shape, HALF.ndim, HALF.size) == (posit.dtype(bposit16), (), 0, 1)
    assert HALF.item() is HALF
    assert HALF[()] == HALF[...] == np.asarray(HALF) == 2.5
    assert np.isscalar(HALF)
    for function in (np.max, np.mean, np.median, np.fmin.reduce, np.positive):
        for x in (HALF, np.asarray(HALF)):
            assert type(function(x)) is Posit
            assert function(x) == 2.5
    assert (np.float64(HALF), np.float32(HALF), np.int64(HALF), np.round(HALF)) == (2.5, 2.5, 2, 2)
    with pytest.raises(IndexError):
        HALF[0]
