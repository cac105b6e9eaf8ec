"""What random choices depend on: seed, step, and a count of calls; never rank or thread.

``with stream(seed, step, samples, batch): …`` numbers the dropout layers met inside by the order in
which they are called, and says which samples of the whole batch these are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

from .ops import stream_key

__all__ = ["check_whole_batch", "current_step", "next_key", "part_size", "samples_of", "stream"]


@dataclass
class _Stream:
    seed: int
    step: int
    samples: Tensor | None
    batch: int | None
    calls: int = 0


_current: ContextVar[_Stream | None] = ContextVar("stream", default=None)


@contextmanager
def stream(
    seed: int, step: int, samples: Tensor | None = None, batch: int | None = None
) -> Iterator[None]:
    """Name the choices made inside: the same names, the same choices.

    Parameters
    ----------
    seed, step : int
    samples : integer Tensor, (N,), optional
        The numbers of the samples of this micro-batch in the whole batch; default 0 … N-1.
    batch : int, optional
        How many samples the whole batch has. Layers whose result depends on the whole batch
        (BatchNorm in training) compute only where these are all of it: without ``samples``, or
        where ``batch`` is their number.

    Raises ValueError for samples that are no numbers of a batch, each once.
    """
    if samples is not None:
        _check_samples(samples, batch)
    token = _current.set(_Stream(seed, step, samples, batch))
    try:
        yield
    finally:
        _current.reset(token)


def _check_samples(samples: Tensor, batch: int | None) -> None:
    if samples.dim() != 1 or samples.is_floating_point() or samples.dtype == torch.bool:
        raise ValueError(
            f"stream: samples must be integers in one axis, got {samples.dtype}"
            f" {tuple(samples.shape)}"
        )
    if not len(samples):
        return
    low, high = int(samples.min()), int(samples.max())
    if low < 0 or (batch is not None and high >= batch):
        raise ValueError(
            f"stream: samples {low} to {high} do not lie in a batch of"
            f" {'any size' if batch is None else batch}"
        )
    if len(samples.unique()) < len(samples):
        raise ValueError("stream: a sample is named twice")


def next_key() -> int:
    """The key of the next call; RuntimeError outside of :func:`stream`, and in a backward pass."""
    now = _current.get()
    if now is None:
        raise RuntimeError(
            "dropout needs to know seed and step: with torch_bridge.stream(seed, step): model(x)"
        )
    if torch._C._current_graph_task_id() != -1:
        raise RuntimeError(
            "dropout is being computed again in a backward pass, by activation checkpointing, and"
            " its choices would be others than before: keep dropout outside of checkpoint()"
        )
    now.calls += 1
    return stream_key(now.seed, now.step, now.calls)


def current_step() -> int | None:
    """The step that :func:`stream` names, if it does."""
    now = _current.get()
    return None if now is None else now.step


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


def part_size() -> int | None:
    """How many samples :func:`stream` names, if they may be a part of the batch."""
    now = _current.get()
    if now is None or now.samples is None or now.batch == len(now.samples):
        return None
    return len(now.samples)


def check_whole_batch(what: str, rows: int) -> None:
    """Raise RuntimeError where :func:`stream` says that ``rows`` samples may be part of a batch."""
    now = _current.get()
    if now is None or (now.samples is None and now.batch is None) or now.batch == rows:
        return
    of = "a batch of unknown size" if now.batch is None else f"a batch of {now.batch}"
    raise RuntimeError(
        f"{what} depends on the whole batch, and stream() names {rows} samples of {of}: its result,"
        " and the gradients, would depend on how the batch is split. Give stream(batch=N) if these"
        " are all N; else use GroupNorm or LayerNorm, or keep BatchNorm in eval() mode"
    )
