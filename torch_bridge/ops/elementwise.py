"""Arithmetic, element by element, each rounded once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

import posit
from posit import PositSpec
from posit.spec import SpecLike

from .._deposit import Dots, Terms, Values
from ._define import Grad, Inputs, Op, Rule, define, spec_of, text_of
from ._kernels import (
    bits_of,
    broadcast_first,
    divided,
    empty,
    round_,
    rounded,
    tensor_of,
    together,
    unbroadcast,
)
from .casts import _nearest
from .products import _dot, _sum

__all__ = ["add", "div", "fma", "mul", "neg", "per", "sub"]

Function = Callable[..., Tensor]


def _elementwise(name: str, names: str, grads: Any, jvp: Any, factors: Any = None) -> Function:
    """An operation of posit.arithmetic on as many tensors as ``names`` has letters.

    ``grads`` takes (*operands, output, gradient, spec) to a callable for each operand, ``jvp``
    (*operands, output, *tangents, spec) to the terms of the tangent, ``factors`` (*operands) to
    what the gradient is multiplied by for each operand: a tensor, 1 or -1.
    """
    apply, count = getattr(posit, name), len(names)
    in_float64 = getattr(torch, name, None)  # all but fma

    def kernel(*inputs: Any) -> Tensor:
        spec = spec_of(inputs[count])
        if in_float64 and spec.float64_decides:
            return round_(in_float64(*(rounded(x, spec) for x in inputs[:count])), spec)
        return tensor_of(apply(*(bits_of(x, spec) for x in inputs[:count]), spec), spec)

    def fake(*inputs: Any) -> Tensor:
        return empty(inputs[0], torch.broadcast_shapes(*(x.shape for x in inputs[:count])))

    def reverse(inputs: Inputs, out: Tensor, g: Tensor) -> list[Grad]:
        text = inputs[count]
        made = grads(*inputs[:count], out, g, text)

        def fitted(make: Callable[[], Tensor], x: Tensor) -> Callable[[], Tensor]:
            return lambda: unbroadcast(make(), x.shape, lambda t, axes: _sum(t, axes, text))

        return [fitted(make, x) for make, x in zip(made, inputs[:count], strict=True)]

    def forward(inputs: Inputs, out: Tensor, tangents: Any) -> Tensor:
        text = inputs[count]
        terms = [t for t in jvp(*inputs[:count], out, *tangents, text) if t is not None]
        found: Tensor = terms[0]
        for term in terms[1:]:
            found = _add(found, term, text)
        return found.expand_as(out)

    def terms(inputs: Inputs, out: Tensor, g: Tensor) -> list[Callable[[], Terms]]:
        spec = spec_of(inputs[count])
        pairs = zip(inputs[:count], factors(*inputs[:count]), strict=True)
        return [partial(_term, g, x, factor, spec) for x, factor in pairs]

    def batched(f: Function, inputs: Inputs, dims: Inputs, size: int) -> Tensor:
        return f(*together(inputs[:count], dims[:count]), inputs[count])

    schema = ", ".join(f"Tensor {letter}" for letter in names)
    return define(
        Rule(
            name, f"({schema}, str spec) -> Tensor", kernel, fake, reverse, forward, batched,
            None if factors is None else terms, name == "div",
        )
    )  # fmt: skip


def _term(g: Tensor, operand: Tensor, factor: Tensor | int, spec: PositSpec) -> Terms:
    """The sum of gradient times factor over the axes along which the operand was broadcast."""
    bits = broadcast_first(bits_of(g, spec), operand.shape)
    if isinstance(factor, int):
        return Values(bits if factor == 1 else np.asarray(posit.neg(bits, spec), spec.storage))
    other = np.broadcast_to(bits_of(factor, spec), g.shape)
    return Dots(bits, broadcast_first(other, operand.shape))


def _times(a: Tensor, b: Tensor | None, text: str) -> Tensor | None:
    return None if b is None else _mul(a, b, text)


def _minus(t: Tensor | None) -> Tensor | None:
    return None if t is None else -t


_add: Op = _elementwise(
    "add",
    "ab",
    lambda a, b, out, g, t: (lambda: _nearest(g, t), lambda: _nearest(g, t)),
    lambda a, b, out, ta, tb, t: (ta, tb),
    lambda a, b: (1, 1),
)
_sub: Op = _elementwise(
    "sub",
    "ab",
    lambda a, b, out, g, t: (lambda: _nearest(g, t), lambda: -_nearest(g, t)),
    lambda a, b, out, ta, tb, t: (ta, _minus(tb)),
    lambda a, b: (1, -1),
)
_mul: Op = _elementwise(
    "mul",
    "ab",
    lambda a, b, out, g, t: (lambda: _times_onto(a, g, b, t), lambda: _times_onto(b, g, a, t)),
    lambda a, b, out, ta, tb, t: (_times(b, ta, t), _times(a, tb, t)),
    lambda a, b: (b, a),
)
# d(a/b) = da/b - (a/b)·db/b, with a/b the rounded quotient
_div: Op = _elementwise(
    "div",
    "ab",
    lambda a, b, out, g, t: (
        lambda: _div(g, b, t),
        lambda: -_div(_mul(g, out, t), b, t),
    ),
    lambda a, b, out, ta, tb, t: (
        None if ta is None else _div(ta, b, t),
        None if tb is None else -_div(_mul(out, tb, t), b, t),
    ),
)
_fma: Op = _elementwise(
    "fma",
    "abc",
    lambda a, b, c, out, g, t: (
        lambda: _times_onto(a, g, b, t),
        lambda: _times_onto(b, g, a, t),
        lambda: _nearest(g, t),
    ),
    lambda a, b, c, out, ta, tb, tc, t: (_times(b, ta, t), _times(a, tb, t), tc),
    lambda a, b, c: (b, a, 1),
)


def _times_onto(operand: Tensor, g: Tensor, other: Tensor, text: str) -> Tensor:
    """g·other, summed exactly over the axes along which ``operand`` was broadcast."""
    shape = g.shape
    extra = len(shape) - operand.dim()
    axes = [*range(extra)]
    axes += [i + extra for i, n in enumerate(operand.shape) if n == 1 != shape[i + extra]]
    if not axes:
        return _mul(g, other, text)
    return _dot(g, other.expand(shape), axes, text).reshape(operand.shape)


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
    """a/b, rounded once; NaN where b is 0.

    The derivative by b uses the rounded quotient: g·(a/b), then that over b, two roundings more.
    """
    return _div(a, b, text_of(spec))


def fma(a: Tensor, b: Tensor, c: Tensor, *, spec: SpecLike) -> Tensor:
    """a·b + c, rounded once. A tangent rounds its products, then their sums."""
    return _fma(a, b, c, text_of(spec))


def neg(x: Tensor, *, spec: SpecLike) -> Tensor:
    """-x, of the rounded x; exact."""
    return -_nearest(x, text_of(spec))


# ---- x over whole numbers, which need not be posits
def _per_kernel(x: Tensor, counts: Tensor, times: int, text: str) -> Tensor:
    spec = spec_of(text)
    whole = np.asarray(counts.numpy(), np.int64)
    return tensor_of(divided(bits_of(x, spec), whole, spec, times), spec)


def _per_vjp(inputs: Inputs, out: Tensor, g: Tensor) -> list[Grad]:
    x, counts, times, text = inputs
    return [
        lambda: unbroadcast(
            _per(g, counts, times, text), x.shape, lambda t, axes: _sum(t, axes, text)
        ),
        None,
    ]


_per: Op = define(
    Rule(
        "per",
        "(Tensor x, Tensor counts, int times, str spec) -> Tensor",
        _per_kernel,
        lambda x, n, times, text: empty(x, torch.broadcast_shapes(x.shape, n.shape)),
        _per_vjp,
        lambda i, out, t: _per(t[0], *i[1:]),
        lambda f, i, dims, size: f(*together(i[:2], dims[:2]), *i[2:]),
    )
)


def per(x: Tensor, counts: int | Tensor, *, times: int = 1, spec: SpecLike) -> Tensor:
    """x·times/counts for whole numbers, which need not be posits, rounded once; NaN over 0."""
    whole = torch.as_tensor(counts)
    if whole.is_floating_point() or whole.is_complex():
        raise TypeError(
            f"per: counts must be whole numbers, got {whole.dtype}; ops.div takes others"
        )
    return _per(x, whole.to(torch.int64), times, text_of(spec))
