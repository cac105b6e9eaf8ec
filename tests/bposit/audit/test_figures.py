"""Each figure by hand, and the sums against exact fractions."""

from fractions import Fraction
from math import log10

import numpy as np
import pytest

import posit
from bposit.audit import tensor
from bposit.audit.exponents import Exponents
from bposit.audit.figures import Block, Errors, ordered_distance
from bposit.audit.formats import F8, PositFormat, parse
from bposit.audit.power import decibels, power, ratio


def errors(x: F8, y: F8, name: str = "bposit16") -> Errors:
    found = Errors()
    found.add(Block(x), y, parse(name))
    return found


def test_sqnr_by_hand() -> None:
    # Σ ref² = 9 + 16 = 25, Σ (y - ref)² = 0.25
    found = errors(np.array([3.0, 4.0, 0.0]), np.array([3.5, 4.0, 0.0]))
    assert found.sqnr == pytest.approx(20.0, abs=1e-12)
    assert (found.exact, found.failed, found.inexact) == (False, False, 1)


def test_no_noise_is_exact_and_not_a_number() -> None:
    row = errors(np.array([3.0, 0.0]), np.array([3.0, 0.0])).row()
    assert row["sqnr"] is None
    assert (row["exact"], row["failed"]) == (True, False)
    zeros = errors(np.zeros(2), np.zeros(2)).row()
    assert (zeros["sqnr"], zeros["exact"], zeros["failed"]) == (None, True, False)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([np.nan], [np.nan]),  # no valid pair
        ([1.0, 2.0], [np.nan, 2.0]),  # NaN made of finite input
        ([1.0, 2.0], [np.inf, 2.0]),  # and infinity
        ([0.0], [1.0]),  # noise without a signal
    ],
)
def test_sqnr_fails_closed(x: list[float], y: list[float]) -> None:
    row = errors(np.array(x), np.array(y), "float16").row()
    assert (row["sqnr"], row["exact"], row["failed"]) == (None, False, True)


def test_pairs_that_are_not_finite_are_left_out_of_sqnr_and_counted() -> None:
    x = np.array([3.0, 4.0, np.nan, np.inf])
    found = errors(x, np.array([3.5, 4.0, np.nan, np.nan]))
    assert found.sqnr == pytest.approx(20.0, abs=1e-12)
    assert (found.nar, found.nar_made, found.infinite) == (2, 0, 0)


@pytest.mark.parametrize("x", [[3.0, 4.0], [0.0, 0.0], [1.0, np.nan], [np.inf, np.nan]])
@pytest.mark.parametrize("y", [[3.0, 4.0], [3.5, 4.0], [0.0, 0.0], [np.nan, 2.0], [np.inf, 1.0]])
def test_the_ratio_alone_is_that_of_all_figures(x: list[float], y: list[float]) -> None:
    a, b = np.array(x), np.array(y)
    row = errors(a, b).row()
    assert ratio(a, b) == {k: row[k] for k in ("sqnr", "exact", "failed")}


def test_saturations_by_hand() -> None:
    # bposit8 = <8,3,2>: minpos 1.25·2^-12, maxpos 1.75·2^11
    row = tensor(np.array([1e9, -1e9, 1e-9, 0.0, 1.0, np.nan, 3584.0]), "bposit8").rows[0]
    assert [row[k] for k in ("saturated", "to_minpos", "to_zero", "infinite", "nar")] == [
        2, 1, 0, 0, 1,
    ]  # fmt: skip
    assert (row["n"], row["zeros"], row["nonfinite"], row["inexact"]) == (7, 1, 1, 3)
    assert row["relative_max"] == pytest.approx(1.25 * 2.0**-12 / 1e-9 - 1)
    assert row["digits_min"] is None  # all that is inexact is saturated
    row = tensor(np.array([1e9, 1e-9, 2.0**-9, 465.0]), "float8_e4m3fn").rows[0]
    assert [row[k] for k in ("saturated", "to_minpos", "to_zero", "infinite", "nar")] == [
        0, 0, 1, 0, 2,
    ]  # fmt: skip
    row = tensor(np.array([1e9, 1.5 * 2.0**-25, 1.0]), "float16").rows[0]
    assert [row[k] for k in ("saturated", "to_minpos", "to_zero", "infinite", "nar")] == [
        0, 1, 0, 1, 0,
    ]  # fmt: skip


