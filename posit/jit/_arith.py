"""Arithmetic on patterns, each operation rounded once; two routes, one result.

Where every value has few enough bits one float64 operation is enough (`via_float64`); otherwise
the operations run in 128-bit integers, as ctypes_src/arith.h does: W = 128 >= 2n for every spec.
"""

from __future__ import annotations

from math import sqrt as float_sqrt
from typing import Any

import numpy as np

from ._codec import (
    Spec,
    body_of,
    exact_float,
    f_max,
    nar_of,
    nearest_pattern,
    pack,
    reach,
    unpack,
)
from ._words import (
    ONE,
    ZERO,
    Pair,
    Word,
    bits_float,
    flipped,
    float_bits,
    inline,
    int_of,
    larger,
    lead,
    lead_pair,
    minus,
    plus,
    product,
    shift_left,
    shift_right,
    smaller,
    word_of,
)

__all__ = ["add", "div", "fma", "mul", "sqrt", "sub", "via_float64"]

Term = tuple[Word, int, Pair]  # sign: no bit set or all; scale; significand: bit 127 set, or 0


@inline
def via_float64(s: Spec) -> bool:
    """One float64 operation, rounded again to a pattern, is right.

    The proof is that of bp_via_f64 in ctypes_src/codec.h. First failures beyond: + at <34,6,5>,
    sqrt at <33,6,5> 0x7fffffff.
    """
    return f_max(s) <= 24 and reach(s) <= 448


@inline
def via_odd_float64(s: Spec) -> bool:
    """One float64 addition, rounded to odd by its exact error and again to a pattern, is right.

    Boundaries have f_max+2 bits, two fewer than float64, so that none is odd and each is on the
    same side of the rounded sum as of the sum. All terms are integers times 2^-(reach+f_max),
    normal numbers, so nothing underflows; sums stay below 2^(reach+1).
    """
    return f_max(s) <= 49 and reach(s) <= 960


@inline
def add(a: int, b: int, s: Spec) -> int:
    """a + b."""
    if via_float64(s):
        return nearest_pattern(exact_float(a, s) + exact_float(b, s), s)
    if via_odd_float64(s):
        return nearest_pattern(_odd_sum(exact_float(a, s), exact_float(b, s)), s)
    if a == nar_of(s) or b == nar_of(s):
        return nar_of(s)
    big, small = (a, b) if body_of(a) >= body_of(b) else (b, a)  # bodies order as magnitudes
    return _sum(_term(big, s), _term(small, s), s)


@inline
def sub(a: int, b: int, s: Spec) -> int:
    """a - b; negation is exact."""
    if via_float64(s):
        return nearest_pattern(exact_float(a, s) - exact_float(b, s), s)
    return add(a, -b if b != nar_of(s) else b, s)


@inline
def mul(a: int, b: int, s: Spec) -> int:
    """a · b."""
    if via_float64(s):
        return nearest_pattern(exact_float(a, s) * exact_float(b, s), s)
    if a == nar_of(s) or b == nar_of(s):
        return nar_of(s)
    return _pattern(_product(_term(a, s), _term(b, s)), ZERO, s)


@inline
def fma(a: int, b: int, c: int, s: Spec) -> int:
    """a · b + c."""
    if via_float64(s):  # the product, 2·25 bits within 2^±896, is exact; see via_odd_float64
        x = exact_float(a, s) * exact_float(b, s)
        return nearest_pattern(_odd_sum(x, exact_float(c, s)), s)
    if a == nar_of(s) or b == nar_of(s) or c == nar_of(s):
        return nar_of(s)
    y, z = _product(_term(a, s), _term(b, s)), _term(c, s)
    return _sum(y, z, s) if _above(y, z) else _sum(z, y, s)


@inline
def div(a: int, b: int, s: Spec) -> int:
    """a / b; NaR where b is 0."""
    if via_float64(s):  # x/0 is an infinity or NaN in float64, and either becomes NaR
        return nearest_pattern(exact_float(a, s) / exact_float(b, s), s)
    if a == nar_of(s) or b == nar_of(s) or b == 0:
        return nar_of(s)
    sign, scale, (x, _) = _term(a, s)
    other, less, (y, _) = _term(b, s)
    quotient, rest = _divided(x >> ONE, x << 63, y)  # (x/y)·2^63, and 1/2 < x/y < 2
    zeros = lead(quotient | ONE)  # 0 or 1, so that 63 bits or more are known: see pack
    t = sign ^ other, scale - less - zeros, (quotient << zeros, ZERO)
    return _pattern(t, rest, s)


@inline
def sqrt(a: int, s: Spec) -> int:
    """The square root; NaR where a < 0."""
    if via_float64(s):
        return nearest_pattern(float_sqrt(exact_float(a, s)), s)
    if a <= 0:
        return 0 if a == 0 else nar_of(s)
    sig, scale = unpack(np.uint64(a), s)
    square = shift_left((ZERO, sig), 63 + (scale & 1))  # (value / 4^half)·2^126
    root, rest = _root(square)
    return int_of(pack(scale >> 1, root, rest, s))


