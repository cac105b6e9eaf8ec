"""The formats of a step: weights', state's, and one that holds both, in which it is computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

import posit
from posit import PositSpec, bposit64

from .._patterns import Held, Patterns, is_numbers

__all__ = ["Formats", "formats", "holds"]


def holds(wide: PositSpec, narrow: PositSpec) -> bool:
    """Whether every value of ``narrow`` is one of ``wide``; may say no where it is so.

    Widening at the same rs and es appends zero bits. Otherwise every scale of ``narrow`` must
    have as many fraction bits in ``wide``: then even its minpos, (1 + 2^-f)·2^-reach, is there.
    """
    if (wide.rs, wide.es) == (narrow.rs, narrow.es):
        return wide.n >= narrow.n
    return wide.reach >= narrow.reach and wide.f_min >= max(narrow.f_max, 1)


@dataclass(frozen=True)
class Formats:
    """Of weights, of state, of the computation, and of sums before a stochastic rounding."""

    weight: PositSpec
    state: PositSpec
    work: PositSpec
    wide: PositSpec

    def from_weight(self, weight: Held) -> Patterns:
        """Weights, rounded to their format where they are numbers, as work patterns."""
        return _converted(self.weight_bits(weight), self.weight, self.work)

    def weight_bits(self, weight: Held) -> Patterns:
        """The patterns of weights, to which numbers are rounded."""
        return np.asarray(posit.encode(weight, self.weight)) if is_numbers(weight) else weight

    def from_state(self, bits: Patterns) -> Patterns:
        """State as work patterns, exactly; the same array where the formats are the same."""
        return _converted(bits, self.state, self.work)

    def to_state(self, bits: Patterns) -> Patterns:
        """Work patterns rounded to the state's format; unchanged where that is the same."""
        return _converted(bits, self.work, self.state)


def _converted(bits: Patterns, of: PositSpec, to: PositSpec) -> Patterns:
    return bits if of == to else np.asarray(posit.convert(bits, of, to), to.storage)


@lru_cache(maxsize=64)
def formats(weight: PositSpec, state: PositSpec) -> Formats:
    """The computation's format is the wider of the two; bposit64 where neither holds the other.

    Raises ValueError where bposit64 does not hold both either, or float64 does not reach as far.
    """
    for work in (state, weight, bposit64):
        # f_max = 52: float64, which stochastic rounding reads, shows it exactly
        wide = PositSpec(max(55 + work.es, work.rs + 1), work.rs, work.es)
        if holds(work, weight) and holds(work, state) and wide.fits_float64:
            return Formats(weight, state, work, wide)
    raise ValueError(
        f"state_spec {state} beside weights of {weight}: no format holds both; possible is one with"
        " their rs and es, or within bposit64"
    )
