"""Spiking neurons that learn by the times of their spikes, in quires.

[A] Spiking models learn by STDP under the update interface of other gradients; asking for an exact
accumulator where there is none raises. [ours] The pair rule, traces of eligibility in quires, and a
layer of neurons of which one at a time fires:

>>> import torch
>>> from torch_bridge.optim import PositSGD
>>> from torch_bridge.adaptive.spiking import WinnerTakeAll, keep_within, rate_code
>>> generator = torch.Generator().manual_seed(0)
>>> layer = WinnerTakeAll(8, 3, threshold=4.0, spec="bposit16", generator=generator)
>>> optimizer = PositSGD(layer.parameters(), lr=0.05, spec="bposit16")
>>> keep_within(optimizer, [layer.weight], 0.0, 1.0)
>>> for batch in torch.rand(20, 6, 4, generator=generator):
...     spikes = rate_code(batch, 16, generator=generator)  # on and off cells: 8 inputs
...     optimizer.zero_grad()
...     layer.deposit(spikes, layer(spikes))
...     optimizer.step()
>>> bool((layer.weight >= 0).all() and (layer.weight <= 1).all())
True
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

import posit
from posit import PositSpec
from posit.spec import SpecLike

from .. import ops
from .._parameter import PositParameter
from ._traces import STDP, Eligibility

__all__ = [
    "STDP", "Eligibility", "WinnerTakeAll", "keep_within", "name_neurons", "rate_code", "votes",
]  # fmt: skip


class WinnerTakeAll(nn.Module):
    """A layer of leaky neurons, of which at most one fires in each step and silences all [ours].

    In step t each neuron takes what its inputs bring, v <- leak·v + Σ_j w_j·s_j(t). Of those at
    their threshold or above, the one that is furthest above fires, and all v become 0. Of equals it
    is the first. With ``spec`` the sum is exact and rounded once, and so are the two operations on
    it; without, all is computed in float32.

    Parameters
    ----------
    inputs, neurons : int
    rule : STDP
    leak : float
        From 0 to 1, rounded to ``spec``.
    threshold : float
        Of every neuron, at first.
    target : float
        Spikes of all neurons that homeostasis aims at in each presentation.
    weights : (float, float)
        Between which the first weights are drawn, evenly.
    spec : PositSpec, dtype or text, optional
    generator : torch.Generator, optional

    ``weight`` (neurons, inputs) and ``threshold`` (neurons,) are parameters.
    """

    def __init__(
        self,
        inputs: int,
        neurons: int,
        *,
        rule: STDP | None = None,
        leak: float = 0.97,
        threshold: float = 1.0,
        target: float = 1.0,
        weights: tuple[float, float] = (0.2, 0.4),
        spec: SpecLike | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= leak <= 1 or not 0 < target < float("inf"):
            raise ValueError(f"leak={leak} is not from 0 to 1, or target={target} is not above 0")
        low, high = weights
        drawn = low + (high - low) * torch.rand(neurons, inputs, generator=generator)
        self.spec = None if spec is None else PositSpec.parse(spec)
        self.rule, self.target = STDP() if rule is None else rule, target
        self.leak: Tensor
        self.register_buffer("leak", self._rounded(torch.tensor(leak)), persistent=False)
        self.weight = self._parameter(drawn)
        self.threshold = self._parameter(torch.full((neurons,), float(threshold)))

    def forward(self, spikes: Tensor) -> Tensor:
        """Who fires when: bool (B, T, neurons), of input spikes bool (B, T, inputs).

        Raises FloatingPointError for NaN or NaR in weights or thresholds.
        """
        if spikes.dtype != torch.bool or spikes.shape[2:] != (self.weight.shape[1],):
            raise ValueError(
                f"spikes are bool (B, T, {self.weight.shape[1]}), got {spikes.dtype}"
                f" {tuple(spikes.shape)}"
            )
        for name, p in self.named_parameters():
            if not bool(p.isfinite().all()):
                raise FloatingPointError(f"{name} of the layer has NaN or NaR")
        with torch.no_grad():
            return self._run(spikes.to(self.weight.dtype))

    def deposit(self, pre: Tensor, post: Tensor) -> None:
        """Give weights and thresholds their gradients, for an optimizer to descend.

        A weight's is the sum over all pairs of spikes of the batch, and the pull of each spike
        (:meth:`Eligibility.add_pull`); a threshold's the neuron's share of the target less how
        often it fired, which is homeostasis: who fires too often will need more.

        Parameters
        ----------
        pre, post : bool Tensor, (B, T, inputs) and (B, T, neurons)
            What :meth:`forward` took and gave.
        """
        trace = Eligibility(self.weight, self.rule, exact=self.spec is not None)
        trace.add_spikes(pre, post)
        trace.add_pull(post)
        trace.deposit()
        share = self.target * len(post) / len(self.threshold)
        slope = (share - post.sum((0, 1))).to(self.threshold.dtype)
        self.threshold.grad = slope + (0 if self.threshold.grad is None else self.threshold.grad)

    def _run(self, x: Tensor) -> Tensor:
        current = self._linear(x)
        v = x.new_zeros(len(x), len(self.weight))
        fired = torch.zeros(current.shape, dtype=torch.bool)
        rows = torch.arange(len(x))
        for t in range(x.shape[1]):
            v, over = self._charged(v, current[:, t])
            first = torch.from_numpy(over.numpy().argmax(1))  # NumPy's is the first of equals
            fires = over[rows, first] >= 0
            fired[rows[fires], t, first[fires]] = True
            v[fires] = 0.0
        return fired

    def _linear(self, x: Tensor) -> Tensor:
        if self.spec is None:
            return x @ self.weight.mT
        return ops.linear(x, self.weight, spec=self.spec)

    def _charged(self, v: Tensor, current: Tensor) -> tuple[Tensor, Tensor]:
        """The potentials after a step, and how far each is above its threshold."""
        if self.spec is None:
            v = torch.addcmul(current, self.leak, v)
            return v, v - self.threshold
        v = ops.fma(self.leak, v, current, spec=self.spec)
        return v, ops.sub(v, self.threshold, spec=self.spec)  # its sign is exact

    def _rounded(self, x: Tensor) -> Tensor:
        return x.float() if self.spec is None else ops.fake_quant(x, self.spec)

    def _parameter(self, x: Tensor) -> nn.Parameter:
        values = self._rounded(x)
        if self.spec is None:
            return nn.Parameter(values, requires_grad=False)
        return PositParameter(values, False, self.spec)


def rate_code(
    intensity: Tensor, steps: int, *, rate: float = 0.5, generator: torch.Generator | None = None
) -> Tensor:
    """Spikes of on and off cells: bool (B, steps, 2·M), of intensities (B, M) from 0 to 1.

    [ours] In each step the on cell of x fires with probability rate·x, its off cell with
    rate·(1 - x), so that every image drives as many spikes. Raises ValueError for what is outside
    0 to 1.
    """
    if intensity.dim() != 2 or steps < 1 or not 0 <= rate <= 1:
        raise ValueError(
            f"intensities {tuple(intensity.shape)}, {steps} steps, rate={rate}: possible are (B, M)"
            ", 1 and more, and 0 to 1"
        )
    if not bool(((intensity >= 0) & (intensity <= 1)).all()):
        raise ValueError("intensities are from 0 to 1; some are not")
    cells = torch.cat([intensity, 1 - intensity], 1).unsqueeze(1).float()
    drawn = torch.rand(len(cells), steps, cells.shape[2], generator=generator)
    return drawn < rate * cells


def name_neurons(counts: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Which class each neuron stands for: int64 (N,), the one it answers most often on average.

    Parameters
    ----------
    counts : Tensor, (samples, N)
        How often each neuron fired.
    labels : int64 Tensor, (samples,)
        Every class occurs.
    """
    of_each = torch.bincount(labels, minlength=classes)
    if len(of_each) > classes or not bool(of_each.all()):
        raise ValueError(f"every one of {classes} classes needs a sample, and no other is possible")
    total = counts.new_zeros(classes, counts.shape[1], dtype=torch.float64)
    total.index_add_(0, labels, counts.double())
    return (total / of_each.unsqueeze(1)).argmax(0)


