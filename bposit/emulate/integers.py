"""Posits as the integers of a datapath, and integers rounded to posits.

Widths decide the machine type: :func:`word` gives the narrowest that holds so many bits, Python's
own integers (dtype object) beyond 64, so that each model is written once for every format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from posit import PositSpec
from posit._arrays import Patterns, core_spec, ffi, lib, pointer

__all__ = [
    "NOTHING",
    "Operand",
    "Whole",
    "beside",
    "drop",
    "from_parts",
    "lengths",
    "normalised",
    "parts",
    "round_wholes",
    "rounding",
    "signed",
    "word",
    "wrapped",
]

Whole = npt.NDArray[Any]
"""Integers: int32, int64 or object."""

NOTHING = -(1 << 20)
"""The scale of zero and NaR: below that of every product and sum (at least -2·4096 - 124)."""

_LENGTH = np.frompyfunc(lambda x: abs(int(x)).bit_length(), 1, 1)
_NARROWED = np.frompyfunc(lambda x, n: _jammed(abs(int(x)), n), 2, 1)


def word(bits: int) -> np.dtype[Any]:
    """The dtype for signed integers of so many bits, the sign included."""
    return np.dtype(np.int32 if bits <= 32 else np.int64 if bits <= 64 else object)


@dataclass(frozen=True, slots=True, eq=False)
class Operand:
    """Patterns taken apart: value = sig · 2^(scale - fraction), 0 where sig is.

    Parameters
    ----------
    bits : patterns of ``spec``, any shape
    spec : PositSpec
    sig : int64, of the same shape
        Signed; f_max + 1 bits and a sign, the leading bit of the magnitude set.
    scale : int64
        floor(log2 |value|); ``NOTHING`` for zero and NaR.
    nar : bool
    """

    bits: Patterns
    spec: PositSpec
    sig: npt.NDArray[np.int64]
    scale: npt.NDArray[np.int64]
    nar: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, bits: Patterns, spec: PositSpec) -> Operand:
        """Take patterns apart."""
        return cls(bits, spec, *signed(bits, spec), np.asarray(bits == spec.nar))

    @property
    def width(self) -> int:
        """Bits of a magnitude."""
        return self.spec.f_max + 1


def signed(bits: Patterns, spec: PositSpec) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(sig, scale) as :class:`Operand` has them."""
    found, scale = parts(bits, spec)
    found >>= np.uint64(63 - spec.f_max)
    sig = found.view(np.int64)
    np.negative(sig, out=sig, where=np.asarray(bits < 0))
    scale[sig == 0] = NOTHING
    return sig, scale


def parts(bits: Patterns, spec: PositSpec) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """(sig, scale): magnitudes sig/2^63 · 2^scale with bit 63 set; sig = 0 for zero and NaR."""
    line = np.ascontiguousarray(bits).reshape(-1)
    sig, scale = np.empty(line.size, np.uint64), np.empty(line.size, np.int64)
    lib.bp_to_parts(
        core_spec(spec), line.size, pointer(line), ffi.from_buffer("uint64_t[]", sig),
        ffi.from_buffer("int64_t[]", scale),
    )  # fmt: skip
    return sig.reshape(np.shape(bits)), scale.reshape(np.shape(bits))


def from_parts(
    negative: npt.NDArray[np.bool_],
    sig: npt.NDArray[np.uint64],
    scale: npt.NDArray[np.int64],
    spec: PositSpec,
) -> Patterns:
    """Patterns nearest to ±sig/2^63 · 2^scale, rounded once: where bits are missing, sig has been
    rounded to odd. Arrays of one shape."""
    lines = [np.ascontiguousarray(x).reshape(-1) for x in (sig, scale)]
    out = np.empty(np.shape(sig), spec.storage)
    lib.bp_from_parts(
        core_spec(spec), out.size, ffi.from_buffer("uint64_t[]", lines[0]),
        ffi.from_buffer("int64_t[]", lines[1]), pointer(out.reshape(-1)),
    )  # fmt: skip
    np.negative(out, out=out, where=np.asarray(negative, bool))
    return out


