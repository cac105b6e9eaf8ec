"""``bposit cmodel``: a format as a C header."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import BadInput
from ..options import Format

__all__ = ["cmodel"]


def cmodel(
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE.h", help="Where to write; - for stdout.")
    ],
    format: Format = "bposit16",
    dpi: Annotated[
        bool, typer.Option("--dpi", help="And NAME_dpi.c, NAME_pkg.sv for SystemVerilog.")
    ] = False,
) -> None:
    """Write a C99 model of a format: one header, arithmetic and quire, from the core's own text.

    Examples:

    - bposit cmodel --format bposit16 --out bposit16.h
    - bposit cmodel --format posit32 --out sim/posit32.h --dpi
    """
    from .. import numerals
    from ..emulate import cmodel as model

    spec = numerals.read_format(format)
    if str(out) == "-":
        if dpi:
            raise BadInput("--dpi writes files beside the header, which needs a name: --out FILE.h")
        print(model.header(spec), end="")
        return
    texts = {out: model.header(spec)}
    if dpi:
        texts[out.with_name(f"{spec.name}_dpi.c")] = model.dpi(spec, out.name)
        texts[out.with_name(f"{spec.name}_pkg.sv")] = model.package(spec)
    for path, text in texts.items():
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror or error}") from None
        print(f"{path}: {spec.name}")
