"""Every size of the accumulator is what the format demands: docs/format.md, "The quire"."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import pytest

from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, reference, standard
from quire import Layout, Quire

from .. import oracle
from ..formats import EIGHT, TINY, every_spec

PAPER = [PositSpec(n, 6, 5) for n in (13, 14, 16, 20, 24, 32, 48, 64)]


def last_bit(value: Fraction) -> int:
    """log2 of the weight of the last 1 of a dyadic fraction."""
    if value.denominator > 1:
        return 1 - value.denominator.bit_length()
    return (value.numerator & -value.numerator).bit_length() - 1


@pytest.mark.parametrize(
    ("spec", "lsb", "top", "width"),
    [(bposit16, -392, 384, 808), (bposit32, -424, 384, 840), (bposit64, -488, 384, 904)],
    ids=str,
)
def test_the_table_of_the_format(spec: PositSpec, lsb: int, top: int, width: int) -> None:
    layout = Layout.exact(spec)
    assert (layout.lsb, layout.top, layout.width) == (lsb, top, width)
    assert width == 800 + 2 * (spec.n - 12)
    assert layout.width <= 64 * layout.limbs <= 1024


@pytest.mark.parametrize("spec", TINY + EIGHT, ids=str)
def test_every_product_fits_and_none_is_spared(spec: PositSpec) -> None:
    layout = Layout.exact(spec)
    found = [v for v in oracle.values(spec) if v]
    products = {abs(x * y) for x in found for y in found}
    spare = 2 if spec.f_min == 0 else 0  # minpos is then 2·2^-reach: its last bit is one higher
    assert min(map(last_bit, products)) == layout.lsb + spare
    assert all(p <= Fraction(2) ** layout.top for p in products)
    assert max(products) >= Fraction(2) ** (layout.top - 2)


def test_every_format_has_room_at_both_ends() -> None:
    for spec in every_spec():
        layout = Layout.exact(spec)
        assert layout.lsb == 2 * (last_bit(spec.minpos) - (spec.f_min == 0))
        largest = reference.decode(spec.maxpos_pattern, spec)
        assert largest is not None
        assert largest**2 * layout.capacity < Fraction(2) ** (layout.lsb + layout.width - 1)
        assert layout.span == layout.top - layout.lsb
        assert layout.width == 1 + 31 + layout.span
        assert 64 * (layout.limbs - 1) <= layout.width < 64 * layout.limbs
        assert layout.is_exact


@pytest.mark.parametrize("n", [3, 4, 8, 16, 24, 32, 48, 64])
def test_the_posit_standards_quire(n: int) -> None:
    """16n bits, the lowest of weight 2^(16-8n)."""
    layout = Layout.standard(standard(n))
    assert layout == Layout.exact(standard(n))
    assert (layout.width, layout.lsb) == (16 * n, 16 - 8 * n)


@pytest.mark.parametrize("spec", PAPER, ids=str)
def test_the_papers_800_bits(spec: PositSpec) -> None:
    layout = Layout.paper800(spec)
    assert (layout.lsb, layout.top, layout.width) == (-384, 384, 800)
    assert not layout.is_exact
    assert "drops" in str(layout)
    assert "drops" not in str(Layout.exact(spec))


@pytest.mark.parametrize(("spec", "least"), [(bposit16, -188), (bposit32, -172), (bposit64, -140)])
def test_where_800_bits_are_exact(spec: PositSpec, least: int) -> None:
    """From 2^least up; the next value below it times itself already loses a bit."""
    p = reference.encode(Fraction(2) ** least, spec)
    for a in (p, p + 1, p + 2, p + 3):
        assert not Quire(spec, "paper800").fma(a, a).fma(a, -p).inexact
    assert Quire(spec, "paper800").fma(p - 1, p - 1).inexact


@pytest.mark.parametrize("spec", [PositSpec(12, 6, 5), bposit8, standard(16), PositSpec(16, 6, 4)])
def test_paper800_is_only_for_its_formats(spec: PositSpec) -> None:
    with pytest.raises(ValueError, match="paper800"):
        Layout.paper800(spec)
    with pytest.raises(ValueError, match="paper800"):
        Quire(spec, "paper800")


@pytest.mark.parametrize("spec", [bposit16, PositSpec(16, 15, 1)])
def test_standard_is_only_for_its_formats(spec: PositSpec) -> None:
    with pytest.raises(ValueError, match="standard"):
        Layout.standard(spec)


def test_a_layout_is_a_value() -> None:
    layout = Layout.exact(bposit16)
    assert layout == Layout.exact(PositSpec(16, 6, 5))
    assert hash(layout) == hash(Layout.exact(PositSpec(16, 6, 5)))
    assert layout != Layout.exact(bposit32)
    with pytest.raises(dataclasses.FrozenInstanceError):
        layout.lsb = 0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("layout", "error"),
    [("exakt", ValueError), (800, TypeError), (Layout.exact(bposit32), ValueError)],
)
def test_wrong_layouts(layout: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        Quire(bposit16, layout)  # type: ignore[arg-type]
