"""Primal and tangent through a chain of layers, holding no more than three activations at once.

Dual numbers as torch has them keep the input's primal and tangent until a layer has made both of
its output: four activations, twice what inference holds. Here the tangent is taken through a layer
first and its old one let go, and element-wise functions write over what they read [ours].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional

from ._layers import Layer, Plan, plain

__all__ = ["AFFINE", "Pair", "Shift", "chains", "through_affine"]

_aten = torch.ops.aten


@dataclass
class Pair:
    """A dual number in two parts; ``own`` if nothing else holds them, so that they may change."""

    primal: Tensor
    tangent: Tensor | None
    own: bool = False

    @classmethod
    def of(cls, x: Tensor) -> Pair:
        """The parts of a dual tensor."""
        primal, tangent = forward_ad.unpack_dual(x)
        return cls(primal, tangent)

    def dual(self) -> Tensor:
        """As torch's layers take it."""
        if self.tangent is None:
            return self.primal
        made: Tensor = forward_ad.make_dual(self.primal, self.tangent)
        return made


Apply = Callable[[Tensor, Tensor, Tensor | None], Tensor]
Shift = Callable[[Layer, Pair, Apply], None]
"""Adds to the tangent of a layer's output what the perturbation does in this layer.

Called as (layer, pair, apply): the pair of the layer's input and the output's tangent, and
apply(x, weight, bias)."""


def _linear(module: Any) -> Apply:
    return functional.linear


def _convolution(module: Any) -> Apply:
    apply: Apply = module._conv_forward
    return apply


AFFINE: dict[Any, Callable[[Any], Apply]] = {
    nn.Linear.forward: _linear,
    nn.Conv1d.forward: _convolution,
    nn.Conv2d.forward: _convolution,
    nn.Conv3d.forward: _convolution,
}
"""Layers that are linear in their input and in their weight, by forward."""


def through_affine(pair: Pair, layer: Layer, shift: Shift) -> None:
    """Take a pair through a layer of :data:`AFFINE`: y = x∘W + b, t ← t∘W + shift.

    There is no shift where nothing is trainable.
    """
    module: Any = layer.module
    leaves = layer.leaves()
    weight, bias = (
        leaves[name].parameter.detach() if name in leaves else getattr(module, name)
        for name in ("weight", "bias")
    )
    apply = AFFINE[type(module).forward](module)
    if pair.tangent is None:
        primal = apply(pair.primal, weight, bias)
        if layer.slots:
            pair.tangent = torch.zeros_like(primal)
            shift(layer, pair, apply)
    else:
        pair.tangent = apply(pair.tangent, weight, None)
        if layer.slots:
            shift(layer, pair, apply)
        primal = apply(pair.primal, weight, bias)
    pair.primal, pair.own = primal, True


def _after(value: Any, slope: Any, *rest: Any) -> Callable[[Any, Tensor, Tensor], None]:
    """A function whose slope is known from its value: that is made first, in place."""

    def step(module: Any, x: Tensor, t: Tensor) -> None:
        value(x)
        slope(t, x, *rest, grad_input=t)

    return step


def _gelu(module: Any, x: Tensor, t: Tensor) -> None:
    _aten.gelu_backward.grad_input(t, x, approximate=module.approximate, grad_input=t)
    _aten.gelu_(x, approximate=module.approximate)


def _silu(module: Any, x: Tensor, t: Tensor) -> None:
    _aten.silu_backward.grad_input(t, x, grad_input=t)
    _aten.silu_(x)


IN_PLACE: dict[Any, Callable[[Any, Tensor, Tensor], None]] = {
    nn.ReLU.forward: _after(torch.relu_, _aten.threshold_backward.grad_input, 0),
    nn.Tanh.forward: _after(torch.tanh_, _aten.tanh_backward.grad_input),
    nn.Sigmoid.forward: _after(torch.sigmoid_, _aten.sigmoid_backward.grad_input),
    nn.GELU.forward: _gelu,
    nn.SiLU.forward: _silu,
}
"""Element-wise functions: their slope is a diagonal, so what backward does to a gradient is what
forward does to a tangent, and torch's own kernels do it in place."""


def chains(plan: Plan, shift: Shift, called: Callable[[Layer], None]) -> dict[nn.Module, Any]:
    """For each plain ``nn.Sequential`` of the model, a forward that takes pairs through it.

    Layers that are not of :data:`AFFINE`, or that have hooks or a forward of their own (converted
    ones do), are called as ever. ``called`` is told of those that are not called.
    """
    layers = {id(layer.module): layer for layer in plan.layers}
    found: dict[nn.Module, Any] = {}
    for module in plan.model.modules():
        if isinstance(module, nn.Sequential) and plain(module, nn.Sequential.forward):
            found[module] = _chain([_step(child, layers, shift, called) for child in module])
    return found


Step = Callable[[Pair], None]


def _chain(steps: list[Step]) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        if not isinstance(x, Tensor):
            raise TypeError(f"nn.Sequential was given a {type(x).__name__}: one tensor is possible")
        pair = Pair.of(x)
        del x
        for step in steps:
            step(pair)
        return pair.dual()

    return forward


def _step(
    module: nn.Module, layers: dict[int, Layer], shift: Shift, called: Callable[[Layer], None]
) -> Step:
    kind = type(module).forward
    layer = layers.get(id(module), Layer("", module, ()))
    if kind in AFFINE and plain(module, kind):

        def affine(pair: Pair) -> None:
            called(layer)
            through_affine(pair, layer, shift)

        return affine

    def ordinary(pair: Pair) -> None:
        made = Pair.of(module(pair.dual()))
        pair.primal, pair.tangent, pair.own = made.primal, made.tangent, False

    if kind not in IN_PLACE or not plain(module, kind):
        return ordinary

    def element_wise(pair: Pair) -> None:
        if not pair.own or pair.tangent is None:
            ordinary(pair)
        else:
            IN_PLACE[kind](module, pair.primal, pair.tangent)

    return element_wise
