"""finfo against the definition: neighbours of 1, the ends of the range, and their patterns."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import posit
from posit import Posit, PositSpec, bposit8, bposit16, bposit32, bposit64, reference, standard
from posit.limits import constant, finfo

from ..formats import EIGHT, SIXTEEN, TINY, WIDE, every_spec

NAMED = [bposit8, bposit16, bposit32, bposit64]


def value(pattern: int, spec: PositSpec) -> Fraction:
    found = reference.decode(pattern, spec)
    assert found is not None
    return found


def gaps(spec: PositSpec) -> tuple[Fraction, Fraction]:
    """From 1 to its neighbours above and below."""
    return value(spec.one + 1, spec) - 1, 1 - value(spec.one - 1, spec)


def test_every_format_has_them() -> None:
    for spec in every_spec():
        found = finfo(spec)
        above, below = gaps(spec)
        assert (found.bits, found.spec, found.dtype) == (spec.n, spec, posit.dtype(spec))
        assert found.eps == Posit(above, spec)
        assert found.epsneg == Posit(below, spec)
        assert Fraction(2) ** found.machep <= above < Fraction(2) ** (found.machep + 1)
        assert Fraction(2) ** found.negep <= below < Fraction(2) ** (found.negep + 1)
        least, most = found.minpos.as_fraction(), found.maxpos.as_fraction()
        assert (least, most) == (value(1, spec), value(spec.maxpos_pattern, spec))
        assert Fraction(2) ** found.minexp <= least < Fraction(2) ** (found.minexp + 1)
        assert Fraction(2) ** (found.maxexp - 1) <= most < Fraction(2) ** found.maxexp
        assert found.max == found.maxpos == -found.min
        assert found.tiny == found.smallest_normal == found.smallest_subnormal == found.minpos
        assert Fraction(1, 10**found.precision) >= above or found.precision == 0
        assert Fraction(1, 10 ** (found.precision + 1)) < above
        assert found.resolution == Posit(Fraction(1, 10**found.precision), spec)
        assert (found.nmant, found.f_min) == (spec.f_max, spec.f_min)


@pytest.mark.parametrize("spec", [*NAMED, *(standard(n) for n in (8, 16, 32, 64))], ids=str)
def test_named_formats_hold_their_eps(spec: PositSpec) -> None:
    assert (finfo(spec).eps.as_fraction(), finfo(spec).epsneg.as_fraction()) == gaps(spec)
    assert finfo(spec).eps.as_fraction() == spec.epsilon


@pytest.mark.parametrize("spec", [*TINY, *EIGHT, *SIXTEEN, *WIDE], ids=str)
def test_fraction_bits_are_those_of_the_patterns(spec: PositSpec) -> None:
    """Where values are 2^-f apart relative to their power of two, there are f fraction bits."""
    if finfo(spec).f_min > 0:
        low, next_ = value(1, spec), value(2, spec)
        assert next_ - low == Fraction(2) ** (finfo(spec).minexp - finfo(spec).f_min)
    if finfo(spec).nmant > 0:
        assert gaps(spec)[0] == Fraction(1, 1 << finfo(spec).nmant)


@pytest.mark.parametrize(
    "of",
    ["bposit16", "<16,6,5>", bposit16, posit.dtype(bposit16), Posit(1, bposit16),
     np.zeros(3, posit.dtype(bposit16)), np.zeros((), posit.dtype(bposit16))],
    ids=lambda of: type(of).__name__,
)  # fmt: skip
def test_everything_that_says_its_format(of: Any) -> None:
    assert finfo(of) is finfo(bposit16)


@pytest.mark.parametrize("of", [np.float64, np.zeros(3), 1.0, None, np.dtype("i4"), Posit])
def test_what_has_no_format(of: Any) -> None:
    with pytest.raises(TypeError, match="finfo: expected a posit format"):
        finfo(of)
    with pytest.raises(ValueError, match="unknown format"):
        finfo("float16")


def test_names_are_those_of_numpy() -> None:
    theirs = {name for name in dir(np.finfo(np.float32)) if not name.startswith("_")}
    ours = set(dir(finfo(bposit16)))
    # a posit has no exponent of fixed width
    assert theirs - ours <= {"iexp", "nexp", "machar"}


def test_floats_and_posits_of_the_same_precision_agree() -> None:
    """<n, rs, es> with as many fraction bits around 1 as a float: the same numbers in finfo."""
    for float_, spec in ((np.float16, PositSpec(18, 6, 5)), (np.float32, PositSpec(31, 6, 5))):
        ours, theirs = finfo(spec), np.finfo(float_)
        for name in ("eps", "epsneg", "nmant", "machep", "negep", "precision"):
            assert float(getattr(ours, name)) == float(getattr(theirs, name)), name


def test_they_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        finfo(bposit16).bits = 3  # type: ignore[misc]


def test_what_is_printed() -> None:
    assert (
        repr(finfo(bposit32))
        == "finfo(resolution=1e-07, min=-7e+57, max=7e+57, dtype=posit.dtype(32, 6, 5))"
    )
    text = str(finfo(bposit16))
    for part in ("<16,6,5>, 16 bits", "eps        = 0.00391", "8 around 1, 4 at the ends"):
        assert part in text


@pytest.mark.parametrize("spec", [*NAMED, PositSpec(13, 6, 5)], ids=str)
def test_np_finfo_where_numpy_asks_the_dtype(spec: PositSpec) -> None:
    if np.lib.NumpyVersion(np.__version__) < "2.5.1":
        with pytest.raises(ValueError, match="not inexact"):
            np.finfo(posit.dtype(spec))
        return
    theirs, ours = np.finfo(posit.dtype(spec)), finfo(spec)
    for name in ("max", "min", "eps", "tiny", "smallest_subnormal", "epsneg", "nmant", "minexp",
                 "maxexp", "precision", "machep", "negep", "dtype"):  # fmt: skip
        assert getattr(theirs, name) == getattr(ours, name), name


def test_what_the_dtype_answers() -> None:
    """The IDs are those of NumPy's dtype_api.h; what posits do not have is not made up."""
    spec = bposit16
    one, whole = finfo(spec), 1 << 16
    asked = {i: constant(spec, i) for i in (*range(14), *range(whole, whole + 5))}
    assert asked == {
        0: None, 1: 0, 2: spec.one, 3: None, 4: spec.maxpos_pattern, 5: -spec.maxpos_pattern,
        6: None, 7: None, 8: spec.nar, 9: 0x4100, 10: one.eps.bits, 11: 1, 12: 1, 13: None,
        whole: 8, whole + 1: -192, whole + 2: 192, whole + 3: 2, whole + 4: None,
    }  # fmt: skip
