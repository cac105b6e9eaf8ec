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


# NumPy's tangent is several times as fast as its sine where it has vectors for it. With t = tan x/2
# the error of sin x = 2t/(1 + t²) is relatively at most t's, that of cos x = (1 - t²)/(1 + t²)
# absolutely.


def _sine(half: F8) -> F8:
    t = np.tan(half)
    y: F8 = 2.0 * t / (1.0 + t * t)
    return y


def sin(x: F8) -> Bounded:
    """Near a zero k·π nothing is asked of the relative error: |x| and 1 stand for the value."""
    return _sine(0.5 * x), np.minimum(np.abs(x), 1.0) * (REL / 2)


def cos(x: F8) -> Bounded:
    """As sin: 1 stands for the value."""
    square = np.tan(0.5 * x) ** 2
    return (1.0 - square) / (1.0 + square), REL / 2


def tan(x: F8) -> Bounded:
    """Relative near poles, as sin near zeros."""
    y = np.tan(x)
    return y, (np.abs(y) + np.minimum(np.abs(x), 1.0)) * REL


# x - 2·rint(x/2) and the foldings below are exact, for every term is a multiple of the last bit of
# x and no result needs more bits than x. The arguments of the tangents lie within π/4, so that
# their relative error 2^-52 is not amplified by more than 2.


def sin_pi(x: F8) -> Bounded:
    """sin πx, x folded to |t| <= 1/2."""
    r = x - 2.0 * np.rint(x * 0.5)
    t = np.where(np.abs(r) > 0.5, np.copysign(1.0, r) - r, r)
    y = _sine(np.pi / 2 * t)
    return y, y * REL


def cos_pi(x: F8) -> Bounded:
    """cos πx = sin π(1/2 - |r|); the difference rounds by at most 2^-54, where sin is flat."""
    r = x - 2.0 * np.rint(x * 0.5)
    y = _sine(np.pi / 2 * (0.5 - np.abs(r)))
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
