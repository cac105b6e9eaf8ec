"""encode and decode: floats of every width, integers, exact numbers, and what is refused."""

from __future__ import annotations

import warnings
from decimal import Decimal
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import posit
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, reference, standard

from .. import checks, oracle
from ..backends import BACKENDS, FAST, VALUES, Backend
from ..conftest import Slice
from ..formats import EIGHT, SIXTEEN, TINY, WIDE, corners, every_spec, mixed

fast = pytest.mark.parametrize("backend", FAST, ids=str)
encoders = pytest.mark.parametrize("backend", [*FAST, VALUES], ids=str)
every = pytest.mark.parametrize("spec", TINY + EIGHT + SIXTEEN + WIDE, ids=str)
wide = pytest.mark.parametrize("spec", WIDE, ids=str)


@fast
@pytest.mark.parametrize("spec", TINY + EIGHT + SIXTEEN, ids=str)
def test_decode_of_every_pattern(backend: Backend, spec: PositSpec) -> None:
    checks.decoding(backend, spec, oracle.all_patterns(spec))


@fast
@wide
def test_decode_at_the_corners(backend: Backend, spec: PositSpec) -> None:
    p = mixed(spec, 1500, np.random.default_rng(1))
    checks.decoding(backend, spec, np.concatenate([p, np.array(corners(spec, 4), spec.storage)]))


@encoders
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("spec", [s for s in EIGHT + SIXTEEN if s.n != 13], ids=str)
def test_encode_at_every_boundary(backend: Backend, spec: PositSpec, dtype: type) -> None:
    checks.boundaries(backend, spec, dtype)


@pytest.mark.parametrize("spec", TINY + EIGHT, ids=str)
def test_encode_at_every_boundary_by_definition(spec: PositSpec) -> None:
    checks.boundaries(BACKENDS[1], spec, np.float64)


@encoders
@wide
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_encode_near_boundaries(backend: Backend, spec: PositSpec, dtype: Any) -> None:
    """Floats beside boundaries near 1, at every regime's edge, and anywhere."""
    bodies = [min(max(1, abs(p)), spec.maxpos_pattern - 1) for p in corners(spec)]
    rng = np.random.default_rng(2)
    bodies += rng.integers(1, spec.maxpos_pattern - 1, 300).tolist()
    with np.errstate(over="ignore", under="ignore"):
        edge = np.array([checks.to_float(oracle.boundary(b, spec)) for b in bodies]).astype(dtype)
        x = np.concatenate([edge, np.nextafter(edge, dtype(0)), np.nextafter(edge, dtype(np.inf))])
    x = np.concatenate([x, -x])
    want = np.array([reference.encode(float(v), spec) for v in x], spec.storage)
    checks.same(backend.encode(x, spec), want, spec, "encode", x)


