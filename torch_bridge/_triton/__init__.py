"""Kernels for CUDA tensors: what the operations of their names compute, bit for bit.

Only :mod:`torch_bridge.ops` imports this, when it meets CUDA tensors and Triton is installed.

A matrix product is one float64 product with a proven bound for each element; the few elements that
it leaves undecided are summed again with a narrower bound, and at last exactly, in digits. So its
bits are :func:`quire.matmul`'s for all operands, whatever the device, its BLAS, or the order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from posit import PositSpec

from .casts import decode, encode
from .matmul import accumulated, can_multiply, matmul, product

__all__ = ["KERNELS", "accumulated", "can_multiply", "decode", "encode", "matmul", "product"]


def _encode(x: Tensor, text: str) -> Tensor:
    return encode(x.detach(), PositSpec.parse(text))


def _decode(bits: Tensor, text: str) -> Tensor:
    spec = PositSpec.parse(text)
    if spec.n < 8 * spec.storage.itemsize and bits.numel():
        least, most = (int(end) for end in torch.aminmax(bits))
        if least < spec.nar or most > spec.maxpos_pattern:
            wrong = least if least < spec.nar else most
            raise ValueError(
                f"bits: {wrong} is not a pattern of {spec}: signed patterns run from {spec.nar} to"
                f" {spec.maxpos_pattern}"
            )
    return decode(bits, spec)


def _fake_quant(x: Tensor, text: str) -> Tensor:
    spec = PositSpec.parse(text)
    return decode(encode(x.detach(), spec), spec)


def _matmul(a: Tensor, b: Tensor, bias: Tensor | None, text: str) -> Tensor | None:
    spec = PositSpec.parse(text)
    if not can_multiply(spec, a.shape[-1]):
        return None
    x, y = encode(a.detach(), spec), encode(b.detach(), spec)
    term = None if bias is None else encode(bias.detach().to(a.device), spec)
    return decode(matmul(x, y, spec, add=term), spec)


def _patterns_product(a: Tensor, b: Tensor, add: Tensor | None, text: str) -> Tensor | None:
    spec = PositSpec.parse(text)
    if min(a.dim(), b.dim()) < 2 or not can_multiply(spec, a.shape[-1]):
        return None
    return matmul(a, b, spec, add=add)


KERNELS: Mapping[str, Callable[..., Tensor | None]] = {
    "encode": _encode, "decode": _decode, "fake_quant": _fake_quant, "matmul": _matmul,
    "patterns_product": _patterns_product,
}  # fmt: skip
