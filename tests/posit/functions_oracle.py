"""What the functions must return, by MPFR and the rounding boundaries alone.

Nothing of posit/_functions is used: other formulas (the textbook's, with as many more bits as they
cancel), another rounding (the pattern's two boundaries, from ``posit.reference.decode``), and
another rule for exact cases: a result that agrees with a boundary to LIMIT bits is that boundary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import gmpy2  # type: ignore[import-untyped, unused-ignore]
import numpy as np
from gmpy2 import mpfr

from posit import PositSpec, reference

from ..oracle import boundary

__all__ = ["ALGEBRAIC", "FORMULAS", "Wrong", "enclosed", "exact_value", "judge", "mpfr_values"]

Real = Any
NAN = float("nan")
BITS = 160  # of precision beyond what a formula cancels
SURE = 140  # of them are right
LIMIT = 1 << 14  # bits; the results of different patterns are apart by 2^-(2·4096 + 2·64) or more
FAR = 1 << 14  # e^±FAR is beyond every format


class Wrong(AssertionError):
    """A pattern that is not the function's correctly rounded value."""


@cache
def context(bits: int) -> Any:
    return gmpy2.context(precision=bits, round=gmpy2.RoundToNearest)


def bounded(x: Real) -> Real:
    return max(-FAR, min(FAR, x))


def odd(f: Callable[[Any, Real], Real]) -> Callable[[Any, Real], Real]:
    """An odd function from its values at x >= 0."""
    return lambda m, x: m.minus(f(m, m.minus(x))) if x < 0 else f(m, x)


def sinh(m: Any, x: Real) -> Real:
    e = m.exp(bounded(x))
    return m.div(m.sub(e, m.div(1, e)), 2)


def cosh(m: Any, x: Real) -> Real:
    e = m.exp(bounded(x))
    return m.div(m.add(e, m.div(1, e)), 2)


def root(m: Any, x: Real) -> Real:
    return m.sqrt(m.mul(m.sub(1, x), m.add(1, x)))  # √(1 - x²)


def power(m: Any, x: Real, p: Real) -> Real:
    if x == 0:
        return mpfr(0) if p > 0 else NAN
    if x < 0 and not m.is_integer(p):
        return NAN
    size = m.exp(bounded(m.mul(p, m.log(m.abs(x)))))
    return m.minus(size) if x < 0 and gmpy2.mpz(p) % 2 else size


def compound(m: Any, x: Real, k: int) -> Real:
    if k == 0:
        return mpfr(1)
    return power(m, m.add(1, x), mpfr(k, 64))


def root_n(m: Any, x: Real, k: int) -> Real:
    if k == 0 or (x == 0 and k < 0) or (x < 0 and k % 2 == 0):
        return NAN
    if x == 0:
        return mpfr(0)
    size = m.exp(m.div(m.log(m.abs(x)), k))
    return m.minus(size) if x < 0 else size


def turned(quarters: Callable[[int], Any], f: str) -> Callable[[Any, Real], Real]:
    """A function of πx with its values at multiples of 1/4; NotImplemented for the others."""

    def of(m: Any, x: Real) -> Real:
        steps = m.mul(x, 4)
        if m.is_integer(steps):
            value = quarters(int(steps) % 8)
            if value is not NotImplemented:
                return mpfr(value)
        return getattr(m, f)(m.mul(x, m.const_pi()))

    return of


def over_pi(f: Callable[[Any, Real], Real]) -> Callable[[Any, Real], Real]:
    return lambda m, x: m.div(f(m, x), m.const_pi())


def arc_sin(m: Any, x: Real) -> Real:
    return m.atan2(x, root(m, x))


def arc_cos(m: Any, x: Real) -> Real:
    return m.atan2(root(m, x), x)


def arc_tan(m: Any, x: Real) -> Real:
    return m.atan2(x, 1)


def log1(m: Any, x: Real) -> Real:
    return m.log(m.add(1, x))


def angle(m: Any, y: Real, x: Real) -> Real:
    return NAN if x == 0 and y == 0 else m.atan2(y, x)


SKIP = NotImplemented

# How many more bits a formula needs for an operand of exponent e (2^(e-1) <= |x| < 2^e).
NONE, SMALL, LARGE = (lambda e: 0), (lambda e: max(0, -e)), (lambda e: max(0, e))
BOTH = abs

