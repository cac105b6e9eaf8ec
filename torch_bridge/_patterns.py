"""Patterns of either kind of tensor: float64 that holds posits, and PositTensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

import posit
from posit import PositSpec

from ._tensor import PositTensor, from_bits
from .ops._kernels import Patterns, bits_of, tensor_of

__all__ = [
    "Held",
    "Patterns",
    "held",
    "is_numbers",
    "is_zero",
    "patterns_of",
    "tensor_like",
    "write",
]

Held = npt.NDArray[Any]  # patterns, or float64 numbers


def patterns_of(x: Tensor, spec: PositSpec) -> Patterns:
    """The patterns of ``spec`` nearest to the elements; those of a PositTensor are shared."""
    if not isinstance(x, PositTensor):
        return bits_of(x, spec)
    bits: Patterns = x.bits().detach().cpu().numpy()
    return bits if x.spec == spec else np.asarray(posit.convert(bits, x.spec, spec), spec.storage)


def is_numbers(x: Held) -> bool:
    """Whether an array is of float64 numbers, not patterns."""
    return x.dtype == np.float64


def held(x: Tensor, spec: PositSpec) -> Held:
    """What a tensor on the CPU holds, shared where it can be: float64 numbers, which need not be
    posits yet, or the patterns of ``spec`` of a PositTensor."""
    if isinstance(x, PositTensor) or x.dtype != torch.float64:
        return patterns_of(x, spec)
    found: Held = x.detach().numpy()
    return found


def tensor_like(x: Tensor, bits: Patterns, spec: PositSpec) -> Tensor:
    """The posits as a tensor of x's kind: PositTensor of ``spec``, or values of x's dtype."""
    if isinstance(x, PositTensor):
        return from_bits(torch.from_numpy(bits).to(x.device), spec)
    return tensor_of(bits, spec).to(x.device, x.dtype)


def write(x: Tensor, made: Held, spec: PositSpec) -> None:
    """Give a tensor of float64 or a PositTensor these posits, in place and without derivatives.

    Numbers are values of ``spec``, and may be the tensor's own memory, written already.
    """
    if isinstance(x, PositTensor):
        x.copy_(tensor_like(x, made, spec))
        return
    own = x.detach().numpy()
    if not is_numbers(made):
        posit.decode(made, spec, out=own)
    elif not np.may_share_memory(made, own):
        own[...] = made
    increment_version(x)


def is_zero(x: Tensor) -> bool:
    """Whether all elements are 0."""
    return not bool((x.bits() if isinstance(x, PositTensor) else x).count_nonzero())
