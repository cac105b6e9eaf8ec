"""Functions that put one element in several places: their gradients are sums, exact, rounded once.

Left to torch, such a sum would be float64's, of as many terms as a batch has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import ops
from .config import PositConfig

__all__ = ["CHOICES", "COPIES"]


def _expanded(config: PositConfig, func: Any, x: Tensor, args: Any, kwargs: Any) -> Tensor:
    """By adding zeros: a parameter's gradient stays exact until the optimizer rounds it."""
    shape = func(x.detach(), *args, **kwargs).shape
    zeros = torch.zeros((), dtype=torch.float64, device=x.device).expand(shape)
    return ops.add(x, zeros, spec=_spec(config))


def _picked(config: PositConfig, func: Any, x: Tensor, args: Any, kwargs: Any) -> Tensor:
    """By looking up where each element comes from."""
    rows = _rows(func, x, args, kwargs)
    if rows is not None:
        return ops.embedding(rows, x, spec=_spec(config))
    numbers = torch.arange(x.numel(), dtype=torch.float64, device=x.device).reshape(x.shape)
    places = func(numbers, *args, **kwargs).long()
    if places.unique().numel() == places.numel():
        return func(x, *args, **kwargs)  # type: ignore[no-any-return]
    return ops.embedding(places, x.reshape(-1), spec=_spec(config))


def _rows(func: Any, x: Tensor, args: Any, kwargs: Any) -> Tensor | None:
    """Whole rows, by number: x[index]."""
    if func is not Tensor.__getitem__ or kwargs:
        return None
    (at,) = args
    if (
        not isinstance(at, Tensor)
        or at.is_floating_point()
        or at.dtype in (torch.bool, torch.uint8)
    ):
        return None
    return torch.where(at < 0, at + x.shape[0], at)


def _is_slice(func: Any, args: Any) -> bool:
    """Whether an index only cuts, which copies nothing."""
    if func is not Tensor.__getitem__:
        return False
    parts = args[0] if isinstance(args[0], tuple) else (args[0],)
    return all(p is None or p is ... or isinstance(p, (int, slice)) for p in parts)


def _spec(config: PositConfig) -> Any:
    return config.activations


def _copying(make: Callable[..., Tensor], func: Any) -> Callable[..., Any]:
    def handle(config: PositConfig, x: Any, *args: Any, **kwargs: Any) -> Any:
        summed = isinstance(x, Tensor) and x.is_floating_point() and x.requires_grad
        if not summed or not torch.is_grad_enabled() or _is_slice(func, args):
            return func(x, *args, **kwargs)
        return make(config, func, x, args, kwargs)

    return handle


def _spread(config: PositConfig, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Operands of a choice that broadcasts: those that want a gradient, as copies."""
    shape = torch.broadcast_shapes(*(x.shape for x in given if isinstance(x, Tensor)))

    def wide(x: Any) -> Any:
        if not isinstance(x, Tensor) or not x.requires_grad or x.shape == shape:
            return x
        return _expanded(config, Tensor.expand, x, (shape,), {})

    return tuple(map(wide, given))


def _choosing(func: Any) -> Callable[..., Any]:
    def handle(config: PositConfig, *args: Any, **kwargs: Any) -> Any:
        if torch.is_grad_enabled():
            wide = _spread(config, (*args, *kwargs.values()))
            args, kwargs = wide[: len(args)], dict(zip(kwargs, wide[len(args) :], strict=True))
        return func(*args, **kwargs)

    return handle


_PAD, _RESIZE = torch.nn.functional.pad, torch.nn.functional.interpolate
_UNFOLD = torch.nn.functional.unfold


def _unfolded(config: PositConfig, func: Any, x: Tensor, args: Any, kwargs: Any) -> Tensor:
    """Zeros around x first, so that every element comes from a place."""
    names = ("kernel_size", "dilation", "padding", "stride")
    given = dict(zip(names, args, strict=False)) | kwargs
    padding = given.pop("padding", 0)
    height, width = (padding, padding) if isinstance(padding, int) else padding
    framed = _PAD(x, (width, width, height, height))
    return _picked(config, _UNFOLD, framed, (), given)


def _resized(config: PositConfig, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    if kwargs.get("mode", "nearest") not in ("nearest", "nearest-exact"):
        raise NotImplementedError(
            f"interpolate with mode={kwargs['mode']!r} has no posit form: only nearest and"
            " nearest-exact have"
        )
    made: Tensor = _copying(_picked, _RESIZE)(config, x, *args, **kwargs)
    return made


def _padded(config: PositConfig, func: Any, x: Tensor, args: Any, kwargs: Any) -> Tensor:
    mode = args[1] if len(args) > 1 else kwargs.get("mode", "constant")
    if mode == "constant":
        return _PAD(x, *args, **kwargs)
    return _picked(config, func, x, args, kwargs)


COPIES: dict[Any, Callable[..., Any]] = {
    func: _copying(_expanded, func)
    for func in (Tensor.expand, Tensor.expand_as, Tensor.broadcast_to, torch.broadcast_to)
}
COPIES |= {
    func: _copying(_picked, func)
    for func in (
        Tensor.__getitem__, Tensor.gather, torch.gather, Tensor.index_select, torch.index_select,
        Tensor.take, torch.take, Tensor.take_along_dim, torch.take_along_dim, Tensor.repeat,
        Tensor.tile, torch.tile, Tensor.repeat_interleave, torch.repeat_interleave, Tensor.unfold,
    )
}  # fmt: skip
CHOICES: dict[Any, Callable[..., Any]] = {
    func: _choosing(func)
    for func in (
        torch.where, Tensor.where, torch.maximum, Tensor.maximum, torch.minimum, Tensor.minimum,
        torch.fmax, Tensor.fmax, torch.fmin, Tensor.fmin, torch.broadcast_tensors,
    )
}  # fmt: skip
COPIES[_UNFOLD] = _copying(_unfolded, _UNFOLD)
COPIES[_PAD] = _copying(_padded, _PAD)
COPIES[_RESIZE] = _resized
"""Both by torch function; called as (config, *args, **kwargs)."""
