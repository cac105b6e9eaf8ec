"""Comparisons: patterns order as their values, NaR below everything (docs/format.md)."""

from __future__ import annotations

from ._codec import signed
from ._words import inline

__all__ = ["eq", "ge", "gt", "le", "lt", "ne"]


@inline
def lt(a: int, b: int) -> bool:
    """a < b; NaR is below everything."""
    return signed(a) < signed(b)


@inline
def le(a: int, b: int) -> bool:
    """a <= b."""
    return signed(a) <= signed(b)


@inline
def eq(a: int, b: int) -> bool:
    """a = b; NaR equals itself."""
    return signed(a) == signed(b)


@inline
def ne(a: int, b: int) -> bool:
    """a != b."""
    return signed(a) != signed(b)


@inline
def gt(a: int, b: int) -> bool:
    """a > b."""
    return signed(a) > signed(b)


@inline
def ge(a: int, b: int) -> bool:
    """a >= b."""
    return signed(a) >= signed(b)
