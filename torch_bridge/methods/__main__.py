"""``python -m torch_bridge.methods``: all four methods, one after the other, and one table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from ._index import METHODS, format_table

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="Folder for a folder of each method.")] = Path(
        "methods-out"
    ),
    quick: Annotated[
        bool, typer.Option("--quick", help="One seed, small sizes: a minute for each method.")
    ] = False,
    table: Annotated[
        Path | None,
        typer.Option(help="Run nothing; print the table of the results in this folder."),
    ] = None,
) -> None:
    """Measure Kalman filters, AdamO, SMT and KNOW; ends with status 1 if one of them fails."""
    if table is not None:
        typer.echo(format_table(table), nl=False)
        return
    failed = []
    for name in METHODS:
        command = [sys.executable, "-m", f"torch_bridge.methods.{name}", "--out", str(out / name)]
        done = subprocess.run(command + ["--quick"] * quick, check=False)
        if done.returncode:
            failed.append(name)
    typer.echo(format_table(out, [name for name in METHODS if name not in failed]))
    if failed:
        typer.echo(f"failed: {', '.join(failed)}", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    app(prog_name="python -m torch_bridge.methods")
