"""The units of a model, and a run of it in which each call of them is handed out."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

from .values import first_float, in_float64

__all__ = ["Call", "Run", "run", "shadow", "single_threaded", "units"]

_WHOLE = (nn.MultiheadAttention,)
_LISTS = (nn.ParameterList, nn.ParameterDict)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, *_LISTS)
_MOVES = frozenset(  # what computes nothing
    {
        "view", "reshape", "transpose", "permute", "contiguous", "flatten", "unflatten",
        "squeeze", "unsqueeze", "expand", "expand_as", "chunk", "split", "unbind", "narrow",
        "select", "clone", "detach", "to", "double", "float", "type_as", "size", "dim",
        "numel", "stride", "is_floating_point", "__getitem__", "__get__", "__len__", "T",
        "mT", "t", "movedim", "swapaxes", "index_select", "gather", "cat", "stack", "roll",
        "repeat", "masked_fill", "where", "zeros_like", "ones_like", "new_zeros", "new_ones",
        "arange", "zeros", "ones", "empty", "__setitem__", "__set__", "item", "tolist", "cpu",
        "numpy", "device", "dtype", "shape", "data_ptr", "is_contiguous", "requires_grad_",
        "view_as", "tensor_split", "unfold", "pad", "hsplit", "vsplit", "diagonal", "flip",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Call:
    """The ``index``-th call of a unit in one run of the model; ``forward`` is the unit's own."""

    name: str
    index: int
    unit: nn.Module
    forward: Callable[..., Any]

    def apart(self) -> Call:
        """The same call of a unit with a state of its own; torch's units keep none."""
        own = getattr(self.forward, "__func__", None)
        if type(self.unit).__module__.startswith("torch.nn.") or own is not type(self.unit).forward:
            return self
        made = _copy(self.unit)
        vars(made).pop("forward", None)
        return Call(self.name, self.index, made, made.forward)

    def given(self, parameters: Mapping[str, Tensor], args: Any, kwargs: Any) -> Any:
        """What ``forward`` returns with other parameters; the unit's hooks are not for it."""
        bare, named = _Bare(self), {f"unit.{k}": p for k, p in parameters.items()}
        with torch.no_grad():
            return torch.func.functional_call(bare, named, args, kwargs)


class _Bare(nn.Module):
    """A unit without its hooks, which run where the model calls it."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.unit, self.own = call.unit, call.forward

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.own(*args, **kwargs)


def _copy(module: nn.Module) -> nn.Module:
    """A copy that shares its parameters; buffers and whatever it keeps are its own."""
    return copy.deepcopy(module, {id(p): p for p in module.parameters()})


@dataclass
class Run:
    """What a run of the model gave: its output, the calls in their order, and what ran between."""

    output: Any
    calls: list[tuple[str, int]]
    between: dict[str, int]  # functions of floats outside of all units, by name


Deliver = Callable[[Call, tuple[Any, ...], dict[str, Any]], Any]


def units(model: nn.Module) -> dict[str, nn.Module]:
    """The units of a model by name; ``(model)`` where it is one itself."""
    found: dict[str, nn.Module] = {}
    whole: list[str] = []
    for name, module in model.named_modules():
        if any(name.startswith(f"{w}.") for w in whole):
            continue
        if isinstance(module, _WHOLE):
            whole.append(name)
        elif isinstance(module, _CONTAINERS) or not all(
            isinstance(inner, _LISTS) for inner in module.children()
        ):
            continue
        found[name or "(model)"] = module
    return found


def shadow(model: nn.Module) -> nn.Module:
    """A copy in float64 and eval mode."""
    with torch.no_grad():
        return copy.deepcopy(model).double().eval()


@contextmanager
def single_threaded() -> Iterator[None]:
    """One thread, so that sums have one order whatever the machine's settings."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Between(TorchFunctionMode):
    """Counts by name the functions of floats that run outside of all units."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = False
        self.found: Counter[str] = Counter()

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        if self.inside:
            return made
        name = getattr(function, "__name__", str(function))
        if name not in _MOVES and first_float(made) is not None:
            self.found[(resolve_name(function) or name).removeprefix("torch.")] += 1
        return made


def _idle(*_: Any) -> None:
    """A hook that keeps torch from the fused paths on which no unit is called."""


@contextmanager
def _in_other_hands(unit: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    before = vars(unit).get("forward")
    handle = unit.register_forward_pre_hook(_idle)
    vars(unit)["forward"] = forward
    try:
        yield
    finally:
        handle.remove()
        if before is None:
            del vars(unit)["forward"]
        else:
            vars(unit)["forward"] = before


def run(model: nn.Module, args: Any, kwargs: Mapping[str, Any], deliver: Deliver) -> Run:
    """Run a shadow; what ``deliver(call, args, kwargs)`` returns is the call's output.

    Nothing that the model keeps or draws at random in a run reaches the next one.
    """
    model = _copy(model)
    calls: list[tuple[str, int]] = []
    counts: Counter[str] = Counter()
    between = _Between()

    def handed_out(name: str, unit: nn.Module) -> Callable[..., Any]:
        own = unit.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            if between.inside:  # deliver calls the unit itself
                return own(*args, **kwargs)
            call = Call(name, counts[name], unit, own)
            counts[name] += 1
            calls.append((name, call.index))
            between.inside = True
            try:
                return deliver(call, args, kwargs)
            finally:
                between.inside = False

        return forward

    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[]))
        torch.default_generator.manual_seed(0)
        for name, unit in units(model).items():
            stack.enter_context(_in_other_hands(unit, handed_out(name, unit)))
        given, named = in_float64(args), in_float64(kwargs)
        with torch.no_grad(), between:
            output = model(*given, **named)
    return Run(output, calls, dict(between.found))
