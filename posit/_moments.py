"""Statistics of posits beyond the variance, exact and rounded once: what pandas has and NumPy not.

They take 1-D arrays of a posit dtype, and compute with whole numbers: n times each deviation from
the mean, d = n·(x - mean)·2^k, is one. The formulas are those of pandas. NaR where an element is,
or where there are too few.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy.typing as npt

from . import reference
from ._dtype import bits
from .scalar import Posit
from .spec import PositSpec

__all__ = ["kurt", "sem", "skew"]

Array = npt.NDArray[Any]


def sem(data: Array, ddof: int = 1) -> Posit:
    """The standard error of the mean, √(Σ (x - mean)² / ((n - ddof)·n)); NaR for n <= ddof."""
    deviations, scale = _deviations(data)
    n = len(deviations)
    if n <= ddof:
        return _rounded(None, data)
    squares = Fraction(sum(d * d for d in deviations), n**3 * (n - ddof) * scale**2)
    return _rounded(_root(squares, data), data)


def skew(data: Array) -> Posit:
    """The skewness, unbiased; NaR for n < 3, 0 where all are equal.

    n·√(n-1)/(n-2) · Σ (x - mean)³ / (Σ (x - mean)²)^1.5
    """
    deviations, _ = _deviations(data)
    n = len(deviations)
    if n < 3:
        return _rounded(None, data)
    second, third = (sum(d**k for d in deviations) for k in (2, 3))
    if second == 0:
        return _rounded(Fraction(0), data)
    square = Fraction(n * n * (n - 1) * third**2, (n - 2) ** 2 * second**3)
    size = _root(square, data)
    return _rounded(size if third > 0 else -size, data)


def kurt(data: Array) -> Posit:
    """The excess kurtosis, unbiased; NaR for n < 4, 0 where all are equal.

    n(n+1)(n-1)/((n-2)(n-3)) · Σ (x - mean)⁴ / (Σ (x - mean)²)² - 3(n-1)²/((n-2)(n-3))
    """
    deviations, _ = _deviations(data)
    n = len(deviations)
    if n < 4:
        return _rounded(None, data)
    second, fourth = (sum(d**k for d in deviations) for k in (2, 4))
    if second == 0:
        return _rounded(Fraction(0), data)
    ratio = Fraction(n * (n + 1) * fourth, second**2) - 3 * (n - 1)
    return _rounded(ratio * Fraction(n - 1, (n - 2) * (n - 3)), data)


def _spec(data: Array) -> PositSpec:
    return data.dtype.spec  # type: ignore[attr-defined, no-any-return]


def _deviations(data: Array) -> tuple[list[int], int]:
    """n·(x - mean)·2^k for each element, and 2^k; none where an element is NaR."""
    spec = _spec(data)
    values = [reference.decode(p, spec) for p in bits(data).tolist()]
    exact = [v for v in values if v is not None]
    if len(exact) < len(values):
        return [], 1
    scale = max((v.denominator for v in exact), default=1)  # all are powers of two
    whole = [int(v * scale) for v in exact]
    total = sum(whole)
    return [len(whole) * w - total for w in whole], scale


def _root(square: Fraction, data: Array) -> Fraction:
    return reference.root(square, 2 * _spec(data).n)


def _rounded(exact: Fraction | None, data: Array) -> Posit:
    spec = _spec(data)
    return Posit.from_bits(reference.encode(exact, spec), spec)
