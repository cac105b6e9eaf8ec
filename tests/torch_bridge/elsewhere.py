"""A device that every machine has: "meta" to torch, its tensors' numbers kept aside on the CPU.

As on a GPU, ``numpy()`` raises, tensors of the CPU do not go together with others (unless they have
no axes), and ``x.cpu()`` and ``x.to(device)`` are the only ways across.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["NAME", "Elsewhere"]

NAME = "meta"
CPU = torch.device("cpu")
aten = torch.ops.aten


def _is_away(device: Any) -> bool:
    return device is not None and torch.device(device).type == NAME


class Away(Tensor):
    """A tensor of the device."""

    kept: Tensor
    __torch_function__: ClassVar[Any] = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, kept: Tensor) -> Away:
        made: Any = torch.Tensor._make_wrapper_subclass(
            cls,
            kept.shape,
            kept.stride(),
            kept.storage_offset(),
            dtype=kept.dtype,
            device=torch.device(NAME),
        )
        made.kept = kept
        return made  # type: ignore[no-any-return]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, op: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if op.namespace == "bposit":
            key = torch._C.DispatchKey.CompositeExplicitAutograd
            return op._op_dk(key, *args, **kwargs)
        for x in pytree.tree_leaves((args, kwargs)):
            if isinstance(x, Tensor) and not isinstance(x, Away) and x.dim():
                assert op is aten.copy_.default, f"{op}: operands on the CPU and elsewhere"
        inner_args, inner = pytree.tree_map(_aside, (args, kwargs))
        out = op(*inner_args, **inner)
        if any(a.alias_info and a.alias_info.is_write for a in op._schema.arguments):
            return args[0]
        if "device" in kwargs and not _is_away(kwargs["device"]):
            return out
        return pytree.tree_map(lambda x: Away(x) if isinstance(x, Tensor) else x, out)


def _aside(x: Any) -> Any:
    if isinstance(x, torch.device) and _is_away(x):
        return CPU
    return x.kept if isinstance(x, Away) else x


class Elsewhere(TorchDispatchMode):
    """While it is on, what is made on, or sent to, the device is one of its tensors."""

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if any(isinstance(x, Away) for x in pytree.tree_leaves((args, kwargs))):
            with self:
                return Away.__torch_dispatch__(op, types, args, kwargs)
        if not _is_away(kwargs.get("device")):
            return op(*args, **kwargs)
        out = op(*args, **{**kwargs, "device": CPU})
        return Away(out.clone() if op is aten._to_copy.default else out)
