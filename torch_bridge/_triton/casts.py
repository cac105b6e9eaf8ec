"""encode and decode of tensors of any shape and memory order."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from posit import PositSpec

from ..ops.casts import storage
from .codec import decode_kernel, encode_kernel

__all__ = ["decode", "encode", "launch", "of_spec"]

BLOCK = 1024
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def launch(kernel: Any, grid: tuple[int, ...], *args: Any, **constants: Any) -> None:
    """Run a kernel on the device of its first argument.

    Fused multiply-adds are allowed: every bound here holds with and without them.
    """
    if all(grid):
        with torch.cuda.device_of(args[0]):
            kernel[grid](*args, **constants, enable_fp_fusion=True)


def of_spec(spec: PositSpec) -> dict[str, int]:
    """A format as kernels take it."""
    return {"N": spec.n, "RS": spec.rs, "ES": spec.es}


def encode(x: Tensor, spec: PositSpec) -> Tensor:
    """The patterns nearest to floats; NaN and infinities give NaR."""
    if not x.is_floating_point():
        raise TypeError(f"expected a float tensor, got {x.dtype}")
    known = x if x.dtype in FLOATS else x.to(torch.float64)
    return _each(encode_kernel, known, storage(spec), spec)


def decode(bits: Tensor, spec: PositSpec, dtype: torch.dtype = torch.float64) -> Tensor:
    """The values of patterns: exact in float64, rounded once in float32; NaR is NaN.

    Integers that are no patterns of ``spec`` give arbitrary values.
    """
    return _each(decode_kernel, bits, dtype, spec)


def _each(kernel: Any, x: Tensor, dtype: torch.dtype, spec: PositSpec) -> Tensor:
    """Element by element, in the order of memory."""
    out = torch.empty_like(x, dtype=dtype)
    if out.stride() != x.stride():  # x has gaps or overlaps, so that out is ordered by itself
        x = x.contiguous()
        out = torch.empty_like(x, dtype=dtype)
    blocks = -(-x.numel() // BLOCK)
    launch(kernel, (blocks,), x, out, x.numel(), **of_spec(spec), BLOCK=BLOCK)
    return out
