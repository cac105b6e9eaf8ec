"""Order: patterns compare as their values, NaR below all and equal to itself (docs/format.md)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .table import TABLE, Format, aten, implements

_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


def _enter_comparison(name: str) -> None:
    compare = getattr(torch, name)

    @implements(name)
    def run(f: Format, a: Any, b: Any) -> Tensor:
        if name in ("eq", "ne") and isinstance(b, float) and math.isinf(b):
            b = math.nan  # where floats have ±∞, posits have NaR; isfinite asks so
        found: Tensor = compare(f.bits(a), f.bits(b))
        return found


for _name in _COMPARISONS:
    _enter_comparison(_name)


@implements("isnan")
def _isnan(f: Format, x: Any) -> Tensor:
    found: Tensor = x._bits == f.spec.nar
    return found


@implements("isinf", "isposinf", "isneginf")
def _isinf(f: Format, x: Any) -> Tensor:
    return torch.zeros_like(x._bits, dtype=torch.bool)


# ---- maxima: NaR where there is one, as torch does with NaN; minima find it by themselves
def _with_nar(f: Format, made: Tensor, *operands: Tensor) -> Any:
    for x in operands:
        made = torch.where(x == f.spec.nar, f.spec.nar, made)
    return f.wrap(made)


@implements("maximum")
def _maximum(f: Format, a: Any, b: Any) -> Any:
    x, y = f.bits(a), f.bits(b)
    return _with_nar(f, torch.maximum(x, y), x, y)


@implements("minimum")
def _minimum(f: Format, a: Any, b: Any) -> Any:
    return f.wrap(torch.minimum(f.bits(a), f.bits(b)))


@implements("relu")
def _relu(f: Format, x: Any) -> Any:
    return _with_nar(f, x._bits.clamp_min(0), x._bits)


@implements("clamp")
def _clamp(f: Format, x: Any, min: Any = None, max: Any = None) -> Any:
    made = x if min is None else _maximum(f, x, min)
    return made if max is None else _minimum(f, made, max)


@implements("clamp_min")
def _clamp_min(f: Format, x: Any, min: Any) -> Any:
    return _maximum(f, x, min)


@implements("clamp_max")
def _clamp_max(f: Format, x: Any, max: Any) -> Any:
    return _minimum(f, x, max)


@implements("max", "amax")
def _max(f: Format, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    nar = x._bits == f.spec.nar
    if f.op.startswith("aten.max.dim"):
        values, places = torch.max(x._bits, dim, keepdim)
        first, at = torch.max(nar.to(torch.int8), dim, keepdim)
        found = first.bool()
        return f.wrap(torch.where(found, f.spec.nar, values)), torch.where(found, at, places)
    if isinstance(dim, Tensor):  # max.other
        return _maximum(f, x, dim)
    dims = list(range(x.dim())) if dim is None or dim == [] else dim
    values = torch.amax(x._bits, dims, keepdim)
    return f.wrap(torch.where(torch.amax(nar, dims, keepdim), f.spec.nar, values))


@implements("argmax")
def _argmax(f: Format, x: Any, dim: int | None = None, keepdim: bool = False) -> Tensor:
    nar = (x._bits == f.spec.nar).to(torch.int8)
    at = torch.argmax(x._bits, dim, keepdim)
    some = nar.amax() if dim is None else nar.amax(dim, keepdim)
    return torch.where(some.bool(), torch.argmax(nar, dim, keepdim), at)


def _on_patterns(f: Format, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Values and places, or one of them; values are those of the patterns' dtype."""
    made = func(
        args[0]._bits, *(f.bits(x) if isinstance(x, Tensor) else x for x in args[1:]), **kwargs
    )
    if isinstance(made, Tensor):
        return f.wrap(made) if made.dtype == f.like.dtype and not _is_place(func) else made
    values, places = made
    return f.wrap(values), places


def _is_place(func: Any) -> bool:
    return func.overloadpacket in (aten.argmin, aten.argsort)


for _name in ("min", "amin", "argmin", "sort", "argsort", "topk", "kthvalue", "msort"):
    TABLE[getattr(aten, _name)] = _on_patterns
