"""Activations composed of a few operations, each of which rounds; those that only cut are exact.

Where x enters twice, the sum of its gradients is rounded once more.
"""

from __future__ import annotations

import torch
from torch import Tensor

from posit.spec import SpecLike

from ._define import text_of
from .activations import _unary, elu
from .casts import _nearest
from .elementwise import _add, _div, _mul, _per, _sub

__all__ = [
    "celu", "clamp", "glu", "hardsigmoid", "hardswish", "hardtanh", "mish", "prelu", "relu6",
    "selu", "softsign", "tanhshrink", "threshold",
]  # fmt: skip

# of torch's SELU
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _constant(value: float, text: str) -> Tensor:
    return _nearest(torch.full((), value, dtype=torch.float64), text)


def clamp(
    x: Tensor, min: float | None = None, max: float | None = None, *, spec: SpecLike
) -> Tensor:
    """x kept between rounded bounds; exact. Its derivative is 1 between and at them, else 0."""
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        raise TypeError("clamp: bounds are numbers; torch.minimum and maximum take tensors")
    text = text_of(spec)
    bounds = (None if b is None else _constant(b, text) for b in (min, max))
    return torch.clamp(_nearest(x, text), *bounds)


def hardtanh(x: Tensor, min_val: float = -1.0, max_val: float = 1.0, *, spec: SpecLike) -> Tensor:
    """x kept between rounded bounds; exact. Its derivative is 1 strictly between them, else 0."""
    text = text_of(spec)
    low, high, inner = _constant(min_val, text), _constant(max_val, text), _nearest(x, text)
    return torch.where(inner <= low, low, torch.where(inner >= high, high, inner))


def relu6(x: Tensor, *, spec: SpecLike) -> Tensor:
    """x kept between 0 and 6, as :func:`hardtanh`."""
    return hardtanh(x, 0.0, 6.0, spec=spec)


def threshold(x: Tensor, threshold: float, value: float, *, spec: SpecLike) -> Tensor:
    """x where it is above the rounded threshold, else the rounded value; exact."""
    text = text_of(spec)
    inner = _nearest(x, text)
    kept = (inner > _constant(threshold, text)) | inner.isnan()
    return torch.where(kept, inner, _constant(value, text))


def hardsigmoid(x: Tensor, *, spec: SpecLike) -> Tensor:
    """relu6(x + 3)/6: the sum and the quotient round."""
    text = text_of(spec)
    above = relu6(_add(x, _constant(3.0, text), text), spec=spec)
    return _per(above, torch.tensor(6), 1, text)


def hardswish(x: Tensor, *, spec: SpecLike) -> Tensor:
    """x·relu6(x + 3)/6: the sum, the product and the quotient round."""
    text = text_of(spec)
    x = _nearest(x, text)
    above = relu6(_add(x, _constant(3.0, text), text), spec=spec)
    return _per(_mul(x, above, text), torch.tensor(6), 1, text)


def mish(x: Tensor, *, spec: SpecLike) -> Tensor:
    """x·tanh(log(1 + e^x)): softplus, tanh and the product round."""
    text = text_of(spec)
    x = _nearest(x, text)
    return _mul(x, _unary(_unary(x, "softplus", text), "tan_h", text), text)


def selu(x: Tensor, *, spec: SpecLike) -> Tensor:
    """scale·elu(x, α) with torch's constants, rounded: what :func:`elu` rounds, and the product."""
    text = text_of(spec)
    return _mul(elu(x, _SELU_ALPHA, spec=spec), _constant(_SELU_SCALE, text), text)


def celu(x: Tensor, alpha: float = 1.0, *, spec: SpecLike) -> Tensor:
    """x where it is positive, else α·(e^(x/α) - 1): quotient, difference and product round."""
    text = text_of(spec)
    a = _constant(alpha, text)
    below = _unary(_div(torch.clamp(x, max=0.0), a, text), "exp_minus_1", text)
    return torch.where(x > 0, _nearest(x, text), _mul(below, a, text))


def softsign(x: Tensor, *, spec: SpecLike) -> Tensor:
    """x/(1 + |x|): the sum and the quotient round."""
    text = text_of(spec)
    x = _nearest(x, text)
    return _div(x, _add(x.abs(), _constant(1.0, text), text), text)


def tanhshrink(x: Tensor, *, spec: SpecLike) -> Tensor:
    """x - tanh x: the function and the difference round."""
    text = text_of(spec)
    x = _nearest(x, text)
    return _sub(x, _unary(x, "tan_h", text), text)


def glu(x: Tensor, dim: int = -1, *, spec: SpecLike) -> Tensor:
    """The first half of an axis times the sigmoid of the second: function and product round."""
    if x.dim() == 0 or x.shape[dim] % 2:
        raise ValueError(f"glu: axis {dim} of {tuple(x.shape)} has no two halves")
    text = text_of(spec)
    a, b = x.chunk(2, dim)
    return _mul(a, _unary(b, "sigmoid", text), text)


def prelu(x: Tensor, weight: Tensor, *, spec: SpecLike) -> Tensor:
    """x where it is positive, else x·weight, rounded once.

    Parameters
    ----------
    x : Tensor, (N, C, ...)
    weight : Tensor, (1,) or (C,)

    The gradient of the weight is one exact sum each element, rounded once.
    """
    text = text_of(spec)
    if weight.numel() != 1:
        if x.dim() < 2 or weight.numel() != x.shape[1]:
            raise ValueError(f"prelu: {weight.numel()} weights do not fit {tuple(x.shape)}")
        weight = weight.reshape(-1, *[1] * (x.dim() - 2))
    return torch.where(x > 0, _nearest(x, text), _mul(x, weight, text))
