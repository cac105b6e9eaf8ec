"""Numbers as text: what is read is exact, what is printed says whether it is."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bposit import numerals
from bposit.errors import BadInput
from posit import PositSpec, bposit8, bposit16, reference, standard

SPECS = st.sampled_from([bposit8, bposit16, standard(16), PositSpec(5, 4, 2)])
DYADIC = st.builds(
    lambda odd, power: odd * Fraction(2) ** power,
    st.integers(-(2**70), 2**70),
    st.integers(-300, 300),
)


@given(st.fractions(), SPECS)
def test_reads_fractions_exactly(value: Fraction, spec: PositSpec) -> None:
    found = numerals.read(f" {value} ", spec)
    assert found.value == value
    assert found.pattern == reference.encode(value, spec)
    assert not found.is_pattern


@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**300), max_value=10**300),
    SPECS,
)
def test_reads_decimals_exactly(value: Decimal, spec: PositSpec) -> None:
    found = numerals.read(str(value), spec)
    assert found.value == Fraction(value)
    assert found.pattern == reference.encode(Fraction(value), spec)


@given(st.data(), SPECS)
def test_patterns_come_back_from_both_notations(data: st.DataObject, spec: PositSpec) -> None:
    pattern = data.draw(st.integers(spec.nar, spec.maxpos_pattern))
    for write in (numerals.hexadecimal, numerals.binary):
        text = write(pattern, spec)
        for shown in (text, text.lower(), text.upper()):
            found = numerals.read(shown, spec)
            assert found.pattern == pattern
            assert found.is_pattern


@pytest.mark.parametrize("text", ["NaR", "nan", "-nan", "inf", "-inf", "Infinity", "1/0", "-3/0"])
def test_what_is_no_real_number_is_nar(text: str) -> None:
    found = numerals.read(text, bposit16)
    assert found.value is None
    assert found.pattern == bposit16.nar


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "1..2", "--1", "1/2/3", "1e", "0x", "0xG", "0x1_", "0x__1", "0b2", "0o7", "1_0",
        "-0x1", "0x10000", "0b10000000000000000", "1e10000", "1e-10000", "1e99999999999999999",
        "9" * 5000, "١", "1 2",
    ],
)  # fmt: skip
def test_refuses_what_is_neither_number_nor_pattern(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        numerals.read(text, bposit16)
    assert len(str(caught.value)) < 250


@given(DYADIC)
def test_dyadic_is_exact_with_an_odd_factor(value: Fraction) -> None:
    text = numerals.dyadic(value)
    factor, _, power = text.partition("2^") if "2^" in text else (text, "", "0")
    odd = {"": 1, "-": -1}.get(factor) or int(factor.removesuffix("·"))
    assert odd * Fraction(2) ** int(power) == value
    assert odd % 2 or power == "0"


@given(st.one_of(DYADIC, st.fractions()))
def test_decimal_is_exact_or_says_otherwise(value: Fraction) -> None:
    text = numerals.decimal(value)
    shown = Fraction(text.removeprefix("≈ "))
    if text.startswith("≈"):
        assert shown != value
        assert abs(shown - value) <= abs(value) * Fraction(1, 10**19)
    else:
        assert shown == value


def test_values_beyond_pythons_limit_on_long_integers() -> None:
    huge = Fraction(3) ** 12000 / 2**16000
    assert numerals.dyadic(huge).endswith("·2^-16000")
    assert len(numerals.fraction(huge)) > 2 * 4300
    assert numerals.decimal(huge).startswith("≈ ")