def lengths(x: Whole) -> npt.NDArray[np.int64]:
    """Bits of each magnitude; 0 for 0."""
    if x.dtype == object:
        return np.asarray(_LENGTH(x), np.int64).reshape(x.shape)
    if x.dtype == np.int32:
        return np.frexp(x.astype(np.float64))[1].astype(np.int64)
    size = np.abs(x.astype(np.int64)).astype(np.uint64)  # -2^63 too
    found: npt.NDArray[np.int64] = np.frexp(size.astype(np.float64))[1].astype(np.int64)
    # the conversion rounds 2^k - 1 to 2^k where k > 53
    top = np.maximum(found - 1, 0).astype(np.uint64)
    found -= ((size >> top) == 0) & (size != 0)
    return found


def drop(x: Whole, by: Any, low: str) -> tuple[Whole, npt.NDArray[np.bool_]]:
    """x / 2^by as an integer, and whether bits were lost; 0 <= by, |x| < 2^(bits of dtype - 3).

    ``low`` is ``trunc``, towards zero; ``floor``; or ``rne``, to nearest with ties to even.
    """
    by = np.asarray(by)
    if x.dtype != object:
        by = np.minimum(by, 8 * x.dtype.itemsize - 2).astype(x.dtype)  # the result is the same
    else:
        by = np.minimum(by, lengths(x) + 2).astype(object)
    kept = x >> by
    rest = x - (kept << by)
    lost = np.asarray(rest != 0, bool)
    if low == "trunc":
        kept = kept + ((x < 0) & lost)
    elif low == "rne":
        twice = rest + rest
        whole = (rest * 0 + 1) << by
        kept = kept + ((twice > whole) | ((twice == whole) & ((kept & 1) == 1)))
    return kept, lost


def wrapped(x: Whole, width: int) -> Whole:
    """x modulo 2^width, as a signed integer of so many bits."""
    half = 1 << (width - 1)
    return ((x + half) & ((1 << width) - 1)) - half


def round_wholes(x: Whole, lsb: npt.ArrayLike, spec: PositSpec) -> Patterns:
    """Patterns nearest to x · 2^lsb, ties to even; a non-zero x never becomes 0 or NaR.

    ``x`` of any shape, ``lsb`` integers that broadcast to it.
    """
    return from_parts(np.asarray(x < 0, bool), *normalised(x, lsb), spec)


def rounding(
    x: Whole, lsb: npt.ArrayLike, bits: Patterns, spec: PositSpec
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Whether ``bits``, of finite posits, are not x · 2^lsb, and whether that is beyond maxpos."""
    lost, above = beside(*normalised(x, lsb), bits, spec)
    return lost, lost & above & (np.abs(bits) == spec.maxpos_pattern)


def beside(
    sig: npt.NDArray[np.uint64], scale: npt.NDArray[np.int64], bits: Patterns, spec: PositSpec
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Whether magnitudes sig/2^63 · 2^scale are not those of ``bits``, and whether larger."""
    own, its = parts(bits, spec)
    some = (sig != 0) & (own != 0)
    lost = (sig != own) | (some & (scale != its))
    return lost, (own == 0) | (some & ((scale > its) | ((scale == its) & (sig > own))))


def normalised(
    x: Whole, lsb: npt.ArrayLike
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Magnitudes as :func:`parts` gives them, rounded to odd where they are longer."""
    size = lengths(x)
    scale = np.asarray(lsb, np.int64) + size
    scale -= 1
    if x.dtype == object:
        return np.asarray(_NARROWED(x, size), np.uint64).reshape(x.shape), scale
    magnitude = np.abs(x.astype(np.int64)).view(np.uint64)
    return magnitude << ((64 - size) & 63).view(np.uint64), scale


def _jammed(x: int, size: int) -> int:
    """The top 64 of ``size`` bits, rounded to odd."""
    if size <= 64:
        return x << (64 - size) if x else 0
    top = x >> (size - 64)
    return top | (top << (size - 64) != x)
