"""Opaque custom ops on patterns: all arithmetic of PositTensor, computed by posit and quire.

Integers in, integers out, so that a compiled graph holds one call per operation and no rounding of
its own. Autograd works above them, on PositTensor; they need no derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import posit
import quire
from posit import PositSpec, functions

from ..ops._device import anywhere
from ..ops.casts import storage

__all__ = ["add_at", "apply", "convert", "divide_whole", "product", "reduce", "text_of"]

Patterns = npt.NDArray[np.signedinteger[Any]]
_broadcast: Any = torch.broadcast_shapes
_check: Any = torch._check


@lru_cache(maxsize=256)
def _spec(text: str) -> PositSpec:
    return PositSpec.parse(text)


def text_of(spec: PositSpec) -> str:
    """The format as these ops take it; unlike those of ``ops``, they take every format."""
    return f"{spec.n},{spec.rs},{spec.es}"


def _tensor(made: Any, spec: PositSpec) -> Tensor:
    return torch.from_numpy(np.asarray(made, spec.storage))


@torch.library.custom_op("bposit::patterns_apply", mutates_args=())
@anywhere("patterns_apply")
def apply(xs: Sequence[Tensor], name: str, spec: str) -> Tensor:
    """A function of :mod:`posit.functions` by name, element by element; operands broadcast."""
    found = _spec(spec)
    return _tensor(getattr(functions, name)(*(x.numpy() for x in xs), found), found)


@apply.register_fake
def _(xs: Sequence[Tensor], name: str, spec: str) -> Tensor:
    return xs[0].new_empty(_broadcast(*(x.shape for x in xs)))


@torch.library.custom_op("bposit::patterns_convert", mutates_args=())
@anywhere("patterns_convert")
def convert(x: Tensor, spec: str, to: str) -> Tensor:
    """The nearest patterns in another format."""
    found = _spec(to)
    return _tensor(posit.convert(x.numpy(), _spec(spec), found), found)


@convert.register_fake
def _(x: Tensor, spec: str, to: str) -> Tensor:
    return x.new_empty(x.shape, dtype=storage(_spec(to)))


@torch.library.custom_op("bposit::patterns_divide_whole", mutates_args=())
@anywhere("patterns_divide_whole")
def divide_whole(x: Tensor, by: int, spec: str) -> Tensor:
    """x divided by a whole number that need not be a posit, rounded once; NaR by 0.

    One float64 division decides where f_max + bits(by) <= 50: a quotient of f_max + 1 bits by the
    number that is not on a boundary of rounding, which has f_max + 2 bits, differs from it by more
    than 2^-(f_max + 2 + bits(by)) of itself, and float64 rounds by at most 2^-53.
    """
    found = _spec(spec)
    array = x.numpy()
    if found.fits_float64 and found.f_max + by.bit_length() <= 50:
        with np.errstate(divide="ignore", invalid="ignore"):
            return _tensor(posit.encode(posit.decode(array, found) / float(by), found), found)
    values, where = np.unique(array, return_inverse=True)
    divided = [
        None if v is None or by == 0 else Fraction(v) / by
        for v in (posit.to_fraction(p, found) for p in values)
    ]
    quotients = np.array([posit.from_fraction(q, found) for q in divided], found.storage)
    return torch.from_numpy(quotients[where].reshape(array.shape))


@divide_whole.register_fake
def _(x: Tensor, by: int, spec: str) -> Tensor:
    return x.new_empty(x.shape)


def _reduced(x: Tensor, dims: Sequence[int], keepdim: bool) -> list[int]:
    gone = {d % x.dim() for d in dims}
    return [1 if i in gone else n for i, n in enumerate(x.shape) if keepdim or i not in gone]


@torch.library.custom_op("bposit::patterns_reduce", mutates_args=())
@anywhere("patterns_reduce")
def reduce(x: Tensor, dims: Sequence[int], keepdim: bool, name: str, spec: str) -> Tensor:
    """``sum``, ``mean`` or ``norm2`` of :mod:`quire` over ``dims``, rounded once."""
    found = _spec(spec)
    if name != "norm2":
        made = getattr(quire, name)(x.numpy(), found, axis=tuple(dims), keepdims=keepdim)
        return _tensor(made, found)
    gone = [d % x.dim() for d in dims]
    rows = x.movedim(gone, [*range(-len(gone), 0)]).flatten(x.dim() - len(gone)).numpy()
    norms = np.empty(rows.shape[:-1], found.storage)
    for at in np.ndindex(norms.shape):
        norms[at] = quire.norm2(rows[at], found)
    return torch.from_numpy(norms).reshape(_reduced(x, dims, keepdim))


@reduce.register_fake
def _(x: Tensor, dims: Sequence[int], keepdim: bool, name: str, spec: str) -> Tensor:
    return x.new_empty(_reduced(x, dims, keepdim))


@torch.library.custom_op("bposit::patterns_product", mutates_args=())
@anywhere("patterns_product")
def product(a: Tensor, b: Tensor, add: Tensor | None, spec: str) -> Tensor:
    """a·b (+ add), with NumPy's shape rules; every element exact, rounded once."""
    found = _spec(spec)
    term = None if add is None else add.numpy()
    return _tensor(quire.matmul(a.numpy(), b.numpy(), found, add=term), found)


@product.register_fake
def _(a: Tensor, b: Tensor, add: Tensor | None, spec: str) -> Tensor:
    _check(
        a.shape[-1] == b.shape[-2 if b.dim() > 1 else 0],
        lambda: (
            f"the product of shapes {tuple(a.shape)} and {tuple(b.shape)}: inner lengths differ"
        ),
    )
    batch = _broadcast(a.shape[:-2], b.shape[:-2])
    return a.new_empty((*batch, *a.shape[-2:-1], *(b.shape[-1:] if b.dim() > 1 else ())))


@torch.library.custom_op("bposit::patterns_add_at", mutates_args=())
@anywhere("patterns_add_at")
def add_at(x: Tensor, index: Tensor, values: Tensor, spec: str) -> Tensor:
    """x with ``values`` added at ``index``; each element's sum exact, rounded once.

    x (N,), index (M,) of int64 in [0, N), values (M,).
    """
    found = _spec(spec)
    out = x.numpy().copy()
    order = np.argsort(index.numpy(), kind="stable")
    addends = values.numpy()[order]
    places, starts, counts = np.unique(index.numpy()[order], return_index=True, return_counts=True)
    for count in np.unique(counts):
        rows = counts == count
        at = places[rows]
        terms = addends[starts[rows][:, np.newaxis] + np.arange(count)]
        out[at] = quire.sum(np.column_stack([out[at], terms]), found, axis=1)
    return torch.from_numpy(out)


@add_at.register_fake
def _(x: Tensor, index: Tensor, values: Tensor, spec: str) -> Tensor:
    return x.new_empty(x.shape)
