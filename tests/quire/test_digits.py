"""Digits of sums: added elsewhere, window by window, they are the sums of what was added."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from posit import PositSpec, bposit8, bposit16
from quire import Accumulators

from ..formats import mixed
from .cases import EXTREME, SPECS, finite

every = pytest.mark.parametrize("spec", SPECS + EXTREME, ids=str)


@every
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 5), (4, 0)], ids=str)
def test_there_and_back(spec: PositSpec, shape: tuple[int, ...]) -> None:
    sums = Accumulators(shape, spec).add(mixed(spec, shape, np.random.default_rng(spec.n)))
    low, high = sums.settle().window
    digits = sums.digits()
    assert digits.dtype == np.int64
    assert digits.shape == ((high - low) // 32, *shape)
    assert Accumulators.from_digits(digits, low, spec, sums.is_nar) == sums
    wide = sums.digits((low - 32, high + 32))
    assert Accumulators.from_digits(wide, low - 32, spec, sums.is_nar) == sums


@every
def test_digits_of_one_window_may_be_added(spec: PositSpec) -> None:
    rng = np.random.default_rng(spec.n)
    parts = [Accumulators(9, spec).add(x) for x in finite(spec, (6, 9), rng)]
    parts.append(Accumulators(9, spec))
    ends = [p.settle().window for p in parts[:-1]]
    window = min(low for low, _ in ends), max(high for _, high in ends)
    total = sum((p.digits(window) for p in parts), np.zeros((), np.int64))
    want = Accumulators(9, spec)
    for p in parts:
        want.merge(p)
    made = Accumulators.from_digits(total, window[0], spec)
    assert made == want
    assert (made.round() == want.round()).all()


def test_room_for_two_to_the_31_objects() -> None:
    """Digits keep within the bounds that the promise rests on, after any history of carries."""
    one = bposit16.one
    sums = Accumulators(3, bposit16)
    for _ in range(40):
        sums.add([one, -one, bposit16.maxpos_pattern]).merge(sums.copy())
    digits = sums.digits()
    assert digits.min() >= -(1 << 31)
    assert digits.max() < 1 << 32
    most = (1 << 31) - 1
    low = sums.window[0]
    made = Accumulators.from_digits(digits[:, :2] * most, low, bposit16).values()
    assert made.tolist() == [v * most for v in sums.values()[:2]]


def test_nar_has_digits_of_zero_and_stays_nar() -> None:
    sums = Accumulators(2, bposit16).add([bposit16.nar, bposit16.one])
    assert not sums.digits()[:, 0].any()
    made = Accumulators.from_digits(sums.digits(), sums.window[0], bposit16, [True, False])
    assert made.round().tolist() == [bposit16.nar, bposit16.one]


def test_digits_are_a_copy() -> None:
    sums = Accumulators(2, bposit16).add(bposit16.one)
    digits = sums.digits()
    made = Accumulators.from_digits(digits, sums.window[0], bposit16)
    digits[:] = 7
    assert made == sums == Accumulators(2, bposit16).add(bposit16.one)


@pytest.mark.parametrize("window", [(-32, 0), (-31, 64), (0, 33), (64, 32), (96, 128)], ids=str)
def test_windows_that_do_not_hold_the_sums(window: tuple[int, int]) -> None:
    sums = Accumulators(2, bposit16).add(bposit16.one)
    assert sums.settle().window == (0, 32)
    with pytest.raises(ValueError, match="around the window in use"):
        sums.digits(window)


@pytest.mark.parametrize(
    ("digits", "low", "error", "text"),
    [
        (np.zeros((1, 2), np.int32), 0, TypeError, "int64 array"),
        ([[1, 2]], 0, TypeError, "got list"),
        (np.zeros((), np.int64), 0, TypeError, "int64 array"),
        (np.zeros((1, 2), np.int64), 16, ValueError, "multiple of 32"),
        (np.zeros((1, 2), np.int64), 4096, OverflowError, "sums of <8,3,2> lie between"),
        (np.zeros((1, 2), np.int64), -4096, OverflowError, "sums of <8,3,2> lie between"),
        (np.zeros((40, 2), np.int64), 0, OverflowError, "sums of <8,3,2> lie between"),
    ],
)
def test_errors(digits: Any, low: int, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Accumulators.from_digits(digits, low, bposit8)
    with pytest.raises(ValueError, match="broadcast"):
        Accumulators.from_digits(np.zeros((1, 2), np.int64), 0, bposit8, [True] * 3)
