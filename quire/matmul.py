"""matmul: every element of the product is one quire dot, rounded once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from posit import PositSpec
from posit._arrays import scalar

from ._core import Patterns, patterns
from ._threads import check_threads, run
from .gradient import Accumulators
from .layout import Layout

__all__ = ["matmul"]

_BAND = 1 << 22  # bytes of accumulators alive at a time and thread


def matmul(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    spec: PositSpec,
    *,
    layout: Layout | str | None = None,
    threads: int = 1,
) -> Patterns:
    """Matrix product with NumPy's shape rules, each element exact and rounded once.

    Parameters
    ----------
    a : array_like of spec.storage, (..., M, K) or (K,)
    b : array_like of spec.storage, (..., K, N) or (K,)
        Batch dimensions broadcast.
    layout : Layout or its name, optional; default exact
    threads : int
        Bands of rows are shared among so many threads; the result does not depend on it.

    Returns patterns of shape (..., M, N), without the axes that one-axis operands lack.

    Raises ValueError if the inner lengths differ, the batches do not broadcast, or an operand is
    0-d; TypeError or ValueError for wrong patterns.
    """
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
    threads = check_threads(threads)
    try:
        batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except ValueError:
        raise ValueError(f"matmul: batches of {x.shape} and {y.shape} do not broadcast") from None
    rows, cols = x.shape[-2], y.shape[-1]
    x = np.broadcast_to(x, (*batch, *x.shape[-2:]))
    y = np.broadcast_to(y, (*batch, *y.shape[-2:]))
    out = np.empty((*batch, rows, cols), dtype=spec.storage)
    layout = Accumulators(0, spec, layout).layout
    height = max(1, min(-(-rows // threads), _BAND // max(1, cols * 8 * layout.limbs)))
    bands = [
        (index, i) for index in np.ndindex(batch) for i in range(0, rows if cols else 0, height)
    ]

    def work(band: tuple[tuple[int, ...], int]) -> None:
        index, i = band
        part = x[index][i : i + height]
        sums = Accumulators((part.shape[0], cols), spec, layout)
        out[index][i : i + height] = sums.add_products(part, y[index]).round()

    run(work, bands, threads)
    if left:
        out = out[..., 0, :]
    return scalar(out[..., 0] if right else out)