@inline
def _odd_sum(x: float, y: float) -> float:
    """x + y rounded to odd: where it is no float64, to the neighbour whose last bit is 1."""
    total = x + y
    part = total - x
    error = (x - (total - part)) + (y - part)  # exact (Knuth); NaN stays NaN
    bits = float_bits(total)
    step = 1 if (error > 0) == (total > 0) else -1
    odd = bits + step if error != 0 and bits & 1 == 0 else bits
    return bits_float(np.uint64(odd))


@inline
def _term(p: int, s: Spec) -> Term:
    sig, scale = unpack(body_of(p), s)
    return np.uint64(p >> 63), scale, (sig, ZERO)


@inline
def _above(x: Term, y: Term) -> bool:
    """|x| >= |y|."""
    if x[2][0] == ZERO or y[2][0] == ZERO:
        return y[2][0] == ZERO
    if x[1] != y[1]:
        return x[1] > y[1]
    return x[2][0] > y[2][0] or (x[2][0] == y[2][0] and x[2][1] >= y[2][1])


@inline
def _pattern(t: Term, sticky: Word, s: Spec) -> int:
    sign, scale, (high, low) = t
    body = int_of(pack(scale, high, low | sticky, s))
    p = -body if sign != ZERO else body
    return p if high != ZERO else 0


@inline
def _product(x: Term, y: Term) -> Term:
    """Exact: at most 62 bits each."""
    wide = product(x[2][0], y[2][0])
    top = int_of(wide[0] >> 63)
    return x[0] ^ y[0], x[1] + y[1] + top, shift_left(wide, 1 - top)


@inline
def _sum(big: Term, small: Term, s: Spec) -> int:
    """big + small, rounded, for |big| >= |small|; at most 124 bits each.

    Halving both leaves a bit for the carry and three below. Where the smaller term loses bits to
    the jam bit, it was shifted by more than three places, so that at most one leading bit cancels.
    """
    gap = smaller(larger(big[1] - small[1], 0), 127)  # below 0 only where a term is zero
    tail = shift_right(small[2], 1)
    kept = shift_right(tail, gap)
    lost = minus(tail, shift_left(kept, gap))
    jam = kept[0], kept[1] | word_of(lost[0] | lost[1] != ZERO)
    total = plus(shift_right(big[2], 1), flipped(jam, big[0] ^ small[0]))
    zeros = lead_pair((total[0], total[1] | ONE))
    return _pattern((big[0], big[1] + 1 - zeros, shift_left(total, zeros)), ZERO, s)


@inline
def _digit(rest: Word, low: Word, y: Word) -> tuple[Word, Word]:
    """(rest·2^32 + low) divided by y >= 2^63, for rest < y, low < 2^32: quotient < 2^32, rest.

    Knuth, TAOCP 2, 4.3.1 D: the quotient by y's upper half is at most two too large.
    """
    half = y >> 32
    quotient = rest // half
    over = rest - quotient * half
    tail = y & np.uint64(0xFFFFFFFF)
    while quotient >> 32 != ZERO or quotient * tail > (over << 32 | low):
        quotient -= ONE
        over += half
        if over >> 32 != ZERO:
            break
    return quotient, (rest << 32 | low) - quotient * y  # modulo 2^64, and the rest is below y


@inline
def _divided(high: Word, low: Word, y: Word) -> tuple[Word, Word]:
    """Quotient and rest of a pair by y >= 2^63, for high < y."""
    first, rest = _digit(high, low >> 32, y)
    second, rest = _digit(rest, low & np.uint64(0xFFFFFFFF), y)
    return first << 32 | second, rest


@inline
def _root(x: Pair) -> tuple[Word, Word]:
    """floor(sqrt(x)) for 2^126 <= x < 2^128, and whether it is below the root.

    The float64 estimate is within 2^12 of the root, which is at least 2^63, so one Newton step
    (itself in float64: the error is below 2^77) leaves less than 2 and the loop ends.
    """
    estimate = float_sqrt(_as_float(x))
    root = np.uint64(estimate) if estimate < 2.0**64 else np.uint64((1 << 64) - 2048)
    error = minus(x, product(root, root))
    sign = np.uint64(int_of(error[0]) >> 63)
    step = np.uint64(_as_float(flipped(error, sign)) / (2.0 * np.float64(root)))
    root += (step ^ sign) + (sign & ONE)
    while True:
        error = minus(x, product(root, root))
        if int_of(error[0]) < 0:
            root -= ONE
        elif minus((root >> 63, root << ONE), error)[0] >> 63 != ZERO:  # error > 2·root
            root += ONE
        else:
            return root, error[0] | error[1]


@inline
def _as_float(x: Pair) -> Any:
    return np.float64(x[0]) * 2.0**64 + np.float64(x[1])
