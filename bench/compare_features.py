"""``python -m bench.compare_features``: what three packages can do, asked of each of them.

Every cell of the table in docs/comparison.md is the outcome of a snippet of bench/features.toml,
run in a process of its own. ``--write`` puts the table into the page.
"""

from __future__ import annotations

import os
import re
import signal
import tempfile
import tomllib
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

__all__ = ["LIBRARIES", "ROWS", "column", "table", "title"]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "comparison.md"
START, END = "<!-- table -->", "<!-- end of table -->"
SECONDS = 60  # for one cell

ASKED = tomllib.loads(Path(__file__).with_name("features.toml").read_text(encoding="utf-8"))
LIBRARIES: dict[str, dict[str, str]] = ASKED["library"]
ROWS: list[dict[str, str]] = ASKED["rows"]


def column(library: str) -> list[str]:
    """The answers of one package to all rows; ModuleNotFoundError where it is not installed."""
    known: dict[str, Any] = {"__name__": "snippet"}
    found = LIBRARIES[library]
    for part in (found["setup"], ASKED["common"], ASKED[found["oracle"]]):
        exec(part, known)
    return [_answer(library, row, known) for row in ROWS]


def _answer(library: str, row: dict[str, str], known: dict[str, Any]) -> str:
    code = row.get(library) or row.get("all")
    if code is not None:
        return _isolated(code, known).replace("|", "\\|")
    learnt = [name for name in dir(known["lib"]) if re.search(row["names"], name)]
    assert not learnt, f"{library} has {learnt} now: write a snippet for {row['asked']!r}"
    return "no"


def _isolated(code: str, known: dict[str, Any]) -> str:
    """The outcome, from a child process that may crash."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            signal.alarm(SECONDS)
            os.write(write, _outcome(code, known).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return f"crash (signal {os.WTERMSIG(status)})" if os.WIFSIGNALED(status) else text


def _outcome(code: str, known: dict[str, Any]) -> str:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = known | {"tmp": folder}
        try:
            exec(code, names)
        except AssertionError as error:
            return str(error) or "no"
        except Exception as error:
            return f"no ({type(error).__name__})"
    return str(names.get("found", "yes"))


def title(library: str) -> str:
    """A package, its dtype, and the version that is installed."""
    found = LIBRARIES[library]
    return f"{found['title']} ({_version(found['distribution'])})"


def table(libraries: list[str]) -> str:
    """The table as Markdown, with the versions that it was measured with."""
    cells = zip(*(column(library) for library in libraries), strict=True)
    titles = [title(library) for library in libraries]
    lines = [
        f"| NumPy {np.__version__} | {' | '.join(titles)} |",
        "|---" * (len(titles) + 1) + "|",
    ]
    group = ""
    for row, found in zip(ROWS, cells, strict=True):
        if row["group"] != group:
            group = row["group"]
            lines.append(f"| **{group}** |" + " |" * len(titles))
        lines.append(f"| {row['asked']} | {' | '.join(found)} |")
    return "\n".join(lines)


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def main(
    libraries: Annotated[
        list[str] | None, typer.Argument(help="Which to ask; all if none is named.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Put the table into the page.")] = False,
) -> None:
    """Ask packages everything, and print the table."""
    unknown = set(libraries or []) - set(LIBRARIES)
    if unknown:
        raise typer.BadParameter(f"no such package: {unknown}; possible are {list(LIBRARIES)}")
    if write and libraries:
        raise typer.BadParameter("only the whole table can be written")
    made = table(libraries or list(LIBRARIES))
    print(made)
    if write:
        text = PAGE.read_text(encoding="utf-8")
        before, after = text.split(START)[0], text.split(END)[1]
        PAGE.write_text(f"{before}{START}\n{made}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
