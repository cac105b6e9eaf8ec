"""Memory that is kept between calls: fresh pages cost as much as a quarter of a 512³ product."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt

__all__ = ["scratch"]

_KEPT = 1 << 23  # float64 numbers, for each use and thread
_memory = threading.local()


def scratch(use: str, size: int) -> npt.NDArray[np.float64]:
    """Uninitialised float64 memory, until this thread asks for the same use again.

    Up to 64 MiB are kept for each use; more is allocated and forgotten.
    """
    if size > _KEPT:
        return np.empty(size)
    kept: npt.NDArray[np.float64] | None = getattr(_memory, use, None)
    if kept is None or kept.size < size:
        kept = np.empty(size)
        setattr(_memory, use, kept)
    return kept[:size]