def test_relative_errors_and_digits_by_hand() -> None:
    # 1000 values: one of error 1/8, nine of 1/64, ninety of 1/1024, the rest exact
    wrong = np.array([1 / 8] + [1 / 64] * 9 + [1 / 1024] * 90 + [0.0] * 900)
    found = errors(np.ones(1000), 1 + wrong)
    row = found.row()
    assert row["relative_max"] == 1 / 8
    assert row["relative_p999"] == (1 / 64) * (1 + 1 / 64)  # the upper edge of its bin
    assert found.relative_error(0.99) == (1 / 1024) * (1 + 1 / 64)
    assert found.relative_error(0.9) == 0.0
    assert row["digits_min"] == pytest.approx(-log10(1 / 8))
    assert row["digits_p1"] == pytest.approx(-log10((1 / 64) * (65 / 64)))  # of the 100 inexact
    assert row["digits_median"] == pytest.approx(-log10((1 / 1024) * (65 / 64)))


def test_saturations_are_not_among_the_digits() -> None:
    # bposit8 has 3 fraction bits at 1: 1 + 1/64 errs by 1/65 and 1 + 1/1024 by 1/1025
    x = np.array([1e9] * 60 + [1 + 1 / 64] * 30 + [1 + 1 / 1024] * 40)
    row = tensor(x, "bposit8").rows[0]
    assert row["saturated"] == 60
    assert row["digits_min"] == row["digits_p1"] == pytest.approx(log10(65))
    assert row["digits_median"] == pytest.approx(log10(1025), abs=0.01)


def test_fovea_and_fraction_bits_by_hand() -> None:
    # posit16 has 11 fraction bits in [1/16, 16), 10 in [16, 256), 9 in [256, 4096)
    made = tensor(np.array([1.0, 15.9, 1 / 16, 16.0, 256.0, 0.0, 1e30]), "posit16,float16")
    assert made.rows[0]["fraction_bits"] == {-1: 1, 9: 1, 10: 1, 11: 3}
    assert made.rows[0]["fovea"] == 0.5
    assert made.rows[1]["fraction_bits"] == {-1: 1, 10: 5}
    assert made.exponents.bins[0] == -4
    assert sum(made.exponents.bins[1]) == 6
    # the fovea of a b-posit is 2^-32 <= |x| < 2^32
    x = np.array([2.0**-32, 2.0**32, 2.0**-33, 2.0**31])
    assert tensor(x, "bposit16").rows[0]["fovea"] == 0.5


def test_ulps_count_patterns_across_the_taper() -> None:
    f = parse("posit16")
    assert isinstance(f, PositFormat)
    # 15.996 and 16 are neighbours, and so are 16 and 16.016: 2 patterns apart
    wanted = posit.decode(np.array([posit.encode(16.0, f.spec) - 1]).astype(np.int16), f.spec)
    got = posit.decode(np.array([posit.encode(16.0, f.spec) + 1]).astype(np.int16), f.spec)
    assert ordered_distance(got, wanted, f) == 2
    assert ordered_distance(wanted * (1 + 2.0**-20), wanted, f) == 0  # rounded first
    assert ordered_distance(np.array([2.0**-24]), np.array([-(2.0**-24)]), parse("float16")) == 2
    assert ordered_distance(np.array([np.nan]), np.array([1.0]), f) == 0


