"""Norms, inverses, exponentials, logarithms, versors: identities, exact cases, and series."""

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
    norm,
    norm_squared,
    normalized,
    sandwich,
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


# ---- inverse
@every_algebra
def test_inverses(algebra: Algebra) -> None:
    generator = torch.Generator().manual_seed(3)
    for blades in (algebra.blades(), algebra.even, algebra.blades(grades=(1,))):
        x = torch.randn(9, len(blades), generator=generator, dtype=torch.float64)
        x[..., 0] += 4  # so that those with null vectors are invertible
        a = algebra.multivector(x, blades=blades)
        if blades[0] and algebra.r:
            continue
        for product in (a * inverse(a), inverse(a) * a):
            assert largest(product - 1.0) < 1e-11


def test_an_exact_inverse() -> None:
    x = Cl3.vector([0.0, 3.0, 4.0])
    assert inverse(x).coefficients.tolist() == pytest.approx([0.0, 0.12, 0.16])
    assert inverse(x).blades == x.blades


def test_what_has_no_inverse() -> None:
    for x in (
        PGA3D.blade("e0"),
        STA.vector([1.0, 0, 1, 0]),
        Cl3.vector([[1.0, 0, 0], [0, 0, 0]]),
        Cl3.vector([0.0, 0, 0], spec=bposit16),
        Cl3.multivector([1.0, 1.0, 0], blades=("1", "e1", "e2")).into(range(8)),
    ):
        with pytest.raises(torch.linalg.LinAlgError, match="singular"):
            inverse(x)
    with pytest.raises(torch.linalg.LinAlgError, match="singular"):
        torch.vmap(inverse)(Cl3.vector([[1.0, 0, 0], [0, 0, 0]]))
    found = inverse(Cl3.vector([[torch.nan, 0, 0], [2.0, 0, 0]], spec=bposit16)).coefficients
    assert found[0].isnan().all()
    assert found[1].tolist() == [0.5, 0, 0]


# ---- norms
def test_norms() -> None:
    assert norm(Cl3.vector([3.0, 0, 4])).item() == 5
    assert norm(Cl3.bivector([3.0, 0, 4])).item() == 5
    assert norm_squared(STA.vector([1.0, 2, 0, 0])).item() == -3
    assert norm(STA.vector([1.0, 0, 0, 0])).item() == 1
    assert norm_squared(PGA3D.blade("e01")).item() == 0
    unit = normalized(Cl3.rotor([1.0, 2, 3, 4]))
    assert defect(unit).item() < 1e-7


def test_norms_of_posits_round_once_and_the_root_once() -> None:
    rng = np.random.default_rng(4)
    for _ in range(30):
        x = model.random_like(Cl3, Cl3.blades(), rng, spec=bposit16)
        exact = sum(u * u for u in model.element(x).values())
        rounded = posit.from_fraction(exact, bposit16)
        assert posit.encode(norm_squared(x).item(), bposit16) == rounded
        assert posit.encode(norm(x).item(), bposit16) == posit.sqrt(rounded, bposit16)


def test_defects() -> None:
    assert defect(Cl3.rotor([1.0, 0, 0, 0])).item() == 0
    assert defect(Cl3.rotor([2.0, 0, 0, 0])).item() == 3
    not_a_rotor = Algebra(4).multivector([0.8, 0.6], blades=("1", "e1234"))
    assert norm(not_a_rotor).item() == pytest.approx(1)
    assert defect(not_a_rotor).item() == pytest.approx(0.96)


