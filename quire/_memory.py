"""Memory that is kept between calls: fresh pages cost as much as a quarter of a 512³ product.

A buffer belongs to whoever has taken it: a call that interrupts another in the same thread (a
signal handler, a finalizer) finds none and allocates its own, and one that an exception leaves
behind, perhaps with threads still writing to it, is never given out again.
"""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt

__all__ = ["give", "take"]

Doubles = npt.NDArray[np.float64]

_LARGEST = 1 << 23  # float64 numbers in a buffer that is kept: 64 MiB
_KEPT = 4  # buffers for each thread
_memory = threading.local()


def take(size: int) -> Doubles:
    """Uninitialised float64 memory of at least ``size`` elements."""
    kept: list[Doubles] = _memory.__dict__.setdefault("kept", [])
    for i, buffer in enumerate(kept):
        if buffer.size >= size:
            return kept.pop(i)
    return np.empty(size)


def give(buffer: Doubles | None) -> None:
    """Hand back what :func:`take` gave, once nobody uses it any more."""
    kept: list[Doubles] = _memory.__dict__.setdefault("kept", [])
    if buffer is not None and buffer.size <= _LARGEST:
        kept.append(buffer)
        kept.sort(key=len)  # the smallest that fits is taken
        del kept[:-_KEPT]
