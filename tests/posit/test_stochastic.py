"""Stochastic rounding: the stream, exact probabilities, saturation, reproducibility, splits."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import posit
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, reference, standard
from posit.reference import stochastic

from ..formats import EIGHT, SIXTEEN, TINY, WIDE, corners, every_spec, mixed

every = pytest.mark.parametrize("spec", TINY + EIGHT + SIXTEEN + WIDE, ids=str)
_MASK = (1 << 64) - 1


def sr(x: Any, spec: PositSpec, key: int = 0, start: int = 0) -> Any:
    return posit.encode(x, spec, rounding="stochastic", key=key, start=start)


def unmixed(z: int) -> int:
    """Undo SplitMix64's finaliser: shifts by repeating them, products by their inverses."""
    for shift, factor in ((31, 0x94D049BB133111EB), (27, 0xBF58476D1CE4E5B9), (30, 1)):
        y = z
        for _ in range(64 // shift + 1):
            y = z ^ (y >> shift)
        z = y * pow(factor, -1, 1 << 64) & _MASK
    return z


def test_the_stream_is_splitmix64() -> None:
    """The published outputs for the seed 1234567, which is what the key becomes when mixed."""
    key = unmixed(1234567)
    found = [reference.uniform64(key, i) for i in range(5)]
    assert found == [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431,
        16408922859458223821,
    ]  # fmt: skip


@every
def test_equals_the_definition(spec: PositSpec) -> None:
    """Bit by bit, with the same key and index; all kinds of floats, and both ends."""
    rng = np.random.default_rng(1)
    near = posit.decode(mixed(spec, 150, rng), spec)
    near = near * (1 + rng.integers(-4, 5, 150) * rng.choice([1e-3, 2.0**-12, 2.0**-30], 150))
    wide = np.ldexp(rng.uniform(-2, 2, 150), rng.integers(-1074, 1023, 150))
    ends = [np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, -1e308]
    for x in (near, wide, np.array(ends)):
        key = int(rng.integers(1 << 63))
        want = [reference.encode_stochastic(v, spec, key, 7 + i) for i, v in enumerate(x.tolist())]
        got = sr(x, spec, key, 7)
        assert got.dtype == spec.storage
        wrong = np.flatnonzero(got != want)
        assert not wrong.size, [(x[i].hex(), int(got[i]), want[i]) for i in wrong[:4]]


def key_for(word: int, index: int) -> int:
    """The key whose stream has ``word`` at ``index``."""
    return unmixed((unmixed(word) - (index + 1) * 0x9E3779B97F4A7C15) & _MASK)


@pytest.mark.parametrize(
    "spec",
    [bposit8, bposit16, standard(8), standard(16), PositSpec(12, 4, 8), PositSpec(3, 2, 8),
     PositSpec(7, 6, 4), PositSpec(24, 3, 0), bposit32],
    ids=str,
)  # fmt: skip
def test_the_very_word_where_the_choice_turns(spec: PositSpec) -> None:
    """The upper neighbour is taken for words below p·2^64 and for no others: exactly where the
    neighbours differ in a fraction bit, within 2^-48 of p where they differ in an exponent bit."""
    rng = np.random.default_rng(11)
    bodies = [b for b in corners(spec, 1) if 0 < b < spec.maxpos_pattern]
    bodies += rng.integers(1, spec.maxpos_pattern, 20).tolist()
    tried = 0
    for body in bodies:
        low, high = (reference.decode(b, spec) for b in (body, body + 1))
        assert low is not None
        assert high is not None
        if not Fraction(2) ** -1000 < low < high < Fraction(2) ** 1000:
            continue
        x = float(low + (high - low) * Fraction(int(rng.integers(1, 1 << 20)), 1 << 20))
        if not low <= Fraction(x) < high:
            continue
        turn = (Fraction(x) - low) / (high - low) * 2**64
        slack = 0 if high < 2 * low else 1 << 16
        first = -(-turn.numerator // turn.denominator)  # the least word that is not below
        for word, up in ((first - 1 - slack, True), (first + slack, False)):
            if 0 <= word <= _MASK:
                tried += 1
                key = key_for(word, 3)
                assert reference.uniform64(key, 3) == word
                assert reference.encode_stochastic(x, spec, key, 3) == body + up
                assert sr(np.array([x, -x]), spec, key, 3)[0] == body + up
                assert sr(np.array([-x]), spec, key, 3)[0] == -body - up
    assert tried > 4


def neighbours(size: Fraction, spec: PositSpec) -> tuple[int, Fraction, Fraction]:
    """The pattern at or below a magnitude within the range, its value, and the next one."""
    low = reference.encode(size, spec)
    below, above = reference.decode(low, spec), None
    if below is not None and below > size:
        low -= 1
    below, above = reference.decode(low, spec), reference.decode(low + 1, spec)
    assert below is not None
    assert above is not None
    assert below <= size < above
    return low, below, above


@pytest.mark.parametrize("spec", [*TINY, *EIGHT, bposit16, bposit64, PositSpec(24, 3, 0)], ids=str)
def test_exact_probabilities(spec: PositSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over 2^k evenly spaced words, the upper neighbour is taken exactly p·2^k times (rounded up
    where p has more than k bits), so that the mean is the value itself: no bias."""
    k = 6
    words = [i << (64 - k) for i in range(1 << k)]
    monkeypatch.setattr(stochastic, "uniform64", lambda key, index: words[index])
    bodies = [b for b in corners(spec, 1) if 0 < b < spec.maxpos_pattern]
    for body in bodies[:: max(1, len(bodies) // 25)]:
        low, high = (reference.decode(b, spec) for b in (body, body + 1))
        assert low is not None
        assert high is not None
        for numerator in (0, 1, 20, 63):
            x = low + (high - low) * Fraction(numerator, 1 << k)
            for sign in (1, -1):
                found = [stochastic.encode_stochastic(sign * x, spec, 0, i) for i in range(1 << k)]
                assert set(found) <= {sign * body, sign * (body + 1)}
                assert found.count(sign * (body + 1)) == numerator
                mean = sum(reference.decode(p, spec) or 0 for p in found) / (1 << k)
                assert mean == sign * x
        x = low + (high - low) * Fraction(41, 1 << (k + 1))
        found = [stochastic.encode_stochastic(x, spec, 0, i) for i in range(1 << k)]
        assert found.count(body + 1) == 21


@pytest.mark.parametrize(
    "spec", [bposit8, bposit16, bposit32, standard(16), PositSpec(8, 3, 4)], ids=str
)
@pytest.mark.parametrize(
    "x", [1.0009765625 + 2**-11, 0.7123456789, 3e-3, 1234.56, -2.7e10, 1.1e-20]
)
def test_frequencies(spec: PositSpec, x: float) -> None:
    """Within five standard deviations, for keys that are neighbours; and unlike each other."""
    if not spec.minpos <= abs(Fraction(x)) < spec.maxpos:
        assert (sr(np.full(100, x), spec) == posit.encode(x, spec)).all()
        return
    size = 1 << 14
    low, below, above = neighbours(abs(Fraction(x)), spec)
    p = float((abs(Fraction(x)) - below) / (above - below))
    sigma = (size * p * (1 - p)) ** 0.5
    taken = []
    for key in (0, 1, 2, _MASK, 1 << 63):
        got = np.abs(sr(np.full(size, x), spec, key).astype(np.int64))
        assert set(np.unique(got)) <= {low, low + 1}
        up = got == low + 1
        assert abs(up.sum() - size * p) <= 5 * sigma + 1e-9
        halves = up[::2].sum() - up[1::2].sum()
        assert abs(halves) <= 5 * sigma + 1e-9  # neither even nor odd places are favoured
        taken.append(up)
    if sigma > 20:
        for i, one in enumerate(taken):
            for other in taken[:i]:
                agree = (one == other).sum()
                chance = p * p + (1 - p) * (1 - p)
                assert abs(agree - size * chance) <= 5 * (size * chance * (1 - chance)) ** 0.5 + 1


def test_chi_square_over_many_probabilities() -> None:
    """x = 1 + i/256 units for all i: the counts fit their binomials together, not only each."""
    size, spec = 4096, bposit16
    x = 1 + np.arange(1, 256) / 2.0**16
    up = sr(np.repeat(x, size), spec, key=2026).reshape(-1, size) == spec.one + 1
    p = np.arange(1, 256) / 256
    chi = ((up.sum(axis=1) - size * p) ** 2 / (size * p * (1 - p))).sum()
    assert 255 - 5 * (2 * 255) ** 0.5 < chi < 255 + 5 * (2 * 255) ** 0.5


@every
def test_what_is_representable_stays(spec: PositSpec) -> None:
    p = mixed(spec, 500, np.random.default_rng(2))
    exact = np.array([posit.to_fraction(v, spec) or 0 for v in p], object)
    want = np.where(p == spec.nar, 0, p)
    for key in range(3):
        assert (sr(exact, spec, key) == want).all()
        if spec.fits_float64:
            assert (sr(posit.decode(p, spec), spec, key) == p).all()


@every
def test_saturation(spec: PositSpec) -> None:
    """Outside [minpos, maxpos] nothing is left to chance: never 0, never NaR."""
    top = spec.maxpos_pattern
    for k in (1, Fraction(4097, 4096), 2, 2**300):
        for v, want in ((spec.maxpos * k, top), (spec.minpos / k, 1)):
            x = np.full(60, None, object)
            x[:] = v
            assert (sr(x, spec, 5) == want).all()
            assert (sr(-x, spec, 5) == -want).all()
            if Fraction(2) ** -1000 < v < Fraction(2) ** 1000:
                y = np.full(60, float(v))
                if Fraction(y[0]) == v:
                    assert (sr(y, spec, 5) == want).all()
                    assert (sr(-y, spec, 5) == -want).all()


@pytest.mark.parametrize("spec", [bposit8, bposit16, standard(64), standard(32)], ids=str)
def test_any_split_gives_the_same(spec: PositSpec) -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal(3000) * np.exp(rng.normal(0, 30, 3000))
    want = sr(x, spec, key=9, start=100)
    for _ in range(5):
        edges = [0, *np.sort(rng.integers(0, 3000, 4)).tolist(), 3000]
        parts = [sr(x[a:b], spec, 9, 100 + a) for a, b in pairwise(edges)]
        assert (np.concatenate(parts) == want).all()
    assert (sr(x.reshape(30, 100), spec, 9, 100).ravel() == want).all()
    assert (sr(np.repeat(x, 2)[::2], spec, 9, 100) == want).all()
    assert (
        sr(x.reshape(30, 100).T, spec, 9, 100) == sr(x.reshape(30, 100).T.copy(), spec, 9, 100)
    ).all()
    assert (sr(x, spec, key=9, start=101) != want).any()
    assert (sr(x, spec, key=10, start=100) != want).any()
    assert (sr(x, spec, key=9, start=100) == want).all()
    out = np.empty(3000, spec.storage)
    assert posit.encode(x, spec, rounding="stochastic", key=9, start=100, out=out) is out
    assert (out == want).all()


@pytest.mark.parametrize("width", [16, 32, 64])
def test_every_nan_becomes_nar(width: int) -> None:
    """Signalling ones too, and without a warning, which here is an error."""
    mantissa = {16: 10, 32: 23, 64: 52}[width]
    inf = ((1 << (width - 1 - mantissa)) - 1) << mantissa
    words = np.array([inf, inf + 1, inf + (1 << (mantissa - 1)), inf + 5], f"u{width // 8}")
    x = np.concatenate([words, words | words.dtype.type(1 << (width - 1))]).view(f"f{width // 8}")
    assert (sr(x, bposit16, key=1) == bposit16.nar).all()
    assert (posit.encode(x, bposit16) == bposit16.nar).all()


def test_the_stream_wraps_at_its_end() -> None:
    x = np.full(6, 1 + 2.0**-9)
    got = sr(x, bposit16, key=4, start=_MASK - 2)
    want = [reference.encode_stochastic(v, bposit16, 4, (_MASK - 2 + i) & _MASK)
            for i, v in enumerate(x.tolist())]  # fmt: skip
    assert got.tolist() == want


@pytest.mark.parametrize("spec", [bposit16, bposit64, standard(16)], ids=str)
def test_every_kind_of_number_uses_the_same_stream(spec: PositSpec) -> None:
    """float32, integers, and exact numbers: element i of x uses word start + i."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal(300).astype(np.float32)
    assert (sr(x, spec, 6) == sr(x.astype(np.float64), spec, 6)).all()
    exact = np.array([Fraction(float(v)) for v in x], object)
    assert (sr(exact, spec, 6) == sr(x, spec, 6)).all()
    whole = rng.integers(-(1 << 62), 1 << 62, 300)
    big = np.array([int(v) for v in whole], object)
    assert (sr(whole, spec, 6) == sr(big, spec, 6)).all()
    small = rng.integers(-(1 << 40), 1 << 40, 300)
    assert (sr(small, spec, 6) == sr(small.astype(np.float64), spec, 6)).all()
    third = np.array([Fraction(1, 3)] * 300, object)
    want = [reference.encode_stochastic(Fraction(1, 3), spec, 6, i) for i in range(300)]
    assert sr(third, spec, 6).tolist() == want


@given(data=st.data())
def test_any_float_in_any_format(data: st.DataObject) -> None:
    spec = data.draw(st.sampled_from(every_spec()))
    x = data.draw(st.floats())
    key, start = (data.draw(st.integers(0, _MASK)) for _ in range(2))
    got = sr(np.array([x]), spec, key, start)[0]
    assert got == reference.encode_stochastic(x, spec, key, start)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rounding": "stochastic"}, {"rounding": "stochastic", "key": None},
        {"rounding": "stochastic", "key": -1}, {"rounding": "stochastic", "key": 1 << 64},
        {"rounding": "stochastic", "key": 1.0}, {"rounding": "stochastic", "key": "1"},
        {"rounding": "stochastic", "key": 1, "start": -1}, {"rounding": "nearest", "key": 1},
        {"rounding": "stochastic", "key": 1, "start": 1 << 64}, {"key": 0}, {"start": 1},
        {"rounding": "up"}, {"rounding": None},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_arguments(wrong: dict[str, Any]) -> None:
    out = np.full(2, 77, np.int16)
    with pytest.raises((ValueError, TypeError)):
        posit.encode(np.ones(2), bposit16, out=out, **wrong)
    assert (out == 77).all()
