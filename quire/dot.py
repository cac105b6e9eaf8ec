"""dot, sum, norm2, and fused sums of scaled arrays: exact, rounded once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import fsum, prod

import numpy as np
import numpy.typing as npt

from posit import PositSpec, bits, encode, from_fraction, view
from posit import fma as _fma
from posit import mean as exact_mean
from posit._arrays import scalar
from posit.reference import root
from posit.spec import SpecLike

from . import chunked
from ._core import Patterns, core_layout, core_spec, lib, patterns, pointer, resolve
from ._lift import format_of, lifted
from ._threads import check_threads, run
from .certified import can_certify
from .layout import Layout
from .quire import Quire

__all__ = ["accumulate_dot", "axpy", "combine", "dot", "mean", "norm2", "sum"]

MOST_TERMS = (1 << 31) - 1  # what the carry guard of a quire allows
_CHUNK = 1 << 16  # elements: the least work worth a thread


@lifted("a", "b")
def dot(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    spec: SpecLike | None = None,
    *,
    layout: Layout | str | None = None,
    threads: int | None = None,
) -> Patterns:
    """Σ_k a[..., k]·b[..., k], accumulated exactly and rounded once.

    Parameters
    ----------
    a, b : array_like of spec.storage
        Patterns; the last axes have one length K, the others broadcast. K = 0 gives 0.
    layout : Layout or its name, optional
        Default exact. With "paper800" bits of products below 2^-384 are dropped.
    threads : int, optional
        Default as many as this process may use; the result does not depend on it.

    Returns the patterns, of the broadcast shape without the last axis; for Dask arrays, which may
    have one axis, a lazy Dask array. Raises TypeError or ValueError as :mod:`posit.arithmetic`
    does.
    """
    spec = format_of(spec)
    if chunked.is_dask(a, b):
        _check_plain(layout)
        return chunked.dot(a, b, spec)  # type: ignore[no-any-return]
    x, y = patterns(a, spec, "a"), patterns(b, spec, "b")
    if x.ndim == 0 or y.ndim == 0:
        raise ValueError("dot needs arrays with at least one axis")
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(f"dot of lengths {x.shape[-1]} and {y.shape[-1]}: they must agree")
    x, y = np.broadcast_arrays(x, y)
    return _reduce(spec, layout, (x, y), threads)


@lifted("a")
def sum(
    a: npt.ArrayLike,
    spec: SpecLike | None = None,
    *,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    layout: Layout | str | None = None,
    threads: int | None = None,
) -> Patterns:
    """Sum over ``axis`` (default all), accumulated exactly and rounded once; 0 if empty.

    Of a Dask array, a lazy Dask array: the same bits for every chunking, scheduler and number of
    workers.
    """
    spec = format_of(spec)
    if chunked.is_dask(a):
        _check_plain(layout)
        return chunked.sum(a, spec, axis, keepdims)  # type: ignore[no-any-return]
    x = patterns(a, spec, "a")
    if axis is None:
        axes = tuple(range(x.ndim))
    else:
        axes = np.lib.array_utils.normalize_axis_tuple(axis, x.ndim)
    kept = [i for i in range(x.ndim) if i not in axes]
    shape = tuple(x.shape[i] for i in kept)
    length = prod(x.shape[i] for i in axes)
    line = x.transpose(*kept, *axes).reshape(*shape, length)
    one = np.broadcast_to(spec.storage.type(spec.one), line.shape)
    result = _reduce(spec, layout, (line, one), threads)
    if keepdims and x.ndim:
        result = np.asarray(result).reshape([1 if i in axes else s for i, s in enumerate(x.shape)])
    return result


@lifted("a")
def mean(
    a: npt.ArrayLike,
    spec: SpecLike | None = None,
    *,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
) -> Patterns:
    """The exact sum over ``axis`` divided by the count, rounded once; NaR where there is nothing.

    Of a Dask array, a lazy Dask array.
    """
    spec = format_of(spec)
    if chunked.is_dask(a):
        return chunked.mean(a, spec, axis, keepdims)  # type: ignore[no-any-return]
    found = exact_mean(view(patterns(a, spec, "a"), spec), axis, keepdims=keepdims)
    return scalar(bits(np.asarray(found)))


@lifted("a")
def norm2(a: npt.ArrayLike, spec: SpecLike | None = None) -> Patterns:
    """√Σa², over all elements: the root of the exact sum of squares, rounded once."""
    spec = format_of(spec)
    x = patterns(a, spec, "a").reshape(-1)
    q = Quire(spec)
    accumulate_dot(q, x, x)
    exact = q.value
    return from_fraction(None if exact is None else root(exact, 2 * spec.n), spec)  # type: ignore[return-value]


@lifted("alpha", "x", "y")
def axpy(
    alpha: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike, spec: SpecLike | None = None
) -> Patterns:
    """alpha·x + y element by element, rounded once (a fused multiply-add)."""
    spec = format_of(spec)
    a, b, c = patterns(alpha, spec, "alpha"), patterns(x, spec, "x"), patterns(y, spec, "y")
    return _fma(a, b, c, spec)


@lifted("coefficients", "arrays")
def combine(
    coefficients: npt.ArrayLike, arrays: Sequence[npt.ArrayLike], spec: SpecLike | None = None
) -> Patterns:
    """Σ_k coefficients[k]·arrays[k] element by element, each element rounded once.

    ``coefficients`` has one axis of length K; the K arrays broadcast together.
    """
    spec = format_of(spec)
    c = patterns(coefficients, spec, "coefficients")
    if c.ndim != 1 or c.size != len(arrays):
        raise ValueError(f"combine: {c.shape} coefficients for {len(arrays)} arrays")
    if not len(arrays):
        raise ValueError("combine needs at least one array")
    terms = np.broadcast_arrays(*(patterns(x, spec, f"arrays[{k}]") for k, x in enumerate(arrays)))
    return dot(np.stack(terms, axis=-1), c, spec)


def accumulate_dot(q: Quire, a: Patterns, b: Patterns) -> None:
    """Add Σ a·b over two one-axis arrays to a quire."""
    lib.bp_quire_dot(
        core_spec(q.spec), core_layout(q.layout), *q._state(),
        a.size, pointer(a), a.strides[0], pointer(b), b.strides[0],
    )  # fmt: skip


def _check_plain(layout: Layout | str | None) -> None:
    if layout not in (None, "exact"):
        raise ValueError(f"Dask arrays are summed in the exact layout, not in {layout}")


def _reduce(
    spec: PositSpec,
    layout: Layout | str | None,
    operands: tuple[Patterns, Patterns],
    threads: int | None,
) -> Patterns:
    """The dot product of each row: rows shared among threads, or one long row split among them."""
    threads = check_threads(threads)
    shape, length = operands[0].shape[:-1], operands[0].shape[-1]
    if length > MOST_TERMS:
        raise ValueError(f"a sum of {length} terms; at most 2^31 - 1 are possible")
    where = resolve(spec, layout)
    rows = prod(shape)
    if rows == 1 and threads > 1 and length >= 2 * _CHUNK:
        a, b = (x.reshape(-1) if x.strides[-1] else x[(0,) * len(shape)] for x in operands)
        return scalar(np.full(shape, _long(a, b, spec, where, threads), dtype=spec.storage))
    a, b = (_rows(x, rows, length) for x in operands)
    out = np.empty(rows, dtype=spec.storage)
    step = max(1, -(-rows // threads), -(-_CHUNK // max(1, length)))

    def work(i: int) -> None:
        x, y, to = a[i : i + step], b[i : i + step], out[i : i + step]
        lib.bp_dots(
            core_spec(spec), core_layout(where), to.size, length, pointer(x), *x.strides,
            pointer(y), *y.strides, pointer(to),
        )  # fmt: skip

    run(work, range(0, rows, step), threads)
    return scalar(out.reshape(shape))


def _rows(x: Patterns, rows: int, length: int) -> Patterns:
    """x as (rows, length), a view where strides allow it; a broadcast line stays one."""
    if x.ndim == 1 or not any(x.strides[:-1]):
        line = x[(0,) * (x.ndim - 1)] if rows else np.empty(length, x.dtype)
        return np.broadcast_to(line, (rows, length))
    return x.reshape(rows, length)


def _long(a: Patterns, b: Patterns, spec: PositSpec, layout: Layout, threads: int) -> int:
    """One long row in stretches: their intervals if the sum's decides, else their quires."""
    pieces = min(threads, a.size // _CHUNK)
    edges = [a.size * i // pieces for i in range(pieces + 1)]
    parts = [(a[i:j], b[i:j]) for i, j in pairwise(edges)]
    if layout.is_exact and can_certify(spec):
        found: list[tuple[float, float]] = []

        def enclose(part: tuple[Patterns, Patterns]) -> None:
            x, y = part
            interval = lib.bp_dot_enclosed(
                core_spec(spec), x.size, pointer(x), *x.strides, pointer(y), *y.strides
            )
            found.append((interval.middle, interval.error))

        run(enclose, parts, threads)
        middle = fsum(x for x, _ in found)  # rounded once; the ends below, once more
        error = fsum(e for _, e in found) * (1 + 2.0**-50) + abs(middle) * 2.0**-51
        low, high = encode(np.array([middle - error, middle + error]), spec)
        if low == high:
            return int(low)
    quires = [Quire(spec, layout) for _ in parts]
    run(lambda i: accumulate_dot(quires[i], *parts[i]), range(pieces), threads)
    for other in quires[1:]:
        quires[0].merge(other)
    return int(quires[0].round())
