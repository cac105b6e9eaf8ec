"""How values enter and leave posits, and what happens to their derivatives there.

Rounding has the derivative 1. A tangent or gradient of posits is itself of their format, so it is
rounded where it enters, and decoded where it leaves.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.autograd import forward_ad

import posit
from posit import PositSpec
from posit.spec import SpecLike

from ..ops import decode, encode
from . import kernels
from .wrapper import PositTensor

__all__ = ["convert", "enter", "from_bits", "from_numpy", "tensor", "to_float64"]


def _inside(x: Any) -> Any:
    """The tensor inside whatever torch.func has put around it."""
    while torch._C._functorch.is_functorch_wrapped_tensor(x):
        x = torch._C._functorch.get_unwrapped(x)
    return x


def _spec_of(x: Any) -> PositSpec:
    found = _inside(x)
    if not isinstance(found, PositTensor):
        raise TypeError(f"expected a PositTensor, got a tensor of {found.dtype}")
    return found.spec


def _entered(x: Tensor, spec: PositSpec) -> PositTensor:
    return PositTensor(encode(x, spec), spec)


def _left(x: Any) -> Tensor:
    _spec_of(x)
    return decode(x.bits(), x.spec)


class _Enter(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, spec: PositSpec) -> PositTensor:
        return _entered(x, spec)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.dtype, ctx.spec = inputs[0].dtype, inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return to_float64(gradient).to(ctx.dtype), None

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, spec: PositSpec) -> Any:
        return enter(x, spec), in_dims[0]


class _Leave(torch.autograd.Function):
    @staticmethod
    def forward(x: PositTensor) -> Tensor:
        return _left(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.spec = _spec_of(inputs[0])

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return enter(gradient, ctx.spec)

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Any) -> Any:
        return to_float64(x), in_dims[0]


class _Convert(torch.autograd.Function):
    @staticmethod
    def forward(x: PositTensor, spec: PositSpec) -> PositTensor:
        return PositTensor(
            kernels.convert(x.bits(), kernels.text_of(x.spec), kernels.text_of(spec)), spec
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.spec = _spec_of(inputs[0])

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return convert(gradient, ctx.spec), None

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Any, spec: PositSpec) -> Any:
        return convert(x, spec), in_dims[0]


# Dynamo does not trace functions that have a jvp, and would drop it: eager calls alone have one.
class _EagerEnter(_Enter):
    @staticmethod
    def jvp(ctx: Any, tangent: Any, _: Any) -> Any:
        return enter(tangent, ctx.spec)


class _EagerLeave(_Leave):
    @staticmethod
    def jvp(ctx: Any, tangent: Any) -> Any:
        return to_float64(tangent)


def _is_traced() -> bool:
    traced = torch.compiler.is_compiling()
    if traced and forward_ad._current_level >= 0:
        raise RuntimeError(
            "entering and leaving posits has no forward-mode derivative under torch.compile (Dynamo"
            " would drop it); call torch.func.jvp outside, or keep the function in posits"
        )
    return traced


def enter(x: Tensor, spec: PositSpec) -> PositTensor:
    """A float tensor rounded to posits."""
    gate: Any = _Enter if _is_traced() else _EagerEnter
    found: PositTensor = gate.apply(x, spec)
    return found


def to_float64(x: Tensor) -> Tensor:
    """The values of a PositTensor as float64, exactly: ``x.double()`` for use inside torch.func.

    There tensors are of torch's own classes, whose ``double()`` does nothing to what appears as
    float64. Raises TypeError for other tensors.
    """
    gate: Any = _Leave if _is_traced() else _EagerLeave
    found: Tensor = gate.apply(x)
    return found


def convert(x: Tensor, spec: PositSpec) -> PositTensor:
    """Posits in another format."""
    if _spec_of(x) == spec:
        return cast("PositTensor", x)
    gate: Any = _Convert
    found: PositTensor = gate.apply(x, spec)
    return found


def tensor(data: Any, *, spec: SpecLike, requires_grad: bool | None = None) -> PositTensor:
    """Round numbers to posits.

    Parameters
    ----------
    data : float, integer or bool tensor, PositTensor, NumPy array, number, or nested lists of them
        Tensors keep their place in the graph of derivatives: rounding has the derivative 1.
    spec : PositSpec, posit dtype or name such as ``"bposit16"``
    requires_grad : bool, optional
        Given, the result is a leaf, detached from ``data``.

    Raises TypeError for complex and other data.
    """
    found = PositSpec.parse(spec)
    if not isinstance(data, Tensor):
        made = from_numpy(np.array(data, posit.dtype(found)))
    elif isinstance(_inside(data), PositTensor):
        made = convert(data, found)
    else:
        if data.is_complex():
            raise TypeError(f"a tensor of {data.dtype} has no posits; take .real first")
        made = enter(data if data.is_floating_point() else data.double(), found)
    return made if requires_grad is None else made.detach().requires_grad_(requires_grad)  # type: ignore[return-value]


def from_bits(bits: Tensor, spec: SpecLike) -> PositTensor:
    """Patterns as posits, sharing memory.

    Raises TypeError unless ``bits`` has the format's storage dtype, ValueError for an integer
    outside the n-bit range.
    """
    found = PositSpec.parse(spec)
    made = PositTensor(bits, found)
    if found.n < 8 * found.storage.itemsize and bits.numel():
        low, high = (int(x) for x in torch.aminmax(bits))
        if low < found.nar or high > found.maxpos_pattern:
            wrong = low if low < found.nar else high
            raise ValueError(
                f"{wrong} is no pattern of {found}: {found.nar} to {found.maxpos_pattern}"
            )
    return made


def from_numpy(array: npt.NDArray[Any]) -> PositTensor:
    """An array of a posit dtype as a PositTensor that shares its memory.

    Raises TypeError for other arrays; :func:`tensor` rounds them.
    """
    bits = posit.bits(array)
    spec = PositSpec.parse(array.dtype)
    return PositTensor(torch.from_numpy(bits), spec)
