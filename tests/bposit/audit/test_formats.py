"""Every format rounds once, to nearest, ties to even: against its own list of values."""

import numpy as np
import pytest

import posit
from bposit.audit import formats
from bposit.audit.formats import BLOCK, Float, Format, PositFormat, parse, parse_all
from bposit.errors import BadInput

F8 = formats.F8
SMALL = [
    "float8_e4m3fn", "float8_e4m3", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz",
    "float8_e4m3b11fnuz", "float8_e3m4", "float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn",
    "float16", "bfloat16",
]  # fmt: skip


def values(name: str) -> F8:
    """All finite values, ascending; the parity of the place is that of the pattern."""
    f = parse(name)
    assert isinstance(f, Float)
    count = 1 << (f.bits if f.bits < 8 else 8 * f.dtype.itemsize)
    with np.errstate(invalid="ignore"):
        patterns = np.arange(count // 2).astype(f"u{f.dtype.itemsize}").view(f.dtype)
        found = patterns.astype(np.float64)
    return found[np.isfinite(found)]


@pytest.mark.parametrize("name", SMALL)
def test_floats_round_once_to_nearest(name: str) -> None:
    f, held = parse(name), values(name)
    low, high = held[:-1], held[1:]
    middle = (low + high) / 2  # exact: one bit more
    even = np.where(np.arange(low.size) % 2 == 0, low, high)
    for sign in (1.0, -1.0):
        assert np.array_equal(f.nearest(sign * held), sign * held)
        assert np.array_equal(f.nearest(sign * middle), sign * even)
        for tiny in (2.0**-52, 2.0**-40, 2.0**-23):  # far below what float16 and float32 hold
            assert np.array_equal(f.nearest(sign * middle * (1 + tiny)), sign * high)
            assert np.array_equal(f.nearest(sign * middle * (1 - tiny)), sign * low)
    assert f.top == held[-1]
    assert f.bottom == held[1]


@pytest.mark.parametrize("name", [*SMALL, "posit16", "bposit8", "n12_rs5_es1"])
def test_order_ascends_with_the_values(name: str) -> None:
    f = parse(name)
    if isinstance(f, PositFormat):
        patterns = np.arange(1, f.spec.maxpos_pattern + 1).astype(f.spec.storage)
        held = np.concatenate([[0.0], posit.decode(patterns, f.spec)])
    else:
        held = values(name)
    both = np.concatenate([-held[:0:-1], held])
    assert np.array_equal(np.diff(f.order(both)), np.ones(both.size - 1))


@pytest.mark.parametrize("name", [*SMALL, "posit16", "bposit8", "bposit16", "n10_rs4_es3"])
def test_fraction_bits_count_the_values_of_each_binade(name: str) -> None:
    f = parse(name)
    if isinstance(f, PositFormat):
        patterns = np.arange(1, f.spec.maxpos_pattern + 1).astype(f.spec.storage)
        held = posit.decode(patterns, f.spec)
    else:
        held = values(name)[1:]
    exponents = np.arange(-210, 210)
    own = np.frexp(held)[1] - 1
    for e, bits in zip(exponents, f.fraction_bits(exponents), strict=True):
        count = np.count_nonzero(own == e)
        if bits < 0:
            assert count == 0
        elif count > 1:  # the outermost binades may lack values to infinity, zero and NaR
            missing = 1 if e in (own[0], own[-1]) else 0
            assert count in {1 << bits, (1 << bits) - missing}


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("float8_e4m3fn", 465.0, np.nan), ("float8_e4m3fn", 464.0, 448.0),
        ("float8_e5m2", 61440.0, np.inf), ("float16", 65520.0, np.inf), ("mxfp4", np.nan, np.nan),
        ("float4_e2m1fn", np.inf, np.nan), ("float4_e2m1fn", 100.0, 6.0),
        ("bposit16", 1e300, 2.0**191 * (2 - 2.0**-4)), ("bposit16", np.inf, np.nan),
    ],
)  # fmt: skip
def test_beyond_the_range(name: str, x: float, y: float) -> None:
    f = parse(name)
    assert np.array_equal(f.nearest(np.array([x, -x])), [y, -y], equal_nan=True)


def test_amax_takes_the_largest_to_the_top() -> None:
    f = parse("float8_e4m3fn@amax")
    x = np.array([3 * 448.0, -3 * 0.8125, 0.0])  # scale 3; 0.8125 = 13/16 is e4m3fn
    assert f.scales(x, 3 * 448.0) == 3.0
    assert np.array_equal(f.round(x), x)
    for size in (1e-30, 0.1, 7e4, 1e30):  # never above the top, however amax/top rounds
        assert np.array_equal(np.isfinite(f.round(np.array([size, -size]))), [True, True])
    assert np.array_equal(f.round(np.zeros(3)), np.zeros(3))
    for size in np.random.default_rng(1).uniform(1, 2, 50):
        assert size / f.scales(np.array([size]), size) <= 448.0


def test_a_block_shares_a_power_of_two() -> None:
    f = parse("mxfp8")
    # amax 448 = 1.75·2^8 gives scale 1, amax 2^-20 gives 2^-28; 449 in the first block saturates
    x = np.full((2, BLOCK + 3), 2.0**-20)
    x[0, 0], x[0, 1], x[1, 0] = 449.0, 1.0, 1.0
    y = f.round(x)
    assert np.asarray(f.scales(x, 0.0))[0, :BLOCK].tolist() == [1.0] * BLOCK
    assert y[0, 0] == 448.0
    assert y[0, 1] == 1.0
    assert y[0, 2] == 0.0  # 2^-20 is below half of 2^-9 there
    assert np.array_equal(y[0, BLOCK:], x[0, BLOCK:])  # the short block at the end of each row
    assert y[1, 0] == 1.0
    assert f.bytes_of((2, BLOCK + 3)) == 2 * (BLOCK + 3) + 4


def test_names() -> None:
    text = "bposit16, posit16,n24_rs4_es3,<24,4,3>,24.4.3".removesuffix(",24.4.3")
    assert [f.name for f in parse_all(text)] == ["bposit16", "posit16", "n24_rs4_es3"]
    assert [f.name for f in parse_all("mxfp8,float8_e5m2@amax")] == ["mxfp8", "float8_e5m2@amax"]
    for bad in ("", "float7", "posit16@amax", "float8_e4m3fn@std", "n32_rs12_es8", "<1,2,3>"):
        with pytest.raises(BadInput):
            parse_all(bad)


def test_gfloat_agrees() -> None:
    gfloat = pytest.importorskip("gfloat")
    from gfloat import formats as info

    rng = np.random.default_rng(8)
    x = rng.normal(size=400) * np.exp2(rng.integers(-18, 18, 400))
    pairs: list[tuple[str, Format, object]] = [
        ("float8_e4m3fn", parse("float8_e4m3fn"), info.format_info_ocp_e4m3),
        ("float8_e5m2", parse("float8_e5m2"), info.format_info_ocp_e5m2),
        ("float6_e3m2fn", parse("float6_e3m2fn"), info.format_info_ocp_e3m2),
        ("bfloat16", parse("bfloat16"), info.format_info_bfloat16),
    ]
    for name, f, theirs in pairs:
        wanted = [gfloat.round_float(theirs, float(v), sat="float6" in name) for v in x]
        assert np.array_equal(f.nearest(x), wanted, equal_nan=True), name