def votes(counts: Tensor, names: Tensor, classes: int) -> Tensor:
    """The class whose neurons fired most: int64 (samples,); -1 where none fired."""
    total = counts.new_zeros(len(counts), classes, dtype=torch.float64)
    total.index_add_(1, names, counts.double())
    return torch.where(total.sum(1) > 0, total.argmax(1), -1)


def keep_within(
    optimizer: Optimizer, parameters: Iterable[Tensor], low: float, high: float
) -> None:
    """After each step of the optimizer, bring the parameters back into [low, high].

    What ``update="residue"`` keeps beside a weight stays, less than one unit of its last place.

    Raises ValueError if low > high, or they are not numbers of a parameter's format; for
    parameters that the optimizer does not have; and with ``update="master"``, whose copies no bound
    would hold.
    """
    if not low <= high:
        raise ValueError(f"no weight is from {low} to {high}")
    bounded = list(parameters)
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for p in bounded:
        group = groups.get(id(p))
        if group is None:
            raise ValueError("a parameter to be bounded is not one of the optimizer's")
        if group.get("update") == "master":
            raise ValueError("update='master' moves copies that no bound holds: use 'residue'")
        spec = group.get("spec") or getattr(p, "spec", None)
        if spec is not None and not _are_posits((low, high), PositSpec.parse(spec)):
            raise ValueError(f"the bounds {low} and {high} are not both numbers of {spec}")

    @torch.no_grad()
    def clamp(*_: Any) -> None:
        for p in bounded:
            p.clamp_(low, high)

    optimizer.register_step_post_hook(clamp)


def _are_posits(values: tuple[float, float], spec: PositSpec) -> bool:
    wanted = np.array(values)
    return bool((posit.decode(posit.encode(wanted, spec), spec) == wanted).all())
