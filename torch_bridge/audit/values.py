"""Float tensors within what a module takes and returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["first_float", "in_float64", "map_floats", "write_back"]


def map_tensors(function: Callable[[Tensor], Tensor], x: Any) -> Any:
    """function of each tensor within x, also of a multivector's coefficients."""
    if isinstance(x, Tensor):
        return function(x)
    if isinstance(getattr(x, "coefficients", None), Tensor):  # a Multivector, whoever loaded it
        return x.replace(function(x.coefficients))
    if isinstance(x, Mapping):
        return {k: map_tensors(function, v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        made = [map_tensors(function, v) for v in x]
        if hasattr(x, "_fields"):
            return type(x)(*made)
        return tuple(made) if isinstance(x, tuple) else made
    return x


def in_float64(x: Any) -> Any:
    """Copies of the tensors, floats in float64, without gradients; everything else as it is."""
    return map_tensors(_copied, x)


def _copied(t: Tensor) -> Tensor:
    return t.detach().to(torch.float64 if t.is_floating_point() else t.dtype, copy=True)


def map_floats(function: Callable[[Tensor], Tensor], x: Any) -> Any:
    """function of each float tensor within x; everything else as it is."""
    return map_tensors(lambda t: function(t) if t.is_floating_point() else t, x)


def first_float(x: Any) -> Tensor | None:
    """The first float tensor within x."""
    found: list[Tensor] = []
    map_floats(lambda t: found.append(t) or t, x)  # type: ignore[func-returns-value]
    return found[0] if found else None


def write_back(function: Callable[[Tensor], Tensor], old: Any, new: Any) -> None:
    """Where a float tensor within ``new`` was changed in place, change that within ``old`` too."""
    olds: list[Tensor] = []
    news: list[Tensor] = []
    map_floats(lambda t: olds.append(t) or t, old)  # type: ignore[func-returns-value]
    map_floats(lambda t: news.append(t) or t, new)  # type: ignore[func-returns-value]
    for to, x in zip(olds, news, strict=True):
        if x._version:
            to.copy_(function(x))
