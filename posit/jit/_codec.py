"""The codec over a constant spec: patterns <-> (scale, significand) <-> IEEE floats and integers.

The formulas of ctypes_src/word.h and codec.h, in 64-bit words for every spec. A pattern is int64,
sign-extended; a finite non-zero magnitude is (sig / 2^63) · 2^scale with bit 63 of sig set. Nothing
in `unpack`, `pack`, `exact_float` and `nearest_pattern` branches on data, so with the constant spec
of posit.jit.ops LLVM folds and vectorises them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic, overload

from ._words import (
    ONE,
    TOP,
    ZERO,
    Word,
    bits_float,
    float_bits,
    inline,
    int_of,
    larger,
    lead,
    smaller,
    word_of,
)

__all__ = [
    "Spec", "body_of", "convert", "decode", "encode", "exact_float", "f_max", "fits_float64",
    "nar_of", "nearest_pattern", "pack", "reach", "signed", "unpack",
]  # fmt: skip

_QUIET_NAN = np.uint64(0x7FF8 << 48)
_INFINITY = np.uint64(0x7FF << 52)


class Spec(NamedTuple):
    """A posit.PositSpec as compiled code takes it; ``edition`` only tells cached code apart."""

    n: int
    rs: int
    es: int
    edition: int = 0


@inline
def reach(s: Spec) -> int:
    """rs·2^es."""
    return s.rs << s.es


@inline
def f_max(s: Spec) -> int:
    """Most fraction bits."""
    return larger(0, s.n - 3 - s.es)


@inline
def fits_float64(s: Spec) -> bool:
    """Every value is exactly a normal float64."""
    return f_max(s) <= 52 and reach(s) <= 1022


@inline
def nar_of(s: Spec) -> int:
    """The pattern of NaR."""
    return -1 << (s.n - 1)


@inline
def body_of(p: int) -> Word:
    """|p|, in words: Numba's int64 must not overflow, and NaR has no opposite at n = 64."""
    sign = np.uint64(p >> 63)
    return (np.uint64(p) ^ sign) - sign


@inline
def unpack(body: Word, s: Spec) -> tuple[Word, int]:
    """(sig, scale) of the low n-1 bits of |pattern|; sig = 0 for zero and NaR."""
    y = body << (65 - s.n)  # the sign bit of NaR leaves at the top
    ones = int_of(y) >> 63  # -1 where the regime is a run of ones, else 0
    run = smaller(lead((y ^ np.uint64(ones)) | ONE), s.rs)
    z = y << smaller(run + 1, s.rs)
    exponent = (z >> ONE) >> (63 - s.es)
    sig = (z << s.es) >> ONE | TOP
    scale = ((-run ^ ones) << s.es) + int_of(exponent)  # ones: regime run-1, zeros: -run
    return (sig if y != ZERO else ZERO), scale


@inline
def _rounded(r: int, ef: Word, sticky: Word, s: Spec) -> Word:
    """The body, 1 ... 2^(n-1)-1, of regime value r and left-aligned exponent and fraction bits.

    To nearest, ties to even, saturating; ``sticky`` is non-zero where ef is a little too small.
    """
    cut = 65 - s.n  # bits of a word below the body, 2 at least
    top = (ONE << (s.n - 1)) - ONE
    flip = r >> 63
    m = (r ^ flip) + 1  # run length, 1 at least
    size = smaller(m + 1, s.rs)
    zeros = np.uint64(flip)
    ones = ~zeros
    regime = (ones ^ ones >> smaller(m, s.rs)) | (zeros >> smaller(m, s.rs) ^ zeros >> size)
    string = regime | ef >> size
    below = (string << (s.n - 1)) << ONE | ef << (64 - size) | sticky
    body = string >> cut
    body += string >> (cut - 1) & ONE & (word_of(below != ZERO) | body)
    body = smaller(larger(body, ONE), top)
    if m > s.rs:
        body = ONE if r < 0 else top
    return body


@inline
def pack(scale: int, sig: Word, sticky: Word, s: Spec) -> Word:
    """The body nearest to (sig / 2^63)·2^scale, or a little above that where sticky is non-zero."""
    f = sig << ONE
    mask = (ONE << s.es) - ONE
    ef = (np.uint64(scale) & mask) << (63 - s.es) << ONE | f >> s.es
    return _rounded(scale >> s.es, ef, sticky | f & mask, s)


