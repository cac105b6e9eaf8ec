"""The C core and the definition against SoftPosit."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import posit
from posit import reference, standard

from .. import checks, hard, oracle
from ..backends import FAST, Backend
from ..formats import corners, stratified
from ..soft import LEGACY, STANDARD, Soft

fast = pytest.mark.parametrize("backend", FAST, ids=str)
every = pytest.mark.parametrize("soft", LEGACY + STANDARD, ids=str)
wide = pytest.mark.parametrize("soft", [s for s in LEGACY + STANDARD if s.spec.n > 8], ids=str)
small = pytest.mark.parametrize("soft", [s for s in LEGACY + STANDARD if s.spec.n <= 8], ids=str)


@fast
@small
@pytest.mark.parametrize("op", ["add", "sub", "mul", "div"])
def test_every_pair(backend: Backend, op: str, soft: Soft) -> None:
    p = oracle.all_patterns(soft.spec)
    row = (p[:, np.newaxis], p)
    got = getattr(backend, op)(*row, soft.spec)
    checks.same(got, soft.apply(op, *row), soft.spec, op, *row)


@fast
@small
def test_every_root_and_some_fused(backend: Backend, soft: Soft) -> None:
    p = oracle.all_patterns(soft.spec)
    checks.same(backend.sqrt(p, soft.spec), soft.apply("sqrt", p), soft.spec, "sqrt", p)
    q = p[:: max(1, p.size // 32)]
    row = (q[:, np.newaxis, np.newaxis], q[:, np.newaxis], p[1 :: max(1, p.size // 32)])
    got = backend.fma(*row, soft.spec)
    checks.same(got, soft.apply("fma", *row), soft.spec, "fma", *row)


@fast
@wide
@pytest.mark.parametrize("op", hard.HARD)
def test_hard_cases(backend: Backend, op: str, soft: Soft) -> None:
    if op not in soft.ops:
        pytest.skip("SoftPosit's own defect; see below")
    row = hard.operands(op, soft.spec, 60, seed=2)
    got = getattr(backend, op)(*row, soft.spec)
    checks.same(got, soft.apply(op, *row), soft.spec, op, *row)


@fast
@every
def test_floats(backend: Backend, soft: Soft) -> None:
    spec = soft.spec
    bodies = [b for b in corners(spec, 9) if 0 < b < spec.maxpos_pattern]
    edge = np.array([float(oracle.boundary(b, spec)) for b in bodies])
    x = np.concatenate([edge, np.nextafter(edge, np.inf), np.nextafter(edge, 0), [1e300, 1e-300]])
    for y in (x, -x):
        checks.same(backend.encode(y, spec), soft.encode(y), spec, "encode", y)
    p = stratified(spec, 500, 1) if spec.n > 8 else oracle.all_patterns(spec)
    p = p[p != spec.nar]
    assert (backend.decode(p, spec) == soft.decode(p)).all()


@pytest.mark.parametrize("soft", LEGACY, ids=str)
def test_integers(soft: Soft) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-(2**63), 2**63 - 1, 2000) >> rng.integers(0, 63, 2000)
    checks.same(posit.encode(x, soft.spec), soft.encode_int(x), soft.spec, "encode", x)


@fast
@pytest.mark.parametrize("a", LEGACY + STANDARD[::3], ids=str)
@pytest.mark.parametrize("b", LEGACY + STANDARD[::3], ids=str)
def test_conversions(backend: Backend, a: Soft, b: Soft) -> None:
    if a == b and a.prefix != "pX2":
        pytest.skip("SoftPosit has no such function")
    p = stratified(a.spec, 300, 3) if a.spec.n > 8 else oracle.all_patterns(a.spec)
    got = backend.convert(p, a.spec, b.spec)
    checks.same(got, a.convert(p, b), b.spec, f"convert from {a.spec} to", p)


def test_its_wide_posit_2_loses_the_sticky_bit() -> None:
    """3·1 is 3; pX2 says 2. Why posit_2 at 32 bits is no oracle; p32 is the same format."""
    soft, spec = Soft(standard(32), "pX2"), standard(32)
    a, b = np.array([3], np.int32), np.array([spec.one], np.int32)
    assert soft.apply("mul", a, b) == 2
    assert LEGACY[2].apply("mul", a, b) == posit.mul(a, b, spec) == 3


def test_its_fused_multiply_add_loses_bits() -> None:
    """A tie and a little more; and (1 - 2^-28)·1 + (1 + 2^-26), which is 2 and 3/4 of a unit."""
    spec = standard(32)
    a, b, c = (np.array([p], np.int32) for p in (spec.one - 1, spec.one, spec.one + 2))
    assert sum(reference.decode(int(p[0]), spec) or 0 for p in (a, c)) == 2 + Fraction(3, 2**28)
    two = reference.encode(2, spec)
    assert reference.decode(two + 1, spec) == 2 + Fraction(1, 2**26)
    assert LEGACY[2].apply("fma", a, b, c) == two
    assert posit.fma(a, b, c, spec) == two + 1
    spec, row = standard(20), (-351424, 267776, -3)
    exact = [reference.decode(p, spec) or 0 for p in row]
    tie = -exact[0] * exact[1]
    assert tie == oracle.boundary(360792, spec)
    assert -exact[2] < tie / 2**30
    a, b, c = (np.array([p], np.int32) for p in row)
    assert Soft(spec, "pX2").apply("fma", a, b, c) == -360792
    assert posit.fma(a, b, c, spec) == -360793
