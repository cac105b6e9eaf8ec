"""sum_of and sum_and_rest: every format with every other, against the definition."""

from __future__ import annotations

import doctest
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest

import posit
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, reference, standard, sums

from .. import checks, oracle
from ..formats import EIGHT, TINY, WIDE, corners, mixed, stratified

FINE = PositSpec(58, 6, 5)  # 51 fraction bits at most: the first that rounding to odd cannot serve
FORMATS = [
    bposit8, bposit16, bposit32, bposit64, standard(16), standard(32), PositSpec(53, 6, 5), FINE,
    PositSpec(60, 6, 5), PositSpec(61, 6, 5), PositSpec(12, 4, 8), PositSpec(40, 31, 5),
    PositSpec(40, 32, 5), PositSpec(6, 2, 3), PositSpec(64, 16, 8), PositSpec(64, 2, 0),
]  # fmt: skip
formats = pytest.mark.parametrize("to", FORMATS, ids=str)
Specs = Sequence[PositSpec]


def defined(rows: Any, specs: Specs, to: PositSpec, rest: PositSpec) -> tuple[Any, Any]:
    """The sums and the rests of rows of terms, in fractions."""
    made: list[tuple[int, int]] = []
    for row in rows:
        values = [reference.decode(p, s) for p, s in zip(row, specs, strict=True)]
        exact = [v for v in values if v is not None]
        if len(exact) < len(values):
            made.append((to.nar, rest.nar))
            continue
        total = sum(exact, Fraction(0))
        near = reference.encode(total, to)
        made.append((near, reference.encode(total - (reference.decode(near, to) or 0), rest)))
    columns = zip(*made, strict=True) if made else ((), ())
    near_all, rest_all = (list(c) for c in columns)
    return np.array(near_all, to.storage), np.array(rest_all, rest.storage)


def check(terms: Sequence[Any], specs: Specs, to: PositSpec, rest: PositSpec) -> None:
    """Both functions on columns of patterns."""
    rows = zip(*(x.tolist() for x in terms), strict=True)
    near, left = defined(rows, specs, to, rest)
    what = f"of {', '.join(map(str, specs))}"
    checks.same(posit.sum_of(*terms, spec=specs, to=to), near, to, f"sum {what}", *terms)
    got = posit.sum_and_rest(*terms, spec=specs, to=to, rest=rest)
    checks.same(got[0], near, to, f"sum {what} to {to}, {rest}", *terms)
    checks.same(got[1], left, rest, f"rest {what} to {to}, {rest}", *terms)
    check_numbers(terms, specs, (near, left), to, rest)


def check_numbers(
    terms: Sequence[Any], specs: Specs, want: Sequence[Any], to: PositSpec, rest: PositSpec
) -> None:
    """The same, where float64 holds a format: numbers as terms, and places for them."""
    near, left = want
    given = [posit.decode(x, s) if s.fits_float64 else x for x, s in zip(terms, specs, strict=True)]
    places = [np.empty(near.shape, np.float64) if s.fits_float64 else None for s in (to, rest)]
    found = posit.sum_of(*given, spec=specs, to=to, out=places[0])
    checks.same(in_bits(found, to), near, to, "sum of numbers", *terms)
    made = posit.sum_and_rest(*given, spec=specs, to=to, rest=rest, out=(places[0], places[1]))
    checks.same(in_bits(made[0], to), near, to, "sum of numbers, with its rest", *terms)
    checks.same(in_bits(made[1], rest), left, rest, "rest of numbers", *terms)


def in_bits(x: Any, spec: PositSpec) -> Any:
    """Patterns; where x is numbers, of the posits that they must be."""
    if x.dtype != np.float64:
        return x
    bits = np.asarray(posit.encode(x, spec))
    assert posit.decode(bits, spec).tobytes() == x.tobytes()
    return bits


def columns(spec: PositSpec, bits: Any, count: int) -> list[Any]:
    """All rows of ``count`` of these patterns."""
    return [x.reshape(-1) for x in np.meshgrid(*[bits] * count)]


def between(value: Fraction, specs: Specs, rng: np.random.Generator) -> list[int]:
    """Terms that sum to nearly ``value``: each is the nearest to what those before left of it, the
    first of them to a part of it."""
    row, left = [], value
    for k, s in enumerate(specs):
        part = left * Fraction(int(rng.integers(-4, 5)), 4) if k == 0 else left
        p = min(max(reference.encode(part, s) + int(rng.integers(-1, 2)), -s.maxpos_pattern),
                s.maxpos_pattern)  # fmt: skip
        row.append(p)
        left -= reference.decode(p, s) or 0
    return row


