"""Exact sums and products: every element a quire's, rounded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

import quire
from posit.spec import SpecLike

from .._deposit import Products, Terms, Values
from ._define import Grad, Inputs, Op, Rule, define, spec_of, text_of
from ._kernels import (
    as_rows,
    bits_of,
    broadcast_first,
    empty,
    reduced_shape,
    spread,
    tensor_of,
    together,
    unbroadcast,
)
from .casts import _nearest

__all__ = ["axes_of", "dot", "linear", "matmul", "sum"]


def axes_of(x: Tensor, dim: int | Sequence[int] | None) -> list[int]:
    """The axes that a caller means: all by default. Raises IndexError for one that is not there."""
    rank = x.dim()
    dims = [*range(rank)] if dim is None else [dim] if isinstance(dim, int) else list(dim)
    for d in dims:
        if not -rank <= d < rank:
            raise IndexError(f"axis {d} of a tensor with {rank} axes")
    found = [d % rank for d in dims]
    if len(set(found)) < len(found):
        raise ValueError(f"axes {dims}: one is named twice")
    return found


def keeping(found: Tensor, dims: Sequence[int], keepdim: bool) -> Tensor:
    """With the reduced axes, of length 1, where they are to stay."""
    for d in sorted(dims) if keepdim else ():
        found = found.unsqueeze(d)
    return found


def later(dims: Sequence[int]) -> list[int]:
    """The same axes behind a batch axis."""
    return [d + 1 for d in dims]


# ---- sums
def _sum_kernel(x: Tensor, dims: Sequence[int], text: str) -> Tensor:
    spec = spec_of(text)
    return tensor_of(quire.sum(bits_of(x, spec), spec, axis=tuple(dims)), spec)


_sum: Op = define(
    Rule(
        "sum",
        "(Tensor x, int[] dims, str spec) -> Tensor",
        _sum_kernel,
        lambda x, dims, text: empty(x, reduced_shape(x, dims)),
        lambda i, out, g: (lambda: spread(_nearest(g, i[2]), i[0].shape, i[1]),),
        lambda i, out, t: _sum(t[0], i[1], i[2]),
        lambda f, i, dims, size: f(i[0].movedim(dims[0], 0), later(i[1]), i[2]),
    )
)


def sum(
    x: Tensor, dim: int | Sequence[int] | None = None, *, spec: SpecLike, keepdim: bool = False
) -> Tensor:
    """Σ over ``dim`` (default all), exact and rounded once."""
    dims = axes_of(x, dim)
    return keeping(_sum(x, dims, text_of(spec)), dims, keepdim)


# ---- the same for all of a batch, which is what torch.vmap makes of an operand without one
def _repeat_kernel(x: Tensor, size: int, text: str) -> Tensor:
    spec = spec_of(text)
    return tensor_of(bits_of(x, spec), spec).expand(size, *x.shape).contiguous()


_repeat: Op = define(
    Rule(
        "repeat",
        "(Tensor x, int size, str spec) -> Tensor",
        _repeat_kernel,
        lambda x, size, text: empty(x, (size, *x.shape)),
        lambda i, out, g: (lambda: _sum(g, [0], i[2]),),
        lambda i, out, t: _repeat(t[0], i[1], i[2]),
        lambda f, i, dims, size: f(i[0].movedim(dims[0], 0), *i[1:]).movedim(1, 0),
    )
)


def repeated(x: Tensor, dim: int | None, size: int, text: str) -> Tensor:
    """x with its batch axis first; where it has none, repeated, its gradients exactly summed."""
    return _repeat(x, size, text) if dim is None else x.movedim(dim, 0)


def _dot_kernel(a: Tensor, b: Tensor, dims: Sequence[int], text: str) -> Tensor:
    spec = spec_of(text)
    x, y = np.broadcast_arrays(bits_of(a, spec), bits_of(b, spec))
    return tensor_of(quire.dot(as_rows(x, dims), as_rows(y, dims), spec), spec)


def _dot_fake(a: Tensor, b: Tensor, dims: Sequence[int], text: str) -> Tensor:
    shape = torch.broadcast_shapes(a.shape, b.shape)
    return empty(a, reduced_shape(a.expand(shape), dims))


def _dot_vjp(inputs: Inputs, out: Tensor, g: Tensor) -> list[Grad]:
    from .elementwise import _times_onto  # its own derivative is a dot

    a, b, dims, text = inputs
    wide = spread(g, torch.broadcast_shapes(a.shape, b.shape), dims)
    return [lambda: _times_onto(a, wide, b, text), lambda: _times_onto(b, wide, a, text)]


def _dot_jvp(inputs: Inputs, out: Tensor, tangents: Any) -> Tensor:
    """Σ da·b + a·db: one sum of up to twice the length."""
    a, b, dims, text = inputs
    da, db = tangents
    if da is None or db is None:
        return _dot(a, db, dims, text) if da is None else _dot(da, b, dims, text)
    left = torch.stack(torch.broadcast_tensors(da, a))
    right = torch.stack(torch.broadcast_tensors(b, db))
    return _dot(left, right, [0, *later(dims)], text)


_dot: Op = define(
    Rule(
        "dot",
        "(Tensor a, Tensor b, int[] dims, str spec) -> Tensor",
        _dot_kernel,
        _dot_fake,
        _dot_vjp,
        _dot_jvp,
        lambda f, i, dims, size: f(
            *(
                x.unsqueeze(0) if d is None else x.movedim(d, 0)
                for x, d in zip(i[:2], dims[:2], strict=True)
            ),
            later(i[2]),
            i[3],
        ),
    )
)


def dot(
    a: Tensor, b: Tensor, dim: int | Sequence[int] = -1, *, spec: SpecLike, keepdim: bool = False
) -> Tensor:
    """Σ a·b over ``dim`` of tensors that broadcast, exact and rounded once."""
    dims = axes_of(torch.broadcast_tensors(a.detach(), b.detach())[0], dim)
    rank = max(a.dim(), b.dim())
    x, y = (t.reshape(*[1] * (rank - t.dim()), *t.shape) for t in (a, b))
    return keeping(_dot(x, y, dims, text_of(spec)), dims, keepdim)


# ---- matrix products of two or more axes
def _matmul_kernel(a: Tensor, b: Tensor, bias: Tensor | None, text: str) -> Tensor:
    spec = spec_of(text)
    term = None if bias is None else bits_of(bias, spec)
    return tensor_of(quire.matmul(bits_of(a, spec), bits_of(b, spec), spec, add=term), spec)


def _matmul_fake(a: Tensor, b: Tensor, bias: Tensor | None, text: str) -> Tensor:
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    torch._check(a.shape[-1] == b.shape[-2], lambda: f"matmul of {a.shape} and {b.shape}")
    return empty(a, (*batch, a.shape[-2], b.shape[-1]))


def _factors(a: Tensor, b: Tensor, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Operands of one product that is a·b summed over the batch axes that ``shape`` lacks."""
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    own = [*[1] * (len(batch) - len(shape) + 2), *shape[:-2]]
    gone = [i for i, n in enumerate(batch) if own[i] == 1 != n]
    if gone:
        rank = len(batch)
        kept = [i for i in range(rank) if i not in gone]
        a, b = (x.expand(*batch, *x.shape[-2:]) for x in (a, b))
        a = a.permute(*kept, rank, *gone, rank + 1).flatten(len(kept) + 1)
        b = b.permute(*kept, *gone, rank, rank + 1).flatten(len(kept), -2)
    return a, b


