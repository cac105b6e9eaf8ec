"""Noise in activations: what each layer's output is off by, and from that its parameters' gradient.

[ours], after Ren et al., "Scaling Forward Gradient With Local Losses", 2022. For sample i with
derivative d_i along its noise v_i the error at a layer's output is estimated as d_i·v_i, and the
gradient of the layer's parameters follows by a backward pass through this one layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

import posit
from quire import Accumulators

from .. import gradients
from .._registry import is_collecting
from ..ops._kernels import bits_of, tensor_of
from ._batches import Batch, parts_of, repeatable
from ._estimators import WORK, Derivatives
from ._layers import Leaf, Plan, lent, pass_through
from ._passes import Noise, Problem, one_pass, one_tensor
from ._tangents import Tangent

__all__ = ["by_activations"]


def by_activations(problem: Problem, batch: Batch, found: Derivatives) -> dict[str, Tensor]:
    """Gradients by name; ``found`` gets the losses and derivatives.

    A converted model leaves the terms of its parameters' gradients in exact sums, over samples and
    micro-batches, rounded once; float ones are added in their dtype.
    """
    plan = problem.plan
    _check_separate(plan)
    _check_samples(plan.model)
    parts = list(parts_of(batch, problem.micro_batch))
    divisor = len(found.seeds) * sum(len(x[0][0]) for _, x in parts)
    with _collecting(plan.leaves) as collected:
        for start, part in parts:
            with repeatable(plan.model) as before:
                slopes = []
                for k, seed in enumerate(found.seeds):
                    before()
                    noise = Noise([seed], problem.distribution, start)
                    losses, slope = one_pass(problem, part, noise)
                    if k == 0:
                        found.add_losses(losses)
                    found.add(seed, slope)
                    slopes.append(slope)
                found.means()  # raises for what is no number
                before()
                noise = Noise(found.seeds, problem.distribution, start)
                _back(plan, part[0], noise, slopes, divisor)
        made = collected()
    wrong = [name for name, g in made.items() if not g.isfinite().all()]
    if wrong:
        raise FloatingPointError(
            f"the gradient of {wrong[0]} has elements that are no numbers ({len(wrong)} of"
            f" {len(made)} parameters'); no parameter was changed"
        )
    return made


def _back(
    plan: Plan, inputs: tuple[object, ...], noise: Noise, slopes: list[Tensor], divisor: int
) -> None:
    """Run the model once more, and each layer backward from its error. No graph outlives it."""
    samples = len(slopes[0])

    def run(layer, inner, args, kwargs):  # type: ignore[no-untyped-def]
        with lent(layer, lambda leaf: leaf.parameter), torch.enable_grad():
            out = one_tensor(layer, inner(*args, **kwargs))
        with torch._C.DisableTorchFunction():
            tangents = noise.next(layer, out.detach(), samples)
            if out.requires_grad:
                error = _error(tangents, slopes, noise.start, divisor)
                torch.autograd.backward(out, error.to(out))
            return out.detach()

    with torch.no_grad(), pass_through(plan, run):
        plan.model(*inputs)


def _error(tangents: list[Tangent], slopes: list[Tensor], start: int, divisor: int) -> Tensor:
    """Σ_k d_k·v_k/divisor for each sample: exact but for the quotients where there is a format."""
    samples, spec = len(slopes[0]), tangents[0].spec
    shape = (samples, *tangents[0].shape[1:])
    if spec is None:
        total = torch.zeros(shape, dtype=tangents[0].dtype)
        for tangent, slope in zip(tangents, slopes, strict=True):
            factor = (slope.cpu() / divisor).to(total.dtype).reshape(-1, *[1] * (len(shape) - 1))
            total += tangent.samples(start, start + samples).mul_(factor)
        return total
    summed = np.stack([bits_of(s, WORK) for s in slopes], -1)
    d = np.asarray(posit.div(summed, posit.encode(np.array(divisor), WORK), WORK))
    v = np.stack([bits_of(t.samples(start, start + samples), WORK) for t in tangents], -1)
    sums = Accumulators(shape, WORK)
    sums.add_dots(v, np.reshape(d, (samples, *[1] * (len(shape) - 1), len(slopes))))
    return tensor_of(sums.round(spec), spec)


@contextmanager
def _collecting(leaves: tuple[Leaf, ...]) -> Iterator[Callable[[], dict[str, Tensor]]]:
    """Let backward passes leave gradients, and take them; ``.grad`` is as it was afterwards."""
    for leaf in leaves:
        kept = gradients.find(leaf.parameter)
        if kept is not None and not kept.is_empty:
            raise RuntimeError(
                f"{leaf.name} has an exact gradient that no step has used, and this would be added"
                " to it: optimizer.zero_grad() first"
            )
    before = [leaf.parameter.grad for leaf in leaves]
    posits = [leaf.parameter for leaf in leaves if leaf.spec is not None]
    ours = [p for p in posits if not is_collecting(p)]
    gradients.collect(ours)
    for leaf in leaves:
        leaf.parameter.grad = None

    def taken() -> dict[str, Tensor]:
        return {leaf.name: _taken(leaf) for leaf in leaves}

    try:
        yield taken
    finally:
        gradients.clear(posits)
        gradients.release(ours)
        for leaf, grad in zip(leaves, before, strict=True):
            leaf.parameter.grad = grad


def _taken(leaf: Leaf) -> Tensor:
    p = leaf.parameter
    bits = None if leaf.spec is None else gradients.rounded(p, leaf.spec)
    if bits is not None:
        assert leaf.spec is not None
        return tensor_of(bits, leaf.spec)
    return torch.zeros_like(p, requires_grad=False) if p.grad is None else p.grad


def _check_samples(model: nn.Module) -> None:
    """Raise ValueError where one sample's noise reaches the loss of another."""
    for name, m in model.named_modules():
        together = isinstance(m, nn.modules.batchnorm._BatchNorm)
        if together and (m.training or m.running_mean is None):
            raise ValueError(
                f"{name or 'the model'} normalises over the batch: a sample's noise in activations"
                " reaches the losses of others, and the estimate would be biased; use .eval(), or"
                " perturb='weights'"
            )


def _check_separate(plan: Plan) -> None:
    """Raise ValueError unless no layer is inside another: the noise of one is not the other's."""
    names = {id(layer.module): layer.name for layer in plan.layers}
    for layer in plan.layers:
        inside = [m for m in list(layer.module.modules())[1:] if id(m) in names]
        if inside:
            raise ValueError(
                f"{layer.name or 'the model'} has parameters of its own and a layer"
                f" {names[id(inside[0])]!r} inside: noise in activations needs them apart; use"
                f" perturb='weights', or whole=({type(layer.module).__name__},)"
            )
