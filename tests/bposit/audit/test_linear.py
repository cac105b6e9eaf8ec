"""Exact products, how sums are accumulated, what they cancel, and the three parts: by hand."""

from fractions import Fraction
from math import log2

import numpy as np
import pytest

import posit
from bposit.audit import linear
from bposit.audit.formats import F8, PositFormat, parse
from bposit.audit.power import decibels
from bposit.errors import BadInput


def blas(rows: F8, weight: F8, kind: type[np.floating]) -> F8:  # type: ignore[type-arg]
    return np.asarray(rows.astype(kind) @ weight.astype(kind).T, np.float64)


def fractions(rows: F8, weight: F8, bias: F8 | None) -> list[list[Fraction]]:
    return [
        [
            sum((Fraction(a) * Fraction(b) for a, b in zip(r, w, strict=True)), Fraction(0))
            + (0 if bias is None else Fraction(bias[j]))
            for j, w in enumerate(weight.tolist())
        ]
        for r in rows.tolist()
    ]


@pytest.mark.parametrize("spread", [3, 100, 180, 250])
@pytest.mark.parametrize("biased", [False, True])
def test_the_reference_is_exact(spread: int, biased: bool) -> None:
    rng = np.random.default_rng(spread)

    def wild(*shape: int) -> F8:
        return np.asarray(rng.normal(size=shape) * np.exp2(rng.integers(-spread, spread, shape)))

    rows, weight, bias = wild(4, 23), wild(5, 23), wild(5) if biased else None
    rows[0, :2], weight[:, 1] = 1.0, -weight[:, 0]  # which cancels
    wanted = fractions(rows, weight, bias)
    found = linear.exact_product(rows, weight, bias)
    for i in range(4):
        for j in range(5):
            assert abs(Fraction(found[i, j]) - wanted[i][j]) <= abs(wanted[i][j]) / (1 << 52)


def test_large_products_are_the_small_ones() -> None:
    rng = np.random.default_rng(9)
    rows, weight, bias = rng.normal(size=(90, 20)), rng.normal(size=(70, 20)), rng.normal(size=70)
    whole = linear.exact_product(rows, weight, bias)
    assert np.array_equal(whole[:9, :8], linear.exact_product(rows[:9], weight[:8], bias[:8]))


def test_total_cancellation_is_zero_not_noise() -> None:
    rows = np.array([[1e16, 1.0, -1e16]])
    assert linear.exact_product(rows, np.ones((1, 3)))[0, 0] == 1.0
    assert linear.exact_product(rows[:, ::2], np.ones((1, 2)))[0, 0] == 0.0
    assert (np.ones((1, 3)) @ np.array([1e16, 1.0, -1e16])).item() == 0.0  # as float64 has it


def test_what_is_not_finite_is_nan() -> None:
    found = linear.exact_product(np.array([[1.0, np.inf], [1.0, 2.0]]), np.ones((1, 2)))
    assert np.isnan(found[0, 0])
    assert found[1, 0] == 3.0


def test_per_op_by_hand() -> None:
    # bfloat16 (8 bits): 256 + 1 = 257 is a tie to 256, and so is the next
    f = parse("bfloat16")
    rows, ones = np.array([[256.0, 1.0, 1.0]]), np.ones((1, 3))
    assert linear.accumulated(rows, ones, None, f, "per_op", blas)[0, 0] == 256.0
    assert linear.accumulated(rows, ones, None, f, "quire", blas)[0, 0] == 258.0
    # 2 + 256 = 258, then 259 is a tie to 260, and 261 one to 260
    assert linear.accumulated(rows, ones, np.array([2.0]), f, "per_op", blas)[0, 0] == 260.0
    # bposit16 has 8 fraction bits there: 512 + 1 is a tie to 512
    f = parse("bposit16")
    assert linear.accumulated(rows * 2, ones, None, f, "per_op", blas)[0, 0] == 516.0
    rows = np.array([[512.0, 1.0, 1.0]])
    assert linear.accumulated(rows, ones, None, f, "per_op", blas)[0, 0] == 512.0
    assert linear.accumulated(rows, ones, None, f, "float32", blas)[0, 0] == 514.0


def test_per_op_rounds_as_posit_does() -> None:
    rng, f = np.random.default_rng(3), parse("bposit16")
    assert isinstance(f, PositFormat)
    rows, weight = f.nearest(rng.normal(size=(2, 9))), f.nearest(rng.normal(size=(3, 9)))
    found = linear.accumulated(rows, weight, None, f, "per_op", blas)
    for i in range(2):
        for j in range(3):
            total = posit.Posit(0, f.spec)
            for a, b in zip(rows[i], weight[j], strict=True):
                total = total + posit.Posit(a, f.spec) * posit.Posit(b, f.spec)
            assert float(total) == found[i, j]


def test_float32_swamps_and_float64_does_not() -> None:
    f, rows, ones = parse("bposit32"), np.array([[2.0**24, 1.0]]), np.ones((1, 2))
    assert linear.accumulated(rows, ones, None, f, "float32", blas)[0, 0] == 2.0**24
    assert linear.accumulated(rows, ones, None, f, "float64", blas)[0, 0] == 2.0**24 + 1


def test_cancellation_by_hand() -> None:
    rows = np.array([[1.0, 1.0], [3.0, -1.0], [1.0, -1.0], [0.0, 0.0]])
    ones = np.ones((1, 2))
    sums = linear.exact_product(rows, ones)
    found = linear.cancellation(rows, ones, None, sums)
    # Σ|t|/|Σt|: 2/2, 4/2, total, no terms
    assert (found.median, found.max, found.total) == (0.0, 1.0, 1)
    found = linear.cancellation(rows[1:2], ones, np.array([-1.0]), np.array([[1.0]]))
    assert found.max == pytest.approx(log2(5))
    assert linear.cancellation(rows[3:], ones, None, sums[3:]) == linear.Cancellation(
        None, None, None, 0
    )


def test_parts_telescope_and_their_powers_do_not_add() -> None:
    y0, y1, y2, y3 = (np.array([10.0, 0.0]) + d for d in (0.0, 1.0, 3.0, 2.0))
    found = linear.parts(y0, y1, y2, y3)
    # differences 1, 2, -1 at both; their sum 2
    assert (found.quantization, found.accumulation, found.rounding) == (2, 8, 2)
    assert found.total == 8
    row = found.row()
    assert row["cross_share"] == (8 - 12) / 8
    assert row["quantization_sqnr"] == pytest.approx(decibels(Fraction(100), Fraction(2)))
    assert row["accumulation_sqnr"] == pytest.approx(decibels(Fraction(100), Fraction(8)))


def test_a_part_without_power_is_exact() -> None:
    y = np.array([10.0])
    row = linear.parts(y, y, y, y + 1).row()
    assert (row["quantization_sqnr"], row["quantization_exact"]) == (None, True)
    assert (row["rounding_exact"], row["rounding_failed"]) == (False, False)
    assert row["cross_share"] == 0.0


def test_modes() -> None:
    assert linear.modes(None) == ()
    assert linear.modes("quire, float32,quire") == ("quire", "float32")
    for wrong in ("", "bfloat16", "quire;float32"):
        with pytest.raises(BadInput):
            linear.modes(wrong)
    assert linear.default_mode(parse("posit16")) == "quire"
    assert linear.default_mode(parse("mxfp8")) == "float32"
    with pytest.raises(BadInput):
        linear.accumulated(np.ones((1, 2)), np.ones((1, 2)), None, parse("mxfp8"), "per_op", blas)
