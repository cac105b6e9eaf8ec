"""Losses of single elements, whose mean is one exact sum over a count, rounded once."""

from __future__ import annotations

import torch
from torch import Tensor

from posit.spec import SpecLike

from ._define import text_of
from .activations import _unary
from .casts import _nearest
from .elementwise import _div, _mul, _sub
from .losses import Reduction, _check
from .products import _dot, _sum
from .reductions import mean

__all__ = ["binary_cross_entropy_with_logits", "huber_loss", "l1_loss", "smooth_l1_loss"]


def _constant(value: float) -> Tensor:
    return torch.full((), value, dtype=torch.float64)


def _reduced(terms: Tensor, reduction: Reduction, count: int | None, spec: SpecLike) -> Tensor:
    if reduction == "mean":
        return mean(terms, spec=spec, count=count)
    return terms if reduction == "none" else _sum(terms, [*range(terms.dim())], text_of(spec))


def _difference(name: str, x: Tensor, target: Tensor, text: str) -> Tensor:
    if x.shape != target.shape:
        raise ValueError(f"{name}: {tuple(x.shape)} and targets {tuple(target.shape)} differ")
    return _sub(x, target, text)


def l1_loss(
    x: Tensor,
    target: Tensor,
    reduction: Reduction = "mean",
    *,
    spec: SpecLike,
    count: int | None = None,
) -> Tensor:
    """The mean of |x - target|: the differences round, then the mean. ``count`` as in mse_loss."""
    _check("l1_loss", reduction, count)
    return _reduced(_difference("l1_loss", x, target, text_of(spec)).abs(), reduction, count, spec)


def huber_loss(
    x: Tensor,
    target: Tensor,
    reduction: Reduction = "mean",
    delta: float = 1.0,
    *,
    spec: SpecLike,
    count: int | None = None,
) -> Tensor:
    """d²/2 where |d| <= δ, else δ·(|d| - δ/2), of the differences d.

    Rounded are d, d² and its half, or δ/2, the difference from it, and its multiple; then the mean.
    """
    _check("huber_loss", reduction, count)
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta}")
    text = text_of(spec)
    d = _difference("huber_loss", x, target, text).abs()
    far = _mul(_sub(d, _constant(delta / 2), text), _constant(delta), text)
    near = _mul(_mul(d, d, text), _constant(0.5), text)
    return _reduced(
        torch.where(d <= _nearest(_constant(delta), text), near, far), reduction, count, spec
    )


def smooth_l1_loss(
    x: Tensor,
    target: Tensor,
    reduction: Reduction = "mean",
    beta: float = 1.0,
    *,
    spec: SpecLike,
    count: int | None = None,
) -> Tensor:
    """d²/(2β) where |d| < β, else |d| - β/2, of the differences d; for β = 0 :func:`l1_loss`.

    Rounded are d, d², 2β and the quotient, or β/2 and the difference from it; then the mean.
    """
    _check("smooth_l1_loss", reduction, count)
    if not beta >= 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    if beta == 0:
        return l1_loss(x, target, reduction, spec=spec, count=count)
    text = text_of(spec)
    d = _difference("smooth_l1_loss", x, target, text).abs()
    near = _div(_mul(d, d, text), _constant(2 * beta), text)
    far = _sub(d, _constant(beta / 2), text)
    return _reduced(
        torch.where(d < _nearest(_constant(beta), text), near, far), reduction, count, spec
    )


def binary_cross_entropy_with_logits(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
    pos_weight: Tensor | None = None,
    *,
    spec: SpecLike,
    count: int | None = None,
) -> Tensor:
    """t·softplus(-x) + (1 - t)·softplus(x) of targets t from 0 to 1, averaged.

    Rounded are both functions, 1 - t, their exact dot product, and the mean; with ``pos_weight``
    its product with t, with ``weight`` its product with the loss. Nothing cancels. The gradient by
    x rounds the slopes' multiples and their sum.
    """
    name = "binary_cross_entropy_with_logits"
    _check(name, reduction, count)
    if x.shape != target.shape:
        raise ValueError(f"{name}: {tuple(x.shape)} and targets {tuple(target.shape)} differ")
    text = text_of(spec)
    yes, no = _nearest(target, text), _sub(_constant(1.0), target, text)
    if pos_weight is not None:
        yes = _mul(yes, pos_weight, text)
    x = _nearest(x, text)
    both = torch.stack([_unary(-x, "softplus", text), _unary(x, "softplus", text)])
    terms = _dot(both, torch.stack([yes, no]), [0], text)
    if weight is not None:
        terms = _mul(terms, weight, text)
    return _reduced(terms, reduction, count, spec)
