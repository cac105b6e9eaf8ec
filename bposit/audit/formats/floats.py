"""The floating dtypes of NumPy and ml_dtypes, rounded to once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import numpy.typing as npt

from ...errors import BadInput
from .base import F8, I8, Format

__all__ = ["OTHERS", "Float"]

OTHERS = (
    "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e4m3", "float8_e5m2",
    "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e4m3b11fnuz", "float8_e3m4",
    "float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn",
)  # fmt: skip


@final
@dataclass(frozen=True)
class Float(Format):
    """A floating dtype of NumPy or ml_dtypes; ``saturate`` clips numbers beyond its largest."""

    dtype: np.dtype[Any]
    saturate: bool = False

    @classmethod
    def of(cls, name: str) -> Float:
        """By the name that ml_dtypes gives it; BadInput where ml_dtypes is not installed."""
        try:
            import ml_dtypes
        except ImportError:
            raise BadInput(f"format {name} needs ml_dtypes: install bposit[audit]") from None
        dtype = np.dtype(getattr(ml_dtypes, name, name))
        return cls(name, int(ml_dtypes.finfo(dtype).bits), dtype)  # type: ignore[no-untyped-call]

    @cached_property
    def _info(self) -> Any:
        import ml_dtypes

        return ml_dtypes.finfo(self.dtype)  # type: ignore[no-untyped-call]

    @cached_property
    def top(self) -> float:
        return float(self._info.max)

    @cached_property
    def bottom(self) -> float:
        return float(self._info.smallest_subnormal)

    @cached_property
    def has_nan(self) -> bool:
        """Whether NaN is among its values; float6 and float4 have none."""
        return bool(np.isnan(np.array(np.nan).astype(self.dtype).astype(np.float64)))

    @property
    def most_fraction_bits(self) -> int:
        return int(self._info.nmant)

    @cached_property
    def _low(self) -> int:
        """The exponent of the smallest normal number."""
        return int(np.frexp(np.float64(self._info.smallest_normal))[1]) - 1

    def fraction_bits(self, exponents: I8) -> I8:
        high = int(np.frexp(self.top)[1]) - 1
        found = self.most_fraction_bits - np.maximum(self._low - exponents, 0)
        return np.where((found < 0) | (exponents > high), -1, found)

    def gaps(self, exponents: I8) -> F8:
        return np.exp2(np.maximum(exponents, self._low) - 1.0 * self.most_fraction_bits)

    @property
    def is_numpys(self) -> bool:
        """Whether the cast from float64 is NumPy's, which rounds once."""
        return self.dtype.type in (np.float16, np.float32)

    @cached_property
    def _values(self) -> F8:
        with np.errstate(invalid="ignore"):
            return np.arange(256, dtype=np.uint8).view(self.dtype).astype(np.float64)

    def nearest(self, z: F8) -> F8:
        finite = None
        if self.saturate or not self.has_nan:
            finite = np.isfinite(z)
            z = np.where(finite, np.clip(z, -self.top, self.top) if self.saturate else z, 0.0)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            made = (z if self.is_numpys else _to_odd(z)).astype(self.dtype)
            if self.dtype.itemsize == 1:
                out = self._values[made.view(np.uint8)]
            else:
                out = made.astype(np.float64)
        return out if finite is None else np.where(finite, out, np.nan)

    def order(self, z: F8) -> I8:
        width = 8 * self.dtype.itemsize
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            bits = z.astype(self.dtype).view(f"u{self.dtype.itemsize}").astype(np.int64)
        sign = 1 << (width if self.name.startswith("float8") or width > 8 else self.bits) - 1
        size = bits & (sign - 1)
        return np.where(bits & sign, -size, size)


def _to_odd(x: F8) -> npt.NDArray[np.float32]:
    """x as float32, rounded to odd, so that a cast from there is the only rounding.

    ml_dtypes casts float64 through float32, to nearest twice. Truncating, and setting the last bit
    where something was cut off, keeps every tie a tie and everything else on its side of one;
    float32 has two bits more than any format cast to, at every magnitude.
    """
    near: npt.NDArray[np.float32] = x.astype(np.float32)
    wide = near.astype(np.float64)
    cut = (wide != x) & ~np.isnan(x)
    if not cut.any():
        return near
    bits = near.view(np.uint32)
    odd = (bits - (np.abs(wide) > np.abs(x))) | cut
    return np.asarray(odd, np.uint32).view(np.float32)
