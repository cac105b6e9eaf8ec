"""Bayesian distillation: a student that learns little by little from what its teacher was sure of.

[A] Domain models evolve by Bayesian distillation: the teacher is the prior of its student. [ours]
The prior is a Gaussian around the teacher, cut to the weights that are admissible, with the
teacher's diagonal Fisher information as its precision::

    p(W) ∝ 1[W admissible]·N(W; Π(teacher), Σ),   Σ⁻¹ = strength·(F + damping)

and the student minimises KL(teacher || student) on probes - log p(W), beside the loss on what
labelled samples there are. Without probes and with every weight admissible this is elastic weight
consolidation (Kirkpatrick et al., 2017, arXiv 1612.00796).

>>> import torch
>>> from torch import nn
>>> from torch_bridge.adaptive.distill import Distillation, Prior, fisher
>>> _ = torch.manual_seed(0)
>>> teacher, student = nn.Linear(4, 3), nn.Linear(4, 3)
>>> x, probes = torch.randn(20, 4), torch.randn(50, 4)
>>> prior = Prior(teacher, fisher(teacher, x), strength=20, damping=1e-3)
>>> _ = student.load_state_dict(prior.mean)
>>> loss = Distillation(teacher, probes, prior, samples=20)
>>> loss(student).item()                      # the teacher itself, to rounding
0.0
>>> with torch.no_grad():
...     _ = student.weight.add_(0.1)
>>> loss(student).item() > 0
True
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite, prod

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

import posit
from posit import PositSpec
from posit.spec import SpecLike

from .. import ops
from .._gradient_sum import GradientSum
from ..clifford import grade_project_
from ..ops._kernels import bits_of, tensor_of
from ._gates import log_softmax

__all__ = ["Admissible", "Distillation", "Prior", "fisher"]

Weights = Mapping[str, Tensor]

_PIECE = 1 << 22  # elements of derivatives in memory at a time


def fisher(
    model: nn.Module, inputs: Tensor, *, spec: SpecLike = "bposit32", batch: int | None = None
) -> dict[str, Tensor]:
    """The diagonal Fisher information of a classifier's parameters, from exact sums [ours].

    ``F = Σ_x Σ_y p(y|x)·(∂ log p(y|x)/∂w)² / n``, over all classes y, so that no labels are needed
    and none is drawn. The summand is the square of h = ∂ 2√p(y|x)/∂w: each h is rounded to
    ``spec``, squares and their sum are exact in one quire for each parameter's element, which is
    rounded once, and then once more when divided by n. So the bits depend neither on the order of
    the inputs nor on ``batch``, if those of h do not; of a converted model they do not.

    Parameters
    ----------
    model : Module
        (B, …) to logits (B, C), without state or randomness across samples: in eval mode.
    inputs : Tensor, (n, …)
    spec : PositSpec, dtype or text
    batch : int, optional
        Samples at a time; by default as many as some 32 MB of derivatives take.

    Returns
    -------
    dict of parameter names to float64 tensors of their shapes, posits of ``spec``.

    Raises ValueError without inputs, and FloatingPointError for derivatives that are not finite.
    """
    _check_inputs(inputs, "inputs")
    _check_alone(model)
    if batch is not None and batch < 1:
        raise ValueError(f"batch={batch}: possible are integers from 1")
    to, size = PositSpec.parse(spec), sum(p.numel() for p in model.parameters())
    weights = {name: p.detach() for name, p in model.named_parameters()}

    def root(w: dict[str, Tensor], x: Tensor) -> Tensor:
        (answer,) = functional_call(model, w, (x.unsqueeze(0),))
        return 2 * torch.exp(log_softmax(answer) / 2)

    with torch.no_grad():
        classes = model(inputs[:1]).shape[-1]
    step = batch or max(1, _PIECE // max(1, size * classes))
    sums = {name: GradientSum(w.shape, to) for name, w in weights.items()}
    for part in inputs.split(step):
        for name, h in vmap(jacrev(root), (None, 0))(weights, part).items():
            if not bool(h.isfinite().all()):
                raise FloatingPointError(f"derivatives by {name} have NaN or NaR, or overflow")
            bits = bits_of(h.flatten(0, 1), to)
            sums[name].add_dots(bits, bits)
    count = posit.encode(float(len(inputs)), to)
    return {name: tensor_of(posit.div(s.round(), count, to), to) for name, s in sums.items()}


@dataclass(frozen=True)
class Admissible:
    """Which weights may be: coefficients of grades that are there, numbers of a format [ours].

    Parameters
    ----------
    masks : mapping of parameter names to bool tensors
        True for elements that need not be 0, as :func:`torch_bridge.clifford.grade_project_` takes.
    spec : PositSpec, dtype or text, optional
        Every element is one of its posits.
    """

    masks: Weights = field(default_factory=dict)
    spec: SpecLike | None = None

    def project(self, weights: Weights) -> dict[str, Tensor]:
        """Π: the admissible weights nearest to these, element by element; new tensors.

        They are nearest by any diagonal metric, so by that of the prior too. (A rounding to posits
        is to the nearest in their own sense: docs/format.md.)
        """
        made = {}
        for name, w in weights.items():
            x = w.detach().clone() if self.spec is None else ops.fake_quant(w.detach(), self.spec)
            made[name] = grade_project_(x, self.masks[name]) if name in self.masks else x
        return made

    def objections(self, weights: Weights) -> list[str]:
        """What of the weights is not admissible, in words; empty if all is."""
        if not self.masks and self.spec is None:
            return []
        nearest = self.project(weights)
        return [
            f"{name}: {count} of {w.numel()} elements are not admissible"
            for name, w in weights.items()
            if (count := int((nearest[name] != w.detach()).sum()))
        ]


class Prior:
    """p(W) ∝ 1[W admissible]·N(W; Π(teacher), Σ), with Σ⁻¹ = strength·(F + damping) [ours].

    Parameters
    ----------
    teacher : Module, or mapping of names to tensors
        Its parameters.
    information : mapping of the same names to tensors
        F, of :func:`fisher`.
    strength : float
        How many samples' worth the teacher's own evidence is, at least 0.
    damping : float
        What is added to F, at least 0: weights that no answer depends on have an F of 0.
    admissible : Admissible

    :attr:`mean` is Π(teacher) and :attr:`precision` the diagonal of Σ⁻¹; :meth:`neg_log` wants a
    student with the same names and shapes.
    """

    def __init__(
        self,
        teacher: nn.Module | Weights,
        information: Weights,
        *,
        strength: float,
        damping: float = 0.0,
        admissible: Admissible | None = None,
    ) -> None:
        for name, value in (("strength", strength), ("damping", damping)):
            if not isfinite(value) or value < 0:
                raise ValueError(f"{name}={value}: possible are finite numbers from 0")
        self.admissible = Admissible() if admissible is None else admissible
        weights = _weights_of(teacher)
        for name, w in weights.items():
            if not bool(w.isfinite().all()):
                raise ValueError(f"the teacher's {name} has NaN (NaR) or infinity")
        _check_alike(weights, information, "the information")
        for name, f in information.items():
            if not bool((f >= 0).all() and f.isfinite().all()):
                raise ValueError(f"the information on {name} is negative, or not finite")
        if unknown := self.admissible.masks.keys() - weights.keys():
            raise ValueError(f"there is a mask for {min(unknown)!r}, and no such parameter")
        self.mean = self.admissible.project(weights)
        self.precision = {name: strength * (f + damping) for name, f in information.items()}

    def neg_log(self, student: nn.Module | Weights) -> Tensor:
        """-log p(W) up to a constant, ½ Σ precision·(W - mean)²; infinite where not admissible.

        NaN where a weight is. float64, with derivatives: each element's is computed by itself, so
        its bits are the same everywhere. :meth:`Admissible.objections` tells what is not
        admissible.
        """
        weights = _weights_of(student, detach=False)
        _check_alike(self.mean, weights, "the student")
        terms = []
        for name, w in weights.items():
            apart = w.double() - self.mean[name].double()
            terms.append((self.precision[name].double() * apart * apart).sum())
        energy = 0.5 * torch.stack(terms).sum()
        return energy + torch.inf if self.admissible.objections(weights) else energy


class Distillation:
    """share·KL(teacher || student) + neg_log(student)/samples: add it to the loss on labels [ours].

    KL is the mean over the probes, in nats. With the mean cross-entropy of n labelled samples and
    ``samples=n``, the sum is the negative logarithm of the posterior over n, with KL as n·share
    samples whose labels the teacher gives as probabilities.

    Parameters
    ----------
    teacher : Module
        (B, …) to logits (B, C), in eval mode; asked once, now.
    probes : Tensor, (P, …)
        Inputs without labels.
    prior : Prior
    samples : int
        n.
    share : float
    temperature : float
        Logits of both are divided by it, and KL is multiplied by its square (Hinton et al., 2015).

    Raises ValueError for an empty set of probes, probes or answers that are not finite, and options
    that are not possible.
    """

    def __init__(
        self,
        teacher: nn.Module,
        probes: Tensor,
        prior: Prior,
        *,
        samples: int,
        share: float = 1.0,
        temperature: float = 1.0,
    ) -> None:
        _check_inputs(probes, "probes")
        if isinstance(teacher, nn.Module):
            _check_alone(teacher)
        if samples < 1 or not 0 <= share < float("inf") or not 0 < temperature < float("inf"):
            raise ValueError(
                f"samples={samples}, share={share}, temperature={temperature}: possible are from 1,"
                " from 0, and above 0"
            )
        self.probes, self.prior = probes, prior
        self.samples, self.share, self.temperature = samples, share, temperature
        with torch.no_grad():
            answers = teacher(probes)
        if not bool(answers.isfinite().all()):
            raise ValueError("the teacher's answers to the probes are not finite (NaR)")
        self.wanted = log_softmax(answers / temperature)

    def __call__(self, student: nn.Module, rows: Tensor | None = None) -> Tensor:
        """The loss, float64 with derivatives; of the probes in ``rows`` alone, if given."""
        probes, wanted = self.probes, self.wanted
        if rows is not None:
            probes, wanted = probes[rows], wanted[rows]
            if not len(probes):
                raise ValueError("an empty set of probes: there is nothing to compare on")
        answers = student(probes)
        if answers.shape != wanted.shape:
            raise ValueError(
                f"the student answers {tuple(answers.shape)}, the teacher {tuple(wanted.shape)}"
            )
        said = log_softmax(answers / self.temperature)
        kl = nn.functional.kl_div(said, wanted, reduction="sum", log_target=True)
        rows_of = prod(wanted.shape[:-1])
        scale = self.share * self.temperature**2 / rows_of
        return scale * kl + self.prior.neg_log(student) / self.samples


def _weights_of(model: nn.Module | Weights, detach: bool = True) -> dict[str, Tensor]:
    named = model.named_parameters() if isinstance(model, nn.Module) else model.items()
    made = {name: w.detach() if detach else w for name, w in named}
    if not made:
        raise ValueError("there are no parameters")
    return made


def _check_alike(wanted: Weights, found: Weights, what: str) -> None:
    for name in sorted(wanted.keys() | found.keys()):
        here, there = (tuple(x[name].shape) if name in x else None for x in (wanted, found))
        if here != there:
            raise ValueError(
                f"{name}: the teacher's is {here or 'not there'}, of {what} it is"
                f" {there or 'not there'}; a prior is over the same parameters"
            )


def _check_inputs(x: Tensor, what: str) -> None:
    if x.dim() == 0 or not len(x):
        raise ValueError(f"an empty set of {what}: there is nothing to compare on")
    if x.is_floating_point() and not bool(x.isfinite().all()):
        raise ValueError(f"{what} have NaN (NaR) or infinity")


def _check_alone(model: nn.Module) -> None:
    """Raise ValueError where a sample's answer depends on chance, or on the samples beside it."""
    kinds = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)
    if any(isinstance(m, kinds) and m.training for m in model.modules()):
        raise ValueError("dropout and batch normalisation need model.eval(): samples are alone")
