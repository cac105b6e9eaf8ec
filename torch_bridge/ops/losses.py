"""Losses whose mean is one exact sum over a count, rounded once."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from posit.spec import SpecLike

from ._define import text_of
from .elementwise import _add, _div, _mul, _sub
from .products import _dot, _sum
from .reductions import mean, mean_square
from .softmax import _log_softmax

__all__ = ["cross_entropy", "mse_loss", "nll_loss"]

Reduction = Literal["mean", "sum", "none"]


def _check(name: str, reduction: str, count: int | None) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{name}: reduction is 'mean', 'sum' or 'none', got {reduction!r}")
    if count is not None and reduction != "mean":
        raise ValueError(f"{name}: a count belongs to reduction='mean'")


def _classes_last(x: Tensor) -> Tensor:
    """(N, C, ...) as (N, ..., C), (C,) as it is."""
    return x.movedim(1, -1) if x.dim() > 1 else x


def _picked(x: Tensor, target: Tensor, ignored: Tensor) -> Tensor:
    """-x at the target, 0 where that is ignored; exact, and so is its gradient."""
    if target.is_floating_point():
        raise TypeError("the target must be class numbers; probabilities are not supported")
    if target.dtype == torch.bool:
        raise TypeError("the target must be class numbers, got booleans")
    if target.shape != x.shape[:-1]:
        raise ValueError(
            f"targets {tuple(target.shape)} do not fit {tuple(x.shape)} (classes last)"
        )
    at = torch.where(ignored, 0, target.long()).unsqueeze(-1)
    return torch.where(ignored, 0.0, -torch.gather(x, -1, at).squeeze(-1))


def _nll(  # noqa: PLR0917
    x: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: Reduction,
    count: int | None,
    spec: SpecLike,
) -> Tensor:
    ignored = target == ignore_index
    terms = _picked(x, target, ignored)
    text, dims = text_of(spec), [*range(target.dim())]
    if weight is None:
        if reduction == "mean":
            return mean(terms, spec=spec, where=~ignored, count=count)
        return terms if reduction == "none" else _sum(terms, dims, text)
    if weight.shape != x.shape[-1:]:
        raise ValueError(f"class weights {tuple(weight.shape)} for {x.shape[-1]} classes")
    factors = torch.where(ignored, 0.0, weight.double()[torch.where(ignored, 0, target.long())])
    if reduction == "none":
        return _mul(terms, factors, text)
    total = _dot(terms, factors, dims, text)
    if reduction == "sum":
        return total
    if count is not None:
        raise ValueError("nll_loss: with class weights the mean is over their sum, not a count")
    return _div(total, _sum(factors, dims, text), text)


def nll_loss(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    *,
    spec: SpecLike,
    count: int | None = None,
) -> Tensor:
    """-x at the target class, averaged: the exact sum over the count, rounded once.

    Parameters
    ----------
    x : Tensor, (N, C, ...) or (C,)
        Posits, such as :func:`log_softmax` gives.
    target : integer Tensor, (N, ...) or ()
    weight : Tensor, (C,), optional
        Class weights: their exact dot product with the terms, their exact sum, and the quotient are
        rounded, three times in all.
    ignore_index : int
        Targets that do not count.
    reduction : {"mean", "sum", "none"}
    count : int, optional
        What to divide by instead of the number of targets: the size of the whole batch, of which
        this is a part.

    The gradient is that of the mean over the count, rounded once.
    """
    _check("nll_loss", reduction, count)
    return _nll(_classes_last(x), target, weight, ignore_index, reduction, count, spec)


def cross_entropy(  # noqa: PLR0917
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    *,
    spec: SpecLike,
    count: int | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """:func:`nll_loss` of the :func:`log_softmax` of (N, C, ...) over the classes.

    ``mask``, booleans of the shape of x, is False for classes that cannot be: they are skipped, as
    logits of -inf are elsewhere. One that is the target gives NaN.

    The gradient by x, (softmax - [target])/count, rounds 1/count, the softmax, and their product
    less 1/count at the target. With label smoothing s the loss is (1 - s) times that plus s times
    the mean over all classes, both factors, products and the sum rounded; it excludes weights.
    """
    _check("cross_entropy", reduction, count)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing is from 0 to 1, got {label_smoothing}")
    text = text_of(spec)
    if mask is not None and (mask.dtype != torch.bool or mask.shape != x.shape):
        raise ValueError(
            f"cross_entropy: mask must be booleans {tuple(x.shape)}, got {mask.dtype}"
            f" {tuple(mask.shape)}"
        )
    seen = None if mask is None else _classes_last(mask)
    logs = _log_softmax(_classes_last(x), seen, text)
    hard = _nll(logs, target, weight, ignore_index, reduction, count, spec)
    if not label_smoothing:
        return hard
    if weight is not None:
        raise ValueError("cross_entropy: label_smoothing together with weight is not supported")
    kept = target != ignore_index
    each = -mean(logs, -1, spec=spec)
    if reduction == "mean":
        smooth = mean(each, spec=spec, where=kept, count=count)
    else:
        smooth = torch.where(kept, each, 0.0)
        smooth = smooth if reduction == "none" else _sum(smooth, [*range(kept.dim())], text)
    s = torch.full((), label_smoothing, dtype=torch.float64)
    return _add(_mul(hard, 1 - s, text), _mul(smooth, s, text), text)


def mse_loss(
    x: Tensor,
    target: Tensor,
    reduction: Reduction = "mean",
    *,
    spec: SpecLike,
    count: int | None = None,
) -> Tensor:
    """The mean of (x - target)²: the rounded differences, then one rounding of their mean square.

    Its gradient rounds 2g/count, then that times the rounded difference. ``count`` as in
    :func:`nll_loss`, of elements.
    """
    _check("mse_loss", reduction, count)
    text = text_of(spec)
    difference = _sub(x, target, text)
    if reduction == "mean":
        return mean_square(difference, spec=spec, count=count)
    if reduction == "none":
        return _mul(difference, difference, text)
    return _dot(difference, difference, [*range(difference.dim())], text)
