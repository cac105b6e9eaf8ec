"""Layers: equivariance, exact sums, their parameters and gradients, and what they refuse."""

from __future__ import annotations

import copy
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import posit
from posit import bposit16, bposit32
from torch_bridge import gradients, ops
from torch_bridge.clifford import (
    CGA3D,
    PGA3D,
    STA,
    Algebra,
    Cl3,
    GradePreserving,
    Multivector,
    RotorAdam,
    act,
    defect,
    exp,
)
from torch_bridge.clifford.nn import EquivariantLayer, GradeLinear, RotorLayer
from torch_bridge.optim import PositSGD

from .test_rotors import F8, randn

ALGEBRAS = [Cl3, Algebra(2), PGA3D, STA, CGA3D]
every_algebra = pytest.mark.parametrize("algebra", ALGEBRAS, ids=str)


def batch(algebra: Algebra, *shape: int, seed: int = 0, **how: Any) -> Multivector:
    """Multivectors small enough for their boosts."""
    n = len(algebra.blades(how.get("grades"), how.get("blades")))
    return algebra.multivector(0.3 * randn(*shape, n, seed=seed), **how)


def versors(algebra: Algebra) -> list[Multivector]:
    """A rotor and a reflection."""
    n = len(algebra.blades(grades=(2,)))
    mirror = torch.zeros(algebra.dimension, dtype=F8)
    mirror[algebra.r] = 1.0
    return [exp(algebra.bivector(0.4 * randn(n, seed=1))), algebra.vector(mirror)]


def equivariance_error(layer: Callable[[Multivector], Multivector], x: Multivector) -> float:
    """How far turning what goes in is from turning what comes out, in units of the latter."""
    worst = 0.0
    with torch.no_grad():
        for v in versors(x.algebra):
            there, back = layer(act(v, x)), act(v, layer(x))
            size = back.coefficients.abs().max()
            worst = max(worst, float((there - back).coefficients.abs().max() / size))
    return worst


# ---- equivariance
@every_algebra
@pytest.mark.parametrize("make", [GradeLinear, EquivariantLayer])
def test_layers_are_equivariant(algebra: Algebra, make: Any) -> None:
    torch.manual_seed(0)
    layer = make(algebra, 3, 2, dtype=F8)
    assert equivariance_error(layer, batch(algebra, 5, 3)) < 1e-12
    two = nn.Sequential(EquivariantLayer(algebra, 3, 4, dtype=F8), make(algebra, 4, 2, dtype=F8))
    assert equivariance_error(two, batch(algebra, 5, 3)) < 1e-11


@pytest.mark.parametrize(("spec", "bound"), [(bposit16, 2e-2), (bposit32, 1e-6)], ids=str)
def test_equivariance_of_posits_holds_up_to_rounding(spec: Any, bound: float) -> None:
    torch.manual_seed(0)
    layer = EquivariantLayer(Cl3, 3, 2, spec=spec)

    def rounding(x: Multivector) -> Multivector:
        return layer(x.rounded(spec)).floats()

    error = equivariance_error(rounding, batch(Cl3, 5, 3))
    assert bound / 1000 < error < bound


def test_what_is_not_equivariant_is_seen() -> None:
    """Weights of blades instead of grades, and rotors that stay where they are."""
    weight = randn(2, 3, 8, seed=2)

    def by_blade(x: Multivector) -> Multivector:
        return Cl3.multivector(torch.einsum("oib,nib->nob", weight, x.coefficients))

    x = batch(Cl3, 5, 3)
    assert equivariance_error(by_blade, x) > 1e-2
    assert equivariance_error(RotorLayer(Cl3, 3, dtype=F8), x) > 1e-2


# ---- GradeLinear
@pytest.mark.parametrize("spec", [None, bposit16], ids=str)
def test_a_grade_mixes_channels_and_nothing_else(spec: Any) -> None:
    layer = GradeLinear(STA, 3, 2, spec=spec, dtype=F8)
    assert layer.bias is not None
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([1.0, -2.0]))
    x = batch(STA, 4, 3, spec=spec)
    found = layer(x)
    assert found.shape == (4, 2)
    assert found.spec == spec
    for k, weight in zip(layer.grades, layer.weights, strict=True):
        exact = torch.einsum("oi,nib->nob", weight, x.grade(k).coefficients)
        exact = exact + layer.bias[:, None] if k == 0 else exact
        within = 1e-12 if spec is None else 2**-7
        torch.testing.assert_close(found.grade(k).coefficients, exact, rtol=within, atol=within)