def _product_onto(a: Tensor, b: Tensor, shape: Sequence[int], text: str) -> Tensor:
    """a·b, summed over the batch axes that ``shape`` lacks: one exact sum, rounded once."""
    return _matmul(*_factors(a, b, shape), None, text).reshape(shape)


def _matmul_terms(inputs: Inputs, out: Tensor, g: Tensor) -> list[Callable[[], Terms]]:
    a, b, bias, text = inputs
    spec = spec_of(text)

    def product(x: Tensor, y: Tensor, like: Tensor) -> Terms:
        return Products(*(bits_of(t, spec) for t in _factors(x, y, like.shape)))

    return [
        lambda: product(g, b.mT, a),
        lambda: product(a.mT, g, b),
        lambda: Values(broadcast_first(bits_of(g, spec), bias.shape)),
    ]


def _matmul_vjp(inputs: Inputs, out: Tensor, g: Tensor) -> list[Grad]:
    a, b, bias, text = inputs

    def of_bias() -> Tensor:
        rounded: Callable[..., Tensor] = lambda t, axes: _sum(t, axes, text)  # noqa: E731
        return unbroadcast(_nearest(g, text), bias.shape, rounded)

    return [
        lambda: _product_onto(g, b.mT, a.shape, text),
        lambda: _product_onto(a.mT, g, b.shape, text),
        None if bias is None else of_bias,
    ]


