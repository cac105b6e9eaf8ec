"""Between tensors and patterns, on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import posit
from posit import PositSpec

__all__ = ["bits_of", "broadcast_batch", "empty", "tensor_of", "unbroadcast"]

Patterns = npt.NDArray[np.signedinteger[Any]]


def bits_of(x: Tensor, spec: PositSpec) -> Patterns:
    """The patterns nearest to a float tensor's elements."""
    x = x.detach()
    if not x.is_floating_point():
        raise TypeError(f"expected a float tensor, got {x.dtype}")
    if x.dtype not in (torch.float32, torch.float64):
        x = x.to(torch.float64)
    return np.asarray(posit.encode(x.numpy(), spec), spec.storage)


def tensor_of(bits: Patterns, spec: PositSpec) -> Tensor:
    """The values as a float64 tensor."""
    return torch.from_numpy(np.asarray(posit.decode(bits, spec), np.float64))


def empty(x: Tensor, shape: Any) -> Tensor:
    """What a kernel will return: float64 of this shape."""
    return x.new_empty(shape, dtype=torch.float64)


def unbroadcast(gradient: Tensor, shape: torch.Size, total: Any) -> Tensor:
    """The gradient of an operand that was broadcast from ``shape``; ``total`` sums over axes."""
    extra = gradient.dim() - len(shape)
    axes = [*range(extra)]
    axes += [i + extra for i, n in enumerate(shape) if n == 1 and gradient.shape[i + extra] != 1]
    found: Tensor = total(gradient, axes) if axes else gradient
    return found.reshape(shape)


def broadcast_batch(x: Tensor, dim: int | None, rank: int, size: int) -> Tensor:
    """x with its batch axis first, and 1s after it up to ``rank`` further axes."""
    moved = x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
    missing = rank - (moved.dim() - 1)
    return moved.reshape(moved.shape[0], *[1] * missing, *moved.shape[1:])