def test_arithmetic_gap_error_by_hand() -> None:
    # posit16 has 2^52, 2^56, then nothing: numbers above 2^54 go up, by pattern; the gap is 15·2^52
    x = 2.0**54 * (1 + 2.0**-20)
    assert tensor(np.array([x]), "posit16").rows[0]["gap_error"] == pytest.approx(
        (2.0**56 - x) / (15 * 2.0**52), rel=1e-8
    )
    # bfloat16 has 7 fraction bits: 2^-9 is a quarter of a gap at 1 and a half at 1/2
    x = 1 + 2.0**-9
    assert tensor(np.array([x, 0.0]), "bfloat16").rows[0]["gap_error"] == 0.25
    assert tensor(np.array([x / 2 + 2.0**-10]), "bfloat16").rows[0]["gap_error"] == 0.5
    # subnormal float16 are 2^-24 apart; what is under the smallest is counted elsewhere
    assert tensor(np.array([2.0**-23 * 1.125]), "float16").rows[0]["gap_error"] == 0.25
    assert tensor(np.array([2.0**-26, 1e6]), "float16").rows[0]["gap_error"] == 0.0
    # amax takes 3·448 to 448: 3·(8 + 1/4) is a quarter of the gap, 3, away
    row = tensor(np.array([3 * 448.0, 3 * 8.25]), "float8_e4m3fn@amax").rows[0]
    assert row["gap_error"] == pytest.approx(0.25)
    # results that are not the nearest: 3 gaps and more; an error on zero has no gap
    found = errors(np.array([1.0, 0.0, -1.0]), np.array([1 + 3 / 128, 1.0, -1.0]), "bfloat16")
    assert found.gap_error == 3.0


@pytest.mark.parametrize("name", ["bposit16", "posit16", "bposit8", "float16", "n9_rs4_es3",
                                  "float8_e4m3fn", "float4_e2m1fn"])  # fmt: skip
def test_rounding_stays_within_half_a_gap_unless_exponents_are_cut(name: str) -> None:
    f = parse(name)
    rng = np.random.default_rng(5)
    low, high = np.log2(f.bottom), np.log2(f.top)
    x = np.exp2(rng.uniform(low, high, 20000))
    found = tensor(x[(x >= f.bottom) & (x <= f.top)], name).rows[0]["gap_error"]
    limit = 0.8 if name == "posit16" else 0.5
    assert 0.95 * limit < found <= limit


@pytest.mark.parametrize("size", [1e-320, 1e-200, 1.0, 1e150, 1e308])
def test_powers_neither_overflow_nor_underflow(size: float) -> None:
    x = np.random.default_rng(1).normal(size=1000) * (size / 8)
    exact = sum(Fraction(v) ** 2 for v in x.tolist())
    assert abs(power(x) / exact - 1) < Fraction(1, 1 << 45)


@pytest.mark.parametrize("name", ["bposit16", "bposit8", "float16", "mxfp8", "float8_e5m2@amax"])
def test_sqnr_against_fractions(name: str) -> None:
    rng = np.random.default_rng(2)
    x = np.asarray(rng.normal(size=(7, 45)) * np.exp2(rng.integers(-9, 9, (7, 45))))
    y = parse(name).round(x)
    signal = sum(Fraction(v) ** 2 for v in x.flat)
    noise = sum((Fraction(v) - Fraction(r)) ** 2 for v, r in zip(y.flat, x.flat, strict=True))
    row = tensor(x, name).rows[0]
    assert row["sqnr"] == pytest.approx(decibels(signal, noise), rel=1e-12)
    worst = max(abs(Fraction(v) / Fraction(r) - 1) for v, r in zip(y.flat, x.flat, strict=True))
    assert row["relative_max"] == pytest.approx(float(worst), rel=1e-12)


def test_parts_join_to_the_whole() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=500) * 10.0 ** rng.integers(-6, 6, 500)
    f = parse("bposit8")
    whole, parts, exponents = errors(x, f.nearest(x), "bposit8"), Errors(), Exponents()
    for part in np.split(x, 5):
        parts += errors(part, f.nearest(part), "bposit8")
        exponents += Exponents.of(part)
    for name, joined in vars(parts).items():
        if name in ("signal", "noise"):
            assert float(joined) == pytest.approx(float(getattr(whole, name)), rel=1e-14)
        else:
            assert np.array_equal(joined, getattr(whole, name)), name
    assert np.array_equal(exponents.counts, Exponents.of(x).counts)


def test_subnormal_float64_are_counted_below_the_normal_ones() -> None:
    assert Exponents.of(np.array([5e-324, 0.0, np.inf, np.nan])).bins == (-1023, [1])


def test_a_wrong_figure_is_seen() -> None:
    """The comparison with fractions must be able to fail: half a block lost, or one value."""
    x = np.random.default_rng(4).normal(size=1000)
    exact = sum(Fraction(v) ** 2 for v in x.tolist())
    assert abs(power(x[1:]) / exact - 1) > Fraction(1, 1 << 45)
    assert decibels(Fraction(100), Fraction(1)) == 20.0
