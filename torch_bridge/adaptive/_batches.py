"""Batches: their parts, and what must not change between passes over one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Batch", "Part", "parts_of", "repeatable", "size_of"]

Batch = tuple[Any, Any]
Part = tuple[tuple[Any, ...], Any]


def parts_of(batch: Batch, micro_batch: int | None) -> Iterator[tuple[int, Part]]:
    """Micro-batches with the number of their first sample."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise TypeError("batch must be (inputs, targets), each a tensor or a tuple of tensors")
    inputs, targets = batch
    inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    samples = size_of(inputs)
    if samples == 0:
        raise ValueError("a batch without samples has no mean loss")
    size = samples if micro_batch is None else micro_batch
    if size < 1:
        raise ValueError(f"micro_batch={micro_batch}: possible are integers from 1")

    def cut(value: Any, where: slice) -> Any:
        if isinstance(value, (tuple, list)):
            return tuple(cut(x, where) for x in value)
        return value[where] if isinstance(value, Tensor) and value.dim() else value

    for start in range(0, samples, size):
        where = slice(start, start + size)
        yield start, (cut(inputs, where), cut(targets, where))


def size_of(inputs: tuple[Any, ...]) -> int:
    """Samples, which are the first axis of all tensors."""
    sizes = {x.shape[0] if x.dim() else 0 for x in inputs if isinstance(x, Tensor)}
    if len(sizes) != 1:
        raise ValueError(f"inputs of {sorted(sizes)} samples: all tensors must have one first axis")
    return sizes.pop()


@contextmanager
def repeatable(model: nn.Module) -> Iterator[Callable[[], None]]:
    """Let every pass meet the same random numbers of torch, and count once for buffers.

    Call what it yields before each pass.
    """
    state = torch.get_rng_state()
    buffers: list[tuple[Tensor, Tensor]] = []
    count = 0

    def before() -> None:
        nonlocal count
        if count == 1:
            buffers.extend((b, b.clone()) for b in model.buffers())
        if count:
            torch.set_rng_state(state)
        count += 1

    yield before
    for buffer, first in buffers:
        buffer.copy_(first)
