"""The strict op table: what PositTensor can do, and how it refuses everything else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor
from torch.utils import _python_dispatch
from torch.utils._pytree import tree_iter, tree_map

import posit
from posit import PositSpec

from ..ops import decode, encode
from . import kernels
from .wrapper import PositTensor

__all__ = ["GATES", "TABLE", "Format", "dispatch", "emulate", "implements"]

aten: Any = torch.ops.aten
_aliased: Any = _python_dispatch.return_and_correct_aliasing

_EMULATING: ContextVar[bool] = ContextVar("torch_bridge.emulate", default=False)
_COLLECTIVES = ("c10d", "_c10d_functional", "c10d_functional")


@contextmanager
def emulate() -> Iterator[None]:
    """Round every operation, and refuse none that float64 can do.

    Inside, an operation that PositTensor does not have runs as: decode to float64, torch's own
    float64 operation, round once. Such results are as good as torch's float64 function, not
    correctly rounded by proof. Float tensors and Python numbers beside posits are rounded to their
    format first. Optimizers of ``torch.optim`` step here, because their rates and decays are
    seldom posits.

    Enter it around, not inside, what ``torch.compile`` compiles. The setting belongs to the thread.
    """
    token = _EMULATING.set(True)
    try:
        yield
    finally:
        _EMULATING.reset(token)


def _rounds_numbers() -> bool:
    """In emulate(), and in backward passes: the constants of torch's derivatives are no user's."""
    return _EMULATING.get() or torch._C._current_graph_task_id() >= 0


@lru_cache(maxsize=4096)
def _pattern(number: float, spec: PositSpec) -> tuple[int, bool]:
    """The nearest pattern, and whether it is the number's very value."""
    bits = int(posit.encode(number, spec))
    return bits, math.isnan(number) or posit.to_fraction(bits, spec) == number


@dataclass(frozen=True)
class Format:
    """How one call's operands become patterns, and patterns its result.

    Parameters
    ----------
    spec : PositSpec
        Of every PositTensor in the call.
    like : Tensor
        Patterns of one of them, for the device.
    op : str
        The operation, for messages.
    """

    spec: PositSpec
    like: Tensor
    op: str

    @property
    def text(self) -> str:
        """The spec as custom ops take it."""
        return kernels.text_of(self.spec)

    def pattern(self, number: Any) -> int:
        """A Python number's pattern. ValueError if it is no posit, outside :func:`emulate`."""
        if isinstance(number, torch.SymInt | torch.SymFloat):
            number = int(number) if isinstance(number, torch.SymInt) else float(number)
        if not isinstance(number, int | float):
            raise TypeError(f"{self.op}: posits and {type(number).__name__} do not mix")
        if isinstance(number, float) and math.isinf(number):
            raise ValueError(
                f"{self.op}: posits have no infinity; use masks of bools, or NaN for NaR"
            )
        bits, exact = _pattern(number, self.spec)
        if not exact and not _rounds_numbers():
            nearest = float(posit.to_fraction(bits, self.spec))  # type: ignore[arg-type]
            raise ValueError(
                f"{self.op}: {number!r} is no posit of {self.spec}, the nearest is {nearest!r}."
                f" Write torch_bridge.tensor({number!r}, spec=x.spec) to round it, x.double() to"
                " leave posits, or run under `with torch_bridge.emulate():`, as the steps of"
                " torch.optim's optimizers do"
            )
        return bits

    def bits(self, x: Any) -> Tensor:
        """The patterns of an operand: a PositTensor, bool tensor or exact Python number.

        A tensor without axes is a number, as in torch's own promotion of types; while a graph is
        traced, when nobody knows its value, it is rounded.

        Raises RuntimeError for integer and float tensors, ValueError for other numbers; within
        :func:`emulate` both are rounded.
        """
        if isinstance(x, PositTensor):
            return x._bits
        if not isinstance(x, Tensor):
            return self.like.new_full((), self.pattern(x))
        if x.dtype == torch.bool:
            return x.to(self.like.dtype) * self.spec.one
        if x.dim() == 0 and not x.is_complex():
            known = not isinstance(x, FakeTensor | FunctionalTensor)
            return self.bits(x.item()) if known else encode(x.double(), self.spec)
        if x.is_complex() or not _rounds_numbers():
            raise RuntimeError(  # Python's operators would swallow a TypeError and its text
                f"{self.op}: a PositTensor of {self.spec} and a tensor of {x.dtype} do not mix."
                " Write torch_bridge.tensor(y, spec=x.spec) to round the other, or x.double() to"
                " leave posits"
            )
        return encode(x if x.is_floating_point() else x.double(), self.spec)

    def wrap(self, bits: Tensor) -> PositTensor:
        """Patterns as a result."""
        return PositTensor(bits, self.spec)

    def apply(self, name: str, *operands: Any) -> PositTensor:
        """A function of :mod:`posit.functions`, rounded once."""
        return self.wrap(kernels.apply([self.bits(x) for x in operands], name, self.text))


Handler = Callable[[Format, Any, tuple[Any, ...], dict[str, Any]], Any]
TABLE: dict[Any, Handler] = {}
GATES: dict[Any, Callable[..., Tensor]] = {}
"""Operations whose operands may be of any format: ways in and out."""