@pytest.mark.parametrize("spec", TINY, ids=str)
def test_every_pair_of_tiny_formats(spec: PositSpec) -> None:
    p = oracle.all_patterns(spec)
    got = posit.sum_of(p[:, np.newaxis], p, spec=spec)
    checks.same(got, oracle.expected("add", spec, p[:, np.newaxis], p), spec, "sum_of", p, p)
    for to in (spec, bposit16, PositSpec(5, 3, 1)):
        check(columns(spec, p, 2), [spec] * 2, to, spec)


@pytest.mark.parametrize("spec", [s for s in TINY if s.n <= 5], ids=str)
def test_every_triple_of_tiny_formats(spec: PositSpec) -> None:
    check(columns(spec, oracle.all_patterns(spec), 3), [spec] * 3, spec, PositSpec(7, 3, 8))


@pytest.mark.parametrize("spec", EIGHT, ids=str)
def test_every_pair_of_eight_bits(spec: PositSpec) -> None:
    p = oracle.all_patterns(spec)
    got = posit.sum_of(p[:, np.newaxis], p, spec=spec)
    checks.same(got, oracle.expected("add", spec, p[:, np.newaxis], p), spec, "sum_of", p, p)


@pytest.mark.parametrize("spec", WIDE, ids=str)
def test_pairs_are_additions(spec: PositSpec) -> None:
    a, b = stratified(spec, 200, 1)[:, np.newaxis], stratified(spec, 150, 2)
    want = np.asarray(posit.add(a, b, spec))
    checks.same(posit.sum_of(a, b, spec=spec), want, spec, "sum_of", a, b)


@formats
def test_sums_on_and_beside_boundaries(to: PositSpec) -> None:
    """Two terms make a boundary, more or less, and the third is far below, above, or nothing."""
    rng = np.random.default_rng([1, to.n, to.rs, to.es])
    bodies = [min(max(1, abs(p)), to.maxpos_pattern - 1) for p in corners(to, 1)]
    bodies += rng.integers(1, to.maxpos_pattern, 20).tolist()
    for wide in (bposit32, PositSpec(60, 6, 5), bposit64, standard(32)):
        specs, rows = (wide, wide, bposit32, bposit32), []
        for body in rng.choice(bodies, 60).tolist():
            middle = oracle.boundary(body, to) * int(rng.choice([1, -1]))
            if abs(middle) > 2**190:
                continue
            far = [int(x) for x in rng.choice([0, 1, -1, 5, -5, 1 << 20, -(1 << 20)], 2)]
            rows.append([*between(middle, specs[:2], rng), *far])
        check([np.array(c, s.storage) for c, s in zip(zip(*rows, strict=True), specs, strict=True)],
              specs, to, wide)  # fmt: skip


@formats
def test_any_formats_together(to: PositSpec) -> None:
    rng = np.random.default_rng([2, to.n, to.rs, to.es])
    for count in (1, 2, 3, 3, 4, 7):
        chosen = rng.choice(len(FORMATS), count + 1)
        *specs, rest = (FORMATS[i] for i in chosen)
        terms = [mixed(s, 60, rng) for s in specs]
        for k, s in enumerate(specs):  # of alike sizes, so that bits overlap
            near = rng.standard_normal(30) * 2.0 ** rng.integers(-30 * k - 1, 2, 30)
            terms[k][:30] = posit.encode(near, s)
        if count > 1:  # what cancels, and what nearly does
            terms[1][10:20] = posit.convert(posit.neg(terms[0][10:20], specs[0]), specs[0],
                                            specs[1])  # fmt: skip
        check(terms, specs, to, rest)


def test_numbers_are_rounded_first() -> None:
    """In place, strided, 0-d, and beside patterns."""
    rng = np.random.default_rng(8)
    x, y = rng.standard_normal((2, 1300))
    rounded = posit.encode(x, bposit16), posit.encode(y, bposit32)
    specs = (bposit16, bposit32)
    want = posit.decode(posit.sum_of(*rounded, spec=specs), bposit16)
    assert np.array_equal(posit.sum_of(x, rounded[1], spec=specs, out=np.empty(1300)), want)
    back = x[::-1]
    assert posit.sum_of(back, y[::-1], spec=specs, out=back) is back
    assert np.array_equal(x, want)
    one = posit.sum_of(np.array(1.0), np.array(0.5), spec="bposit16")
    assert one == posit.encode(1.5, bposit16)
    for bad in ((x, bposit64), (x.astype(np.float32), bposit16)):
        with pytest.raises(TypeError, match="float"):
            posit.sum_of(bad[0], spec=bad[1])
    with pytest.raises(TypeError, match="does not fit float64"):
        posit.sum_of(rounded[0], spec=bposit16, to=bposit64, out=np.empty(1300))


