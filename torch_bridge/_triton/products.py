"""Products of matrices of patterns in float64, and the proof of their rounding.

The bounds are those of docs/quire.md, "A product that proves itself", whose assumption holds here:
``tl.dot`` of float64 sums the products in float64, rounded to nearest, fused or not, in some order.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .codec import patterns_of, values_of

__all__ = ["certify_kernel", "product_kernel"]

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
    a += z * a_batch + i * a_row + k[None, :] * a_inner
    b += z * b_batch + k[:, None] * b_inner + j * b_col
    total = tl.zeros((BM, BN), tl.float64)
    size = tl.zeros((BM, BN), tl.float64)
    p = tl.load(a, (i < rows) & (k < inner)[None, :], 0)
    q = tl.load(b, (k < inner)[:, None] & (j < cols), 0)
    for start in range(BK, inner + BK, BK):
        # The next patterns are on their way while these are multiplied. And Triton 3.5 and 3.6,
        # which ask where an operand was loaded, fail on 8 or 16 bits under a float64; so there has
        # to be a loop, also for inner = 1.
        x, y = values_of(p, N, RS, ES), values_of(q, N, RS, ES)
        a += BK * a_inner
        b += BK * b_inner
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
