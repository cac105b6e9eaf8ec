"""matmul: each element of the product is the exact sum, rounded once, at about a BLAS's cost.

Three routes lead to the same bits, and an element takes the first that decides it: a float64
product with a proven bound (certified.py), slices whose float64 products are exact (products.py),
a quire.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from math import prod

import numpy as np
import numpy.typing as npt

import posit
from posit import PositSpec
from posit._arrays import scalar
from posit.spec import SpecLike

from . import products
from ._core import Patterns, core_layout, core_spec, lib, patterns, pointer, resolve
from ._lift import format_of, lifted
from ._passing import Passing
from ._threads import check_threads, run
from .certified import Product, can_certify
from .dot import MOST_TERMS, dot
from .layout import Layout

__all__ = ["fill_product", "matmul"]

_TINY = 4096  # multiply-adds of one product: below, setting up a float64 product costs more
_BAND = 1 << 20  # elements summed exactly at a time, some 50 bytes each
_SAMPLE = 64


@lifted("a", "b", "add")
def matmul(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    spec: SpecLike | None = None,
    *,
    add: npt.ArrayLike | None = None,
    layout: Layout | str | None = None,
    threads: int | None = None,
    stats: MutableMapping[str, int] | None = None,
) -> Patterns:
    """Matrix product with NumPy's shape rules, each element exact and rounded once.

    The result depends on the operands alone: not on threads, memory order, batches or the BLAS.

    Parameters
    ----------
    a : array_like of spec.storage, (..., M, K) or (K,)
    b : array_like of spec.storage, (..., K, N) or (K,)
        Batch dimensions broadcast.
    add : array_like of spec.storage, optional
        Patterns added before the one rounding; broadcasts to the result's shape. With the opposite
        of the identity, ``matmul(w.T, w, spec, add=...)`` is WᵀW - I rounded once.
    layout : Layout or its name, optional; default exact
        Other layouts drop bits product by product, so that every element takes a quire of its own.
    threads : int, optional
        Threads for our own part; default as many as this process may use. The BLAS has its own.
    stats : mutable mapping, optional
        Counts are added by route: ``"norms"`` and ``"magnitudes"``, elements that a float64 product
        decided by either bound; ``"exact"``, whose float64 sum is exact; ``"slices"``, by exact
        slices; ``"quire"``, one by one, by an interval of their own or a quire.

    Returns patterns of shape (..., M, N), without the axes that one-axis operands lack.

    Raises ValueError if the inner lengths differ, the shapes do not broadcast, or an operand is
    0-d; TypeError or ValueError for wrong patterns.
    """
    spec = format_of(spec)
    x, y = patterns(a, spec, "a"), patterns(b, spec, "b")
    if x.ndim == 0 or y.ndim == 0:
        raise ValueError("matmul needs arrays with at least one axis; posit.mul scales")
    left, right = x.ndim == 1, y.ndim == 1
    if left:
        x = x[np.newaxis, :]
    if right:
        y = y[:, np.newaxis]
    if x.shape[-1] != y.shape[-2]:
        raise ValueError(f"matmul: shapes {np.shape(a)} and {np.shape(b)} do not agree along K")
    if x.shape[-1] > MOST_TERMS:
        raise ValueError(f"matmul: sums of {x.shape[-1]} products; at most 2^31 - 1 are possible")
    threads = check_threads(threads)
    where = resolve(spec, layout)
    try:
        batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except ValueError:
        raise ValueError(f"matmul: batches of {x.shape} and {y.shape} do not broadcast") from None
    shape = (*batch, x.shape[-2], y.shape[-1])
    term = None if add is None else _preload(add, shape, left, right, spec)
    if where.is_exact:
        out = _exact(x, y, term, shape, spec, threads, {} if stats is None else stats)
    elif term is not None:
        raise ValueError(f"matmul: add= is for the exact layout, not for {where}")
    else:
        out = _dropping(x, y, shape, spec, where, threads)
    if left:
        out = out[..., 0, :]
    return scalar(out[..., 0] if right else out)


def fill_product(spec: PositSpec, a: Patterns, b: Patterns, out: Patterns) -> None:
    """a·b into ``out``, in any memory: what NumPy's ``@`` calls for arrays of a posit dtype."""
    out[...] = matmul(a, b, spec)


def _preload(
    add: npt.ArrayLike, shape: tuple[int, ...], left: bool, right: bool, spec: PositSpec
) -> Patterns:
    """``add`` in the shape of the full product."""
    term = patterns(add, spec, "add")
    kept = (n for n, gone in zip(shape[-2:], (left, right), strict=True) if not gone)
    seen = (*shape[:-2], *kept)
    try:
        term = np.broadcast_to(term, seen)
    except ValueError:
        raise ValueError(f"matmul: add of shape {term.shape} does not fit {seen}") from None
    if right:
        term = term[..., np.newaxis]
    return term[..., np.newaxis, :] if left else term


def _exact(  # noqa: PLR0917
    x: Patterns,
    y: Patterns,
    add: Patterns | None,
    shape: tuple[int, ...],
    spec: PositSpec,
    threads: int,
    stats: MutableMapping[str, int],
) -> Patterns:
    rows, cols = shape[-2:]
    inner = x.shape[-1]
    if rows * cols * inner <= _TINY:
        _count(stats, "quire", prod(shape))
        return _tiny(x, y, add, shape, spec)
    out = np.empty(shape, spec.storage)
    if y.ndim == 2 or prod(y.shape[:-2]) == 1:  # one matrix on the right: one product
        lines = np.broadcast_to(x, (*shape[:-1], inner)).reshape(-1, inner)
        term = None if add is None else add.reshape(-1, cols)
        _one(lines, y.reshape(y.shape[-2:]), term, out.reshape(-1, cols), spec, threads, stats)
        return out
    x = np.broadcast_to(x, (*shape[:-2], *x.shape[-2:]))
    y = np.broadcast_to(y, (*shape[:-2], *y.shape[-2:]))
    for i in np.ndindex(shape[:-2]):
        _one(x[i], y[i], None if add is None else add[i], out[i], spec, threads, stats)
    return out


