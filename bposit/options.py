"""Options that several subcommands share."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Format"]


def _complete_format(incomplete: str) -> list[str]:
    from .formats import named

    return [spec.name for spec in named() if spec.name.startswith(incomplete)]


Format = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="A name (bposit8/16/32/64, positN) or n,rs,es such as 24,4,3.",
        autocompletion=_complete_format,
    ),
]
