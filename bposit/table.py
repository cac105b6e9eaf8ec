"""``bposit table``: every pattern of a narrow format, or a window of a wide one."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TextIO

from rich.console import Console
from rich.text import Text

from posit import PositSpec, to_fraction, to_string

from . import numerals
from .errors import BadInput
from .fields import Fields, split
from .terminal import QUIET, bits

__all__ = ["Row", "everything", "print_rows", "rows", "window", "write_csv"]

_NARROW = 12  # bits: 4096 rows are still a table
_GAP = 2  # columns
_NEGATIVE = "Behind a sign bit of 1 the fields are those of the two's complement."
_HEADINGS = (
    "pattern", "signed", "binary", "sign", "regime", "exponent", "fraction", "r", "e", "f",
    "exact", "shortest",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One pattern; ``fields`` and ``value`` are None for NaR, ``fields`` is also None for 0."""

    pattern: int
    fields: Fields | None
    value: Fraction | None
    shortest: str  # decimal that reads back


def everything(spec: PositSpec) -> Sequence[int]:
    """All patterns as signed integers, in the order 0x00… to 0xFF…; BadInput if too many."""
    if spec.n > _NARROW:
        raise BadInput(
            f"{spec.name} has 2^{spec.n} patterns, a table at most 2^{_NARROW};"
            " --around VALUE [--count N] prints a window"
        )
    return [*range(spec.maxpos_pattern + 1), *range(spec.nar, 0)]


def window(spec: PositSpec, centre: int, count: int) -> Sequence[int]:
    """``count`` patterns about ``centre`` in ascending order (their values ascend too).

    Cut off at NaR, which is below everything, and at maxpos; BadInput if that is too many.
    """
    if not 1 <= count <= 1 << _NARROW:
        raise BadInput(f"--count {count}: a window has 1 to {1 << _NARROW} patterns")
    first = centre - count // 2
    return range(max(first, spec.nar), min(first + count, spec.maxpos_pattern + 1))


def rows(spec: PositSpec, which: Iterable[int]) -> Iterator[Row]:
    """What is to be said of each pattern."""
    for p in which:
        yield Row(p, split(p, spec), to_fraction(p, spec), to_string(p, spec))


def write_csv(listed: Iterable[Row], spec: PositSpec, file: TextIO) -> None:
    """One line a pattern under a heading; cells that do not apply are empty."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_HEADINGS)
    for row in listed:
        f = row.fields
        parts = [""] * 7 if f is None else [f.sign, f.regime, f.exponent, f.fraction, f.r, f.e, f.f]
        writer.writerow(
            [
                numerals.hexadecimal(row.pattern, spec),
                row.pattern,
                numerals.binary(row.pattern, spec),
                *parts,
                "NaR" if row.value is None else numerals.fraction(row.value),
                row.shortest,
            ]
        )


def print_rows(
    listed: Iterable[Row], spec: PositSpec, out: Console, marked: int | None = None
) -> None:
    """A line a pattern: hexadecimal, fields, exact value, shortest decimal.

    Where that is wider than the console, the fields have a line of their own. The row of the
    pattern ``marked`` is pointed at.
    """
    listed = list(listed)
    lines = [(row.pattern == marked, _cells(row, spec)) for row in listed]
    heading = {name: Text(name, "bold") for name in lines[0][1]}
    lines.insert(0, (False, heading))
    widths = {name: max(cells[name].cell_len for _, cells in lines) for name in heading}
    beside = sum(widths.values()) + _GAP * len(widths) <= out.width
    for point, cells in lines:
        text = Text.assemble(("> " if point else "  ", "bold cyan"))
        for name, cell in cells.items():
            if beside or name != "fields":
                text.append_text(cell).append(" " * (widths[name] - cell.cell_len + _GAP))
        text.rstrip()
        out.print(text, soft_wrap=True)
        if not beside and cells is not heading:
            out.print(Text("    ").append_text(cells["fields"]), soft_wrap=True)
    if any(row.pattern < 0 and row.fields for row in listed):
        out.print(Text(_NEGATIVE, QUIET))


def _cells(row: Row, spec: PositSpec) -> dict[str, Text]:
    if row.fields is None:
        drawn = Text(numerals.binary(row.pattern, spec)[2:], QUIET)
    else:
        drawn = bits(row.fields)
    return {
        "pattern": Text(numerals.hexadecimal(row.pattern, spec), "bold"),
        "fields": drawn,
        "exact": Text(numerals.ratio(row.value)),
        "shortest": Text(row.shortest),
    }
