"""posit.Posit as text: reading back, templates, and copies."""

from __future__ import annotations

import copy
import pickle
from decimal import Decimal, localcontext

import pytest

from posit import NaR, Posit, PositSpec, bposit16, bposit32, bposit64, reference, standard

from ..formats import EDGES, TINY, corners
from .dtype_arrays import SPECS, random

HALF = Posit(2.5, bposit16)
NOT_REAL = Posit(NaR, bposit16)


@pytest.mark.parametrize("spec", [*TINY, *SPECS, *EDGES[:4]], ids=str)
def test_repr_reads_back(spec: PositSpec) -> None:
    """As a literal: a number where that is enough, else text."""
    quoted = 0
    for p in corners(spec)[:: max(1, spec.n // 6)]:
        x = Posit.from_bits(p, spec)
        assert str(x) == reference.to_string(p, spec)
        assert Posit(str(x), spec).bits == p
        assert Posit(eval(repr(x), {"NaR": NaR}), spec).bits == p
        quoted += repr(x) != str(x)
        assert repr(x) in (str(x), repr(str(x)))
    assert quoted == 0 or spec.n > 40 or not spec.fits_float64


TEMPLATES = [
    ".3", ".0", ".1", "#.3", ".2f", "f", "F", ".0f", "#.0f", "e", ".3e", "E", ".0e", "#.0e", "%",
    ".1%", ".0%", "g", "G", "#g", ".3g", "#.3G", ".0g", "n", ".3n", ",.2f", "_.2f", "_g", ",e",
    "z.1f", "z.0e", "+.3f", " .3f", "-.3f", "*^+15,.2f", ",<20_.2f", "_>20,.1f", "x<9.1f",
    ".>12.1f", "=+12.1f", "08.1f", "020,.2f", "0=20_.1f", "015.2e", "<020.1f", "^14g", "E>12.2g",
    "0>12.2f", "+#012.3g", "+z09.2f",
]  # fmt: skip
NUMBERS = [
    "0.1", "-2.5", "1e40", "-3e-50", "0", "1234567", "-1234.5", "0.5", "9.9996", "99999.95", "100",
    "0.00001234", "0.0001", "-0.004", "999999.5",
]  # fmt: skip


@pytest.mark.parametrize("template", TEMPLATES)
def test_format_is_that_of_float(template: str) -> None:
    for text in NUMBERS:
        for spec in (bposit16, bposit32):
            x = Posit(text, spec)
            assert format(x, template) == format(float(x), template), text
    nan = format(float("nan"), template)
    assert format(NOT_REAL, template) == nan.replace("nan", "NaR").replace("NAN", "NaR")


@pytest.mark.parametrize(
    "template", [">10", "10", "+", "08", "=+12", ",", "_", "z", " ", "x<9", "012,"]
)
def test_format_of_the_shortest_decimal(template: str) -> None:
    """Where str of a float is not shorter than that of the posit, they agree."""
    for text in ("0.5", "-2.5", "1e+40", "1234567.5", "-3e-50"):
        x = Posit(text, bposit64)
        assert format(x, template) == format(float(text), template)
    assert format(Posit("0.1", bposit16), ">8") == "     0.1"
    assert (format(Posit(1234567, bposit32), ","), format(Posit(3, bposit16), "#")) == (
        "1,234,567",
        "3.",
    )


@pytest.mark.parametrize("spec", [bposit64, standard(64), PositSpec(40, 16, 8)], ids=str)
def test_digits_beyond_float64_are_right(spec: PositSpec) -> None:
    """By Decimal, of values that no float holds."""
    for p in corners(spec, 2)[:: spec.n // 4]:
        x = Posit.from_bits(p, spec)
        if x.is_nar:
            continue
        with localcontext(prec=6000, capitals=0):
            value = Decimal(x.as_fraction().numerator) / x.as_fraction().denominator
            assert format(x, ".25f") == format(value, ".25f")
            mantissa, exponent = format(value, ".40e").split("e")
            assert format(x, ".40e") == f"{mantissa}e{int(exponent):+03d}"
    assert f"{Posit('1e1000', PositSpec(40, 16, 8)):.1e}" == "1.0e+1000"


def test_format() -> None:
    x = Posit("0.1", bposit16)
    assert f"{x} {x:>6} {x:.4f} {x!r:>4} {x:s} {x:.9f}" == "0.1    0.1 0.1001  0.1 0.1 0.100097656"
    assert "%s %.2f %d %r" % (x, x, HALF, HALF) == "0.1 0.10 2 2.5"  # noqa: UP031
    assert f"{NOT_REAL} {NOT_REAL:>5} {NOT_REAL:.3e}" == "NaR   NaR NaR"
    for template in ("d", "r", "x", "8.2q", "??"):
        for value in (x, NOT_REAL):
            with pytest.raises(ValueError, match=r"[Ii]nvalid|Unknown format code .* 'Posit'"):
                format(value, template)


# ---- copies
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol: int) -> None:
    for spec in (*SPECS, standard(8)):
        for x in random(spec, 5):
            for got in (pickle.loads(pickle.dumps(x, protocol)), copy.copy(x), copy.deepcopy(x)):
                assert (type(got), got.bits, got.spec) == (Posit, x.bits, spec)
