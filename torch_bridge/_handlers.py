"""How torch functions are called as operations of ``ops``: handlers by torch's arguments.

A handler is called as (config, *args, **kwargs) with the arguments of the torch function.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import ops
from .config import PositConfig
from .streams import check_whole_batch, next_key, samples_of

__all__ = [
    "Handler", "added", "batch_norm", "binary", "clamp_max", "clamp_min", "div", "dropout",
    "in_place", "power", "reduce", "same", "some", "unary",
]  # fmt: skip

Handler = Callable[..., Any]

_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def some(mask: Tensor) -> bool:
    """Whether any element is true; taken to be so under torch.vmap, where nobody knows."""
    return torch._C._functorch.is_functorch_wrapped_tensor(mask) or bool(mask.any())


def _tensor(x: Any) -> Tensor:
    """Of floats; whole numbers and truth values as float64."""
    if not isinstance(x, Tensor):
        return torch.tensor(x, dtype=torch.float64)
    return x if x.is_floating_point() else x.double()


def _spec(config: PositConfig) -> Any:
    return config.activations


def binary(name: str, swapped: bool = False) -> Handler:
    """An operation of two, one of which may be a number, which is rounded too."""
    apply = getattr(ops, name)

    def handle(config: PositConfig, input: Any, other: Any, *, alpha: float = 1) -> Tensor:
        x, y = _tensor(input), _tensor(other)
        if alpha != 1:
            y = ops.mul(y, _tensor(alpha), spec=_spec(config))
        if swapped:
            x, y = y, x
        found: Tensor = apply(x, y, spec=_spec(config))
        return found

    return handle


def added(swapped: bool = False) -> Handler:
    """A sum; -inf, of a mask, stays what :func:`softmax` skips."""
    plain = binary("add", swapped)

    def handle(config: PositConfig, input: Any, other: Any, **kwargs: Any) -> Tensor:
        x, y = _tensor(input), _tensor(other)
        hidden = [torch.isneginf(v) for v in (x, y)]
        if not any(map(some, hidden)):
            return plain(config, x, y, **kwargs)  # type: ignore[no-any-return]
        seen = [torch.where(h, 0.0, v) for h, v in zip(hidden, (x, y), strict=True)]
        return torch.where(hidden[0] | hidden[1], -torch.inf, plain(config, *seen, **kwargs))

    return handle


def div(config: PositConfig, input: Any, other: Any, *, rounding_mode: Any = None) -> Tensor:
    """A quotient; whole divisors are not rounded."""
    if rounding_mode is not None:
        raise NotImplementedError(f"div with rounding_mode={rounding_mode!r} has no posit form")
    whole = other.dtype in _WHOLE if isinstance(other, Tensor) else isinstance(other, int)
    if whole:
        return ops.per(_tensor(input), other, spec=_spec(config))
    return ops.div(_tensor(input), _tensor(other), spec=_spec(config))


def in_place(handle: Handler) -> Handler:
    """The operation of a copy, written over its operand."""

    def apply(config: PositConfig, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        kwargs.pop("inplace", None)
        return x.copy_(handle(config, x.clone(), *args, **kwargs))

    return apply


# What torch takes beyond the operation's own arguments: places, and values that change nothing.
_PLACES = {
    "avg_pool1d": ("ceil_mode", "count_include_pad"),
    "avg_pool2d": ("ceil_mode", "count_include_pad", "divisor_override"),
    "max_pool1d": ("dilation", "ceil_mode", "return_indices"),
    "max_pool2d": ("dilation", "ceil_mode", "return_indices"),
    "adaptive_max_pool1d": ("return_indices",),
    "adaptive_max_pool2d": ("return_indices",),
    "embedding": ("max_norm", "norm_type", "scale_grad_by_freq", "sparse"),
    "layer_norm": ("cudnn_enable",),
    "group_norm": ("cudnn_enabled",),
    "softplus": ("threshold",),
}
_IDLE: dict[str, tuple[Any, ...]] = {
    "dilation": (1, (1,), (1, 1)), "count_include_pad": (True,), "norm_type": (2, 2.0),
    "cudnn_enable": (False, True), "cudnn_enabled": (False, True),
    "threshold": (20,),  # of Softplus: where torch takes x itself
    "size_average": (), "reduce": (),  # which torch has in place of reduction
}  # fmt: skip
_RENAMED = {"input": "x", "self": "x"}


def same(name: str) -> Handler:
    """An operation with torch's own signature, and the format."""
    apply = getattr(ops, name)
    parameters = inspect.signature(apply).parameters.values()
    own = [p.name for p in parameters if p.name != "spec"]
    places = [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    places += _PLACES.get(name, ())

    def handle(config: PositConfig, *args: Any, **kwargs: Any) -> Any:
        if kwargs.pop("inplace", False):
            return in_place(handle)(config, *args, **kwargs)
        if len(args) > len(places):
            raise TypeError(f"{name} takes {', '.join(places)}; {len(args)} arguments were given")
        given = dict(zip(places, args, strict=False))
        given |= {own[0] if k in _RENAMED else k: v for k, v in kwargs.items()}
        for key in [k for k in given if k not in own]:
            value = given.pop(key)
            idle = _IDLE.get(key, (False,))
            if value is not None and (isinstance(value, Tensor) or value not in idle):
                shown = "a tensor" if isinstance(value, Tensor) else repr(value)
                raise NotImplementedError(f"{name} with {key}={shown} has no posit form")
        return apply(**given, spec=_spec(config))

    return handle


def unary(name: str) -> Handler:
    """A function of posit.functions."""
    return lambda config, x: ops.unary(x, name, spec=_spec(config))


def power(config: PositConfig, x: Any, exponent: Any) -> Tensor:
    """A few powers; the third rounds twice."""
    if isinstance(exponent, Tensor) or not isinstance(x, Tensor):
        raise NotImplementedError("pow: only of a tensor, to a number")
    if exponent in (2, 3):
        squared = ops.mul(x, x, spec=_spec(config))
        return squared if exponent == 2 else ops.mul(squared, x, spec=_spec(config))
    names = {0.5: "sqrt", -0.5: "r_sqrt", -1: "reciprocal"}
    if exponent not in names:
        raise NotImplementedError(f"pow with exponent {exponent}: only 2, 3, 0.5, -0.5 and -1")
    return ops.unary(x, names[exponent], spec=_spec(config))


def dropout(channels: int | None) -> Handler:
    """Of elements; or of all channels, which have so many axes each."""

    def handle(
        config: PositConfig, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if inplace:
            return in_place(handle)(config, x, p, training)  # type: ignore[no-any-return]
        if not training or p == 0:
            return ops.fake_quant(x, _spec(config))
        how = {"spec": _spec(config), "key": next_key(), "samples": samples_of(x)}
        if channels is None:
            return ops.dropout(x, p, **how)
        if x.dim() != channels + 2:
            raise ValueError(f"dropout{channels}d: x must be (N, C, ...), got {tuple(x.shape)}")
        kept = ops.dropout(x.new_ones(x.shape[:2]), p, **how) != 0
        whole = ops.div(x, _tensor(1.0 - p), spec=_spec(config)) if p < 1 else x
        return torch.where(kept.reshape(*kept.shape, *[1] * channels), whole, 0.0)

    return handle


def reduce(name: str) -> Handler:
    apply = getattr(ops, name)

    def handle(
        config: PositConfig, x: Tensor, dim: Any = None, keepdim: bool = False, *,
        axis: Any = None, dtype: Any = None,
    ) -> Any:  # fmt: skip
        dims = dim if axis is None else axis
        every = isinstance(dims, (tuple, list)) and not dims  # which torch takes for all
        return apply(x, None if every else dims, keepdim=keepdim, spec=_spec(config))

    return handle


def batch_norm(  # noqa: PLR0917
    config: PositConfig, x: Tensor, running_mean: Any, running_var: Any, weight: Any = None,
    bias: Any = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    if training:
        check_whole_batch("BatchNorm in train() mode", x.shape[0])
    state = (running_mean, running_var, weight, bias)
    return ops.batch_norm(x, *state, training, momentum, eps, spec=_spec(config))


def clamp_min(config: PositConfig, x: Tensor, min: float) -> Tensor:
    """One half of torch.clamp."""
    return ops.clamp(x, min, spec=_spec(config))


def clamp_max(config: PositConfig, x: Tensor, max: float) -> Tensor:
    """The other half."""
    return ops.clamp(x, None, max, spec=_spec(config))
