"""required_accumulator: sufficient, and one bit less is not."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

import quire
from bposit.emulate import Mac, Window, required_accumulator
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, encode, standard

from ...formats import Bits, mixed


def data(spec: PositSpec, seed: int, wild: bool) -> tuple[Bits, Bits]:
    rng = np.random.default_rng(seed)
    if wild:
        a, b = mixed(spec, (3, 5), rng), mixed(spec, (5, 4), rng)
        a[a == spec.nar], b[b == spec.nar] = 0, 0
        return a, b
    a, b = rng.standard_normal((3, 5)), rng.standard_normal((5, 4))
    a[1, 2] = b[2, 0] = b[4, 3] = 0
    return np.asarray(encode(a, spec)), np.asarray(encode(b, spec))


@pytest.mark.parametrize("wild", [False, True])
@pytest.mark.parametrize("spec", [bposit8, bposit16, standard(16), bposit32, bposit64], ids=str)
def test_just_wide_enough(spec: PositSpec, wild: bool) -> None:
    for seed in range(6):
        a, b = data(spec, seed, wild)
        need = required_accumulator(a, b, spec)
        found = Mac(spec, accumulator=need.window()).matmul(a, b)
        assert not found.flags.any()
        np.testing.assert_array_equal(found.bits, quire.matmul(a, b, spec))
        short = Mac(spec, accumulator=Window(need.lsb + 1, need.msb)).matmul(a, b)
        assert short.bits_lost.any()
        low = Mac(spec, accumulator=Window(need.lsb, need.msb - 1)).matmul(a, b)
        assert low.overflow.any()


def test_any_order_is_the_worst_of_all_orders() -> None:
    for seed in range(4):
        a, b = data(bposit16, seed, False)
        a, b = a[:1], b[:, :1]
        some = [required_accumulator(a[:, list(p)], b[list(p)], bposit16)
                for p in permutations(range(5))]  # fmt: skip
        worst = required_accumulator(a, b, bposit16, order="any")
        assert worst.lsb == some[0].lsb
        assert worst.msb == max(need.msb for need in some)


def test_where_sums_are_small() -> None:
    spec = bposit16
    one, minus = encode([1.0, -1.0], spec)
    need = required_accumulator([one, minus], [one, one], spec)
    assert (need.lsb, need.msb, need.width, need.guard, need.terms) == (0, 1, 2, 0, 2)
    need = required_accumulator([minus], [one], spec)  # -1 is a sign bit alone; a window has two
    assert (need.lsb, need.msb) == (0, 1)
    assert required_accumulator([0, 0], [one, one], spec).width == 2
    many = np.full(100, one, np.int16)
    assert required_accumulator(many, many, spec).guard == 6
    assert "8 bits, 2^0 to 2^7, 6 above" in str(required_accumulator(many, many, spec))


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="NaR"):
        required_accumulator([bposit16.nar], [1], bposit16)
    with pytest.raises(ValueError, match="shapes"):
        required_accumulator([1, 2], [1], bposit16)
    with pytest.raises(ValueError, match="order"):
        required_accumulator([1], [1], bposit16, order="some")  # type: ignore[arg-type]
