"""Colours and the console: the same text with and without them."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from .fields import Fields

__all__ = ["EXPONENT", "FRACTION", "QUIET", "REGIME", "SIGN", "bits", "console"]

# The customary colours of the fields; names, so that the terminal's theme has the last word.
SIGN, REGIME, EXPONENT, FRACTION = "bold red", "bold yellow", "bold bright_blue", "bold green"
QUIET = "dim"


def console() -> Console:
    """Standard output. No markup and no guessing: what the user typed is printed as typed."""
    return Console(highlight=False, markup=False, emoji=False)


def bits(fields: Fields) -> Text:
    """The bits of a pattern on one line, fields apart by a space and in their colours."""
    parts = (
        (fields.sign, SIGN),
        (fields.regime, REGIME),
        (fields.exponent, EXPONENT),
        (fields.fraction, FRACTION),
    )
    return Text(" ").join(Text(text, style) for text, style in parts if text)
