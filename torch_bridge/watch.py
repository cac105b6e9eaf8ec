"""Where NaR first appears in training: layer, direction, step, and how many elements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from .streams import current_step

__all__ = ["NaRWatch", "watch_nar"]


class NaRWatch:
    """What :func:`watch_nar` returns: ``remove()`` ends it, as does leaving ``with``."""

    def __init__(self, model: nn.Module, backward: bool) -> None:
        self._backward = backward
        self._calls = 0
        self._edges: Any = WeakTensorKeyDictionary()  # to the layers on both sides of a tensor
        self._handles = [model.register_forward_pre_hook(self._begin, with_kwargs=True)]
        for name, module in model.named_modules():
            shown = f"{name or 'the model'} ({type(module).__name__})"
            self._handles += self._watch(module, shown)

    def _watch(self, module: nn.Module, name: str) -> list[Any]:
        def enters(_: Any, args: Any, kwargs: Any) -> None:
            for x in self._tensors((args, kwargs)):
                self._edge(x).into = name  # of nested layers the inner one, which is the last

        def leaves(_: Any, args: Any, kwargs: Any, out: Any) -> None:
            for x in _floats(out):
                self._check_forward(x, f"the output of {name}", (args, kwargs))
            for x in self._tensors(out):
                edge = self._edge(x)
                edge.out_of = edge.out_of or name  # the inner one, which is the first

        return [
            module.register_forward_pre_hook(enters, with_kwargs=True),
            module.register_forward_hook(leaves, with_kwargs=True),
        ]

    def _begin(self, _: nn.Module, args: Any, kwargs: Any) -> None:
        self._calls += 1
        for x in _floats((args, kwargs)):
            self._check_forward(x, "the input of the model")

    def _check_forward(self, x: Tensor, where: str, source: Any = None) -> None:
        _check(x, f"step {self._step()}, forward", where, source)

    def _tensors(self, given: Any) -> Iterator[Tensor]:
        if self._backward and torch.is_grad_enabled():
            yield from (x for x in _floats(given) if x.requires_grad and not x.is_leaf)

    def _edge(self, x: Tensor) -> _Edge:
        found: _Edge | None = self._edges.get(x)
        if found is None:
            found = self._edges[x] = _Edge(self, self._step())
            x.register_hook(found.check)
        return found

    @property
    def active(self) -> bool:
        """Whether it has not been removed."""
        return bool(self._handles)

    def _step(self) -> int:
        named = current_step()
        return self._calls if named is None else named

    def remove(self) -> None:
        """End the watch."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


class _Edge:
    """A tensor between layers; what it knows when its gradient arrives."""

    def __init__(self, watch: NaRWatch, step: int) -> None:
        self.watch, self.step, self.into, self.out_of = watch, step, "", ""

    def check(self, gradient: Tensor) -> None:
        """Of the gradient; nothing once the watch has ended."""
        if not self.watch.active:
            return
        sides = [f"the output of {self.out_of}"] if self.out_of else []
        sides += [f"the input of {self.into}"] if self.into else []
        _check(gradient, f"step {self.step}, backward", f"the gradient of {', '.join(sides)}")


def _floats(value: Any) -> Iterator[Tensor]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        for x in value:
            yield from _floats(x)
    elif isinstance(value, Tensor) and value.is_floating_point():
        yield value


def _check(x: Tensor, when: str, where: str, source: Any = None) -> None:
    count = int(x.detach().isnan().count_nonzero())
    if not count:
        return
    came = sum(int(s.detach().isnan().count_nonzero()) for s in _floats(source))
    more = f"; its inputs had {came}" if source is not None else ""
    raise FloatingPointError(f"{when}: {where} is NaR in {count} of {x.numel()} elements{more}")


def watch_nar(model: nn.Module, *, backward: bool = True) -> NaRWatch:
    """Raise FloatingPointError where NaR appears in what a model's layers pass on.

    Costs one comparison of each element that a layer gives or gets, and keeps nothing alive. Works
    for models of any kind; NaN is what NaR looks like in float64.

    Parameters
    ----------
    model : Module
    backward : bool
        Whether the gradients that pass between layers are looked at too.

    Returns a handle with ``remove()``, also a context manager. The step is that of
    :func:`torch_bridge.stream`, else the number of the model's call. Parameters' gradients are the
    optimizers' to check (``on_nar``).
    """
    return NaRWatch(model, backward)
