"""Operands for exact sums, chosen for how the accumulator may go wrong, and what is right."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

import quire
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, reference, standard
from quire import Layout, Quire

from ..formats import mixed

__all__ = ["EXTREME", "KINDS", "SIZES", "SPECS", "dot_is_exact", "exact_dot", "holding", "total"]

Bits = npt.NDArray[np.signedinteger[Any]]
Pair = tuple[Bits, Bits]

SPECS = [
    bposit8, PositSpec(13, 6, 5), bposit16, PositSpec(20, 6, 5), bposit32, PositSpec(48, 6, 5),
    bposit64, standard(16), standard(32), standard(64),
]  # fmt: skip
EXTREME = [
    PositSpec(3, 2, 0), PositSpec(3, 2, 8), PositSpec(5, 3, 1), PositSpec(17, 16, 8),
    PositSpec(64, 16, 8), PositSpec(64, 63, 0), PositSpec(64, 63, 6), PositSpec(64, 2, 0),
    PositSpec(34, 4, 3), PositSpec(33, 32, 0),
]  # fmt: skip
SIZES = [0, 1, 2, 511, 512, 513, 1024, 1025]
"""Lengths on both sides of the blocks in which the core works."""


def total(terms: Iterable[Fraction]) -> Fraction:
    """The exact sum of dyadic fractions, without a greatest common divisor for each."""
    found = list(terms)
    unit = max((t.denominator for t in found), default=1)
    return Fraction(sum(t.numerator * (unit // t.denominator) for t in found), unit)


def exact_dot(a: Bits, b: Bits, spec: PositSpec) -> int:
    """Σ a·b with fractions, rounded once."""
    x = [reference.decode(p, spec) for p in a.tolist()]
    y = [reference.decode(p, spec) for p in b.tolist()]
    if None in x or None in y:
        return spec.nar
    products = (u * v for u, v in zip(x, y, strict=True) if u is not None and v is not None)
    return reference.encode(total(products), spec)


def dot_is_exact(dot: Callable[..., Any], spec: PositSpec, a: Bits, b: Bits) -> None:
    """Raise AssertionError unless ``dot(a, b, spec)`` is the exact sum rounded once."""
    got, want = int(dot(a, b, spec)), exact_dot(a, b, spec)
    assert got == want, f"dot of {a.size} terms at {spec}: {got}, not {want}\na = {a}\nb = {b}"


def anything(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """Any finite patterns: the widest window of exponents."""
    a, b = mixed(spec, k, rng), mixed(spec, k, rng)
    return np.where(a == spec.nar, 1, a).astype(a.dtype), np.where(b == spec.nar, 0, b).astype(
        b.dtype
    )


def around(width: float) -> Callable[[PositSpec, int, np.random.Generator], Pair]:
    """Values of normal logarithm: their products spread over about 6·width binary places."""

    def make(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
        import posit

        x = rng.standard_normal((2, k)) * np.exp2(rng.normal(0, width, (2, k)))
        a, b = posit.encode(x, spec)
        return a, b

    return make


def cancelling(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """Everything cancels but one product, in a random order: ill-conditioned beyond any float."""
    a, b = anything(spec, k, rng)
    half = k // 2
    a[half : 2 * half], b[half : 2 * half] = -a[:half], b[:half]
    order = rng.permutation(k)
    return a[order], b[order]


def to_zero(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    a, b = cancelling(spec, k, rng)
    if k % 2:
        a[rng.integers(k)] = 0
        a, b = cancelling_again(a, b)
    return a, b


def cancelling_again(a: Bits, b: Bits) -> Pair:
    """Double the list with opposite signs where needed: the sum is exactly 0."""
    return np.concatenate([a, -a]), np.concatenate([b, b])


def to_minpos(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """Large terms that cancel to minpos · 1."""
    a, b = cancelling(spec, k - k % 2, rng)
    tail = np.array([1], a.dtype), np.array([spec.one], a.dtype)
    where = rng.integers(a.size + 1)
    return np.insert(a, where, tail[0]), np.insert(b, where, tail[1])


def negative(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """All products negative: borrows run through every limb."""
    a, b = anything(spec, k, rng)
    return np.abs(a), -np.abs(b)


def maxima(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """maxpos² with alternating signs: in the middle of the sum it is large, at the end not."""
    a = np.full(k, spec.maxpos_pattern, spec.storage)
    b = a.copy()
    b[1::2] *= -1
    return a, b


def negative_maxima(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    return np.full(k, -spec.maxpos_pattern, spec.storage), np.full(
        k, spec.maxpos_pattern, spec.storage
    )


def ends(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """Only values at both ends of the range, and zeros."""
    edge = [1, 2, 3, -1, -2, 0, spec.maxpos_pattern, -spec.maxpos_pattern, spec.maxpos_pattern - 1]
    edge = [p for p in edge if spec.nar < p <= spec.maxpos_pattern]
    return tuple(rng.choice(np.array(edge, spec.storage), k) for _ in range(2))  # type: ignore[return-value]


def smallest(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """Products at the lowest weights, with every sign."""
    low = min(9, spec.maxpos_pattern)
    return tuple(rng.integers(-low, low, k, endpoint=True).astype(spec.storage) for _ in range(2))  # type: ignore[return-value]


def sparse(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """Zeros with a few values among them: a zero has no exponent and must not widen a window."""
    a, b = anything(spec, k, rng)
    a[rng.random(k) < 0.6] = 0
    b[rng.random(k) < 0.6] = 0
    return a, b


def zeros(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    a, b = anything(spec, k, rng)
    return a * 0, b


KINDS: dict[str, Callable[[PositSpec, int, np.random.Generator], Pair]] = {
    "anything": anything,
    "narrow": around(0.5),
    "middling": around(6),
    "broad": around(30),
    "cancelling": cancelling,
    "to zero": to_zero,
    "to minpos": to_minpos,
    "negative": negative,
    "maxima": maxima,
    "negative maxima": negative_maxima,
    "ends": ends,
    "smallest": smallest,
    "sparse": sparse,
    "zeros": zeros,
}


def holding(whole: int, spec: PositSpec, layout: Layout | None = None) -> Quire:
    """A quire that holds whole · 2^lsb, which must fit its width."""
    layout = layout or Layout.exact(spec)
    assert -(1 << (layout.width - 1)) <= whole < 1 << (layout.width - 1)
    limbs = np.frombuffer(
        (whole % (1 << (64 * layout.limbs))).to_bytes(8 * layout.limbs, "little"), "<u8"
    )
    data = quire._serial.pack(layout, limbs.astype(np.uint64), np.zeros(1, np.int32))
    return Quire.from_bytes(data)


def one_unit(spec: PositSpec) -> Quire:
    """A quire that holds one bit, that of the lowest weight."""
    return holding(1, spec)
