"""``python -m bench``: run the suites and print, or write, what they found."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from . import _machine, _report
from ._harness import Config, Mismatch, Result, Unavailable, measure, pairs_of

# For both sides: else torch's worker threads spin between its operations, where ours want to work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
PLAIN_WIDTH = 100  # columns, where the output is no terminal


class Suite(StrEnum):
    """The questions; each is answered in the file of its name."""

    cast = "cast"
    arithmetic = "arithmetic"
    dot = "dot"
    sums = "sums"
    training = "training"
    matmul = "matmul"
    dtype = "dtype"
    functions = "functions"
    clifford = "clifford"
    systolic = "systolic"
    vectors = "vectors"


def run(  # noqa: PLR0917
    suites: Annotated[
        list[Suite] | None, typer.Argument(help="Which to run; all if none is named.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small sizes, seconds: checks results, not speed.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the data.")] = Config.seed,
    cores: Annotated[
        int, typer.Option(min=1, help="Threads for both sides; the suites for one ignore it.")
    ] = 1,
    json: Annotated[Path | None, typer.Option(help="Also write every sample here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Also write the tables here.")] = None,
) -> None:
    """Time b-posits side by side with their peers, on one thread or --cores.

    Exits with 1 if a result is wrong or a peer is missing; a missed target is reported and no
    error.
    """
    for path in (json, markdown):
        if path is not None and not path.resolve().parent.is_dir():
            raise typer.BadParameter(f"there is no folder {path.parent} to write {path.name} in")
    config = Config(quick=quick, seed=seed, cores=cores)
    machine = _machine.describe(seed, _machine.pin() if cores == 1 else None, cores)
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    results: list[Result] = []
    problems: list[str] = []
    aside = Console(stderr=True)
    with aside.status("starting …") as status:
        for suite in suites or list(Suite):
            try:
                for pair in pairs_of(suite, config):
                    status.update(f"{suite}: {pair.ours.name}")
                    try:
                        results.append(measure(suite, pair, config))
                    except Mismatch as wrong:
                        problems.append(f"{suite}: wrong result: {wrong}")
            except ModuleNotFoundError as missing:
                problems.append(f"{suite} needs {missing.name}; make bench installs it")
            except Unavailable as missing:
                problems.append(f"{suite}: not timed: {missing}")
    _report.show(console, machine, results, quick)
    for path, write in ((json, _report.as_json), (markdown, _report.as_markdown)):
        if path is not None:
            path.write_text(write(machine, results, quick), encoding="utf-8")
    for problem in problems:
        aside.print(problem, style="red", highlight=False, markup=False)
    if problems:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(run)
