"""How values enter and leave posits, and what happens to their derivatives there.

Rounding has the derivative 1. A tangent or gradient of posits is itself of their format, so it is
rounded where it enters, and decoded where it leaves.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

import posit
from posit import PositSpec
from posit.spec import SpecLike

from ..ops import decode, encode
from .wrapper import PositTensor

__all__ = ["convert", "enter", "from_bits", "from_numpy", "leave", "tensor"]


def _entered(x: Tensor, spec: PositSpec) -> PositTensor:
    return PositTensor(encode(x, spec), spec)


def _left(x: Any) -> Tensor:
    return decode(x.bits(), x.spec)


def _spec_of(x: Any) -> PositSpec:
    """The format of posits, inside whatever torch.func has put around them."""
    while torch._C._functorch.is_functorch_wrapped_tensor(x):
        x = torch._C._functorch.get_unwrapped(x)
    if not isinstance(x, PositTensor):
        raise TypeError(f"expected a PositTensor, got a tensor of {x.dtype}")
    return x.spec


class _Enter(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, spec: PositSpec) -> PositTensor:
        return _entered(x, spec)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.dtype, ctx.spec = inputs[0].dtype, inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:  # type: ignore[override]
        return leave(gradient).to(ctx.dtype), None

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, spec: PositSpec) -> Any:
        return _Enter.apply(x, spec), in_dims[0]


class _Leave(torch.autograd.Function):
    @staticmethod
    def forward(x: PositTensor) -> Tensor:
        return _left(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.spec = _spec_of(inputs[0])

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:  # type: ignore[override]
        return enter(gradient, ctx.spec)

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Any) -> Any:
        return _Leave.apply(x), in_dims[0]


class _Convert(torch.autograd.Function):
    @staticmethod
    def forward(x: PositTensor, spec: PositSpec) -> PositTensor:
        bits = torch.from_numpy(posit.convert(x.bits().numpy(), x.spec, spec))
        return PositTensor(bits, spec)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.spec = _spec_of(inputs[0])

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:  # type: ignore[override]
        return convert(gradient, ctx.spec), None


# Dynamo does not trace functions that have a jvp, and would drop it: eager calls alone have one.
class _EagerEnter(_Enter):
    @staticmethod
    def jvp(ctx: Any, tangent: Any, _: Any) -> Any:
        return enter(tangent, ctx.spec)


class _EagerLeave(_Leave):
    @staticmethod
    def jvp(ctx: Any, tangent: Any) -> Any:  # type: ignore[override]
        return leave(tangent)


def enter(x: Tensor, spec: PositSpec) -> PositTensor:
    """A float tensor rounded to posits."""
    gate = _Enter if torch.compiler.is_compiling() else _EagerEnter
    return gate.apply(x, spec)  # type: ignore[no-any-return]


def leave(x: Tensor) -> Tensor:
    """The values of a PositTensor as float64, exactly: ``x.double()`` for use inside torch.func.

    There tensors are of torch's own classes, whose ``double()`` does nothing to what appears as
    float64. Raises TypeError for other tensors.
    """
    gate = _Leave if torch.compiler.is_compiling() else _EagerLeave
    return gate.apply(x)  # type: ignore[no-any-return]


def convert(x: Tensor, spec: PositSpec) -> PositTensor:
    """Posits in another format."""
    return _Convert.apply(x, spec)  # type: ignore[no-any-return]


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
    if isinstance(data, PositTensor):
        made = data if data.spec == found else convert(data, found)
    elif isinstance(data, Tensor):
        if data.is_complex():
            raise TypeError(f"a tensor of {data.dtype} has no posits; take .real first")
        made = enter(data if data.is_floating_point() else data.double(), found)
    else:
        made = from_numpy(_array(data, found))
    return made if requires_grad is None else made.detach().requires_grad_(requires_grad)  # type: ignore[return-value]


def _array(data: Any, spec: PositSpec) -> npt.NDArray[Any]:
    import numpy as np

    return np.array(data, posit.dtype(spec))


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
            raise ValueError(f"{wrong} is no pattern of {found}: {found.nar} to {found.maxpos_pattern}")
    return made


def from_numpy(array: npt.NDArray[Any]) -> PositTensor:
    """An array of a posit dtype as a PositTensor that shares its memory.

    Raises TypeError for other arrays; :func:`tensor` rounds them.
    """
    bits = posit.bits(array)
    spec = PositSpec.parse(array.dtype)
    return PositTensor(torch.from_numpy(bits), spec)
