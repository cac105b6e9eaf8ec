"""Correctly rounded element-wise arithmetic on posits and on arrays of patterns.

Every function takes posit arrays and Posits, and gives posits; or arrays of patterns (dtype
``spec.storage``; Python integers are taken too) with their format, and gives patterns. It
broadcasts them, computes as if exactly and rounds once, to nearest with ties to the even pattern
(Posit Standard 2022, section 5; docs/format.md). NaR in gives NaR out. ``out`` may be, or overlap,
an input. The global interpreter lock is released meanwhile.

Errors, in every function: TypeError for a dtype other than ``spec.storage``; ValueError for a
pattern outside the n-bit range, shapes that do not broadcast, or a wrong ``out``. Nothing is
written then.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ._arrays import Patterns, core_spec, ffi, launch, lib, patterns
from ._lift import binary, ternary, unary
from .spec import PositSpec

__all__ = ["abs", "add", "div", "fma", "mul", "neg", "sqrt", "sub"]


def _apply(
    op: int, spec: PositSpec, operands: dict[str, npt.ArrayLike], out: Patterns | None
) -> Patterns:
    arrays = tuple(patterns(x, spec, name) for name, x in operands.items())
    s = core_spec(spec)
    unused = [ffi.NULL, 0] * (3 - len(arrays))

    def call(count: int, *arguments: Any) -> None:
        lib.bp_apply(op, s, count, *arguments[:-2], *unused, *arguments[-2:])

    return launch(call, arrays, np.dtype(spec.storage), out)


@binary
def add(
    a: npt.ArrayLike, b: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None
) -> Patterns:
    """a + b, rounded once."""
    return _apply(lib.BP_ADD, spec, {"a": a, "b": b}, out)


@binary
def sub(
    a: npt.ArrayLike, b: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None
) -> Patterns:
    """a - b, rounded once."""
    return _apply(lib.BP_SUB, spec, {"a": a, "b": b}, out)


@binary
def mul(
    a: npt.ArrayLike, b: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None
) -> Patterns:
    """a · b, rounded once."""
    return _apply(lib.BP_MUL, spec, {"a": a, "b": b}, out)


@binary
def div(
    a: npt.ArrayLike, b: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None
) -> Patterns:
    """a / b, rounded once; NaR where b is 0."""
    return _apply(lib.BP_DIV, spec, {"a": a, "b": b}, out)


@ternary
def fma(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    c: npt.ArrayLike,
    spec: PositSpec,
    *,
    out: Patterns | None = None,
) -> Patterns:
    """a · b + c, with a single rounding."""
    return _apply(lib.BP_FMA, spec, {"a": a, "b": b, "c": c}, out)


@unary
def sqrt(a: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None) -> Patterns:
    """√a, rounded once; NaR for negative values."""
    return _apply(lib.BP_SQRT, spec, {"a": a}, out)


@unary
def neg(a: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None) -> Patterns:
    """-a; exact. NaR stays NaR."""
    return _apply(lib.BP_NEG, spec, {"a": a}, out)


@unary
def abs(a: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None) -> Patterns:
    """|a|; exact. NaR stays NaR."""
    return _apply(lib.BP_ABS, spec, {"a": a}, out)
