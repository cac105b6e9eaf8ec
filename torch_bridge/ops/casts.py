"""Rounding to posits, and patterns."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

import posit
from posit import PositSpec
from posit.spec import SpecLike

from ._define import Inputs, Op, Rule, define, spec_of, text_of
from ._device import anywhere
from ._kernels import bits_of, empty, rounded, tensor_of

__all__ = ["check_word", "decode", "encode", "fake_quant"]

STORAGE = {8: torch.int8, 16: torch.int16, 32: torch.int32, 64: torch.int64}


def storage(spec: PositSpec) -> torch.dtype:
    """The integer dtype of a format's patterns."""
    return STORAGE[8 * spec.storage.itemsize]


@torch.library.custom_op("bposit::encode", mutates_args=())
@anywhere("encode")
def _encode(x: Tensor, spec: str) -> Tensor:
    return torch.from_numpy(bits_of(x, PositSpec.parse(spec)))


@_encode.register_fake
def _(x: Tensor, spec: str) -> Tensor:
    return x.new_empty(x.shape, dtype=storage(PositSpec.parse(spec)))


@torch.library.custom_op("bposit::decode", mutates_args=())
@anywhere("decode")
def _decode(bits: Tensor, spec: str) -> Tensor:
    return torch.from_numpy(np.asarray(posit.decode(bits.numpy(), PositSpec.parse(spec))))


@_decode.register_fake
def _(bits: Tensor, spec: str) -> Tensor:
    return bits.new_empty(bits.shape, dtype=torch.float64)


def encode(x: Tensor, spec: SpecLike) -> Tensor:
    """Float tensor to patterns, rounded to nearest; NaN and infinities give NaR. No gradient."""
    found: Tensor = torch.ops.bposit.encode(x, text_of(spec))
    return found


def decode(bits: Tensor, spec: SpecLike) -> Tensor:
    """Patterns to float64, exactly. No gradient."""
    found: Tensor = torch.ops.bposit.decode(bits, text_of(spec))
    return found


@_encode.register_vmap
@_decode.register_vmap
def _(info: Any, dims: Inputs, x: Tensor, spec: str) -> tuple[Tensor, Any]:
    op = torch.ops.bposit.encode if x.is_floating_point() else torch.ops.bposit.decode
    return op(x, spec), dims[0]


def _round(x: Tensor, text: str) -> Tensor:
    return rounded(x, spec_of(text))


_nearest: Op = define(
    Rule(
        "fake_quant",
        "(Tensor x, str spec) -> Tensor",
        _round,
        lambda x, text: empty(x, x.shape),
        lambda i, out, g: (lambda: _nearest(g, i[1]),),
        lambda i, out, t: _nearest(t[0], i[1]),
        lambda f, i, dims, size: f(i[0].movedim(dims[0], 0), i[1]),
    )
)


def _round_stochastically(x: Tensor, key: str, start: int, text: str) -> Tensor:
    spec = spec_of(text)
    values = x.detach().to(torch.float64).numpy()
    bits = posit.encode(values, spec, rounding="stochastic", key=int(key), start=start)
    return tensor_of(bits, spec)


# torch.vmap gives every sample the words that the sample alone would get.
_stochastic: Op = define(
    Rule(
        "fake_quant_stochastic",
        "(Tensor x, str key, int start, str spec) -> Tensor",
        _round_stochastically,
        lambda x, key, start, text: empty(x, x.shape),
        lambda i, out, g: (lambda: _nearest(g, i[3]),),
        lambda i, out, t: _nearest(t[0], i[3]),
        lambda f, i, dims, size: torch.stack([f(x, *i[1:]) for x in i[0].unbind(dims[0])]),
    )
)


def fake_quant(
    x: Tensor,
    spec: SpecLike,
    *,
    rounding: Literal["nearest", "stochastic"] = "nearest",
    key: int | None = None,
    start: int = 0,
) -> Tensor:
    """Round to posits, as float64.

    The derivative is taken to be 1, its argument rounded to nearest.

    Parameters
    ----------
    x : Tensor
    spec : format
    rounding, key, start
        As for :func:`posit.encode`: stochastic rounding of element i in C order uses word
        ``start + i`` of the stream that ``key`` seeds, and no generator of torch.
    """
    if rounding == "stochastic":
        check_word("fake_quant: key", key)
        return _stochastic(x, str(key), start, text_of(spec))
    if rounding != "nearest":
        raise ValueError(f"rounding {rounding!r}: possible are 'nearest' and 'stochastic'")
    if key is not None or start:
        raise ValueError("fake_quant: key and start belong to rounding='stochastic'")
    return _nearest(x, text_of(spec))


def check_word(name: str, value: int | None) -> None:
    """Raise ValueError unless it can seed a stream."""
    if not isinstance(value, int) or not 0 <= value < 1 << 64:
        raise ValueError(f"{name} must be an integer from 0 to 2^64-1, got {value!r}")