@pytest.mark.parametrize("other", [bposit32, bposit64], ids=str)  # in doubles, in words
@pytest.mark.parametrize("spec", [s for s in FORMATS if s.float64_decides], ids=str)
def test_factors_multiply_and_round(spec: PositSpec, other: PositSpec) -> None:
    """Also where the other term cancels the product, but for what rounding it left."""
    rng = np.random.default_rng(9)
    x, y = (mixed(s, 700, rng) for s in (spec, other))
    specs, numbers = (spec, other), posit.decode(x, spec)
    for factor in (-0.1, 0.0, 3.7, 1e-9, -1.0, 1e30):
        rounded = np.asarray(posit.mul(x, posit.encode(factor, spec), spec))
        y[::2] = posit.convert(posit.neg(rounded, spec), spec, other)[::2]
        parts, factors = (rounded, y), (factor, 1)
        want = posit.sum_of(*parts, spec=specs)
        checks.same(posit.sum_of(x, y, spec=specs, factors=factors), want, spec, "sum", x)
        checks.same(posit.sum_of(numbers, y, spec=specs, factors=factors), want, spec, "sum", x)
        made = posit.sum_and_rest(x, y, spec=specs, factors=factors, to=spec, rest=bposit32)
        apart = posit.sum_and_rest(*parts, spec=specs, to=spec, rest=bposit32)
        checks.same(made[0], apart[0], spec, "sum", x)
        checks.same(made[1], apart[1], bposit32, "rest", x)


def test_factors_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="2 factors for 1 terms"):
        posit.sum_of(5, spec=bposit16, factors=(1, 2))
    with pytest.raises(TypeError, match=r"a factor of 0\.5 for <64,6,5>"):
        posit.sum_of(5, spec=bposit64, factors=(0.5,))
    assert posit.sum_of(bposit16.one, spec=bposit16, factors=(float("nan"),)) == bposit16.nar


def test_a_hard_element_among_easy_ones() -> None:
    """Two doubles do not hold 1 + 2^-80 + 2^-190, nor 128 bits: its block is summed another way.

    2^-80 stands for what lies between two posits of 16 bits, so that what is far below decides.
    """
    rng = np.random.default_rng(3)
    body = reference.encode(Fraction(1, 2**80), bposit16)
    for size in (1, 511, 512, 513, 1100):
        terms = [posit.encode(rng.standard_normal(size), bposit32) for _ in range(3)]
        for odd, sign in product((0, 1), (1, -1)):
            tie = reference.encode(oracle.boundary(body + odd, bposit16), bposit32)
            tiny = reference.encode(Fraction(sign, 2**190), bposit32)
            for term, p in zip(terms, (bposit32.one, tie, tiny), strict=True):
                term[-1] = p
            for to, rest in ((bposit16, bposit16), (bposit32, bposit64), (FINE, bposit16)):
                check(terms, [bposit32] * 3, to, rest)


def test_steps_of_training() -> None:
    """weight + residue + step: the sum is kept, and what the weight loses."""
    rng = np.random.default_rng(4)
    for w, s in ((bposit16, bposit32), (bposit16, bposit16), (bposit32, bposit64),
                 (bposit8, bposit32), (standard(16), bposit64)):  # fmt: skip
        weight = posit.encode(rng.standard_normal(300) * 0.1, w)
        residue = np.zeros(300, s.storage)
        step = posit.encode(rng.standard_normal(300) * 2.0 ** rng.integers(-60, 0, 300), s)
        for _ in range(3):
            check([weight, residue, step], [w, s, s], w, s)
            weight, _ = posit.sum_and_rest(
                weight, residue, step, spec=(w, s, s), to=w, rest=s, out=(None, residue)
            )


