"""``bposit image``: an array as a memory image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import BadInput
from ..options import Format

__all__ = ["image"]


def image(  # noqa: PLR0917
    array: Annotated[Path, typer.Argument(metavar="A.npy", help="Patterns, or floats to encode.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Ends in .mem, .hex, .coe or .mif.")
    ],
    format: Format = "bposit16",
    kind: Annotated[
        str | None, typer.Option(help="mem, coe or mif, whatever the file is called.")
    ] = None,
    pack: Annotated[int, typer.Option(help="Patterns in a memory word, the first lowest.")] = 1,
    depth: Annotated[int | None, typer.Option(help="Words of the memory.")] = None,
    flip: Annotated[
        float, typer.Option(metavar="RATE", help="Probability that a bit is upset.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the upsets.")] = 0,
) -> None:
    """Write an array as a memory image for synthesis: $readmemh, Xilinx .coe, Intel .mif.

    Examples:

    - bposit image weights.npy --out weights.mem
    - bposit image weights.npy --format posit8 --pack 4 --depth 1024 --out weights.mif
    - bposit image weights.npy --flip 1e-4 --seed 3 --out upset.coe
    """
    from .. import numerals
    from ..emulate import images
    from ..emulate.faults import flip as flipped
    from ..product import load

    spec = numerals.read_format(format)
    bits = load(array, spec).patterns
    try:
        bits, masks = flipped(bits, spec, rate=flip, seed=seed)
        images.write(bits, spec, out, kind=kind, pack=pack, depth=depth)
    except ValueError as error:
        raise BadInput(str(error)) from None
    except OSError as error:
        raise BadInput(f"{out}: {error.strerror or error}") from None
    struck = f", {int((masks != 0).sum())} of them upset" if flip else ""
    print(f"{out}: {bits.size} patterns of {spec.name}{struck}")
