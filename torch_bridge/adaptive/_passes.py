"""One pass of a model along one direction.

Weights [A]: each layer's parameters are dual numbers while it runs. Activations [ours]: the tangent
of each layer's output gets noise of its own for each sample.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .. import ops
from ._batches import Part, size_of
from ._fused import AFFINE, Apply, Pair, chains, through_affine
from ._layers import Layer, Leaf, Plan, activations_of, lent, pass_through, plain, unused
from ._tangents import Distribution, Tangent

__all__ = ["Loss", "Noise", "Perturb", "Problem", "leaf_tangent", "one_pass", "one_tensor"]

# The first use of forward mode makes torch warn of code of its own.
with warnings.catch_warnings(action="ignore", category=DeprecationWarning), forward_ad.dual_level():
    forward_ad.make_dual(torch.zeros(()), torch.zeros(()))

Perturb = Literal["weights", "activations"]
Loss = Callable[[Any, Any], Tensor]


def leaf_tangent(leaf: Leaf, seed: int, distribution: Distribution) -> Tangent:
    """A direction's part for a parameter."""
    p = leaf.parameter
    return Tangent(seed, leaf.index, tuple(p.shape), p.dtype, leaf.spec, distribution)


@dataclass
class Noise:
    """A direction in the space of activations, met layer by layer in the order of the calls.

    Parameters
    ----------
    seeds : list of int
    distribution : str
    start : int
        The number of the first sample in the whole batch.
    """

    seeds: list[int]
    distribution: Distribution
    start: int
    calls: int = field(default=0, init=False)

    def next(self, layer: Layer, out: Tensor, samples: int) -> list[Tangent]:
        """The noise of each seed for the output of this call."""
        if out.dim() == 0 or out.shape[0] != samples:
            raise ValueError(
                f"{layer.name or 'the model'} makes {tuple(out.shape)} of {samples} samples: noise"
                " in activations needs the samples as first axis; perturb='weights' does not"
            )
        self.calls += 1
        shape, spec = tuple(out.shape), activations_of(layer.module)
        return [
            Tangent(s, self.calls - 1, shape, out.dtype, spec, self.distribution)
            for s in self.seeds
        ]


def one_tensor(layer: Layer, out: Any) -> Tensor:
    if not isinstance(out, Tensor):
        raise TypeError(
            f"{layer.name or 'the model'} returns a {type(out).__name__}: noise in activations is"
            " for layers that return one tensor; perturb='weights' is for all"
        )
    return out


def _of_weights(seed: int, distribution: Distribution) -> tuple[Any, Any]:
    def shift(layer: Layer, pair: Pair, apply: Apply) -> None:
        module: Any = layer.module
        leaves, t = layer.leaves(), pair.tangent
        assert t is not None
        axis = -1 - len(getattr(module, "kernel_size", ()))
        if "weight" in leaves:
            v = leaf_tangent(leaves["weight"], seed, distribution)
            if getattr(module, "groups", 1) == 1:
                for rows, part in v.blocks():
                    some = t.narrow(axis, rows.start, rows.stop - rows.start)
                    some.add_(apply(pair.primal, part.to(t.device), None))
            else:
                t.add_(apply(pair.primal, v.whole().to(t.device), None))
        if "bias" in leaves:
            v = leaf_tangent(leaves["bias"], seed, distribution)
            t.add_(v.whole().to(t.device).reshape(-1, *[1] * (-1 - axis)))

    def run(layer: Layer, inner: Any, args: Any, kwargs: Any) -> Any:
        def dual(leaf: Leaf) -> Tensor:
            with torch._C.DisableTorchFunction():  # a converted model would round in here
                p = leaf.parameter.detach()
                v = leaf_tangent(leaf, seed, distribution).whole().to(p.device)
                made: Tensor = forward_ad.make_dual(p, v)
                return made

        with lent(layer, dual):
            return inner(*args, **kwargs)

    return shift, run


def _of_activations(noise: Noise, samples: int) -> tuple[Any, Any]:
    def shift(layer: Layer, pair: Pair, apply: Apply) -> None:
        t = pair.tangent
        assert t is not None
        (v,) = noise.next(layer, t, samples)
        for start in range(0, samples, v.height):
            stop = min(samples, start + v.height)
            t[start:stop] += v.samples(noise.start + start, noise.start + stop).to(t.device)

    def run(layer: Layer, inner: Any, args: Any, kwargs: Any) -> Any:
        with lent(layer, lambda leaf: leaf.parameter.detach()):
            out = one_tensor(layer, inner(*args, **kwargs))
        with torch._C.DisableTorchFunction():
            primal, t = forward_ad.unpack_dual(out)
            (tangent,) = noise.next(layer, primal, samples)
            v = tangent.samples(noise.start, noise.start + samples).to(primal.device)
            if t is not None:
                v = v + t if tangent.spec is None else ops.add(v, t, spec=tangent.spec)
            return forward_ad.make_dual(primal, v)

    return shift, run


@dataclass(frozen=True)
class Problem:
    """What stays the same from pass to pass."""

    plan: Plan
    loss: Loss
    distribution: Distribution
    micro_batch: int | None


def one_pass(problem: Problem, part: Part, along: int | Noise) -> tuple[Tensor, Tensor]:
    """Losses and their derivatives along a direction, both (N,).

    ``along`` is the seed of a direction in the weights, or the noise of one seed in activations.
    """
    plan, (inputs, targets) = problem.plan, part
    samples = size_of(inputs)
    if isinstance(along, Noise):
        shift, run = _of_activations(along, samples)
    else:
        shift, run = _of_weights(along, problem.distribution)
    fused = {
        id(layer.module)
        for layer in plan.layers
        if type(layer.module).forward in AFFINE and plain(layer.module, type(layer.module).forward)
    }

    def step(layer: Layer, inner: Any, args: Any, kwargs: Any) -> Any:
        if id(layer.module) not in fused or len(args) != 1 or kwargs:
            return run(layer, inner, args, kwargs)
        pair = Pair.of(args[0])
        through_affine(pair, layer, shift)
        return pair.dual()

    seen: set[int] = set()
    others = chains(plan, shift, lambda layer: seen.add(id(layer.module)))
    with torch.no_grad(), forward_ad.dual_level():
        with pass_through(plan, step, others) as called:
            out = plan.model(*inputs)
        missing = unused(plan, called | seen)
        if missing:
            raise ValueError(
                f"{', '.join(missing)}: not called by the model's forward, so its derivative is"
                " not known; requires_grad_(False) freezes it, and whole=(Type,) names the type of"
                " a module that reads parameters of those inside"
            )
        losses = problem.loss(out, targets)
        if not isinstance(losses, Tensor) or losses.shape != (samples,):
            found = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
            raise ValueError(
                f"loss must return one number for each of {samples} samples (reduction='none'), and"
                f" gave {found}: the exact sum over the batch is made here"
            )
        primal, tangent = forward_ad.unpack_dual(losses)
        if tangent is None:
            raise RuntimeError(
                "the loss does not depend on the direction: some operation of the model or the loss"
                " has no forward-mode derivative, such as a torch.library.custom_op, and dropped it"
            )
        return primal, tangent