# ---- versors
@every_algebra
def test_versors_keep_grades(algebra: Algebra) -> None:
    """The whole sandwich has no more than act computes."""
    r = exp(bivectors(algebra, 5, 0.8))
    for k in range(algebra.dimension + 1):
        n = len(algebra.blades(grades=(k,)))
        x = torch.randn(5, n, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
        blade = algebra.multivector(x, grades=(k,))
        everything = sandwich(r, blade)
        moved = act(r, blade)
        assert moved.grades == (k,)
        assert largest(everything - moved) < 3e-14


def test_a_reflection() -> None:
    mirror, v = Cl3.vector([0.0, 2, 0]), Cl3.vector([1.0, 2, 3])
    assert act(mirror, v, unit=False).coefficients.tolist() == [1, -2, 3]
    twice = act(mirror * Cl3.vector([1.0, 0, 0]), v, unit=False)
    assert twice.coefficients.tolist() == [-1, -2, 3]
    with pytest.raises(ValueError, match=r"even or odd; this multivector has the grades \(0, 1\)"):
        act(mirror + 1.0, v)


def test_one_rotor_for_many_points() -> None:
    r, points = exp(Cl3.bivector([0.0, 0.5, 0])), torch.randn(1000, 3)
    moved = act(r, Cl3.vector(points)).coefficients
    torch.testing.assert_close(moved.norm(dim=-1), points.norm(dim=-1))
    matrix = act(r, Cl3.vector(torch.eye(3))).coefficients
    torch.testing.assert_close(moved, points @ matrix)
    several = exp(Cl3.bivector(torch.randn(4, 1, 3)))
    assert act(several, Cl3.vector(points)).shape == (4, 1000)


def test_a_sandwich_rounds_twice() -> None:
    """Never more often; and not once, which some coefficients tell."""
    rng = np.random.default_rng(5)
    gp, once_differs = model.PRODUCTS["geometric"], 0
    for _ in range(20):
        r, v = (
            Cl3.multivector(rng.standard_normal(len(b)), blades=b, spec=bposit16)
            for b in (Cl3.even, Cl3.blades(grades=(1,)))
        )
        found, back = sandwich(r, v), model.CHANGES["reverse"](model.element(r), Cl3)
        twice = gp(model.element(r * v), back, Cl3)
        assert model.bits(found) == model.encoded(twice, found.blades, bposit16)
        once = gp(gp(model.element(r), model.element(v), Cl3), back, Cl3)
        once_differs += model.bits(found) != model.encoded(once, found.blades, bposit16)
    assert once_differs > 5


@pytest.mark.parametrize("spec", [None, bposit16], ids=str)
def test_empty_batches(spec: posit.PositSpec | None) -> None:
    b = PGA3D.bivector(torch.ones(0, 6), spec=spec)
    r, v = exp(b), PGA3D.vector(torch.ones(0, 4), spec=spec)
    for found in (r, log(r), inverse(r), act(r, v), sandwich(r, v), normalized(r), v.dual() & v):
        assert found.shape == (0,)
    assert norm(r).shape == defect(r).shape == (0,)


# ---- what cannot be
def test_errors_say_what_is_possible() -> None:
    v = Cl3.vector([1.0, 2, 3])
    for bad, error, match in (
        (lambda: v * PGA3D.vector([1.0, 2, 3, 4]), TypeError, r"Cl\(3,0,0\) and Cl\(3,0,1\) do"),
        (lambda: v + STA.vector([1.0, 2, 3, 4]), TypeError, r"do not mix"),
        (lambda: v * v.rounded(bposit16), TypeError, r"floats and of posits of <16,6,5>"),
        (lambda: v.rounded(bposit32) + v.rounded(bposit16), TypeError, "do not mix"),
        (lambda: v * v.floats(torch.float64), TypeError, "torch.float32 and torch.float64"),
        (lambda: v ^ 3.0, TypeError, "outer product is of two multivectors; got float"),
        (lambda: exp(v), ValueError, r"exp is of bivectors; this multivector has the grades \(1"),
        (lambda: log(v), ValueError, "even"),
        (lambda: v.grade(4), ValueError, r"Cl\(3,0,0\) has the grades 0 to 3, not 4"),
        (lambda: v["e4"], ValueError, "no blade 'e4'; its blades are 1, e1, e2, e12"),
        (lambda: Cl3.blades(blades=(9,)), ValueError, "9 is no blade mask"),
        (lambda: Cl3.blades(blades=("e1", 1)), ValueError, "named twice"),
        (lambda: Cl3.blades((1,), ("e1",)), ValueError, "not both"),
        (lambda: Cl3.vector([1.0, 2]), ValueError, "for 3 blades: e1, e2, e3"),
        (lambda: Cl3.vector(torch.arange(3)), TypeError, "float32 or float64, got torch.int64"),
        (lambda: Algebra(5, 2), ValueError, "at most 6"),
        (
            lambda: Cl3.vector(torch.ones(3, 3)) * Cl3.vector(torch.ones(2, 3)),
            ValueError,
            r"shapes \(3,\) and \(2,\) do not broadcast",
        ),
        (lambda: Algebra(-1), ValueError, "from 0"),
        (lambda: Cl3.vector([1.0, 2, 3], spec="bposit64"), TypeError, "does not fit float64"),
        (lambda: v.replace(torch.ones(2)), ValueError, "2 coefficients for 3 blades"),
    ):
        with pytest.raises(error, match=match):
            bad()


def test_how_they_print() -> None:
    assert repr(Cl3.rotor([0.5, 0, -2.0, 0])) == "0.5 + -2·e13"
    assert repr(Cl3.vector([0.0, 0, 0])) == "0"
    batch = Cl3.vector(torch.ones(2, 3), spec=bposit16)
    assert repr(batch) == "Multivector of Algebra(3, 0, 0), <16,6,5>, batch (2,): e1 e2 e3"
    assert repr(PGA3D) == "Algebra(3, 0, 1)"