@formats
def test_nar_and_zero_anywhere(to: PositSpec) -> None:
    specs = [bposit16, bposit64, to]
    rows = [[0, 0, 0]]
    for k, s in enumerate(specs):
        for p in (s.nar, s.one, -1):
            rows.append([0, 0, 0])
            rows[-1][k] = p
    terms = [np.array(c, s.storage) for c, s in zip(zip(*rows, strict=True), specs, strict=True)]
    check(terms, specs, to, bposit8)
    assert posit.sum_of(*terms, spec=specs, to=to)[0] == 0


def test_many_terms() -> None:
    rng = np.random.default_rng(5)
    for spec in (bposit32, bposit64):
        for count in (29, 30, 31, 40):
            terms = [mixed(spec, 12, rng) for _ in range(count)]
            for x in terms:
                x[:6] = posit.encode(rng.standard_normal(6), spec)
                x[6] = spec.maxpos_pattern
            check([np.where(x == spec.nar, 1, x) for x in terms], [spec] * count, spec, bposit16)


def test_where_results_go() -> None:
    rng = np.random.default_rng(6)
    a, b, c = (mixed(bposit32, (7, 90), rng) for _ in range(3))
    s = bposit32
    near, rest = posit.sum_and_rest(a, b, c, spec=s, to=s, rest=s)
    for first, second in ((a, b), (b, c), (c, np.empty_like(c)), (np.empty_like(a), a)):
        x, y, z = (v.copy() for v in (a, b, c))
        places = {id(a): x, id(b): y, id(c): z}
        out = places.get(id(first), first.copy()), places.get(id(second), second.copy())
        got = posit.sum_and_rest(x, y, z, spec=s, to=s, rest=s, out=out)
        assert got[0] is out[0]
        assert got[1] is out[1]
        assert np.array_equal(out[0], near)
        assert np.array_equal(out[1], rest)
    strided = np.zeros((14, 180), s.storage)[::2, ::-2]
    assert posit.sum_of(a[::-1], b[::-1, ::-1], c, spec=s, out=strided) is strided
    want = posit.sum_of(a[::-1].copy(), b[::-1, ::-1].copy(), c, spec=s)
    assert np.array_equal(strided, want)
    shifted = np.concatenate([a.reshape(-1), [0]]).astype(s.storage)
    posit.sum_of(shifted[:-1], b.reshape(-1), spec=s, out=shifted[1:])  # overlaps a term
    assert np.array_equal(shifted[1:], posit.sum_of(a, b, spec=s).reshape(-1))


def test_shapes() -> None:
    s = bposit16
    column, row = posit.encode([[1.0], [2.0]], s), posit.encode([0.5, 0.25, 4.0], s)
    want = posit.encode([[1.75, 1.5, 5.25], [2.75, 2.5, 6.25]], s)
    assert np.array_equal(posit.sum_of(column, row, posit.encode(0.25, s), spec=s), want)
    single = posit.sum_of(s.one, s.one, spec=s)
    assert isinstance(single, np.int16)
    assert posit.decode(single, s) == 2
    assert posit.sum_of(column[:0], row, spec=s).shape == (0, 3)
    assert posit.sum_of(row, spec=s, to=bposit32).dtype == np.int32


def test_bad_input() -> None:
    a = posit.encode([1.0, 2.0], bposit16)
    with pytest.raises(ValueError, match="1 to 2"):
        posit.sum_of(spec=bposit16)
    with pytest.raises(ValueError, match="2 formats for 1 terms"):
        posit.sum_of(a, spec=[bposit16, bposit32])
    with pytest.raises(TypeError, match="int32, got int16"):
        posit.sum_of(a, spec=bposit32)
    with pytest.raises(ValueError, match="do not broadcast"):
        posit.sum_of(a, a[:0], a[:1].repeat(3), spec=bposit16)
    with pytest.raises(ValueError, match="not a pattern"):
        posit.sum_of(5000, spec=PositSpec(12, 6, 5))
    room = np.zeros(3, np.int16)
    with pytest.raises(ValueError, match="overlap"):
        posit.sum_and_rest(a, spec=bposit16, to=bposit16, rest=bposit16, out=(room[:2], room[1:]))
    with pytest.raises(ValueError, match="shape"):
        posit.sum_of(a, spec=bposit16, out=room)
    with pytest.raises(TypeError, match="dtype"):
        posit.sum_of(a, spec=bposit16, to=bposit32, out=room[:2])
    assert not room.any()


def test_the_docstrings() -> None:
    assert doctest.testmod(sums).attempted > 4
    assert not doctest.testmod(sums).failed
