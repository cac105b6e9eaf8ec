"""Flipped bits: how many, which, and what becomes of a sum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bposit.emulate import (
    Aligned,
    Flip,
    FusedChain,
    Mac,
    Quire,
    RoundEachStep,
    SystolicArray,
    Upsets,
    Window,
    flip,
    sensitivity,
)
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, decode, encode

SPECS = [bposit8, bposit16, PositSpec(13, 6, 5), bposit32, bposit64]
ONES = np.full(4, bposit16.one, np.int16)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_words_differ_where_the_masks_say(spec: PositSpec) -> None:
    bits = np.arange(-50, 50, dtype=spec.storage).reshape(10, 10)
    got, mask = flip(bits, spec, rate=0.3, seed=1)
    assert got.dtype == spec.storage
    assert mask.shape == bits.shape
    word = (1 << spec.n) - 1
    for x, y, m in zip(bits.flat, got.flat, mask.flat, strict=True):
        assert (int(x) ^ int(y)) & word == int(m)
        assert spec.nar <= y <= spec.maxpos_pattern
    again, _ = flip(bits, spec, rate=0.3, seed=1)
    assert np.array_equal(again, got)
    assert not np.array_equal(flip(bits, spec, rate=0.3, seed=2)[0], got)


def test_every_bit_is_as_likely() -> None:
    _, mask = flip(np.zeros(40000, np.int16), bposit16, rate=0.1, seed=3)
    shares = [(mask >> np.uint64(k) & np.uint64(1)).mean() for k in range(16)]
    assert 0.09 < min(shares) < max(shares) < 0.11


def test_rates_hold_for_single_words_too() -> None:
    struck = [int(flip([1], bposit16, rate=0.01, seed=s)[1][0]) != 0 for s in range(1000)]
    assert 0.1 < np.mean(struck) < 0.2  # 1 - 0.99^16 = 0.149


def test_only_the_positions_given() -> None:
    _, mask = flip(np.zeros(1000, np.int16), bposit16, rate=0.5, seed=3, positions=[15, 2])
    assert set(np.unique(mask).tolist()) == {0, 1 << 15, 4, (1 << 15) + 4}
    all_of, _ = flip(np.zeros(9, np.int16), bposit16, rate=1, seed=0)
    assert (all_of == -1).all()
    none, mask = flip(np.ones(9, np.int16), bposit16, rate=0, seed=0)
    assert (none == 1).all()
    assert not mask.any()


def test_a_register_s_bit_weighs_what_it_says() -> None:
    for bit, want in ((4, 4 + 1), (5, 4 + 2), (10, 4 - 64), (2, 4.25)):
        mac = Mac(bposit16, accumulator=Window(-4, 6), upset=Flip(3, bit))
        assert decode(mac.dot(ONES, ONES).bits, bposit16) == want
    early = Mac(bposit16, accumulator=Window(-4, 6, "saturate"), upset=Flip(1, 9))
    assert decode(early.dot(ONES, ONES).bits, bposit16) == 32 + 4


def test_a_quire_s_bits_are_its_layout_s() -> None:
    mac = Mac(bposit16, accumulator=Quire(), upset=Flip(0, 392 + 3))  # lsb 2^-392
    assert decode(mac.dot(ONES, ONES).bits, bposit16) == 4 + 8
    assert decode(Mac(bposit16).dot(ONES, ONES).bits, bposit16) == 4


@pytest.mark.parametrize("accumulator", [Aligned(14, 2), FusedChain(), RoundEachStep()], ids=str)
def test_posit_accumulators_flip_pattern_bits(accumulator: Any) -> None:
    last = 1 if isinstance(accumulator, Aligned) else 3
    mac = Mac(bposit16, accumulator=accumulator, upset=Flip(last, 15))
    four = int(encode(4.0, bposit16))
    assert mac.dot(ONES, ONES).bits == four - (1 << 15)
    product = SystolicArray(2, 2, "ws", mac).matmul(ONES[None, :], ONES[:, None])
    assert product.tolist() == [[four - (1 << 15)]]


def test_random_upsets_strike_parts_differently() -> None:
    """A product is computed in parts; what strikes one must not strike all."""
    rng = np.random.default_rng(0)
    row = encode(rng.standard_normal((1, 20)), bposit16)
    a, b = np.repeat(row, 3000, axis=0), encode(rng.standard_normal((20, 30)), bposit16)
    clean = Mac(bposit16, accumulator=RoundEachStep()).matmul(a, b, flags=False).bits
    mac = Mac(bposit16, accumulator=RoundEachStep(), upset=Upsets(1e-4, 5))
    struck = mac.matmul(a, b, flags=False).bits != clean
    assert 0.005 < struck.mean() < 0.1
    assert len(np.unique(struck, axis=0)) > 100
    height = mac._bands(a.shape[:1] + b.shape[1:])[0].stop
    assert 2 * height < 3000
    assert not np.array_equal(struck[:height], struck[height : 2 * height])
    again = mac.matmul(a, b, flags=False).bits != clean
    assert np.array_equal(struck, again)


def test_no_upsets_change_nothing() -> None:
    mac = Mac(bposit16, accumulator=Window(-20, 20), upset=Upsets(0.0, 1))
    assert decode(mac.dot(ONES, ONES).bits, bposit16) == 4


def test_sensitivity_is_by_position() -> None:
    words = {"w": encode([1.0, 2.0, -3.0], bposit16)}
    seen = []

    def score(upset: dict[str, Any]) -> float:
        seen.append(upset["w"])
        return float(np.abs(np.nan_to_num(decode(upset["w"], bposit16))).sum())

    scores = sensitivity(score, words, bposit16, rate=1.0, trials=2)
    assert list(scores) == list(range(16))
    assert all(len(s) == 2 for s in scores.values())
    for k in range(16):
        assert {int(x) & 0xFFFF for x in (seen[2 * k] ^ words["w"])} == {1 << k}
    assert scores[15] == [6, 6] or scores[14] != scores[0]


@pytest.mark.parametrize(("make", "said"), [
    (lambda: flip([1], bposit16, rate=2, seed=0), "rate = 2"), (lambda: Upsets(-1, 0), "rate = -1"),
    (lambda: flip([1], bposit16, rate=0.1, seed=0, positions=[16]), "position 16: a word of 16"),
    (lambda: Mac(bposit16, None, Window(-4, 6), Flip(0, 11)).dot(ONES, ONES), "word of 11 bits"),
])  # fmt: skip
def test_impossible_flips_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
