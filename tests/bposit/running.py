"""Run `bposit` within this process, and read what it prints."""

import re

from typer.testing import CliRunner, Result

from bposit.cli import app

__all__ = ["bad", "entry", "good", "run"]


def run(*args: str, columns: int = 80) -> Result:
    terminal = {"COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "xterm"}
    return CliRunner(env=terminal).invoke(app, list(args))


def good(*args: str, columns: int = 80) -> str:
    result = run(*args, columns=columns)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return re.sub(r"\x1b\[[0-9;]*m", "", result.stdout)  # some CI services force styles on


def bad(*args: str) -> str:
    """The complaint, which is one line, all of stderr, and nothing on stdout."""
    result = run(*args)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("bposit: ")
    assert result.stderr.count("\n") == 1
    assert result.stderr.endswith("\n")
    return result.stderr


def entry(text: str, name: str) -> str:
    """What `show` and `dot` print beside a name."""
    lines = [line.strip() for line in text.splitlines()]
    (found,) = (line for line in lines if line.startswith(f"{name}  "))
    return found.removeprefix(name).strip()
