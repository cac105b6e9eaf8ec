"""Stages of a forgetting sequence in 16 bits: θ_0, and what each stage differs from it.

What is predicted is a sum of differences between stages, which are some hundred times smaller than
the weights. Weights rounded to 16 bits keep few digits of them. Differences rounded to 16 bits keep
as many as any number has, and θ_0's own difference from what is stored of it is one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import posit
import quire
from posit import PositSpec
from posit.spec import SpecLike

from .networks import State
from .predictors import Coefficients

__all__ = ["DeltaStore", "dots"]

Patterns = np.ndarray[Any, np.dtype[np.signedinteger[Any]]]

_WIDE = posit.bposit32  # of coefficients, which are few; widening the stages to it is exact


class DeltaStore:
    """Stages as base = round(θ_0) and deltas δ_s = round(θ_s - base): S + 1 arrays of one format.

    Parameters
    ----------
    stages : sequence of states
        The smallest subset first, θ_0 last.
    spec : PositSpec or name
    """

    def __init__(self, stages: Sequence[State], spec: SpecLike = "bposit16") -> None:
        self.spec = PositSpec.parse(spec)
        self._like = stages[-1]
        self._base = {n: posit.encode(w.double().numpy(), spec) for n, w in stages[-1].items()}
        values = {n: posit.decode(bits, self.spec) for n, bits in self._base.items()}
        self._deltas = [
            {n: posit.encode(w.double().numpy() - values[n], spec) for n, w in s.items()}
            for s in stages
        ]

    def __len__(self) -> int:
        return len(self._deltas)

    @property
    def nbytes(self) -> int:
        """Bytes of all patterns."""
        return sum(bits.nbytes for s in (self._base, *self._deltas) for bits in s.values())

    def stage(self, k: int) -> State:
        """Stage k, the sum of its two terms, in float64 (exact to float64's precision)."""
        return {
            n: torch.from_numpy(
                posit.decode(b, self.spec) + posit.decode(self._deltas[k][n], self.spec)
            )
            for n, b in self._base.items()
        }

    def combine(self, coefficients: Coefficients) -> State:
        """base + round(Σ_k c_k·δ_k): a fused sum, rounded once to the format; float64 tensors.

        Raises ValueError unless Σ_k c_k is 1, as it is for every extrapolation: the base's share.
        """
        if abs(float(np.sum(coefficients)) - 1) > 1e-9:
            raise ValueError(f"coefficients sum to {np.sum(coefficients)}; extrapolations', to 1")
        made: State = {}
        for name, base in self._base.items():
            deltas = [d[name] for d in self._deltas]
            step = dots(coefficients, deltas, self.spec)
            value = posit.decode(base, self.spec) + posit.decode(step, self.spec)
            made[name] = torch.from_numpy(value)
        return made


def dots(coefficients: Coefficients, terms: Sequence[Patterns], spec: PositSpec) -> Patterns:
    """Patterns of ``spec`` nearest to Σ_k c_k·terms[k], accumulated exactly, c_k in bposit32."""
    wide = np.stack([posit.convert(t, spec, _WIDE) for t in terms], axis=-1)
    sums = quire.Accumulators(wide.shape[:-1], _WIDE)
    return sums.add_dots(wide, posit.encode(coefficients, _WIDE)).round(spec)
