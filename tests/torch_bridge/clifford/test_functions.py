"""Norms, inverses, versors: identities and exact cases; what cannot be; the examples."""

from __future__ import annotations

import doctest
import importlib

import numpy as np
import pytest
import torch

import posit
from posit import bposit16, bposit32
from torch_bridge.clifford import (
    PGA3D,
    STA,
    Algebra,
    Cl3,
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
from .test_exp_log import bivectors, largest

every_algebra = pytest.mark.parametrize("algebra", ALGEBRAS.values(), ids=ALGEBRAS)


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


@pytest.mark.parametrize("name", ["", ".algebra", ".multivector"])
def test_examples(name: str) -> None:
    done = doctest.testmod(importlib.import_module(f"torch_bridge.clifford{name}"))
    assert done.attempted
    assert not done.failed
