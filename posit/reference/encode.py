"""encode: from an exact value to the nearest pattern (docs/format.md, "Encoding")."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from ..spec import PositSpec
from .number import exact

__all__ = ["encode", "floor_body"]


def encode(value: Fraction | int | float | Decimal | None, spec: PositSpec) -> int:
    """Round ``value`` to the nearest pattern, ties to the even pattern.

    None, NaN and ±∞ become NaR; a non-zero finite value never becomes 0 or NaR but saturates
    at ±minpos and ±maxpos. Returns a signed n-bit integer.
    """
    number = exact(value)
    if number is None:
        return spec.nar
    if number == 0:
        return 0
    body, guard, sticky = floor_body(abs(number), spec)
    if guard and (sticky or body & 1):
        body += 1
    body = min(max(body, 1), spec.maxpos_pattern)
    return -body if number < 0 else body


def floor_body(value: Fraction, spec: PositSpec) -> tuple[int, int, bool]:
    """Cut the infinite bit string of ``value`` > 0 after n-1 bits.

    Returns ``(body, guard, sticky)``: the n-1 bits as an integer, the bit after them, and whether
    any later bit is 1. Beyond the largest regime the body is maxpos, below the smallest it is 0.
    """
    n, rs, es = spec.n, spec.rs, spec.es
    scale = value.numerator.bit_length() - value.denominator.bit_length()
    if value < _power(scale):
        scale -= 1  # now 2^scale <= value < 2^(scale+1)
    r, e = scale >> es, scale & ((1 << es) - 1)
    if r >= rs:
        return spec.maxpos_pattern, 0, True
    if r < -rs:
        return 0, 0, True
    m = r + 1 if r >= 0 else -r
    size = m + 1 if m < rs else m
    if r >= 0:
        regime = ((1 << m) - 1) << (size - m)  # m ones, then a zero unless m = rs
    else:
        regime = size - m  # m zeros, then a one unless m = rs
    tail = value / _power(scale) - 1  # the fraction, in [0, 1)
    width = n + 1  # fraction bits written out: enough to reach the guard bit
    cut = tail.numerator * (1 << width) // tail.denominator
    string = (regime << es | e) << width | cut
    length = size + es + width
    body = string >> (length - (n - 1))
    rest = string & ((1 << (length - (n - 1))) - 1)
    half = 1 << (length - n)
    sticky = bool(rest & (half - 1)) or cut * tail.denominator != tail.numerator * (1 << width)
    return body, int(bool(rest & half)), sticky


def _power(k: int) -> Fraction:
    return Fraction(1 << k) if k >= 0 else Fraction(1, 1 << -k)