@inline
def nearest_pattern(x: float, s: Spec) -> int:
    """A float64 rounded once.

    Its biased exponent and fraction, read as one integer and rebased, are the fixed-point number
    scale.fraction; shifting it splits regime, exponent and fraction.
    """
    bits = float_bits(x)
    magnitude = bits & 0x7FFFFFFFFFFFFFFF
    fixed = magnitude - (1023 << 52)
    if reach(s) > 1022 and magnitude < 1 << 52:  # subnormals do not all saturate: m · 2^-1074
        top = 63 - lead(np.uint64(magnitude | 1))
        fixed = ((top - 1075) << 52) + (magnitude << (52 - top))
    body = int_of(_rounded(fixed >> (52 + s.es), np.uint64(fixed) << (12 - s.es), ZERO, s))
    p = -body if bits < 0 else body
    p = p if magnitude != 0 else 0
    return p if magnitude < 0x7FF << 52 else nar_of(s)


@inline
def exact_float(p: int, s: Spec) -> float:
    """The value as a float64, for specs that fit one; NaR is a quiet NaN."""
    sig, scale = unpack(body_of(p), s)
    magnitude = np.uint64(scale + 1023) << 52 | (sig << ONE) >> 12
    bits = (magnitude if sig != ZERO else ZERO) | np.uint64(p) & TOP
    return bits_float(bits if p != nar_of(s) else _QUIET_NAN)


@inline
def _nearest_float(negative: bool, scale: int, sig: Word) -> float:
    """(sig / 2^63)·2^scale, rounded to nearest even by IEEE rules."""
    cut = 11 if scale >= -1022 else smaller(-1011 - scale, 65)  # bits to drop: more when subnormal
    kept = sig >> cut if cut < 64 else ZERO
    lost = sig << (64 - cut) if cut < 64 else (sig if cut == 64 else ONE)
    kept += word_of(lost > TOP or (lost == TOP and kept & ONE != ZERO))
    # kept carries the hidden bit of a normal number into the exponent field; rounding may too.
    bits = kept if scale < -1022 else (np.uint64(scale + 1022) << 52) + kept
    bits = bits if scale <= 1023 else _INFINITY
    return bits_float(bits | (TOP if negative else ZERO))


@inline
def decode(p: int, s: Spec) -> float:
    """The value as a float64, rounded once."""
    if fits_float64(s):
        return exact_float(p, s)
    sig, scale = unpack(body_of(p), s)
    if sig != ZERO:
        return _nearest_float(p < 0, scale, sig)
    return 0.0 if p == 0 else np.nan


@inline
def _pattern_of_integer(magnitude: Word, negative: bool, s: Spec) -> int:
    if magnitude == ZERO:
        return 0
    zeros = lead(magnitude)
    body = int_of(pack(63 - zeros, magnitude << zeros, ZERO, s))
    return -body if negative else body


@inline
def convert(p: int, given: Spec, wanted: Spec) -> int:
    """The pattern of ``wanted`` nearest to the value of a pattern of ``given``."""
    sig, scale = unpack(body_of(p), given)
    body = int_of(pack(scale, sig, ZERO, wanted))
    if sig == ZERO:
        return 0 if p == 0 else nar_of(wanted)
    return -body if p < 0 else body


def encode(x: Any, s: Spec) -> int:
    """A number of any real type, rounded once; for compiled code only."""
    raise NotImplementedError


@overload(encode, jit_options={"forceinline": True})
def _encode(x: Any, s: Spec) -> Any:
    def of_float(x: Any, s: Spec) -> int:
        return nearest_pattern(np.float64(x), s)

    def of_signed(x: Any, s: Spec) -> int:
        return _pattern_of_integer(body_of(np.int64(x)), x < 0, s)

    def of_unsigned(x: Any, s: Spec) -> int:
        return _pattern_of_integer(np.uint64(x), False, s)

    if isinstance(x, types.Float):
        return of_float
    if isinstance(x, types.Integer):
        return of_signed if x.signed else of_unsigned
    raise TypingError(f"encode: cannot read {x}; possible are floats and integers")


@intrinsic
def signed(context: Any, p: Any) -> Any:
    """A pattern as int64. Other types than signed integers are refused."""
    if not (isinstance(p, types.Integer) and p.signed):
        hint = "; encode makes patterns of numbers" if isinstance(p, types.Float) else ""
        raise TypingError(f"patterns are signed integers, got {p}{hint}")

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.cast(builder, arguments[0], signature.args[0], types.int64)

    return types.int64(p), emit
