"""The fields are those that docs/format.md defines: read off the bits, they give back the value."""

from fractions import Fraction

import pytest

from bposit.fields import Fields, split
from posit import PositSpec, reference

from ..formats import EIGHT, SIXTEEN, TINY, WIDE, corners


def check(pattern: int, spec: PositSpec) -> None:
    found = split(pattern, spec)
    assert found is not None
    bits = found.sign + found.regime + found.exponent + found.fraction
    assert bits == f"{int(pattern < 0)}{abs(pattern):0{spec.n - 1}b}"
    first = found.regime[0]
    run = len(found.regime) - len(found.regime.lstrip(first))
    assert found.run == run
    assert found.r == (run - 1 if first == "1" else -run)
    assert found.bounded == (run == spec.rs)
    assert len(found.regime) == (run if found.bounded else run + 1)
    assert len(found.exponent) + found.cut == spec.es
    assert not (found.cut and found.fraction)
    assert found.e == int((found.exponent + "0" * found.cut) or "0", 2)
    assert found.f == Fraction(int(found.fraction or "0", 2), 1 << len(found.fraction))
    size = (1 + found.f) * Fraction(2) ** (found.r * 2**spec.es + found.e)
    assert (-size if found.sign == "1" else size) == reference.decode(pattern, spec)


@pytest.mark.parametrize("spec", [*TINY, *EIGHT, PositSpec(12, 6, 5)], ids=str)
def test_every_narrow_pattern(spec: PositSpec) -> None:
    for pattern in range(spec.nar + 1, spec.maxpos_pattern + 1):
        if pattern:
            check(pattern, spec)


@pytest.mark.parametrize("spec", [*SIXTEEN, *WIDE], ids=str)
def test_corners_of_wide_formats(spec: PositSpec) -> None:
    for pattern in corners(spec):
        if pattern not in {0, spec.nar}:
            check(pattern, spec)


def test_zero_and_nar_have_no_fields() -> None:
    for spec in (*TINY, *EIGHT, *WIDE):
        assert split(0, spec) is None
        assert split(spec.nar, spec) is None


def test_one_third_as_the_documentation_draws_it() -> None:
    assert split(0x3E55, PositSpec(16, 6, 5)) == Fields(
        sign="0", regime="01", exponent="11110", fraction="01010101",
        r=-1, e=30, f=Fraction(85, 256), cut=0,
    )  # fmt: skip
