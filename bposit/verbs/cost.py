"""``bposit cost``: gates and lookup tables of a format's units, by Yosys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..options import Format

if TYPE_CHECKING:
    from rich.table import Table

    from ..emulate.cost import Comparison

__all__ = ["cost"]


def cost(
    format: Format = "bposit32",
    unit: Annotated[
        list[str] | None,
        typer.Option(metavar="UNIT", help="Decoders and encoders if none is named."),
    ] = None,
    liberty: Annotated[
        Path | None,
        typer.Option(metavar="FILE.lib", help="A cell library, for its areas and delays."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Synthesise a format's units with Yosys, and compare them with posits' and floats'.

    Beside them stand those of the Posit Standard's format of its width and of the IEEE float, and
    what the b-posit paper claims. The ratios move by 10 to 20 points from script to script and
    version to version. There are decoder, "decoder of magnitudes", encoder, "encoder without
    rounding", "encoder of magnitudes"; and multiplier, adder and quire-mac, which takes minutes.

    Examples:

    - bposit cost --format bposit32
    - bposit cost --unit quire-mac
    - bposit cost --format 16,6,5 --unit decoder --unit encoder --liberty cells.lib --json
    """
    from .. import numerals, terminal
    from ..emulate.cost import CODING, UNITS, Yosys, compare, summary
    from ..errors import BadInput

    spec = numerals.read_format(format)
    yosys = Yosys.find(liberty)
    for name in unit or ():
        if name not in UNITS:
            raise BadInput(f"unknown unit {name!r}: possible are {', '.join(UNITS)}")
    out = terminal.console()
    found: list[Comparison] = []
    for name in unit or CODING:
        found.append(compare(spec, yosys, name))
        if not as_json:
            out.print(f"{spec.name} {spec}. {yosys}\n" if len(found) == 1 else "")
            out.print(_table(found[-1], delays=liberty is not None))
    if as_json:
        import json

        print(json.dumps(summary(found, spec, yosys), indent=2, ensure_ascii=False))


def _table(c: Comparison, delays: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(c.unit)
    of_gates = ("area", "ps") if delays else ("transistors", "deep")
    for heading in ("cells", *of_gates, "LUTs", "deep"):
        table.add_column(heading, justify="right")
    for m in (c.ours, *c.others):
        k = m.cost
        numbers = (f"{k.cells}", f"{k.area:.0f}", f"{k.depth:.0f}", f"{k.luts}", f"{k.lut_depth}")
        table.add_row(Text(m.name, "bold" if m is c.ours else ""), *numbers)
        if m is not c.ours:
            table.add_row("  ours beside it", "", *(_change(x) for x in c.ratios(m).values()))
        if m.claim is not None:
            table.add_row("  so the paper", "", *m.claim)
    return table


def _change(ratio: Any) -> str:
    return "" if ratio is None else f"{100 * (ratio - 1):+.0f} %".replace("-", "−")
