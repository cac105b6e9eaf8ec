"""Means and variances of rows in float64, each with a bound of its error.

With u = 2^-53: a sum of n terms, in any order, is within n·u·Σ|x| of the exact one. Every bound
below is at least twice what that gives, so that its own roundings, and those of value ± error, are
covered. Nothing overflows or underflows for the specs that ``holds`` admits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .spec import PositSpec

__all__ = ["BLOCK", "F8", "SHORT", "deviations", "holds", "means", "variances"]

F8 = npt.NDArray[np.float64]

SHORT = 4096  # elements of a row; beyond, a quire for each row costs less
BLOCK = 1 << 15  # elements at a time: float64 arrays of 256 KiB
_UNIT = 2.0**-53


def holds(spec: PositSpec) -> bool:
    """Whether float64 has the values, and room for squares of their differences.

    Magnitudes are within 2^±(256 + 64), so that squares of multiples of the last bit of a mean are
    above 2^(-2·(256 + 64 + 53)), far from underflow.
    """
    return spec.fits_float64 and spec.reach <= 256


def means(x: F8, f_max: int) -> tuple[F8, F8]:
    """Σ x / n over the last axis, of numbers that have at most ``f_max`` fraction bits.

    The error is 0 where the sum and the division are seen to be exact.
    """
    n = x.shape[-1]
    size = np.abs(x)
    total, bound = x.sum(-1), size.sum(-1)
    value = total / n
    error = (4 * n + 8) * _UNIT * bound / n
    if n & (n - 1) == 0:
        # All terms are multiples of the last bit that the least one may have; where no partial sum
        # exceeds 2^52 of those, none is rounded.
        _, exponent = np.frexp(np.where(size > 0, size, np.inf).min(-1))
        unit = np.ldexp(1.0, exponent - 1 - f_max)
        error = np.where(bound <= unit * 2.0**52, 0.0, error)
    return value, error


def variances(x: F8, ddof: float) -> tuple[F8, F8]:
    """Σ (x - mean)² / (n - ddof) over the last axis, NaN where n <= ddof.

    With d = x - c for any c near the mean, Σ(x - mean)² = Σd² - (Σd)²/n. By Cauchy's inequality
    (Σd)²/n <= Σd², so that both terms are within (3n + 10)·u·Σd² of their exact values.
    """
    n = x.shape[-1]
    d = x - x.mean(-1, keepdims=True)
    squares, total = (d * d).sum(-1), d.sum(-1)
    freedom = n - ddof if n > ddof else np.nan
    value = (squares - total * total / n) / freedom
    error = (8 * n + 64) * _UNIT * squares / freedom
    equal = (x == x[..., :1]).all(-1)
    return np.where(equal, 0.0 * freedom, value), np.where(equal, 0.0, error)


def deviations(x: F8, ddof: float) -> tuple[F8, F8]:
    """The root of the variance: of both ends of its interval, and half of what lies between."""
    value, error = variances(x, ddof)
    low, high = np.sqrt(np.maximum(value - error, 0)), np.sqrt(value + error)
    return (low + high) / 2, (high - low) / 2 + 4 * _UNIT * high
