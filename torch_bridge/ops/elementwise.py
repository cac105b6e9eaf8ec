"""Arithmetic and functions, element by element, each correctly rounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

import posit
from posit import functions
from posit.spec import SpecLike

from ._define import Rule, define, spec_of, text_of
from ._kernels import bits_of, broadcast_batch, empty, tensor_of, unbroadcast
from .products import sum as total

__all__ = ["add", "div", "mul", "neg", "sub", "unary"]

Function = Callable[..., Tensor]


def _binary(name: str, vjp: Any, jvp: Any) -> Function:
    apply = getattr(posit, name)

    def kernel(a: Tensor, b: Tensor, text: str) -> Tensor:
        spec = spec_of(text)
        made = apply(bits_of(a, spec), bits_of(b, spec), spec)
        return tensor_of(np.asarray(made, spec.storage), spec)

    def fake(a: Tensor, b: Tensor, text: str) -> Tensor:
        return empty(a, torch.broadcast_shapes(a.shape, b.shape))

    def reverse(inputs: tuple[Any, ...], out: Tensor, g: Tensor) -> tuple[Tensor, ...]:
        a, b, text = inputs
        return tuple(
            unbroadcast(d, x.shape, lambda t, axes: total(t, axes, spec=text))
            for d, x in zip(vjp(a, b, out, g, text), (a, b), strict=True)
        )

    def forward(inputs: tuple[Any, ...], out: Tensor, tangents: Any) -> Tensor:
        a, b, text = inputs
        parts = [part for part in jvp(a, b, out, *tangents, text) if part is not None]
        both = parts[0] if len(parts) == 1 else add(*parts, spec=text)
        return both.expand_as(out)

    def batched(inputs: tuple[Any, ...], dims: tuple[Any, ...], size: int) -> tuple[Any, ...]:
        rank = max(x.dim() - (d is not None) for x, d in zip(inputs[:2], dims, strict=False))
        moved = (broadcast_batch(x, d, rank, size) for x, d in zip(inputs[:2], dims, strict=False))
        return (*moved, inputs[2])

    return define(
        Rule(name, "(Tensor a, Tensor b, str spec) -> Tensor", kernel, fake, reverse, forward, batched)
    )


def _times(a: Tensor, b: Tensor | None, text: str) -> Tensor | None:
    return None if b is None else _mul(a, b, text)


_add = _binary(
    "add", lambda a, b, out, g, t: (g, g), lambda a, b, out, ta, tb, t: (ta, tb)
)
_sub = _binary(
    "sub",
    lambda a, b, out, g, t: (g, -g),
    lambda a, b, out, ta, tb, t: (ta, None if tb is None else -tb),
)
_mul = _binary(
    "mul",
    lambda a, b, out, g, t: (_mul(g, b, t), _mul(g, a, t)),
    lambda a, b, out, ta, tb, t: (_times(b, ta, t), _times(a, tb, t)),
)
# d(a/b) = da/b - (a/b)·db/b, with a/b the rounded quotient
_div = _binary(
    "div",
    lambda a, b, out, g, t: (_div(g, b, t), -_div(_mul(g, out, t), b, t)),
    lambda a, b, out, ta, tb, t: (
        None if ta is None else _div(ta, b, t),
        None if tb is None else -_div(_mul(out, tb, t), b, t),
    ),
)


def add(a: Tensor, b: Tensor, *, spec: SpecLike) -> Tensor:
    """a + b, rounded once."""
    return _add(a, b, text_of(spec))


def sub(a: Tensor, b: Tensor, *, spec: SpecLike) -> Tensor:
    """a - b, rounded once."""
    return _sub(a, b, text_of(spec))


def mul(a: Tensor, b: Tensor, *, spec: SpecLike) -> Tensor:
    """a·b, rounded once."""
    return _mul(a, b, text_of(spec))


def div(a: Tensor, b: Tensor, *, spec: SpecLike) -> Tensor:
    """a/b, rounded once; NaN where b is 0. Its derivative uses the rounded quotient."""
    return _div(a, b, text_of(spec))


def neg(x: Tensor, *, spec: SpecLike) -> Tensor:
    """-x, of the rounded x; exact."""
    from .casts import fake_quant

    return -fake_quant(x, spec)


# The derivative of each function from the argument x and the value y: a formula in posit operations,
# each rounded, as docs/torch.md states.
_ONE = 1.0


def _slope(name: str, x: Tensor, y: Tensor, t: str) -> Tensor:
    one = torch.ones((), dtype=torch.float64)
    match name:
        case "exp":
            return y
        case "log":
            return _div(one, x, t)
        case "sqrt":
            return _div(one, _mul(y, 2 * one, t), t)
        case "tanh":
            return _sub(one, _mul(y, y, t), t)
        case "sin":
            return _unary(x, "cos", t)
        case "cos":
            return -_unary(x, "sin", t)
        case "sinh":
            return _unary(x, "cosh", t)
        case "cosh":
            return _unary(x, "sinh", t)
        case _:
            raise NotImplementedError(f"bposit::unary: no derivative of {name} is known")


def _apply(x: Tensor, name: str, text: str) -> Tensor:
    spec = spec_of(text)
    made = getattr(functions, name)(bits_of(x, spec), spec)
    return tensor_of(np.asarray(made, spec.storage), spec)


def _only(inputs: tuple[Any, ...], in_dims: tuple[Any, ...], size: int) -> tuple[Any, ...]:
    return (inputs[0].movedim(in_dims[0], 0), *inputs[1:])


_unary = define(
    Rule(
        "unary",
        "(Tensor x, str name, str spec) -> Tensor",
        _apply,
        lambda x, name, text: empty(x, x.shape),
        lambda i, out, g: (_mul(g, _slope(i[1], i[0], out, i[2]), i[2]),),
        lambda i, out, t: _mul(t[0], _slope(i[1], i[0], out, i[2]), i[2]),
        _only,
    )
)


def unary(x: Tensor, name: str, *, spec: SpecLike) -> Tensor:
    """A function of the Posit Standard by name (``posit.functions``), correctly rounded."""
    return _unary(x, name, text_of(spec))
