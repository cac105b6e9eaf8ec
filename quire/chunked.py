"""Exact sums of Dask arrays: partitions are merged, never rounded in between.

Each partition becomes :class:`quire.Accumulators`, which travel between workers as the bytes that
``to_bytes`` makes: 41 + 4·planes bytes for a whole partition (45 to 145 for bposit16), and 4·planes
bytes and a bit more for every kept element where an axis remains. Merging is exact and commutes, so
that chunks, scheduler and the number of workers cannot change a bit, nor can a worker that dies and
whose partitions are computed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from posit import PositSpec, from_fraction

from ._core import core_spec
from .gradient import Accumulators

__all__ = ["dot", "is_dask", "mean", "sum"]

Axes = int | Sequence[int] | None


def is_dask(*operands: Any) -> bool:
    """Whether one is a Dask array. Does not import Dask."""
    return any(type(x).__module__.startswith("dask.array") for x in operands)


def sum(x: Any, spec: PositSpec, axis: Axes, keepdims: bool) -> Any:
    """Σ over ``axis`` of a Dask array of patterns: a lazy Dask array, rounded once."""
    return _reduced(x, spec, _axes(x, axis), keepdims, _round)


def mean(x: Any, spec: PositSpec, axis: Axes, keepdims: bool) -> Any:
    """The exact sum divided by the count, rounded once; NaR where there is nothing."""
    axes = _axes(x, axis)
    count = prod(x.shape[i] for i in axes)
    if isinstance(count, float):
        raise ValueError("mean needs the sizes of all chunks; compute_chunk_sizes() finds them")
    return _reduced(x, spec, axes, keepdims, lambda sums: _divided(sums, count))


def dot(x: Any, y: Any, spec: PositSpec) -> Any:
    """Σ x[k]·y[k] of two arrays of one axis, of which one may be NumPy's: lazy, rounded once."""
    import dask.array as da
    from dask.delayed import delayed

    a, b = (da.asarray(v) for v in (x, y))  # type: ignore[no-untyped-call,unused-ignore]
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"dot of Dask arrays needs one axis of one size: {a.shape}, {b.shape}")
    _check(a, spec)
    _check(b, spec)
    b = b.rechunk(a.chunks)
    products, merge = delayed(_products, pure=True), delayed(_merged, pure=True)
    level = [
        products(u, v, spec)
        for u, v in zip(a.to_delayed().reshape(-1), b.to_delayed().reshape(-1), strict=True)
    ]
    while len(level) > 1:
        level = [merge(level[i : i + 8]) for i in range(0, len(level), 8)]
    found = delayed(_round, pure=True)(level[0])
    meta = np.empty((), spec.storage)
    return da.from_delayed(found, (), spec.storage, meta)  # type: ignore[no-untyped-call,unused-ignore]


def _axes(x: Any, axis: Axes) -> tuple[int, ...]:
    return np.lib.array_utils.normalize_axis_tuple(range(x.ndim) if axis is None else axis, x.ndim)


def _reduced(x: Any, spec: PositSpec, axes: tuple[int, ...], keepdims: bool, finish: Any) -> Any:
    import dask.array as da

    _check(x, spec)

    def chunk(block: Any, axis: Any, keepdims: bool, computing_meta: bool = False) -> Any:
        if computing_meta:
            return block
        kept = [i for i in range(block.ndim) if i not in axis]
        lines = block.transpose(*kept, *axis)
        shape = tuple(1 if i in axis else n for i, n in enumerate(block.shape))
        flat = lines.reshape(prod(shape), prod(block.shape[i] for i in axis))
        one = np.broadcast_to(spec.storage.type(spec.one), flat.shape)
        sums = Accumulators(flat.shape[:1], spec).add_dots(flat, one)
        return sums.reshape(shape)

    def combine(blocks: Any, axis: Any, keepdims: bool) -> Accumulators:
        return _merged(blocks)

    def aggregate(blocks: Any, axis: Any, keepdims: bool) -> Any:
        out = finish(_merged(blocks))
        return out if keepdims else out.squeeze(tuple(axis))

    left = x.ndim if keepdims else x.ndim - len(axes)
    return da.reduction(  # type: ignore[no-untyped-call,unused-ignore]
        x, chunk, aggregate, combine=combine, axis=axes, keepdims=keepdims, dtype=spec.storage,
        concatenate=False, meta=np.empty((0,) * left, spec.storage),
    )  # fmt: skip


def _check(x: Any, spec: PositSpec) -> None:
    core_spec(spec)
    if x.dtype != spec.storage:
        raise TypeError(f"patterns of {spec} are {spec.storage}, got a Dask array of {x.dtype}")


def _products(x: Any, y: Any, spec: PositSpec) -> Accumulators:
    return Accumulators((), spec).add_dots(x, y)


def _merged(blocks: Any) -> Accumulators:
    """The sum of nested lists of sums."""
    if isinstance(blocks, Accumulators):
        return blocks
    first, *others = (_merged(block) for block in blocks)
    total = first.copy()
    for other in others:
        total.merge(other)
    return total


def _round(sums: Accumulators) -> npt.NDArray[Any]:
    return sums.round()


def _divided(sums: Accumulators, count: int) -> npt.NDArray[Any]:
    spec = sums.spec
    found = [
        from_fraction(None if q is None or count == 0 else q / count, spec)
        for q in sums.values().reshape(-1)
    ]
    return np.array(found, spec.storage).reshape(sums.shape)
