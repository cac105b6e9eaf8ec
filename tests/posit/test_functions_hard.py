"""Functions where they are hard to round: near ties, ties, huge arguments, saturation, mutants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import gmpy2  # type: ignore[import-untyped, unused-ignore]
import numpy as np
import pytest
from gmpy2 import mpfr

import posit
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, functions, reference, standard
from posit._functions import engine, exact
from posit._functions.floats import relative
from posit._functions.row import Row
from posit._functions.rows import ROWS

from ..formats import SIXTEEN, TINY, WIDE, corners
from ..oracle import boundary
from .functions_oracle import Wrong, judge
from .test_functions import UNARY, judged

F = functions
FRACTIONED = [s for s in [*SIXTEEN, *WIDE] if s.f_max >= 2 and s.f_min >= 0 and s.es]


def value(q: Fraction, spec: PositSpec) -> int:
    p = reference.encode(q, spec)
    assert reference.decode(p, spec) == q, f"{q} is no value of {spec}"
    return p


@pytest.mark.parametrize("spec", FRACTIONED, ids=str)
def test_a_hair_from_a_tie(spec: PositSpec) -> None:
    """Results 1 + u/2 + O(u²), where 1 + u/2 is the boundary above 1 and 1 - u/4 that below."""
    u, one, real = spec.epsilon, spec.one, Fraction
    up = [
        (F.exp, [u / 2]),  # + u²/8
        (F.r_sqrt, [1 - u]),  # + 3u²/8
        (F.pow, [1 - u, real(-1, 2)]),
    ]
    same = [
        (F.exp, [-u / 4]),  # + u²/32
        (F.pow, [1 + u, real(1, 2)]),  # - u²/8
        (F.sqrt, [1 + u]),
    ]
    if spec.f_max % 2 == 0:
        half = real(1, 1 << spec.f_max // 2)  # √u
        up.append((F.cos_h, [half]))  # + u²/24
        same.append((F.hypot, [real(1), half]))  # - u²/8
    else:
        half = real(1, 1 << (spec.f_max + 1) // 2)  # √(u/2)
        same.append((F.cos, [half]))  # 1 - u/4 + u²/96
    for function, operands in up:
        assert function(*(value(x, spec) for x in operands), spec) == one + 1, function.__name__
    for function, operands in same:
        assert function(*(value(x, spec) for x in operands), spec) == one, function.__name__
    assert F.compound(value(u / 4, spec), 2, spec) == one + 1  # + u²/16
    assert F.compound(value(u / 2, spec), 1, spec) == one  # a tie: to even
    assert F.root_n(value(1 + u, spec), 2, spec) == one
    assert F.root_n(value(1 - u, spec), -2, spec) == one + 1


def dyadic(spec: PositSpec, *numbers: Fraction | int) -> Any:
    """The patterns of those numbers that are values of the format, and their neighbours."""
    found = [reference.encode(Fraction(x), spec) for x in numbers]
    near = {min(max(p + d, spec.nar), spec.maxpos_pattern) for p in found for d in (-1, 0, 1)}
    return np.array(sorted(near), spec.storage)


EXACT = [bposit8, standard(8), bposit16, standard(16), standard(32), bposit64, standard(64),
         PositSpec(20, 17, 3), PositSpec(24, 3, 0), PositSpec(17, 16, 8)]  # fmt: skip


@pytest.mark.parametrize("spec", EXACT, ids=str)
def test_exact_cases(spec: PositSpec) -> None:
    """Results that are values, or boundaries: where exponents are cut short powers of two are."""
    reach = min(spec.reach, 300)
    integers = dyadic(spec, *range(-9, 33), *range(-reach - 2, reach + 2, 1 + reach // 40))
    for name in ("exp2", "exp2_minus_1", "exp10", "exp10_minus_1"):
        judged(name, spec, integers)
    powers = dyadic(spec, *(Fraction(2) ** k for k in range(-reach, reach, 1 + reach // 40)))
    less = dyadic(spec, *(2**k - 1 for k in range(20)), *(Fraction(1, 2**k) - 1 for k in range(20)))
    tens = dyadic(spec, *(10**k for k in range(20)), *(10**k - 1 for k in range(20)))
    for name in ("log2", "log10", "r_sqrt", "cbrt", "log2_plus_1", "log10_plus_1"):
        judged(name, spec, np.concatenate([powers, less, tens]))
    halves = dyadic(spec, *(Fraction(k, 4) for k in range(-9, 10)), Fraction(2) ** 70)
    for name in ("sin_pi", "cos_pi", "tan_pi", "arc_sin_pi", "arc_cos_pi", "arc_tan_pi"):
        judged(name, spec, halves)
    few = dyadic(spec, *(Fraction(k, 2) for k in range(-6, 7)))
    judged("pow", spec, np.concatenate([powers[::5], few])[:, np.newaxis], few)
    judged("arc_tan2_pi", spec, few[:, np.newaxis], few)
    judged("root_n", spec, np.concatenate([powers[::3], tens[::3]])[:, np.newaxis],
           np.array([-3, -2, 2, 3, 4, 10]))  # fmt: skip
    judged("compound", spec, less[:, np.newaxis], np.array([-7, -1, 2, 3, 8, 63]))
    legs = [(3, 4), (5, 12), (8, 15), (20, 21), (119, 120), (4059, 4060)]
    a, b = (dyadic(spec, *(leg[i] * Fraction(2) ** k for leg in legs for k in (-9, 0, 5)))
            for i in (0, 1))  # fmt: skip
    judged("hypot", spec, a[:, np.newaxis], b)


@pytest.mark.parametrize("spec", [bposit32, standard(32), PositSpec(40, 6, 5)], ids=str)
def test_squares(spec: PositSpec) -> None:
    """Half of the squares of integers with a bit too many are ties."""
    rng = np.random.default_rng(spec.n)
    x = [*rng.integers(1 << 12, 1 << 14, 300), *rng.integers(1, 1 << 27, 100), *spec_ends(spec)]
    bits = dyadic(spec, *map(Fraction, map(int, x[:400])))
    bits = np.concatenate([bits, -bits, np.array(x[400:], spec.storage)])
    two = value(Fraction(2), spec)
    np.testing.assert_array_equal(F.pow(bits, two, spec), F.square(bits, spec))


def spec_ends(spec: PositSpec) -> list[int]:
    return [p + d for p in (0, spec.maxpos_pattern, spec.nar) for d in (0, 1, 2, -1, -2)
            if spec.nar <= p + d <= spec.maxpos_pattern]  # fmt: skip


def near_quarter_turns(spec: PositSpec) -> Any:
    """Values m·2^e unusually close to multiples of π/2: m is a denominator of a convergent of the
    continued fraction of 2^e/(π/2)."""
    found = []
    for e in range(1, spec.max_scale, max(1, spec.max_scale // 60)):
        with gmpy2.context(precision=2 * e + 400) as m:
            rest = m.div(m.exp2(e + 1), m.const_pi())
            q, before = 1, 0
            for _ in range(60):
                x = Fraction(q) * 2**e
                if x > spec.maxpos:
                    break
                p = reference.encode(x, spec)
                if reference.decode(p, spec) == x:
                    found += [p, -p]
                rest = m.div(1, m.sub(rest, m.floor(rest)))
                q, before = int(m.floor(rest)) * q + before, q
    return np.array(sorted(set(found)), spec.storage)


@pytest.mark.parametrize(
    "spec", [bposit16, standard(16), bposit32, standard(32), bposit64], ids=str
)
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_large_arguments_near_multiples_of_a_quarter_turn(name: str, spec: PositSpec) -> None:
    at = near_quarter_turns(spec)
    assert at.size > 20
    judged(name, spec, at)


@pytest.mark.parametrize("name", UNARY)
def test_what_float64_finds_hardest(name: str) -> None:
    """Of many operands those whose result lies closest to a boundary."""
    for spec in (bposit32, standard(32), PositSpec(40, 6, 5)):
        rng = np.random.default_rng([UNARY.index(name), spec.n])
        anywhere = rng.integers(spec.nar, spec.maxpos_pattern, 1 << 13)
        ordinary = posit.encode(rng.standard_normal(1 << 14) * 2, spec)
        x = np.concatenate([anywhere.astype(spec.storage), ordinary])
        with np.errstate(all="ignore"):
            y, e = ROWS[name].fast(posit.decode(x, spec))
            wide = (0.0 if e is None else e) * 2.0 ** max(0, 36 - spec.f_max)
            hard = posit.encode(y - wide, spec) != posit.encode(y + wide, spec)
        judged(name, spec, x[hard][:200])


@pytest.mark.parametrize("spec", [bposit8, *SIXTEEN, *WIDE], ids=str)
def test_saturation(spec: PositSpec) -> None:
    top = spec.maxpos_pattern
    big, small, one = top, 1, spec.one
    if spec.reach >= 12:
        for f in (F.exp, F.exp2, F.exp10):
            assert (f(big, spec), f(-big, spec)) == (top, 1), f.__name__
        for f in (F.exp_minus_1, F.exp2_minus_1, F.exp10_minus_1):
            assert (f(big, spec), f(-big, spec)) == (top, -one), f.__name__
        assert (F.sin_h(big, spec), F.sin_h(-big, spec), F.cos_h(-big, spec)) == (top, -top, top)
        assert (F.tan_h(big, spec), F.tan_h(-big, spec)) == (one, -one)
    assert (F.pow(big, big, spec), F.pow(big, -big, spec)) == (top, 1)
    assert F.f_mm([big, -small], [big, small], [big, small], spec).tolist() == [top, -1]
    assert F.hypot(-big, big, spec) == top
    if 0 in (spec.f_min, spec.f_max) or spec.f_min < 0:
        return  # minpos = 2^-k has such neighbours that its inverse square root may not saturate
    assert F.compound(big, [1 << 40, -(1 << 40)], spec).tolist() == [top, 1]
    assert F.root_n(small, -1, spec) == F.reciprocal(small, spec)


@pytest.mark.parametrize("spec", [*TINY, *SIXTEEN, *WIDE], ids=str)
def test_numbers_go_to_mpfr_and_back(spec: PositSpec) -> None:
    """ctypes_src/parts.c: patterns exactly, and any number rounded as the definition rounds it."""
    bits = np.array([p for p in corners(spec) if p != spec.nar], spec.storage)
    for p, x in zip(bits.tolist(), exact._numbers(bits, spec, gmpy2), strict=True):
        assert Fraction(*map(int, x.as_integer_ratio())) == reference.decode(p, spec)
    edges = [boundary(p, spec) for p in bits.tolist() if 0 < p < spec.maxpos_pattern]
    hair = 1 + Fraction(1, 1 << 200)
    numbers = [s * x * h for x in edges for h in (1, hair, 1 / hair) for s in (1, -1)]
    numbers += [Fraction(0), Fraction(2) ** 9000, Fraction(2) ** -9000]
    want = [reference.encode(x, spec) for x in numbers]
    assert exact._rounded([exact._number(x) for x in numbers], spec).tolist() == want
    assert exact._rounded([exact._number(float("nan"))], spec).tolist() == [spec.nar]


def test_a_bound_of_nothing_is_found_out() -> None:
    """exp(u/2) is above a tie by u²/8, which float64 does not see."""
    spec = PositSpec(40, 6, 5)
    x = np.array([value(spec.epsilon / 2, spec)], spec.storage)
    mutant = replace(ROWS["exp"], fast=relative(np.exp, 0.0))
    judge("exp", spec, [x], engine._decided(ROWS["exp"], spec, [x]))
    with pytest.raises(Wrong, match="exp"):
        judge("exp", spec, [x], engine._decided(mutant, spec, [x]))


@pytest.mark.parametrize("name", ["exp", "tan_pi", "floor"])
def test_a_wrong_entry_is_found_out(name: str) -> None:
    p = np.arange(-120, 120, dtype=np.int8)
    table = engine.table(ROWS[name], bposit8)
    assert not table.flags.writeable
    judge(name, bposit8, [p], table[p.view(np.uint8)])
    for at in (3, 77, -60):
        mutant = table.copy()
        mutant[np.uint8(at % 256)] += 1
        with pytest.raises(Wrong, match=name):
            judge(name, bposit8, [p], mutant[p.view(np.uint8)])


def test_the_callers_mpfr_context_is_neither_used_nor_changed() -> None:
    x = np.arange(1, 1 << 20, 1 << 14) << 40
    want = F.exp_minus_1(x, bposit64), F.sin_pi(x, bposit64)
    with gmpy2.context(precision=5, round=gmpy2.RoundUp, emax=3, emin=-3, trap_inexact=True) as m:
        got = F.exp_minus_1(x, bposit64), F.sin_pi(x, bposit64)
        assert gmpy2.get_context().precision == 5
        assert not m.inexact
    np.testing.assert_array_equal(got, want)


def test_what_cannot_be_decided_is_said() -> None:
    """A route that never leaves a boundary: an exact case that was forgotten."""
    tie = mpfr(gmpy2.mpq(boundary(bposit64.one, bposit64)), 64)

    def stuck(near: Callable[..., Any] | None) -> Row:
        return Row("stuck", "", relative(np.exp), lambda m, x: None, near)

    x = np.array([bposit64.one])
    for near in (None, lambda m, x: m.plus(tie)):
        with pytest.raises(ArithmeticError, match=r"stuck of \['1.0'\] at <64,6,5>: \d+ bits"):
            exact.exact(stuck(near), bposit64, [x])