def _matmul_jvp(inputs: Inputs, out: Tensor, tangents: Any) -> Tensor:
    """da·b + a·db + dbias: one product of up to twice the inner length, rounded once."""
    a, b, _, text = inputs
    da, db, term = tangents
    if da is None and db is None:
        return _nearest(term, text).expand_as(out)
    if da is None or db is None:
        return _matmul(a, db, term, text) if da is None else _matmul(da, b, term, text)
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    wide = [x.expand(*batch, *x.shape[-2:]) for x in (da, a, b, db)]
    return _matmul(torch.cat(wide[:2], -1), torch.cat(wide[2:], -2), term, text)


def _matmul_batched(f: Op, inputs: Inputs, dims: Inputs, size: int) -> Tensor:
    a, b, bias, text = inputs
    first, *others = dims[:3]
    if first is None and others[0] is None:  # the bias alone
        a, first = repeated(a, None, size, text), 0
    return f(*together((a, b, bias), (first, *others)), text)


_matmul: Op = define(
    Rule(
        "matmul",
        "(Tensor a, Tensor b, Tensor? bias, str spec) -> Tensor",
        _matmul_kernel,
        _matmul_fake,
        _matmul_vjp,
        _matmul_jvp,
        _matmul_batched,
        _matmul_terms,
    )
)


def matmul(a: Tensor, b: Tensor, bias: Tensor | None = None, *, spec: SpecLike) -> Tensor:
    """Matrix product with torch's shape rules, each element exact and rounded once.

    ``bias`` is added before the one rounding; it broadcasts to the product. Gradients are exact
    products too, each element rounded once, also where an operand was broadcast.
    """
    if a.dim() == 0 or b.dim() == 0:
        raise ValueError("matmul needs tensors with at least one axis; ops.mul scales")
    x = a.unsqueeze(0) if a.dim() == 1 else a
    y = b.unsqueeze(1) if b.dim() == 1 else b
    term = bias
    if bias is not None and b.dim() == 1 and bias.dim():
        term = bias.unsqueeze(-1)
    if term is not None and a.dim() == 1 and bias is not None and bias.dim() > 1:
        term = term.unsqueeze(-2)
    out = _matmul(x, y, term, text_of(spec))
    out = out.squeeze(-2) if a.dim() == 1 else out
    return out.squeeze(-1) if b.dim() == 1 else out


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, spec: SpecLike) -> Tensor:
    """x·weightᵀ + bias, each element one exact sum, rounded once.

    Parameters
    ----------
    x : Tensor, (..., in)
    weight : Tensor, (out, in)
    bias : Tensor, (out,), optional

    The gradients of x, weight and bias are one exact sum each element, rounded once, over all of
    the batch.
    """
    rows = x.unsqueeze(0) if x.dim() == 1 else x.flatten(0, -2)
    return _matmul(rows, weight.mT, bias, text_of(spec)).reshape(*x.shape[:-1], weight.shape[0])
