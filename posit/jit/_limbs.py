"""A quire of fixed size: an exact sum in an array of uint64 limbs, least significant first.

The value is the two's-complement integer of the limbs times 2^lsb. At least one bit is spare above
the layout's width, so that no sum of two values in range wraps; a value beyond the width becomes
NaR, whose limbs are those of -2^(64·limbs - 1), which is beyond it: NaR needs no flag.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.core.errors import TypingError
from numba.extending import overload

from posit import PositSpec
from posit._arrays import core_spec, lib

from ._codec import Spec, body_of, nar_of, pack, unpack
from ._words import ONE, TOP, ZERO, Pair, Word, inline, int_of, lead, product, shift_right, word_of

__all__ = ["Layout", "add", "checked", "clear", "layout", "merge", "multiply_add", "rounded"]


class Layout(NamedTuple):
    """Where the bits lie; the layout that holds every product exactly."""

    lsb: int
    width: int
    limbs: int
    edition: int = 0  # as in Spec


def layout(spec: PositSpec, edition: int = 0) -> Layout:
    """The core's exact layout of ``spec``, which is that of quire.Layout.exact."""
    found = lib.bp_exact_layout(core_spec(spec))
    return Layout(found.lsb, found.width, found.limbs, edition)


def checked(q: Any, at: Layout) -> Any:
    """The array of a quire, if that is what it is; for compiled code only."""
    raise NotImplementedError


@overload(checked, jit_options={"forceinline": True})
def _checked(q: Any, at: Layout) -> Any:
    if not (isinstance(q, types.Array) and q.ndim == 1 and q.dtype == types.uint64):
        raise TypingError(f"a quire is a one-axis array of uint64, got {q}")

    def check(q: Any, at: Layout) -> Any:
        if q.size != at.limbs:
            raise ValueError("a quire of this spec has .limbs limbs, the array has not")
        return q

    return check


@inline
def clear(q: Any, nar: bool) -> None:
    """q = 0 or NaR."""
    for i in range(q.size):
        q[i] = ZERO
    if nar:
        q[q.size - 1] = TOP


@inline
def _is_nar(q: Any, at: Layout) -> bool:
    return q[at.limbs - 1] == TOP  # an in-range value has two equal bits at the top


@inline
def _settle(q: Any, at: Layout) -> None:
    """Closes every operation: a value that does not fit the width becomes NaR."""
    i = (at.width - 1) >> 6
    top = int_of(q[i]) >> ((at.width - 1) & 63)  # the sign, and nothing but the sign
    fits = top in (0, -1)
    for k in range(i + 1, at.limbs):
        fits = fits and int_of(q[k]) == top
    if not fits:
        clear(q, True)


@inline
def _accumulate(q: Any, place: int, magnitude: Pair, negative: bool, at: Layout) -> None:
    """q += ±magnitude·2^place, for a sum that fits the limbs; bits below 2^0 must be zeros.

    A negative term is added as its complement, with a carry in and ones above.
    """
    if place < 0:
        magnitude, place = shift_right(magnitude, -place), 0
    first, shift = place >> 6, place & 63
    high, low = magnitude
    middle = high << shift | (low >> ONE) >> (63 - shift)
    above = (high >> ONE) >> (63 - shift)
    ones = np.uint64(-1 if negative else 0)
    carry = ones & ONE
    for i in range(first, at.limbs):
        k = i - first
        if k > 2 and carry == ones & ONE:  # what is left to add is 0
            break
        word = (low << shift if k == 0 else middle if k == 1 else above if k == 2 else ZERO) ^ ones
        partial = q[i] + word
        total = partial + carry
        carry = word_of(partial < word or total < carry)
        q[i] = total
    _settle(q, at)


@inline
def multiply_add(q: Any, a: int, b: int, s: Spec, at: Layout) -> None:
    """q += a · b."""
    if _is_nar(q, at):
        return
    if a == nar_of(s) or b == nar_of(s):
        clear(q, True)
        return
    x, low = unpack(body_of(a), s)
    y, high = unpack(body_of(b), s)
    if (
        x & y != ZERO
    ):  # bit 63 of both: (x·y / 2^126)·2^(low+high); its leading bit is 2^lsb at least
        _accumulate(q, low + high - 126 - at.lsb, product(x, y), (a ^ b) < 0, at)


@inline
def add(q: Any, p: int, s: Spec, at: Layout) -> None:
    """q += p."""
    if _is_nar(q, at):
        return
    if p == nar_of(s):
        clear(q, True)
        return
    sig, scale = unpack(body_of(p), s)
    if sig != ZERO:
        _accumulate(q, scale - 127 - at.lsb, (sig, ZERO), p < 0, at)


@inline
def merge(q: Any, r: Any, at: Layout) -> None:
    """q += r."""
    if _is_nar(q, at):
        return
    if _is_nar(r, at):
        clear(q, True)
        return
    carry = ZERO
    for i in range(at.limbs):
        partial = q[i] + r[i]
        total = partial + carry
        carry = word_of(partial < r[i] or total < carry)
        q[i] = total
    _settle(q, at)


@inline
def _magnitude(q: Any, i: int, lowest: int, negative: bool) -> Word:
    """Limb i of |q|, where limb ``lowest`` is the first that is not zero: -x = ~x + 1."""
    if i < 0 or not negative:
        return q[i] if i >= 0 else ZERO
    return ZERO - q[i] if i <= lowest else ~q[i]


@inline
def rounded(q: Any, s: Spec, at: Layout) -> int:
    """The pattern nearest to the value, ties to even; q is left as it is."""
    if _is_nar(q, at):
        return nar_of(s)
    negative = int_of(q[at.limbs - 1]) < 0
    lowest = 0
    while lowest < at.limbs and q[lowest] == ZERO:
        lowest += 1
    if lowest == at.limbs:
        return 0
    top = at.limbs - 1
    while _magnitude(q, top, lowest, negative) == ZERO:
        top -= 1
    leading = _magnitude(q, top, lowest, negative)
    below = _magnitude(q, top - 1, lowest, negative)
    zeros = lead(leading)
    sig = leading << zeros | (below >> ONE) >> (63 - zeros)
    sticky = below << zeros | word_of(lowest < top - 1)
    body = int_of(pack(at.lsb + 64 * top + 63 - zeros, sig, sticky, s))
    return -body if negative else body
