"""to_string and from_string: shortest decimals that read back, and any decimal in."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import posit
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, reference, standard

from .. import oracle
from ..conftest import Slice
from ..formats import EIGHT, TINY, WIDE, corners, every_spec, stratified

DECIMAL = re.compile(r"-?(\d+(?:\.\d+)?)(?:e([+-]\d{2,}))?")


def assert_shortest(p: int, spec: PositSpec) -> None:
    """It reads back; no decimal of fewer digits does; none of as many is nearer and does."""
    text = reference.to_string(p, spec)
    value = reference.decode(p, spec)
    if value is None or value == 0:
        assert text == ("0" if value == 0 else "NaR")
        return
    assert reference.from_string(text, spec) == p
    match = DECIMAL.fullmatch(text)
    assert match, text
    digits = len(match[1].replace(".", "").strip("0"))
    shown = abs(Fraction(text))
    size = abs(value)
    power = len(str(size.numerator)) - len(str(size.denominator)) + 1  # 10^power > size
    power -= size < Fraction(10) ** (power - 1)
    for length in range(1, digits + 1):
        unit = Fraction(10) ** (power - length)
        below = size // unit
        # A shorter one, if there is one, is next to the value: what lies farther away reads back
        # only where these do.
        for candidate in (below * unit, (below + 1) * unit):
            reads = candidate > 0 and reference.encode(candidate, spec) == abs(p)
            if length < digits:
                assert not reads, f"{text} for {p} at {spec}, where {candidate} would do"
            elif reads:
                assert abs(shown - size) <= abs(candidate - size)


@pytest.mark.parametrize("spec", TINY + EIGHT, ids=str)
def test_every_pattern_of_narrow_formats(spec: PositSpec) -> None:
    for p in oracle.all_patterns(spec).tolist():
        assert_shortest(p, spec)


@pytest.mark.parametrize("spec", [bposit16, standard(16), *WIDE], ids=str)
def test_stratified_patterns(spec: PositSpec) -> None:
    for p in stratified(spec, 120, 4).tolist()[::3]:
        assert_shortest(p, spec)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [bposit16, standard(16)], ids=str)
def test_every_pattern(spec: PositSpec, part: Slice) -> None:
    for p in part.take(range(spec.nar, spec.maxpos_pattern + 1)):
        assert_shortest(p, spec)


@given(data=st.data())
def test_any_pattern(data: st.DataObject) -> None:
    spec = data.draw(st.sampled_from(every_spec()))
    pattern = st.integers(spec.nar, spec.maxpos_pattern) | st.sampled_from(corners(spec))
    assert_shortest(data.draw(pattern), spec)


@pytest.mark.parametrize(
    ("p", "spec", "text"),
    [
        (0x4000, bposit16, "1"), (-0x4000, bposit16, "-1"), (0x3E55, bposit16, "0.333"),
        (0x7C4D, bposit16, "1e+40"), (0, bposit8, "0"), (-128, bposit8, "NaR"),
        (0x3E555555, bposit32, "0.33333333"), (0x4900, standard(16), "2.25"),
    ],
)  # fmt: skip
def test_how_it_looks(p: int, spec: PositSpec, text: str) -> None:
    assert reference.from_string(text, spec) == p
    assert reference.to_string(p, spec) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-1.5e3", -1500), ("+2.5", Fraction(5, 2)), (".5", Fraction(1, 2)), ("5.", 5),
        ("1/3", Fraction(1, 3)), ("-7/2", Fraction(-7, 2)), ("  3 ", 3), ("1E-2", Fraction(1, 100)),
        ("0", 0), ("-0.0", 0), ("0e999999999999", 0), ("0x", None), ("007", 7), ("1e+2", 100),
        ("1" + "0" * 300, 10**300), ("0." + "0" * 300 + "1", Fraction(1, 10**301)),
    ],
)  # fmt: skip
def test_reading(text: str, value: Fraction | int | None) -> None:
    for spec in (bposit8, bposit16, bposit64, standard(32), PositSpec(17, 16, 8)):
        if value is None:
            with pytest.raises(ValueError, match="not a number"):
                posit.from_string(text, spec)
        else:
            assert posit.from_string(text, spec) == reference.encode(value, spec)


@pytest.mark.parametrize(
    "text", ["NaR", "nar", "NaN", "-nan", "inf", "-Infinity", "+infinity", " +INF ", "1/0", "0/0"]
)
def test_reading_what_is_not_real(text: str) -> None:
    for spec in (bposit8, bposit64):
        assert posit.from_string(text, spec) == spec.nar


@pytest.mark.parametrize("sign", ["", "-"])
def test_reading_beside_boundaries(sign: str) -> None:
    """Decimals on a boundary and one digit far behind it: read exactly, rounded once."""
    factor = -1 if sign else 1
    for spec in (bposit16, bposit32, bposit64, standard(16), PositSpec(24, 3, 0)):
        for body in (spec.one, spec.one + 1, spec.one - 2, spec.one // 3 * 4 | 1, spec.one + 77):
            edge = oracle.boundary(body, spec)
            assert edge.denominator & (edge.denominator - 1) == 0
            places = edge.denominator.bit_length() - 1  # decimals that a dyadic fraction needs
            whole = int(edge * 10**places)
            assert Fraction(whole, 10**places) == edge
            text = f"{sign}{whole}e-{places}"
            assert reference.from_string(text, spec) == factor * (body + body % 2)
            more = f"{sign}{whole}{'0' * 400}1e-{places + 401}"
            assert reference.from_string(more, spec) == factor * (body + 1)
            less = f"{sign}{whole * 10**400 - 1}e-{places + 400}"
            assert reference.from_string(less, spec) == factor * body
            fraction = f"{sign}{edge.numerator}/{edge.denominator}"
            assert reference.from_string(fraction, spec) == factor * (body + body % 2)


def test_reading_saturates_quickly() -> None:
    """Exponents of any size cost nothing; text of any size is refused, or read in bounded time."""
    for spec in (bposit8, bposit64, PositSpec(64, 16, 8)):
        top = spec.maxpos_pattern
        for power in ("999999999", "9" * 60):
            assert posit.from_string(f"1e{power}", spec) == top
            assert posit.from_string(f"-3.7e+{power}", spec) == -top
            assert posit.from_string(f"1e-{power}", spec) == 1
            assert posit.from_string(f"-0.001e-{power}", spec) == -1
        assert posit.from_string("1" * 3000, spec) == top
        assert posit.from_string(f"1e-3000{'0' * 20}", spec) == 1
        with pytest.raises(ValueError, match="100000 characters"):
            posit.from_string("9" * 100_000, spec)


@pytest.mark.parametrize(
    "text",
    ["", " ", ".", "e5", "1e", "1e+", "--1", "1.2.3", "1/2/3", "1/-2", "/2", "1/", "0x10", "1_000",
     "1,5", "one", "1 2", "∞", "١", "²", "nanny", "NaR?", "1e5.5", "1.5/2", "+-1", "\x00", "1\n2"],
)  # fmt: skip
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        posit.from_string(text, bposit16)


def test_arrays_of_text() -> None:
    bits = np.array([[0x4000, 0x3E55, 0], [-0x8000, 1, -1]], np.int16)
    texts = posit.to_string(bits, bposit16)
    assert texts.shape == bits.shape
    assert texts.dtype == object
    assert texts[0, 0] == "1"
    back = posit.from_string(texts, bposit16)
    assert back.dtype == np.int16
    assert (back == bits).all()
    assert (posit.from_string(texts.astype(str), bposit16) == bits).all()
    assert posit.to_string(bits[:, ::-2], bposit16).tolist() == texts[:, ::-2].tolist()
    assert posit.to_string(np.zeros((0, 2), np.int16), bposit16).shape == (0, 2)
    assert posit.from_string(np.array([], str), bposit16).shape == (0,)
    assert posit.to_string(np.int16(0x4000), bposit16) == "1"
    assert isinstance(posit.to_string(0x4000, bposit16), str)
    assert isinstance(posit.from_string("1", bposit16), np.int16)


@pytest.mark.parametrize("thing", [1.5, b"1", [1, 2], np.zeros(2)])
def test_only_text_is_read(thing: object) -> None:
    with pytest.raises(TypeError):
        posit.from_string(thing, bposit16)
