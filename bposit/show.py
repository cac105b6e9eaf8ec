"""``bposit show``: one number under the magnifying glass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import log2

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from posit import PositSpec, reference, to_fraction, to_string

from . import numerals
from .fields import Fields, split
from .numerals import Given
from .terminal import EXPONENT, FRACTION, QUIET, REGIME, SIGN

__all__ = ["Rounding", "card", "rounding"]

_SPACED = 16  # bits: up to here each bit stands alone, beyond in groups of four
_SHORT = 13  # characters of a fraction p/q; longer ones are shown rounded


@dataclass(frozen=True, slots=True)
class Rounding:
    """What became of a number: ``error`` is the posit minus the number, exact.

    ``low`` and ``high`` are the consecutive finite patterns around the number, None beyond
    ±maxpos; both are the number's own pattern where it is exact.
    """

    error: Fraction
    relative: Fraction | None  # error / |number|; None for 0
    low: int | None
    high: int | None
    gap: Fraction | None  # high - low: one unit in the last place there; None beyond ±maxpos
    saturated: bool


def rounding(given: Given, spec: PositSpec) -> Rounding | None:
    """The error of a number that was given; None for a pattern and for NaR."""
    value, rounded = given.value, to_fraction(given.pattern, spec)
    if value is None or rounded is None:
        return None
    low = high = given.pattern
    if rounded < value:
        high += 1
    elif rounded > value:
        low -= 1
    beyond = abs(value) > spec.maxpos
    gap = None if beyond else _value(high, spec) - _value(low, spec)
    return Rounding(
        error=rounded - value,
        relative=(rounded - value) / abs(value) if value else None,
        low=None if beyond else low,
        high=None if beyond else high,
        gap=gap,
        saturated=beyond or 0 < abs(value) < spec.minpos,
    )


def _value(pattern: int, spec: PositSpec) -> Fraction:
    value = to_fraction(pattern, spec)
    assert value is not None
    return value


def card(given: Given, spec: PositSpec) -> RenderableType:
    """Everything about one number, to print."""
    title = Text.assemble(
        (given.text, "bold"), (" in ", QUIET), (spec.name, "bold cyan"), (f" {spec}", "cyan")
    )
    fields = split(given.pattern, spec)
    parts: list[RenderableType] = [title, _bare(given, spec) if fields is None else _box(fields)]
    if fields is not None:
        parts += (Padding(note, (0, 0, 0, 2)) for note in _notes(fields, given, spec))
    return Group(*parts, Text(), _details(given, spec))


def _bare(given: Given, spec: PositSpec) -> Table:
    """Zero and NaR, which have no fields."""
    sign, rest = ("0", "zero") if given.pattern == 0 else ("1", "NaR, not a real")
    table = Table(box=box.ROUNDED, border_style=QUIET, show_header=False)
    table.add_column(justify="center")
    table.add_row(_spread(sign + "0" * (spec.n - 1), SIGN))
    table.add_row(rest)
    return table


def _box(fields: Fields) -> Table:
    """The four fields side by side: name, bits, meaning, size."""
    limit = " = rs" if fields.bounded else ""
    cut = f"{fields.cut} cut, read as 0" if fields.cut else ""
    columns = [
        ("sign", SIGN, fields.sign, "-" if fields.sign == "1" else "+", ""),
        ("regime", REGIME, fields.regime, f"r = {fields.r}", f"run of {fields.run}{limit}"),
        ("exponent", EXPONENT, fields.exponent + "·" * fields.cut, f"e = {fields.e}", cut),
        ("fraction", FRACTION, fields.fraction, _fraction(fields.f), _count(len(fields.fraction))),
    ]
    columns = [column for column in columns if column[2]]
    table = Table(box=box.ROUNDED, border_style=QUIET)
    for name, style, *_ in columns:
        table.add_column(Text(name, style), justify="center", overflow="fold")
    table.add_row(*(_spread(bits, style) for _, style, bits, _, _ in columns))
    table.add_row(*(Text(meaning, style) for _, style, _, meaning, _ in columns))
    table.add_row(*(Text(note, QUIET) for *_, note in columns))
    return table


def _fraction(f: Fraction) -> str:
    return f"f = {f}" if _short(f) else f"f ≈ {numerals.rough(f)}"


def _short(f: Fraction) -> bool:
    return len(str(f)) <= _SHORT


def _count(bits: int) -> str:
    return f"{bits} bit{'' if bits == 1 else 's'}"


def _spread(bits: str, style: str) -> Text:
    """Bits with room to breathe and to break lines."""
    step = 1 if len(bits) <= _SPACED else 4
    return Text(" ".join(bits[i : i + step] for i in range(0, len(bits), step)), style)


def _notes(fields: Fields, given: Given, spec: PositSpec) -> Iterator[Text]:
    if given.pattern < 0:
        body = numerals.hexadecimal(-given.pattern, spec)
        yield Text(f"sign bit set: the fields are read from the two's complement, {body}", QUIET)
    sign = "-" if fields.sign == "1" else ""
    exponent = ((" + ", ""), (f"{fields.e}", EXPONENT)) if spec.es else ()
    scale = (fields.r << spec.es) + fields.e
    f, equals, whole = f"{fields.f}", "=", f"{1 + fields.f}"
    if not _short(fields.f):
        f, equals, whole = "f", "≈", numerals.rough(1 + fields.f)
    yield Text.assemble(
        f"= {sign}(1 + ",
        (f, FRACTION),
        ") · 2^(",
        (f"{fields.r}·{1 << spec.es}" if spec.es else f"{fields.r}", REGIME),
        *exponent,
        f") {equals} {sign}{whole} · 2^{scale}",
    )


def _details(given: Given, spec: PositSpec) -> Table:
    pattern = given.pattern
    value = to_fraction(pattern, spec)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style=QUIET, no_wrap=True, min_width=len("  saturated"))
    table.add_column(overflow="fold")
    table.add_row("  value", Text(numerals.decimal(value), "bold"))
    if value is not None:
        forms = dict.fromkeys([numerals.ratio(value), numerals.dyadic(value)])
        table.add_row("  exactly", " = ".join(forms))
    table.add_row("  shortest", to_string(pattern, spec))
    table.add_row("  pattern", f"{numerals.hexadecimal(pattern, spec)} = {pattern}")
    table.add_row("  binary", numerals.binary(pattern, spec))
    table.add_row()
    for name, other in (
        ("above", reference.next(pattern, spec)),
        ("below", reference.prior(pattern, spec)),
    ):
        table.add_row(f"  {name}", _neighbour(other, spec))
    table.add_row()
    for name, text in _errors(given, spec):
        table.add_row(f"  {name}", text)
    return table


def _neighbour(pattern: int, spec: PositSpec) -> str:
    value = to_fraction(pattern, spec)
    forms = dict.fromkeys([numerals.decimal(value), numerals.ratio(value)])
    return f"{numerals.hexadecimal(pattern, spec)}  {' = '.join(forms)}"


def _errors(given: Given, spec: PositSpec) -> Iterator[tuple[str, str | Text]]:
    if given.is_pattern:
        yield "error", "none: a pattern is its value"
        return
    found = rounding(given, spec)
    if found is None:
        yield "error", "none: NaR stands for everything that is not a real number"
        return
    if found.error == 0:
        yield "error", "none: exact"
    else:
        size = numerals.rough(found.error)
        yield "error", f"{size} (the posit minus {given.text})"
        assert found.relative is not None
        part = abs(found.relative)
        power = log2(part.numerator) - log2(part.denominator)
        yield "relative", f"{numerals.rough(part)} (2^{power:.1f})"
        if found.gap is not None and found.low is not None and found.high is not None:
            low, high = (numerals.hexadecimal(p, spec) for p in (found.low, found.high))
            share = numerals.rough(abs(found.error) / found.gap)
            yield "in ulps", f"{share} of the gap {low} to {high}"
    yield "saturated", _saturation(found, given, spec)


def _saturation(found: Rounding, given: Given, spec: PositSpec) -> str | Text:
    if not found.saturated:
        return "no"
    sign = "-" if given.pattern < 0 else ""
    if found.gap is None:
        why = f"beyond {sign}maxpos = {sign}{numerals.rough(spec.maxpos)}"
    else:
        why = f"nearer to 0 than {sign}minpos = {sign}{numerals.rough(spec.minpos)}"
    return Text.assemble(("yes", "bold red"), f": {why}")
