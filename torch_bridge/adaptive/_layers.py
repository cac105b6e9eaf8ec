"""A model's layers, each run with directions that live no longer than its own forward pass.

While a pass runs, trainable parameters are not attributes of their modules. They are there during
the forward of the module they belong to, then as dual numbers. So a parameter that something else
reads is an error that names it, and never a derivative that silently lacks a term.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from posit import PositSpec

from .._module import is_converted
from .._tensor import PositTensor

__all__ = [
    "Layer",
    "Leaf",
    "Plan",
    "activations_of",
    "lent",
    "pass_through",
    "plain",
    "plan_of",
    "unused",
]

_CONTAINERS = (nn.ParameterList, nn.ParameterDict)  # never called: they belong to what is around
_WHOLE = (nn.MultiheadAttention,)  # reads the weights of modules inside without calling them
_COMPILED = "torch._dynamo."

Run = Callable[["Layer", Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


@dataclass(frozen=True, eq=False)
class Leaf:
    """A trainable parameter, once however often it is used."""

    index: int
    name: str
    parameter: nn.Parameter

    @property
    def spec(self) -> PositSpec | None:
        """The format whose posits its elements are."""
        found: PositSpec | None = getattr(self.parameter, "spec", None)
        return found


@dataclass(frozen=True, eq=False)
class Layer:
    """A module and the parameters that its forward pass reads."""

    name: str
    module: nn.Module
    slots: tuple[tuple[nn.Module, str, Leaf], ...]

    def leaves(self) -> dict[str, Leaf]:
        """Its own parameters, by attribute."""
        return {attribute: leaf for module, attribute, leaf in self.slots if module is self.module}


@dataclass(frozen=True)
class Plan:
    """The layers of a model, and its trainable parameters."""

    model: nn.Module
    leaves: tuple[Leaf, ...]
    layers: tuple[Layer, ...]


def plan_of(model: nn.Module, whole: tuple[type[nn.Module], ...] = ()) -> Plan:
    """Find the layers; modules of the types ``whole`` are one layer with all that is inside.

    Raises ValueError for a model without trainable parameters, TypeError for parameters that have
    no real tangent or modules whose forward cannot be followed.
    """
    leaves = {
        id(p): Leaf(i, name, p)
        for i, (name, p) in enumerate(
            (n, p) for n, p in model.named_parameters() if p.requires_grad
        )
    }
    if not leaves:
        raise ValueError(f"{type(model).__name__} has no parameter that requires a gradient")
    for leaf in leaves.values():
        if isinstance(leaf.parameter, PositTensor) or not leaf.parameter.is_floating_point():
            kind = type(leaf.parameter.data).__name__
            raise TypeError(
                f"{leaf.name} is a {kind} of {leaf.parameter.dtype}: possible are float parameters,"
                " and those of models that convert_ has made"
            )
    layers: list[Layer] = []

    def own(module: nn.Module) -> Iterator[tuple[nn.Module, str, Leaf]]:
        for attribute, p in module._parameters.items():
            if p is not None and id(p) in leaves:
                yield module, attribute, leaves[id(p)]

    def visit(name: str, module: nn.Module) -> Iterator[tuple[nn.Module, str, Leaf]]:
        """The slots that belong to what is around the module."""
        _check_module(name, module)
        slots, inside = list(own(module)), isinstance(module, (*_WHOLE, *whole))
        if inside:
            for child in list(module.modules())[1:]:
                slots += own(child)
        else:
            for key, child in module.named_children():
                slots += visit(f"{name}.{key}" if name else key, child)
        if isinstance(module, _CONTAINERS):
            yield from slots
        elif slots and all(layer.module is not module for layer in layers):
            layers.append(Layer(name, module, tuple(slots)))

    if list(visit("", model)):
        raise TypeError(f"a {type(model).__name__} is a list of parameters and no model")
    return Plan(model, tuple(leaves.values()), tuple(layers))


def _check_module(name: str, module: nn.Module) -> None:
    compiled = type(module).__module__.startswith(_COMPILED) or module._compiled_call_impl
    if isinstance(module, torch.jit.ScriptModule) or compiled:
        raise TypeError(
            f"{name or 'the model'} is a compiled or scripted {type(module).__name__}: forward-mode"
            " derivatives are lost in those; give the module that it was made from"
        )


def plain(module: nn.Module, method: Callable[..., Any]) -> bool:
    """Whether calling the module is ``method`` and nothing else: no hooks, nothing replaced."""
    hooks = module._forward_hooks or module._forward_pre_hooks
    return type(module).forward is method and "forward" not in module.__dict__ and not hooks


@contextmanager
def pass_through(
    plan: Plan, run: Run, others: dict[nn.Module, Callable[..., Any]] | None = None
) -> Iterator[set[int]]:
    """Let each layer's forward be ``run(layer, forward, args, kwargs)`` inside.

    ``others`` are modules whose forward is replaced altogether. Yields the identities of the
    layers' modules that have been called. In the end, and after an exception, the model is as it
    was, with its parameters in their order.
    """
    kept = [(m._parameters, dict(m._parameters)) for m in _distinct(plan)]
    replaced: list[tuple[dict[str, Any], Any]] = []
    called: set[int] = set()

    def wrapped(layer: Layer, inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        called.add(id(layer.module))
        return run(layer, inner, args, kwargs)

    def replace(module: nn.Module, forward: Callable[..., Any]) -> None:
        replaced.append((module.__dict__, module.__dict__.get("forward")))
        module.__dict__["forward"] = forward

    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)  # it has no forward-mode derivative
        for module, forward in (others or {}).items():
            replace(module, forward)
        for layer in plan.layers:
            inner = layer.module.__dict__.get("forward") or partial(
                type(layer.module).forward, layer.module
            )
            replace(layer.module, partial(wrapped, layer, inner))
            for module, attribute, _ in layer.slots:
                module._parameters.pop(attribute, None)
        with sdpa_kernel(SDPBackend.MATH):  # the only one that has
            yield called
    except AttributeError as error:
        raise _explained(error, plan) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for own, forward in reversed(replaced):
            own.pop("forward", None)
            if forward is not None:
                own["forward"] = forward
        for parameters, before in kept:
            parameters.clear()
            parameters.update(before)


def _distinct(plan: Plan) -> list[nn.Module]:
    found = {id(module): module for layer in plan.layers for module, _, _ in layer.slots}
    return list(found.values())


def _explained(error: AttributeError, plan: Plan) -> Exception:
    """What it means that a parameter is not there."""
    for layer in plan.layers:
        for module, attribute, leaf in layer.slots:
            if error.obj is module and error.name == attribute:
                return RuntimeError(
                    f"{leaf.name} is read outside of the forward pass of the module it belongs to,"
                    " where its tangent is not known: give the type of the module that reads it,"
                    " whole=(Type,), or call the module itself"
                )
    return error


@contextmanager
def lent(layer: Layer, value: Callable[[Leaf], Tensor]) -> Iterator[None]:
    """Give a layer these parameters for as long as its forward runs."""
    made: dict[Leaf, Tensor] = {}
    try:
        for module, attribute, leaf in layer.slots:
            if leaf not in made:
                made[leaf] = value(leaf)
            module._parameters[attribute] = made[leaf]  # type: ignore[assignment]
        yield
    finally:
        for module, attribute, _ in layer.slots:
            module._parameters.pop(attribute, None)


def unused(plan: Plan, called: set[int]) -> list[str]:
    """Names of parameters whose layers have not been called."""
    return [
        leaf.name
        for layer in plan.layers
        if id(layer.module) not in called
        for _, _, leaf in layer.slots
    ]


def activations_of(module: nn.Module) -> PositSpec | None:
    """The format of what a converted module computes; None for one of floats."""
    if not is_converted(module):
        return None
    config = module._posit_mode.config  # type: ignore[union-attr]
    found: PositSpec | None = None if config is None else config.activations  # type: ignore[union-attr, assignment]
    return found
