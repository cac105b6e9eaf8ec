"""How values enter and leave posits, and what happens to their derivatives there.

Rounding has the derivative 1. Tangents go the way of the values, and gradients back; those that are
posits are of the format of what they belong to, so they are rounded where they enter it.

Dynamo does not trace autograd functions that have a forward-mode rule, and custom ops have none:
eager calls go through the function, traced ones through the ops, as in ``ops``.
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
from ..ops.casts import storage
from . import kernels
from .table import GATES
from .wrapper import PositTensor

__all__ = ["convert", "from_bits", "from_numpy", "tensor", "to_float64"]

Kind = PositSpec | torch.dtype
"""What a tensor holds: posits of a format, or floats."""


def _kind(x: Any) -> Kind:
    """Of the tensor inside whatever torch.func has put around it."""
    while not torch.compiler.is_compiling() and torch._C._functorch.is_functorch_wrapped_tensor(x):
        x = torch._C._functorch.get_unwrapped(x)
    return x.spec if isinstance(x, PositTensor) else x.dtype


def _cross(x: Tensor, to: Kind) -> Tensor:
    if isinstance(to, torch.dtype):
        return decode(cast("PositTensor", x).bits(), _kind(x)).to(to)  # type: ignore[arg-type]
    if isinstance(x, PositTensor):
        x_spec, to_spec = kernels.text_of(x.spec), kernels.text_of(to)
        return PositTensor(kernels.convert(x.bits(), x_spec, to_spec), to)
    return PositTensor(encode(x, to), to)


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, to: Kind) -> Tensor:
        return _cross(x, to)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.source, ctx.to = _kind(inputs[0]), inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return gate(gradient, ctx.source), None

    @staticmethod
    def jvp(ctx: Any, tangent: Any, _: Any) -> Any:
        return gate(tangent, ctx.to)

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Any, to: Kind) -> Any:
        return gate(x, to), in_dims[0]


# ---- the same for tracing: PositTensor's dispatch runs these, for it is an argument of both
@torch.library.custom_op("bposit::leave_posits", mutates_args=())
def _leave(x: Tensor) -> Tensor:
    raise TypeError(f"expected a PositTensor, got a tensor of {x.dtype}")


@torch.library.custom_op("bposit::enter_posits", mutates_args=())
def _enter(x: Tensor, like: Tensor) -> Tensor:
    raise TypeError(f"expected a PositTensor as pattern, got a tensor of {like.dtype}")


def _source(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.source = _kind(inputs[0])


_leave.register_autograd(lambda ctx, g: gate(g, ctx.source), setup_context=_source)
_enter.register_autograd(lambda ctx, g: (gate(g, ctx.source), None), setup_context=_source)
_leave.register_vmap(lambda info, in_dims, x: (_leave(x), in_dims[0]))
_enter.register_vmap(lambda info, in_dims, x, like: (_enter(x, like), in_dims[0]))
GATES[torch.ops.bposit.leave_posits] = lambda x: _cross(x, torch.float64)
GATES[torch.ops.bposit.enter_posits] = lambda x, like: _cross(x, like.spec)


def gate(x: Tensor, to: Kind) -> Tensor:
    """x as posits of a format, or posits x as floats of a dtype.

    Dynamo cannot read the format of a tensor that it made; it does not need to.
    """
    if not torch.compiler.is_compiling():
        made: Any = x if _kind(x) == to else _Gate.apply(x, to)  # type: ignore[no-untyped-call]
    elif forward_ad._current_level >= 0:
        raise RuntimeError(
            "entering and leaving posits has no forward-mode derivative under torch.compile (Dynamo"
            " would drop it); call torch.func.jvp outside, or keep the function in posits"
        )
    elif isinstance(to, PositSpec):
        made = _enter(x, PositTensor(torch.zeros((), dtype=storage(to)), to))
    else:
        made = _leave(x).to(to)
    return made  # type: ignore[no-any-return]


def to_float64(x: Tensor) -> Tensor:
    """The values of a PositTensor as float64, exactly: ``x.double()`` for use inside torch.func.

    There tensors are of torch's own classes, whose ``double()`` does nothing to what appears as
    float64. Raises TypeError for other tensors.
    """
    if not torch.compiler.is_compiling() and not isinstance(_kind(x), PositSpec):
        raise TypeError(f"expected a PositTensor, got a tensor of {x.dtype}")
    return gate(x, torch.float64)


def convert(x: Tensor, spec: PositSpec) -> PositTensor:
    """Posits or floats in a format."""
    return cast("PositTensor", gate(x, spec))


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
    elif data.is_complex():
        raise TypeError(f"a tensor of {data.dtype} has no posits; take .real first")
    else:
        made = convert(data if data.is_floating_point() else data.double(), found)
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
