"""Exact sums in int64 digits of 32 bits, planes of them as :class:`quire.Accumulators` has."""

from __future__ import annotations

import triton
import triton.language as tl

from .codec import leading_zeros, patterns_of, split

__all__ = ["accumulate_kernel", "round_kernel"]


@triton.jit
def significand(p, N: tl.constexpr, RS: tl.constexpr, ES: tl.constexpr):
    """(magnitude, place): |value| = magnitude·2^place; 0 for zero and NaR.

    The magnitude, int64, has f_max + 1 bits.
    """
    W: tl.constexpr = 32 if N <= 32 else 64
    F: tl.constexpr = N - 3 - ES if N > 3 + ES else 0
    y, ef, r = split(p.to(tl.int32 if N <= 32 else tl.int64), N, RS, ES)
    exponent = (ef >> 1 >> (W - 1 - ES)).to(tl.int32)
    fraction = (ef << ES >> 1 >> (W - 1 - F)).to(tl.int64)
    return tl.where(y == 0, 0, fraction + (1 << F)), (r.to(tl.int32) << ES) + exponent - F


@triton.jit
def digits_of(magnitude, at, sign, PLANES: tl.constexpr):
    """Σ over terms of the digits of ±magnitude·2^at, in planes from 2^0 up.

    magnitude: int64 (terms,) below 2^63; bits below 2^0 are 0. sign: int64, 0 or -1. A digit grows
    by less than 2^32 a term.
    """
    shift = at[:, None] - 32 * tl.arange(0, PLANES)[None, :]
    up = tl.minimum(tl.maximum(shift, 0), 63).to(tl.uint64)
    down = tl.minimum(tl.maximum(-shift, 0), 63).to(tl.uint64)
    digit = (magnitude.to(tl.uint64)[:, None] << up >> down & 0xFFFFFFFF).to(tl.int64)
    return tl.sum((digit ^ sign[:, None]) - sign[:, None], axis=0)


@triton.jit
def accumulate_kernel(  # noqa: PLR0917
    a, b, add, where, digits, nars, count, rows, cols, inner, a_batch, a_row, a_inner, b_batch,
    b_inner, b_col, z_add, i_add, j_add, low, planes,
    N: tl.constexpr, RS: tl.constexpr, ES: tl.constexpr, ADD: tl.constexpr,
    PLANES: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Σ a·b (+ add) of the elements ``where``, one a program: row-major in (batch, rows, cols).

    ``digits`` (planes, count) stand for 2^low up; all bits of all terms lie in them. A digit stays
    below 2^62 for inner <= 2^28. ``nars`` (count,) are 1 where an operand is NaR.
    """
    NAR: tl.constexpr = -(1 << (N - 1))
    LONG: tl.constexpr = 2 * (N - 2 - ES) > 62  # products do not fit a word
    t = tl.program_id(0).to(tl.int64)
    at = tl.load(where + t)
    z, i, j = at // cols // rows, at // cols % rows, at % cols
    k = tl.arange(0, BK)
    ahead = tl.full((1,), BK, tl.int64)
    a += z * a_batch + i * a_row + k.to(tl.int64) * a_inner
    b += z * b_batch + j * b_col + k.to(tl.int64) * b_inner
    total = tl.zeros((PLANES,), tl.int64)
    bad = tl.zeros((BK,), tl.int32)
    for start in range(0, inner, BK):
        left = k < inner - start
        p, q = tl.load(a, left, 0), tl.load(b, left, 0)
        bad |= ((p == NAR) | (q == NAR)).to(tl.int32)
        m, place = significand(p, N, RS, ES)
        n, other = significand(q, N, RS, ES)
        place += other - low
        sign = (p ^ q).to(tl.int64) >> 63
        if LONG:
            for h in tl.static_range(4):  # halves of 31 bits
                u = m >> 31 if h & 1 else m & 0x7FFFFFFF
                v = n >> 31 if h & 2 else n & 0x7FFFFFFF
                total += digits_of(u * v, place + 31 * ((h & 1) + (h >> 1)), sign, PLANES)
        else:
            total += digits_of(m * n, place, sign, PLANES)
        a += ahead * a_inner
        b += ahead * b_inner
    nar = tl.max(bad, axis=0)
    if ADD:
        p = tl.load(add + z * z_add + i * i_add + j * j_add + tl.zeros((1,), tl.int64))
        m, place = significand(p, N, RS, ES)
        total += digits_of(m, place - low, p.to(tl.int64) >> 63, PLANES)
        nar |= tl.max((p == NAR).to(tl.int32), axis=0)
    plane = tl.arange(0, PLANES)
    tl.store(digits + plane.to(tl.int64) * count + t, total, plane < planes)
    tl.store(nars + t, nar)


@triton.jit
def round_kernel(  # noqa: PLR0917
    digits, nars, out, where, count, low, planes,
    N: tl.constexpr, RS: tl.constexpr, ES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out[where] = the sums, rounded once, by way of float64 rounded to odd.

    All sums lie inside ±2^(low + 32·planes). Rounding to odd is innocuous for f_max <= 50, and so
    are its ends: 2^1024 and more saturates, and so does what is below 2^-1022.
    """
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    carry = tl.zeros((BLOCK,), tl.int64)
    for k in range(planes):
        carry = (tl.load(digits + tl.full((), k, tl.int64) * count + at, inside, 0) + carry) >> 32
    sign = carry >> 63
    carry = tl.zeros((BLOCK,), tl.int64)
    last, before, below = carry, carry, carry  # the digits under the one that is made
    high, middle, lower, rest, top = carry, carry, carry, carry, carry - 1
    for k in range(planes):
        d = tl.load(digits + tl.full((), k, tl.int64) * count + at, inside, 0)
        t = (d ^ sign) - sign + carry
        digit, carry = t & 0xFFFFFFFF, t >> 32
        some = digit != 0
        high, middle = tl.where(some, digit, high), tl.where(some, last, middle)
        lower, rest = tl.where(some, before, lower), tl.where(some, below, rest)
        top = tl.where(some, k, top)
        last, before, below = digit, last, below | before
    word = (high << 32 | middle).to(tl.uint64)
    zeros = tl.minimum(leading_zeros(word | 1, 64), 31)
    tail = lower << zeros
    word = (word << zeros.to(tl.uint64)) | (tail >> 32).to(tl.uint64)
    odd = ((word & 0x7FF) != 0) | ((tail & 0xFFFFFFFF | rest) != 0)
    kept = (word >> 11).to(tl.int64) | odd.to(tl.int64)  # the hidden bit adds 1 to the exponent
    scale = low + 32 * top + 31 - zeros
    bits = tl.where(scale > 1023, 0x7FEFFFFFFFFFFFFF, (scale + 1022 << 52) + kept)
    bits = tl.where(scale < -1022, 1, bits)
    bits = tl.where(top < 0, 0, bits) | (sign & -(1 << 63))
    p = patterns_of(bits.to(tl.float64, bitcast=True), N, RS, ES)
    p = tl.where(tl.load(nars + at, inside, 0) != 0, -(1 << (N - 1)), p)
    tl.store(out + tl.load(where + at, inside, 0), p.to(out.dtype.element_ty), inside)
