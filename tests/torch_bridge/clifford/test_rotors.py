"""Tangents, steps and renormalisation of rotors, and the optimizers made of them."""

from __future__ import annotations

from fractions import Fraction

import gmpy2
import numpy as np
import pytest
import torch
from torch import Tensor

import posit
from posit import PositSpec, bposit8, bposit16, bposit32
from torch_bridge.clifford import (
    CGA3D,
    PGA3D,
    STA,
    Algebra,
    Cl3,
    Multivector,
    defect,
    init,
)
from torch_bridge.clifford._rotors import renormalized, stepped, tangent

from . import model

F8 = torch.float64
ALGEBRAS = [Cl3, PGA3D, STA, Algebra(4), CGA3D]
every_algebra = pytest.mark.parametrize("algebra", ALGEBRAS, ids=str)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F8)


def rotors(algebra: Algebra, count: int, std: float = 0.5, seed: int = 0) -> Multivector:
    weights = torch.empty(count, len(algebra.even), dtype=F8)
    generator = torch.Generator().manual_seed(seed)
    return algebra.rotor(init.rotor_(weights, algebra, std=std, generator=generator))


# ---- tangents
@every_algebra
def test_tangents_are_slopes_along_the_manifold(algebra: Algebra) -> None:
    r, g = rotors(algebra, 3), randn(3, len(algebra.even), seed=1)
    b = torch.zeros(3, len(algebra.blades(grades=(2,))), dtype=F8, requires_grad=True)
    loss = (stepped(r, algebra.bivector(b)).coefficients * g).sum()
    (slopes,) = torch.autograd.grad(loss, b)
    torch.testing.assert_close(tangent(r, g).coefficients, slopes)


@pytest.mark.parametrize("algebra", [Cl3, Algebra(4), Algebra(5)], ids=str)
def test_euclidean_tangents_are_literally_the_bivector_part(algebra: Algebra) -> None:
    r, g = rotors(algebra, 3), algebra.rotor(randn(3, len(algebra.even), seed=1))
    literal = g.geometric(r.reverse(), grades=(2,))
    torch.testing.assert_close(tangent(r, g.coefficients).coefficients, literal.coefficients)


@every_algebra
def test_a_step_goes_down_in_any_metric(algebra: Algebra) -> None:
    """Where squares are negative, the literal ⟨g ~R⟩₂ may go up."""
    r, g = rotors(algebra, 20), algebra.rotor(randn(20, len(algebra.even), seed=1))

    def change(b: Multivector) -> Tensor:
        moved = stepped(r, b * -1e-6).coefficients - r.coefficients
        return (moved * g.coefficients).sum(-1)

    assert change(tangent(r, g.coefficients)).lt(0).all()
    literal = change(g.geometric(r.reverse(), grades=(2,)))
    assert literal.lt(0).all() == (algebra.q == 0)


# ---- renormalisation
def reciprocal_root(x: Fraction, spec: PositSpec) -> int:
    """1/√x rounded by MPFR at 400 bits, far from any tie that these numbers can come near."""
    with gmpy2.context(precision=400):
        root = 1 / gmpy2.sqrt(gmpy2.mpfr(gmpy2.mpq(x.numerator, x.denominator)))
    return int(posit.from_fraction(Fraction(gmpy2.mpq(root)), spec))


@pytest.mark.parametrize("spec", [bposit8, bposit16, bposit32], ids=lambda s: s.name)
@pytest.mark.parametrize("algebra", [Cl3, Algebra(2, 1)], ids=str)
def test_renormalisation_is_correctly_rounded(algebra: Algebra, spec: PositSpec) -> None:
    rng = np.random.default_rng(3)
    for _ in range(60):
        x = model.random_like(algebra, algebra.even, rng, spec=spec)
        reverse = model.CHANGES["reverse"](model.element(x), algebra)
        gp = model.PRODUCTS["geometric"]
        square = gp(model.element(x), reverse, algebra).get((), Fraction(0))
        found = renormalized(x)
        if square <= 0:
            assert found.coefficients.isnan().all()
            continue
        scale = posit.to_fraction(reciprocal_root(square, spec), spec)
        assert scale is not None
        exact = {b: u * scale for b, u in model.element(x).items()}
        assert model.bits(found) == model.encoded(exact, x.blades, spec)


