"""Casts of the dtype, each way, against exact fractions; and what NumPy may cast on its own."""

from __future__ import annotations

import warnings
from fractions import Fraction
from math import trunc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import posit
from posit import NaR, Posit, PositSpec, bposit8, bposit16, bposit32, bposit64, reference

from ..formats import EDGES, corners
from ..oracle import boundary
from .dtype_arrays import SPECS, fractions, layouts, made, random

Array = npt.NDArray[Any]
specs = pytest.mark.parametrize("spec", SPECS, ids=str)
D8, D16, D32, D64 = (posit.dtype(s) for s in (bposit8, bposit16, bposit32, bposit64))

INTEGERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "l", "L", "q", "Q"]
FLOATS = ["e", "f", "d", "g"]
COMPLEX = ["F", "D", "G"]
FOREIGN = [">i4", ">u8", ">f4", ">f8", ">c16"]
NUMERIC = ["?", *INTEGERS, *FLOATS, *COMPLEX, *FOREIGN]


def the_corners(spec: PositSpec) -> Array:
    return posit.view(np.array(corners(spec), spec.storage), spec)


def rounded(values: list[Fraction | None], spec: PositSpec) -> list[int]:
    return [reference.encode(v, spec) for v in values]


# ---- numbers to posits
def samples(code: str, spec: PositSpec) -> Array:
    """Numbers of a type: its extremes, small ones, and those on and beside boundaries."""
    dtype = np.dtype(code).newbyteorder("=")
    rng = np.random.default_rng([7, spec.n, spec.rs, spec.es])
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        whole = {info.min, info.min + 1, -1, 0, 1, 2, 3, info.max - 1, info.max}
        whole |= {(1 << k) + d for k in range(64) for d in (-1, 0, 1)}
        whole |= set(rng.integers(info.min, info.max, 50, dtype, endpoint=True).tolist())
        return np.array(sorted(w for w in whole if info.min <= w <= info.max), dtype)
    kind = dtype if dtype.kind == "f" else np.zeros(0, dtype).real.dtype
    info_f = np.finfo(kind)
    found = [kind.type(x) for x in (0, -0.0, 1, 0.1, np.inf, -np.inf, np.nan)]
    found += [info_f.max, info_f.min, info_f.tiny, info_f.smallest_subnormal]
    with np.errstate(all="ignore"):
        for k in [*corners(spec, 1)[::3], *rng.integers(1, spec.maxpos_pattern, 30).tolist()]:
            if 0 < k < spec.maxpos_pattern:
                edge = boundary(k, spec)
                zeros = (
                    edge.numerator & -edge.numerator
                ).bit_length() - edge.denominator.bit_length()
                exact = np.ldexp(np.longdouble(int(edge / Fraction(2) ** zeros)), zeros)
                middle = kind.type(exact)
                beside = [np.nextafter(middle, kind.type(to)) for to in (0, np.inf)]
                found += [middle, -middle, *beside, -beside[1]]
    return np.array(found, kind).astype(dtype)


def value(x: Any) -> Fraction | None:
    """The exact value of a NumPy number's real part; None where it is not finite."""
    if isinstance(x, (np.bool_, np.integer)):
        return Fraction(int(x))
    return Fraction(*x.real.as_integer_ratio()) if np.isfinite(x.real) else None


@pytest.mark.parametrize("code", NUMERIC)
@specs
def test_numbers_to_posits(spec: PositSpec, code: str) -> None:
    x = samples(code, spec)
    want = rounded([value(v) for v in x], spec)
    wide = np.repeat(x, 2).astype(code)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
        for a in (x.astype(code), wide[::2], wide[::-2][::-1]):
            assert posit.bits(a.astype(posit.dtype(spec))).tolist() == want
        room = np.zeros(x.size * 3, posit.dtype(spec))
        room[::3] = x.astype(code)
        assert posit.bits(room[::3]).tolist() == want
        assert not posit.bits(room[1::3]).any()


def test_more_numbers_than_a_buffer_holds() -> None:
    for code in ("e", "i2", "u1", "?"):
        x = (np.arange(3000) % 100).astype(code)
        assert np.array_equal(x.astype(D32).astype(float), x.astype(float))


def test_long_doubles_are_not_rounded_twice() -> None:
    """Just above the middle of two posits, by less than a float64 can say."""
    for spec in (bposit16, bposit64):
        one_and_half = boundary(spec.one, spec)
        middle = np.longdouble(one_and_half.numerator) / np.longdouble(one_and_half.denominator)
        above = np.nextafter(middle, np.longdouble(2))
        if above - middle < np.finfo(float).eps / 4:
            found = np.array([middle, above]).astype(posit.dtype(spec))
            assert posit.bits(found).tolist() == [spec.one, spec.one + 1]


@pytest.mark.parametrize("code", COMPLEX)
def test_complex_numbers_keep_their_real_part(code: str) -> None:
    x = np.array([1.5 + 2j, np.nan, -3])
    with pytest.warns(np.exceptions.ComplexWarning, match="discards the imaginary part"):
        found = x.astype(code).astype(D16)
    assert np.array_equal(found, made([1.5, NaR, -3]))
    with pytest.raises(np.exceptions.ComplexWarning):  # an error under pytest
        x.astype(code).astype(D16)


