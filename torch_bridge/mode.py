"""Every operation of a block rounded to posits: a mode that knows what each torch function means.

Inside ``with Rounding(config):`` a torch function of float tensors becomes the operation of
``torch_bridge.ops`` that means the same; one that only moves elements is left alone; any other
raises and names itself, so that nothing is computed in float by oversight.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name

from ._meanings import MEANS, MOVES
from .config import PositConfig

__all__ = ["Rounding", "UnsupportedOp"]

_here = threading.local()


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
    """

    def __init__(self, config: PositConfig | None, strict: bool = True, where: str = "") -> None:
        super().__init__()
        self.config, self.strict, self.where = config, strict, where
        self.unknown: dict[str, int] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(_here, "inside", False):  # of the innermost mode, which has the say
            return func(*args, **kwargs)
        _here.inside = True
        try:
            return self._mean(func, args, kwargs)
        finally:
            _here.inside = False

    def _mean(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        spec = None if self.config is None else self.config.activations
        if self.config is None or not _computes(func, args, kwargs):
            return func(*args, **kwargs)
        if spec is None:  # rounded weights alone: the rest is float64's
            return func(*_wide(args), **{k: _wide(v) for k, v in kwargs.items()})
        name = name_of(func)
        if name in MEANS:
            handler: Callable[..., Any] = MEANS[name]
            return handler(self.config, *args, **kwargs)
        if self.strict:
            raise UnsupportedOp(
                f"{name}{' in ' + self.where if self.where else ''}: no posit operation means this;"
                " write it with torch_bridge.ops, leave the module out (overrides={name: None}), or"
                " convert with strict=False, which rounds its float64 result"
            )
        self.unknown[name] = self.unknown.get(name, 0) + 1
        return _rounded(func(*_wide(args), **{k: _wide(v) for k, v in kwargs.items()}), spec)


def name_of(func: Callable[..., Any]) -> str:
    """The public name of a torch function, without the module that methods share with it."""
    full: str = resolve_name(func) or getattr(func, "__name__", str(func))
    return full.rsplit(".", 1)[-1] if not full.endswith("__get__") else full.split(".")[-2]


def _computes(func: Callable[..., Any], args: Any, kwargs: Any) -> bool:
    """Whether it makes new float values."""
    full = resolve_name(func) or ""
    if full.endswith("__get__") or full.endswith("__set__") or name_of(func) in MOVES:
        return False
    return any(
        isinstance(x, Tensor) and x.is_floating_point() for x in _leaves((args, kwargs.values()))
    )


def _leaves(value: Any) -> Any:
    if isinstance(value, (tuple, list)) or type(value).__name__ == "dict_values":
        for x in value:
            yield from _leaves(x)
    else:
        yield value


def _wide(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(_wide(x) for x in value)
    floating = isinstance(value, Tensor) and value.is_floating_point()
    return value.to(torch.float64) if floating else value


def _rounded(value: Any, spec: Any) -> Any:
    from .ops import fake_quant

    if isinstance(value, (tuple, list)):
        return type(value)(_rounded(x, spec) for x in value)
    floating = isinstance(value, Tensor) and value.is_floating_point()
    return fake_quant(value, spec) if floating else value
