"""The accumulators once more, one sum at a time over fractions: the definitions as loops.

Each returns (pattern, overflow, bits lost). They share no arithmetic with ``bposit.emulate``:
values are posit.reference's, cuts are floors of fractions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import ceil, floor, log2

from bposit.emulate import Accumulator, Aligned, FusedChain, Quire, RoundEachStep, Window
from posit import PositSpec
from posit.reference import decode, encode
from quire import Layout

Found = tuple[int, bool, bool]


def power(k: int) -> Fraction:
    return Fraction(2) ** k


def scale_of(x: Fraction) -> int:
    k = x.numerator.bit_length() - x.denominator.bit_length()
    return k if abs(x) >= power(k) else k - 1


def cut(x: Fraction, lsb: int, how: str) -> Fraction:
    """x to a multiple of 2^lsb."""
    units = x / power(lsb)
    if how == "floor":
        whole = floor(units)
    elif how == "trunc":
        whole = floor(units) if units >= 0 else ceil(units)
    else:
        whole = round(units)  # Python's: ties to even
    return whole * power(lsb)


def window(w: Window, products: Iterable[Fraction], start: Fraction, out: PositSpec) -> Found:
    total, overflow, lost, nar = Fraction(0), False, False, False
    top = power(w.msb)
    terms = ([start] if start else []) + list(products)
    for x in terms:
        term = cut(x, w.lsb, w.low)
        lost |= term != x
        total += term
        if not -top <= total < top:
            overflow = True
            if w.overflow == "saturate":
                total = -top if total < 0 else top - power(w.lsb)
            else:
                total = (total + top) % (2 * top) - top
                nar |= w.overflow == "nar"
    if nar:
        return out.nar, overflow, lost
    if w.sticky and lost and total:
        total += power(w.lsb - 1)
    return encode(total, out), overflow, lost


def aligned(
    w: Aligned, products: Sequence[tuple[Fraction, Fraction]], start: int, out: PositSpec
) -> Found:
    held, lost = start, False
    for first in range(0, len(products), w.group):
        c = decode(held, out)
        assert c is not None
        terms = [(x * y, scale_of(x) + scale_of(y)) for x, y in products[first : first + w.group]
                 if x and y]  # fmt: skip
        terms += [(c, scale_of(c))] if c else []
        if not terms:
            continue
        top = max(e for _, e in terms)
        lsb = top + 2 - w.width
        total = Fraction(0)
        for x, _ in terms:
            kept = cut(x, lsb, "floor" if w.twos else "trunc")
            assert abs(kept) <= power(lsb + w.width)
            lost |= kept != x
            total += kept
        assert abs(total) <= power(lsb + w.width + ceil(log2(w.group + 1)))
        held = encode(total, out)
    return held, False, lost


def chain(products: Sequence[Fraction], start: int, out: PositSpec, twice: bool) -> Found:
    held, overflow, lost = start, False, False

    def rounded(x: Fraction) -> int:
        nonlocal overflow, lost
        p = encode(x, out)
        lost |= decode(p, out) != x
        overflow |= abs(x) > out.maxpos
        return p

    for x in products:
        c, term = decode(held, out), decode(rounded(x), out) if twice else x
        assert c is not None
        assert term is not None
        held = rounded(c + term)
    return held, overflow, lost


def dot(  # noqa: PLR0917
    a: Sequence[int], b: Sequence[int], start: int, in_spec: PositSpec, out: PositSpec,
    accumulator: Accumulator,
) -> Found:  # fmt: skip
    xs, ys = [decode(p, in_spec) for p in a], [decode(p, in_spec) for p in b]
    c = decode(start, out)
    if c is None or None in xs or None in ys:
        return out.nar, False, False
    pairs = [(x, y) for x, y in zip(xs, ys, strict=True) if x is not None and y is not None]
    products = [x * y for x, y in pairs]
    match accumulator:
        case Quire():
            layout = getattr(Layout, accumulator.layout)(in_spec)
            quire = Window(layout.lsb, layout.lsb + layout.width - 1, "nar")
            return window(quire, products, c, out)
        case Window():
            return window(accumulator, products, c, out)
        case Aligned():
            return aligned(accumulator, pairs, start, out)
        case FusedChain():
            return chain(products, start, out, False)
        case RoundEachStep():
            return chain(products, start, out, True)
    raise AssertionError(accumulator)
