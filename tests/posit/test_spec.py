"""PositSpec: what is a format, how it is written, and that every derived number is true of it."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import posit
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, reference, standard

from .. import oracle
from ..formats import EIGHT, SIXTEEN, TINY, every_spec


def value(p: int, spec: PositSpec) -> Fraction:
    found = reference.decode(p, spec)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "good", [(3, 2, 0), (64, 63, 6), (64, 2, 8), (64, 16, 8), (17, 16, 8), (3, 2, 8), (64, 63, 0)]
)
def test_the_ends_are_formats(good: tuple[int, int, int]) -> None:
    assert dataclasses.astuple(PositSpec(*good)) == good


@pytest.mark.parametrize(
    ("bad", "about"),
    [
        ((2, 1, 0), "n = 2"), ((65, 6, 5), "n = 65"), ((-16, 6, 5), "n = -16"),
        ((16, 1, 5), "rs = 1"), ((16, 16, 5), "rs = 16"), ((16, -6, 5), "rs = -6"),
        ((3, 3, 0), "rs = 3"), ((16, 6, -1), "es = -1"), ((16, 6, 9), "es = 9"),
        ((18, 17, 8), "4352"), ((64, 63, 7), "8064"), ((40, 33, 7), "4224"),
    ],
)  # fmt: skip
def test_what_is_no_format(bad: tuple[int, int, int], about: str) -> None:
    with pytest.raises(ValueError, match=about):
        PositSpec(*bad)


@pytest.mark.parametrize("bad", [16.0, "16", None, True, Fraction(16), np.float64(16)])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_parameters_are_integers(bad: Any, place: int) -> None:
    triple: list[Any] = [16, 6, 5]
    triple[place] = bad
    with pytest.raises(TypeError, match="integer"):
        PositSpec(*triple)


def test_a_format_is_a_value() -> None:
    made = PositSpec(np.int64(16), np.uint8(6), 5)  # type: ignore[arg-type]
    assert made == bposit16
    assert type(made.n) is type(made.rs) is int
    assert hash(made) == hash(bposit16)
    assert {made: 1}[bposit16] == 1
    assert made != PositSpec(16, 6, 4)
    assert repr(made) == repr(bposit16)
    for made in (
        copy.copy(bposit16),
        copy.deepcopy(bposit16),
        pickle.loads(pickle.dumps(bposit16)),
    ):
        assert made == bposit16
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.n = 17  # type: ignore[misc]


def test_named_formats() -> None:
    assert bposit8 == PositSpec(8, 3, 2)
    assert [bposit16, bposit32, bposit64] == [PositSpec(n, 6, 5) for n in (16, 32, 64)]
    for n in range(3, 65):
        assert standard(n) == PositSpec(n, n - 1, 2)
        assert standard(n).is_standard
    for n in (2, 65, -1):
        with pytest.raises(ValueError, match="standard"):
            standard(n)
    with pytest.raises(TypeError):
        standard(16.0)  # type: ignore[arg-type]


def test_text_reads_back() -> None:
    for spec in every_spec():
        assert repr(spec) == f"<{spec.n},{spec.rs},{spec.es}>"
        for text in (repr(spec), repr(spec)[1:-1], spec.name, f"n{spec.n}_rs{spec.rs}_es{spec.es}"):
            assert PositSpec.parse(text) == spec
    assert PositSpec.parse(bposit16) is bposit16


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("bposit8", bposit8), ("bposit16", bposit16), (" BPosit64 ", bposit64),
        ("posit16", standard(16)), ("standard(20)", standard(20)), ("standard32", standard(32)),
        (" 16, 6 ,5 ", bposit16), ("< 13 , 6 , 5 >", PositSpec(13, 6, 5)),
        ("n16_rs15_es1", PositSpec(16, 15, 1)),
    ],
)  # fmt: skip
def test_parse(text: str, spec: PositSpec) -> None:
    assert PositSpec.parse(text) == spec


@pytest.mark.parametrize(
    "text",
    ["", "bposit", "bposit17", "16,6", "16,6,5,1", "16;6;5", "<16,6,5", "16,6,5>", "float16",
     "-16,6,5", "16,6,5.0", "1e1,6,5", "posit", "posit999", "standard(", "16,16,5", "posit2",
     "9" * 999 + ",6,5", "n16_rs6", "16,6,9", "16,6,x"],
)  # fmt: skip
def test_what_does_not_parse(text: str) -> None:
    with pytest.raises(ValueError, match=r"format|PositSpec|standard"):
        PositSpec.parse(text)


@pytest.mark.parametrize("thing", [16, None, b"bposit16", (16, 6, 5)])
def test_only_text_parses(thing: Any) -> None:
    with pytest.raises(TypeError, match=r"expected a format.*got (int|NoneType|bytes|tuple)"):
        PositSpec.parse(thing)


def test_dtypes_parse() -> None:
    for spec in (bposit16, PositSpec(13, 6, 5)):
        assert PositSpec.parse(posit.dtype(spec)) == spec
    with pytest.raises(TypeError, match="got float64"):
        PositSpec.parse(np.dtype(float))


def test_an_unknown_name_is_told_what_is_possible() -> None:
    with pytest.raises(ValueError, match=r"'float16'.*n,rs,es.*bposit16.*positN"):
        PositSpec.parse("float16")


def test_derived_numbers_of_bposit16() -> None:
    """docs/format.md, "Symbols" and "Decoding"."""
    s = bposit16
    assert (s.f_min, s.f_max, s.reach, s.max_scale, s.min_scale) == (4, 8, 192, 191, -192)
    assert s.minpos == (1 + Fraction(1, 16)) / 2**192
    assert s.maxpos == (2 - Fraction(1, 16)) * 2**191
    assert s.epsilon == Fraction(1, 256)
    assert (s.nar, s.one, s.maxpos_pattern) == (-0x8000, 0x4000, 0x7FFF)


def test_derived_numbers_of_every_format() -> None:
    """Each against the patterns that it speaks of."""
    for s in every_spec():
        assert s.minpos == value(1, s)
        assert s.maxpos == value(s.maxpos_pattern, s)
        assert value(s.one, s) == 1
        assert s.epsilon == value(s.one + 1, s) - 1
        assert Fraction(2) ** s.max_scale <= s.maxpos < Fraction(2) ** (s.max_scale + 1)
        assert Fraction(2) ** s.min_scale <= s.minpos < Fraction(2) ** (s.min_scale + 1)
        assert Fraction(1, 1 << s.reach) < s.minpos <= 1 <= s.maxpos < 1 << s.reach
        assert s.nar == -(1 << (s.n - 1)) == -s.maxpos_pattern - 1
        assert np.iinfo(s.storage).min <= s.nar
        assert s.storage.itemsize * 8 < 2 * max(s.n, 5)
        assert s.storage == posit.encode(1.0, s).dtype


@pytest.mark.parametrize("s", TINY + EIGHT + SIXTEEN, ids=str)
def test_fraction_bits(s: PositSpec) -> None:
    """f_max is the most fraction bits of any value; f_min is how many remain beside the exponent
    bits in the outermost regimes, so that 2^(es + f_min) patterns have the largest."""
    bits = [(v / Fraction(2) ** floor_log2(v)).denominator.bit_length() - 1
            for v in oracle.values(s) if v and v > 0]  # fmt: skip
    assert max(bits) == s.f_max
    outermost = [v for v in oracle.values(s) if v and v >= 2 ** ((s.rs - 1) << s.es)]
    assert len(outermost) == 2 ** (s.es + s.f_min)


def floor_log2(v: Fraction) -> int:
    k = v.numerator.bit_length() - v.denominator.bit_length()
    return k if v >= Fraction(2) ** k else k - 1


def test_fits_float64() -> None:
    """No format that claims it has a value which is not a normal float64, and the named ones do."""
    tiny, huge = Fraction(np.finfo(np.float64).smallest_normal), Fraction(np.finfo(np.float64).max)
    for s in every_spec():
        finest = value(s.one + 1, s) - 1 if s.f_max else Fraction(1)
        fits = tiny <= s.minpos and s.maxpos <= huge and finest >= Fraction(1, 1 << 52)
        assert fits or not s.fits_float64, s
    assert all(s.fits_float64 for s in (bposit8, bposit16, bposit32, standard(16), standard(32)))
    assert not bposit64.fits_float64
    assert not standard(64).fits_float64
    assert PositSpec(60, 6, 5).fits_float64
    assert not PositSpec(61, 6, 5).fits_float64
