"""64-bit words, and pairs of them as 128-bit integers, in functions that Numba compiles.

A word is uint64, a count is int64, a pair is (high word, low word). Numba makes a float64 of the
sum of a uint64 and an int64, so the two never meet but in a shift. It tells LLVM that an int64
never overflows, so what may wrap is a word. A shift count lies in 0 ... 63, a pair's in 0 ... 127.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

__all__ = [
    "ONE", "TOP", "ZERO", "Pair", "Word", "bits_float", "flipped", "float_bits", "inline", "int_of",
    "larger", "lead", "lead_pair", "minus", "plus", "product", "shift_left", "shift_right",
    "smaller", "word_of",
]  # fmt: skip

Word = Any
Pair = tuple[Word, Word]

ZERO, ONE, TOP = np.uint64(0), np.uint64(1), np.uint64(1 << 63)

inline = njit(forceinline=True, error_model="numpy")


@intrinsic
def lead(context: Any, x: Any) -> Any:
    """Leading zeros of a word, int64; 64 for 0."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), emit


@intrinsic
def _high(context: Any, a: Any, b: Any) -> Any:
    """The high word of a product of words: one instruction on most machines."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        x, y = (builder.zext(v, wide) for v in arguments)
        shifted = builder.lshr(builder.mul(x, y), ir.Constant(wide, 64))
        return builder.trunc(shifted, ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), emit


@intrinsic
def float_bits(context: Any, x: Any) -> Any:
    """The bits of a float64 as int64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), emit


@intrinsic
def bits_float(context: Any, x: Any) -> Any:
    """The float64 of these bits, uint64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), emit


@inline
def word_of(flag: bool) -> Word:
    """1 where the flag is set, else 0."""
    return ONE if flag else ZERO


@inline
def smaller(a: Any, b: Any) -> Any:
    """The smaller of two of one type; the built-in min fails for CUDA in Numba 0.68."""
    return a if a < b else b


@inline
def larger(a: Any, b: Any) -> Any:
    """The larger of two of one type."""
    return a if a > b else b


@inline
def int_of(x: Word) -> Any:
    """The same 64 bits as int64."""
    return np.int64(x)


@inline
def product(a: Word, b: Word) -> Pair:
    """a · b, exact."""
    return _high(a, b), a * b


@inline
def plus(x: Pair, y: Pair) -> Pair:
    """x + y modulo 2^128."""
    low = x[1] + y[1]
    return x[0] + y[0] + word_of(low < y[1]), low


@inline
def minus(x: Pair, y: Pair) -> Pair:
    """x - y modulo 2^128."""
    return x[0] - y[0] - word_of(x[1] < y[1]), x[1] - y[1]


@inline
def flipped(x: Pair, mask: Word) -> Pair:
    """-x modulo 2^128 where the mask has all bits set, x where it has none."""
    return plus((x[0] ^ mask, x[1] ^ mask), (ZERO, mask & ONE))


@inline
def shift_right(x: Pair, count: int) -> Pair:
    """floor(x / 2^count)."""
    if count > 63:
        return ZERO, x[0] >> (count - 64)
    return x[0] >> count, x[1] >> count | (x[0] << ONE) << (63 - count)


@inline
def shift_left(x: Pair, count: int) -> Pair:
    """x · 2^count modulo 2^128."""
    if count > 63:
        return x[1] << (count - 64), ZERO
    return x[0] << count | (x[1] >> ONE) >> (63 - count), x[1] << count


@inline
def lead_pair(x: Pair) -> int:
    """Leading zeros of a pair; 128 for 0."""
    return lead(x[0]) if x[0] != ZERO else 64 + lead(x[1])
