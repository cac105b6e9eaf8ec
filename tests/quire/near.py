"""Sums whose float64 value errs by nearly its proven bound, across a rounding boundary.

Every lane of a sum begins at a boundary between two posits, less what it is about to lose. Then
come products below half a unit of its last place, which rounding to nearest forgets one by one.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from posit import PositSpec, bposit16, bposit32, reference, standard

from .cases import whole

__all__ = ["NEAR", "exact_sum", "near_bound", "tie_by_preload"]

Bits = npt.NDArray[np.signedinteger[Any]]

NEAR = [PositSpec(13, 6, 5), bposit16, PositSpec(20, 6, 5), bposit32, standard(16), standard(32)]


def near_bound(spec: PositSpec, count: int, lanes: int = 1) -> tuple[Bits, Bits, int]:
    """Two lines of ``count`` terms, and the pattern that the exact sum of products rounds to.

    Added in order in each of ``lanes`` interleaved chains, the chains' sums to each other exactly,
    float64 ends below the boundary at which the next pattern begins; the exact sum lies above.
    """
    f = spec.n - 1 - 2 - spec.es  # fraction bits at 1
    i = f // 2
    v, w = 1 + Fraction(1, 1 << i), 1 + Fraction(2) ** (i - f - 1)  # v·w is odd/2^(f+1)
    t = Fraction(11, 8) / 2**27  # t² = 0.945 of half a last place of v·w
    depth = count // lanes - 2
    lost = int(depth * t * t * 2**52)  # in last places
    lost -= lost % (1 << max(0, lost.bit_length() - 4))
    a = [[v], [Fraction(-lost, 2**26)], *[[t]] * depth]
    b = [[w / lanes], [Fraction(1, 2**26) / lanes], *[[t / lanes]] * depth]
    x, y = (np.array([exactly(r[0], spec) for r in rows for _ in range(lanes)]) for rows in (a, b))
    above = reference.encode(1 + (v * w - 1) + Fraction(1, 2 << f), spec)
    assert above % 2 == 1  # from the boundary itself one would go to the even one below
    return x.astype(spec.storage), y.astype(spec.storage), above


def tie_by_preload(spec: PositSpec) -> tuple[Bits, Bits, int, int]:
    """(a, b, add, right): a preload of 1 and half its last place, and a product beyond float64."""
    f = spec.n - 1 - 2 - spec.es
    half = Fraction(1, 2 << f)
    a = [half, half * Fraction(1, 2**24)]
    b = [Fraction(1), Fraction(1, 2**26)]
    x, y = (np.array([exactly(r, spec) for r in rows], spec.storage) for rows in (a, b))
    return x, y, spec.one, spec.one + 1


def exactly(value: Fraction, spec: PositSpec) -> int:
    p = reference.encode(value, spec)
    assert reference.decode(p, spec) == value, f"{value} is no {spec}"
    return p


def exact_sum(a: Bits, b: Bits, spec: PositSpec) -> Fraction:
    """Σ a·b, without NaR."""
    (x, low, _), (y, at, _) = whole(a, spec), whole(b, spec)
    return Fraction(int(np.dot(x, y)) if x.size else 0, 1 << (low + at))
