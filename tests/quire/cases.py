"""Operands for exact sums, chosen for how the accumulator may go wrong, and what is right."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

import posit
import quire
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, reference, standard
from quire import Layout, Quire

from ..formats import EDGES, mixed

__all__ = [
    "EXTREME",
    "KINDS",
    "SIZES",
    "SPECS",
    "dot_is_exact",
    "exact_dot",
    "exact_product",
    "finite",
    "holding",
    "matrices",
    "ties",
    "total",
    "whole",
]

Bits = npt.NDArray[np.signedinteger[Any]]
Pair = tuple[Bits, Bits]

SPECS = [
    bposit8, PositSpec(13, 6, 5), bposit16, PositSpec(20, 6, 5), bposit32, PositSpec(48, 6, 5),
    bposit64, standard(16), standard(32), standard(64),
]  # fmt: skip
EXTREME = [
    PositSpec(3, 2, 0), PositSpec(3, 2, 8), PositSpec(5, 3, 1), PositSpec(17, 16, 8),
    PositSpec(64, 16, 8), PositSpec(64, 63, 0), PositSpec(64, 63, 6), PositSpec(64, 2, 0),
    PositSpec(34, 4, 3), PositSpec(33, 32, 0), *EDGES,
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


def whole(x: Bits, spec: PositSpec) -> tuple[Any, int, Any]:
    """(integers, unit, nar): the values are integers·2^-unit; 0 for NaR."""
    found = [_value(p, spec) for p in x.reshape(-1).tolist()]
    unit = max((v.denominator.bit_length() - 1 for v in found if v), default=0)
    numbers = np.empty(x.size, object)
    numbers[:] = [0 if v is None else v.numerator << unit >> _power(v) for v in found]
    return numbers.reshape(x.shape), unit, x == spec.nar


def exact_product(a: Bits, b: Bits, spec: PositSpec, add: Bits | None = None) -> Bits:
    """The product of (..., M, K) and (..., K, N), plus ``add``, in integers; rounded once."""
    (x, low_x, nar_x), (y, low_y, nar_y) = whole(a, spec), whole(b, spec)
    sums, unit = np.matmul(x, y) if a.shape[-1] else np.zeros((), object), low_x + low_y
    nar = nar_x.any(-1)[..., np.newaxis] | nar_y.any(-2)[..., np.newaxis, :]
    sums = np.broadcast_to(sums, nar.shape)
    if add is not None:
        z, low_z, nar_z = whole(add, spec)
        common = max(unit, low_z)
        sums, unit = sums * 2 ** (common - unit) + z * 2 ** (common - low_z), common
        nar = nar | nar_z
    rounded = [reference.encode(Fraction(v, 1 << unit), spec) for v in sums.flat]
    return np.where(nar, spec.nar, np.reshape(rounded, nar.shape)).astype(spec.storage)


@cache
def _value(p: int, spec: PositSpec) -> Fraction | None:
    return reference.decode(p, spec)


def _power(v: Fraction) -> int:
    return v.denominator.bit_length() - 1


def dot_is_exact(dot: Callable[..., Any], spec: PositSpec, a: Bits, b: Bits) -> None:
    """Raise AssertionError unless ``dot(a, b, spec)`` is the exact sum rounded once."""
    got, want = int(dot(a, b, spec)), exact_dot(a, b, spec)
    assert got == want, f"dot of {a.size} terms at {spec}: {got}, not {want}\na = {a}\nb = {b}"


def anything(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """Any finite patterns: the widest window of exponents."""
    ab = finite(spec, (2, k), rng)
    return ab[0], ab[1]


def finite(spec: PositSpec, shape: tuple[int, ...], rng: np.random.Generator) -> Bits:
    """Any patterns but NaR."""
    made = mixed(spec, shape, rng)
    made[made == spec.nar] = 1
    return made


def around(width: float) -> Callable[[PositSpec, int, np.random.Generator], Pair]:
    """Values whose logarithms are normal: the products spread over about 6·width binary places."""

    def make(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
        x = rng.standard_normal((2, k)) * np.exp2(rng.normal(0, width, (2, k)))
        ab = posit.encode(x, spec)
        return ab[0], ab[1]

    return make


def to_zero(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """Every product and its opposite in a random order: ill-conditioned beyond any float."""
    a, b = anything(spec, k // 2, rng)
    order = rng.permutation(2 * a.size)
    return np.concatenate([a, -a])[order], np.concatenate([b, b])[order]


def cancelling(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """The same with one product more."""
    return _with_one_more(to_zero(spec, max(0, k - 1), rng), anything(spec, 1, rng), rng)


def to_minpos(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """The same with minpos · 1."""
    last = np.array([1], spec.storage), np.array([spec.one], spec.storage)
    return _with_one_more(to_zero(spec, max(0, k - 1), rng), last, rng)


def _with_one_more(pair: Pair, last: Pair, rng: np.random.Generator) -> Pair:
    where = rng.integers(pair[0].size + 1)
    return np.insert(pair[0], where, last[0]), np.insert(pair[1], where, last[1])


def negative(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """All products negative: borrows run through every limb."""
    a, b = anything(spec, k, rng)
    return np.abs(a), -np.abs(b)


def maxima(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """maxpos² with alternating signs: large on the way, 0 or maxpos² at the end."""
    a = np.full(k, spec.maxpos_pattern, spec.storage)
    b = a.copy()
    b[1::2] *= -1
    return a, b


def negative_maxima(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """-maxpos² throughout: the carry-guard bits fill up, negatively."""
    a = np.full(k, spec.maxpos_pattern, spec.storage)
    return a, -a


def there_and_back(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """maxpos² again and again, one small product, and -maxpos² as often."""
    half = np.full(k // 2, spec.maxpos_pattern, spec.storage)
    one = np.array([spec.one], spec.storage)
    low = np.array([rng.choice([1, -1, 3, -3])], spec.storage)
    return np.concatenate([half, one, -half]), np.concatenate([half, low, half])


def one_unit(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """v2·v2 - v1·v3 with either sign: the lowest bit of all where f_min > 1; among what cancels."""
    a, b = to_zero(spec, k, rng)
    sign = rng.choice([1, -1])
    return (
        np.concatenate([[2 * sign], a, [-sign]]).astype(spec.storage),
        np.concatenate([[2], b, [3]]).astype(spec.storage),
    )


def ends(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """Only values at both ends of the range, and zeros."""
    top = spec.maxpos_pattern
    edge = np.array([1, 2, top - 1, top, -1, -2, 1 - top, -top, 0], spec.storage)
    ab = rng.choice(edge, (2, k))
    return ab[0], ab[1]


def smallest(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """Products at the lowest weights, with every sign."""
    low = min(9, spec.maxpos_pattern)
    ab = rng.integers(-low, low, (2, k), endpoint=True).astype(spec.storage)
    return ab[0], ab[1]


def sparse(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """Zeros with a few values among them: a zero has no exponent and must not widen a window."""
    ab = np.stack(anything(spec, k, rng))
    ab[rng.random((2, k)) < 0.6] = 0
    return ab[0], ab[1]


def zeros(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """Zero times anything."""
    a, b = anything(spec, k, rng)
    return a * 0, b


def ties(spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """Among what cancels, a sum half-way between 1 and the next value, or minpos² beside that."""
    step = reference.encode(Fraction(1, 2 << spec.f_max), spec)
    one, push = spec.one, rng.integers(-1, 2)
    a, b = to_zero(spec, max(0, k - 3), rng)
    last = np.array([[one, step, push], [one, one, 1]], spec.storage)
    return np.concatenate([a, last[0]]), np.concatenate([b, last[1]])


def matrices(kind: str, spec: PositSpec, k: int, rng: np.random.Generator) -> Pair:
    """Left (6, k) and right (k, 3): the pair of a kind, its mirror images, and mixtures."""
    a, b = (ties if kind == "ties" else KINDS[kind])(spec, k, rng)
    rows = [a, -a, a[::-1], np.abs(a), np.roll(a, 1), a * 0]
    return np.stack(rows), np.stack([b, b[::-1], -np.abs(b)], axis=-1)


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
    "there and back": there_and_back,
    "one unit": one_unit,
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
