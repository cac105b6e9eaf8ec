"""Training without a backward pass through the model, in memory that does not grow with depth.

[A] arXiv 2603.18104: forward-mode differentiation trains in about twice the memory of inference,
whatever the depth, and each directional derivative is accumulated exactly. [ours] The estimators,
the perturbation of activations, directions made from seeds, and every signature here.

>>> import torch
>>> from torch import nn
>>> from torch.nn.functional import cross_entropy
>>> from torch_bridge.adaptive import forward
>>> _ = torch.manual_seed(0)
>>> model = nn.Sequential(nn.Linear(4, 2), nn.Tanh(), nn.Linear(2, 3)).double()
>>> x, y = torch.rand(6, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2])
>>> def loss(output, target):  # one number for each sample
...     return cross_entropy(output, target, reduction="none")
>>> found = forward.gradient(model, loss, (x, y), tangents=19, estimator="projected")
>>> exact = torch.autograd.grad(loss(model(x), y).mean(), list(model.parameters()))
>>> all(torch.allclose(a, b, rtol=1e-9) for a, b in zip(found.tensors.values(), exact))
True

What exact sums remove is numerical error. The error of a forward gradient is sampling error: with K
directions among P parameters, the averaged estimate's squared error is about P/K times the squared
gradient. docs/forward.md has measurements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

import posit
from posit import PositSpec

from .._patterns import patterns_of, write
from ..ops._kernels import tensor_of
from ..optim._formats import formats
from ..optim._update import UPDATES, Place, Step
from ._batches import Batch, parts_of, repeatable
from ._errors import by_activations
from ._estimators import WORK, Derivatives, Estimator, check_count, combined, weights_of
from ._layers import plan_of
from ._passes import Loss, Perturb, Problem, one_pass
from ._tangents import Distribution, seeds_of

__all__ = ["Derivatives", "Estimate", "Trainer", "derivatives", "gradient"]

Tangents = int | Sequence[int]


@dataclass(frozen=True)
class Estimate:
    """An estimate of the gradient of the mean loss.

    Parameters
    ----------
    loss : float
        The mean over the batch.
    tensors : dict
        Parameter names to tensors of their shape and dtype; of a converted model, to posits.
    seeds : list of int
        The directions; ``gradient(…, tangents=seeds)`` repeats them.
    """

    loss: float
    tensors: dict[str, Tensor]
    seeds: list[int]

    def write(self, model: nn.Module) -> None:
        """Set ``.grad`` of the model's parameters, for an optimizer."""
        parameters = dict(model.named_parameters())
        for name, found in self.tensors.items():
            parameters[name].grad = found


def derivatives(
    model: nn.Module,
    loss: Loss,
    batch: Batch,
    *,
    tangents: Tangents = 1,
    seed: int = 0,
    step: int = 0,
    distribution: Distribution = "normal",
    micro_batch: int | None = None,
    whole: Sequence[type[nn.Module]] = (),
) -> Derivatives:
    """Exact sums over the batch of the derivatives along directions in weight space.

    Parameters as in :func:`gradient`. For those who share a batch among processes: each makes the
    sums of its samples, and they merge.
    """
    seeds = _seeds(tangents, seed, step, distribution)
    plan = plan_of(model, tuple(whole))
    return _derivatives(Problem(plan, loss, distribution, micro_batch), batch, seeds)