def test_cancelling_norms_are_exact() -> None:
    """A boost so fast that float64 sees nothing of its norm: (2^30)² + 1 - (2^30)²."""
    algebra = Algebra(1, 2)
    x = algebra.multivector([2.0**30, 2.0**30, 1.0, 0], blades=algebra.even, spec=bposit32)
    assert x.blades == (0, 3, 5, 6)
    found = renormalized(x)
    wide = [Fraction(v) for v in x.coefficients.tolist()]
    square = wide[0] ** 2 - wide[1] ** 2 - wide[2] ** 2 + wide[3] ** 2
    assert square == -1
    assert found.coefficients.isnan().all()
    up = algebra.multivector([2.0**30, 2.0**30, 0, 1.0], blades=algebra.even, spec=bposit32)
    assert torch.equal(renormalized(up).coefficients, up.coefficients)


@pytest.mark.parametrize("power", [4, 12, 20, 24, 26])
def test_norms_of_which_float64_sees_a_part(power: int) -> None:
    """Large terms cancel and leave a norm with as many wrong digits as they are larger."""
    algebra, rng = Algebra(2, 1), np.random.default_rng(9)
    raw = rng.uniform(1, 2, (40, 4))
    raw[:, 0] *= 2.0**power
    raw[:, 3] = raw[:, 0]
    raw[:, 1] *= 2
    x = algebra.rotor(torch.from_numpy(raw), spec=bposit32)
    found = renormalized(x)
    for i in range(40):
        a, b, c, d = (Fraction(v) for v in x[i].coefficients.tolist())
        scale = posit.to_fraction(
            reciprocal_root(a * a + b * b - c * c - d * d, bposit32), bposit32
        )
        assert scale is not None
        exact = [posit.from_fraction(u * scale, bposit32) for u in (a, b, c, d)]
        assert model.bits(found[i]) == exact


@every_algebra
@pytest.mark.parametrize("spec", [None, bposit32], ids=str)
def test_renormalisation_leads_back(algebra: Algebra, spec: PositSpec | None) -> None:
    """Also where ⟨R ~R⟩₄ is off: quadratically."""
    r = rotors(algebra, 20)
    off = r.replace(r.coefficients * (1 + 1e-4 * randn(*r.coefficients.shape, seed=4)))
    given = off.rounded(spec) if spec else off
    assert defect(given).max() > 1e-5
    size = given.coefficients.square().sum(-1)
    assert (defect(renormalized(given)) < 4 * defect(given) ** 2 + 2e-7 * size).all()
    single = off.floats(torch.float32)
    assert renormalized(single).coefficients.dtype == torch.float32
    assert (defect(renormalized(single)) < 4 * defect(given) ** 2 + 3e-7 * size).all()


def test_renormalisation_to_a_narrower_format_rounds_once() -> None:
    r = rotors(Cl3, 50).rounded(bposit32)
    found = renormalized(r, bposit16)
    assert found.spec == bposit16
    for i in range(50):
        exact = sum(Fraction(v) ** 2 for v in r[i].coefficients.tolist())
        scale = posit.to_fraction(reciprocal_root(exact, bposit32), bposit32)
        assert scale is not None
        for v, w in zip(r[i].coefficients.tolist(), found[i].coefficients.tolist(), strict=True):
            assert posit.from_fraction(Fraction(v) * scale, bposit16) == posit.encode(w, bposit16)


# ---- init
@pytest.mark.parametrize("spec", [None, "bposit16"])
def test_init_is_on_the_manifold(spec: str | None) -> None:
    for algebra in ALGEBRAS:
        weight = torch.empty(5, len(algebra.even), dtype=F8)
        assert init.rotor_(weight, algebra, std=0.3, spec=spec) is weight
        assert defect(algebra.rotor(weight)).max() < (1e-13 if spec is None else 5e-2)
        assert weight.std() > 0.01
