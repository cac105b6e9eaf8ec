"""Floats of 8 bits and fewer with scales: one for a tensor, or one for each block."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import final

import numpy as np

from .base import F8, I8, Format
from .floats import Float

__all__ = ["BLOCK", "MX", "Blocks", "Scaled"]

BLOCK = 32  # values that share a scale in the OCP Microscaling formats, v1.0, 5.1
_LEAST_SCALE, _MOST_SCALE = 2.0**-126, (2 - 2.0**-23) * 2.0**127  # normal float32
_E8M0 = 127  # exponents of a shared scale run from -127 to 127
MX = {
    "mxfp8": "float8_e4m3fn", "mxfp8_e4m3": "float8_e4m3fn", "mxfp8_e5m2": "float8_e5m2",
    "mxfp6_e2m3": "float6_e2m3fn", "mxfp6_e3m2": "float6_e3m2fn", "mxfp4": "float4_e2m1fn",
}  # fmt: skip


@dataclass(frozen=True)
class _Carried(Format, ABC):
    """Elements of a plain format, which are the numbers over their scales."""

    inner: Float

    @property
    def top(self) -> float:
        return self.inner.top

    @property
    def bottom(self) -> float:
        return self.inner.bottom

    @property
    def most_fraction_bits(self) -> int:
        return self.inner.most_fraction_bits

    def fraction_bits(self, exponents: I8) -> I8:
        return self.inner.fraction_bits(exponents)

    def gaps(self, exponents: I8) -> F8:
        return self.inner.gaps(exponents)

    def nearest(self, z: F8) -> F8:
        return self.inner.nearest(z)

    def order(self, z: F8) -> I8:
        return self.inner.order(z)

    @property
    def is_scaled(self) -> bool:
        return True


@final
@dataclass(frozen=True)
class Scaled(_Carried):
    """``name@amax``: one float32 scale for the tensor takes its largest magnitude to the top."""

    @classmethod
    def of(cls, inner: Float) -> Scaled:
        return cls(f"{inner.name}@amax", inner.bits, inner)

    def scales(self, x: F8, amax: float) -> float:
        if not amax:
            return 1.0
        with np.errstate(over="ignore", under="ignore"):
            scale = np.float32(amax / self.top)
            if float(scale) * self.top < amax:
                scale = np.nextafter(scale, np.float32(np.inf))
        return min(max(float(scale), _LEAST_SCALE), _MOST_SCALE)

    def bytes_of(self, shape: tuple[int, ...]) -> int:
        return self.inner.bytes_of(shape) + 4

    @property
    def needs_amax(self) -> bool:
        return True


@final
@dataclass(frozen=True)
class Blocks(_Carried):
    """An OCP Microscaling format: 32 values along the last axis share a power of two.

    The scale is 2^(floor(log2 amax) - emax) and elements saturate (OCP MX v1.0, 6.3).
    """

    @classmethod
    def of(cls, name: str) -> Blocks:
        plain = Float.of(MX[name])
        return cls(name, plain.bits, Float(plain.name, plain.bits, plain.dtype, saturate=True))

    def scales(self, x: F8, amax: float) -> F8:
        rows, columns = x.shape
        full = columns // BLOCK * BLOCK
        emax = int(np.frexp(self.top)[1]) - 1
        made = np.empty_like(x)
        for part, width in ((slice(0, full), BLOCK), (slice(full, columns), columns - full)):
            if not width or part.start == part.stop:
                continue
            sizes = np.abs(x[:, part]).reshape(rows, -1, width)
            sizes = np.where(np.isfinite(sizes), sizes, 0.0)
            exponents = np.frexp(sizes.max(axis=-1, keepdims=True))[1] - 1 - emax
            scale = np.ldexp(1.0, np.clip(exponents, -_E8M0, _E8M0))
            made[:, part] = np.broadcast_to(scale, sizes.shape).reshape(rows, -1)
        return made

    def bytes_of(self, shape: tuple[int, ...]) -> int:
        columns = shape[-1] if shape else 1
        rows = int(np.prod(shape[:-1], dtype=object)) if shape else 1
        return self.inner.bytes_of(shape) + rows * -(-columns // BLOCK)