def test_sums_over_channels_are_rounded_once() -> None:
    torch.manual_seed(1)
    layer = GradeLinear(Cl3, 5, 2, spec=bposit16)
    assert layer.bias is not None
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([0.3125, -4.0]))
    x = batch(Cl3, 3, 5, spec=bposit16)
    found = layer(x)
    differ = 0
    for n in range(3):
        for o in range(2):
            for blade in Cl3.names():
                k = 0 if blade == "1" else len(blade) - 1
                weights, parts = layer.weights[k][o].tolist(), x[blade][n].tolist()
                terms = [Fraction(w) * Fraction(v) for w, v in zip(weights, parts, strict=True)]
                shift = Fraction(layer.bias[o].item()) if k == 0 else Fraction(0)
                wanted = posit.from_fraction(sum(terms, shift), bposit16)
                assert posit.encode(found[blade][n, o].item(), bposit16) == wanted
                step = ops.fake_quant(torch.tensor([float(t) for t in terms]), bposit16)
                twice = Fraction(step.sum().item()) + shift
                differ += posit.from_fraction(twice, bposit16) != wanted
    assert differ > 5  # rounding products first would have been seen


def test_gradients_of_weights_are_exact_over_blades_and_batches() -> None:
    """One sum over batch and blades, rounded once; the same bits for any division of the batch."""
    torch.manual_seed(2)
    layer = GradeLinear(Cl3, 3, 2, spec=bposit16)
    x = batch(Cl3, 12, 3, spec=bposit16)
    slope = ops.fake_quant(randn(12, 2, 8, seed=3), bposit16)
    found = []
    for parts in (1, 4):
        twin = copy.deepcopy(layer)
        gradients.collect(twin.parameters())
        for rows in torch.arange(12).chunk(parts):
            twin(x[rows]).coefficients.backward(slope[rows])
        assert all(p.grad is None for p in twin.parameters())
        gradients.write(twin.parameters())
        found.append([p.grad for p in (*twin.weights, twin.bias)])
    assert all(map(torch.equal, *found))
    vectors = [Cl3.blades().index(m) for m in Cl3.blades(grades=(1,))]
    for o in range(2):
        for i in range(3):
            g, v = slope[:, o, vectors].flatten(), x.grade(1).coefficients[:, i].flatten()
            exact = sum(
                Fraction(a) * Fraction(b) for a, b in zip(g.tolist(), v.tolist(), strict=True)
            )
            wanted = posit.from_fraction(exact, bposit16)
            assert posit.encode(found[0][1][o, i].item(), bposit16) == wanted


def test_blades_and_grades_of_a_layer() -> None:
    layer = GradeLinear(PGA3D, 2, 3, blades=("1", "e12", "e01", "e0123"))
    assert layer.grades == (0, 2, 4)
    assert [tuple(w.shape) for w in layer.weights] == [(3, 2)] * 3
    out = layer(PGA3D.multivector(torch.ones(7, 2, 2), blades=("e12", "e01")))
    assert out.blades == layer.blades
    assert out["e12"].equal(out["e01"])
    assert not out["e0123"].any()
    assert GradeLinear(Cl3, 2, 3, grades=(1,)).bias is None
    assert GradeLinear(Cl3, 2, 3, bias=False).bias is None
    assert "1 e01 e12 e0123" in repr(layer)


# ---- RotorLayer
@pytest.mark.parametrize("stored", ["rotor", "generator"])
@pytest.mark.parametrize("spec", [None, bposit16, bposit32], ids=str)
@every_algebra
def test_channels_are_turned(algebra: Algebra, stored: str, spec: Any) -> None:
    torch.manual_seed(3)
    layer = RotorLayer(algebra, 3, stored=stored, std=0.3, spec=spec, dtype=F8)
    x = batch(algebra, 6, 3, grades=(1,), spec=spec)
    found, exact = layer(x), act(layer.rotor().floats(), x.floats())
    assert found.spec == spec
    assert found.blades == x.blades
    within = 1e-12 if spec is None else 0.02 if spec == bposit16 else 1e-6
    torch.testing.assert_close(found.coefficients, exact.coefficients, rtol=within, atol=within)
    kept = spec is None or (spec == bposit32) or stored == "generator"
    assert (defect(layer.rotor()).max() < 1e-6) == kept


def test_a_rotor_layer_learns_on_its_manifold() -> None:
    torch.manual_seed(4)
    layer, goal = (RotorLayer(Cl3, 2, spec=bposit32, std=s) for s in (0.1, 0.5))
    optimizer = RotorAdam(layer.parameters(), lr=0.05, algebra=Cl3, spec=bposit32)
    x = batch(Cl3, 16, 2, grades=(1,), spec=bposit32)
    wanted = goal(x).coefficients.detach()
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        off = layer(x).coefficients - wanted
        losses.append(float(off.square().sum().detach()))
        off.square().sum().backward()
        optimizer.step()
        assert optimizer.defect < 1e-6
    assert losses[-1] < 5e-3 * losses[0]


