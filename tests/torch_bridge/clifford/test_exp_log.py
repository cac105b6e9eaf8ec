"""Exponentials of bivectors and logarithms of rotors: series, inverses, and where they are hard."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

import posit
from posit import bposit16, bposit32
from torch_bridge.clifford import (
    CGA3D,
    PGA3D,
    STA,
    Algebra,
    Cl3,
    Multivector,
    act,
    defect,
    exp,
    inverse,
    log,
)

from . import model
from .model import ALGEBRAS

every_algebra = pytest.mark.parametrize("algebra", ALGEBRAS.values(), ids=ALGEBRAS)


def bivectors(algebra: Algebra, count: int, size: float, seed: int = 0) -> Multivector:
    generator = torch.Generator().manual_seed(seed)
    n = len(algebra.blades(grades=(2,)))
    x = torch.randn(count, n, generator=generator, dtype=torch.float64)
    return algebra.bivector(size * x / n**0.5)


def largest(x: Multivector | Tensor) -> float:
    values = x.coefficients if isinstance(x, Multivector) else x
    return float(values.abs().max()) if values.numel() else 0.0


# ---- exp and log
@every_algebra
@pytest.mark.parametrize("size", [1e-9, 1e-3, 0.3, 1.2])
def test_exp_is_its_series(algebra: Algebra, size: float) -> None:
    b = bivectors(algebra, 1, size)[0]
    exact, power = {(): Fraction(1)}, {(): Fraction(1)}
    for k in range(1, 30):
        power = model.PRODUCTS["geometric"](power, model.element(b), algebra)
        power = {blade: Fraction(float(u)) / k for blade, u in power.items()}
        exact = {blade: exact.get(blade, 0) + power.get(blade, 0) for blade in {*exact, *power}}
    found = exp(b)
    wanted = [float(u) for u in model.coefficients(exact, found.blades)]
    torch.testing.assert_close(found.coefficients.tolist(), wanted, rtol=1e-14, atol=3e-15)


@every_algebra
@pytest.mark.parametrize("size", [1e-12, 1e-3, 0.3, 1.0])
def test_log_is_the_inverse_of_exp(algebra: Algebra, size: float) -> None:
    b = bivectors(algebra, 20, size)
    r = exp(b)
    assert largest(defect(r)) < 1e-14
    assert largest(log(r) - b) < 1e-14 * max(1.0, size)
    assert largest(exp(log(r)) - r) < 1e-14


@pytest.mark.parametrize("algebra", [Cl3, PGA3D, STA, CGA3D, Algebra(4), Algebra(5)], ids=str)
def test_logs_of_large_rotors(algebra: Algebra) -> None:
    """Beyond the principal branch the logarithm is another one, but one it is."""
    for size in (2.0, 6.0):
        r = exp(bivectors(algebra, 50, size))
        back, b = exp(log(r)), log(r)
        fine = ~b.coefficients.isnan().any(-1)
        assert fine.double().mean() > 0.9
        scale = r.coefficients.abs().amax(-1)[fine]
        worst = (back - r).coefficients.abs().amax(-1)[fine] / scale
        assert float(worst.median()) < 1e-13
        assert float(worst.max()) < 1e-6


@pytest.mark.parametrize("algebra", [Cl3, PGA3D, Algebra(4), CGA3D], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_logs_near_half_a_turn(algebra: Algebra, dtype: torch.dtype) -> None:
    """Where a rotor's scalar is 0 or nearly: the logarithm is as good as anywhere."""
    eps = torch.finfo(dtype).eps
    for off in (0.0, 1e-12, -1e-9, 1e-5, -1e-3):
        x = torch.zeros(len(algebra.blades(grades=(2,))), dtype=torch.float64)
        names = algebra.names(grades=(2,))
        x[names.index("e12")], x[names.index("e13")] = 0.6, 0.8
        b = algebra.bivector((x * (torch.pi / 2 + off)).to(dtype))
        assert abs(float(exp(b)["1"])) < 1.1 * abs(off) + 4 * eps
        assert largest(log(exp(b)) - b) < 40 * eps


