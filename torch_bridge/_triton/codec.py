"""Between floats and patterns: docs/format.md as device functions of Triton.

A format is three compile-time constants N, RS, ES, with f_max <= 52 and rs·2^es <= 1022. Words
have W = 32 bits where N <= 32, else 64. Nothing branches on data, and every shift count lies in
0 … W-1.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["decode_kernel", "encode_kernel", "leading_zeros", "patterns_of", "split", "values_of"]


@triton.jit
def leading_zeros(t, W: tl.constexpr):
    """Of a word t != 0, signed: by the exponent of a float, whose rounding cannot carry, because
    ``alone`` has the highest bit of t, and the next is 0."""
    alone = t & (t ^ t >> 1)
    if W == 32:
        zeros = 158 - (alone.to(tl.float32).to(tl.int32, bitcast=True) >> 23)
    else:
        zeros = 1086 - (alone.to(tl.float64).to(tl.int64, bitcast=True) >> 52)
    return zeros


@triton.jit
def split(p, N: tl.constexpr, RS: tl.constexpr, ES: tl.constexpr):
    """Patterns of W bits to (y, ef, r): y is 0 for zero and NaR, whose other parts mean nothing;
    ef holds exponent and fraction bits, left-aligned in a word; r is the regime value."""
    W: tl.constexpr = 32 if N <= 32 else 64
    WORD: tl.constexpr = tl.uint32 if N <= 32 else tl.uint64
    SIGNED: tl.constexpr = tl.int32 if N <= 32 else tl.int64
    sign = p >> (W - 1)
    y = ((p ^ sign) - sign).to(WORD) << (W - N + 1)
    ones = y.to(SIGNED) >> (W - 1)
    run = tl.minimum(leading_zeros(y ^ ones.to(WORD) | 1, W), RS)
    ef = y << tl.minimum(run + 1, RS).to(WORD)
    return y, ef, -run ^ ones


@triton.jit
def values_of(p, N: tl.constexpr, RS: tl.constexpr, ES: tl.constexpr):
    """The exact float64 values of patterns; NaR is a quiet NaN."""
    if N <= 32:
        p = p.to(tl.int32)
        y, ef, r = split(p, N, RS, ES)
        top = (ef >> (12 - ES)).to(tl.int32) + (r << (20 + ES)) + (1023 << 20)
        top = tl.where(y == 0, 0, top) | (p & -(1 << 31))
        top = tl.where(p == -(1 << (N - 1)), 0x7FF80000, top)
        low = ef << (20 + ES)  # of at most 29 fraction bits; 0 for zero and NaR, as y is
        bits = (top.to(tl.int64) << 32) | low.to(tl.int64)
    else:
        p = p.to(tl.int64)
        y, ef, r = split(p, N, RS, ES)
        bits = (ef >> (12 - ES)).to(tl.int64) + (r << (52 + ES)) + (1023 << 52)
        bits = tl.where(y == 0, 0, bits) | (p & -(1 << 63))
        bits = tl.where(p == -(1 << (N - 1)), 0x7FF8 << 48, bits)
    return bits.to(tl.float64, bitcast=True)


@triton.jit
def nearest(r, ef, N: tl.constexpr, RS: tl.constexpr):
    """The N-1 bits nearest to regime value r (-RS <= r < RS) and exponent and fraction bits ef.

    ef is left-aligned in a word; at most N-2 bits of it matter before those that only break ties.
    """
    zeros = r >> (31 if N <= 32 else 63)
    room = N - 2 - (r ^ zeros)  # for all behind the run
    kept = tl.maximum(room - 1, N - 1 - RS)  # for ef: 0 … N-3
    one = tl.full(r.shape, 1, r.dtype)
    run, size = one << room, one << kept
    regime = tl.where(r < 0, run - size, (1 << (N - 1)) - 1 - (run - 1))
    if N <= 32:
        wide = ef.to(tl.uint64) << kept.to(tl.uint64)
        body = regime + (wide >> 32).to(tl.int32)
        tail = wide.to(tl.uint32) | (body & 1).to(tl.uint32)
        body += (tail > 1 << 31).to(tl.int32)
    else:
        body = regime + (ef >> 1 >> (63 - kept).to(tl.uint64)).to(tl.int64)
        tail = ef << kept.to(tl.uint64) | (body & 1).to(tl.uint64)
        body += (tail > 1 << 63).to(tl.int64)
    return body


@triton.jit
def patterns_of(x, N: tl.constexpr, RS: tl.constexpr, ES: tl.constexpr):
    """The patterns nearest to float64 numbers; NaN and infinities give NaR.

    Biased exponent and fraction of a float, rebased, are scale.fraction, and shifts split it. What
    lies beyond minpos and maxpos is replaced by those first.
    """
    REACH: tl.constexpr = RS << ES
    F_MIN: tl.constexpr = N - 1 - RS - ES
    LEAST: tl.constexpr = ((1023 - REACH) << 52) + (1 << (52 - F_MIN))  # minpos, and maxpos
    MOST: tl.constexpr = ((1023 + REACH) << 52) - (1 << (52 - F_MIN))
    bits = x.to(tl.int64, bitcast=True)
    if N <= 32:
        high, low = (bits >> 32).to(tl.int32), bits.to(tl.uint32)
        sign = high >> 31
        size = high & 0x7FFFFFFF
        some = size.to(tl.uint32) | low
        nar = size >= 0x7FF << 20
        if F_MIN < 20:  # the guard bit is in the upper half, so the lower does no harm
            inside = tl.minimum(tl.maximum(size, LEAST >> 32), MOST >> 32)
        else:
            mag = bits & 0x7FFFFFFFFFFFFFFF
            mag = tl.minimum(tl.maximum(mag, LEAST), MOST)
            inside, low = (mag >> 32).to(tl.int32), mag.to(tl.uint32)
        fixed = inside - (1023 << 20)
        ef = fixed.to(tl.uint32) << (12 - ES) | low >> (20 + ES)
        ef |= tl.minimum(low << (12 - ES), 1)  # bits 0 and 1 only break ties
        body = nearest(fixed >> (20 + ES), ef, N, RS)
    else:
        sign = bits >> 63
        some = bits & 0x7FFFFFFFFFFFFFFF
        nar = some >= 0x7FF << 52
        fixed = tl.minimum(tl.maximum(some, LEAST), MOST) - (1023 << 52)
        body = nearest(fixed >> (52 + ES), fixed.to(tl.uint64) << (12 - ES), N, RS)
    p = tl.where(some == 0, 0, (body ^ sign) - sign)
    return tl.where(nar, -(1 << (N - 1)), p)


@triton.jit
def encode_kernel(  # noqa: PLR0917
    x, out, count, N: tl.constexpr, RS: tl.constexpr, ES: tl.constexpr, BLOCK: tl.constexpr
):
    """Float numbers of any width, contiguous, to patterns."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    at = tl.arange(0, BLOCK)
    inside = at < tl.minimum(count - start, BLOCK).to(tl.int32)
    numbers = tl.load(x + start + at, inside, 0).to(tl.float64)
    tl.store(out + start + at, patterns_of(numbers, N, RS, ES).to(out.dtype.element_ty), inside)


@triton.jit
def decode_kernel(  # noqa: PLR0917
    bits, out, count, N: tl.constexpr, RS: tl.constexpr, ES: tl.constexpr, BLOCK: tl.constexpr
):
    """Patterns, contiguous, to float64, or to float32 rounded once more."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    at = tl.arange(0, BLOCK)
    inside = at < tl.minimum(count - start, BLOCK).to(tl.int32)
    numbers = values_of(tl.load(bits + start + at, inside, 0), N, RS, ES)
    tl.store(out + start + at, numbers.to(out.dtype.element_ty), inside)