FORMULAS: dict[str, tuple[Callable[..., Real], Callable[[int], int]]] = {
    "r_sqrt": (lambda m, x: m.div(1, m.sqrt(x)), NONE),
    "cbrt": (lambda m, x: root_n(m, x, 3), NONE),
    "exp": (lambda m, x: m.exp(bounded(x)), NONE),
    "exp_minus_1": (lambda m, x: m.sub(m.exp(bounded(x)), 1), SMALL),
    "exp2": (lambda m, x: power(m, mpfr(2), bounded(x)), NONE),
    "exp2_minus_1": (lambda m, x: m.sub(power(m, mpfr(2), bounded(x)), 1), SMALL),
    "exp10": (lambda m, x: power(m, mpfr(10), bounded(x)), NONE),
    "exp10_minus_1": (lambda m, x: m.sub(power(m, mpfr(10), bounded(x)), 1), SMALL),
    "log": (lambda m, x: m.log(x), NONE),
    "log_plus_1": (log1, BOTH),
    "log2": (lambda m, x: m.div(m.log(x), m.log(2)), NONE),
    "log2_plus_1": (lambda m, x: m.div(log1(m, x), m.log(2)), BOTH),
    "log10": (lambda m, x: m.div(m.log(x), m.log(10)), NONE),
    "log10_plus_1": (lambda m, x: m.div(log1(m, x), m.log(10)), BOTH),
    "sin": (lambda m, x: m.sin(x), NONE),
    "sin_pi": (turned(lambda q: {0: 0, 2: 1, 4: 0, 6: -1}.get(q, SKIP), "sin"), LARGE),
    "cos": (lambda m, x: m.cos(x), NONE),
    "cos_pi": (turned(lambda q: {0: 1, 2: 0, 4: -1, 6: 0}.get(q, SKIP), "cos"), LARGE),
    "tan": (lambda m, x: m.div(m.sin(x), m.cos(x)), NONE),
    "tan_pi": (turned(lambda q: (0, 1, NAN, -1)[q % 4], "tan"), LARGE),
    "arc_sin": (arc_sin, NONE),
    "arc_sin_pi": (over_pi(arc_sin), NONE),
    "arc_cos": (arc_cos, NONE),
    "arc_cos_pi": (over_pi(arc_cos), NONE),
    "arc_tan": (arc_tan, NONE),
    "arc_tan_pi": (over_pi(arc_tan), NONE),
    "sin_h": (sinh, SMALL),
    "cos_h": (cosh, NONE),
    "tan_h": (lambda m, x: m.div(sinh(m, x), cosh(m, x)), SMALL),
    "arc_sin_h": (odd(lambda m, x: m.log(m.add(x, m.sqrt(m.add(m.mul(x, x), 1))))), SMALL),
    "arc_cos_h": (lambda m, x: m.log(m.add(x, m.sqrt(m.mul(m.sub(x, 1), m.add(x, 1))))), NONE),
    "arc_tan_h": (lambda m, x: m.div(m.log(m.div(m.add(1, x), m.sub(1, x))), 2), SMALL),
    "hypot": (lambda m, x, y: m.sqrt(m.add(m.mul(x, x), m.mul(y, y))), NONE),
    "pow": (power, NONE),
    "arc_tan2": (angle, NONE),
    "arc_tan2_pi": (lambda m, y, x: m.div(angle(m, y, x), m.const_pi()), NONE),
    "compound": (compound, BOTH),
    "root_n": (root_n, NONE),
}

ALGEBRAIC: dict[str, Callable[..., Fraction | int | None]] = {
    "nearest_int": round,
    "ceil": lambda x: -(-x // 1),
    "floor": lambda x: x // 1,
    "trunc": int,
    "f_mm": lambda a, b, c: a * b * c,
    "floor_divide": lambda a, b: None if b == 0 else a // b,
    "remainder": lambda a, b: None if b == 0 else a - b * (a // b),
}
"""Functions whose results are rational: over Fraction, None for NaR."""


@cache
def mpfr_values(spec: PositSpec) -> dict[int, Real]:
    """Exact values of patterns met so far; of all of them for narrow formats."""
    return {}


def exact_value(p: int, spec: PositSpec) -> Real:
    """The value of a pattern other than NaR as an mpfr, exact."""
    known = mpfr_values(spec)
    if p not in known:
        known[p] = mpfr(gmpy2.mpq(reference.decode(p, spec)), 64)
    return known[p]


@cache
def edge(body: int, spec: PositSpec) -> Real:
    """The boundary above a positive pattern as an mpfr, exact."""
    return mpfr(gmpy2.mpq(boundary(body, spec)), 64)


def enclosed(name: str, operands: Sequence[Real], bits: int = BITS) -> Real:
    """The function with relative error below 2^(BITS - SURE - bits)."""
    formula, more = FORMULAS[name]
    extra = max(
        more(gmpy2.get_exp(x)) if isinstance(x, type(mpfr(0))) and x else 0 for x in operands
    )
    with context(bits + extra) as m:  # gmpy2 2.2 divides in the current one
        return formula(m, *operands)


def judge(name: str, spec: PositSpec, operands: Sequence[Any], got: Any) -> None:
    """Raise Wrong unless every element of ``got`` is the right pattern; operands broadcast."""
    flat = [x.reshape(-1).tolist() for x in np.broadcast_arrays(*operands)]
    integer = name in ("compound", "root_n")
    for *row, p in zip(*flat, np.asarray(got).reshape(-1).tolist(), strict=True):
        reals = row[:1] if integer else row
        if spec.nar in reals:
            right = p == spec.nar
        elif name in ALGEBRAIC:
            exact = ALGEBRAIC[name](*(reference.decode(x, spec) for x in row))
            right = p == reference.encode(exact, spec)
        else:
            numbers = [exact_value(x, spec) for x in reals] + row[len(reals) :]
            right = _is_rounding(name, numbers, p, spec)
        if not right:
            raise Wrong(f"{name}{tuple(row)} at {spec} is not {p}")


def _is_rounding(name: str, numbers: Sequence[Real], p: int, spec: PositSpec) -> bool:
    value = enclosed(name, numbers)
    if isinstance(value, float) or not value.is_finite() or value == 0:
        return p == (0 if value == 0 else spec.nar)
    if p in (0, spec.nar) or (value < 0) != (p < 0):
        return False
    body = abs(p)
    for side, k in ((1, body), (-1, body - 1)):
        if 0 < k < spec.maxpos_pattern:
            outside = _beyond(name, numbers, edge(k, spec), value) * side
            if outside > 0 or (outside == 0 and body % 2):
                return False
    return True


def _beyond(name: str, numbers: Sequence[Real], limit: Real, value: Real) -> int:
    """Whether |function| lies above (1), below (-1) or on (0) a boundary."""
    bits, sure = BITS, SURE
    while True:
        gap = context(bits).sub(context(bits).abs(value), limit)
        if gap and gmpy2.get_exp(gap) > gmpy2.get_exp(limit) - sure:
            return 1 if gap > 0 else -1
        if bits > LIMIT:
            return 0
        bits, sure = 4 * bits, 4 * bits - (BITS - SURE)
        value = enclosed(name, numbers, bits)
