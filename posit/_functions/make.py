"""From a row of the table to a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy.typing as npt

from .._arrays import Patterns
from ..spec import PositSpec
from .engine import apply
from .rows import ROWS

__all__ = ["Binary", "Unary", "abscissa_first", "binary", "unary"]


class Unary(Protocol):
    """The type of functions of one posit."""

    def __call__(
        self, bits: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None
    ) -> Patterns:
        """Patterns of the function of each element."""


class Binary(Protocol):
    """The type of functions of two posits."""

    def __call__(
        self, a: npt.ArrayLike, b: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None
    ) -> Patterns:
        """Patterns of the function of each pair."""


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

    def function(bits: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None) -> Patterns:
        return apply(row, spec, (bits,), out)

    found: Unary = _named(function, name, _text(name))
    return found


def binary(name: str) -> Binary:
    """The function of two posits in that row."""
    row = ROWS[name]

    def function(
        a: npt.ArrayLike, b: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None
    ) -> Patterns:
        return apply(row, spec, (a, b), out)

    found: Binary = _named(function, name, _text(name))
    return found


def abscissa_first(function: Callable[..., Patterns], name: str) -> Callable[..., Patterns]:
    """A function of (y, x) as one of (x, y), the standard's order."""

    def swapped(
        x: npt.ArrayLike, y: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None
    ) -> Patterns:
        return function(y, x, spec, out=out)

    text = f"``{function.__name__}`` with the abscissa first, as the Posit Standard has it."
    found: Callable[..., Patterns] = _named(swapped, name, text)
    return found
