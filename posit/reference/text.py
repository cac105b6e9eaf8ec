"""to_string, from_string: the shortest decimal that reads back, and any decimal in."""

from __future__ import annotations

import re
from fractions import Fraction

from ..spec import PositSpec
from .decode import decode, magnitude
from .encode import encode
from .number import DECIMAL_REACH

__all__ = ["from_string", "parse", "to_string"]

_NUMBER = re.compile(
    r"([+-]?)(?=[0-9.])(?:([0-9]+)/([0-9]+)|([0-9]*)\.?([0-9]*)(?:[eE]([+-]?[0-9]+))?)"
)
_NOT_REAL = re.compile(r"nar|[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_MAX_LENGTH = 4300  # characters: what Python's int() reads, and a bound on the work asked for


def to_string(pattern: int, spec: PositSpec) -> str:
    """Return the shortest decimal that :func:`from_string` reads back as ``pattern``.

    Among the shortest it is the one nearest to the exact value. NaR is ``"NaR"``.
    """
    value = decode(pattern, spec)
    if value is None:
        return "NaR"
    if value == 0:
        return "0"
    digits, point = _shortest(abs(pattern), abs(value), spec)
    return ("-" if value < 0 else "") + _layout(digits, point)


def _shortest(body: int, value: Fraction, spec: PositSpec) -> tuple[str, int]:
    """Digits d1 d2 … and the decimal point's place: value ≈ 0.d1d2… · 10^point."""
    # Everything between the two rounding boundaries reads back as `body`; the boundaries are the
    # odd (n+1)-bit patterns beside it, and belong to it where it is even. Saturation opens the
    # interval down to 0 below minpos and up to infinity above maxpos.
    n, rs, es = spec.n + 1, spec.rs, spec.es
    low = Fraction(0) if body == 1 else magnitude(2 * body - 1, n, rs, es)
    high = None if body == spec.maxpos_pattern else magnitude(2 * body + 1, n, rs, es)
    closed = body % 2 == 0
    point = _decimal_point(value)
    length = 0
    while True:
        length += 1
        unit = Fraction(10) ** (point - length)
        below = value // unit
        found = [
            (abs(c * unit - value), c)
            for c in (below, below + 1)
            if _inside(c * unit, low, high, closed)
        ]
        if found:
            digits = str(min(found)[1])
            point += len(digits) - length  # 9.99 may have become 10
            return digits.rstrip("0"), point


def _inside(x: Fraction, low: Fraction, high: Fraction | None, closed: bool) -> bool:
    if x <= 0:
        return False
    above = low < x or (closed and low == x)
    return above and (high is None or x < high or (closed and x == high))


def _decimal_point(value: Fraction) -> int:
    """Smallest k with value < 10^k."""
    k = (value.numerator.bit_length() - value.denominator.bit_length()) * 30103 // 100000
    while value >= Fraction(10) ** k:
        k += 1
    while value < Fraction(10) ** (k - 1):
        k -= 1
    return k


def _layout(digits: str, point: int) -> str:
    """Positional notation for moderate exponents, scientific otherwise (as Python's float)."""
    if -4 < point <= 16:
        if point <= 0:
            return "0." + "0" * -point + digits
        if len(digits) <= point:
            return digits + "0" * (point - len(digits))
        return digits[:point] + "." + digits[point:]
    mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{mantissa}e{point - 1:+03d}"


def from_string(text: str, spec: PositSpec) -> int:
    """Read a decimal (``-1.5e3``), a fraction (``1/3``), ``NaR``, ``nan`` or ``inf``; round once.

    Raises ValueError for anything else.
    """
    return encode(parse(text), spec)


def parse(text: str) -> Fraction | None:
    """The number that ``text`` writes, or None for NaR; ValueError if it writes none.

    Exact, save that magnitudes beyond 10^±1300, where every format saturates, are cut to that.
    """
    key = text.strip()
    if _NOT_REAL.fullmatch(key):
        return None
    if len(key) > _MAX_LENGTH:
        raise ValueError(f"not a number: {len(key)} characters, and at most {_MAX_LENGTH} are read")
    match = _NUMBER.fullmatch(key)
    if match is None:
        raise ValueError(
            f"not a number: {text[:60]!r}; possible are decimals (-1.5e3), fractions (1/3) and NaR"
        )
    sign, top, bottom, whole, part, exponent = match.groups()
    if bottom is not None:
        if int(bottom) == 0:
            return None
        value = Fraction(int(top), int(bottom))
    else:
        if not whole and not part:
            raise ValueError(f"not a number: {text[:60]!r}")
        value = _scaled(whole + part, int((exponent or "0")[:12]) - len(part))
    return -value if sign == "-" else value


def _scaled(digits: str, power: int) -> Fraction:
    """digits · 10^power, with the power bounded where every format saturates anyway."""
    mantissa = int(digits)
    if mantissa == 0:
        return Fraction(0)
    leading = len(str(mantissa)) + power  # value < 10^leading
    if leading > DECIMAL_REACH:
        return Fraction(10) ** DECIMAL_REACH
    if leading < -DECIMAL_REACH:
        return Fraction(10) ** -DECIMAL_REACH
    return mantissa * Fraction(10) ** power
