"""Rounding to posits, and patterns."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import posit
from posit import PositSpec
from posit.spec import SpecLike

from ._define import Rule, define, spec_of, text_of
from ._kernels import bits_of, empty, tensor_of

__all__ = ["decode", "encode", "fake_quant"]

STORAGE = {8: torch.int8, 16: torch.int16, 32: torch.int32, 64: torch.int64}


def storage(spec: PositSpec) -> torch.dtype:
    """The integer dtype of a format's patterns."""
    return STORAGE[8 * spec.storage.itemsize]


@torch.library.custom_op("bposit::encode", mutates_args=())
def _encode(x: Tensor, spec: str) -> Tensor:
    return torch.from_numpy(bits_of(x, PositSpec.parse(spec)))


@_encode.register_fake
def _(x: Tensor, spec: str) -> Tensor:
    return x.new_empty(x.shape, dtype=storage(PositSpec.parse(spec)))


@torch.library.custom_op("bposit::decode", mutates_args=())
def _decode(bits: Tensor, spec: str) -> Tensor:
    return torch.from_numpy(posit.decode(bits.numpy(), PositSpec.parse(spec)))


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


def _round(x: Tensor, text: str) -> Tensor:
    spec = spec_of(text)
    return tensor_of(bits_of(x, spec), spec)


def _first(inputs: tuple[Any, ...], in_dims: tuple[Any, ...], size: int) -> tuple[Any, ...]:
    return (inputs[0].movedim(in_dims[0], 0), *inputs[1:])


_fake_quant = define(
    Rule(
        "fake_quant",
        "(Tensor x, str spec) -> Tensor",
        _round,
        lambda x, text: empty(x, x.shape),
        lambda inputs, out, g: (_fake_quant(g, inputs[1]),),
        lambda inputs, out, tangents: _fake_quant(tangents[0], inputs[1]),
        _first,
    )
)


def fake_quant(x: Tensor, spec: SpecLike) -> Tensor:
    """Round to posits, as float64. The derivative is taken to be 1, its argument rounded too."""
    return _fake_quant(x, text_of(spec))
