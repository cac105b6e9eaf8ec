"""Where a backward pass leaves the terms of a parameter's gradient, instead of their rounded sum.

An operation says for each operand what its gradient is the sum of: products of matrices, dot
products, values, or rows. If the operand is a collecting parameter, or a view of one, the terms go
to its exact sum and autograd gets no gradient; else the sum is rounded and handed on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from posit.spec import SpecLike

from ._gradient_sum import GradientSum, Patterns
from ._registry import is_collecting, of

__all__ = ["Dots", "Products", "Rows", "Terms", "Values", "leaf_of", "place_of", "settled"]

_VIEWS = frozenset(
    f"{name}Backward{i}"
    for i in range(3)
    for name in (
        "View", "UnsafeView", "ReshapeAlias", "Unsqueeze", "Squeeze", "Alias", "Transpose", "T",
        "Permute", "Slice", "Split", "SplitWithSizes", "Select",
    )
)  # fmt: skip
NOTHING = object()


@dataclass(frozen=True)
class Place:
    """A parameter's sum, and where in it a view lies: offset and strides, in elements."""

    leaf: Tensor
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    @property
    def is_whole(self) -> bool:
        """Whether the view has all elements in C order."""
        size, right = self.leaf.numel(), 1
        for n, s in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if n > 1 and s != right:
                return False
            right *= n
        return right == size and not self.offset


def place_of(operand: Tensor, edge: tuple[Any, int]) -> Place | object | None:
    """Where the terms of an operand's gradient belong; asked during a backward pass.

    ``edge`` is the operand's in the graph. NOTHING if this pass wants no gradient of it, None if
    it wants a tensor: of what is no collecting parameter or view of one, for
    ``torch.autograd.grad``, if derivatives of the gradient are wanted, or if a hook looks at it.
    """
    node = _root(edge[0])
    leaf: Tensor | None = getattr(node, "variable", None)
    if leaf is None or not is_collecting(leaf) or leaf._backward_hooks or torch.is_grad_enabled():
        return None
    try:
        if not torch._C._will_engine_execute_node(node):
            return NOTHING
    except RuntimeError:  # autograd.grad captures this leaf
        return None
    if node is edge[0]:  # the parameter itself, maybe in a copy that a checkpoint has made
        return Place(leaf, tuple(leaf.shape), torch.empty(leaf.shape, device="meta").stride(), 0)
    if not leaf.is_contiguous() or _storage(operand) != _storage(leaf):
        return None
    offset = int(operand.storage_offset() - leaf.storage_offset())
    return Place(leaf, tuple(operand.shape), operand.stride(), offset)


def leaf_of(x: Tensor) -> Tensor | None:
    """The leaf that a tensor is, or is a view of, if that wants a gradient."""
    if not x.requires_grad or x.grad_fn is None:
        return x if x.requires_grad else None
    return getattr(_root(x.grad_fn), "variable", None)


def _root(node: Any) -> Any:
    """What lies below views in the graph."""
    while node is not None and node.name() in _VIEWS:
        node, _ = node.next_functions[0]
    return node


def _storage(x: Tensor) -> int:
    found: int = x.untyped_storage()._cdata
    return found


class Terms(Protocol):
    """What a gradient is the sum of, as patterns."""

    def add_to(self, sums: GradientSum, place: Place) -> bool:
        """Add all of it; False if this kind of terms does not go to this kind of view."""


@dataclass(frozen=True)
class Products:
    """The product of a (..., M, K) and b (..., K, N), whose elements are the operand's in order."""

    a: Patterns
    b: Patterns

    def add_to(self, sums: GradientSum, place: Place) -> bool:
        """A matrix may be transposed, or a block of the parameter."""
        if place.is_whole:
            sums.add_products(self.a, self.b)
            return True
        a, b, nar = self.a, self.b, sums.spec.nar
        if len(place.shape) != 2 or len(sums.shape) != 2 or a.ndim != 2:
            return False
        if (a == nar).any() or (b == nar).any():  # times the zeros around it would be NaR
            return False
        (rows, columns), (down, right), width = place.shape, place.strides, sums.shape[1]
        if (down, right) == (1, width):
            a, b, rows, columns = b.T, a.T, columns, rows
        elif (down, right) != (width, 1):
            return False
        top, left = divmod(place.offset, width)
        wide_a = np.zeros((sums.shape[0], a.shape[1]), a.dtype)
        wide_b = np.zeros((b.shape[0], width), b.dtype)
        wide_a[top : top + rows], wide_b[:, left : left + columns] = a, b
        sums.add_products(wide_a, wide_b)
        return True


@dataclass(frozen=True)
class Values:
    """Values (..., *operand's shape), summed over the axes before."""

    values: Patterns

    def add_to(self, sums: GradientSum, place: Place) -> bool:
        """Any view."""
        sums.add(_placed(self.values, sums, place))
        return True


@dataclass(frozen=True)
class Dots:
    """a·b of arrays (..., *operand's shape), summed over the axes before."""

    a: Patterns
    b: Patterns

    def add_to(self, sums: GradientSum, place: Place) -> bool:
        """Any view."""
        sums.add_dots(_placed(self.a, sums, place), _placed(self.b, sums, place))
        return True


@dataclass(frozen=True)
class Rows:
    """``values[i]`` for row ``index[i]``."""

    index: np.ndarray[Any, np.dtype[np.int64]]
    values: Patterns

    def add_to(self, sums: GradientSum, place: Place) -> bool:
        """Whole parameters alone."""
        if place.is_whole and place.shape == sums.shape:
            sums.add_rows(self.index, self.values)
            return True
        return False


def _placed(values: Patterns, sums: GradientSum, place: Place) -> Patterns:
    """Values of the view as ones of the parameter, 0 where the view has no element."""
    lead = values.shape[: values.ndim - len(place.shape)]
    if place.is_whole:
        return values.reshape(*lead, *sums.shape)
    made = np.zeros((*lead, int(np.prod(sums.shape))), values.dtype)
    item = made.itemsize
    view = np.lib.stride_tricks.as_strided(
        made[..., place.offset :],
        (*lead, *place.shape),
        (*made.strides[:-1], *(s * item for s in place.strides)),
    )
    view[...] = values
    return made.reshape(*lead, *sums.shape)


def settled(place: Place | object | None, terms: Callable[[], Terms], spec: SpecLike) -> bool:
    """Add the terms where they belong; False where autograd needs a rounded tensor."""
    if isinstance(place, Place):
        return terms().add_to(of(place.leaf, spec), place)
    return place is NOTHING
