"""Every operation of a block rounded to posits: a mode that knows what each torch function means.

Inside ``with Rounding(config):`` a torch function of float tensors becomes the operation of
``torch_bridge.ops`` that means the same; one that only moves elements is left alone; any other
raises and names itself, so that nothing is computed in float by oversight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name

from . import _meanings
from ._copies import CHOICES, COPIES
from ._split import watch
from ._tensor import PositTensor
from .config import PositConfig

__all__ = ["Rounding", "UnsupportedOp", "widened"]


class UnsupportedOp(NotImplementedError):
    """A torch function that has no meaning for posits here; its text says what to do."""


class Rounding(TorchFunctionMode):
    """Round every float operation as a configuration has it.

    Parameters
    ----------
    config : PositConfig or None
        None computes as torch does: for modules that are left out.
    strict : bool
        Whether unknown functions raise; else they run in float64 and their results are rounded.
    where : str
        What is being computed, for messages.

    Of several that are active, the innermost has the say. Float dtypes mean nothing inside: casts
    between them are ignored.
    """

    def __init__(self, config: PositConfig | None, strict: bool = True, where: str = "") -> None:
        super().__init__()
        self.config, self.strict, self.where = config, strict, where
        self.unknown: dict[str, int] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        with torch._C.DisableTorchFunction():  # neither this nor any other mode
            kwargs = kwargs or {}
            found = self._mean(func, args, kwargs)
            watch(_kind(func)[0], func in COPIES, (args, tuple(kwargs.values())), found)
            return found

    def _mean(self, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        name, asks = _kind(func)
        if self.config is None or asks or not _has_floats((*args, *kwargs.values())):
            return func(*args, **kwargs)
        if name in _meanings.CASTS:
            return _cast(func, args, kwargs)
        spec = self.config.activations
        if "input" in kwargs and not args:  # torch's name for the first
            args, kwargs = (kwargs["input"],), {k: v for k, v in kwargs.items() if k != "input"}
        placed = None if spec is None else COPIES.get(func) or CHOICES.get(func)
        if placed is not None:
            return placed(self.config, *args, **kwargs)
        if name in _meanings.MOVES:
            return func(*args, **kwargs)
        if spec is not None and name in _meanings.MEANS:
            floats = {k: _as_floats(v) for k, v in kwargs.items()}
            return _meanings.MEANS[name](self.config, *_as_floats(args), **floats)
        if spec is not None and self.strict:
            raise UnsupportedOp(
                f"{name}{' in ' + self.where if self.where else ''}: no posit operation means this;"
                " write it with torch_bridge.ops, leave the module out (overrides={name: None}), or"
                " convert with strict=False, which rounds its float64 result"
            )
        if not name.endswith("_"):  # what changes in place keeps its dtype
            args, kwargs = widened(args), {k: widened(v) for k, v in kwargs.items()}
        if spec is None:  # rounded weights alone: the rest is float64's
            return func(*args, **kwargs)
        self.unknown[name] = self.unknown.get(name, 0) + 1
        return _rounded(func(*args, **kwargs), spec)


@lru_cache(maxsize=4096)
def _kind(func: Callable[..., Any]) -> tuple[str, bool]:
    """A function's public name, without the module that methods share; whether it only asks."""
    if isinstance(func, (torch._ops.OpOverload, torch._ops.OpOverloadPacket)):
        full = str(func)  # of which ours round by themselves, and aten's have places of their own
        return full, full.startswith("bposit.")
    full = resolve_name(func) or getattr(func, "__name__", str(func))
    if full in _meanings.OTHERWISE:
        return full, False
    asks = full.endswith(("__get__", "__set__"))
    return full.rsplit(".", 1)[-1] if not asks else full.split(".")[-2], asks


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (tuple, list)):
        for x in value:
            yield from _leaves(x)
    else:
        yield value


def _has_floats(value: Any) -> bool:
    return any(isinstance(x, Tensor) and x.is_floating_point() for x in _leaves(value))


def widened(
    value: Any, seen: dict[int, Tensor] | None = None, dtype: torch.dtype = torch.float64
) -> Any:
    """Float tensors, also those in tuples and lists, as ordinary ones of a dtype; one stays one."""
    seen = {} if seen is None else seen
    if isinstance(value, (tuple, list)):
        parts = [widened(x, seen, dtype) for x in value]
        if all(a is b for a, b in zip(parts, value, strict=True)):
            return value
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    if id(value) not in seen:
        seen[id(value)] = _as_floats(value).to(dtype)
    return seen[id(value)]


def _as_floats(value: Any) -> Any:
    """PositTensors as float64, all else as it is."""
    if isinstance(value, (tuple, list)):
        return [_as_floats(x) for x in value]
    return value.double() if isinstance(value, PositTensor) else value


def _cast(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    made = func(*args, **kwargs)
    x = args[0] if args else None
    if not isinstance(x, Tensor) or not isinstance(made, Tensor):
        return made
    if not (x.is_floating_point() and made.is_floating_point()):
        return made
    return made if made.dtype == x.dtype else x.to(made.device, torch.float64)


def _rounded(value: Any, spec: Any) -> Any:
    from .ops import fake_quant

    if isinstance(value, (tuple, list)):
        return type(value)(_rounded(x, spec) for x in value)
    floating = isinstance(value, Tensor) and value.is_floating_point()
    return fake_quant(value, spec) if floating else value
