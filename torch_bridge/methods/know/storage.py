"""Stages of a forgetting sequence in 16 bits: θ_0, and what each stage differs from it.

What is predicted is a sum of differences between stages, which are some hundred times smaller than
the weights. Weights rounded to 16 bits keep few digits of them. Differences rounded to 16 bits keep
as many as any number has, and θ_0's own difference from what is stored of it is one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import posit
import quire
from posit import PositSpec
from posit.spec import SpecLike

from .networks import State
from .predictors import Coefficients

__all__ = ["DeltaStore", "dots"]

Patterns = np.ndarray[Any, np.dtype[np.signedinteger[Any]]]


class DeltaStore:
    """Stages as base = round(θ_0) and deltas δ_s = round(θ_s - base): S + 1 arrays of one format.

    Parameters
    ----------
    stages : sequence of states
        The smallest subset first, θ_0 last.
    spec : PositSpec or name

    Raises ValueError for a format that float64 or bposit64 does not hold, or for stages of
    different shapes.
    """

    def __init__(self, stages: Sequence[State], spec: SpecLike = "bposit16") -> None:
        self.spec = PositSpec.parse(spec)
        _wide(self.spec)
        shapes = {n: w.shape for n, w in stages[-1].items()}
        for k, s in enumerate(stages):
            if (found := {n: w.shape for n, w in s.items()}) != shapes:
                raise ValueError(f"stage {k} has the shapes {found}, the last one {shapes}")
        arrays = [{n: w.detach().double().numpy() for n, w in s.items()} for s in stages]
        self._base = {n: posit.encode(w, spec) for n, w in arrays[-1].items()}
        values = {n: posit.decode(bits, self.spec) for n, bits in self._base.items()}
        self._deltas = [
            {n: posit.encode(w - values[n], spec) for n, w in s.items()} for s in arrays
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

    def combine(self, coefficients: npt.ArrayLike) -> State:
        """base + round(Σ_k c_k·δ_k): a fused sum, rounded once to the format; float64 tensors.

        Coefficients (S,) are in bposit32, for formats that it does not hold in bposit64.

        Raises ValueError unless Σ_k c_k is 1, as it is for every extrapolation: the base's share.
        """
        c = np.asarray(coefficients, np.float64)
        if c.shape != (len(self),):
            raise ValueError(f"coefficients of shape {c.shape} for {len(self)} stages")
        if not abs(float(np.sum(c)) - 1) <= 1e-9:
            raise ValueError(f"coefficients sum to {np.sum(c)}; extrapolations', to 1")
        made: State = {}
        for name, base in self._base.items():
            deltas = [d[name] for d in self._deltas]
            step = dots(c, deltas, self.spec)
            value = posit.decode(base, self.spec) + posit.decode(step, self.spec)
            made[name] = torch.from_numpy(value)
        return made


def dots(coefficients: Coefficients, terms: Sequence[Patterns], spec: PositSpec) -> Patterns:
    """Patterns of ``spec`` nearest to Σ_k c_k·terms[k], summed exactly; c_k in a wide format."""
    wide = _wide(spec)
    stacked = np.stack([posit.convert(t, spec, wide) for t in terms], axis=-1)
    sums = quire.Accumulators(stacked.shape[:-1], wide)
    return sums.add_dots(stacked, posit.encode(coefficients, wide)).round(spec)


def _wide(spec: PositSpec) -> PositSpec:
    """A format for coefficients, which are few, that holds every number of ``spec``."""
    for wide in (posit.bposit32, posit.bposit64):
        ranges = wide.min_scale <= spec.min_scale and spec.max_scale <= wide.max_scale
        if spec.fits_float64 and (spec == wide or (spec.f_max <= wide.f_min and ranges)):
            return wide
    raise ValueError(
        f"{spec} is wider than float64 or bposit64: possible are bposit32 and narrower"
    )
