"""Which binades values lie in, and what a format has there."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

import numpy as np

from .formats import F8, I8, Format

__all__ = ["FIRST", "Exponents", "biased", "per_gap"]

FIRST = -1023  # of float64; subnormal ones are counted there
_LEAST = 2.0**-1022  # of a gap, so that one over it is finite


def biased(x: F8) -> I8:
    """Exponents of float64 less FIRST, as one axis; 0 of zeros, 2047 of non-finite ones."""
    places = np.ascontiguousarray(x).reshape(-1).view(np.int64) >> 52
    places &= 2047
    return places


@lru_cache(maxsize=64)
def per_gap(form: Format) -> F8:
    """1 over the format's gap, by biased exponent; 0 in binades without a value of the format."""
    e = np.arange(2048) + FIRST
    low, high = (int(np.frexp(x)[1]) - 1 for x in (form.bottom, form.top))
    inside = (e >= low) & (e <= high)
    made = np.zeros(2048)
    made[inside] = 1 / np.maximum(form.gaps(e[inside]), _LEAST)
    return made


@dataclass
class Exponents:
    """How many values lie in each binade [2^e, 2^(e+1)); zeros and non-finite ones are not in."""

    counts: I8 = field(default_factory=lambda: np.zeros(2048, np.int64))  # by biased exponent

    @classmethod
    def of(cls, x: F8) -> Self:
        return cls.at(biased(x), x.size - int(np.count_nonzero(x)))

    @classmethod
    def at(cls, places: I8, zeros: int) -> Self:
        """Of biased exponents, so many of them of zeros."""
        counts = np.bincount(places, minlength=2048)
        counts[0] -= zeros
        counts[2047] = 0
        return cls(counts)

    def __iadd__(self, other: Exponents) -> Self:
        self.counts = self.counts + other.counts
        return self

    @property
    def bins(self) -> tuple[int, list[int]]:
        """The first exponent in use, and the counts from there to the last."""
        used = np.flatnonzero(self.counts)
        if not used.size:
            return 0, []
        first, last = int(used[0]), int(used[-1])
        return first + FIRST, [int(c) for c in self.counts[first : last + 1]]

    def fraction_bits(self, form: Format) -> dict[int, int]:
        """Values by the fraction bits that a format has for them; -1 where it is out of range."""
        used = np.flatnonzero(self.counts)
        found: dict[int, int] = {}
        for bits, count in zip(form.fraction_bits(used + FIRST), self.counts[used], strict=True):
            found[int(bits)] = found.get(int(bits), 0) + int(count)
        return dict(sorted(found.items()))
