"""How the ``bposit`` command behaves, whatever its subcommands do: errors, interruption, pipes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any

import typer
from typer.core import TyperGroup

from .errors import BadInput, printable

__all__ = ["Command"]

# click's UsageError, by which everything that is wrong with a command line is reported; typer
# before 0.26 takes click's own, later ones a copy within typer, and neither exports it.
_USAGE_ERROR: type[typer.BadParameter] = typer.BadParameter.__mro__[1]


class Command(TyperGroup):
    """The whole command, with this project's manners in place of click's.

    Bad input is one line on stderr and exit code 2; without arguments it prints the help; a reader
    that has gone away (``bposit table | head``) is nothing to speak of.
    """

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run and exit: 0, or 1 if the output cannot be written, 2 for bad input, 130 for ^C."""
        given = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # where only ASCII can be written
        code = 0
        try:
            code = super().main(given or ["--help"], *rest, **extra) or 0
            print(end="", flush=True)
        except BadInput as error:
            code = _complain(str(error))
        except _USAGE_ERROR as error:
            path = error.ctx.command_path if error.ctx else "bposit"
            code = _complain(f"{error.format_message().rstrip('.')}; see {path} --help")
        except KeyboardInterrupt:
            code = 130
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                _complain(f"cannot write the output: {error.strerror}")
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the last flush
            code = 1
        sys.exit(code)


def _complain(message: str) -> int:
    """One line on stderr, whatever the message contains; returns the exit code of bad input."""
    print(f"bposit: {printable(message)}", file=sys.stderr)
    return 2
