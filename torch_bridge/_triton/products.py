"""Products of matrices of patterns in float64, and the proof of their rounding.

The bounds are those of docs/quire.md, "A product that proves itself". What it assumes of the BLAS
holds for ``tl.dot`` of float64, which becomes ``mma.f64`` or ``fma.rn.f64``, and for cuBLAS, unless
that is told to emulate float64.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .codec import patterns_of, values_of

__all__ = ["certify_kernel", "enclose_kernel", "product_kernel"]

# Constants that float32 holds exactly, because Triton may keep literals in it.
UNIT = tl.constexpr(2.0**-53 * (1 + 2.0**-20))
TINY = tl.constexpr(2.0**-50)


@triton.jit(do_not_specialize=["inner"])
def product_kernel(  # noqa: PLR0917
    a, b, out, sizes, rows, cols, inner, a_batch, a_row, a_inner, b_batch, b_inner, b_col,
    N: tl.constexpr, RS: tl.constexpr, ES: tl.constexpr, BOUND: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """out = Σ a·b, and where BOUND ``sizes`` = Σ|a||b|: float64, contiguous (batch, rows, cols).

    a (batch, rows, inner) and b (batch, inner, cols) are patterns with any strides.
    """
    down, across = tl.cdiv(rows, BM), tl.cdiv(cols, BN)
    at = tl.program_id(0)
    z = (at // (down * across)).to(tl.int64)
    i = (at // across % down * BM + tl.arange(0, BM)).to(tl.int64)[:, None]
    j = (at % across * BN + tl.arange(0, BN)).to(tl.int64)[None, :]
    k = tl.arange(0, BK)
    ahead = tl.full((1, 1), BK, tl.int64)
    a += z * a_batch + i * a_row + k.to(tl.int64)[None, :] * a_inner
    b += z * b_batch + k.to(tl.int64)[:, None] * b_inner + j * b_col
    total = tl.zeros((BM, BN), tl.float64)
    size = tl.zeros((BM, BN), tl.float64)
    p = tl.load(a, (i < rows) & (k < inner)[None, :], 0)
    q = tl.load(b, (k < inner)[:, None] & (j < cols), 0)
    for start in range(BK, inner + BK, BK):
        # The next patterns are on their way while these are multiplied. And Triton 3.5 and 3.6,
        # which ask where an operand was loaded, fail on 8 or 16 bits under a float64; so there has
        # to be a loop, also for inner = 1.
        x, y = values_of(p, N, RS, ES), values_of(q, N, RS, ES)
        a += ahead * a_inner
        b += ahead * b_inner
        p = tl.load(a, (i < rows) & (k < inner - start)[None, :], 0)
        q = tl.load(b, (k < inner - start)[:, None] & (j < cols), 0)
        total = tl.dot(x, y, total, out_dtype=tl.float64)
        if BOUND:
            size = tl.dot(tl.abs(x), tl.abs(y), size, out_dtype=tl.float64)
    to = (z * rows + i) * cols + j
    inside = (i < rows) & (j < cols)
    tl.store(out + to, total, inside)
    if BOUND:
        tl.store(sizes + to, size, inside)


@triton.jit
def certify_kernel(  # noqa: PLR0917
    total, sizes, left, right, add, out, undecided, rows, cols, inner, z_add, i_add, j_add,
    N: tl.constexpr, RS: tl.constexpr, ES: tl.constexpr, BY_NORMS: tl.constexpr,
    ADD: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Rounds ``total`` (+ add) to ``out``, and marks where its bound leaves that ``undecided``.

    The bound is g·left·right of norms (batch, rows) and (batch, cols), or g·sizes; g as
    quire.certified.bound_factor. All but ``add`` are contiguous.
    """
    across = tl.cdiv(cols, BC)
    down = tl.cdiv(rows, BR)
    at = tl.program_id(0)
    z = (at // (down * across)).to(tl.int64)
    i = (at // across % down * BR + tl.arange(0, BR)).to(tl.int64)[:, None]
    j = (at % across * BC + tl.arange(0, BC)).to(tl.int64)[None, :]
    inside = (i < rows) & (j < cols)
    to = (z * rows + i) * cols + j
    middle = tl.load(total + to, inside, 0)
    factor = (tl.zeros((BR, BC), tl.float64) + (inner + 8)) * UNIT
    if BY_NORMS:
        norm = tl.load(left + z * rows + i, i < rows, 0)
        error = factor * norm * tl.load(right + z * cols + j, j < cols, 0)
    else:
        error = factor * tl.load(sizes + to, inside, 0)
    if ADD:  # rounds once more, by half an ulp of the sum
        term = tl.load(add + z * z_add + i * i_add + j * j_add, inside, 0)
        middle += values_of(term, N, RS, ES)
        error += error * TINY + tl.abs(middle) * (TINY * 0.5)
    low, high = patterns_of(middle - error, N, RS, ES), patterns_of(middle + error, N, RS, ES)
    tl.store(out + to, low.to(out.dtype.element_ty), inside)
    tl.store(undecided + to, low != high, inside)


@triton.jit
def enclose_kernel(  # noqa: PLR0917
    a, b, add, where, out, undecided, rows, cols, inner, a_batch, a_row, a_inner, b_batch, b_inner,
    b_col, z_add, i_add, j_add,
    N: tl.constexpr, RS: tl.constexpr, ES: tl.constexpr, ADD: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """As certify_kernel for the elements ``where``, one a program; row-major in batch, rows, cols.

    BK chains of inner/BK additions each, then BK in some order: a product takes part in few
    roundings, so that the bound is narrow.
    """
    t = tl.program_id(0).to(tl.int64)
    at = tl.load(where + t)
    z, i, j = at // cols // rows, at // cols % rows, at % cols
    k = tl.arange(0, BK)
    ahead = tl.full((1,), BK, tl.int64)
    a += z * a_batch + i * a_row + k.to(tl.int64) * a_inner
    b += z * b_batch + j * b_col + k.to(tl.int64) * b_inner
    total = tl.zeros((BK,), tl.float64)
    size = tl.zeros((BK,), tl.float64)
    for start in range(0, inner, BK):
        left = k < inner - start
        x = values_of(tl.load(a, left, 0), N, RS, ES)
        y = values_of(tl.load(b, left, 0), N, RS, ES)
        total += x * y
        size += tl.abs(x * y)
        a += ahead * a_inner
        b += ahead * b_inner
    one = tl.zeros((1,), tl.float64)
    middle = one + tl.sum(total, axis=0)
    error = (one + (inner // BK + BK + 10)) * UNIT * tl.sum(size, axis=0)
    if ADD:
        term = tl.load(add + z * z_add + i * i_add + j * j_add)
        middle += values_of(one.to(tl.int64) + term, N, RS, ES)
        error += error * TINY + tl.abs(middle) * (TINY * 0.5)
    low, high = patterns_of(middle - error, N, RS, ES), patterns_of(middle + error, N, RS, ES)
    only = tl.arange(0, 1)
    tl.store(out + at + only, low.to(out.dtype.element_ty))
    tl.store(undecided + t + only, low != high)