# ---- posits to numbers
def ieee(x: Fraction, dtype: np.dtype[Any]) -> Fraction | None:
    """To nearest, ties to even, in a binary float; None beyond its range."""
    info = np.finfo(dtype)
    if x == 0:
        return x
    scale = abs(x).numerator.bit_length() - x.denominator.bit_length()
    scale -= abs(x) < Fraction(2) ** scale
    unit = Fraction(2) ** (max(scale, int(info.minexp)) - int(info.nmant))
    found = round(x / unit) * unit
    return found if abs(found) < Fraction(2) ** int(info.maxexp) else None


def beside_ties(spec: PositSpec, dtype: np.dtype[Any]) -> Array:
    """Posits on and next to the middles of two floats: where a second rounding would show."""
    nmant = int(np.finfo(dtype).nmant)
    middles = [Fraction(2 * k + 1, 2 << nmant) * 3**i for k in (1 << nmant, 3 << nmant >> 1)
               for i in range(3)]  # fmt: skip
    near = {reference.encode(m, spec) + d for m in middles for d in (-1, 0, 1)}
    found = posit.view([p for p in sorted(near) if p <= spec.maxpos_pattern], spec)
    return np.concatenate([found, -found])


@pytest.mark.parametrize("code", [*FLOATS, *COMPLEX, ">f4", ">f8", ">c16"])
@pytest.mark.parametrize("spec", [*SPECS, *EDGES], ids=str)
def test_posits_to_floats(spec: PositSpec, code: str) -> None:
    a = np.concatenate([the_corners(spec), random(spec, 100), beside_ties(spec, np.dtype(code))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = a.astype(code)
    assert found.dtype == np.dtype(code)
    assert not found.imag.any()
    for x, want in zip(found.real, fractions(a), strict=True):
        if want is None:
            assert np.isnan(x)
        else:
            close = ieee(want, x.dtype)
            assert value(x) == close, float(x)
            assert close is not None or np.sign(x) == (1 if want > 0 else -1)


@pytest.mark.parametrize("code", [*INTEGERS, ">i4", ">u8"])
@specs
def test_posits_to_integers(spec: PositSpec, code: str) -> None:
    """Towards zero; beyond the range the nearest integer, for NaR 0, and both warn."""
    info = np.iinfo(code)
    beside = [info.min, info.max, info.max + 1, info.max // 3, 0.5, -0.99, 1.5, -2.5]
    a = np.concatenate([the_corners(spec), random(spec, 100), made(beside, spec)])
    exact = fractions(a)
    whole = [0 if x is None else trunc(x) for x in exact]
    want = [min(max(w, info.min), info.max) for w in whole]
    good = np.array([x is not None and v == w for x, v, w in zip(exact, want, whole, strict=True)])
    assert not good.all()
    with pytest.warns(RuntimeWarning, match="invalid value encountered in cast"):
        assert a.astype(code).tolist() == want
    for bad in a[~good]:
        with pytest.warns(RuntimeWarning, match="invalid value"):
            made([1, bad], spec).astype(code)
    with np.errstate(invalid="raise"):
        assert a[good].astype(code).tolist() == np.array(want, object)[good].tolist()
        with pytest.raises(FloatingPointError, match="invalid"):
            a.astype(code)


@specs
def test_posits_to_bool(spec: PositSpec) -> None:
    a = the_corners(spec)
    assert a.astype(bool).tolist() == [x != 0 for x in fractions(a)]
    assert made([NaR, 0, -0.0, 1e-300], spec).astype(bool).tolist() == [True, False, False, True]


# ---- between formats
@pytest.mark.parametrize("to", SPECS, ids=str)
@specs
def test_between_formats(spec: PositSpec, to: PositSpec) -> None:
    a = random(spec, (5, 40))
    want = rounded(fractions(a), to)
    for what, x in layouts(a):
        assert posit.bits(x.astype(posit.dtype(to))).reshape(-1).tolist() == want, what


def test_no_copy_where_nothing_changes() -> None:
    a = made([1, 2])
    assert a.astype(posit.dtype(16, 6, 5), copy=False) is a
    assert np.shares_memory(np.asarray(a, type(a.dtype)(bposit16)), a)
    assert not np.shares_memory(a.astype(D16), a)


# ---- text
@specs
def test_text_reads_back(spec: PositSpec) -> None:
    a = np.concatenate([the_corners(spec)[::5], random(spec, 20)])
    want = [str(x) for x in a]
    for code in ("U", "S", "T", "U40", ">U40", "S40", np.dtypes.StringDType(na_object=None)):
        text = a.astype(code)
        assert [t.decode() if isinstance(t, bytes) else t for t in text.tolist()] == want
        for back in (text, text[::-1][::-1].copy()[::1], np.repeat(text, 2)[::2]):
            assert posit.bits(back.astype(a.dtype)).tolist() == posit.bits(a).tolist()
    assert (a.astype("U").dtype, a.astype("S").dtype) == (np.dtype("U32"), np.dtype("S32"))
    assert a.astype("U3").tolist() == [t[:3] for t in want]


def test_what_text_means() -> None:
    text = ["1/3", " 2 ", "NaR", "nan", "-inf", "1e5", "-.5", "1e-999", "9" * 500]
    want = rounded([Fraction(1, 3), Fraction(2), None, None, None, Fraction(10**5),
                    Fraction(-1, 2), Fraction(1, 10**999), Fraction(int("9" * 500))],
                   bposit16)  # fmt: skip
    for code in ("U", "S", "T", "O", ">U600"):
        assert posit.bits(np.array(text).astype(code).astype(D16)).tolist() == want
    gone = np.array(["1", np.nan], np.dtypes.StringDType(na_object=np.nan))
    assert np.array_equal(gone.astype(D16), made([1, NaR]))


@pytest.mark.parametrize(
    ("array", "error", "text"),
    [
        (np.array(["1", "x"]), ValueError, "not a number: 'x'; possible are decimals"),
        (np.array([b"\xff"]), ValueError, "not a number"), (np.array([""]), ValueError, "not a nu"),
        (np.array(["ı"], "T"), ValueError, "not a number: 'ı'"),
        (np.array(["1", None], np.dtypes.StringDType(na_object=None)), ValueError, "missing text"),
        (np.array([1.5, None], object), TypeError, "cannot read None"),
        (np.array([1j], object), TypeError, "take .real first"),
        (np.array([1], "M8[s]"), TypeError, "Cannot cast"),
        (np.array([1], "m8[s]"), TypeError, "Cannot cast"),
        (np.zeros(1, [("a", "i4")]), TypeError, r"choose a field, x\['name'\], or reinterpret"),
        (np.zeros(1, "V2"), TypeError, r"reinterpret the bytes, x.view\(posit.dtype\(...\)\)"),
    ],
    ids=lambda x: str(x.dtype) if isinstance(x, np.ndarray) else None,
)  # fmt: skip
def test_what_cannot_be_cast(array: Array, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        array.astype(D16)


def test_objects_there_and_back() -> None:
    a = random(bposit32, 50)
    objects = a.astype(object)
    assert all(type(x) is Posit for x in objects)
    assert posit.bits(objects.astype(D32)).tolist() == posit.bits(a).tolist()
    many = np.array([1.5, Fraction(1, 3), True, "NaR", 10**400, Posit("0.1", bposit64)], object)
    want = rounded([Fraction(3, 2), Fraction(1, 3), Fraction(1), None, Fraction(10**400),
                    Posit("0.1", bposit64).as_fraction()], bposit16)  # fmt: skip
    assert posit.bits(many.astype(D16)).tolist() == want


# ---- by blocks
@pytest.mark.parametrize("code", ["?", *INTEGERS, "e", "g", ">i4"])
@specs
def test_long_arrays_are_cast_as_their_elements(spec: PositSpec, code: str) -> None:
    """The loops go block by block; long enough for several, and a last one that is short."""
    few = samples(code, spec)
    many = np.resize(few, 1300)
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = np.resize(posit.bits(few.astype(posit.dtype(spec))), 1300)
        for x in (many, np.repeat(many, 2)[::2], many[::-1].copy()[::-1]):
            assert np.array_equal(posit.bits(x.astype(posit.dtype(spec))), want)
        a = posit.view(np.resize(np.array(corners(spec), spec.storage), 1300), spec)
        one_by_one = np.concatenate([a[i : i + 1].astype(code) for i in range(700)])
        for what, x in layouts(a):
            assert np.array_equal(x.astype(code)[:700], one_by_one, equal_nan=code in "eg"), what


def test_one_large_integer_in_a_block() -> None:
    """Float64 would round it once more: 2^60 + 2^52 + 1 lies above a tie of bposit16."""
    large = 2**60 + 2**52 + 1
    for code in ("i8", "u8"):
        x = np.ones(1000, code)
        x[600] = large
        found = x.astype(D16)
        assert found[600].bits == reference.encode(large, bposit16)
        assert found[600].bits == reference.encode(2**60 + 2**52, bposit16) + 1
        assert (found == 1).sum() == 999


def test_copies_that_overlap() -> None:
    for spec in (bposit8, bposit16, bposit32, bposit64):
        p = posit.bits(random(spec, 40))
        for to, source in (
            (slice(3, None), slice(None, -3)),
            (slice(None, -3), slice(3, None)),
            (slice(None, None, -1), slice(None)),
            (slice(1, 21), slice(0, 40, 2)),
        ):
            a, want = posit.view(p.copy(), spec), p.copy()
            a[to] = a[source]
            want[to] = want[source]
            assert np.array_equal(posit.bits(a), want), (spec, to, source)


def test_filled_with_one_number() -> None:
    for spec in SPECS:
        for size in (0, 1, 2, 5, 5000):
            for step in (1, -3):
                a = np.zeros(size * 3, posit.dtype(spec))[::step][:size]
                a[...] = 0.7
                assert (posit.bits(a) == reference.encode(0.7, spec)).all()
