"""The figures of one tensor in one format, from exact reference and result (docs/audit.md).

Everything is counted over all values. What is summed is summed by blocks in float64, pairwise, and
across blocks exactly, so that the figures do not depend on how blocks were shared among threads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import ceil, log10
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .exponents import Exponents, biased, per_gap
from .formats import F8, I8, Format
from .outside import parted
from .power import decibels, power

__all__ = ["Block", "Errors", "ordered_distance"]

_STEPS = 64  # bins an octave of relative errors, so that an upper edge is at most 1.6 % high
_LOW, _HIGH = -64, 64  # octaves with bins; a float64 that differs, differs by 2^-53 at least
_BINS = (_HIGH - _LOW) * _STEPS
_SHIFT = 52 - _STEPS.bit_length() + 1  # keeps the exponent and 6 bits of a float64's fraction
_BIAS = 1023
_LARGEST = 2.0**1023  # that a report prints; error over a subnormal may be beyond


class Block:
    """Some reference values and what all formats share of them; x is float64 of any shape.

    Of values over their scales, ``scale`` are those.
    """

    def __init__(self, x: F8, scale: F8 | float = 1.0) -> None:
        self.x = x
        self.scale = scale
        self.finite = bool(np.isfinite(x).all())
        self.size = np.abs(x)

    @cached_property
    def range(self) -> tuple[float, float]:
        """The smallest and largest magnitudes that are neither zero nor non-finite."""
        return _range(self.size)

    @cached_property
    def zeros(self) -> int:
        return int(self.size.size - np.count_nonzero(self.size))

    @cached_property
    def nonfinite(self) -> int:
        return 0 if self.finite else int(np.count_nonzero(~np.isfinite(self.x)))

    @cached_property
    def power(self) -> Fraction:
        return power(self.x if self.finite else self.x[np.isfinite(self.x)])

    @cached_property
    def places(self) -> I8:
        """Biased exponents, as one axis."""
        return biased(self.x)

    @cached_property
    def exponents(self) -> Exponents:
        return Exponents.at(self.places, self.zeros)

    def __getitem__(self, kept: npt.NDArray[np.bool_]) -> Block:
        scale = self.scale
        return Block(self.x[kept], scale[kept] if isinstance(scale, np.ndarray) else scale)

    @cached_property
    def divisor(self) -> F8:
        """|x| with 1 for zero, whose error is divided by nothing."""
        return np.where(self.size, self.size, 1.0) if self.zeros else self.size


def _range(size: F8) -> tuple[float, float]:
    kept = np.isfinite(size)
    high = float(np.max(size, initial=0.0, where=kept))
    kept &= size > 0
    return float(np.min(size, initial=np.inf, where=kept)), high


_MOST = frozenset({"relative_max", "counted_max", "gap_error", "ulps"})


@dataclass
class Errors:
    """What a format did to values, so far; ``a += b`` joins two parts of a tensor."""

    valid: int = 0  # pairs of finite reference and finite result
    signal: Fraction = Fraction(0)
    noise: Fraction = Fraction(0)
    inexact: int = 0
    nonzero: int = 0  # valid pairs with a reference other than 0
    relative_max: float = 0.0
    counted_max: float = 0.0  # without saturations and results that are zero
    saturated: int = 0  # finite results of numbers beyond the largest magnitude
    to_minpos: int = 0  # non-zero results of numbers below the smallest
    to_zero: int = 0
    infinite: int = 0  # ±∞ made of finite numbers
    nar: int = 0
    nar_made: int = 0  # of those, from finite numbers
    gap_error: float = 0.0  # of values between the smallest and the largest magnitude
    ulps: int = 0
    bins: I8 = field(default_factory=lambda: np.zeros(_BINS, np.int64))  # relative errors > 0
    special: I8 = field(default_factory=lambda: np.zeros(_BINS, np.int64))  # of those, saturations

    def __iadd__(self, other: Errors) -> Self:
        for name, value in vars(other).items():
            mine = getattr(self, name)
            setattr(self, name, max(mine, value) if name in _MOST else mine + value)
        return self

    def add(self, block: Block, y: F8, form: Format, z: Block | None = None) -> None:
        """Results y of a block's values; ``z`` are the values over their scales, if scaled."""
        if block.finite and np.isfinite(y).all():
            self._add_finite(block, y, form, z or block)
            return
        nan, known = np.isnan(y), np.isfinite(block.x)
        self.nar += int(np.count_nonzero(nan))
        self.nar_made += int(np.count_nonzero(nan & known))
        self.infinite += int(np.count_nonzero(np.isinf(y) & known))
        kept = known & np.isfinite(y)
        part = block[kept]
        self._add_finite(part, y[kept], form, z[kept] if z else part)

    def _add_finite(self, block: Block, y: F8, form: Format, z: Block) -> None:
        wrong = np.subtract(y, block.x)
        self.valid += y.size
        self.nonzero += y.size - block.zeros
        self.signal += block.power
        inexact = int(np.count_nonzero(wrong))
        if not inexact:
            return
        self.inexact += inexact
        self.noise += power(wrong)
        relative = np.abs(wrong, out=wrong)
        low, high = z.range
        outside = low < form.bottom or high > form.top
        self._count_gaps(wrong, form, z, outside)
        with np.errstate(over="ignore"):
            relative /= block.divisor
        if block.zeros:  # a zero that did not stay one has no relative error
            relative = np.where(block.size, relative, 0.0)
        self.relative_max = max(self.relative_max, float(relative.max()))
        exact = relative.size - int(np.count_nonzero(relative))
        place = relative.reshape(-1).view(np.int64) >> _SHIFT
        place -= (_LOW + _BIAS) * _STEPS
        np.clip(place, 0, _BINS - 1, out=place)
        self.bins += np.bincount(place, minlength=_BINS)
        self.bins[0] -= exact
        if outside or not y.all():
            self._count_outside(z.size, y, form, relative, place)
        else:
            self.counted_max = max(self.counted_max, float(relative.max()))

    def _count_gaps(self, wrong: F8, form: Format, z: Block, outside: bool) -> None:
        gaps = per_gap(form)[z.places].reshape(wrong.shape)
        with np.errstate(over="ignore"):
            gaps *= wrong / z.scale if form.is_scaled else wrong
        most = (
            np.max(gaps, initial=0.0, where=(z.size >= form.bottom) & (z.size <= form.top))
            if outside
            else gaps.max()
        )
        self.gap_error = max(self.gap_error, float(most))

    def _count_outside(self, size: F8, y: F8, form: Format, relative: F8, place: I8) -> None:
        beyond, below, gone = parted(size, y, form)
        self.saturated += int(np.count_nonzero(beyond))
        self.to_minpos += int(np.count_nonzero(below & (y != 0)))
        self.to_zero += int(np.count_nonzero(gone))
        apart = beyond | below | gone
        most = np.max(relative, initial=0.0, where=~apart)
        self.counted_max = max(self.counted_max, float(most))
        self.special += np.bincount(place[apart.reshape(-1)], minlength=_BINS)

    @property
    def failed(self) -> bool:
        """Whether SQNR has no value that one could trust, so that every gate on it fires."""
        return (
            not self.valid
            or bool(self.nar_made or self.infinite)
            or (self.noise > 0 and not self.signal)
        )

    @property
    def exact(self) -> bool:
        """No noise at all: SQNR is +∞."""
        return not self.failed and not self.noise

    @property
    def sqnr(self) -> float | None:
        """dB; None where exact or failed."""
        return None if self.failed or self.exact else decibels(self.signal, self.noise)

    def relative_error(self, share: float) -> float:
        """What so large a share of the non-zero values does not exceed, at most 1.6 % high."""
        exact = self.nonzero - int(self.bins.sum())
        return min(_quantile(self.bins, exact, share), self.relative_max)

    def digits(self, share: float) -> float | None:
        """Decimal digits that all but so large a share of values exceed; None where none counts.

        Exact results, zeros and saturations are not among them.
        """
        counted = self.bins - self.special
        error = min(_quantile(counted, 0, 1 - share), self.counted_max)
        return -log10(error) if error else None

    def row(self) -> dict[str, Any]:
        """As in report.json, without what needs the tensor."""
        return {
            "sqnr": self.sqnr,
            "exact": self.exact,
            "failed": self.failed,
            "relative_max": min(self.relative_max, _LARGEST) if self.valid else None,
            "relative_p999": self.relative_error(0.999) if self.valid else None,
            "gap_error": min(self.gap_error, _LARGEST),
            "ulps": self.ulps,
            "saturated": self.saturated,
            "to_minpos": self.to_minpos,
            "to_zero": self.to_zero,
            "infinite": self.infinite,
            "nar": self.nar,
            "inexact": self.inexact,
            "digits_min": self.digits(0.0),
            "digits_p1": self.digits(0.01),
            "digits_median": self.digits(0.5),
        }


def _quantile(bins: npt.NDArray[np.int64], zeros: int, share: float) -> float:
    """The upper edge of the bin with the value of rank ceil(share·count); 0 among the zeros."""
    count = int(bins.sum())
    rank = ceil(share * (zeros + count)) - zeros
    if rank <= 0 or not count:
        return 0.0
    i = int(np.searchsorted(np.cumsum(bins), rank))
    return float(2.0 ** (_LOW + i // _STEPS)) * (1 + (i % _STEPS + 1) / _STEPS)


def ordered_distance(z: F8, wanted: F8, form: Format) -> int:
    """Ulps: the largest |p(z) - p(round(wanted))|, both over their scales; finite pairs only."""
    nearest = form.nearest(wanted)
    kept = np.isfinite(z) & np.isfinite(nearest)
    if not kept.any():
        return 0
    apart = form.order(z[kept]).astype(object) - form.order(nearest[kept]).astype(object)
    return int(max(abs(apart)))
