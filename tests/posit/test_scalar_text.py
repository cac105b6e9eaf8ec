"""posit.Posit as text: reading back, templates, and copies."""

from __future__ import annotations

import copy
import pickle
from decimal import Decimal, localcontext

import pytest

from posit import NaR, Posit, PositSpec, bposit16, bposit32, reference, standard

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


TEMPLATES = [">10", "10", "+", "08", "=+12", ".3", ".2f", "e", ".3e", "E", "%", ".1%", "g", ",",
             ",.2f", "z.1f", "*^+15,.2f", "x<9", ".>12", " ", "-", "E>12", "F", ".0f"]  # fmt: skip


@pytest.mark.parametrize("template", TEMPLATES)
def test_format_is_that_of_decimal(template: str) -> None:
    given = template[-1].isalpha() or template[-1] == "%" or ".3" in template  # else shortest
    for text in ("0.1", "-2.5", "1e40", "-3e-50", "0", "1234567"):
        x = Posit(text, bposit32)
        with localcontext(prec=2000, capitals=0):
            value = Decimal(x.as_fraction().numerator) / x.as_fraction().denominator
            assert format(x, template) == format(value if given else Decimal(str(x)), template)
    width = format(Decimal("nan"), template)
    assert format(NOT_REAL, template) == width.replace("NaN", "NaR")


def test_format() -> None:
    x = Posit("0.1", bposit16)
    assert f"{x} {x:>6} {x:.4f} {x!r:>4} {x:s} {x:.9f}" == "0.1    0.1 0.1001  0.1 0.1 0.100097656"
    assert "%s %.2f %d %r" % (x, x, HALF, HALF) == "0.1 0.10 2 2.5"  # noqa: UP031
    assert f"{NOT_REAL} {NOT_REAL:>5} {NOT_REAL:.3e}" == "NaR   NaR NaR"
    for template in ("d", "r", "x", "8.2q", "??"):
        for value in (x, NOT_REAL):
            with pytest.raises(ValueError, match=r"[Ii]nvalid"):
                format(value, template)


# ---- copies
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol: int) -> None:
    for spec in (*SPECS, standard(8)):
        for x in random(spec, 5):
            for got in (pickle.loads(pickle.dumps(x, protocol)), copy.copy(x), copy.deepcopy(x)):
                assert (type(got), got.bits, got.spec) == (Posit, x.bits, spec)
