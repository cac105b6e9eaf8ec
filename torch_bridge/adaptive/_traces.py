"""The pair rule of spike-timing-dependent plasticity, and what its pairs add up to."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from math import isfinite
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

import posit
from posit import PositSpec, bposit64
from posit.spec import SpecLike

from .. import gradients
from .._gradient_sum import GradientSum
from .._tensor import PositTensor, to_float64
from ..ops._kernels import bits_of, tensor_of

__all__ = ["STDP", "Eligibility"]


@dataclass(frozen=True)
class STDP:
    """The pair rule: what one pair of spikes changes of the weight between two neurons.

    With Δt the time of the spike after the synapse less that of the one before it::

        dw = rise·exp(-Δt/tau_plus)    for Δt > 0: it may have caused the other
        dw = -fall·exp(Δt/tau_minus)   for Δt < 0: it came too late
        dw = 0                         for Δt = 0

    [A] spiking models learn by STDP. [ours] are the two exponentials, which is the pair rule of the
    literature (Song, Miller, Abbott, Nature Neuroscience 3, 2000), and 0 for spikes of one time.

    Parameters
    ----------
    rise, fall : float
        A₊ and A₋, in units of the weight, at least 0.
    tau_plus, tau_minus : float
        τ₊ and τ₋, in the unit of Δt, above 0.
    """

    rise: float = 1.0
    fall: float = 1.0
    tau_plus: float = 8.0
    tau_minus: float = 8.0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            least = "above 0" if name.startswith("tau") else "from 0"
            if not isfinite(value) or value < 0 or (value == 0 and least == "above 0"):
                raise ValueError(f"{name}={value}: possible are finite numbers {least}")

    def window(self, lag: Tensor, *, spec: SpecLike | None = None) -> Tensor:
        """dw of pairs Δt apart: float64 of the shape of ``lag``.

        With ``spec``, posits: quotient, exponential and product are each rounded correctly to
        bposit64 and the last one to ``spec``, so that the bits are the same on every machine.
        Raises ValueError for a Δt that is not finite.
        """
        t = lag.detach().to(torch.float64)
        if not bool(t.isfinite().all()):
            raise ValueError("a time between two spikes is not finite")
        tau = torch.where(t > 0, self.tau_plus, self.tau_minus).double()
        size = torch.where(t > 0, self.rise, -self.fall).double()
        if spec is None:
            return torch.where(t == 0, 0.0, size * torch.exp(-t.abs() / tau))
        to = PositSpec.parse(spec)
        times, at = np.unique(t.numpy(), return_inverse=True)
        positive = times > 0
        below, height = (
            posit.encode(np.where(positive, a, b), bposit64)
            for a, b in ((self.tau_plus, self.tau_minus), (self.rise, -self.fall))
        )
        ages = posit.encode(-np.abs(times), bposit64)
        decay = posit.functions.exp(posit.div(ages, below, bposit64), bposit64)
        made = posit.convert(posit.mul(height, decay, bposit64), bposit64, to)
        return tensor_of(np.where(times == 0, 0, made)[at].reshape(t.shape), to)


class _Sums(Protocol):
    """A sum for each synapse."""

    def add(self, synapses: Tensor, changes: Tensor) -> None: ...

    def scale(self, factor: float) -> None: ...

    def value(self) -> Tensor: ...

    def deposit(self, weight: Tensor, reward: float) -> None: ...

    def clear(self) -> None: ...


class _Exact:
    """One quire for each synapse. It holds -dw, so that descent along it adds dw."""

    def __init__(self, count: int, spec: PositSpec) -> None:
        self.sums = GradientSum((count,), spec)

    def add(self, synapses: Tensor, changes: Tensor) -> None:
        self.sums.add_rows(synapses.numpy(), bits_of(-changes, self.sums.spec))

    def scale(self, factor: float) -> None:
        held = self.sums.round()
        self.sums.clear().add_dots(held, np.full_like(held, self._scalar(factor)))

    def value(self) -> Tensor:
        return 0.0 - tensor_of(self.sums.round(), self.sums.spec)  # without a negative zero

    def deposit(self, weight: Tensor, reward: float) -> None:
        into = gradients.of(weight, self.sums.spec)
        if reward == 1:
            into.merge(self.sums.to_accumulators().reshape(tuple(weight.shape)))
            return
        held = self.sums.round().reshape(tuple(weight.shape))
        into.add_dots(held, np.full_like(held, self._scalar(reward)))

    def clear(self) -> None:
        self.sums.clear()

    def _scalar(self, x: float) -> Any:
        made = posit.encode(x, self.sums.spec)
        if posit.decode(made, self.sums.spec) != x:
            raise ValueError(f"{x} is no number of {self.sums.spec}; give one of its numbers")
        return made


class _Rounded:
    """A float for each synapse: every addition rounds, and their order matters."""

    def __init__(self, count: int, like: Tensor) -> None:
        self.total = torch.zeros(count, dtype=like.dtype, device=like.device)

    def add(self, synapses: Tensor, changes: Tensor) -> None:
        self.total.index_add_(0, synapses, changes.to(self.total.dtype))

    def scale(self, factor: float) -> None:
        self.total *= factor

    def value(self) -> Tensor:
        return self.total.clone()

    def deposit(self, weight: Tensor, reward: float) -> None:
        slope = (-reward * self.total).reshape(weight.shape)
        weight.grad = slope if weight.grad is None else weight.grad + slope

    def clear(self) -> None:
        self.total.zero_()


class Eligibility:
    """The eligibility trace of each synapse of a layer: the sum of what its pairs of spikes change.

    [A] STDP has the update interface of other gradients, and asking for an exact accumulator where
    there is none is an error, never a lossy fallback. [ours] The trace is one quire for each
    synapse. :meth:`deposit` gives it to the weights as ``backward()`` gives gradients
    (:mod:`torch_bridge.gradients`): any optimizer takes the step, and micro-batches, ranks and
    other terms add up exactly. It deposits -dw, because optimizers descend.

    Parameters
    ----------
    weight : Tensor, (N, M)
        Of synapses from M neurons to N: posits in float64, a PositTensor, or floats.
    rule : STDP
    spec : PositSpec, dtype or text, optional
        The format of the weights; by default their attribute ``spec``.
    exact : bool
        False sums in the floats of the weight instead: every pair rounds, in the order given.

    Raises
    ------
    TypeError
        If sums are to be exact and the weights are not posits on the CPU; or are not to be, and
        they are posits.
    """

    def __init__(
        self, weight: Tensor, rule: STDP, *, spec: SpecLike | None = None, exact: bool = True
    ) -> None:
        if weight.dim() != 2:
            raise ValueError(f"weights are (neurons, inputs), got {tuple(weight.shape)}")
        self.weight, self.rule = weight, rule
        self.spec = _format(weight, spec, exact)
        count = weight.numel()
        self._sums: _Sums = (
            _Rounded(count, weight) if self.spec is None else _Exact(count, self.spec)
        )

    @property
    def value(self) -> Tensor:
        """The traces (N, M), each rounded once: posits in float64, or floats of the weight."""
        return self._sums.value().reshape(self.weight.shape)

    def add_pairs(self, post: Tensor, pre: Tensor, lag: Tensor) -> None:
        """Add pairs of spikes: of neuron ``post[k]``, ``lag[k]`` after one of input ``pre[k]``.

        All have one axis and one length; indices are integers. Exact sums do not depend on the
        order of pairs, nor on how they are divided among calls.
        """
        self._add(post, pre, self.rule.window(lag, spec=self.spec))

    def add_spikes(self, pre: Tensor, post: Tensor) -> None:
        """Add every pair of a batch: bool (B, T, M) and (B, T, N), of B presentations of T steps.

        Spikes of different presentations make no pairs.
        """
        wanted = (*post.shape[:2], self.weight.shape[1]), (*pre.shape[:2], self.weight.shape[0])
        if pre.dim() != 3 or post.dim() != 3 or (pre.shape, post.shape) != wanted:
            raise ValueError(
                f"spikes {tuple(pre.shape)} and {tuple(post.shape)} are not (B, T, M) and (B, T, N)"
                f" of weights {tuple(self.weight.shape)}"
            )
        if pre.dtype != torch.bool or post.dtype != torch.bool:
            raise TypeError(f"spikes are of torch.bool, got {pre.dtype} and {post.dtype}")
        (sample, when, cell), (group, time, neuron) = pre.nonzero().T, post.nonzero().T
        counts = torch.bincount(sample, minlength=len(pre))
        starts, mine = counts.cumsum(0) - counts, counts[group]
        k = torch.arange(len(group)).repeat_interleave(mine)
        first = (mine.cumsum(0) - mine).repeat_interleave(mine)
        other = starts[group][k] + torch.arange(len(k)) - first
        self.add_pairs(neuron[k], cell[other], time[k] - when[other])

    def add_pull(self, post: Tensor) -> None:
        """For each spike of a neuron, subtract its weights: bool (B, T, N).

        [ours] A neuron's weights then tend to the mean of what its spikes add up, so they stay
        bounded, and those of inputs that are silent when it fires tend to 0.
        """
        neurons, width = self.weight.shape
        if post.dim() != 3 or post.shape[2] != neurons or post.dtype != torch.bool:
            raise ValueError(
                f"spikes of neurons are bool (B, T, {neurons}), got {post.dtype}"
                f" {tuple(post.shape)}"
            )
        *_, neuron = post.nonzero().T
        pre = torch.arange(width).repeat(len(neuron))
        w = self.weight.detach()
        values = (to_float64(w) if isinstance(w, PositTensor) else w)[neuron].reshape(-1)
        self._add(neuron.repeat_interleave(width), pre, -values)

    def decay(self, factor: float) -> None:
        """Multiply all by ``factor``, a number of the format: what is past counts less.

        An exact trace is rounded once here, since a quire cannot be multiplied, and its product
        with ``factor`` is exact.
        """
        self._sums.scale(factor)

    def deposit(self, reward: float = 1.0) -> None:
        """Add -reward·trace to the gradient of the weights.

        With a reward of 1 nothing is rounded; with another, a number of the format, the trace is
        rounded once and its product is exact. The trace is left as it is.
        """
        self._sums.deposit(self.weight, reward)

    def clear(self) -> None:
        """Set all to 0."""
        self._sums.clear()

    def _add(self, post: Tensor, pre: Tensor, changes: Tensor) -> None:
        if post.dim() != 1 or not post.shape == pre.shape == changes.shape:
            shapes = [tuple(x.shape) for x in (post, pre, changes)]
            raise ValueError(f"pairs of shapes {shapes}: all have one axis and one length")
        for x, size, what in zip((post, pre), self.weight.shape, ("post", "pre"), strict=True):
            if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
                raise TypeError(f"{what} is {x.dtype}: indices are integers")
            if x.numel() and not 0 <= int(x.min()) <= int(x.max()) < size:
                raise IndexError(f"{what}: possible are neurons 0 to {size - 1}")
        self._sums.add(post.long() * self.weight.shape[1] + pre.long(), changes)


def _format(weight: Tensor, spec: SpecLike | None, exact: bool) -> PositSpec | None:
    """The format that is summed exactly, or None for sums in floats."""
    found = getattr(weight, "spec", None) if spec is None else PositSpec.parse(spec)
    where = f"{weight.dtype} on {weight.device}"
    if not exact:
        if found is None:
            return None
        raise TypeError(f"exact=False, but {found} has an exact accumulator: leave it out")
    if found is None:
        raise TypeError(
            f"there is no exact accumulator of {where}: possible are posits in float64 (give spec=)"
            ", or exact=False, which rounds every pair and depends on their order"
        )
    if weight.device.type != "cpu" or weight.dtype != torch.float64:
        raise TypeError(
            f"there is no exact accumulator of weights of {where}: posits appear as torch.float64,"
            " and quires are on the CPU"
        )
    return found
