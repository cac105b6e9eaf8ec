"""The error that `bposit show` reports, against its definition."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bposit import numerals
from bposit.show import rounding
from posit import PositSpec, bposit8, bposit16, bposit64, reference, standard

SPECS = st.sampled_from([bposit8, bposit16, bposit64, standard(8), PositSpec(3, 2, 8)])
VALUES = st.one_of(
    st.fractions(),
    st.builds(
        lambda odd, power: Fraction(odd) * Fraction(10) ** power,
        st.integers(-(10**20), 10**20),
        st.integers(-80, 80),
    ),
)


@given(VALUES, SPECS)
def test_error_gap_and_saturation(value: Fraction, spec: PositSpec) -> None:
    given_ = numerals.read(str(value), spec)
    found = rounding(given_, spec)
    nearest = reference.decode(reference.encode(value, spec), spec)
    assert found is not None
    assert nearest is not None
    assert nearest - value == found.error
    assert found.relative == (found.error / abs(value) if value else None)
    assert found.saturated == (abs(value) > spec.maxpos or 0 < abs(value) < spec.minpos)
    if found.gap is None:
        assert abs(value) > spec.maxpos
        assert (found.low, found.high) == (None, None)
        return
    assert found.low is not None
    assert found.high is not None
    low, high = reference.decode(found.low, spec), reference.decode(found.high, spec)
    assert low is not None
    assert high is not None
    assert low <= value <= high
    assert high - low == found.gap
    assert found.high - found.low == int(found.error != 0)
    assert nearest in {low, high}


@pytest.mark.parametrize("text", ["0x3E55", "NaR", "1/0"])
def test_patterns_and_nar_have_no_error(text: str) -> None:
    assert rounding(numerals.read(text, bposit16), bposit16) is None
