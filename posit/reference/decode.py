"""decode: from a pattern to its exact value (docs/format.md, "Decoding")."""

from __future__ import annotations

from fractions import Fraction
from operator import index

from ..spec import PositSpec

__all__ = ["decode", "magnitude"]


def decode(pattern: int, spec: PositSpec) -> Fraction | None:
    """Return the exact value of ``pattern`` (a signed n-bit integer), or None for NaR.

    Raises ValueError if ``pattern`` is not in -2^(n-1) … 2^(n-1)-1.
    """
    pattern = check(pattern, spec)
    if pattern == spec.nar:
        return None
    value = magnitude(abs(pattern), spec.n, spec.rs, spec.es)
    return -value if pattern < 0 else value


def check(pattern: int, spec: PositSpec) -> int:
    """``pattern`` as a Python integer; ValueError unless it is a signed n-bit one."""
    if not isinstance(spec, PositSpec):
        raise TypeError(f"spec must be a PositSpec such as posit.bposit16, got {spec!r}")
    pattern = index(pattern)  # NumPy's integers would overflow in what follows
    if not spec.nar <= pattern <= spec.maxpos_pattern:
        raise ValueError(
            f"pattern {pattern} is out of range for {spec}:"
            f" signed patterns run from {spec.nar} to {spec.maxpos_pattern}"
        )
    return pattern


def magnitude(body: int, n: int, rs: int, es: int) -> Fraction:
    """Value of the n-1 bits behind a sign bit of 0.

    Takes bare numbers because a rounding boundary of an n-bit format is a value of the (n+1)-bit
    format with the same rs and es, also at n = 64.
    """
    if body == 0:
        return Fraction(0)
    bits = [body >> i & 1 for i in reversed(range(n - 1))]
    m = 1
    while m < rs and m < n - 1 and bits[m] == bits[0]:
        m += 1
    r = m - 1 if bits[0] else -m
    rest = bits[m + 1 :] if m < rs else bits[m:]  # at m = rs there is no terminator
    exponent_bits = (rest + [0] * es)[:es]  # bits beyond the end of the pattern read as 0
    fraction_bits = rest[es:]
    e = _integer(exponent_bits)
    f = Fraction(_integer(fraction_bits), 1 << len(fraction_bits))
    scale = (r << es) + e
    return (1 + f) * (Fraction(1 << scale) if scale >= 0 else Fraction(1, 1 << -scale))


def _integer(bits: list[int]) -> int:
    value = 0
    for bit in bits:
        value = 2 * value + bit
    return value
