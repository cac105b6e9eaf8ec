"""``bposit accumulator``: how wide an accumulator the data of a matrix product need."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import BadInput
from ..options import Format

__all__ = ["accumulator"]


def accumulator(
    a: Annotated[Path, typer.Argument(metavar="A.npy", help="(M, K): patterns or floats.")],
    b: Annotated[Path, typer.Argument(metavar="B.npy", help="(K, N).")],
    format: Format = "bposit16",
    group: Annotated[int, typer.Option(help="Lanes of the aligned units.")] = 4,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw it: .png, .svg or .pdf.")
    ] = None,
) -> None:
    """Find the smallest exact accumulator for a matrix product, and what narrower ones lose.

    Windows of each width are cut off below, rounding to nearest; aligned units are PDPU's.

    Examples:

    - bposit accumulator activations.npy weights.npy
    - bposit accumulator x.npy w.npy --format posit16 --group 8 --plot widths.svg
    """
    from rich.table import Table
    from rich.text import Text

    from .. import numerals, terminal
    from ..emulate import Aligned, draw, required_accumulator, sweep
    from ..product import load

    spec = numerals.read_format(format)
    x, y = (load(path, spec).patterns for path in (a, b))
    try:
        given = required_accumulator(x, y, spec)
        worst = required_accumulator(x, y, spec, order="any")
        widths = [*range(8, given.width, 4), given.width]
        found = {
            "window": sweep(x, y, spec, widths),
            f"aligned, groups of {group}": sweep(x, y, spec, widths, lambda w: Aligned(w, group)),
        }
    except ValueError as error:
        raise BadInput(str(error)) from None
    if plot is not None:
        try:
            draw(found).savefig(plot)
        except ImportError:
            raise BadInput("--plot needs Matplotlib: pip install 'bposit[demo]'") from None
        except ValueError as error:
            raise BadInput(f"{plot}: {error}") from None
        except OSError as error:
            raise BadInput(f"{plot}: {error.strerror or error}") from None
    out = terminal.console()
    out.print(f"exact in this order: {given}", soft_wrap=True)
    out.print(f"exact in any order:  {worst}", soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("width", *(f"{n} {what}" for n in found for what in ("error", "differ"))):
        table.add_column(heading, justify="right")
    for i, width in enumerate(widths):
        cells = [
            cell
            for points in found.values()
            for cell in (f"{points[i].error:.2g}", f"{100 * points[i].wrong:.3g} %")
        ]
        table.add_row(Text(f"{width}", "bold"), *cells)
    out.print()
    out.print(table)
