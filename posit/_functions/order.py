"""Functions that the order of patterns alone defines: no value is computed and nothing rounded."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import Patterns, deliver, patterns
from .._lift import Compared, Relation, binary, relation, unary
from ..spec import PositSpec

__all__ = [
    "compare_equal",
    "compare_greater",
    "compare_greater_equal",
    "compare_less",
    "compare_less_equal",
    "compare_not_equal",
    "copysign",
    "next",
    "nextafter",
    "prior",
    "sign",
]


@unary
def sign(bits: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None) -> Patterns:
    """-1, 0 or 1; NaR for NaR."""
    x = patterns(bits, spec)
    made = np.sign(x) * spec.storage.type(spec.one)
    return deliver(np.asarray(np.where(x == spec.nar, x, made)), out)


@unary
def next(bits: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None) -> Patterns:
    """The pattern after each, wrapping from maxpos to NaR (Posit Standard, 5.3)."""
    return deliver(_stepped(patterns(bits, spec), 1, spec), out)


@unary
def prior(bits: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None) -> Patterns:
    """The pattern before each, wrapping from NaR to maxpos (Posit Standard, 5.3)."""
    return deliver(_stepped(patterns(bits, spec), -1, spec), out)


def _stepped(x: Patterns, step: int, spec: PositSpec) -> Patterns:
    last, wrapped = (spec.maxpos_pattern, spec.nar)[::step]
    number = spec.storage.type
    with np.errstate(over="ignore"):
        return np.asarray(np.where(x == last, number(wrapped), x + number(step)))


@binary
def nextafter(
    a: npt.ArrayLike, b: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None
) -> Patterns:
    """The pattern after each of a on the way to b; b where they are equal, NaR if either is."""
    x, y = _pair(a, b, spec)
    one = spec.storage.type(1)
    with np.errstate(over="ignore"):
        made = np.where(x < y, x + one, np.where(x > y, x - one, y))
    return deliver(_nar_if_any(made, x, y, spec), out)


@binary
def copysign(
    a: npt.ArrayLike, b: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None
) -> Patterns:
    """|a| with the sign of b, which is positive for 0; NaR if either is."""
    x, y = _pair(a, b, spec)
    with np.errstate(over="ignore"):
        made = np.where((x < 0) != (y < 0), -x, x)
    return deliver(_nar_if_any(made, x, y, spec), out)


def _pair(a: npt.ArrayLike, b: npt.ArrayLike, spec: PositSpec) -> tuple[Patterns, Patterns]:
    x, y = patterns(a, spec, "a"), patterns(b, spec, "b")
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        raise ValueError(f"shapes {x.shape}, {y.shape} do not broadcast together") from None
    return x, y


def _nar_if_any(made: Patterns, x: Patterns, y: Patterns, spec: PositSpec) -> Patterns:
    return np.asarray(
        np.where((x == spec.nar) | (y == spec.nar), spec.storage.type(spec.nar), made)
    )


def _comparison(name: str, relation_of: Callable[[Any, Any], Any], symbol: str) -> Relation:
    def compared(
        a: npt.ArrayLike, b: npt.ArrayLike, spec: PositSpec, *, out: Compared | None = None
    ) -> Compared:
        x, y = _pair(a, b, spec)
        return deliver(np.asarray(relation_of(x, y)), out)

    compared.__name__ = compared.__qualname__ = name
    compared.__doc__ = f"Whether a {symbol} b; NaR equals NaR and is less than all else."
    return relation(compared)


compare_equal = _comparison("compare_equal", operator.eq, "=")
compare_not_equal = _comparison("compare_not_equal", operator.ne, "!=")
compare_greater = _comparison("compare_greater", operator.gt, ">")
compare_greater_equal = _comparison("compare_greater_equal", operator.ge, ">=")
compare_less = _comparison("compare_less", operator.lt, "<")
compare_less_equal = _comparison("compare_less_equal", operator.le, "<=")
