"""Patterns of either kind of tensor: float64 that holds posits, and PositTensor."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

import posit
from posit import PositSpec

from ._tensor import PositTensor, from_bits
from .ops._kernels import Patterns, bits_of, tensor_of

__all__ = ["Patterns", "is_zero", "patterns_of", "tensor_like", "write"]


def patterns_of(x: Tensor, spec: PositSpec) -> Patterns:
    """The patterns of ``spec`` nearest to the elements; those of a PositTensor are shared."""
    if not isinstance(x, PositTensor):
        return bits_of(x, spec)
    bits: Patterns = x.bits().detach().cpu().numpy()
    return bits if x.spec == spec else np.asarray(posit.convert(bits, x.spec, spec), spec.storage)


def tensor_like(x: Tensor, bits: Patterns, spec: PositSpec) -> Tensor:
    """The posits as a tensor of x's kind: PositTensor of ``spec``, or values of x's dtype."""
    if isinstance(x, PositTensor):
        return from_bits(torch.from_numpy(bits).to(x.device), spec)
    return tensor_of(bits, spec).to(x.device, x.dtype)


def write(x: Tensor, bits: Patterns, spec: PositSpec) -> None:
    """Give a tensor of float64 or a PositTensor these posits, in place and without derivatives."""
    if isinstance(x, PositTensor):
        x.copy_(tensor_like(x, bits, spec))
    else:
        posit.decode(bits, spec, out=x.detach().numpy())
        increment_version(x)


def is_zero(x: Tensor) -> bool:
    """Whether all elements are 0."""
    return not bool((x.bits() if isinstance(x, PositTensor) else x).count_nonzero())
