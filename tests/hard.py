"""Operands whose exact result lies on or beside a rounding boundary, at any width.

Each function returns operand columns (patterns). None says what the result is: the definition
does, and the operands are hard however the last bit turns out.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from posit import PositSpec, reference

from .formats import corners
from .oracle import boundary

__all__ = ["HARD", "operands"]

Bits = npt.NDArray[np.signedinteger[Any]]
Row = tuple[int, ...]


def operands(op: str, spec: PositSpec, count: int = 250, seed: int = 1) -> tuple[Bits, ...]:
    """About ``count`` hard rows of each kind for ``op``, with mirrored signs, and corner rows."""
    rng = random.Random(f"{op} {spec} {seed}")
    arity = {"sqrt": 1, "fma": 3}.get(op, 2)
    rows = [row for kind in HARD[op] for _ in range(count) for row in kind(spec, rng)]
    edge = corners(spec)
    rows += [tuple(rng.choice(edge) for _ in range(arity)) for _ in range(count)]
    rows += [tuple(_random(spec, rng) for _ in range(arity)) for _ in range(count)]
    inside = [tuple(min(max(p, spec.nar), spec.maxpos_pattern) for p in row) for row in set(rows)]
    return tuple(np.array(column, spec.storage) for column in zip(*sorted(inside), strict=True))


def _random(spec: PositSpec, rng: random.Random) -> int:
    """A finite pattern: any, near a corner, or one whose fraction has few bits."""
    kind = rng.randrange(3)
    if kind == 0:
        return rng.randint(spec.nar + 1, spec.maxpos_pattern)
    if kind == 1:
        return rng.choice([p for p in corners(spec) if p != spec.nar])
    p = rng.randint(1, spec.maxpos_pattern)
    cut = rng.randrange(spec.n - 1)
    return (p >> cut << cut) * rng.choice((1, -1))


def _midpoint(spec: PositSpec, rng: random.Random) -> Fraction:
    """A boundary; its sign is random."""
    body = min(max(1, abs(_random(spec, rng))), spec.maxpos_pattern - 1)
    return boundary(body, spec) * rng.choice((1, -1))


def _around(value: Fraction, spec: PositSpec) -> Iterator[int]:
    """The patterns nearest to a value, and their neighbours."""
    p = reference.encode(value, spec)
    yield from (p - 1, p, p + 1)


def _value(p: int, spec: PositSpec) -> Fraction:
    value = reference.decode(p, spec)
    assert value is not None
    return value


def _sum_to_midpoint(spec: PositSpec, rng: random.Random) -> Iterator[Row]:
    a = _random(spec, rng)
    for b in _around(_midpoint(spec, rng) - _value(a, spec), spec):
        yield a, b


def _half_unit(spec: PositSpec, rng: random.Random) -> Iterator[Row]:
    """a + b where b is just half of what separates a from a neighbour: ties, and the bits that
    a sticky bit stands for."""
    a = rng.randint(1, spec.maxpos_pattern - 1)
    gap = boundary(a, spec) - _value(a, spec)
    for b in _around(gap, spec):
        yield a, b
        yield a + 1, -b


def _cancel(spec: PositSpec, rng: random.Random) -> Iterator[Row]:
    a = _random(spec, rng)
    for d in (-2, -1, 0, 1, 2, rng.randint(-64, 64)):
        yield a, -a + d


def _differ(rows: Callable[[PositSpec, random.Random], Iterator[Row]]) -> Any:
    """Sums as differences: the second operand negated."""
    return lambda spec, rng: ((a, -b) for a, b in rows(spec, rng))


def _product_to_midpoint(spec: PositSpec, rng: random.Random) -> Iterator[Row]:
    a = _random(spec, rng) or spec.one
    for b in _around(_midpoint(spec, rng) / _value(a, spec), spec):
        yield a, b


def _exact_tie(spec: PositSpec, rng: random.Random) -> Iterator[Row]:
    """Odd significands whose product has one bit too many, or nearly so."""
    q = spec.f_max + 1
    i = rng.randint(1, q)
    x = (rng.getrandbits(i) | 1 | 1 << i) & ((1 << q) - 1) | 1
    j = max(1, q + 1 - x.bit_length() + rng.randint(0, 1))
    y = rng.getrandbits(j) | 1 | 1 << (j - 1)
    shift = rng.randint(-2, 2)
    a = reference.encode(Fraction(x, 1 << (x.bit_length() - 1)) * Fraction(2) ** shift, spec)
    b = _significand(y, spec)
    yield a, b
    yield -a, b


def _near_tie(spec: PositSpec, rng: random.Random) -> Iterator[Row]:
    """Odd significands whose product is a tie but for its very last bit: x·y = 2^(k-1) ± 1 mod 2^k,
    where k bits of the product are dropped."""
    q = spec.f_max + 1
    x = rng.getrandbits(q) | 1 | 1 << (q - 1)
    for k in (q - 1, q):
        for d in (1, -1):
            y = (2 ** max(0, k - 1) + d) * pow(x, -1, 2**k) % 2**k | 1 << (q - 1)
            yield _significand(x, spec), _significand(y, spec)


def _significand(x: int, spec: PositSpec) -> int:
    """The pattern in [1, 2) with the bits of x > 0, or the nearest to it."""
    return reference.encode(Fraction(x, 1 << (x.bit_length() - 1)), spec)


def _near_tie_quotient(spec: PositSpec, rng: random.Random) -> Iterator[Row]:
    """a·2^s = m·b ± 1 for a boundary m of one bit more than a significand: the nearest miss."""
    q = spec.f_max + 1
    b = rng.getrandbits(q) | 1 | 1 << (q - 1)
    for s in (q, q + 1):
        for d in (1, -1):
            m = -d * pow(b, -1, 2**s) % 2**s
            a = (m * b + d) >> s
            if a > 0:
                yield _significand(a, spec), _significand(b, spec)


def _quotient_to_midpoint(spec: PositSpec, rng: random.Random) -> Iterator[Row]:
    b = _random(spec, rng) or spec.one
    for a in _around(_midpoint(spec, rng) * _value(b, spec), spec):
        yield a, b


def _near_one(spec: PositSpec, rng: random.Random) -> Iterator[Row]:
    """(1 - i·u)/(1 - j·u): quotients a hair's breadth from a boundary."""
    for _ in range(3):
        yield spec.one + rng.randint(-9, 9), spec.one + rng.randint(-9, 9)


