"""Numbers and patterns as text: what the user may write, and what the command prints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from fractions import Fraction

from posit import PositSpec, from_string

from .errors import BadInput

__all__ = [
    "Given",
    "binary",
    "decimal",
    "dyadic",
    "fraction",
    "hexadecimal",
    "ratio",
    "read",
    "read_format",
    "rough",
]

_EXACT_DIGITS = 36  # longer decimals are shown rounded
_DIGITS = 20  # of a rounded decimal
_MAX_EXPONENT = 9999  # beyond every format's 10^±1234; keeps exact values of sane size
_PATTERN = re.compile(r"0x[0-9a-f_]+|0b[01_]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Given:
    """One VALUE or 0xPATTERN of the command line.

    ``value`` is the exact number written, None for NaR and for what becomes NaR; ``pattern`` is
    the signed n-bit integer nearest to it, or the one given.
    """

    text: str
    pattern: int
    value: Fraction | None
    is_pattern: bool


def read_format(text: str) -> PositSpec:
    """Read a format's name or numbers; BadInput says what is possible."""
    try:
        return PositSpec.parse(text)
    except ValueError as error:
        raise BadInput(str(error).removeprefix("PositSpec: ")) from None


def read(text: str, spec: PositSpec) -> Given:
    """Read a number (1.5, -2e-3, 1/3, NaR) or a pattern (0x4180, 0b0100…)."""
    text = text.strip()
    if _PATTERN.fullmatch(text):
        pattern = _read_pattern(text, spec)
        return Given(text, pattern, None, is_pattern=True)
    try:
        pattern = int(from_string(text, spec))
    except ValueError as error:
        raise BadInput(f"{error}; patterns are written 0x4180 or 0b0100") from None
    if pattern == spec.nar:
        return Given(text, pattern, None, is_pattern=False)
    exponent = int(text.lower().partition("e")[2] or 0)
    if abs(exponent) > _MAX_EXPONENT:
        raise BadInput(
            f"{text[:60]}: exponents go up to ±{_MAX_EXPONENT} here;"
            " every format saturates well within that"
        )
    return Given(text, pattern, Fraction(text), is_pattern=False)


def _read_pattern(text: str, spec: PositSpec) -> int:
    try:
        unsigned = int(text, 0)
    except ValueError:  # misplaced underscores
        raise BadInput(f"not a pattern: {text[:60]!r}; write 0x4180 or 0b0100") from None
    if unsigned >> spec.n:
        last = (1 << spec.n) - 1
        raise BadInput(
            f"{text[:60]} has {unsigned.bit_length()} bits, but a pattern of {spec.name} has"
            f" {spec.n}: 0x0 to 0x{last:X}"
        )
    return unsigned - (1 << spec.n) if unsigned >> (spec.n - 1) else unsigned


def hexadecimal(pattern: int, spec: PositSpec) -> str:
    """The n bits in hexadecimal: 0x4180."""
    return f"0x{pattern & ((1 << spec.n) - 1):0{-(-spec.n // 4)}X}"


def binary(pattern: int, spec: PositSpec) -> str:
    """The n bits: 0b0100000110000000."""
    return f"0b{pattern & ((1 << spec.n) - 1):0{spec.n}b}"


def decimal(value: Fraction | None) -> str:
    """Exact if 36 significant digits are enough; otherwise rounded, behind ``≈``."""
    if value is None:
        return "NaR"
    top, bottom = Decimal(value.numerator), Decimal(value.denominator)
    context = Context(prec=_EXACT_DIGITS)
    found = context.divide(top, bottom)
    if not context.flags[Inexact]:
        return _plain(found.normalize(context))
    return "≈ " + _plain(Context(prec=_DIGITS).divide(top, bottom))


def _plain(x: Decimal) -> str:
    """Positional for moderate exponents, scientific otherwise."""
    return f"{x:f}" if -7 <= x.adjusted() < 21 else f"{x:e}"


def rough(value: Fraction, digits: int = 4) -> str:
    """So many significant digits, for errors, gaps and ranges."""
    x = Context(prec=digits).divide(Decimal(value.numerator), Decimal(value.denominator))
    plain = x.adjusted() >= -4 and abs(x) < 10**digits
    return f"{x.normalize():f}" if plain else f"{x.normalize():e}"


def fraction(value: Fraction) -> str:
    """p/q in full, however long: Python limits str(int), not str(Decimal)."""
    top, bottom = Decimal(value.numerator), Decimal(value.denominator)
    return f"{top}" if value.denominator == 1 else f"{top}/{bottom}"


def dyadic(value: Fraction) -> str:
    """m·2^k with an odd m: always short for a posit. ``value`` is a dyadic rational."""
    top, bottom = value.numerator, value.denominator
    twos = (top & -top).bit_length() - 1 if top else 0
    power = twos - (bottom.bit_length() - 1)
    odd = top >> twos
    if power == 0:
        return f"{Decimal(odd)}"
    if abs(odd) == 1:
        return f"{'-' if odd < 0 else ''}2^{power}"
    return f"{Decimal(odd)}·2^{power}"


def ratio(value: Fraction | None, limit: int = 24) -> str:
    """p/q where that takes at most ``limit`` characters, m·2^k otherwise; NaR for None."""
    if value is None:
        return "NaR"
    plain = fraction(value)
    return plain if len(plain) <= limit else dyadic(value)
