"""The ``bposit`` command: one function per subcommand, which computes nothing itself.

A subcommand reads its options, calls the module beside it that does the work, and prints. Imports
stay inside the functions, so that ``--help``, completion and the other commands load none of it.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .audit.verb import audit
from .command import Command
from .errors import BadInput
from .options import Format
from .verbs import vectors
from .verbs.accumulator import accumulator
from .verbs.cmodel import cmodel
from .verbs.cost import cost
from .verbs.image import image
from .verbs.rtl import rtl

__all__ = ["app", "main"]

app = typer.Typer(
    name="bposit",
    cls=Command,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

records = typer.Typer(help="Signed records of model versions: verify them.")
app.add_typer(records, name="records")


class LayoutName(StrEnum):
    """The layouts of ``quire.Layout``."""

    exact = "exact"
    paper800 = "paper800"
    standard = "standard"


def _print_version(wanted: bool) -> None:
    if wanted:
        from . import __version__

        print(f"bposit {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Examples: `bposit show 1/3` · `bposit formats` · `bposit table --format 8,3,2`"
)
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Bounded posits <n,rs,es>: look at numbers and formats, and sum exactly."""


@app.command(context_settings={"ignore_unknown_options": True})  # so that -1.5 is a value
def show(
    values: Annotated[
        list[str],
        typer.Argument(
            metavar="VALUE|0xPATTERN",
            help="Numbers (-1.5, 2e-3, 1/3, NaR) or patterns (0x4180, 0b0100).",
        ),
    ],
    format: Format = "bposit16",
) -> None:
    """Draw the bit fields of numbers, with exact value, neighbours and rounding error.

    Examples:

    - bposit show 1/3
    - bposit show -1.5 1e40 0x7FFF --format bposit32
    - bposit show 0b01000000 --format 8,3,2
    """
    from . import numerals, terminal
    from .show import card

    spec = numerals.read_format(format)
    for text in values:
        if text.startswith("--"):
            raise BadInput(f"No such option: {text}; see bposit show --help")
    given = [numerals.read(text, spec) for text in values]
    out = terminal.console()
    for i, number in enumerate(given):
        if i:
            out.print()
        out.print(card(number, spec))


@app.command()
def formats(
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="FORMAT", help="Formats to list after the named ones."),
    ] = None,
) -> None:
    """List the named formats: sizes, range, precision, quire.

    Examples:

    - bposit formats
    - bposit formats 24,4,3 n10_rs4_es1 posit24
    """
    from . import numerals, terminal
    from .formats import listing, named

    specs = [*named(), *(numerals.read_format(text) for text in more or ())]
    out = terminal.console()
    out.print(listing(specs, out.width))


@app.command()
def table(
    format: Format = "bposit8",
    around: Annotated[
        str | None,
        typer.Option(metavar="VALUE|0xPATTERN", help="Only the patterns about this one."),
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="How many patterns, with --around; 17 if not given.")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated, for programs.")] = False,
) -> None:
    """List every pattern of a format of up to 12 bits, or a window of a wider one.

    All patterns come in the order 0x00 to 0xFF, a window in the order of the values.

    Examples:

    - bposit table --format 8,3,2
    - bposit table --format bposit32 --around 1e-30 --count 9
    - bposit table --format 6,3,1 --csv
    """
    from . import numerals, terminal
    from .table import everything, print_rows, rows, window, write_csv

    spec = numerals.read_format(format)
    if around is None:
        if count is not None:
            raise BadInput("--count needs --around VALUE: it is the number of patterns about it")
        centre, which = None, everything(spec)
    else:
        centre = numerals.read(around, spec).pattern
        which = window(spec, centre, 17 if count is None else count)
    if csv:
        write_csv(rows(spec, which), spec, sys.stdout)
    else:
        print_rows(rows(spec, which), spec, terminal.console(), centre)


@app.command()
def dot(
    a: Annotated[Path, typer.Argument(metavar="A.npy", help="The first array.")],
    b: Annotated[Path, typer.Argument(metavar="B.npy", help="The second, of the same shape.")],
    format: Format = "bposit16",
    layout: Annotated[
        LayoutName,
        typer.Option(help="The quire: exact, the paper's 800 bits, or the Posit Standard's."),
    ] = LayoutName.exact,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Multiply two arrays and sum exactly in a quire, rounding once; float64 beside it.

    Integer arrays of the format's storage dtype (int16 for bposit16) are patterns; float arrays
    are encoded first. Arrays with several axes are summed over all of them.

    Examples:

    - bposit dot a.npy b.npy
    - bposit dot a.npy b.npy --format posit32 --layout standard --json
    """
    from . import numerals, terminal
    from .product import load, multiply, report, summary

    spec = numerals.read_format(format)
    product = multiply(load(a, spec), load(b, spec), spec, layout.value)
    if as_json:
        import json

        print(json.dumps(summary(product), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        terminal.console().print(report(product))


@records.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The record file.")],
    key: Annotated[
        Path,
        typer.Option(
            metavar="PUBLIC.pem",
            envvar="BPOSIT_RECORDS_KEY",
            help="The writer's public key, Ed25519.",
        ),
    ],
    head: Annotated[
        Path | None,
        typer.Option(
            envvar="BPOSIT_RECORDS_HEAD", help="A signed head that was kept apart from the file."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Check that no record was changed, dropped, moved or repeated; name the first bad one.

    Exit code 0: all is as it was written; 1: it is not; 2: it cannot be checked.

    Examples:

    - bposit records verify versions.records --key writer.pem
    - bposit records verify versions.records --key writer.pem --head kept/versions.head --json
    """
    from .verdict import judge

    verdict = judge(file, key, head)
    if as_json:
        import json

        print(json.dumps(verdict.summary(), indent=2))
    else:
        print(verdict)
    if verdict.fault:
        raise typer.Exit(1)


app.command()(audit)
app.command()(accumulator)
app.command()(cmodel)
app.command()(cost)
app.command()(image)
app.command()(rtl)
app.add_typer(vectors.app, name="vectors")


def main() -> None:
    """Entry point of the ``bposit`` script."""
    app()
