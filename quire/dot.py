"""dot, sum, norm2, and fused sums of scaled arrays: exact, rounded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod

import numpy as np
import numpy.typing as npt

from posit import PositSpec, from_fraction
from posit import fma as _fma
from posit.reference import root

from ._core import Patterns, core_layout, core_spec, lib, patterns, pointer
from .layout import Layout
from .quire import Quire

__all__ = ["accumulate_dot", "accumulate_sum", "axpy", "combine", "dot", "norm2", "sum"]

_CHUNK = 1 << 16  # elements: the least work worth a thread


def dot(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    spec: PositSpec,
    *,
    layout: Layout | str | None = None,
    threads: int = 1,
) -> Patterns:
    """Σ_k a[..., k]·b[..., k], accumulated exactly and rounded once.

    Parameters
    ----------
    a, b : array_like of spec.storage
        Patterns; the last axes have one length K, the others broadcast. K = 0 gives 0.
    layout : Layout or its name, optional
        Default exact. With "paper800" bits of products below 2^-384 are dropped.
    threads : int
        Threads for a single long product; the result does not depend on it.

    Returns the patterns, of the broadcast shape without the last axis. Raises TypeError or
    ValueError as :mod:`posit.arithmetic` does.
    """
    x, y = patterns(a, spec, "a"), patterns(b, spec, "b")
    if x.ndim == 0 or y.ndim == 0:
        raise ValueError("dot needs arrays with at least one axis")
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(f"dot of lengths {x.shape[-1]} and {y.shape[-1]}: they must agree")
    x, y = np.broadcast_arrays(x, y)
    return _reduce(spec, layout, (x, y), accumulate_dot, threads)


def sum(
    a: npt.ArrayLike,
    spec: PositSpec,
    *,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    layout: Layout | str | None = None,
    threads: int = 1,
) -> Patterns:
    """Sum over ``axis`` (default all), accumulated exactly and rounded once; 0 if empty."""
    x = patterns(a, spec, "a")
    if axis is None:
        axes = tuple(range(x.ndim))
    else:
        axes = np.lib.array_utils.normalize_axis_tuple(axis, x.ndim)
    kept = [i for i in range(x.ndim) if i not in axes]
    shape = tuple(x.shape[i] for i in kept)
    length = prod(x.shape[i] for i in axes)
    line = x.transpose(*kept, *axes).reshape(*shape, length)
    result = _reduce(spec, layout, (line,), accumulate_sum, threads)
    if keepdims:
        result = np.asarray(result).reshape([1 if i in axes else s for i, s in enumerate(x.shape)])
    return result


def norm2(a: npt.ArrayLike, spec: PositSpec) -> Patterns:
    """√Σa², over all elements: the root of the exact sum of squares, rounded once."""
    x = patterns(a, spec, "a").reshape(-1)
    q = Quire(spec)
    accumulate_dot(q, x, x)
    exact = q.value
    return from_fraction(None if exact is None else root(exact, 2 * spec.n), spec)  # type: ignore[return-value]


def axpy(alpha: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike, spec: PositSpec) -> Patterns:
    """alpha·x + y element by element, rounded once (a fused multiply-add)."""
    return _fma(alpha, x, y, spec)


def combine(
    coefficients: npt.ArrayLike, arrays: Sequence[npt.ArrayLike], spec: PositSpec
) -> Patterns:
    """Σ_k coefficients[k]·arrays[k] element by element, each element rounded once.

    ``coefficients`` has one axis of length K; the K arrays broadcast together.
    """
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


def accumulate_sum(q: Quire, a: Patterns) -> None:
    """Add the sum of a one-axis array to a quire."""
    lib.bp_quire_sum(
        core_spec(q.spec), core_layout(q.layout), *q._state(), a.size, pointer(a), a.strides[0]
    )


def _reduce(
    spec: PositSpec,
    layout: Layout | str | None,
    operands: tuple[Patterns, ...],
    function: Callable[..., None],
    threads: int,
) -> Patterns:
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    shape = operands[0].shape[:-1]
    out = np.empty(shape, dtype=spec.storage)
    template = Quire(spec, layout)
    for index in np.ndindex(shape):
        q = template.clear()
        lines = tuple(x[index] for x in operands)
        pieces = min(threads, max(1, lines[0].size // _CHUNK))
        if pieces == 1:
            function(q, *lines)
        else:
            _threaded(q, lines, function, pieces)
        out[index] = q.round()
    return out[()]


def _threaded(
    q: Quire, lines: tuple[Patterns, ...], function: Callable[..., None], pieces: int
) -> None:
    """Give each thread a stretch and a quire of its own; merging them is exact."""
    size = lines[0].size
    edges = [size * i // pieces for i in range(pieces + 1)]

    def work(i: int) -> Quire:
        part = Quire(q.spec, q.layout)
        function(part, *(x[edges[i] : edges[i + 1]] for x in lines))
        return part

    with ThreadPoolExecutor(pieces) as pool:
        for part in pool.map(work, range(pieces)):
            q.merge(part)
