"""MPFR routes: what gmpy2 computes where float64 cannot decide, and for formats it does not hold.

Every function takes a gmpy2 context ``m`` that truncates, and exact operands (none is NaR).

``direct`` routes run at 64 bits. They return an mpfr that is the exact result truncated, with its
ternary value ``rc`` telling whether anything was cut: MPFR's functions are themselves correctly
rounded, so this decides every rounding at once. Or they return the exact result as an int or
Fraction, ``NAR``, or None where MPFR has no such function; then a ``near`` route approximates at
the context's precision p with relative error below 2^(SLACK - p), and p grows until both ends of
the interval round alike. It always does: a result that is exactly a rounding boundary, which is
a dyadic rational, is one that ``direct`` has returned. Why there are no others stands beside each.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

__all__ = ["NAR", "SLACK"]

Real = Any  # an mpfr; gmpy2 has no type hints
Direct = Callable[..., Real]

SLACK = 20  # bits: an amplification by 2^14 and dozens of roundings
NAR = float("nan")


def via(name: str) -> Direct:
    """MPFR's own function."""
    return lambda m, *x: getattr(m, name)(*x)


def over_pi(name: str) -> Direct:
    """MPFR's own function divided by π."""
    return lambda m, *x: m.div(getattr(m, name)(*x), m.const_pi())


def nearest_int(m: Any, x: Real) -> Real:
    """x less its IEEE remainder, exact: ties go to the even integer."""
    return m.sub(x, m.remainder(x, 1))


# 2^x, x = i/2^j in lowest terms, is irrational for j > 0. So is 10^x, and for a negative integer x
# it is rational but not dyadic.


def exp2_minus_1(m: Any, x: Real) -> Real:
    """One rounding where 2^x is exact."""
    return m.sub(m.exp2(x), 1) if m.is_integer(x) else None


def near_exp2_minus_1(m: Any, x: Real) -> Real:
    """Cancels at most one bit for |x| >= 1."""
    return m.expm1(m.mul(x, m.const_log2())) if m.abs(x) < 1 else m.sub(m.exp2(x), 1)


def exp10_minus_1(m: Any, x: Real) -> Real:
    """An integer for x = 0, 1, 2 …, up to where every format has saturated."""
    return 10 ** int(x) - 1 if 0 <= x < 2000 and m.is_integer(x) else None


def near_exp10_minus_1(m: Any, x: Real) -> Real:
    """Cancels at most one bit for |x| >= 1/2."""
    return m.expm1(m.mul(x, m.log(10))) if m.abs(x) < 0.5 else m.sub(m.exp10(x), 1)


def log_plus_1(name: str) -> Direct:
    """log2 or log10 of 1 + x if that has at most 64 bits, as powers of 2 and of 10 here have."""

    def direct(m: Any, x: Real) -> Real:
        y = m.add(x, 1)
        return getattr(m, name)(y) if y.rc == 0 else None

    return direct


def near_log_plus_1(base: int) -> Direct:
    """log(1 + x) in a base."""
    return lambda m, x: m.div(m.log1p(x), m.log(base))


# sin, cos and tan of πx, x rational, are rational only at multiples of 1/6 and 1/4 (Niven), and
# the dyadic multiples of 1/6 are those of 1/2. fmod and the foldings are exact: no operand has
# more than 64 bits and each result is a smaller multiple of its last one.


def sin_pi(m: Any, x: Real) -> Real:
    """0 and ±1 at multiples of 1/2."""
    turns = m.mul(m.fmod(x, 2), 2)
    return (0, 1, 0, -1)[int(turns) % 4] if m.is_integer(turns) else None


def cos_pi(m: Any, x: Real) -> Real:
    """0 and ±1 at multiples of 1/2."""
    turns = m.mul(m.fmod(x, 2), 2)
    return (1, 0, -1, 0)[int(turns) % 4] if m.is_integer(turns) else None


def tan_pi(m: Any, x: Real) -> Real:
    """0, ±1 and poles at multiples of 1/4."""
    turns = m.mul(m.fmod(x, 1), 4)
    return (0, 1, NAR, -1)[int(turns) % 4] if m.is_integer(turns) else None


def near_sin_pi(m: Any, x: Real) -> Real:
    """Folded to [0, 1/2]."""
    r = m.fmod(x, 2)
    t, sign = m.abs(r), -1 if r < 0 else 1
    if t > 1:
        t, sign = m.sub(t, 1), -sign
    if t > 0.5:
        t = m.sub(1, t)
    return m.mul(m.sin(m.mul(t, m.const_pi())), sign)