def implements(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function of (Format, *arguments) for all overloads of aten operations."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            TABLE[getattr(aten, name)] = lambda f, op, args, kwargs: function(f, *args, **kwargs)
        return function

    return enter


def dispatch(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What ``PositTensor.__torch_dispatch__`` does."""
    if func.namespace in _COLLECTIVES:
        raise RuntimeError(_of_collective(str(func)))
    if func.overloadpacket in GATES:
        return GATES[func.overloadpacket](*args)
    f = _format(func, args, kwargs)
    mutates = func._schema.is_mutable
    name = func.overloadpacket.__name__
    if "out" in kwargs:
        return _into(f, func, args, kwargs)
    if _in_reducer(func) and not isinstance(args[0], PositTensor):
        return func(args[0], decode(f.bits(args[1]), f.spec))
    if mutates and not isinstance(args[0], Sequence):
        return _in_place(f, func, name, args, kwargs)
    handler = TABLE.get(func.overloadpacket)
    if handler is None:
        return _emulated(f, func, args, kwargs)
    made = handler(f, func, args, kwargs)
    views = any(r.alias_info is not None for r in func._schema.returns)
    if views and not mutates and getattr(made, "device", None) != torch.device("meta"):
        return _aliased(func, args, kwargs, made)
    return made


def _in_reducer(func: Any) -> bool:
    """Whether DistributedDataParallel moves a gradient to its buffer, for the hook to reduce.

    In a backward pass nothing else copies posits to floats but a backward function of the user's.
    """
    return func is aten.copy_.default and torch._C._current_graph_task_id() >= 0


def _of_collective(name: str) -> str:
    if "reduce" not in name:
        return (
            f"{name}: a PositTensor is no message; send its patterns, x.bits()."
            " torch_bridge.distributed.ddp makes DistributedDataParallel"
        )
    exact = "reduce_scatter" if "scatter" in name else "all_reduce"
    return (
        f"{name}: would add the patterns of posits, or round at every rank. Use"
        f" torch_bridge.distributed.{exact}, whose sums are exact and rounded once"
    )


def _format(func: Any, args: Any, kwargs: Any) -> Format:
    found = [x for x in tree_iter((args, kwargs)) if isinstance(x, PositTensor)]
    specs = {x._spec for x in found}
    if len(specs) > 1:
        one, other = sorted(map(repr, specs))[:2]
        raise RuntimeError(
            f"{func}: posits of {one} and of {other} do not mix; write x.to_spec(…) to round one"
        )
    return Format(found[0]._spec, found[0]._bits, str(func))


def _into(f: Format, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    out = kwargs["out"]
    rest = {name: x for name, x in kwargs.items() if name != "out"}
    overload = func._overloadname.removesuffix("out").removesuffix("_") or "default"
    plain = getattr(func.overloadpacket, overload, func)
    handler = TABLE.get(func.overloadpacket)
    _check_target(f, func, out)
    made = (handler or _emulated)(f, plain, args, rest)
    if made.shape != out.shape:
        raise ValueError(
            f"{func}: out has shape {tuple(out.shape)}, the result {tuple(made.shape)}"
        )
    out._bits.copy_(made._bits)
    return out


def _check_target(f: Format, func: Any, target: Any) -> None:
    if not isinstance(target, PositTensor):
        if func is aten.mul.out and torch._C._current_graph_task_id() >= 0:
            raise RuntimeError(
                "DistributedDataParallel would average gradients that were rounded at every rank;"
                " make it by torch_bridge.distributed.ddp, which adds exactly"
            )
        raise RuntimeError(
            f"{func}: would write posits of {f.spec} into a tensor of {target.dtype}, and silently"
            " leave the format. Write x.double() where that is meant; load a checkpoint of posits"
            " into a model that has them, or with load_state_dict(..., assign=True)"
        )


def _in_place(f: Format, func: Any, name: str, args: Any, kwargs: Any) -> Any:
    target, base = args[0], getattr(aten, name.removesuffix("_"), None)
    _check_target(f, func, target)
    plain = getattr(base, func._overloadname, None) or getattr(base, "default", None)
    handler = TABLE.get(base)
    if plain is None or any(r.alias_info is not None for r in plain._schema.returns):
        raise NotImplementedError(f"{func}: PositTensor's shape cannot change in place")
    made = (handler or _emulated)(f, plain, args, kwargs)
    target._bits.copy_(made._bits)
    return _aliased(func, args, kwargs, target)


def _emulated(f: Format, func: Any, args: Any, kwargs: Any) -> Any:
    """Decode, operate in float64, round once; outside :func:`emulate`, refuse by name."""
    if not _EMULATING.get() or any(r.alias_info is not None for r in func._schema.returns):
        raise NotImplementedError(
            f"{f.op} is not in PositTensor's table of operations. Write x.double() to leave posits,"
            " use torch_bridge.ops, or, if it is a float operation and not a view, run it under"
            " `with torch_bridge.emulate():` (float64, rounded once)"
        )

    def lower(x: Any) -> Any:
        if not isinstance(x, Tensor) or not (isinstance(x, PositTensor) or x.is_floating_point()):
            return x
        return decode(f.bits(x), f.spec)

    def lift(x: Any) -> Any:
        floats = isinstance(x, Tensor) and x.is_floating_point()
        return f.wrap(encode(x, f.spec)) if floats else x

    return tree_map(lift, func(*tree_map(lower, args), **tree_map(lower, kwargs)))
