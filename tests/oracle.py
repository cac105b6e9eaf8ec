"""What the right answer is, by looking between the rounding boundaries.

The boundaries of an n-bit format are the odd patterns of the (n+1)-bit format with the same rs and
es; a value rounds to the pattern whose two boundaries enclose it, and on a boundary to the even
pattern (docs/format.md). So ``posit.reference.decode`` alone defines rounding, and
``posit.reference.encode`` and the C core are both judged by it.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import isqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from posit import PositSpec, reference
from posit.reference.decode import magnitude

__all__ = [
    "all_patterns",
    "boundary",
    "expected",
    "expected_conversion",
    "nearest",
    "rounds_to",
    "rounds_to_root",
    "values",
]

Objects = npt.NDArray[np.object_]
Bits = npt.NDArray[np.signedinteger[Any]]


def all_patterns(spec: PositSpec) -> Bits:
    """Every pattern, in the order of the values, NaR first."""
    return np.arange(spec.nar, spec.maxpos_pattern + 1).astype(spec.storage)


def boundary(body: int, spec: PositSpec) -> Fraction:
    """What divides the positive patterns ``body`` and ``body + 1``: 0 < body < maxpos."""
    return magnitude(2 * body + 1, spec.n + 1, spec.rs, spec.es)


def rounds_to(pattern: int, value: Fraction, spec: PositSpec) -> bool:
    """Whether ``pattern`` is the rounding of the exact ``value``; any width."""
    if value == 0 or pattern in (0, spec.nar):
        return value == 0 and pattern == 0
    if (value < 0) != (pattern < 0):
        return False
    body, size = abs(pattern), abs(value)
    if body > 1:
        low = boundary(body - 1, spec)
        if size < low or (size == low and body % 2):
            return False
    if body < spec.maxpos_pattern:
        high = boundary(body, spec)
        if size > high or (size == high and body % 2):
            return False
    return True


@cache
def values(spec: PositSpec) -> tuple[Fraction | None, ...]:
    """The exact values of :func:`all_patterns`. For narrow formats."""
    return tuple(reference.decode(p, spec) for p in range(spec.nar, spec.maxpos_pattern + 1))


@cache
def _unit(spec: PositSpec) -> int:
    """u >= 0 such that all values and boundaries are integers times 2^-u."""
    found = [v for v in values(spec) if v is not None]
    found += [boundary(k, spec) for k in range(1, spec.maxpos_pattern)]
    return max(x.denominator for x in found).bit_length() - 1


@cache
def _edges(spec: PositSpec, unit: int) -> Objects:
    """Twice the boundaries in units of 2^-unit, ascending."""
    found = [boundary(k, spec) * 2 ** (unit + 1) for k in range(1, spec.maxpos_pattern)]
    return np.array([int(x) for x in found], dtype=object)


@cache
def _integers(spec: PositSpec) -> Objects:
    """The values of all patterns in units of 2^-_unit(spec); 0 for NaR."""
    return np.array([int((v or 0) * 2 ** _unit(spec)) for v in values(spec)], dtype=object)


def nearest(twice: Objects, negative: npt.NDArray[np.bool_], spec: PositSpec, unit: int) -> Bits:
    """Round magnitudes. ``twice`` is 2·|value|·2^unit, or that integer plus 1/2 made odd by + 1.

    An odd number stands for everything strictly between its even neighbours, which no boundary is.
    """
    edges = _edges(spec, unit)
    below = np.searchsorted(edges, twice)  # boundaries less than the value
    body = below + 1
    at = np.minimum(below, edges.size - 1)
    body += (body % 2 == 1) & (below < edges.size) & (edges[at] == twice)
    body[twice == 0] = 0
    return np.where(negative, -body, body).astype(spec.storage)


def expected(op: str, spec: PositSpec, *operands: Bits) -> Bits:
    """The right patterns of an operation on narrow patterns that broadcast together."""
    operands = tuple(np.asarray(x) for x in np.broadcast_arrays(*operands))
    shape = operands[0].shape
    flat = [x.reshape(-1).astype(np.int64) for x in operands]
    unit = _unit(spec)
    a, b, c, *_ = [_integers(spec)[x - spec.nar] for x in flat] * 3
    nar: npt.NDArray[np.bool_] = np.logical_or.reduce([x == spec.nar for x in flat])
    if op in ("add", "sub"):
        exact = a + b if op == "add" else a - b
    elif op in ("mul", "fma"):
        exact = a * b if op == "mul" else a * b + (c << unit)
        unit *= 2
    elif op == "div":
        nar |= (b == 0).astype(bool)
        top, bottom = abs(a) << unit, abs(b) + (b == 0)
        made = nearest(
            2 * (top // bottom) + (top % bottom != 0), ((a < 0) ^ (b < 0)).astype(bool), spec, unit
        )
        return np.where(nar, spec.nar, made).astype(spec.storage).reshape(shape)
    elif op == "sqrt":
        nar |= (a < 0).astype(bool)
        square = abs(a) << unit
        root = np.frompyfunc(isqrt, 1, 1)(square)
        made = nearest(2 * root + (root * root != square), np.zeros(root.shape, bool), spec, unit)
        return np.where(nar, spec.nar, made).astype(spec.storage).reshape(shape)
    elif op in ("neg", "abs"):
        exact = -a if op == "neg" else abs(a)
    else:
        raise ValueError(f"unknown operation {op!r}")
    made = nearest(2 * abs(exact), (exact < 0).astype(bool), spec, unit)
    return np.where(nar, spec.nar, made).astype(spec.storage).reshape(shape)


def expected_conversion(from_spec: PositSpec, to_spec: PositSpec) -> Bits:
    """The right patterns of ``to_spec`` for all patterns of ``from_spec``; both narrow."""
    unit = max(_unit(from_spec), _unit(to_spec))
    exact = _integers(from_spec) << (unit - _unit(from_spec))
    made = nearest(2 * abs(exact), (exact < 0).astype(bool), to_spec, unit)
    return np.where(all_patterns(from_spec) == from_spec.nar, to_spec.nar, made).astype(
        to_spec.storage
    )


def rounds_to_root(pattern: int, square: Fraction, spec: PositSpec) -> bool:
    """Whether ``pattern`` is the rounding of √square, square >= 0."""
    if square == 0 or pattern <= 0:
        return square == 0 and pattern == 0
    if pattern > 1:
        low = boundary(pattern - 1, spec) ** 2
        if square < low or (square == low and pattern % 2):
            return False
    if pattern < spec.maxpos_pattern:
        high = boundary(pattern, spec) ** 2
        if square > high or (square == high and pattern % 2):
            return False
    return True
