"""fields, pack and widths against bits cut out of strings and against the definition."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from bposit.emulate import fields, pack, widths
from bposit.emulate.codec import FORMS
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, standard
from posit.reference import decode, encode
from quire import Layout

from ...formats import EIGHT, TINY, Bits, corners, mixed

WIDE = [bposit16, standard(16), bposit32, standard(32), bposit64, standard(64),
        PositSpec(64, 63, 0), PositSpec(18, 8, 8)]  # fmt: skip


def every(spec: PositSpec) -> Bits:
    return np.arange(spec.nar, spec.maxpos_pattern + 1).astype(spec.storage)


def some(spec: PositSpec) -> Bits:
    return np.array(sorted({*corners(spec), *mixed(spec, 300, np.random.default_rng(1)).tolist()}),
                    spec.storage)  # fmt: skip


def spelt(pattern: int, spec: PositSpec, form: str) -> tuple[bool, int, int]:
    """sign, scale and fraction, from the bits as text."""
    negative = pattern < 0
    raw = abs(pattern) if form == "sign-magnitude" else pattern
    text = f"{raw & (1 << spec.n - 1) - 1:0{spec.n - 1}b}"
    run = len(text) - len(text.lstrip(text[0]))
    run = min(run, spec.rs)
    r = run - 1 if text[0] == "1" else -run
    rest = text[min(run + 1, spec.rs) :]
    e = int((rest + "0" * spec.es)[: spec.es] or "0", 2)
    f = rest[spec.es :].ljust(spec.f_max, "0")
    scale = (r << spec.es) + e
    return negative, ~scale if negative and form == "twos" else scale, int(f or "0", 2)


def value_of(sign: Any, scale: int, fraction: Fraction, form: str) -> Fraction:
    power = Fraction(2) ** scale
    if form == "twos" and sign:
        return (-2 + fraction) * power
    return (1 + fraction) * power * (-1 if sign else 1)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spec", [*TINY, *EIGHT, *WIDE], ids=str)
def test_fields_are_the_bits(spec: PositSpec, form: Any) -> None:
    bits = every(spec) if spec.n <= 8 else some(spec)
    found = fields(bits, spec, form)
    assert np.array_equal(found.zero, bits == 0)
    assert np.array_equal(found.nar, bits == spec.nar)
    for i, p in enumerate(bits.tolist()):
        got = bool(found.sign[i]), int(found.scale[i]), int(found.fraction[i])
        if p in (0, spec.nar):
            assert got == (False, 0, 0)
            continue
        assert got == spelt(p, spec, form), p
        exact = value_of(got[0], got[1], Fraction(got[2], 1 << spec.f_max), form)
        assert exact == decode(p, spec), p
        raw = ~got[1] if got[0] and form == "twos" else got[1]
        assert (int(found.regime[i]), int(found.exponent[i])) == divmod(raw, 1 << spec.es)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spec", [*TINY, *EIGHT, *WIDE], ids=str)
def test_pack_is_the_inverse(spec: PositSpec, form: Any) -> None:
    bits = every(spec) if spec.n <= 8 else some(spec)
    f = fields(bits, spec, form)
    back = pack(f.sign, f.scale, f.fraction, spec=spec, form=form, zero=f.zero, nar=f.nar)
    np.testing.assert_array_equal(back, bits)
    assert back.dtype == spec.storage


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spec", [*TINY, *EIGHT, *WIDE], ids=str)
def test_pack_rounds_once(spec: PositSpec, form: Any) -> None:
    """Any scale, guard and sticky: sticky is any amount above guard, so one above stands for it."""
    rng = np.random.default_rng(3)
    count = 600
    sign, guard, sticky = rng.integers(0, 2, (3, count))
    scale = rng.integers(-spec.reach - 9, spec.reach + 9, count)
    fraction = rng.integers(0, 1 << spec.f_max, count)
    fraction = np.where(rng.random(count) < 0.3, 0, fraction)
    cut = rng.integers(0, spec.f_max + 1, count)  # ties where fewer bits fit
    fraction = fraction >> cut << cut
    got = pack(sign, scale, fraction, guard, sticky, spec=spec, form=form)
    for i in range(count):
        low = Fraction(int(guard[i]), 2) + Fraction(int(sticky[i]), 4)
        f = (int(fraction[i]) + low) / (1 << spec.f_max)
        want = encode(value_of(sign[i], int(scale[i]), f, form), spec)
        assert got[i] == want, (sign[i], scale[i], fraction[i], guard[i], sticky[i])


def test_scales_beyond_every_format_saturate() -> None:
    for scale, want in ((10**30, bposit16.maxpos_pattern), (-(10**30), 1), (1 << 62, 0x7FFF)):
        assert pack(False, scale, 0, spec=bposit16) == want
        assert pack(True, scale, 0, spec="bposit16") == -want


def test_flags_win() -> None:
    assert pack(1, 3, 7, 1, 1, spec=bposit16, zero=True) == 0
    assert pack(1, 3, 7, 1, 1, spec=bposit16, zero=True, nar=True) == bposit16.nar
    assert pack([0, 1], 0, 0, spec=bposit16).tolist() == [bposit16.one, -bposit16.one]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spec", [*TINY, *EIGHT], ids=str)
def test_widths_are_just_enough(spec: PositSpec, form: Any) -> None:
    found, w = fields(every(spec), spec, form), widths(spec, form)
    finite = ~(found.zero | found.nar)
    scale = found.scale[finite]
    assert -(1 << w.scale - 1) <= scale.min()
    assert scale.max() < 1 << w.scale - 1
    assert w.pattern == spec.n
    assert w.exponent == spec.es
    assert w.fraction == spec.f_max
    assert w.significand == spec.f_max + (2 if form == "twos" else 1)
    assert w.product == 2 * w.significand
    assert w.quire == Layout.exact(spec).width
    assert -(1 << w.regime - 1) <= found.regime[finite].min()
    assert found.regime[finite].max() < 1 << w.regime - 1
    least, most = 2 * int(scale.min()), 2 * int(scale.max())
    assert -(1 << w.product_scale - 1) <= least
    assert most < 1 << w.product_scale - 1


def test_widths_of_the_papers_format() -> None:
    w = widths(bposit32)
    assert (w.regime, w.exponent, w.scale, w.fraction, w.product) == (4, 5, 9, 24, 50)
    assert widths("16,6,5", "twos").significand == 10


def test_shapes_and_scalars() -> None:
    found = fields(np.zeros((2, 3), np.int16), bposit16)
    assert found.scale.shape == (2, 3)
    one = fields(bposit16.one, bposit16)
    assert (bool(one.sign), int(one.scale), int(one.fraction)) == (False, 0, 0)


@pytest.mark.parametrize(("make", "error", "said"), [
    (lambda: fields([0], bposit16, "ones"), ValueError, "sign-magnitude and twos"),
    (lambda: pack(0, 0, 0, spec=bposit16, form="ones"), ValueError, "sign-magnitude and twos"),
    (lambda: pack(0, 0, 256, spec=bposit16), ValueError, r"fraction: 256 … 256 given, but 0 … 255"),
    (lambda: pack(0, 0, -1, spec=bposit16), ValueError, "fraction"),
    (lambda: pack(0, 0, 0.5, spec=bposit16), TypeError, "fraction: expected integers"),
    (lambda: pack(0, 0.5, 0, spec=bposit16), TypeError, "scale: expected integers"),
    (lambda: pack([0, 1], [1, 2, 3], 0, spec=bposit16), ValueError, "broadcast"),
    (lambda: fields([1 << 15], bposit16), ValueError, "not a pattern"),
    (lambda: fields(np.zeros(1), bposit8), TypeError, "float64"),
])  # fmt: skip
def test_what_is_refused(make: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        make()
