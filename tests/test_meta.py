"""The checkers can fail: each mutant here has one plausible mistake, and each is caught.

The same check functions run on it that judge the real backends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import posit
import quire
from posit import PositSpec, bposit8, bposit16, bposit32, reference, standard
from posit.reference.decode import magnitude
from quire import Quire

from . import checks, hard, oracle
from .backends import ARITY, CORE
from .conftest import SLICES, Slice
from .quire.cases import KINDS, dot_is_exact

Bits = npt.NDArray[np.signedinteger[Any]]
Encode = Callable[[Fraction, PositSpec], int]


def rounding_with(encode: Encode) -> Callable[[str], Callable[..., Bits]]:
    """Operations that are exact and then round with ``encode``."""

    def operation(op: str) -> Callable[..., Bits]:
        def function(*args: Any) -> Bits:
            spec = args[-1]
            wide = np.broadcast_arrays(*args[:-1])
            out = [one(op, encode, spec, *row) for row in zip(*(x.flat for x in wide), strict=True)]
            return np.array(out, spec.storage).reshape(wide[0].shape)

        return function

    return operation


def one(op: str, encode: Encode, spec: PositSpec, *row: Any) -> int:
    x = [reference.decode(int(p), spec) for p in row]
    if None in x or (op == "div" and not x[1]) or (op == "sqrt" and (x[0] or 0) < 0):
        return spec.nar
    a, b, c = ([v for v in x if v is not None] + [Fraction(0)] * 2)[:3]
    exact = {
        "add": lambda: a + b, "sub": lambda: a - b, "mul": lambda: a * b, "div": lambda: a / b,
        "fma": lambda: a * b + c, "sqrt": lambda: reference.root(a, 2 * spec.n),
    }[op]()  # fmt: skip
    return encode(exact, spec)


def right(value: Fraction, spec: PositSpec) -> int:
    return reference.encode(value, spec)


def ties_away(value: Fraction, spec: PositSpec) -> int:
    p = abs(reference.encode(value, spec))
    if 0 < p < spec.maxpos_pattern and abs(value) == oracle.boundary(p, spec):
        p += 1
    return -p if value < 0 else p


def truncating(value: Fraction, spec: PositSpec) -> int:
    p = abs(reference.encode(value, spec))
    found = reference.decode(p, spec)
    assert found is not None
    p -= p > 1 and found > abs(value)
    return -p if value < 0 else p


def to_zero(value: Fraction, spec: PositSpec) -> int:
    """What is below half of minpos becomes 0, as in IEEE arithmetic."""
    return 0 if abs(value) < spec.minpos / 2 else reference.encode(value, spec)


def to_nar(value: Fraction, spec: PositSpec) -> int:
    """What is above maxpos becomes NaR, as in IEEE arithmetic."""
    return spec.nar if abs(value) > spec.maxpos else reference.encode(value, spec)


def through_float32(value: Fraction, spec: PositSpec) -> int:
    """Rounded twice."""
    return reference.encode(checks.nearest_float(value, np.float32), spec)


def through_float64(value: Fraction, spec: PositSpec) -> int:
    return reference.encode(checks.nearest_float(value, np.float64), spec)


def nearest_value(value: Fraction, spec: PositSpec) -> int:
    """Nearest by distance instead of by bit string: wrong where an exponent is cut."""
    p = abs(truncating(value, spec))
    low, high = (reference.decode(min(q, spec.maxpos_pattern), spec) for q in (p, p + 1))
    assert low is not None
    assert high is not None
    size = abs(value)
    up = high - size < size - low or (high - size == size - low and p % 2 == 1)
    p = min(p + up, spec.maxpos_pattern)
    return -p if value < 0 else p


WRONG_ROUNDINGS = [ties_away, truncating, to_zero, to_nar, nearest_value]


def test_the_scaffold_is_right() -> None:
    """With the right rounding the mutant is none: it is not the scaffold that is caught."""
    p = oracle.all_patterns(bposit8)[::3]
    for op, arity in ARITY.items():
        if op in ("neg", "abs"):
            continue
        mutant = replace(CORE, name="scaffold", **{op: rounding_with(right)(op)})
        row = [p[:, np.newaxis, np.newaxis][::5], p[:, np.newaxis][::5], p][-arity:]
        checks.table(mutant, op, bposit8, *row)


@pytest.mark.parametrize("op", ["add", "mul", "div"])
@pytest.mark.parametrize("encode", WRONG_ROUNDINGS, ids=lambda f: f.__name__)
def test_wrong_roundings_are_caught(encode: Encode, op: str) -> None:
    spec = PositSpec(6, 5, 2)  # it has cut exponents, and sums below minpos are its only lack
    if encode is to_zero and op == "add":
        pytest.skip("a sum is never below minpos")
    mutant = replace(CORE, name=encode.__name__, **{op: rounding_with(encode)(op)})
    p = oracle.all_patterns(spec)
    with pytest.raises(AssertionError, match="wrong at <6,5,2>"):
        checks.table(mutant, op, spec, p[:, np.newaxis], p)


@pytest.mark.parametrize(
    ("op", "spec", "encode"),
    [
        ("add", bposit32, through_float32), ("mul", bposit32, through_float32),
        ("add", PositSpec(34, 6, 5), through_float64), ("sqrt", standard(32), through_float64),
        ("sqrt", PositSpec(33, 6, 5), through_float64), ("fma", bposit16, through_float64),
        ("fma", bposit32, through_float64), ("div", PositSpec(40, 6, 5), through_float64),
        ("mul", PositSpec(34, 6, 5), through_float64),
        ("div", PositSpec(34, 6, 5), through_float64),
        ("sub", PositSpec(40, 6, 5), through_float64),
    ],
    ids=lambda x: x.__name__ if callable(x) else str(x),
)  # fmt: skip
def test_double_rounding_is_caught(op: str, spec: PositSpec, encode: Encode) -> None:
    """The hard cases are hard enough, where docs/format.md says that float64 fails."""
    mutant = replace(CORE, name="twice", **{op: rounding_with(encode)(op)})
    with pytest.raises(AssertionError, match="wrong at"):
        checks.scalars(mutant, op, spec, *hard.operands(op, spec, 60))


def uncapped(bits: Bits, spec: PositSpec) -> npt.NDArray[np.float64]:
    """A decoder whose regime runs on beyond rs bits, as in another project."""
    values = (
        magnitude(abs(p), spec.n, spec.n - 1, spec.es) * (1 if p > 0 else -1)
        if p != spec.nar
        else None
        for p in bits.tolist()
    )
    return np.array([np.nan if v is None else float(v) for v in values])


def nar_is_infinite(bits: Bits, spec: PositSpec) -> npt.NDArray[np.float64]:
    return np.where(bits == spec.nar, np.inf, posit.decode(bits, spec))


def terminated(bits: Bits, spec: PositSpec) -> npt.NDArray[np.float64]:
    """A decoder that expects an opposite bit even after the longest regime."""
    found = posit.decode(bits, spec)
    return np.where(np.abs(found) >= 2.0 ** ((spec.rs - 1) << spec.es), found / 2, found)


@pytest.mark.parametrize("decode", [uncapped, nar_is_infinite, terminated])
def test_wrong_decoders_are_caught(decode: Callable[..., Any]) -> None:
    mutant = replace(CORE, name=decode.__name__, decode=decode)
    with pytest.raises(AssertionError):
        checks.decoding(mutant, bposit8, oracle.all_patterns(bposit8))


def test_wrong_encoders_are_caught() -> None:
    """Of floats: through float32; with ties away; and with -0 or NaN mistaken."""

    def through_float32(x: Any, spec: PositSpec) -> Bits:
        with np.errstate(over="ignore", under="ignore"):
            return posit.encode(np.asarray(x, np.float32), spec)

    rounded = replace(CORE, encode=through_float32)
    with pytest.raises(AssertionError, match="encode"):
        checks.boundaries(rounded, bposit16, np.float64)

    def away(x: Any, spec: PositSpec) -> Bits:
        return posit.encode(np.nextafter(x, np.copysign(np.inf, x)), spec)

    with pytest.raises(AssertionError, match="encode"):
        checks.boundaries(replace(CORE, encode=away), bposit16, np.float32)
    with pytest.raises(AssertionError, match="encode"):
        checks.every_float32(replace(CORE, encode=away), bposit16, range(1016, 1017), 1 << 20)

    def nans_are_large(x: Any, spec: PositSpec) -> Bits:
        return posit.encode(np.where(np.isfinite(x), x, np.float32(3e38)), spec)

    with pytest.raises(AssertionError, match="encode"):
        checks.every_float32(
            replace(CORE, encode=nans_are_large), bposit16, range(2040, 2041), 1 << 20
        )


def off_by_one_somewhere(op: str) -> Callable[..., Any]:
    """Right but for a single pair in 2^16."""

    def function(a: Bits, b: Bits, spec: PositSpec) -> Any:
        made = getattr(posit, op)(a, b, spec)
        return np.where((a == 77) & (b == -3), made + 1, made).astype(made.dtype)

    return function


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div"])
def test_one_wrong_pair_is_caught(op: str) -> None:
    mutant = replace(CORE, name="nearly", **{op: off_by_one_somewhere(op)})
    p = oracle.all_patterns(bposit8)
    with pytest.raises(AssertionError, match=r"1 of 65536 wrong at <8,3,2>\n.*\(77, -3\)"):
        checks.table(mutant, op, bposit8, p[:, np.newaxis], p)
    with pytest.raises(AssertionError, match=r"\(77, -3\)"):
        checks.monotone_pairs(mutant, op, bposit16, range(2**15 - 3, 2**15 - 2))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda a, b, s: posit.add(a, b, s).astype(np.int64),
        lambda a, b, s: posit.add(a, b, s).ravel(),
        lambda a, b, s: posit.add(a, b, s).tolist(),
    ],
    ids=["dtype", "shape", "type"],
)
def test_wrong_arrays_are_caught(wrong: Callable[..., Any]) -> None:
    p = oracle.all_patterns(bposit8)
    with pytest.raises(AssertionError):
        checks.table(replace(CORE, add=wrong), "add", bposit8, p[:, np.newaxis], p)


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 1000])
def test_slices_make_up_a_sweep(size: int) -> None:
    """Every element is in one slice of every 64, and only in one."""
    slices = [Slice(i, SLICES) for i in range(SLICES)]
    assert sorted(i for part in slices for i in part.range(size)) == list(range(size))
    assert sorted(i for part in slices for i in part.take(range(size))) == list(range(size))
    assert Slice(0, 1).range(size) == range(size)


# ---- accumulators


def drops_a_term(a: Bits, b: Bits, spec: PositSpec) -> Any:
    """The last product of the first block is forgotten."""
    return quire.dot(np.delete(a, slice(511, 512)), np.delete(b, slice(511, 512)), spec)


def rounds_on_the_way(a: Bits, b: Bits, spec: PositSpec) -> Any:
    made: Any = 0
    for x, y in zip(a, b, strict=True):
        made = posit.fma(x, y, made, spec)
    return made


def in_float64(a: Bits, b: Bits, spec: PositSpec) -> Any:
    x, y = posit.decode(a, spec), posit.decode(b, spec)
    return posit.encode(np.array(float(np.dot(x, y))), spec)


def with_800_bits(a: Bits, b: Bits, spec: PositSpec) -> Any:
    return quire.dot(a, b, spec, layout="paper800")


def saturates_on_the_way(a: Bits, b: Bits, spec: PositSpec) -> Any:
    """An accumulator without carry-guard bits that holds on to its largest value."""
    q, limit = Fraction(0), spec.maxpos**2
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        q += (reference.decode(x, spec) or 0) * (reference.decode(y, spec) or 0)
        q = max(-limit, min(limit, q))
    return reference.encode(q, spec)


def negative_all_ones(a: Bits, b: Bits, spec: PositSpec) -> Any:
    """Rounds the bits of a negative sum as if they were a magnitude's, cut instead of negated."""
    q = Quire(spec)
    for x, y in zip(a, b, strict=True):
        q.fma(x, y)
    value = q.value
    if value is None or value >= 0:
        return q.round()
    return -reference.encode(-value - Fraction(2) ** q.layout.lsb, spec)


MUTANTS = [
    drops_a_term, rounds_on_the_way, in_float64, with_800_bits, saturates_on_the_way,
    negative_all_ones,
]  # fmt: skip


@pytest.mark.parametrize("dot", MUTANTS, ids=lambda f: f.__name__)
def test_wrong_accumulators_are_caught(dot: Callable[..., Any]) -> None:
    """By some of the kinds of operands that tests/quire/test_dot.py runs, at one of its sizes."""
    caught = []
    for kind, make in KINDS.items():
        a, b = make(bposit16, 513, np.random.default_rng(1))
        dot_is_exact(quire.dot, bposit16, a, b)
        try:
            dot_is_exact(dot, bposit16, a, b)
        except AssertionError:
            caught.append(kind)
    assert caught
