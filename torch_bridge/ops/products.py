"""Exact sums and products: every element a quire's, rounded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

import quire
from posit.spec import SpecLike

from ._define import Rule, define, spec_of, text_of
from ._kernels import bits_of, broadcast_batch, empty, tensor_of, unbroadcast

__all__ = ["matmul", "sum"]


# ---- sum
def _sum_kernel(x: Tensor, dims: Sequence[int], text: str) -> Tensor:
    spec = spec_of(text)
    made = quire.sum(bits_of(x, spec), spec, axis=tuple(dims))
    return tensor_of(np.asarray(made, spec.storage), spec)


def _sum_fake(x: Tensor, dims: Sequence[int], text: str) -> Tensor:
    gone = {d % x.dim() for d in dims}
    return empty(x, [n for i, n in enumerate(x.shape) if i not in gone])


def _spread(g: Tensor, x: Tensor, dims: Sequence[int]) -> Tensor:
    for d in sorted(d % x.dim() for d in dims):
        g = g.unsqueeze(d)
    return g.expand_as(x)


def _sum_batched(inputs: tuple[Any, ...], in_dims: tuple[Any, ...], size: int) -> tuple[Any, ...]:
    x, dims, text = inputs
    rank = x.dim() - 1
    return x.movedim(in_dims[0], 0), [d % rank + 1 for d in dims], text


_sum = define(
    Rule(
        "sum",
        "(Tensor x, int[] dims, str spec) -> Tensor",
        _sum_kernel,
        _sum_fake,
        lambda i, out, g: (_spread(g, i[0], i[1]),),
        lambda i, out, t: _sum(t[0], i[1], i[2]),
        _sum_batched,
    )
)


def sum(
    x: Tensor, dim: int | Sequence[int] | None = None, *, spec: SpecLike, keepdim: bool = False
) -> Tensor:
    """Σ over ``dim`` (default all), exact and rounded once."""
    if dim is None:
        dims = list(range(x.dim()))
    else:
        dims = [dim] if isinstance(dim, int) else list(dim)
    if not dims:
        dims = []
    found = _sum(x, dims, text_of(spec))
    for d in sorted(d % x.dim() for d in dims) if keepdim else ():
        found = found.unsqueeze(d)
    return found


# ---- matrix products of two or more axes
def _matmul_kernel(a: Tensor, b: Tensor, text: str) -> Tensor:
    spec = spec_of(text)
    made = quire.matmul(bits_of(a, spec), bits_of(b, spec), spec)
    return tensor_of(np.asarray(made, spec.storage), spec)


def _matmul_fake(a: Tensor, b: Tensor, text: str) -> Tensor:
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    torch._check(a.shape[-1] == b.shape[-2], lambda: f"matmul of {a.shape} and {b.shape}")
    return empty(a, (*batch, a.shape[-2], b.shape[-1]))


def _matmul_vjp(inputs: tuple[Any, ...], out: Tensor, g: Tensor) -> tuple[Tensor, ...]:
    a, b, text = inputs
    grads = (_matmul(g, b.mT, text), _matmul(a.mT, g, text))
    return tuple(
        unbroadcast(d, x.shape, lambda t, axes: _sum(t, axes, text))
        for d, x in zip(grads, (a, b), strict=True)
    )


def _matmul_jvp(inputs: tuple[Any, ...], out: Tensor, tangents: Any) -> Tensor:
    """da·b + a·db: one product of twice the inner length, rounded once."""
    a, b, text = inputs
    da, db = tangents
    if da is None or db is None:
        return _matmul(a, db, text) if da is None else _matmul(da, b, text)
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    wide = [x.expand(*batch, *x.shape[-2:]) for x in (da, a, b, db)]
    return _matmul(torch.cat(wide[:2], -1), torch.cat(wide[2:], -2), text)


def _matmul_batched(
    inputs: tuple[Any, ...], in_dims: tuple[Any, ...], size: int
) -> tuple[Any, ...]:
    rank = max(x.dim() - (d is not None) for x, d in zip(inputs[:2], in_dims, strict=False))
    moved = (broadcast_batch(x, d, rank, size) for x, d in zip(inputs[:2], in_dims, strict=False))
    return (*moved, inputs[2])


_matmul = define(
    Rule(
        "matmul",
        "(Tensor a, Tensor b, str spec) -> Tensor",
        _matmul_kernel,
        _matmul_fake,
        _matmul_vjp,
        _matmul_jvp,
        _matmul_batched,
    )
)


def matmul(a: Tensor, b: Tensor, *, spec: SpecLike) -> Tensor:
    """Matrix product with torch's shape rules, each element exact and rounded once."""
    if a.dim() == 0 or b.dim() == 0:
        raise ValueError("matmul needs tensors with at least one axis; ops.mul scales")
    x = a.unsqueeze(0) if a.dim() == 1 else a
    y = b.unsqueeze(1) if b.dim() == 1 else b
    out = _matmul(x, y, text_of(spec))
    out = out.squeeze(-2) if a.dim() == 1 else out
    return out.squeeze(-1) if b.dim() == 1 else out