def gradient(
    model: nn.Module,
    loss: Loss,
    batch: Batch,
    *,
    tangents: Tangents = 1,
    perturb: Perturb = "weights",
    estimator: Estimator = "averaged",
    seed: int = 0,
    step: int = 0,
    distribution: Distribution = "normal",
    micro_batch: int | None = None,
    whole: Sequence[type[nn.Module]] = (),
) -> Estimate:
    """Estimate the gradient of the mean loss by forward passes along random directions.

    Parameters
    ----------
    model : nn.Module
        Of floats, or one that ``convert_`` has made. It is as before afterwards, but for what its
        forward pass itself changes, such as running statistics, once.
    loss : callable
        (output, targets) to one loss for each sample, (N,).
    batch : (inputs, targets)
        Tensors, or tuples of them, with N samples as first axis.
    tangents : int or sequence of int
        How many directions, or their seeds. Each costs a pass of about thrice the arithmetic of
        inference; passes follow one another, so memory does not depend on it.
    perturb : {"weights", "activations"}
        What a direction moves. "activations" [ours, after Ren et al., 2022] estimates the error at
        each layer's output, for each sample, and takes that back through this layer alone: far
        lower variance, one more pass, and the memory of one gradient. Layers return one tensor
        whose first axis is the samples.
    estimator : {"averaged", "projected"}
        Σ_k d_k·v_k/K, or V(VᵀV)⁻¹Vᵀ∇f; the second for weights alone.
    seed, step : int
        With ``tangents`` a number, what the directions are made of. Nothing else is random.
    distribution : {"normal", "rademacher"}
        N(0, 1), or ±1: unbiased too, with slightly less variance.
    micro_batch : int, optional
        Samples that go through the model at a time. Derivatives are summed exactly, so the result
        does not change, provided that the model computes a sample alike beside any others, as
        converted ones do (docs/reproducible.md).
    whole : sequence of types
        Modules whose forward reads parameters of modules inside of them without calling those.

    Sums are exact: over samples, rounded once to bposit64 with the division by their number; and
    over directions, of products with elements of v, rounded to the parameter's format or dtype
    (float64 and others by way of bposit64). So the averaged estimate is the same bits for every
    order of the tangents, and the projected one too, whose tangents are sorted by seed.

    Raises
    ------
    ValueError
        For impossible options, a loss that is not one for each sample, parameters whose module is
        not called, or dependent directions with "projected".
    TypeError
        For models that are compiled, or parameters that are not of floats.
    RuntimeError
        For parameters read outside of their module, or operations that drop derivatives.
    FloatingPointError
        For derivatives that are no numbers.
    """
    seeds = _seeds(tangents, seed, step, distribution)
    _check(perturb, estimator)
    plan = plan_of(model, tuple(whole))
    problem = Problem(plan, loss, distribution, micro_batch)
    if perturb == "activations":
        found = Derivatives(seeds)
        tensors = by_activations(problem, batch, found)
        return Estimate(found.loss(), tensors, seeds)
    check_count(seeds, estimator, plan.leaves)
    found = _derivatives(problem, batch, seeds)
    weights = weights_of(found, estimator, plan.leaves, distribution)
    tensors = {}
    for leaf in plan.leaves:
        made = torch.empty_like(leaf.parameter, requires_grad=False)
        rows = made.reshape(1) if made.dim() == 0 else made
        to = leaf.spec or WORK
        for where, bits in combined(leaf, seeds, weights, distribution, to):
            rows[where] = tensor_of(bits, to).reshape(rows[where].shape).to(made)
        tensors[leaf.name] = made
    return Estimate(found.loss(), tensors, seeds)


