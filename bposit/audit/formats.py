"""Number formats as the audit sees them: nearest values, patterns in order, fraction bits.

Posits come from :mod:`posit`, the others from NumPy and ml_dtypes; nothing is rounded here. Every
format rounds float64 to float64, so formats whose values a float64 cannot hold in range
(rs·2^es > 1022) are refused; those with more significand bits are not, because rounding a float64
never lengthens it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import numpy.typing as npt

import posit
from posit import PositSpec

from ..errors import BadInput

__all__ = [
    "BLOCK",
    "F8",
    "Blocks",
    "Float",
    "Format",
    "PositFormat",
    "Scaled",
    "parse",
    "parse_all",
]

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

BLOCK = 32  # values that share a scale in the OCP Microscaling formats, v1.0, 5.1
_LEAST_SCALE, _MOST_SCALE = 2.0**-126, (2 - 2.0**-23) * 2.0**127  # normal float32
_E8M0 = 127  # exponents of a shared scale run from -127 to 127
_OTHERS = (
    "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e4m3", "float8_e5m2",
    "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e4m3b11fnuz", "float8_e3m4",
    "float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn",
)  # fmt: skip
_MX = {
    "mxfp8": "float8_e4m3fn", "mxfp8_e4m3": "float8_e4m3fn", "mxfp8_e5m2": "float8_e5m2",
    "mxfp6_e2m3": "float6_e2m3fn", "mxfp6_e3m2": "float6_e3m2fn", "mxfp4": "float4_e2m1fn",
}  # fmt: skip


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
        if amax is None:
            amax = finite_amax(given)
        lines = (
            given.reshape(-1, given.shape[-1])
            if given.ndim > 1 and given.size
            else (given.reshape(1, -1))
        )
        scale = self.scales(lines, amax)
        return np.asarray(self.nearest(lines / scale) * scale).reshape(given.shape)


def finite_amax(x: F8) -> float:
    """The largest finite magnitude in x; 0 where there is none."""
    sizes = np.abs(x)
    return float(np.max(sizes, initial=0.0, where=np.isfinite(sizes)))


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

    def fraction_bits(self, exponents: I8) -> I8:
        s = self.spec
        r = exponents >> s.es
        regime = np.minimum(np.where(r >= 0, r + 2, 1 - r), s.rs)
        found = np.maximum(s.n - 1 - s.es - regime, 0)
        outside = (exponents < s.min_scale) | (exponents > s.max_scale)
        return np.where(outside, -1, found)

    def nearest(self, z: F8) -> F8:
        return np.asarray(posit.decode(posit.encode(z, self.spec), self.spec))

    def order(self, z: F8) -> I8:
        return np.asarray(posit.encode(z, self.spec)).astype(np.int64)


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

    def fraction_bits(self, exponents: I8) -> I8:
        low = int(np.frexp(np.float64(self._info.smallest_normal))[1]) - 1
        high = int(np.frexp(self.top)[1]) - 1
        found = self.most_fraction_bits - np.maximum(low - exponents, 0)
        return np.where((found < 0) | (exponents > high), -1, found)

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


@final
@dataclass(frozen=True)
class Scaled(Format):
    """``name@amax``: one float32 scale for the tensor takes its largest magnitude to the top."""

    inner: Float

    @classmethod
    def of(cls, inner: Float) -> Scaled:
        return cls(f"{inner.name}@amax", inner.bits, inner)

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

    def scales(self, x: F8, amax: float) -> float:
        if not amax:
            return 1.0
        with np.errstate(over="ignore", under="ignore"):
            scale = np.float32(amax / self.top)
            if float(scale) * self.top < amax:
                scale = np.nextafter(scale, np.float32(np.inf))
        return min(max(float(scale), _LEAST_SCALE), _MOST_SCALE)

    def nearest(self, z: F8) -> F8:
        return self.inner.nearest(z)

    def order(self, z: F8) -> I8:
        return self.inner.order(z)

    def bytes_of(self, shape: tuple[int, ...]) -> int:
        return self.inner.bytes_of(shape) + 4

    @property
    def is_scaled(self) -> bool:
        return True

    @property
    def needs_amax(self) -> bool:
        return True


@final
@dataclass(frozen=True)
class Blocks(Format):
    """An OCP Microscaling format: 32 values along the last axis share a power of two.

    The scale is 2^(floor(log2 amax) - emax) and elements saturate (OCP MX v1.0, 6.3).
    """

    inner: Float

    @classmethod
    def of(cls, name: str) -> Blocks:
        plain = Float.of(_MX[name])
        return cls(name, plain.bits, Float(plain.name, plain.bits, plain.dtype, saturate=True))

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

    def nearest(self, z: F8) -> F8:
        return self.inner.nearest(z)

    def order(self, z: F8) -> I8:
        return self.inner.order(z)

    def bytes_of(self, shape: tuple[int, ...]) -> int:
        columns = shape[-1] if shape else 1
        rows = int(np.prod(shape[:-1], dtype=object)) if shape else 1
        return self.inner.bytes_of(shape) + rows * -(-columns // BLOCK)

    @property
    def is_scaled(self) -> bool:
        return True


def parse(text: str) -> Format:
    """Read one format's name; BadInput says what is possible.

    ``bposit16``, ``posit16``, ``n24_rs4_es3``, ``float16``, ``bfloat16``, ``float8_e4m3fn`` and the
    other floats of ml_dtypes, each of these with ``@amax``, ``mxfp8`` and its kin.
    """
    key = re.sub(r"\s+", "", text).lower()
    if key in _MX:
        return Blocks.of(key)
    plain, at, scaling = key.partition("@")
    if plain in _OTHERS and (not at or scaling == "amax"):
        return Scaled.of(Float.of(plain)) if at else Float.of(plain)
    if at:
        raise BadInput(
            f"format {text[:60]!r}: NAME@amax is possible for {', '.join(_OTHERS)};"
            " posits are judged as they are"
        )
    try:
        spec = PositSpec.parse(key)
    except ValueError as error:
        raise BadInput(
            f"{str(error).removeprefix('PositSpec: ')[:400]}; others are {', '.join(_OTHERS)} (with"
            f" @amax too) and {', '.join(_MX)}"
        ) from None
    return PositFormat.of(spec)


def parse_all(texts: str | Iterable[str | Format]) -> tuple[Format, ...]:
    """Read a comma-separated list, or several; each format once, in the order given."""
    given: list[str | Format] = []
    for item in [texts] if isinstance(texts, str) else texts:
        if isinstance(item, Format):
            given.append(item)
        else:  # commas within <n,rs,es> belong to it
            given += [part for part in re.split(r",(?![^<]*>)", item) if part.strip()]
    found = [item if isinstance(item, Format) else parse(item) for item in given]
    if not found:
        raise BadInput("no format is given: --formats bposit16,bfloat16")
    return tuple({f.name: f for f in found}.values())
