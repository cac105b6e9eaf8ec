"""add, sub, mul, div, sqrt, fma: computed exactly, rounded once."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

from ..spec import PositSpec
from .decode import decode
from .encode import encode

__all__ = ["add", "div", "fma", "mul", "root", "sqrt", "sub"]


def add(a: int, b: int, spec: PositSpec) -> int:
    """Pattern of a + b; NaR if either is NaR."""
    x, y = decode(a, spec), decode(b, spec)
    return spec.nar if x is None or y is None else encode(x + y, spec)


def sub(a: int, b: int, spec: PositSpec) -> int:
    """Pattern of a - b; NaR if either is NaR."""
    x, y = decode(a, spec), decode(b, spec)
    return spec.nar if x is None or y is None else encode(x - y, spec)


def mul(a: int, b: int, spec: PositSpec) -> int:
    """Pattern of a · b; NaR if either is NaR."""
    x, y = decode(a, spec), decode(b, spec)
    return spec.nar if x is None or y is None else encode(x * y, spec)


def div(a: int, b: int, spec: PositSpec) -> int:
    """Pattern of a / b; NaR if either is NaR or b is 0."""
    x, y = decode(a, spec), decode(b, spec)
    return spec.nar if x is None or not y else encode(x / y, spec)


def fma(a: int, b: int, c: int, spec: PositSpec) -> int:
    """Pattern of a · b + c, rounded once; NaR if any is NaR."""
    x, y, z = decode(a, spec), decode(b, spec), decode(c, spec)
    return spec.nar if x is None or y is None or z is None else encode(x * y + z, spec)


def sqrt(a: int, spec: PositSpec) -> int:
    """Pattern of the square root; NaR for NaR and for negative values."""
    x = decode(a, spec)
    return spec.nar if x is None or x < 0 else encode(root(x, 2 * spec.n), spec)


def root(x: Fraction, bits: int) -> Fraction:
    """A stand-in for √x that rounds like √x in any format whose boundaries have < ``bits`` bits.

    It is √x itself where that has at most ``bits`` significant bits or so, and otherwise a point
    strictly inside the gap between two neighbouring ``bits``-bit numbers in which √x lies.
    """
    if x == 0:
        return x
    magnitude = x.numerator.bit_length() - x.denominator.bit_length()
    k = bits - (magnitude >> 1)  # √x · 2^k has about `bits` bits before the point
    scaled = x * Fraction(4) ** k
    whole = isqrt(scaled.numerator // scaled.denominator)
    if whole * whole == scaled:
        return whole * Fraction(2) ** -k
    return (2 * whole + 1) * Fraction(2) ** (-k - 1)
