"""Exact matrix products into accumulators: by slices and the BLAS, or by quires one at a time.

A matrix is cut along its binary places into slices of β-bit integers. A float64 product of two
slices is exact whatever the BLAS does: every partial sum is an integer of at most 51 bits. The few
elements that lie outside the slices worth multiplying are added one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from posit import PositSpec

from ._core import Patterns, core_spec, ffi, is_transpose, lib, pointer
from ._memory import give, take
from ._threads import run

if TYPE_CHECKING:
    from .gradient import Accumulators

__all__ = ["BLAS", "QUIRE", "Plan", "add_dots", "add_products", "plan"]

Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_SUM_BITS = 51  # of an exact float64 sum that bp_window_add_f64 takes
_INNER = 1024  # terms multiplied at a time: 20-bit slices
_MOST_SLICES = 8
_RUN = 300_000.0  # of planning and slicing one run of terms
_SAMPLE = 1 << 15

# Costs in nanoseconds, from measurements; they choose a route and cannot change a bit.
BLAS = 0.02  # of one float64 multiply-add on one thread
QUIRE = 2.0  # of one multiply-add in a quire
_QUIRE_START = 300.0
_ADD = 1.5  # of adding one element of a float64 product
_CALL = 4000.0  # of adding one row or column through Python


@dataclass(frozen=True)
class Cut:
    """How one matrix is sliced: its places 2^top down to 2^(top - parts·bits)."""

    top: int
    bits: int
    parts: int
    outside: int  # elements that do not fit


@dataclass(frozen=True)
class Plan:
    """What to do, and an estimate of what it takes. No slices: every element in a quire."""

    nanoseconds: float
    low: int  # products are multiples of 2^low ...
    high: int  # ... and sums below 2^high
    left: Cut | None = None
    right: Cut | None = None


def add_products(
    sums: Accumulators, a: Patterns, b: Patterns, threads: int, how: Plan | None = None
) -> None:
    """``sums`` += a·b, in runs of at most 1024 terms; ``how``: the plan of all, if known."""
    spec = sums.spec
    rows, inner = a.shape
    cols = b.shape[1]
    if not rows or not cols:
        return
    nar = (a == spec.nar).any(axis=1)[:, np.newaxis] | (b == spec.nar).any(axis=0)
    sums._nar |= nar.reshape(-1).view(np.uint8)
    how = plan(a, b, spec, threads) if how is None else how
    if how.low >= how.high:
        return  # all zero
    sums._widen(how.low, how.high)
    if not (how.left and how.right):
        _by_quires(sums, a, b, threads)
        return
    for k in range(0, inner, _INNER):
        x, y = a[:, k : k + _INNER], b[k : k + _INNER]
        now = how if inner <= _INNER else plan(x, y, spec, threads)
        if now.left and now.right:
            _by_slices(sums, x, y, now.left, now.right, threads)
        elif now.low < now.high:
            _by_quires(sums, x, y, threads)


def add_dots(sums: Accumulators, a: Patterns, b: Patterns, threads: int) -> None:
    """``sums``[i] += Σ_k a[i, k]·b[i, k], in quires."""
    inner = a.shape[-1]
    if not inner or not sums._nar.size:
        return
    spans = [_span(_distinct(x), sums.spec) for x in (a, b)]
    sums._nar |= ((a == sums.spec.nar) | (b == sums.spec.nar)).any(axis=-1).reshape(-1)
    if spans[0] is None or spans[1] is None:
        return
    sums._allow(4)
    sums._widen(spans[0][0] + spans[1][0], spans[0][1] + spans[1][1] + inner.bit_length())
    spec, window = core_spec(sums.spec), sums._window()

    def work(at: tuple[int, tuple[int, ...]]) -> None:
        i, place = at
        x, y = a[place], b[place]
        lib.bp_window_add_dot(
            spec, window[0], i, inner, pointer(x), *x.strides, pointer(y), *y.strides
        )

    run(work, enumerate(np.ndindex(sums.shape)), threads)


def _distinct(x: Patterns) -> Patterns:
    """x as a matrix, without the axes that broadcasting repeats."""
    once = x[tuple(slice(None) if stride else slice(1) for stride in x.strides)]
    return once.reshape(-1, once.shape[-1])


def plan(a: Patterns, b: Patterns, spec: PositSpec, threads: int) -> Plan:
    """The cheaper way to multiply a (M, K) and b (K, N) exactly, 1024 terms at a time."""
    (rows, inner), cols = a.shape, b.shape[1]
    spans = _span(a, spec), _span(b, spec)
    if spans[0] is None or spans[1] is None:
        return Plan(0.0, 0, 0)
    low, high = spans[0][0] + spans[1][0], spans[0][1] + spans[1][1] + inner.bit_length()
    work_of, runs = rows * cols / threads, -(-inner // _INNER)
    best = Plan(work_of * (inner * QUIRE + _QUIRE_START), low, high)
    bits = (_SUM_BITS - (min(inner, _INNER) - 1).bit_length()) // 2
    lefts = _cuts(a, spec, bits)
    rights = lefts if is_transpose(a, b) else _cuts(b, spec, bits)
    for left in lefts:
        for right in rights:
            pairs = left.parts * right.parts
            cost = pairs * work_of * (inner * BLAS + runs * _ADD) + runs * _RUN
            cost += (left.outside * (_CALL + cols * _ADD)) + right.outside * (_CALL + rows * _ADD)
            if cost < best.nanoseconds:
                best = Plan(cost, low, high, left, right)
    return best


def _span(x: Patterns, spec: PositSpec) -> tuple[int, int] | None:
    """Where the bits of all elements lie; None if there are none."""
    flat = _flat(x)
    found = ffi.new("int32_t[2]")
    stride = flat.strides[0] if flat.size else 0
    some = lib.bp_span(core_spec(spec), flat.size, pointer(flat), stride, found)
    return (found[0], found[1]) if some else None


def _flat(x: Patterns) -> Patterns:
    """The elements in the order of memory; a view of contiguous matrices."""
    return (x if x.strides[0] >= x.strides[-1] else x.T).reshape(-1)


def _cuts(x: Patterns, spec: PositSpec, bits: int) -> list[Cut]:
    """For each number of slices, those outside which the fewest elements have bits.

    Large matrices are judged by a sample: what lies outside is found again when they are cut.
    """
    step = max(1, x.size // _SAMPLE) | 1  # odd, so that it meets all columns
    some = _flat(x)[::step]
    size = 2 * spec.reach + spec.f_max + 1
    origin = -(spec.reach + spec.f_max)
    highest, lowest = np.zeros((2, size), np.int64)
    lib.bp_extent(
        core_spec(spec), some.size, pointer(some), some.strides[0] if some.size else 0, origin,
        ffi.from_buffer("int64_t[]", highest), ffi.from_buffer("int64_t[]", lowest),
    )  # fmt: skip
    over = np.append(highest[::-1].cumsum()[::-1], 0)[1:]  # over[e]: a bit above e
    below = lowest.cumsum()  # below[e]: a bit at e or lower
    found = []
    for parts in range(1, _MOST_SLICES + 1):
        under = np.zeros(size, np.int64)
        width = parts * bits
        under[width:] = below[: max(0, size - width)]
        best = int(np.argmin(over + under))
        found.append(Cut(best + 1 + origin, bits, parts, int(over[best] + under[best]) * step))
    return found


def _by_quires(sums: Accumulators, a: Patterns, b: Patterns, threads: int) -> None:
    rows, cols = a.shape[0], b.shape[1]
    columns = np.ascontiguousarray(b.T)
    sums._allow(4)  # which may move the window
    spec, window = core_spec(sums.spec), sums._window()

    def work(i: int) -> None:
        for j in range(cols):
            lib.bp_window_add_dot(
                spec, window[0], i * cols + j, a.shape[1], pointer(a[i]), a.strides[1],
                pointer(columns[j]), columns.strides[1],
            )  # fmt: skip

    run(work, range(rows), threads)


def _by_slices(  # noqa: PLR0917
    sums: Accumulators, a: Patterns, b: Patterns, left: Cut, right: Cut, threads: int
) -> None:
    made: dict[int, Any] = {}
    sizes = left.parts * a.size, right.parts * b.size
    room = take(sum(sizes) + sums._nar.size)
    rooms = room[: sizes[0]], room[sizes[0] : sum(sizes)]
    gram = is_transpose(a, b) and left == right

    def work(i: int) -> None:
        made[i] = _slices((a, b)[i], (left, right)[i], sums.spec, rooms[i])

    run(work, range(1 if gram else 2), threads)
    if gram:  # one array for both, which the BLAS can make use of
        parts, outside = made[0]
        i, k = np.divmod(outside, a.shape[1])
        made[1] = parts.transpose(0, 2, 1), k * a.shape[0] + i
    (x, outside_a), (y, outside_b) = made[0], made[1]
    rows, cols = sums.shape
    sums._allow(2 * left.parts * right.parts)
    height = max(1, -(-rows // (4 * threads)))
    product = room[sum(sizes) :][: rows * cols].reshape(rows, cols)
    for s in range(left.parts):
        for t in range(right.parts):
            exponent = left.top + right.top - (s + 1) * left.bits - (t + 1) * right.bits
            np.matmul(x[s], y[t], out=product)
            sums._widen(exponent, exponent)
            window = sums._window()

            def add(i: int, at: int = exponent, w: Any = window) -> None:
                part = product[i : i + height]
                to = ffi.cast("double *", part.ctypes.data)
                lib.bp_window_add_f64(w[0], i * cols, part.size, to, at)

            run(add, range(0, rows, height), threads)
    give(room)
    rest = a
    if outside_a.size:
        rest = a.copy()
        for i, k in zip(*np.divmod(outside_a, a.shape[1]), strict=True):
            rest[i, k] = 0
            _add_line(sums, i * cols, 1, b[k], int(a[i, k]))
    for k, j in zip(*np.divmod(outside_b, cols), strict=True):
        _add_line(sums, j, cols, rest[:, k], int(b[k, j]))


def _add_line(sums: Accumulators, first: int, step: int, values: Patterns, by: int) -> None:
    sums._allow(4)
    done = 0
    while done < values.size:
        count, need = sums._add_row(first + done * step, step, values[done:], by)
        done += count
        if need is not None:
            sums._widen(*need)


def _slices(x: Patterns, cut: Cut, spec: PositSpec, room: Doubles) -> tuple[Doubles, Indices]:
    """The slices (parts, *x.shape), and the row-major indices of the elements outside them."""
    if x.strides[0] < x.strides[1]:
        parts, outside = _slices(x.T, cut, spec, room)
        j, i = np.divmod(outside, x.shape[0])
        return parts.transpose(0, 2, 1), i * x.shape[1] + j
    flat = x.reshape(-1)
    parts = room.reshape(cut.parts, *x.shape)
    outside = np.empty(flat.size, np.int64)
    count = lib.bp_slice(
        core_spec(spec), flat.size, pointer(flat), flat.strides[0] if flat.size else 0, cut.top,
        cut.bits, cut.parts, ffi.from_buffer("double[]", parts), flat.size,
        ffi.from_buffer("int64_t[]", outside),
    )  # fmt: skip
    return parts, outside[:count]