@pytest.mark.parametrize("algebra", [Cl3, PGA3D, STA, Algebra(4)], ids=str)
def test_logs_of_tiny_rotors_keep_their_digits(algebra: Algebra) -> None:
    for size in (1e-4, 1e-9, 1e-30, 1e-150):
        b = bivectors(algebra, 10, size)
        assert largest(log(exp(b)) - b) < 1e-14 * size
        assert torch.equal(exp(b * 0.0).coefficients[..., 0], torch.ones(10, dtype=torch.float64))
        assert not log(exp(b * 0.0)).coefficients.any()


@pytest.mark.parametrize("dimension", [4, 5, 6])
def test_isoclinic_rotors(dimension: int) -> None:
    """Two planes turned by one angle, where splitting a bivector into planes would divide by 0."""
    algebra = Algebra(dimension)
    for angles in ((0.7, 0.7), (0.7, -0.7), (0.7, 0.7 + 1e-12), (0.0, 0.7), (1e-9, 1.1)):
        b = algebra.multivector(torch.tensor(angles, dtype=torch.float64), blades=("e12", "e34"))
        r = exp(b)
        (c, s), (d, t) = ((np.cos(a), np.sin(a)) for a in angles)
        wanted = {"1": c * d, "e12": s * d, "e34": c * t, "e1234": s * t}
        assert all(abs(float(r[name]) - w) < 1e-15 for name, w in wanted.items())
        assert largest(log(r) - b) < 1e-14


def test_logs_near_a_full_turn() -> None:
    for angle in (3.0, 3.14159, -3.1415926):
        b = Cl3.bivector(torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)) * angle
        assert largest(exp(log(exp(b))) - exp(b)) < 1e-14


def test_there_is_no_log() -> None:
    minus_one = Cl3.rotor([-1.0, 0, 0, 0])
    assert log(minus_one).coefficients.isnan().all()
    boost = Algebra(1, 1).multivector([-np.cosh(1.0), np.sinh(1.0)], grades=(0, 2))
    assert log(boost).coefficients.isnan().all()
    twisted = exp(Algebra(6).multivector([1.2, 1.2, 1.2], blades=("e12", "e34", "e56")))
    assert log(twisted).coefficients.isnan().all()


def test_translations() -> None:
    """exp(-d/2 e0 v) moves points by d along v, and rotations come with it."""
    shift = exp(PGA3D.multivector([-0.5, -1.0, 0.0], blades=("e01", "e02", "e03")))
    point = (PGA3D.vector([1.0, 0, 0, 0])).dual()  # the origin
    moved = act(shift, point)
    assert torch.allclose(moved.undual().coefficients.abs(), torch.tensor([1.0, 1, 2, 0]))
    assert largest(log(shift) - PGA3D.multivector([-0.5, -1], blades=("e01", "e02"))) == 0


def test_a_boost() -> None:
    r = exp(STA.multivector([0.5], blades=("e12",)))
    t = act(r, STA.vector([1.0, 0, 0, 0]))
    assert torch.allclose(t["e1"], torch.cosh(torch.tensor(1.0)))
    assert torch.allclose(t["e2"].abs(), torch.sinh(torch.tensor(1.0)))


@pytest.mark.parametrize("spec", [bposit16, bposit32], ids=str)
def test_exp_and_log_of_posits_are_faithful(spec: posit.PositSpec) -> None:
    b = bivectors(PGA3D, 40, 0.7).rounded(spec)
    for function, x in ((exp, b), (log, exp(b)), (inverse, exp(b))):
        wide = function(x.floats())
        found = function(x)
        assert found.spec == spec
        assert torch.equal(found.coefficients, wide.rounded(spec).coefficients)