def near_cos_pi(m: Any, x: Real) -> Real:
    """Folded to [0, 1/2]; beyond 1/4 as a sine, which is exact to the last bits near 1/2."""
    t, sign = m.abs(m.fmod(x, 2)), 1
    if t > 1:
        t = m.sub(2, t)
    if t > 0.5:
        t, sign = m.sub(1, t), -1
    if t > 0.25:
        return m.mul(m.sin(m.mul(m.sub(0.5, t), m.const_pi())), sign)
    return m.mul(m.cos(m.mul(t, m.const_pi())), sign)


def near_tan_pi(m: Any, x: Real) -> Real:
    """Folded to [0, 1/4]."""
    r = m.fmod(x, 1)
    t, sign = m.abs(r), -1 if r < 0 else 1
    if t > 0.5:
        t, sign = m.sub(1, t), -sign
    if t > 0.25:
        return m.div(sign, m.tan(m.mul(m.sub(0.5, t), m.const_pi())))
    return m.mul(m.tan(m.mul(t, m.const_pi())), sign)


# Conversely arcsin, arccos and arctan of a dyadic x over π are rational only at 0, ±1/2 and ±1.


def arc_sin_pi(m: Any, x: Real) -> Real:
    """Elsewhere irrational, or ±1/6."""
    return NAR if m.abs(x) > 1 else Fraction(int(x), 2) if m.is_integer(x) else None


def arc_cos_pi(m: Any, x: Real) -> Real:
    """Elsewhere irrational, 1/3 or 2/3."""
    return NAR if m.abs(x) > 1 else Fraction(1 - int(x), 2) if m.is_integer(x) else None


def arc_tan_pi(m: Any, x: Real) -> Real:
    """Elsewhere irrational."""
    return Fraction(int(x), 4) if x in (-1, 0, 1) else None


def arc_tan2(m: Any, y: Real, x: Real) -> Real:
    """The argument of x + iy; none at the origin."""
    return NAR if x == 0 and y == 0 else m.atan2(y, x)


def arc_tan2_pi(m: Any, y: Real, x: Real) -> Real:
    """Rational on the axes and diagonals only: elsewhere y/x is neither 0 nor ±1."""
    if x == 0 and y == 0:
        return NAR
    if x != 0 and y != 0 and m.abs(x) != m.abs(y):
        return None
    eighths = {(1, 0): 0, (1, 1): 1, (0, 1): 2, (-1, 1): 3, (-1, 0): 4}
    found = eighths[_sign(x), abs(_sign(y))]
    return Fraction(-found if y < 0 else found, 4)


def _sign(x: Real) -> int:
    return int(x > 0) - int(x < 0)


def power(m: Any, x: Real, p: Real) -> Real:
    """x^p; 0^p only for p > 0."""
    if x == 0:
        return 0 if p > 0 else NAR
    return m.pow(x, p)


def compound(m: Any, x: Real, k: int) -> Real:
    """(1 + x)^k; where 1 + x has more than 64 bits no other power than the first has fewer."""
    y = m.add(x, 1)
    if k in (0, 1):
        return y if k else 1
    if y.rc:
        return None
    if y == 0:
        return 0 if k > 0 else NAR
    return m.pow(y, k)


def near_compound(m: Any, x: Real, k: int) -> Real:
    """±exp(k·log|1 + x|); only |x| > 2 or |x| < 1/2 come here, and beyond 2^14 all saturates."""
    y = m.add(x, 1)
    z = m.mul(m.log1p(x) if m.abs(x) < 0.5 else m.log(m.abs(y)), k)
    return m.mul(m.exp(z), -1 if y < 0 and k % 2 else 1)


def root_n(m: Any, x: Real, k: int) -> Real:
    """The reciprocal of an exact root is one rounding away; that of an irrational one is not
    dyadic. (An exact root of 62 bits has at most 62.)"""
    if k == 0 or x == 0:
        return 0 if k > 0 else NAR
    root = m.rootn(x, abs(k))
    if k > 0:
        return root
    return m.div(1, root) if root.rc == 0 else None


def near_root_n(m: Any, x: Real, k: int) -> Real:
    """For negative k."""
    return m.div(1, m.rootn(x, -k))


def product3(m: Any, a: Real, b: Real, c: Real) -> Real:
    """a·b = high + low exactly, then high·c + low·c is rounded once."""
    high = m.mul(a, b)
    return m.fmma(high, c, m.fms(a, b, high), c)


def floor_divide(m: Any, a: Real, b: Real) -> Real:
    """An integer, exact."""
    return NAR if b == 0 else _fraction(a) // _fraction(b)


def remainder(m: Any, a: Real, b: Real) -> Real:
    """A dyadic rational, exact."""
    return NAR if b == 0 else _fraction(a) % _fraction(b)


def _fraction(x: Real) -> Fraction:
    top, bottom = x.as_integer_ratio()
    return Fraction(int(top), int(bottom))
