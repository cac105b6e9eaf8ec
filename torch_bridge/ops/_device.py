"""Where kernels compute: on the CPU, and for CUDA tensors with Triton's kernels where there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, wraps
from importlib.util import find_spec
from inspect import signature
from typing import Any, TypeVar

import torch
from torch import Tensor

__all__ = ["anywhere"]

_OF_TRITON = "cuda"

Kernel = TypeVar("Kernel", bound=Callable[..., Tensor])


def anywhere(name: str) -> Callable[[Kernel], Kernel]:
    """Make a kernel for CPU tensors one for tensors on any device, where its result is then too.

    On CUDA devices the Triton kernel of that name comes first; what it leaves, and what has none,
    goes through the CPU. As in torch, a CPU tensor without axes goes with tensors anywhere.

    Raises RuntimeError for operands on several devices.
    """

    def made(kernel: Kernel) -> Kernel:
        @wraps(kernel)
        def run(*args: Any) -> Tensor:
            devices = {x.device for x in _tensors(args) if x.dim() or x.device.type != "cpu"}
            if len(devices) > 1:
                places = " and ".join(sorted(map(str, devices)))
                raise RuntimeError(f"bposit::{name}: operands on {places}; move them to one device")
            device = devices.pop() if devices else torch.device("cpu")
            if device.type == "cpu":
                return kernel(*args)
            fast = _triton_kernels().get(name) if device.type == _OF_TRITON else None
            found: Tensor | None = None if fast is None else fast(*args)
            return kernel(*_on_cpu(args)).to(device) if found is None else found

        # torch.library reads a schema from it, and knows the names of this file only
        run.__signature__ = signature(kernel, eval_str=True)  # type: ignore[attr-defined]
        return run  # type: ignore[return-value]

    return made


def _tensors(args: Any) -> Iterator[Tensor]:
    for x in args:
        if isinstance(x, Tensor):
            yield x
        elif isinstance(x, (list, tuple)):
            yield from _tensors(x)


def _on_cpu(args: Any) -> list[Any]:
    return [
        x.cpu() if isinstance(x, Tensor) else _on_cpu(x) if isinstance(x, (list, tuple)) else x
        for x in args
    ]


@lru_cache(maxsize=1)
def _triton_kernels() -> Mapping[str, Callable[..., Tensor | None]]:
    """By name; empty without Triton 3.5, the first to multiply float64 matrices, and on ROCm."""
    if torch.version.hip or find_spec("triton") is None:
        return {}
    import triton

    if tuple(int(part) for part in triton.__version__.split(".")[:2]) < (3, 5):
        return {}
    from .._triton import KERNELS

    return KERNELS
