"""Means: exact sums over whole numbers, rounded once."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

import posit
from posit import PositSpec
from posit.spec import SpecLike
from quire import Accumulators

from ._define import Grad, Inputs, Op, Rule, define, spec_of, text_of
from ._kernels import (
    ROOM,
    ULP,
    Patterns,
    as_rows,
    bits_of,
    decided,
    empty,
    every,
    reduced_shape,
    spread,
    tensor_of,
)
from .elementwise import _mul, _per
from .products import _dot, axes_of, keeping, later, repeated

__all__ = ["mean", "mean_square", "mean_squares", "statistic"]


def _over(count: int, rows: Patterns, spec: PositSpec, what: str, square: bool) -> Patterns:
    """Σx/count or Σx²/count of each row, rounded once: in float64 where that decides."""
    n = rows.shape[-1]
    if count < n:
        raise ValueError(f"{what}: count {count} is less than the {n} terms there are")
    lines = (
        np.ascontiguousarray(rows.reshape(-1, n)) if n else rows.reshape(prod(rows.shape[:-1]), 0)
    )

    def exact(i: int) -> Fraction | None:
        row = lines[i]
        other = row if square else np.full_like(row, spec.one)
        total = Accumulators((), spec).add_dots(row, other).values().item()
        return None if total is None else total / count

    if spec.reach * (1 + square) > ROOM:
        value, error = np.zeros(len(lines)), np.ones(len(lines))  # decides nothing
    else:
        x = posit.decode(lines, spec)
        x = x * x if square else x
        value, error = x.sum(-1) / count, (2 * n + 8) * ULP * np.abs(x).sum(-1) / count
    return decided(value, error, spec, exact).reshape(rows.shape[:-1])


def statistic(name: str, rows: Patterns, spec: PositSpec, **options: Any) -> Patterns:
    """A statistic of posit.reductions over the last axis."""
    found = getattr(posit, name)(posit.view(rows, spec), -1, **options)
    return np.asarray(posit.bits(found), spec.storage)


def mean_squares(rows: Patterns, spec: PositSpec) -> Patterns:
    """Σx²/n over the last axis, rounded once: the variance of x and -x together."""
    return statistic("var", np.concatenate([rows, posit.neg(rows, spec)], -1), spec)


# ---- means
def _mean_kernel(
    x: Tensor, where: Tensor | None, dims: Sequence[int], count: int, text: str
) -> Tensor:
    spec = spec_of(text)
    rows = as_rows(bits_of(x, spec), dims)
    if where is None:
        if count:
            return tensor_of(_over(count, rows, spec, "mean", False), spec)
        return tensor_of(statistic("mean", rows, spec), spec)
    chosen = as_rows(np.broadcast_to(where.numpy(), tuple(x.shape)), dims)
    if not count:
        return tensor_of(statistic("mean", rows, spec, where=chosen), spec)
    kept = np.where(chosen, rows, spec.storage.type(0))
    return tensor_of(_over(count, kept, spec, "mean", False), spec)


def _counts(inputs: Inputs) -> Tensor:
    """What the sums were divided by."""
    x, where, dims, count, _ = inputs
    if count or where is None:
        n = count or prod(x.shape[d] for d in every(dims, x.dim()))
        return torch.as_tensor(n, dtype=torch.int64)
    found: Tensor = where.expand_as(x).sum(list(dims))
    return found


def _mean_vjp(inputs: Inputs, out: Tensor, g: Tensor) -> list[Grad]:
    x, where, dims, _, text = inputs

    def of_x() -> Tensor:
        all_alike = spread(_per(g, _counts(inputs), 1, text), x.shape, dims)
        return all_alike if where is None else torch.where(where, all_alike, 0.0)

    return [of_x, None]


def _mean_batched(f: Op, inputs: Inputs, in_dims: Inputs, size: int) -> Tensor:
    x, where, dims, count, text = inputs
    rank = x.dim() - (in_dims[0] is not None)
    if where is not None and in_dims[1] is not None:
        moved = where.movedim(in_dims[1], 0)
        where = moved.reshape(size, *[1] * (rank - moved.dim() + 1), *moved.shape[1:])
    return f(repeated(x, in_dims[0], size, text), where, later(dims), count, text)


_mean: Op = define(
    Rule(
        "mean",
        "(Tensor x, Tensor? where, int[] dims, int count, str spec) -> Tensor",
        _mean_kernel,
        lambda x, where, dims, count, text: empty(x, reduced_shape(x, dims)),
        _mean_vjp,
        lambda i, out, t: _mean(t[0], *i[1:]),
        _mean_batched,
    )
)


def mean(
    x: Tensor,
    dim: int | Sequence[int] | None = None,
    *,
    spec: SpecLike,
    keepdim: bool = False,
    where: Tensor | None = None,
    count: int | None = None,
) -> Tensor:
    """The exact sum over ``dim`` (default all) over the count, rounded once; NaN over nothing.

    The gradient is that of the mean over the count, rounded once.

    Parameters
    ----------
    x : Tensor
    dim, keepdim
        As in torch.
    where : Tensor of bool, optional
        Which elements count; the others are as if absent, NaN too. Broadcasts to ``x``.
    count : int, optional
        What to divide by instead of the number of elements: at least that, for instance the size of
        the whole batch of which ``x`` is a part.
    """
    dims = axes_of(x, dim)
    if where is not None and where.dtype != torch.bool:
        raise TypeError(f"mean: where must be booleans, such as x > 0, got {where.dtype}")
    return keeping(_mean(x, where, dims, _positive(count), text_of(spec)), dims, keepdim)


def _positive(count: int | None) -> int:
    if count is not None and count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    return count or 0


# ---- means of squares
def _square_kernel(x: Tensor, dims: Sequence[int], count: int, text: str) -> Tensor:
    spec = spec_of(text)
    rows = as_rows(bits_of(x, spec), dims)
    made = _over(count, rows, spec, "mean_square", True) if count else mean_squares(rows, spec)
    return tensor_of(made, spec)


def _square_vjp(inputs: Inputs, out: Tensor, g: Tensor) -> list[Grad]:
    x, dims, count, text = inputs
    n = _counts((x, None, dims, count, text))
    return [lambda: _mul(x, spread(_per(g, n, 2, text), x.shape, dims), text)]


_mean_square: Op = define(
    Rule(
        "mean_square",
        "(Tensor x, int[] dims, int count, str spec) -> Tensor",
        _square_kernel,
        lambda x, dims, count, text: empty(x, reduced_shape(x, dims)),
        _square_vjp,
        lambda i, out, t: _per(
            _dot(i[0], t[0], i[1], i[3]), _counts((i[0], None, *i[1:])), 2, i[3]
        ),
        lambda f, i, dims, size: f(i[0].movedim(dims[0], 0), later(i[1]), *i[2:]),
    )
)


def mean_square(
    x: Tensor,
    dim: int | Sequence[int] | None = None,
    *,
    spec: SpecLike,
    keepdim: bool = False,
    count: int | None = None,
) -> Tensor:
    """Σx² over ``dim`` over the count, rounded once. ``count`` as in :func:`mean`.

    Its gradient rounds 2g/n, then that times x.
    """
    dims = axes_of(x, dim)
    found = _mean_square(x, dims, _positive(count), text_of(spec))
    return keeping(found, dims, keepdim)
