"""Element-wise arithmetic: every backend at every width, as strongly as the width allows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posit import PositSpec, bposit16

from .. import checks, hard, oracle
from ..backends import ARITY, BACKENDS, FAST, REFERENCE, Backend
from ..conftest import Slice
from ..formats import EIGHT, SIXTEEN, TINY, WIDE, corners, every_spec, stratified

UNARY = [op for op, arity in ARITY.items() if arity == 1]
BINARY = [op for op, arity in ARITY.items() if arity == 2]

backends = pytest.mark.parametrize("backend", BACKENDS, ids=str)
fast = pytest.mark.parametrize("backend", FAST, ids=str)


@backends
@pytest.mark.parametrize("spec", TINY + EIGHT, ids=str)
@pytest.mark.parametrize("op", BINARY)
def test_every_pair(backend: Backend, op: str, spec: PositSpec) -> None:
    p = oracle.all_patterns(spec)
    checks.table(backend, op, spec, p[:, np.newaxis], p)


@backends
@pytest.mark.parametrize("spec", TINY + EIGHT + SIXTEEN, ids=str)
@pytest.mark.parametrize("op", UNARY)
def test_every_pattern(backend: Backend, op: str, spec: PositSpec) -> None:
    checks.table(backend, op, spec, oracle.all_patterns(spec))


@backends
@pytest.mark.parametrize("spec", [s for s in TINY if s.n <= 6], ids=str)
def test_every_fma_of_tiny_formats(backend: Backend, spec: PositSpec) -> None:
    p = oracle.all_patterns(spec)
    if backend is REFERENCE and spec.n == 6:
        p = p[::2]
    checks.table(backend, "fma", spec, p[:, np.newaxis, np.newaxis], p[:, np.newaxis], p)


@fast
@pytest.mark.parametrize("spec", EIGHT, ids=str)
def test_fma_of_every_pair(backend: Backend, spec: PositSpec) -> None:
    """With the addends that matter: 0, NaR, the ends, around 1, and a few anywhere."""
    p = oracle.all_patterns(spec)
    one, top = spec.one, spec.maxpos_pattern
    addends = [0, 1, -1, 3, one, -one, one + 1, -one - 1, 77, -90, top, -top, spec.nar]
    for c in np.array(addends, spec.storage):
        checks.table(backend, "fma", spec, p[:, np.newaxis], p, c)


@fast
@pytest.mark.slow
@pytest.mark.parametrize("spec", EIGHT, ids=str)
def test_every_fma(backend: Backend, spec: PositSpec, part: Slice) -> None:
    p = oracle.all_patterns(spec)
    for c in p[part.index :: part.of]:
        checks.table(backend, "fma", spec, p[:, np.newaxis], p, c)


@fast
@pytest.mark.parametrize("spec", SIXTEEN, ids=str)
@pytest.mark.parametrize("op", BINARY)
def test_stratified_pairs(backend: Backend, op: str, spec: PositSpec) -> None:
    a, b = stratified(spec, 400, 1), stratified(spec, 300, 2)
    checks.table(backend, op, spec, a[:, np.newaxis], b)


@fast
@pytest.mark.parametrize("spec", SIXTEEN, ids=str)
def test_stratified_fma(backend: Backend, spec: PositSpec) -> None:
    a, b, c = (stratified(spec, k, k) for k in (90, 40, 30))
    checks.table(backend, "fma", spec, a[:, np.newaxis, np.newaxis], b[:, np.newaxis], c)


@fast
@pytest.mark.parametrize("spec", SIXTEEN + WIDE, ids=str)
@pytest.mark.parametrize("op", hard.HARD)
def test_hard_cases(backend: Backend, op: str, spec: PositSpec) -> None:
    """Against the definition, which test_reference.py judges by the boundaries."""
    checks.scalars(backend, op, spec, *hard.operands(op, spec, 60))


@fast
@pytest.mark.slow
@pytest.mark.parametrize("op", hard.HARD)
def test_hard_cases_of_every_format(backend: Backend, op: str, part: Slice) -> None:
    for spec in part.take(every_spec()[:: 1 if part.of == 1 else 8]):
        checks.scalars(backend, op, spec, *hard.operands(op, spec, 12))


@fast
@pytest.mark.parametrize("spec", SIXTEEN + WIDE, ids=str)
def test_negation_and_magnitude_at_the_corners(backend: Backend, spec: PositSpec) -> None:
    p = np.array(corners(spec, 9), spec.storage)
    want = np.where(p == spec.nar, p, -p)
    checks.same(backend.neg(p, spec), want, spec, "neg", p)
    checks.same(backend.abs(p, spec), np.where(p < 0, want, p), spec, "abs", p)


@st.composite
def rows(draw: st.DrawFn, arity: int) -> tuple[PositSpec, list[list[int]]]:
    spec = draw(st.sampled_from(every_spec()))
    pattern = st.integers(spec.nar, spec.maxpos_pattern) | st.sampled_from(corners(spec))
    row = st.lists(pattern, min_size=arity, max_size=arity)
    return spec, draw(st.lists(row, min_size=1, max_size=8))


@fast
@pytest.mark.parametrize("op", ARITY)
@given(data=st.data())
def test_any_format(backend: Backend, op: str, data: st.DataObject) -> None:
    spec, found = data.draw(rows(ARITY[op]))
    operands = [np.array(column, spec.storage) for column in zip(*found, strict=True)]
    if op in ("neg", "abs"):
        want = getattr(REFERENCE, op)(*operands, spec)
        checks.same(getattr(backend, op)(*operands, spec), want, spec, op, *operands)
    else:
        checks.scalars(backend, op, spec, *operands)


@fast
@pytest.mark.slow
@pytest.mark.parametrize("op", BINARY)
def test_every_pair_of_bposit16(backend: Backend, op: str, part: Slice) -> None:
    """2^32 pairs. Float64 does each operation exactly enough here (docs/format.md: one float64
    operation is innocuous while f_max <= 24), and a + b, a - b, a·b and a/b are monotonic in a,
    so that the boundaries cut the sorted results into runs."""
    checks.monotone_pairs(backend, op, bposit16, part.range(1 << 16))
