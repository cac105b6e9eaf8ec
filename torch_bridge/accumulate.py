"""How a converted model sums products: exactly, in float64, or as some hardware does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

import posit
from posit import PositSpec

from . import ops
from ._parameter import PositParameter
from ._registry import is_collecting
from .config import PositConfig
from .ops._define import holds_posits, text_of

__all__ = ["EachOp", "conv", "linear", "matmul"]

Patterns = Any


class EachOp:
    """A multiplier and an adder, each of which rounds: terms are added in the order of k."""

    def matmul(self, a: Patterns, b: Patterns, spec: PositSpec) -> Patterns:
        """(..., M, K) times (..., K, N) patterns; batches broadcast."""
        shape = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        total = np.zeros((*shape, a.shape[-2], b.shape[-1]), spec.storage)
        for k in range(a.shape[-1]):
            term = posit.mul(a[..., :, k : k + 1], b[..., k : k + 1, :], spec)
            total = posit.add(total, term, spec)
        return total


def matmul(config: PositConfig, a: Tensor, b: Tensor) -> Tensor:
    """The product of two matrices, or stacks of them, or vectors, as ``config`` sums it."""
    spec = _spec(config)
    if config.accumulate == "quire":
        return ops.matmul(a, b, spec=spec)
    if config.accumulate == "float64":
        return _in_float64(torch.matmul, spec, a, b)
    x = a.unsqueeze(0) if a.dim() == 1 else a
    y = b.unsqueeze(1) if b.dim() == 1 else b
    out: Tensor = _Product.apply(x, y, spec, _device(config))  # type: ignore[no-untyped-call]
    out = out.squeeze(-2) if a.dim() == 1 else out
    return out.squeeze(-1) if b.dim() == 1 else out


def linear(config: PositConfig, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x·weightᵀ + bias; where products round by themselves, the bias is added after."""
    spec = _spec(config)
    if config.accumulate == "quire":
        return ops.linear(x, weight, bias, spec=spec)
    if config.accumulate == "float64":
        return _in_float64(torch.nn.functional.linear, spec, x, weight, bias)
    out = matmul(config, x, weight.mT)
    return out if bias is None else ops.add(out, bias, spec=spec)


def conv(axes: int) -> Callable[..., Tensor]:
    """The convolution over ``axes`` axes, with torch's arguments after the configuration."""
    exact = (ops.conv1d, ops.conv2d)[axes - 1]
    inexact = (torch.nn.functional.conv1d, torch.nn.functional.conv2d)[axes - 1]

    def apply(  # noqa: PLR0917
        config: PositConfig, input: Tensor, weight: Tensor, bias: Tensor | None = None,
        stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
    ) -> Tensor:  # fmt: skip
        spec, rest = _spec(config), (stride, padding, dilation, groups)
        if config.accumulate == "quire":
            return exact(input, weight, bias, *rest, spec=spec)
        if config.accumulate == "float64":
            return _in_float64(lambda x, w, b: inexact(x, w, b, *rest), spec, input, weight, bias)
        return _unfolded(config, axes, input, weight, bias, rest)

    return apply


def _unfolded(  # noqa: PLR0917
    config: PositConfig, axes: int, x: Tensor, weight: Tensor, bias: Tensor | None, rest: Any
) -> Tensor:
    """As products of unfolded windows, which is how hardware does it."""
    groups = rest[3]
    pairs = [list(v) if isinstance(v, (tuple, list)) else [v] * axes for v in rest[:3]]
    if axes == 1:  # as an image of one row
        pairs = [[least, v[0]] for v, least in zip(pairs, (1, 0, 1), strict=True)]
        x, weight = x.unsqueeze(2), weight.unsqueeze(2)
    size = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(x.shape[2:], weight.shape[2:], *pairs, strict=True)
    ]
    windows = torch.nn.functional.unfold(
        ops.fake_quant(x, _spec(config)), weight.shape[2:], *(tuple(pairs[i]) for i in (2, 1, 0))
    )
    lines = windows.reshape(x.shape[0], groups, -1, windows.shape[-1])
    kernels = weight.reshape(groups, weight.shape[0] // groups, -1)
    out = matmul(config, kernels, lines).reshape(x.shape[0], weight.shape[0], *size)
    out = out.squeeze(2) if axes == 1 else out
    if bias is None:
        return out
    return ops.add(out, bias.reshape(-1, *[1] * axes), spec=_spec(config))


def _spec(config: PositConfig) -> PositSpec:
    assert config.activations is not None
    return config.activations


def _device(config: PositConfig) -> Any:
    return EachOp() if config.accumulate == "each_op" else config.accumulate


def _in_float64(
    function: Callable[..., Tensor], spec: PositSpec, *tensors: Tensor | None
) -> Tensor:
    """Operands rounded, computed in float64, rounded; so is its gradient.

    An optimizer's parameter of the format holds posits already, and it rounds the gradient; so do
    results of the operations here, whose derivatives round what they are given.
    """
    text = text_of(spec)

    def rounded(x: Tensor | None) -> Tensor | None:
        if x is None or (isinstance(x, PositParameter) and x.spec == spec and is_collecting(x)):
            return x
        if holds_posits(x, text):
            return x
        return ops.fake_quant(x, spec)

    return ops.fake_quant(function(*map(rounded, tensors)), spec)


class _Product(torch.autograd.Function):
    """A product by an object, both ways; a broadcast operand's gradient is an exact sum."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, spec: PositSpec, device: Any) -> Tensor:
        ctx.save_for_backward(a, b)
        ctx.how = spec, device
        return _by_device(a, b, spec, device)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        a, b = ctx.saved_tensors
        found = (_by_device(g, b.mT, *ctx.how), _by_device(a.mT, g, *ctx.how))
        grads = (_summed(x, like, ctx.how[0]) for x, like in zip(found, (a, b), strict=True))
        return (*grads, None, None)


def _by_device(a: Tensor, b: Tensor, spec: PositSpec, device: Any) -> Tensor:
    bits = (ops.encode(x.detach(), spec).cpu().numpy() for x in (a, b))
    made = torch.from_numpy(np.ascontiguousarray(device.matmul(*bits, spec)))
    return ops.decode(made.to(a.device), spec)


def _summed(gradient: Tensor, like: Tensor, spec: PositSpec) -> Tensor:
    extra = gradient.dim() - like.dim()
    axes = [*range(extra)]
    axes += [i + extra for i, n in enumerate(like.shape) if n != gradient.shape[i + extra]]
    found = ops.sum(gradient, axes, spec=spec, keepdim=True) if axes else gradient
    return found.reshape(like.shape)