def test_a_generator_is_learnt_by_any_optimizer() -> None:
    torch.manual_seed(5)
    layer, goal = (RotorLayer(Cl3, 2, stored="generator", spec=bposit16) for _ in range(2))
    optimizer = PositSGD(layer.parameters(), lr=0.1, spec=bposit16)
    x = batch(Cl3, 16, 2, grades=(1,), spec=bposit16)
    wanted = goal(x).coefficients.detach()
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        off = ops.sub(layer(x).coefficients, wanted, spec=bposit16)
        losses.append(float(off.square().sum().detach()))
        ops.dot(off.flatten(), off.flatten(), spec=bposit16).backward()
        optimizer.step()
        assert defect(layer.rotor()).max() < 1e-6
    assert losses[-1] < 0.3 * losses[0]


# ---- as modules
@pytest.mark.parametrize(
    "make",
    [
        lambda: GradeLinear(PGA3D, 3, 2),
        lambda: EquivariantLayer(Cl3, 3, 2),
        lambda: RotorLayer(Cl3, 3),
        lambda: RotorLayer(Cl3, 3, stored="generator", spec="bposit16"),
        lambda: EquivariantLayer(Cl3, 3, 2, spec="bposit16"),
    ],
)
def test_they_are_modules(make: Callable[[], nn.Module]) -> None:
    """State goes to files and back; batches may be empty; compiled code gives eager's bits."""
    one, other = make(), make()
    algebra = next(m.algebra for m in one.modules() if hasattr(m, "algebra"))
    spec = next(m.spec for m in one.modules() if hasattr(m, "spec")) or None
    x = batch(algebra, 4, 3)
    x = x.rounded(spec) if spec else x.floats(torch.float32)
    other.load_state_dict(one.state_dict())
    first = one(x).coefficients
    assert torch.equal(other(x).coefficients, first)
    assert torch.equal(copy.deepcopy(one)(x).coefficients, first)
    assert one(x[:0]).shape[0] == 0
    compiled = torch.compile(one, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x).coefficients, first)
    first.sum().backward()
    gradients.write(one.parameters())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in one.parameters())
    assert spec is None or all(ops.fake_quant(p, spec).equal(p) for p in one.parameters())


def test_layers_with_masked_weights() -> None:
    """A dense weight beside layers, kept even by the wrapper, as a module's parameters are."""
    torch.manual_seed(6)
    mixing = nn.Parameter(torch.zeros(2, 8))
    with torch.no_grad():
        mixing[:, 0] = 1.0
    layer = GradeLinear(Cl3, 2, 2)
    mask = Cl3.mask(blades=Cl3.even)
    inner = torch.optim.AdamW([mixing, *layer.parameters()], lr=0.05)
    optimizer = GradePreserving(inner, {mixing: mask})
    x = batch(Cl3, 8, 2).floats(torch.float32)
    for _ in range(5):
        optimizer.zero_grad()
        layer(Cl3.multivector(mixing) * x).coefficients.square().sum().backward()
        optimizer.step()
    assert not mixing[:, ~mask].any()
    assert mixing[:, mask].all()


# ---- what cannot be
def test_errors() -> None:
    layer, rotors = GradeLinear(Cl3, 3, 2, grades=(0, 1)), RotorLayer(Cl3, 3, spec=bposit16)
    good = torch.ones(5, 3, 3)

    def refused(call: Callable[[], Any], error: type[Exception], match: str) -> None:
        with pytest.raises(error, match=match):
            call()

    refused(lambda: layer(Algebra(2, 1).vector(good)), TypeError, r"of Algebra\(3, 0, 0\), its inp")
    refused(lambda: layer(Cl3.vector(good, spec=bposit16)), TypeError, "layer is of floats, its in")
    refused(lambda: layer(Cl3.bivector(good)), ValueError, "e12, e13, e23, which the declared")
    refused(lambda: layer(Cl3.vector(good[:, :2])), ValueError, r"\(..., 3\), got \(5, 2\)")
    refused(lambda: layer(Cl3.vector(torch.ones(3))), ValueError, r"got \(\)")
    refused(lambda: rotors(Cl3.vector(good)), TypeError, "posits of <16,6,5>, its input of floats")
    refused(lambda: rotors(Cl3.vector(good[:, :2], spec=bposit16)), ValueError, r"got \(5, 2\)")
    refused(lambda: RotorLayer(Cl3, 3, stored="matrix"), ValueError, "'rotor' and 'generator'")
    refused(lambda: GradeLinear(Cl3, 3, 2, grades=(4,)), ValueError, "grades 0 to 3, not 4")
    refused(lambda: EquivariantLayer(Algebra(1), 3, 2)(Algebra(1).scalar([1.0] * 3)),
            ValueError, "grades 0 to 1, not 2")  # fmt: skip


def test_nar_reaches_its_grade_alone() -> None:
    x = Cl3.multivector(torch.ones(1, 2, 8), spec=bposit16)
    x.coefficients[0, 0, 1] = torch.nan
    found: Tensor = GradeLinear(Cl3, 2, 1, spec=bposit16)(x)
    assert found["e1"].isnan().all()
    assert not any(found[name].isnan().any() for name in Cl3.names() if name != "e1")
