"""``bposit formats``: the named formats, and any other, side by side."""

from __future__ import annotations

from math import log10

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

import quire
from posit import PositSpec
from posit.spec import NAMED

from .numerals import rough
from .terminal import QUIET

__all__ = ["digits_near_one", "listing", "named"]

_WIDE = ["format", "n", "rs", "es", "fraction", "minpos", "maxpos", "epsilon", "digits", "quire"]
_NARROW = ["format\n<n,rs,es>", "fraction", "minpos\nmaxpos", "epsilon\ndigits", "quire"]
_GAP = 2  # columns
_TERMS = {
    "fraction": "fewest..most fraction bits; below 0, exponent bits are cut",
    "epsilon": "gap between 1 and the next larger value",
    "digits": "decimal digits near 1: -log10(epsilon/2)",
    "quire": "bits of the exact accumulator",
}
_NOTES = (
    "bposit16/32/64 are the <n,6,5> of the b-posit paper (arXiv 2603.01615). It claims nothing"
    " for n <= 12: bposit8 = <8,3,2> is this project's choice.",
    "positN is the Posit Standard's (2022) format of N bits, 3 <= N <= 64.",
    "Any other is written n,rs,es: --format 24,4,3 or --format n24_rs4_es3.",
)


def named() -> list[PositSpec]:
    """The b-posits, and the Posit Standard's formats of the same widths."""
    widths = [spec.n for spec in NAMED.values()]
    return [*NAMED.values(), *(PositSpec.parse(f"posit{n}") for n in widths)]


def digits_near_one(spec: PositSpec) -> float:
    """Decimal digits of values just above 1: -log10 of their relative error, at most epsilon/2."""
    half = spec.epsilon / 2
    return max(0.0, log10(half.denominator) - log10(half.numerator))


def listing(specs: list[PositSpec], width: int) -> RenderableType:
    """A table of ``specs`` for a terminal of ``width`` columns, and how to write other formats."""
    cells = [dict(zip(_WIDE, _WIDE, strict=True)), *map(_cells, specs)]
    room = sum(max(len(row[name]) for row in cells) + _GAP for name in _WIDE)
    headings = _WIDE if room < width else _NARROW
    table = Table(
        box=box.SIMPLE_HEAD,
        border_style=QUIET,
        padding=(0, _GAP - 1, 0, 0),  # the box itself keeps columns apart by 1
        leading=int(headings is _NARROW),
    )
    for heading in headings:
        table.add_column(heading, justify="left" if heading.startswith("format") else "right")
    for row in cells[1:]:
        table.add_row(*("\n".join(row[name] for name in h.split("\n")) for h in headings))
    table.columns[0].style = "bold cyan"
    terms = Table.grid(padding=(0, 2, 0, 0))
    terms.add_column(no_wrap=True)
    for term, meaning in _TERMS.items():
        terms.add_row(term, Text(meaning, QUIET))
    return Group(table, Padding(terms, (0, 0, 1, 1)), *(Padding(n, (0, 1)) for n in _NOTES))


def _cells(spec: PositSpec) -> dict[str, str]:
    numbers = f"{spec}"
    known = not spec.name.startswith("n")  # n24_rs4_es3 is no more than its numbers, but longer
    return {
        "format": spec.name if known else numbers,
        "<n,rs,es>": numbers if known else "",
        "n": f"{spec.n}",
        "rs": f"{spec.rs}",
        "es": f"{spec.es}",
        "fraction": f"{spec.f_min}..{spec.f_max}",
        "minpos": rough(spec.minpos, 3),
        "maxpos": rough(spec.maxpos, 3),
        "epsilon": rough(spec.epsilon, 3),
        "digits": f"{digits_near_one(spec):.1f}",
        "quire": f"{quire.Layout.exact(spec).width}",
    }
