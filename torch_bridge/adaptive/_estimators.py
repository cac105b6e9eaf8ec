"""From directional derivatives to a gradient: exact sums, rounded once each.

With derivatives d_k = ⟨∇f, v_k⟩ along K directions v_k, the columns of V (P, K):

- averaged: Σ_k d_k·v_k / K. [ours, after Baydin et al., arXiv 2202.08587] Unbiased: E v·vᵀ = I.
- projected: V(VᵀV)⁻¹Vᵀ∇f, the part of ∇f that lies in their span; ∇f itself for K = P. [ours,
  after arXiv 2410.17764]

[A] Each directional derivative, and each sum over batch and micro-batch, is one quire, rounded
once.
[ours] The format of those quires is bposit64: it holds every float32 and every float64 number
between 2^-192 and 2^192 in magnitude, so that what is added is what the model computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

import posit
import quire
from posit import PositSpec, bposit64
from quire import Accumulators

from .._patterns import Patterns
from ..ops._kernels import bits_of
from ._layers import Leaf
from ._passes import leaf_tangent
from ._tangents import Distribution

__all__ = [
    "WORK",
    "Derivatives",
    "Estimator",
    "check_count",
    "combined",
    "weights_of",
]

Estimator = Literal["averaged", "projected"]
WORK = bposit64

_TOGETHER = 16  # directions whose blocks are in memory at a time
_REFINEMENTS = 8
_ONE = np.asarray(WORK.one, WORK.storage)


class Derivatives:
    """Exact sums over samples of the loss, and of its derivatives along directions.

    [A] Init, accumulate, merge, finalize preserve the exact value: samples may come in any order
    and in any parts, and parts made elsewhere merge. Memory: one quire for each direction.

    Parameters
    ----------
    seeds : sequence of int
        Of the directions.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self.losses = Accumulators(1, WORK)
        self.sums = {seed: Accumulators(1, WORK) for seed in seeds}
        self.samples = 0

    @property
    def seeds(self) -> list[int]:
        """Of the directions, in the order given."""
        return list(self.sums)

    def add_losses(self, losses: Tensor) -> None:
        """Count samples, by their losses (N,)."""
        _add(self.losses, losses)
        self.samples += len(losses)

    def add(self, seed: int, derivatives: Tensor) -> None:
        """Add the derivatives (N,) of samples along a direction."""
        _add(self.sums[seed], derivatives)

    def merge(self, other: Derivatives) -> None:
        """Add the sums over other samples, along the same directions.

        Raises ValueError for other directions: the mean is over all samples along each.
        """
        if set(self.sums) != set(other.sums):
            raise ValueError(f"merge: directions {other.seeds} are not {self.seeds}")
        self.losses.merge(other.losses)
        for seed, total in other.sums.items():
            self.sums[seed].merge(total)
        self.samples += other.samples

    def loss(self) -> float:
        """The mean loss, rounded once to bposit64, then to float64."""
        return float(posit.decode(_per(self.losses, self.samples), WORK))

    def means(self, divisor: int = 1) -> Patterns:
        """The exact means over the samples, over ``divisor`` too, rounded once: patterns (K,).

        Raises FloatingPointError for a derivative that is no number.
        """
        made = np.array([_per(s, self.samples * divisor) for s in self.sums.values()], WORK.storage)
        wrong = [s for s, bits in zip(self.sums, made.tolist(), strict=True) if bits == WORK.nar]
        if wrong:
            raise FloatingPointError(
                f"the derivative along direction {wrong[0]} is NaN or infinite ({len(wrong)} of"
                f" {len(made)} are); no parameter was changed"
            )
        return made


def _add(total: Accumulators, values: Tensor) -> None:
    row = bits_of(values, WORK)
    total.add_dots(row, np.broadcast_to(_ONE, row.shape))


def _per(total: Accumulators, count: int) -> Patterns:
    (exact,) = total.values()
    found = None if exact is None else Fraction(exact) / count
    return np.asarray(posit.from_fraction(found, WORK), WORK.storage)