def _root_to_midpoint(spec: PositSpec, rng: random.Random) -> Iterator[Row]:
    m = abs(_midpoint(spec, rng))
    if spec.minpos <= m * m <= spec.maxpos:
        yield from ((p,) for p in _around(m * m, spec))
    yield from ((p,) for p in _around(_value(abs(_random(spec, rng)), spec) ** 2, spec))


def _fused_to_midpoint(spec: PositSpec, rng: random.Random) -> Iterator[Row]:
    a, b = _random(spec, rng), _random(spec, rng)
    for c in _around(_midpoint(spec, rng) - _value(a, spec) * _value(b, spec), spec):
        yield a, b, c


def _fused_cancel(spec: PositSpec, rng: random.Random) -> Iterator[Row]:
    a, b = _random(spec, rng), _random(spec, rng)
    for c in _around(-_value(a, spec) * _value(b, spec), spec):
        yield a, b, c


def _sticky(spec: PositSpec, rng: random.Random) -> Iterator[Row]:
    """A product on a boundary, and an addend so small that only its sign matters."""
    for a, b in _exact_tie(spec, rng):
        for c in (1, -1, 2, -3, rng.randint(1, 9)):
            yield a, b, c


def _tiny_product(spec: PositSpec, rng: random.Random) -> Iterator[Row]:
    """c moved by a product of half its unit, or a little more or less."""
    c = rng.randint(1, spec.maxpos_pattern - 1)
    gap = boundary(c, spec) - _value(c, spec)
    a = abs(_random(spec, rng)) or spec.one
    for b in _around(gap / _value(a, spec), spec):
        yield a, b, c
        yield a, -b, c + 1
        yield -a, b, -c


HARD: dict[str, list[Callable[[PositSpec, random.Random], Iterator[Row]]]] = {
    "add": [_sum_to_midpoint, _half_unit, _cancel],
    "sub": [_differ(_sum_to_midpoint), _differ(_half_unit), _differ(_cancel)],
    "mul": [_product_to_midpoint, _exact_tie, _near_tie],
    "div": [_quotient_to_midpoint, _near_one, _near_tie_quotient],
    "sqrt": [_root_to_midpoint],
    "fma": [_fused_to_midpoint, _fused_cancel, _sticky, _tiny_product],
}
