"""What random choices depend on: seed, step, and a count of calls; never rank or thread.

``with stream(seed, step, samples): …`` numbers the dropout layers met inside by the order in which
they are called, and says which samples of the whole batch these are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

from .ops import stream_key

__all__ = ["next_key", "samples_of", "stream"]


@dataclass
class _Stream:
    seed: int
    step: int
    samples: Tensor | None
    calls: int = 0


_current: ContextVar[_Stream | None] = ContextVar("stream", default=None)


@contextmanager
def stream(seed: int, step: int, samples: Tensor | None = None) -> Iterator[None]:
    """Name the choices made inside: the same names, the same choices.

    Parameters
    ----------
    seed, step : int
    samples : integer Tensor, (N,), optional
        The numbers of the samples of this micro-batch in the whole batch; default 0 … N-1.
    """
    token = _current.set(_Stream(seed, step, samples))
    try:
        yield
    finally:
        _current.reset(token)


def next_key() -> int:
    """The key of the next call; RuntimeError outside of :func:`stream`."""
    now = _current.get()
    if now is None:
        raise RuntimeError(
            "dropout needs to know seed and step: with torch_bridge.stream(seed, step): model(x)"
        )
    now.calls += 1
    return stream_key(now.seed, now.step, now.calls)


def samples_of(x: Tensor) -> Tensor | None:
    """The numbers of x's samples, if they are its first axis."""
    now = _current.get()
    known = None if now is None else now.samples
    if known is not None and len(known) != x.shape[0]:
        raise ValueError(
            f"dropout of {x.shape[0]} rows, but stream() names {len(known)} samples: the first axis"
            " must be the batch"
        )
    return known if known is None else known.to(torch.int64)
