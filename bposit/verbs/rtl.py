"""``bposit rtl``: Verilog of an accelerator's units, and benches that check it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import BadInput
from ..options import Format

__all__ = ["rtl"]


def rtl(  # noqa: PLR0917
    unit: Annotated[
        str,
        typer.Argument(
            metavar="UNIT", help="decoder, encoder, multiplier, adder, quire-mac or pe."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The folder to write to; made if needed.")
    ],
    format: Format = "bposit16",
    testbench: Annotated[
        bool, typer.Option("--testbench", help="A self-checking bench and its vectors too.")
    ] = False,
    form: Annotated[
        str, typer.Option("--form", help="Of decoder and encoder: sign-magnitude or twos.")
    ] = "sign-magnitude",
    regime: Annotated[
        str,
        typer.Option("--regime", help="Told by a multiplexer, mux, or by counting zeros, count."),
    ] = "auto",
    dataflow: Annotated[
        str, typer.Option("--dataflow", help="Of pe: output-stationary, os, or weight-, ws.")
    ] = "os",
    count: Annotated[
        int | None,
        typer.Option(help="Vectors of the bench; if not given, all up to 16 bits, else 1000."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the vectors.")] = 0,
) -> None:
    """Write Verilog-2001 of a unit, for any format: one module a file, usable without condition.

    Ports, reset, handshake and latency are told at the head of each file.

    Examples:

    - bposit rtl decoder --out rtl
    - bposit rtl multiplier --format posit32 --out rtl --testbench --count 10000
    - bposit rtl pe --dataflow ws --format 16,6,5 --out rtl --testbench
    """
    from .. import numerals
    from ..emulate.rtl import write

    options: Any = {"form": form, "regime": regime, "dataflow": dataflow}
    spec = numerals.read_format(format)
    try:
        paths = write(out, unit, spec, testbench=testbench, count=count, seed=seed, **options)
    except OSError as error:
        raise BadInput(f"{error.filename or out}: {error.strerror or error}") from None
    for path in paths:
        print(path)
