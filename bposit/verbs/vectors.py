"""``bposit vectors``: golden vectors for benches, and a device's answers judged."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import BadInput
from ..options import Format

__all__ = ["app"]

app = typer.Typer(
    help="Generate golden vectors for hardware benches, and verify a device's answers.",
    no_args_is_help=True,
)

_Op = Annotated[
    str | None,
    typer.Option("--op", metavar="OP", help="add, fma, decode, …; `bposit vectors list`."),
]
_To = Annotated[
    str | None, typer.Option("--to", metavar="FORMAT", help="Of the results of convert and mac.")
]
_Form = Annotated[
    str | None,
    typer.Option("--form", help="Of decode and encode: sign-magnitude (default) or twos."),
]
_Terms = Annotated[int | None, typer.Option("--terms", help="Of dot and mac; 4 if not given.")]
_Accumulator = Annotated[
    str | None,
    typer.Option(
        "--accumulator", metavar="MODEL", help="Of mac: Aligned(14, 4), Window(-16, 15) …"
    ),
]


@app.command()
def gen(  # noqa: PLR0917
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Where to write; - for stdout.")
    ],
    op: _Op = None,
    format: Format = "bposit16",
    style: Annotated[str, typer.Option(help="Which operands; `bposit vectors list`.")] = "mixed",
    count: Annotated[int | None, typer.Option(help="How many; 1000 if not given.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same file.")] = 0,
    layout: Annotated[str, typer.Option(help="readmemh, csv or jsonl.")] = "readmemh",
    to: _To = None,
    form: _Form = None,
    terms: _Terms = None,
    accumulator: _Accumulator = None,
) -> None:
    """Write vectors: operands, flags and the right results, in hexadecimal.

    Examples:

    - bposit vectors gen --op fma --style ties --count 100000 --seed 7 --out fma.hex
    - bposit vectors gen --op decode --format 16,6,5 --style exhaustive --layout csv --out dec.csv
    - bposit vectors gen --op mac --accumulator "Aligned(14, group=4)" --out pdpu.hex
    - bposit vectors gen --op convert --format posit32 --to posit16 --out -
    """
    from .. import numerals
    from ..emulate import read_accumulator
    from ..emulate.vectors import OPERATIONS, Task, write

    if op is None:
        raise BadInput(f"--op is needed: one of {', '.join(OPERATIONS)}")
    wide = None if to is None else numerals.read_format(to)
    more: Any = {} if form is None else {"form": form}
    if accumulator is not None:
        try:
            more["accumulator"] = read_accumulator(accumulator)
        except ValueError as error:
            raise BadInput(str(error)) from None
    task = Task(op, numerals.read_format(format), wide, terms=4 if terms is None else terms, **more)
    for name, given, of in (("form", form, ("decode", "encode")), ("terms", terms, ("dot", "mac"))):
        if given is not None and op not in of:
            raise BadInput(f"--{name} belongs to {' and '.join(of)}, not to {op}")
    options: Any = {"style": style, "count": count, "seed": seed, "layout": layout}
    if str(out) == "-":
        write(sys.stdout.buffer, task, **options)
        return
    try:
        if out.exists() and not out.is_file():  # a pipe, a device: which a file must not replace
            with out.open("wb") as file:
                written = write(file, task, **options)
        else:
            whole = Path(os.path.realpath(out))  # what a link points to
            part = whole.with_name(whole.name + ".part")
            try:
                with part.open("wb") as file:
                    written = write(file, task, **options)
                part.replace(whole)
            finally:
                part.unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(f"{out}: {error.strerror or error}") from None
    print(f"{out}: {written} vectors of {task}")


@app.command()
def verify(  # noqa: PLR0917
    file: Annotated[Path, typer.Argument(metavar="FILE", help="With a device's answers.")],
    like: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The generated file whose header and count it lacks."),
    ] = None,
    op: _Op = None,
    format: Annotated[str | None, typer.Option("--format", metavar="FORMAT")] = None,
    to: _To = None,
    form: _Form = None,
    terms: _Terms = None,
    accumulator: _Accumulator = None,
    layout: Annotated[str | None, typer.Option(help="readmemh, csv or jsonl.")] = None,
    flags: Annotated[bool, typer.Option(help="Whether the device's flags count.")] = True,
    show: Annotated[int, typer.Option(min=0, help="How many wrong answers to explain.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Recompute every vector of a file, and explain what is wrong.

    A file that a bench wrote may lack the header: say what it is of, then, or which file it answers
    with --like, whose number of vectors it must have. Exit code 0 if all is right, 1 if an answer
    is wrong, 2 if something could not be checked.

    Examples:

    - bposit vectors verify fma.hex
    - bposit vectors verify answers.hex --like fma.hex
    - bposit vectors verify --op add --format posit16 --no-flags answers.hex
    """
    from ..emulate import vectors

    asked: dict[str, Any] = {"op": op, "format": format, "to": to, "form": form, "terms": terms,
             "accumulator": accumulator, "layout": layout}  # fmt: skip
    try:
        if like is not None:
            with like.open("rb") as source:
                header = vectors.Reader(source, str(like)).header
            asked = {key: header.get(key) if x is None else x for key, x in asked.items()}
            asked |= {"layout": layout}
            asked |= {"count": header["count"]} if "count" in header else {}
        with file.open("rb") as source:
            report = vectors.verify(source, str(file), asked=asked, flags=flags, explained=show)
    except OSError as error:
        raise BadInput(f"{error.filename or file}: {error.strerror or error}") from None
    for warning in report.warnings:
        print(f"bposit: warning: {warning}", file=sys.stderr)
    if as_json:
        import json

        print(json.dumps(vectors.summary(report), indent=2, ensure_ascii=False))
    else:
        print(vectors.text(report))
    if report.wrong:
        raise typer.Exit(1)


@app.command("list")
def list_() -> None:
    """List the operations, and which styles each has."""
    from rich.table import Table
    from rich.text import Text

    from .. import terminal
    from ..emulate.vectors import OPERATIONS, STYLES, possible

    out = terminal.console()
    table = Table.grid(padding=(0, 2, 0, 0))
    for op in OPERATIONS:
        table.add_row(Text(op, "bold"), ", ".join(possible(op)[1:]))
    out.print(table)
    styles = Table.grid(padding=(0, 2, 0, 0))
    for style, meaning in STYLES.items():
        styles.add_row(Text(style, "bold"), meaning)
    out.print("\nStyles")
    out.print(styles)
