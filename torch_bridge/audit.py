"""Run a model again, one unit at a time in other hands: the hooks under ``bposit audit``.

A unit is a module without modules inside, or an attention, which calls none of those it has. What
happens between units (residual additions, functional calls) runs as it stands, and is listed.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode, resolve_name

__all__ = [
    "Call",
    "Linear",
    "Run",
    "first_float",
    "linear_form",
    "map_floats",
    "run",
    "shadow",
    "single_threaded",
    "units",
]

_WHOLE = (nn.MultiheadAttention,)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
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
    """The ``index``-th call of a unit in one run of the model."""

    name: str
    index: int
    unit: nn.Module


@dataclass(frozen=True)
class Linear:
    """A linear unit's call as rows (M, K) times weight (N, K) transposed, plus bias (N,)."""

    rows: Tensor
    weight: Tensor
    bias: Tensor | None
    fold: Callable[[Tensor], Tensor]  # (M, N) to the shape that the unit returns


@dataclass
class Run:
    """What a run of the model gave: its output, the calls in their order, and what ran between."""

    output: Any
    calls: list[tuple[str, int]]
    between: dict[str, int]  # functions of floats outside of all units, by name


Deliver = Callable[[Call, tuple[Any, ...], dict[str, Any], Any], Any]


def units(model: nn.Module) -> dict[str, nn.Module]:
    """The units of a model by name; ``(model)`` where it is one itself."""
    found: dict[str, nn.Module] = {}
    whole: list[str] = []
    for name, module in model.named_modules():
        if any(name.startswith(f"{w}.") for w in whole):
            continue
        if isinstance(module, _WHOLE):
            whole.append(name)
        elif isinstance(module, _CONTAINERS) or any(True for _ in module.children()):
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


def in_float64(x: Any) -> Any:
    """Float tensors in float64, without gradients; everything else as it is."""
    if isinstance(x, Tensor):
        return x.detach().double() if x.is_floating_point() else x.detach()
    if isinstance(x, Mapping):
        return {k: in_float64(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        made = [in_float64(v) for v in x]
        if hasattr(x, "_fields"):
            return type(x)(*made)
        return tuple(made) if isinstance(x, tuple) else made
    return x


def map_floats(function: Callable[[Tensor], Tensor], x: Any) -> Any:
    """function of each float tensor within x; everything else as it is."""
    if isinstance(x, Tensor):
        return function(x) if x.is_floating_point() else x
    if isinstance(x, Mapping):
        return {k: map_floats(function, v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        made = [map_floats(function, v) for v in x]
        if hasattr(x, "_fields"):
            return type(x)(*made)
        return tuple(made) if isinstance(x, tuple) else made
    return x


def first_float(x: Any) -> Tensor | None:
    """The first float tensor within x."""
    found: list[Tensor] = []
    map_floats(lambda t: found.append(t) or t, x)  # type: ignore[func-returns-value]
    return found[0] if found else None


class _Between(TorchFunctionMode):
    """Counts by name the functions of floats that run outside of all units."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = 0
        self.found: Counter[str] = Counter()

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        name = getattr(function, "__name__", str(function))
        if not self.inside and name not in _MOVES and first_float(made) is not None:
            self.found[(resolve_name(function) or name).removeprefix("torch.")] += 1
        return made


def run(model: nn.Module, args: Any, kwargs: Mapping[str, Any], deliver: Deliver) -> Run:
    """Run a shadow; ``deliver(call, args, kwargs, output)`` may return another output."""
    calls: list[tuple[str, int]] = []
    counts: Counter[str] = Counter()
    handles: list[Any] = []
    between = _Between()

    def enters(*_: Any) -> None:
        between.inside += 1

    def watch(name: str) -> Any:
        def leaves(unit: nn.Module, given: Any, named: Any, out: Any) -> Any:
            try:
                if between.inside > 1:  # deliver calls the unit itself
                    return None
                call = Call(name, counts[name], unit)
                counts[name] += 1
                calls.append((name, call.index))
                return deliver(call, given, named, out)
            finally:
                between.inside -= 1

        return leaves

    try:
        for name, unit in units(model).items():
            handles.append(unit.register_forward_pre_hook(enters))
            handles.append(unit.register_forward_hook(watch(name), with_kwargs=True))
        given, named = in_float64(args), in_float64(kwargs)
        with torch.no_grad(), between:
            output = model(*given, **named)
    finally:
        for handle in handles:
            handle.remove()
    return Run(output, calls, dict(between.found))


def linear_form(unit: nn.Module, args: tuple[Any, ...]) -> Linear | None:
    """A call as one matrix product, if it is one; of convolutions by their patches."""
    if len(args) != 1 or not isinstance(args[0], Tensor) or not args[0].is_floating_point():
        return None
    x = args[0]
    if type(unit) is nn.Linear and x.ndim:
        lead = x.shape[:-1]
        return Linear(
            x.reshape(-1, x.shape[-1]), unit.weight, unit.bias,
            lambda y: y.reshape(*lead, y.shape[-1]),
        )  # fmt: skip
    if type(unit) not in (nn.Conv1d, nn.Conv2d):
        return None
    assert isinstance(unit, (nn.Conv1d, nn.Conv2d))
    plain = unit.groups == 1 and unit.padding_mode == "zeros" and not isinstance(unit.padding, str)
    axes = 2 if isinstance(unit, nn.Conv2d) else 1
    if not plain or x.ndim != axes + 2:
        return None
    return _patches(unit, x, axes)


def _patches(unit: nn.Conv1d | nn.Conv2d, x: Tensor, axes: int) -> Linear:
    def both(given: Any, filler: int) -> tuple[int, int]:
        return (filler, given[0]) if axes == 1 else (given[0], given[1])

    image = x.unsqueeze(2) if axes == 1 else x
    kernel, stride = both(unit.kernel_size, 1), both(unit.stride, 1)
    padding, dilation = both(unit.padding, 0), both(unit.dilation, 1)
    columns = functional.unfold(image, kernel, dilation, padding, stride)
    batch, width, places = columns.shape
    size = [
        (image.shape[i + 2] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
        for i in (0, 1)
    ]

    def fold(y: Tensor) -> Tensor:
        made = y.reshape(batch, places, -1).transpose(1, 2)
        return made.reshape(batch, -1, *(size if axes == 2 else size[1:]))

    rows = columns.transpose(1, 2).reshape(batch * places, width)
    return Linear(rows, unit.weight.reshape(unit.out_channels, -1), unit.bias, fold)
