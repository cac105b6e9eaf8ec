"""From a row of the table to a function."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from .. import _lift
from .._arrays import Patterns
from .._lift import Binary, Unary
from ..spec import PositSpec, SpecLike
from .engine import apply
from .rows import ROWS

__all__ = ["abscissa_first", "binary", "unary"]


def _named(function: Any, name: str, text: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__module__ = "posit.functions"
    function.__doc__ = text
    return function


def _text(name: str) -> str:
    row = ROWS[name]
    return f"{row.formula}, rounded once. {row.note}".rstrip()


def unary(name: str) -> Unary:
    """The function of one posit in that row."""
    row = ROWS[name]

    def function(x: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None) -> Patterns:
        return apply(row, spec, (x,), out)

    return _lift.unary(_named(function, name, _text(name)))


def binary(name: str) -> Binary:
    """The function of two posits in that row."""
    row = ROWS[name]

    def function(
        a: npt.ArrayLike, b: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None
    ) -> Patterns:
        return apply(row, spec, (a, b), out)

    return _lift.binary(_named(function, name, _text(name)))


def abscissa_first(function: Binary, name: str) -> Binary:
    """A function of (y, x) as one of (x, y), the standard's order."""

    def swapped(x: Any, y: Any, /, spec: SpecLike | None = None, *, out: Any = None) -> Any:
        return function(y, x, spec, out=out)

    text = f"``{function.__name__}`` with the abscissa first, as the Posit Standard has it."
    found: Binary = _named(swapped, name, text)
    return found
