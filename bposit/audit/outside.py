"""Numbers that a format's range does not hold, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from .formats import F8, Format

__all__ = ["Outside", "outside", "parted"]

Mask = npt.NDArray[np.bool_]


@dataclass
class Outside:
    """Counts over results; ``a += b`` joins two parts of a tensor."""

    saturated: int = 0  # finite results of numbers beyond the largest magnitude
    to_minpos: int = 0  # non-zero results of numbers below the smallest
    to_zero: int = 0
    infinite: int = 0
    nar: int = 0

    def __iadd__(self, other: Outside) -> Self:
        for name, count in vars(other).items():
            setattr(self, name, getattr(self, name) + count)
        return self

    def row(self) -> dict[str, int]:
        """As in report.json."""
        return dict(vars(self))


def parted(size: F8, y: F8, form: Format) -> tuple[Mask, Mask, Mask]:
    """Which magnitudes are beyond the format's range, which below, and which became zero."""
    return size > form.top, (size > 0) & (size < form.bottom), (size > 0) & (y == 0)


def outside(z: F8, y: F8, form: Format) -> Outside:
    """Counts of results y of numbers whose values over their scales are z."""
    counts = Outside()
    finite = np.isfinite(y)
    if not finite.all():
        counts.nar = int(np.count_nonzero(np.isnan(y)))
        counts.infinite = int(np.count_nonzero(np.isinf(y)))
        kept = finite & np.isfinite(z)
        z, y = z[kept], y[kept]
    size = np.abs(z)
    beyond, below, gone = parted(size, y, form)
    counts.saturated = int(np.count_nonzero(beyond))
    counts.to_minpos = int(np.count_nonzero(below & (y != 0)))
    counts.to_zero = int(np.count_nonzero(gone))
    return counts
