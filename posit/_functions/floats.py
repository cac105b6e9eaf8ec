"""float64 routes: each returns a value and how far from it the exact result may be.

A route takes finite float64 operands (NaN for NaR), which are exact, and returns
``(value, error)``: the exact result lies in value ± |error|. NaN and ±∞ mean NaR; ``error`` None
means that value is exact. The engine rounds both ends and believes them only where they agree, so
a bound that is wide costs time and one that is too narrow costs correctness.

The bounds are assumptions about NumPy, whose errors are not proved. Its own tests allow 4 ulp,
2^-50 of the value; ``REL`` leaves 64 times that. tests/posit/test_functions_bounds.py looks for
violations. Beside a route that computes more than one NumPy function stands what is added.

Magnitudes stay within [TINY, HUGE], outside which every format that comes here saturates
(REACH), so that overflow and underflow of float64 become neither NaR nor zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

F8 = npt.NDArray[np.float64]
Bounded = tuple[F8, Any]

REL = 2.0**-44
REACH = 1016  # bits: values lie in 2^±REACH, where halving and doubling a few times stays normal
FRACTION = 34  # bits: with more, an interval of 2·REL would hold a boundary too often (1 in 2^8)
TINY, HUGE = 2.0**-1020, 2.0**1020
_LN2, _LN10 = math.log(2), math.log(10)


def relative(
    function: Callable[..., F8], bound: float = REL, *, times: float = 1.0
) -> Callable[..., Bounded]:
    """A NumPy function of relative error below ``bound``, times a constant (2^-52 more at most)."""

    def route(*x: F8) -> Bounded:
        y = function(*x)
        if times != 1.0:
            y *= times
        return y, y * bound

    return route


def exactly(function: Callable[[F8], F8]) -> Callable[[F8], Bounded]:
    """A function that is exact in float64."""
    return lambda x: (function(x), None)


def exp(x: F8) -> Bounded:
    """e^x, never 0."""
    y = np.clip(np.exp(x), TINY, HUGE)
    return y, y * REL


def exp2(x: F8) -> Bounded:
    """2^x, never 0."""
    y = np.clip(np.exp2(x), TINY, HUGE)
    return y, y * REL


def exp10(x: F8) -> Bounded:
    """e^z, z = x·ln 10 < 2^10: two roundings put z, and so e^z relatively, wrong by 2^-42."""
    y = np.clip(np.exp(np.clip(x, -320.0, 320.0) * _LN10), TINY, HUGE)
    return y, y * 2.0**-41


def exp_minus_1(x: F8) -> Bounded:
    """e^x - 1."""
    y = np.minimum(np.expm1(x), HUGE)
    return y, y * REL


def exp2_minus_1(x: F8) -> Bounded:
    """expm1(z), z = x·ln 2: |z| < 2^10 is wrong by |z|·2^-52, the result by |z| + 1 such units."""
    y = np.minimum(np.expm1(np.clip(x, -1100.0, 1100.0) * _LN2), HUGE)
    return y, y * 2.0**-41


def exp10_minus_1(x: F8) -> Bounded:
    """As exp2_minus_1, with z = x·ln 10."""
    y = np.minimum(np.expm1(np.clip(x, -320.0, 320.0) * _LN10), HUGE)
    return y, y * 2.0**-41


def sin(x: F8) -> Bounded:
    """Near a zero k·π nothing is asked of the relative error: |x| and 1 stand for the value."""
    return np.sin(x), np.minimum(np.abs(x), 1.0) * (REL / 2)


def cos(x: F8) -> Bounded:
    """As sin: 1 stands for the value."""
    return np.cos(x), REL / 2


def tan(x: F8) -> Bounded:
    """Relative near poles, as sin near zeros."""
    y = np.tan(x)
    return y, (np.abs(y) + np.minimum(np.abs(x), 1.0)) * REL


# x - 2·rint(x/2) and the foldings below are exact, for every term is a multiple of the last bit of
# x and no result needs more bits than x. The arguments π·t of sin and tan then have relative error
# 2^-52, which neither amplifies by more than 2 for |t| <= 1/4 or, for sin, <= 1/2.


def sin_pi(x: F8) -> Bounded:
    """sin πx, x folded to |t| <= 1/2."""
    r = x - 2.0 * np.rint(x * 0.5)
    t = np.where(np.abs(r) > 0.5, np.copysign(1.0, r) - r, r)
    y = np.sin(np.pi * t)
    return y, y * REL


def cos_pi(x: F8) -> Bounded:
    """cos πx = sin π(1/2 - |r|); the difference rounds by at most 2^-54, where sin is flat."""
    r = x - 2.0 * np.rint(x * 0.5)
    y = np.sin(np.pi * (0.5 - np.abs(r)))
    return y, y * REL


def tan_pi(x: F8) -> Bounded:
    """tan πx; beyond 1/4 the reciprocal of tan π(1/2 - |r|), infinite at half integers: NaR."""
    r = x - np.rint(x)
    far = np.abs(r) > 0.25
    t = np.tan(np.pi * np.where(far, 0.5 - np.abs(r), np.abs(r)))
    y = np.copysign(np.where(far, 1.0 / t, t), r)
    return y, y * (2 * REL)


def sinh(x: F8) -> Bounded:
    """sinh x."""
    y = np.clip(np.sinh(x), -HUGE, HUGE)
    return y, y * REL


def cosh(x: F8) -> Bounded:
    """cosh x."""
    y = np.minimum(np.cosh(x), HUGE)
    return y, y * REL


def r_sqrt(x: F8) -> Bounded:
    """Two IEEE operations, each within 2^-53; infinite at 0: NaR."""
    y = 1.0 / np.sqrt(x)
    return y, y * 2.0**-51


def _kept(y: F8, nonzero: npt.NDArray[np.bool_]) -> F8:
    """y with its magnitude in [TINY, HUGE] where the exact result is not 0."""
    held: F8 = np.copysign(np.clip(np.abs(y), TINY, HUGE), y)
    return np.where(nonzero, held, y)


def power(x: F8, p: F8) -> Bounded:
    """x^p; NaR at x = 0, p <= 0, where NumPy has 1 or ∞, and for NaR in either place.

    Squares are common, and ties among them: x·x is exact where x has at most 26 bits, that is where
    Veltkamp's splitting leaves nothing.
    """
    y = np.power(x, p)
    error = np.full(y.shape, REL)
    square = p == 2
    if square.any():
        scaled = x * (2.0**27 + 1)
        y = np.where(square, x * x, y)
        error[square & (scaled - (scaled - x) == x)] = 0.0
    y = _kept(y, x != 0)
    y[(x == 0) & (p <= 0) | np.isnan(x) | np.isnan(p)] = np.nan
    return y, y * error


def _angle(y: F8, x: F8) -> F8:
    found = _kept(np.arctan2(y, x), y != 0)
    found[(x == 0) & (y == 0)] = np.nan
    return found


def arc_tan2(y: F8, x: F8) -> Bounded:
    """The argument of x + iy; NaR at the origin."""
    found = _angle(y, x)
    return found, found * REL


def arc_tan2_pi(y: F8, x: F8) -> Bounded:
    """The argument of x + iy over π."""
    found = _angle(y, x) * (1 / np.pi)
    return found, found * (2 * REL)


def product3(a: F8, b: F8, c: F8) -> Bounded:
    """a·b·c: two roundings of 2^-53 (3·REACH bits of range are asked for in the table)."""
    y = a * b * c
    return y, y * 2.0**-51


def _power_of_exp(logarithm: F8, factor: F8) -> Bounded:
    """exp(z), z = factor·logarithm: z's relative error REL counts |z| times."""
    z = np.clip(logarithm * factor, -720.0, 720.0)
    y = np.clip(np.exp(z), TINY, HUGE)
    return y, y * ((np.abs(z) + 2.0) * REL)


