"""convert: from every format to every other, rounded once."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import posit
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, reference, standard

from .. import checks, oracle
from ..backends import BACKENDS, FAST, Backend
from ..conftest import Slice
from ..formats import EIGHT, SIXTEEN, TINY, WIDE, corners, every_spec, mixed

backends = pytest.mark.parametrize("backend", BACKENDS, ids=str)
fast = pytest.mark.parametrize("backend", FAST, ids=str)


def check(backend: Backend, bits: np.ndarray, from_spec: PositSpec, to_spec: PositSpec) -> None:
    """Against the definition, at any width."""
    want = [reference.encode(reference.decode(p, from_spec), to_spec) for p in bits.tolist()]
    got = backend.convert(bits, from_spec, to_spec)
    checks.same(got, np.array(want, to_spec.storage), to_spec, f"from {from_spec}", bits)


@backends
@pytest.mark.parametrize("to_spec", TINY + EIGHT, ids=str)
def test_every_pattern_of_narrow_formats(backend: Backend, to_spec: PositSpec) -> None:
    for from_spec in TINY + EIGHT:
        bits = oracle.all_patterns(from_spec)
        want = oracle.expected_conversion(from_spec, to_spec)
        got = backend.convert(bits, from_spec, to_spec)
        checks.same(got, want, to_spec, f"from {from_spec}", bits)


@fast
@pytest.mark.parametrize("to_spec", [*EIGHT, *SIXTEEN, PositSpec(6, 2, 3)], ids=str)
def test_every_pattern_of_sixteen_bits(backend: Backend, to_spec: PositSpec) -> None:
    for from_spec in SIXTEEN:
        bits = oracle.all_patterns(from_spec)
        want = oracle.expected_conversion(from_spec, to_spec)
        got = backend.convert(bits, from_spec, to_spec)
        checks.same(got, want, to_spec, f"from {from_spec}", bits)


@fast
@pytest.mark.parametrize("from_spec", [*WIDE, bposit8, bposit16], ids=str)
def test_between_wide_formats(backend: Backend, from_spec: PositSpec) -> None:
    rng = np.random.default_rng(1)
    for to_spec in [*WIDE, bposit8, bposit16, standard(8), PositSpec(3, 2, 0), PositSpec(3, 2, 8)]:
        bodies = [min(max(1, abs(p)), to_spec.maxpos_pattern - 1) for p in corners(to_spec, 0)]
        hard = [
            min(max(sign * reference.encode(oracle.boundary(b, to_spec), from_spec) + d,
                    from_spec.nar), from_spec.maxpos_pattern)
            for b in rng.choice(bodies, 40).tolist() for d in (-1, 0, 1) for sign in (1, -1)
        ]  # fmt: skip
        check(backend, np.array(hard, from_spec.storage), from_spec, to_spec)
        check(backend, mixed(from_spec, 60, rng), from_spec, to_spec)


@fast
@pytest.mark.parametrize("rs_es", [(6, 5), (2, 0), (3, 2), (5, 8), (2, 8)], ids=str)
def test_widening_appends_zeros(backend: Backend, rs_es: tuple[int, int]) -> None:
    """At the same rs and es, and back again without loss: docs/format.md, "Encoding"."""
    rng = np.random.default_rng(2)
    widths = (rs_es[0] + 1, 8, 13, 16, 17, 24, 32, 33, 48, 64)
    for n, m in product(widths, widths):
        if n <= m:
            narrow, wide = PositSpec(n, *rs_es), PositSpec(m, *rs_es)
            bits = mixed(narrow, 99, rng)
            got = backend.convert(bits, narrow, wide)
            assert got.dtype == wide.storage
            assert got.tolist() == [p << (m - n) for p in bits.tolist()]
            assert (backend.convert(got, wide, narrow) == bits).all()


@fast
def test_one_rounding_not_two(backend: Backend) -> None:
    """bposit64 -> bposit16 directly; by way of bposit32, or of float64, a tie may turn."""
    edge = 2 * 0x4001 + 1  # half a unit of bposit16 above 0x4001, in 17 bits
    bits = np.array([(edge << 47) + d for d in (-1, 0, 1)], np.int64)
    assert backend.convert(bits, bposit64, bposit16).tolist() == [0x4001, 0x4002, 0x4002]
    bits = np.array([((edge - 2) << 47) + d for d in (-1, 0, 1)], np.int64)
    assert backend.convert(bits, bposit64, bposit16).tolist() == [0x4000, 0x4000, 0x4001]
    by_way = backend.convert(backend.convert(bits, bposit64, bposit32), bposit32, bposit16)
    assert by_way.tolist() == [0x4000] * 3
    assert backend.encode(backend.decode(bits, bposit64), bposit16).tolist() == [0x4000] * 3


@fast
def test_the_same_format_changes_nothing(backend: Backend) -> None:
    for spec in TINY + EIGHT + SIXTEEN + WIDE:
        bits = mixed(spec, 200, np.random.default_rng(3))
        assert (backend.convert(bits, spec, spec) == bits).all()


@given(data=st.data())
def test_any_two_formats(data: st.DataObject) -> None:
    a, b = (data.draw(st.sampled_from(every_spec())) for _ in range(2))
    pattern = st.integers(a.nar, a.maxpos_pattern) | st.sampled_from(corners(a))
    bits = np.array(data.draw(st.lists(pattern, min_size=1, max_size=8)), a.storage)
    check(FAST[0], bits, a, b)


@fast
@pytest.mark.slow
@pytest.mark.parametrize("to_spec", [bposit16, bposit8, standard(16)], ids=str)
def test_every_pattern_of_bposit32(backend: Backend, to_spec: PositSpec, part: Slice) -> None:
    """2^32 patterns; they ascend with their values, so that the boundaries cut them into runs."""
    size = 1 << 20
    edges = np.array([reference.encode(oracle.boundary(k, to_spec), bposit32)
                      for k in range(1, to_spec.maxpos_pattern)])  # fmt: skip
    exact = [reference.decode(int(p), bposit32) == oracle.boundary(k + 1, to_spec)
             for k, p in enumerate(edges)]  # fmt: skip
    above = [not e and (reference.decode(int(p), bposit32) or 0) < oracle.boundary(k + 1, to_spec)
             for k, (p, e) in enumerate(zip(edges, exact, strict=True))]  # fmt: skip
    tie_down = [e and k % 2 == 1 for k, e in enumerate(exact)]  # the boundary goes to the even one
    first = edges + (np.array(above) | np.array(tie_down))  # the least pattern that is above
    for block in part.range(1 << 11):
        p = np.arange(block * size, (block + 1) * size)
        counts = np.diff(np.concatenate([[0], np.searchsorted(p, first), [size]]))
        want = np.repeat(np.arange(1, to_spec.maxpos_pattern + 1), counts)
        want[p == 0] = 0
        for sign in (1, -1):
            got = backend.convert((sign * p).astype(np.int32), bposit32, to_spec)
            checks.same(got, (sign * want).astype(to_spec.storage), to_spec, "convert", sign * p)


def test_scalars_and_shapes() -> None:
    assert posit.convert(0x4000, bposit16, bposit32) == 0x40000000
    assert isinstance(posit.convert(0x4000, bposit16, bposit8), np.int8)
    assert posit.convert(np.zeros((2, 0, 3), np.int16), bposit16, bposit64).shape == (2, 0, 3)
    assert posit.convert(np.zeros((2, 3), np.int16).T, bposit16, bposit64).shape == (3, 2)