def check_count(seeds: Sequence[int], estimator: Estimator, leaves: Sequence[Leaf]) -> None:
    """Raise ValueError for more directions than parameters with "projected"."""
    size = sum(leaf.parameter.numel() for leaf in leaves)
    if estimator == "projected" and len(seeds) > size:
        raise ValueError(
            f"{len(seeds)} directions in a space of {size} parameters are dependent: 'projected'"
            f" takes at most {size}, 'averaged' any number"
        )


def weights_of(
    found: Derivatives, estimator: Estimator, leaves: Sequence[Leaf], distribution: Distribution
) -> Patterns:
    """w_k such that the gradient is Σ_k w_k·v_k: patterns (K,) in the order of ``found.seeds``.

    averaged: the mean derivative over K, one quotient. projected: the solution of VᵀV·w = d, all of
    it exact sums; the system is set up with the directions in the order of their seeds, so that w
    does not depend on the order they were given in, not even where the solution cannot be certified
    to be the correctly rounded one.

    Raises ValueError for dependent directions with "projected".
    """
    seeds = found.seeds
    if estimator == "averaged":
        return found.means(len(seeds))
    order = in_order(seeds)
    gram = _gram([seeds[k] for k in order], leaves, distribution)
    made = np.empty(len(seeds), WORK.storage)
    made[order] = _solved(gram, found.means()[order])
    return made


def in_order(seeds: Sequence[int]) -> npt.NDArray[np.intp]:
    """Where in ``seeds`` the least is, then the next, …"""
    return np.array(sorted(range(len(seeds)), key=lambda k: seeds[k]), np.intp)


def _gram(seeds: Sequence[int], leaves: Sequence[Leaf], distribution: Distribution) -> Accumulators:
    """VᵀV, exact. Memory: one block of each direction."""
    total = Accumulators((len(seeds), len(seeds)), WORK)
    for leaf in leaves:
        parts = [leaf_tangent(leaf, seed, distribution) for seed in seeds]
        for i in range(parts[0].count):
            v = np.stack([bits_of(p.block(i), WORK).reshape(-1) for p in parts])
            total.add_products(v, v.T)
    return total


def _solved(gram: Accumulators, right: Patterns) -> Patterns:
    """The solution of a system whose matrix is exact, by that of its rounded one and exact
    residuals.

    Rounding VᵀV alone would cost as many digits as its condition number has.
    """
    high = gram.round()
    low = gram.copy().add(posit.neg(high, WORK)).round()
    both = np.concatenate([high, low], axis=1)
    try:
        made = quire.solve(high, right, WORK).x
        for _ in range(_REFINEMENTS):
            left = quire.residual(both, np.concatenate([made, made]), right, WORK)
            better = np.asarray(posit.add(made, quire.solve(high, left, WORK).x, WORK))
            if np.array_equal(made, better):
                break
            made = better
    except np.linalg.LinAlgError:
        raise ValueError(
            f"the {len(right)} directions are dependent: choose other seeds, fewer directions, or"
            " estimator='averaged'"
        ) from None
    return made


def combined(
    leaf: Leaf, seeds: Iterable[int], weights: Patterns, distribution: Distribution, to: PositSpec
) -> Iterator[tuple[slice, Patterns]]:
    """Σ_k w_k·v_k for a parameter, each element an exact sum rounded once to ``to``.

    Yields blocks of rows, in one axis.
    """
    parts = [leaf_tangent(leaf, seed, distribution) for seed in seeds]
    groups = [slice(k, k + _TOGETHER) for k in range(0, len(parts), _TOGETHER)]

    def drawn(block: int, group: slice) -> Patterns:
        return np.stack([bits_of(p.block(block), WORK).reshape(-1) for p in parts[group]])

    for i in range(parts[0].count):
        v = drawn(i, groups[0])
        if to == WORK and len(groups) == 1:  # the same sums, sooner
            yield parts[0].rows(i), np.asarray(quire.dot(v.T, weights, WORK))
            continue
        total = Accumulators((1, v.shape[1]), WORK)
        for group in groups:
            v = v if group is groups[0] else drawn(i, group)
            total.add_products(weights[np.newaxis, group], v)
        yield parts[0].rows(i), total.round(to).reshape(-1)
