"""format() of an exact decimal, laid out as Python lays out floats."""

from __future__ import annotations

import locale
import re
from decimal import ROUND_HALF_EVEN, Context, Decimal

__all__ = ["EXACT", "laid_out"]

# 2^±4096 has at most 4,200 digits on either side of the point; a template may ask for more
EXACT = Context(prec=10**6, rounding=ROUND_HALF_EVEN, Emax=10**6, Emin=-(10**6))

_PARTS = re.compile(
    r"(?:(?P<fill>.)?(?P<align>[<>=^]))?(?P<sign>[-+ ])?(?P<z>z)?(?P<alt>#)?(?P<zero>0)?"
    r"(?P<width>\d+)?(?P<group>[,_])?(?:\.(?P<precision>\d+))?(?P<type>[a-zA-Z%])?",
    re.DOTALL,
)


def laid_out(value: Decimal, shortest: str, template: str) -> str:
    """``value`` (exact, finite) by a template of the format mini-language.

    As for a float, in type, default precision, exponent and padding; but ``shortest`` takes the
    place of repr where the template has neither type nor precision. ValueError for a template that
    a float refuses.
    """
    format(0.0, template)  # raises
    found = _PARTS.fullmatch(template)
    assert found is not None, template
    part = found.groupdict()
    kind, digits = part["type"] or "", part["precision"]
    negative = value.is_signed()
    if not kind and digits is None:
        body = shortest.lstrip("-")
    else:
        body = _digits(
            value.copy_abs(), kind, 6 if digits is None else int(digits), bool(part["alt"])
        )
    if part["alt"]:
        body = _pointed(body)
    if part["z"] and not re.search("[1-9]", re.split("[eE]", body)[0]):
        negative = False
    sign = "-" if negative else (part["sign"] or "").replace("-", "")
    if kind == "n":
        body = locale.localize(body, grouping=True)
    align = part["align"] or ("=" if part["zero"] else ">")
    fill = part["fill"] or ("0" if part["zero"] else " ")
    width = int(part["width"] or 0)
    if part["group"]:
        whole, rest = re.fullmatch(r"(\d+)(.*)", body, re.DOTALL).groups()  # type: ignore[union-attr]
        room = width - len(sign) - len(rest) if (fill, align) == ("0", "=") else 0
        body = format(int(whole), f"0{max(room, 0)}{part['group']}") + rest
    pad = max(0, width - len(sign) - len(body))
    if align == "=":
        return sign + fill * pad + body
    left = {"<": 0, ">": pad, "^": pad // 2}[align]
    return fill * left + sign + body + fill * (pad - left)


def _digits(size: Decimal, kind: str, precision: int, keep: bool) -> str:
    """A magnitude in fixed or scientific notation, rounded once, half to even."""
    if kind in ("f", "F", "%"):
        scaled = size.scaleb(2, EXACT) if kind == "%" else size
        return format(_rounded(scaled, -precision), "f") + "%" * (kind == "%")
    if kind in ("e", "E"):
        text = _scientific(size, precision)
        return text.upper() if kind == "E" else text
    significant = max(precision, 1)
    text = _scientific(size, significant - 1)
    exponent = int(text.partition("e")[2])
    if -4 <= exponent < significant - (not kind):  # no type: a point and a digit must fit
        text = format(_rounded(size, exponent - significant + 1), "f")
    mantissa, e, tail = text.partition("e")
    if "." in mantissa and not keep:
        mantissa = mantissa.rstrip("0").rstrip(".")
    if not kind and not e and "." not in mantissa:
        mantissa += ".0"
    text = mantissa + e + tail
    return text.upper() if kind == "G" else text


def _rounded(size: Decimal, exponent: int) -> Decimal:
    return size.quantize(Decimal(1).scaleb(exponent, EXACT), context=EXACT)


def _scientific(size: Decimal, places: int) -> str:
    """d.ddde±dd with so many places."""
    exponent = size.adjusted() if size else 0
    digits = _rounded(size, exponent - places)
    if digits and digits.adjusted() > exponent:  # 9.99 became 10.0
        exponent += 1
        digits = _rounded(size, exponent - places)
    whole = str(digits.scaleb(places - exponent, EXACT).to_integral_value()).rjust(places + 1, "0")
    point = "." if places else ""
    return f"{whole[0]}{point}{whole[1:]}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _pointed(body: str) -> str:
    """With a decimal point, as # asks for."""
    found = re.match(r"\d+(\.)?", body)
    assert found is not None
    return body if found[1] else f"{found[0]}.{body[found.end() :]}"