class Trainer:
    """Stochastic gradient descent by forward gradients that keeps nothing beside the weights.

    A step costs the passes of :func:`gradient` with weights perturbed; then each weight moves by
    -lr·Σ_k w_k·v_k, block by block, with directions made again from their seeds. No gradient, no
    momentum, no tape: with one tangent the most that is in memory beside weights and batch is three
    activations of the widest layers of an ``nn.Sequential``, four elsewhere; inference holds two.

    Parameters
    ----------
    model, loss, tangents, estimator, seed, distribution, micro_batch, whole
        As in :func:`gradient`; ``tangents`` is a number.
    lr : float
    update : {"stochastic", "nearest"}
        For posit parameters: how weight + step, an exact sum, is rounded. To nearest, steps smaller
        than half the distance of two posits are lost. Float parameters round to nearest.

    Use :func:`gradient` and an optimizer where memory for momenta is no matter.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        *,
        lr: float,
        tangents: int = 1,
        estimator: Estimator = "averaged",
        seed: int = 0,
        distribution: Distribution = "normal",
        micro_batch: int | None = None,
        whole: Sequence[type[nn.Module]] = (),
        update: str = "stochastic",
    ) -> None:
        _check("weights", estimator)
        if update not in ("stochastic", "nearest"):
            raise ValueError(f"update={update!r}: possible are stochastic and nearest")
        if not isinstance(tangents, int):
            raise TypeError(f"tangents={tangents!r}: a trainer needs their number, each step draws")
        _seeds(tangents, seed, 0, distribution)
        self.model, self.loss, self.lr, self.steps = model, loss, lr, 0
        self.tangents, self.estimator, self.seed = tangents, estimator, seed
        self.distribution, self.micro_batch = distribution, micro_batch
        self.whole, self.update = tuple(whole), update

    @torch.no_grad()
    def step(self, batch: Batch) -> float:
        """Move the weights once; returns the mean loss before.

        ``lr`` may be changed between steps. Raises as :func:`gradient`, before any weight changes.
        """
        if not np.isfinite(self.lr):
            raise ValueError(f"lr={self.lr}: possible are finite numbers")
        plan = plan_of(self.model, self.whole)
        seeds = _seeds(self.tangents, self.seed, self.steps, self.distribution)
        check_count(seeds, self.estimator, plan.leaves)
        problem = Problem(plan, self.loss, self.distribution, self.micro_batch)
        found = _derivatives(problem, batch, seeds)
        weights = weights_of(found, self.estimator, plan.leaves, self.distribution)
        rate = posit.encode(np.array(-float(self.lr)), WORK)
        steps = np.asarray(posit.mul(rate, weights, WORK), WORK.storage)
        start = 0
        for leaf in plan.leaves:
            p = leaf.parameter.detach()
            rows = p.reshape(1) if p.dim() == 0 else p
            f = None if leaf.spec is None else formats(leaf.spec, PositSpec.parse("bposit32"))
            to = WORK if f is None else f.work
            for where, bits in combined(leaf, seeds, steps, self.distribution, to):
                part = rows[where]
                if f is None:
                    part += tensor_of(bits, to).reshape(part.shape).to(part)
                else:
                    place = Place(self.seed, self.steps, start)
                    old, step = patterns_of(part, f.weight), Step(bits.reshape(part.shape))
                    write(part, UPDATES[self.update].moved(old, step, {}, f, place), f.weight)
                start += part.numel()
        self.steps += 1
        return found.loss()

    def state_dict(self) -> dict[str, Any]:
        """What the next step depends on, beside the model: its number."""
        return {"steps": self.steps, "seed": self.seed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the step where :meth:`state_dict` was called."""
        self.steps, self.seed = int(state["steps"]), int(state["seed"])


def _check(perturb: str, estimator: str) -> None:
    for name, value, kind in (("perturb", perturb, Perturb), ("estimator", estimator, Estimator)):
        if value not in get_args(kind):
            raise ValueError(f"{name}={value!r}: possible are {', '.join(get_args(kind))}")
    if perturb == "activations" and estimator == "projected":
        raise ValueError(
            "estimator='projected' needs perturb='weights': noise in activations is another for"
            " each sample, and would need a system for each; 'averaged' is possible"
        )


def _seeds(tangents: Tangents, seed: int, step: int, distribution: str) -> list[int]:
    if distribution not in get_args(Distribution):
        possible = ", ".join(get_args(Distribution))
        raise ValueError(f"distribution={distribution!r}: possible are {possible}")
    return seeds_of(tangents if isinstance(tangents, int) else list(tangents), seed, step)


def _derivatives(problem: Problem, batch: Batch, seeds: list[int]) -> Derivatives:
    found = Derivatives(seeds)
    for _, part in parts_of(batch, problem.micro_batch):
        with repeatable(problem.plan.model) as before:
            for k, seed in enumerate(seeds):
                before()
                losses, slopes = one_pass(problem, part, seed)
                if k == 0:
                    found.add_losses(losses)
                found.add(seed, slopes)
    return found