def specials(dtype: Any) -> npt.NDArray[Any]:
    """Zeros, subnormals, ends of the range, infinities and NaNs of every kind."""
    info = np.finfo(dtype)
    tiny = [0.0, info.smallest_subnormal, 3 * info.smallest_subnormal, info.smallest_normal]
    tiny += [info.smallest_normal - info.smallest_subnormal]
    x = np.array([*tiny, info.max, 1, 1 + info.eps, 1 - info.epsneg, np.inf, np.nan], dtype)
    word = np.dtype(f"u{info.bits // 8}")
    inf = int(np.array(np.inf, dtype).view(word))
    nans = np.array([inf + 1, inf + inf // 1000, 2 ** (info.bits - 1) - 1], word).view(dtype)
    both = np.concatenate([x, nans])
    with np.errstate(invalid="ignore"):
        return np.concatenate([both, -both])


@encoders
@every
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_special_floats(backend: Backend, spec: PositSpec, dtype: type) -> None:
    x = specials(dtype)
    want = np.array([reference.encode(float(v), spec) for v in x], spec.storage)
    checks.same(backend.encode(x, spec), want, spec, "encode", x)
    assert (backend.encode(x[~np.isfinite(x)], spec) == spec.nar).all()
    assert (backend.encode(x[x == 0], spec) == 0).all()
    assert (np.sign(backend.encode(x[np.isfinite(x)], spec)) == np.sign(x[np.isfinite(x)])).all()


@every
def test_subnormal_float64(spec: PositSpec) -> None:
    """All of their lengths; formats of reach above 1022 tell them apart."""
    x = np.array([k << s for s in range(52) for k in (1, 3, 5, 1 | 1 << (52 - s) >> 1)], np.uint64)
    x = x[x < 1 << 52].view(np.float64)
    want = np.array([reference.encode(v, spec) for v in x.tolist()], spec.storage)
    checks.same(posit.encode(x, spec), want, spec, "encode", x)
    assert (posit.encode(-x, spec) == -want).all()


@pytest.mark.parametrize("spec", [bposit16, PositSpec(13, 6, 5), PositSpec(16, 12, 4)], ids=str)
def test_subnormal_float32(spec: PositSpec) -> None:
    x = np.arange(1, 1 << 23, 4099, dtype=np.uint32).view(np.float32)
    want = np.array([reference.encode(v, spec) for v in x.tolist()], spec.storage)
    checks.same(posit.encode(x, spec), want, spec, "encode", x)


@encoders
def test_every_float16(backend: Backend) -> None:
    x = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    for spec in (bposit8, bposit16, standard(16)):
        want = np.array([reference.encode(v, spec) for v in x.tolist()], spec.storage)
        checks.same(backend.encode(x, spec), want, spec, "encode", x)


@encoders
@pytest.mark.slow
@pytest.mark.parametrize("spec", [*EIGHT, bposit16, standard(16), PositSpec(13, 6, 5)], ids=str)
def test_every_float32(backend: Backend, spec: PositSpec, part: Slice) -> None:
    """2^32 floats; positive ones ascend with their bits, so the boundaries cut them into runs."""
    checks.every_float32(backend, spec, part.range(1 << 11), 1 << 20)


@pytest.mark.parametrize("dtype", np.typecodes["AllInteger"])
@every
def test_integers(spec: PositSpec, dtype: str) -> None:
    info = np.iinfo(dtype)
    rng = np.random.default_rng(3)
    found = {info.min, info.min + 1, info.max, info.max - 1, 0, 1}
    for k in range(info.bits):
        found |= {int(rng.integers(1 << k, 2 << k, dtype=np.uint64)) for _ in range(4)}
        found |= {(1 << k) + d for d in (-1, 0, 1)}
        # on boundaries, and one beside them: an odd significand one bit too long
        found |= {((2 * int(rng.integers(1 << 40)) + 1) << k >> 30) + d for d in (-1, 0, 1)}
    found |= {-v for v in found}
    x = np.array(sorted(v for v in found if info.min <= v <= info.max), dtype)
    want = np.array([reference.encode(v, spec) for v in x.tolist()], spec.storage)
    checks.same(posit.encode(x, spec), want, spec, "encode", x)


@pytest.mark.parametrize("spec", [bposit16, bposit64, standard(32)], ids=str)
def test_exact_python_numbers(spec: PositSpec) -> None:
    rng = np.random.default_rng(4)
    one = oracle.boundary(spec.one + 7, spec)
    tiny = Fraction(1, 10**400)
    found: list[Any] = [
        0, -5, 10**400, -(10**25), Fraction(1, 3), one, one + tiny, one - tiny, -one,
        Decimal("0.1"), Decimal("-1e999"), Decimal("1e-999"), float("nan"), float("-inf"),
        Decimal("NaN"), Decimal("-Infinity"), 0.1, np.float32(0.1), np.float64(1e300),
        np.int8(-3), 2**64,
    ]  # fmt: skip
    found += [
        Fraction(int(rng.integers(1, 1 << 60)), int(rng.integers(1, 1 << 60))) for _ in range(50)
    ]
    want = [
        spec.nar
        if (isinstance(v, (float, Decimal)) and not Decimal(v).is_finite())
        else reference.encode(Fraction(v.item() if isinstance(v, np.generic) else v), spec)
        for v in found
    ]
    array = np.empty(len(found), object)
    array[:] = found
    checks.same(posit.encode(array, spec), np.array(want, spec.storage), spec, "encode", array)
    for v, p in zip(found, want, strict=True):
        got = posit.encode(v, spec)
        assert isinstance(got, spec.storage.type)
        assert got == p
        if not isinstance(v, np.generic):
            assert posit.from_fraction(v, spec) == p
    assert posit.from_fraction(None, spec) == spec.nar


def test_values_of_other_numbers() -> None:
    """round_to takes what encode takes, and is decode(encode(x))."""
    for x in (
        [1, 2.5, Fraction(1, 3), 10**40], 2**70 + 1, np.arange(-5, 600), np.float16(0.1), 3,
        np.linspace(-3, 3, 24).reshape(2, 3, 4)[:, ::2, ::-1], np.zeros((0, 3)), np.longdouble(0.1),
    ):  # fmt: skip
        want = posit.decode(posit.encode(x, bposit16), bposit16)
        found = posit.round_to(x, bposit16)
        assert type(found) is type(want)
        assert np.array_equal(found, want)
    x = np.array([0.1, np.nan, -0.0, np.inf])
    assert posit.round_to(x, bposit16, out=x) is x
    assert x.tobytes() == np.array([0.10009765625, np.nan, 0.0, np.nan]).tobytes()
    with pytest.raises(TypeError, match="does not fit float64: use encode"):
        posit.round_to(x, bposit64)
    with pytest.raises(TypeError, match="out has dtype float32"):
        posit.round_to(x, bposit16, out=np.zeros(4, np.float32))  # type: ignore[arg-type]


def test_lists_of_python_numbers() -> None:
    assert posit.encode([1, 2.5, -3], bposit16).tolist() == posit.encode(
        np.array([1, 2.5, -3]), bposit16
    ).tolist()  # fmt: skip
    assert posit.encode(np.array([[1, Fraction(1, 3)]], object), bposit16).tolist() == [
        [0x4000, 0x3E55]
    ]
    assert posit.encode([], bposit16).shape == (0,)
    assert posit.encode([2**70, 1], bposit32).tolist() == [
        reference.encode(2**70, bposit32), bposit32.one,
    ]  # fmt: skip
    assert posit.encode([2**63, 1], bposit64).tolist() == [
        reference.encode(2**63, bposit64), bposit64.one,
    ]  # fmt: skip


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="no wider float here")
@pytest.mark.parametrize("spec", [bposit16, bposit64, standard(64)], ids=str)
def test_extended_precision_is_not_rounded_twice(spec: PositSpec) -> None:
    one = np.longdouble(1)
    for k in range(1, 64):
        x = np.array(
            [one + np.ldexp(one, -k), one + np.ldexp(one, -k) + np.ldexp(one, -63), np.inf]
        )
        exact = [Fraction(*v.as_integer_ratio()) for v in x[:2]]
        want = [reference.encode(v, spec) for v in exact] + [spec.nar]
        assert posit.encode(x, spec).tolist() == want


def test_bfloat16_and_small_floats() -> None:
    for dtype in (ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2):
        bits = np.arange(1 << min(16, 8 * np.dtype(dtype).itemsize), dtype=np.uint32)
        x = bits.astype(f"u{np.dtype(dtype).itemsize}").view(dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            wide = x.astype(np.float64)
        checks.same(
            posit.encode(x, bposit16), posit.encode(wide, bposit16), bposit16, "encode", bits
        )


def test_byte_order() -> None:
    x = np.array([1.5, -2e30, 0.1])
    for dtype in (">f4", ">f8", ">f2", "<f8"):
        with np.errstate(over="ignore"):
            y = x.astype(dtype)
        assert (posit.encode(y, bposit16) == posit.encode(y.astype(np.float64), bposit16)).all()
    assert (posit.encode(np.array([1, -300], ">i4"), bposit16)
            == posit.encode([1, -300], bposit16)).all()  # fmt: skip


@pytest.mark.parametrize("spec", [bposit8, bposit16, bposit32, standard(16), standard(32)], ids=str)
def test_there_and_back(spec: PositSpec) -> None:
    p = mixed(spec, 4000, np.random.default_rng(5))
    assert (posit.encode(posit.decode(p, spec), spec) == p).all()
    for bit in p[:200]:
        assert posit.from_fraction(posit.to_fraction(bit, spec), spec) == bit


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@every
def test_decode_rounds_once(spec: PositSpec, dtype: type) -> None:
    """To any float: nearest, ties to even, gradual underflow, overflow to infinity."""
    p = np.concatenate(
        [
            mixed(spec, 400, np.random.default_rng(6)),
            np.array(near_float_ties(spec, dtype), spec.storage),
        ]
    )
    got = posit.decode(p, spec, dtype)
    assert got.dtype == dtype
    for bit, x in zip(p.tolist(), got, strict=True):
        value = reference.decode(bit, spec)
        if value is None:
            assert np.isnan(x)
        else:
            assert x == checks.nearest_float(value, dtype), f"decode({bit}, {spec}, {dtype})"
            assert (x == 0 and value == 0) or np.signbit(x) == (value < 0)


def near_float_ties(spec: PositSpec, dtype: type) -> list[int]:
    """Patterns beside what lies halfway between two floats, and at both ends of their range."""
    info = np.finfo(dtype)
    rng = np.random.default_rng(7)
    half = Fraction(1, 1 << (info.nmant + 1))
    marks = [(1 + (2 * int(k) + 1) * half) * Fraction(2) ** int(e)
             for k in rng.integers(0, 1 << info.nmant, 40)
             for e in (0, -1, int(rng.integers(info.minexp, info.maxexp)))]  # fmt: skip
    small, top = Fraction(float(info.smallest_subnormal)), Fraction(float(info.max))
    marks += [small * k / 4 for k in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11)]
    marks += [small * (2**info.nmant) - small / 2, top, top * (1 + half), top * (1 + 2 * half)]
    return [
        min(max(s * reference.encode(m, spec) + d, spec.nar), spec.maxpos_pattern)
        for m in marks for d in (-1, 0, 1) for s in (1, -1)
    ]  # fmt: skip


def test_decode_knows_no_other_dtype() -> None:
    for dtype in (np.int32, np.complex128, np.longdouble, bool, object):
        with pytest.raises(TypeError, match="float64, float32 and float16"):
            posit.decode(np.int16(1), bposit16, dtype)


def test_nar_decodes_to_a_quiet_nan() -> None:
    for dtype, word in ((np.float64, 0x7FF8 << 48), (np.float32, 0x7FC00000), (np.float16, 0x7E00)):
        for spec in (bposit8, bposit16, bposit32, bposit64, standard(64), PositSpec(16, 12, 8)):
            got = np.asarray(posit.decode(np.array([spec.nar], spec.storage), spec, dtype))
            assert int(got.view(f"u{got.itemsize}")[0]) == word


def test_float16_overflow_warns_nobody() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = posit.decode(np.array([0x7FFF, 1, -1], np.int16), bposit16, np.float16)
        y = posit.decode(np.array([0x7FFF, 1, -1], np.int16), bposit16, np.float32)
    for got in (x, y):
        assert got.tolist() == [np.inf, 0, 0]
        assert np.signbit(got).tolist() == [False, False, True]


@pytest.mark.parametrize(
    "bad",
    [1j, np.zeros(2, complex), "1.0", np.array(["1"]), True, np.True_, np.array([True]),
     [True, False], None, [None], [1, "2"], np.array([1, True], object), b"1",
     np.datetime64(0, "s"), object(), [[1], [2, 3]]],
    ids=lambda bad: type(bad).__name__ if type(bad) is object else repr(bad),
)  # fmt: skip
def test_what_is_no_number(bad: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        posit.encode(bad, bposit16)


@pytest.mark.parametrize("spec", [np.dtype("int16"), None, (16, 6, 5), 16])
def test_a_spec_is_needed(spec: Any) -> None:
    for call in (
        lambda: posit.encode(1.0, spec), lambda: posit.decode(1, spec),
        lambda: posit.add(1, 1, spec),
        lambda: posit.from_fraction(1, spec), lambda: posit.to_fraction(1, spec),
        lambda: posit.to_string(1, spec), lambda: posit.from_string("1", spec),
        lambda: posit.convert(1, bposit16, spec), lambda: posit.convert(1, spec, bposit16),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=r"PositSpec|which format"):
            call()


def test_to_fraction_takes_one_pattern() -> None:
    assert posit.to_fraction(0x4180, bposit16) == 3
    assert posit.to_fraction(np.int16(-0x8000), bposit16) is None
    with pytest.raises(TypeError, match="one pattern"):
        posit.to_fraction(np.zeros(1, np.int16), bposit16)


@given(data=st.data())
def test_any_float_in_any_format(data: st.DataObject) -> None:
    spec = data.draw(st.sampled_from(every_spec()))
    width = data.draw(st.sampled_from([16, 32, 64]))
    x = data.draw(st.floats(width=width))  # type: ignore[arg-type]
    array = np.array([x], f"f{width // 8}")
    want = reference.encode(float(array[0]), spec)
    assert posit.encode(array, spec)[0] == want
    p = data.draw(st.integers(spec.nar, spec.maxpos_pattern))
    checks.decoding(FAST[0], spec, np.array([p], spec.storage))
