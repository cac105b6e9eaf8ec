"""float64 routes of several operands; what they promise is said in floats.py."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .floats import F8, HUGE, REL, TINY, Bounded


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
    """a·b·c: two roundings of 2^-53 (the table asks for 3·reach bits of range)."""
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
    """a - b·floor(a/b), with the sign of b: exact, save where TwoSum of m + b has a residual."""
    m, differ = _divided(a, b)
    added = np.where(differ, b, 0.0)
    y = m + added
    back = y - m
    residual = (m - (y - back)) + (added - back)
    return y, np.where(residual != 0, y * 2.0**-51, 0.0)
