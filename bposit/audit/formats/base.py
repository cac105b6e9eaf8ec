"""What a number format is to an audit: nearest values, patterns in order, fraction bits, gaps.

Posits come from :mod:`posit`, the others from NumPy and ml_dtypes; nothing is rounded here. Every
format rounds float64 to float64, so formats whose values a float64 cannot hold in range
(rs·2^es > 1022) are refused; those with more significand bits are not, because rounding a float64
never lengthens it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["F8", "I8", "Format", "finite_amax", "lines"]

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Format(ABC):
    """What every format can do. ``name`` is canonical; ``bits`` are those of one element."""

    name: str
    bits: int

    @property
    @abstractmethod
    def top(self) -> float:
        """The largest finite magnitude of an element."""

    @property
    @abstractmethod
    def bottom(self) -> float:
        """The smallest positive magnitude of an element."""

    @property
    @abstractmethod
    def most_fraction_bits(self) -> int:
        """F_max, of posits; the stored significand bits of others."""

    @abstractmethod
    def fraction_bits(self, exponents: I8) -> I8:
        """Fraction bits at magnitudes in [2^e, 2^(e+1)), 0 at least; -1 out of range."""

    @abstractmethod
    def gaps(self, exponents: I8) -> F8:
        """From one value to the next at magnitudes in [2^e, 2^(e+1)), where that is one number.

        It is, everywhere between the smallest and the largest magnitude: a binade has 2^F gaps, or
        lies within one. Elsewhere the result means nothing.
        """

    def scales(self, x: F8, amax: float) -> F8 | float:
        """What x (rows, columns) is divided by; ``amax`` is of the whole tensor's finite values."""
        return 1.0

    @abstractmethod
    def nearest(self, z: F8) -> F8:
        """The values of elements nearest to scaled numbers; NaN for NaR and NaN."""

    @abstractmethod
    def order(self, z: F8) -> I8:
        """Patterns of element values as integers that ascend with the values; NaN is not asked."""

    def bytes_of(self, shape: tuple[int, ...]) -> int:
        """Of a tensor: elements packed without gaps, and its scales."""
        return -(-int(np.prod(shape, dtype=object)) * self.bits // 8)

    @property
    def is_scaled(self) -> bool:
        """Whether elements are not the numbers themselves."""
        return False

    @property
    def needs_amax(self) -> bool:
        """Whether ``scales`` reads its ``amax``."""
        return False

    def round(self, x: npt.ArrayLike, amax: float | None = None) -> F8:
        """x as the format holds it: any shape; blocks lie along the last axis."""
        given = np.asarray(x, np.float64)
        if not self.is_scaled or not given.size:
            return self.nearest(given)
        if amax is None:
            amax = finite_amax(given) if self.needs_amax else 0.0
        table = lines(given)
        scale = self.scales(table, amax)
        return np.asarray(self.nearest(table / scale) * scale).reshape(given.shape)


def lines(x: F8) -> F8:
    """x as (rows, columns): its last axis, along which blocks lie, is that of the columns."""
    return x.reshape(-1, x.shape[-1]) if x.ndim > 1 and x.size else x.reshape(1, -1)


def finite_amax(x: F8) -> float:
    """The largest finite magnitude in x; 0 where there is none."""
    if not x.size:
        return 0.0
    high = max(float(np.max(x)), -float(np.min(x)))
    if high < np.inf:  # neither NaN nor infinity
        return high + 0.0
    sizes = np.abs(x)
    return float(np.max(sizes, initial=0.0, where=np.isfinite(sizes)))
