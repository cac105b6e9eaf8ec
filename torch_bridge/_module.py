"""What a converted module carries: its mode, and how it meets files, copies, dtypes and devices.

All of it is instance attributes that copy and pickle, and :func:`leave` takes them away.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._compile import _disable_dynamo

from . import ops
from ._ddp import check_ddp
from ._parameter import PositParameter
from ._tensor import PositTensor, from_bits
from .mode import Rounding, widened

__all__ = ["enter", "is_converted", "leave"]

_CARRIED = (
    "_posit_mode", "_posit_top", "_posit_hooks", "_posit_forward", "forward", "_apply",
    "load_state_dict",
)  # fmt: skip


def is_converted(module: nn.Module) -> bool:
    """Whether a module is one that :func:`enter` changed."""
    return "_posit_mode" in module.__dict__


def enter(module: nn.Module, mode: Rounding, top: bool) -> None:
    """Let the module's forward run under its own mode; ``top`` for the model that is converted."""
    own = module.__dict__
    own["_posit_mode"], own["_posit_top"] = mode, top
    if "forward" in own:  # by someone who put it in place of the class's
        own["_posit_forward"] = own["forward"]
    own["forward"] = partial(_forward, module)
    if top or (mode.config is not None and mode.config.weights is not None):
        own["_apply"] = partial(_apply, module)
    if top:
        own["load_state_dict"] = partial(_load_state_dict, module)
    own["_posit_hooks"] = [
        module.register_state_dict_post_hook(_to_posits),
        module.register_load_state_dict_pre_hook(_from_posits),
    ]


def leave(module: nn.Module) -> None:
    """Undo :func:`enter`, as far as it came."""
    own = module.__dict__
    for hook in own.get("_posit_hooks", ()):
        hook.remove()
    replaced = own.get("_posit_forward")
    if "_posit_mode" in own:
        for name in _CARRIED:
            own.pop(name, None)
    if replaced is not None:
        own["forward"] = replaced


# ---- computing
def _forward(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    compiled = torch.compiler.is_compiling()
    return (_uncompiled if compiled else _compute)(module, *args, **kwargs)


def _compute(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    mode: Rounding = module._posit_mode  # type: ignore[assignment]
    if type(module).__name__.startswith("FSDP"):
        raise NotImplementedError(
            "fully_shard does not support converted models: it would add gradients rounded at every"
            " rank; torch_bridge.distributed adds exactly"
        )
    if module._posit_top:
        check_ddp(module.parameters())
    call = module.__dict__.get("_posit_forward") or partial(type(module).forward, module)
    dtype = torch.float64 if mode.config is not None else _dtype_of(module)
    if dtype is not None:
        seen: dict[int, Tensor] = {}
        with torch._C.DisableTorchFunction():  # of the mode around, which ignores casts
            args = tuple(widened(x, seen, dtype) for x in args)
            kwargs = {name: widened(x, seen, dtype) for name, x in kwargs.items()}
    with mode:
        return call(*args, **kwargs)


# A compiler would follow every step of the mode, to find opaque ops alone.
_uncompiled = _disable_dynamo(_compute)


def _dtype_of(module: nn.Module) -> torch.dtype | None:
    """In what a module that was left out computes."""
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), None)


def _apply(module: nn.Module, fn: Any, recurse: bool = True) -> nn.Module:
    """Of ``to``, ``half``, ``cuda`` and their like: posits stay float64."""
    probe = fn(torch.empty(0, dtype=torch.float64))
    if probe.dtype != torch.float64:
        raise TypeError(
            f"a converted model holds posits as float64 and cannot become {probe.dtype}: that would"
            " round them again and forget their format. unconvert_(model, dtype) leaves posits"
        )
    type(module)._apply(module, fn, recurse)
    return module


# ---- state
def _to_posits(
    module: nn.Module, state: dict[str, Any], prefix: str, local_metadata: dict[str, Any]
) -> None:
    """In a state_dict posits are PositTensors: integers that know their format."""
    if prefix and not module._posit_top:
        return  # a module above does it
    made: dict[int, Tensor] = {}
    for name, p in module.named_parameters(remove_duplicate=False):
        key = prefix + name
        plain = not isinstance(state.get(key), (nn.Parameter, PositTensor, type(None)))
        if isinstance(p, PositParameter) and plain and p.device.type != "meta":
            if id(p) not in made:
                made[id(p)] = from_bits(ops.encode(p.detach(), p.spec), p.spec)
            state[key] = made[id(p)]


def _from_posits(  # noqa: PLR0917
    module: nn.Module, state: dict[str, Any], prefix: str, local_metadata: dict[str, Any],
    strict: bool, missing: list[str], unexpected: list[str], errors: list[str],
) -> None:  # fmt: skip
    """Raise before anything is loaded if formats, kinds or shapes do not agree."""
    if prefix and not module._posit_top:
        return
    if local_metadata.get("assign_to_params_buffers", False):
        raise ValueError(
            "load_state_dict(assign=True) would replace the parameters of a converted model; load"
            " without assign"
        )
    own: dict[str, Tensor] = dict(module.named_parameters(remove_duplicate=False))
    own |= dict(module.named_buffers(remove_duplicate=False))
    later = tuple(  # what was converted by itself, and comes here afterwards
        f"{name}." for name, m in module.named_modules() if name and m.__dict__.get("_posit_top")
    )
    own = {name: p for name, p in own.items() if not name.startswith(later)}
    wrong = [
        f"{prefix + name!r} is {kind(p)} in the model, {kind(state[prefix + name])} in the file"
        for name, p in own.items()
        if not _fits(p, state.get(prefix + name))
    ]
    if wrong:
        raise ValueError(
            f"this checkpoint is not one of this converted model: {_listed(wrong)}. Floats are"
            " loaded into the plain model, which is then converted; posits of another format into a"
            " model converted to that"
        )
    for name in own:
        if isinstance(state.get(prefix + name), PositTensor):
            state[prefix + name] = state[prefix + name].double()


def _listed(wrong: list[str], most: int = 4) -> str:
    more = f"; and {len(wrong) - most} more" if len(wrong) > most else ""
    return "; ".join(wrong[:most]) + more


def _fits(own: Tensor, given: Any) -> bool:
    if given is None:  # torch speaks of missing ones
        return True
    spec = own.spec if isinstance(own, PositParameter) else None
    found = given.spec if isinstance(given, PositTensor) else None
    return isinstance(given, Tensor) and spec == found and own.shape == given.shape


def kind(x: Any) -> str:
    """What a parameter or tensor holds, for messages."""
    if not isinstance(x, Tensor):
        return f"a {type(x).__name__}"
    held = f"posits of {x.spec}" if isinstance(x, (PositParameter, PositTensor)) else x.dtype
    return f"{held} of shape {tuple(x.shape)}"


def _load_state_dict(
    module: nn.Module, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
) -> Any:
    """torch's, all or nothing."""
    held = [*module.parameters(), *module.buffers()]
    before = [x.detach().clone() for x in held]
    try:
        return type(module).load_state_dict(module, state_dict, strict, assign)
    except BaseException:
        with torch.no_grad():
            for x, old in zip(held, before, strict=True):
                x.copy_(old)
        raise
