"""Rows by index; their gradients are one exact sum for each row."""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from torch import Tensor

import quire
from posit.spec import SpecLike

from .._deposit import Rows
from ._define import Inputs, Op, Rule, define, spec_of, text_of
from ._kernels import bits_of, empty, leading, tensor_of
from .products import repeated

__all__ = ["embedding"]


def _kernel(weight: Tensor, indices: Tensor, text: str) -> Tensor:
    spec = spec_of(text)
    at = indices.numpy()
    if at.size and not 0 <= at.min() <= at.max() < len(weight):
        raise IndexError(f"embedding: indices {at.min()} to {at.max()} into {len(weight)} rows")
    return tensor_of(bits_of(weight.detach()[indices], spec), spec)


def _batched(f: Op, inputs: Inputs, dims: Inputs, size: int) -> Tensor:
    """A batch of tables as one long table."""
    weight, indices, text = inputs
    if dims[0] is None:
        return f(weight, indices.movedim(dims[1], 0), text)
    tables, at = repeated(weight, dims[0], size, text), leading(indices, dims[1], size)
    return f(tables.flatten(0, 1), at + _starts(at, size, tables.shape[1]), text)


def _starts(at: Tensor, size: int, rows: int) -> Tensor:
    first = torch.arange(size, dtype=at.dtype, device=at.device) * rows
    return first.reshape(size, *[1] * (at.dim() - 1))


_embedding: Op = define(
    Rule(
        "embedding",
        "(Tensor weight, Tensor indices, str spec) -> Tensor",
        _kernel,
        lambda w, at, text: empty(w, (*at.shape, *w.shape[1:])),
        lambda i, out, g: (lambda: _index_sum(g, i[1], i[0].shape[0], i[2]), None),
        lambda i, out, t: _embedding(t[0], i[1], i[2]),
        _batched,
        lambda i, out, g: [lambda: Rows(i[1].cpu().numpy(), bits_of(g, spec_of(i[2])))],
    )
)


def _sum_kernel(g: Tensor, indices: Tensor, rows: int, text: str) -> Tensor:
    spec = spec_of(text)
    at = indices.numpy().reshape(-1)
    width = tuple(g.shape[indices.dim() :])
    lines = bits_of(g, spec).reshape(at.size, prod(width))
    order = np.argsort(at, kind="stable")
    found, first, counts = np.unique(at[order], return_index=True, return_counts=True)
    out = np.zeros((rows, lines.shape[1]), spec.storage)
    for n in np.unique(counts):  # all rows that have n terms together
        alike = counts == n
        terms = lines[order[first[alike][:, None] + np.arange(n)]]
        out[found[alike]] = terms[:, 0] if n == 1 else quire.sum(terms, spec, axis=1)
    return tensor_of(out.reshape(rows, *width), spec)


def _sum_batched(f: Op, inputs: Inputs, dims: Inputs, size: int) -> Tensor:
    g, indices, rows, text = inputs
    values, at = repeated(g, dims[0], size, text), leading(indices, dims[1], size)
    made = f(values, at + _starts(at, size, rows), rows * size, text)
    return made.reshape(size, rows, *made.shape[1:])


_index_sum: Op = define(
    Rule(
        "index_sum",
        "(Tensor g, Tensor indices, int rows, str spec) -> Tensor",
        _sum_kernel,
        lambda g, at, rows, text: empty(g, (rows, *g.shape[at.dim() :])),
        lambda i, out, g: (lambda: _embedding(g, i[1], i[3]), None),
        lambda i, out, t: _index_sum(t[0], *i[1:]),
        _sum_batched,
    )
)


def embedding(
    indices: Tensor, weight: Tensor, padding_idx: int | None = None, *, spec: SpecLike
) -> Tensor:
    """weight[indices], rounded.

    Parameters
    ----------
    indices : integer Tensor of any shape
    weight : Tensor, (rows, ...)
    padding_idx : int, optional
        A row that gets no gradient; negative ones count from the end.

    The gradient of a row is the exact sum over all places that refer to it, rounded once. Raises
    IndexError for an index outside the rows.
    """
    if indices.is_floating_point() or indices.dtype == torch.bool:
        raise TypeError(f"embedding: indices must be integers, got {indices.dtype}")
    rows = weight.shape[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise IndexError(f"embedding: padding_idx {padding_idx} into {rows} rows")
    found = _embedding(weight, indices.long(), text_of(spec))
    if padding_idx is None:
        return found
    skip = indices == padding_idx % rows
    skip = skip.reshape(*indices.shape, *[1] * (weight.dim() - 1))
    return torch.where(skip, found.detach(), found)
