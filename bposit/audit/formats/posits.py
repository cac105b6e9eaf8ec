"""Posits as an audit sees them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

import posit
from posit import PositSpec

from ...errors import BadInput
from .base import F8, I8, Format

__all__ = ["PositFormat"]


@final
@dataclass(frozen=True)
class PositFormat(Format):
    """A posit ``<n, rs, es>``."""

    spec: PositSpec

    @classmethod
    def of(cls, spec: PositSpec) -> PositFormat:
        """Raises BadInput where values leave the range of float64."""
        if spec.reach > 1022:
            raise BadInput(
                f"format {spec.name}: its values reach 2^±{spec.reach}, and those of an audit are"
                " float64, so that rs·2^es is at most 1022"
            )
        return cls(spec.name, spec.n, spec)

    @cached_property
    def top(self) -> float:
        # beyond 53 bits maxpos lies between two float64, and no float64 is above the lower one
        # without being above maxpos
        return float(posit.decode(self.spec.storage.type(self.spec.maxpos_pattern), self.spec))

    @cached_property
    def bottom(self) -> float:
        return float(posit.decode(self.spec.storage.type(1), self.spec))

    @property
    def most_fraction_bits(self) -> int:
        return self.spec.f_max

    def _regime(self, exponents: I8) -> I8:
        """Bits of the regime at each magnitude."""
        s, r = self.spec, exponents >> self.spec.es
        return np.minimum(np.where(r >= 0, r + 2, 1 - r), s.rs)

    def fraction_bits(self, exponents: I8) -> I8:
        s = self.spec
        found = np.maximum(s.n - 1 - s.es - self._regime(exponents), 0)
        outside = (exponents < s.min_scale) | (exponents > s.max_scale)
        return np.where(outside, -1, found)

    def cut_bits(self, exponents: I8) -> I8:
        """Exponent bits that do not fit beside the regime, at each magnitude."""
        s = self.spec
        return np.maximum(s.es + 1 + self._regime(exponents) - s.n, 0)

    def gaps(self, exponents: I8) -> F8:
        cut = self.cut_bits(exponents)
        low = exponents >> cut << cut  # values there are powers of two, 2^cut binades apart
        within = np.exp2((exponents - np.maximum(self.fraction_bits(exponents), 0)).astype(float))
        found: F8 = np.where(cut > 0, np.exp2(low + 1.0 * (1 << cut)) - np.exp2(1.0 * low), within)
        return found

    def nearest(self, z: F8) -> F8:
        if self.spec.fits_float64:
            return np.asarray(posit.round_to(z, self.spec))
        return np.asarray(posit.decode(posit.encode(z, self.spec), self.spec))

    def order(self, z: F8) -> I8:
        found: I8 = np.asarray(posit.encode(z, self.spec)).astype(np.int64)
        return found