def compound(x: F8, k: npt.NDArray[np.int64]) -> Bounded:
    """(1 + x)^k = ±exp(k·log|1 + x|).

    Below -1, -(1 + x) is exact unless |x| > 2^18 (x has at most FRACTION + 1 bits), and there it is
    wrong by 2^-53 while log|1 + x| > 1: less than the error REL of the logarithm itself.
    """
    below, nothing = x < -1, x == -1
    y, e = _power_of_exp(np.where(below, np.log(-1.0 - x), np.log1p(x)), k.astype(np.float64))
    y = np.where(below & (k % 2 != 0), -y, y)
    y = np.where(nothing, np.where(k > 0, 0.0, np.nan), y)
    y = np.where((k == 0) & ~np.isnan(x), 1.0, y)
    return y, np.where(nothing | (k == 0), 0.0, e)


def root_n(x: F8, k: npt.NDArray[np.int64]) -> Bounded:
    """x^(1/k) = ±exp(log|x| / k); NaR for k = 0, even roots of negatives and negative ones of 0."""
    y, e = _power_of_exp(np.log(np.abs(x)), 1.0 / k)
    y = np.where(x < 0, np.where(k % 2 != 0, -y, np.nan), y)
    y = np.where(x == 0, np.where(k > 0, 0.0, np.nan), y)
    y = np.where(k == 0, np.nan, y)
    return y, np.where((x == 0) | (k == 0), 0.0, e)


def _divided(a: F8, b: F8) -> tuple[F8, npt.NDArray[np.bool_]]:
    """a mod b with the sign of a, exact as C's fmod is, and whether b must be added to it."""
    m = np.fmod(a, b)
    return m, (m != 0) & ((m < 0) != (b < 0))


def floor_divide(a: F8, b: F8) -> Bounded:
    """floor(a/b) = (a - m)/b, less 1 where signs differ: an integer known within 2^-51 of itself,
    hence exact below 2^50. NaR where b is 0."""
    m, differ = _divided(a, b)
    y = np.rint((a - m) / b) - differ
    return y, np.where(np.abs(y) < 2.0**50, 0.0, y * 2.0**-48)


def remainder(a: F8, b: F8) -> Bounded:
    """a - b·floor(a/b), with the sign of b: exact, save for the rounding of m + b."""
    m, differ = _divided(a, b)
    y = m + np.where(differ, b, 0.0)
    return y, np.where(differ, y * 2.0**-51, 0.0)
