"""What is known about one function: its names, and how float64 and MPFR compute it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..spec import PositSpec
from .floats import FRACTION, REACH

__all__ = ["Row"]


@dataclass(frozen=True, eq=False)
class Row:
    """A function of real operands, the last of which may be an integer.

    Parameters
    ----------
    name : str
        In posit.functions.
    formula : str
        What it computes; the first line of its docstring.
    fast : callable
        The float64 route (floats.py).
    direct, near : callable
        The MPFR routes (reals.py); ``near`` serves what ``direct`` leaves undecided.
    operands : tuple of str
        Names of the posit operands, in order.
    integer : str
        Name of an integer operand after them, if there is one.
    span : int
        The fast route needs span·reach bits of float64's range.
    note : str
        When the result is NaR, and what else is worth knowing.
    """

    name: str
    formula: str
    fast: Callable[..., tuple[Any, Any]]
    direct: Callable[..., Any]
    near: Callable[..., Any] | None = None
    operands: tuple[str, ...] = ("bits",)
    integer: str = ""
    span: int = 1
    note: str = ""

    def is_fast(self, spec: PositSpec) -> bool:
        """Whether float64 holds the operands exactly and decides most roundings."""
        return spec.f_max <= FRACTION and self.span * spec.reach <= REACH