def _tiny(
    x: Patterns, y: Patterns, add: Patterns | None, shape: tuple[int, ...], spec: PositSpec
) -> Patterns:
    """As dot products of copied lines, the preload one product more."""
    lines, columns = x[..., :, np.newaxis, :], np.swapaxes(y, -1, -2)[..., np.newaxis, :, :]
    if add is not None:
        full = (*shape, x.shape[-1])
        one = np.full((*shape, 1), spec.one, spec.storage)
        lines = np.concatenate([np.broadcast_to(lines, full), add[..., np.newaxis]], axis=-1)
        columns = np.concatenate([np.broadcast_to(columns, full), one], axis=-1)
    return np.asarray(dot(lines, columns, spec, threads=1), spec.storage).reshape(shape)


def _one(  # noqa: PLR0917
    x: Patterns,
    y: Patterns,
    add: Patterns | None,
    out: Patterns,
    spec: PositSpec,
    threads: int,
    stats: MutableMapping[str, int],
) -> None:
    """x (M, K) times y (K, N) into contiguous ``out``."""
    inner = x.shape[1]
    if out.size == 0:
        return
    if inner == 0 or not can_certify(spec):
        _by_slices(x, y, add, out, spec, threads)
        _count(stats, "slices", out.size)
        return
    product = Product(x, y, spec, add, out, threads)
    undecided = product.by_norms()
    _count(stats, "norms", out.size - undecided.size)

    few = out.size * products.BLAS / products.QUIRE  # take a quire each as long as one product
    if undecided.size > few:
        found = product.by_grids(undecided)
        _count(stats, "exact", undecided.size - found.size)
        undecided = found
    if undecided.size > few and _helps(product, undecided):
        found = product.by_magnitudes()
        _count(stats, "magnitudes", undecided.size - found.size)
        undecided = found
    how = None
    if undecided.size > few:
        rows = np.unique(undecided // out.shape[1]) if undecided.size < out.size else slice(None)
        how = products.plan(x[rows], y, spec, threads)
    if how and how.nanoseconds < undecided.size * inner * products.QUIRE / threads:
        exact = np.empty_like(out[rows])
        _by_slices(x[rows], y, None if add is None else add[rows], exact, spec, threads, how)
        out[rows] = exact
        _count(stats, "slices", undecided.size)
    else:
        product.decide(undecided)
        _count(stats, "quire", undecided.size)
    product.close()


def _helps(product: Product, undecided: npt.NDArray[np.int64]) -> bool:
    """Whether the bound by magnitudes decides half of a sample."""
    few = undecided[:: max(1, undecided.size // _SAMPLE)]
    i, j = np.divmod(few, product.out.shape[1])
    magnitude = np.einsum("sk,ks->s", np.abs(product.left[i]), np.abs(product.right[:, j]))
    middle = product.estimate[i, j]
    if product.add is not None:
        middle = middle + posit.decode(product.add[i, j], product.spec)
    error = product.factor * magnitude + np.abs(middle) * 2.0**-51
    low, high = (posit.encode(x, product.spec) for x in (middle - error, middle + error))
    return bool(2 * np.count_nonzero(low == high) >= few.size)


def _by_slices(  # noqa: PLR0917
    x: Patterns,
    y: Patterns,
    add: Patterns | None,
    out: Patterns,
    spec: PositSpec,
    threads: int,
    how: products.Plan | None = None,
) -> None:
    """In bands of rows, which bound the memory of the sums; ``how`` is a plan for all of x."""
    height = max(1, _BAND // out.shape[1])
    for i in range(0, len(out), height):
        band = slice(i, i + height)
        sums = Passing(out[band].shape, spec)
        products.add_products(sums, x[band], y, threads, how if height >= len(out) else None)
        if add is not None:
            sums.add(add[band], threads=threads)
        out[band] = sums.round(threads=threads)
        sums.close()


def _dropping(  # noqa: PLR0917
    x: Patterns,
    y: Patterns,
    shape: tuple[int, ...],
    spec: PositSpec,
    layout: Layout,
    threads: int,
) -> Patterns:
    """Element by element, in a layout that drops low bits of products."""
    out = np.empty(shape, spec.storage)
    x = np.broadcast_to(x, (*shape[:-2], *x.shape[-2:]))
    y = np.broadcast_to(y, (*shape[:-2], *y.shape[-2:]))
    lines = [(*i, row) for i in np.ndindex(shape[:-2]) for row in range(shape[-2])]

    def work(at: tuple[int, ...]) -> None:
        line, columns, to = x[at], y[at[:-1]], out[at]
        lib.bp_dots(
            core_spec(spec), core_layout(layout), to.size, line.size, pointer(line), 0,
            *line.strides, pointer(columns), *columns.strides[::-1], pointer(to),
        )  # fmt: skip

    run(work, lines if shape[-1] else [], threads)
    return out


def _count(stats: MutableMapping[str, int], route: str, elements: int) -> None:
    stats[route] = stats.get(route, 0) + int(elements)
