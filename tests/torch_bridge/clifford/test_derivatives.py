"""Reverse and forward mode, twice too; vmap; compiled code; exact gradients of posits."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import grad, jacfwd, jacrev, jvp, vmap
from torch.library import opcheck

import posit
from posit import bposit16, bposit32
from torch_bridge import gradients, ops
from torch_bridge.clifford import (
    CGA3D,
    PGA3D,
    STA,
    Algebra,
    Cl3,
    Multivector,
    act,
    exp,
    inverse,
    log,
    norm,
    normalized,
)
from torch_bridge.clifford._product import multiply
from torch_bridge.clifford._results import multiplied

from . import model

pytestmark = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script. is deprecated:DeprecationWarning"  # torch.func.jvp's own use of it
)
F8 = torch.float64


def randn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.5 * torch.randn(shape, generator=generator, dtype=F8)


def size(algebra: Algebra, *grades: int) -> int:
    return len(algebra.blades(grades=grades))


def functions(algebra: Algebra) -> dict[str, tuple[Callable[..., Tensor], list[Tensor]]]:
    n, b, v = 1 << algebra.dimension, size(algebra, 2), algebra.dimension
    whole = algebra.multivector
    return {
        "geometric": (lambda x, y: (whole(x) * whole(y)).coefficients, [randn(2, n), randn(n)]),
        "broadcast": (
            lambda x, y: (algebra.bivector(x) * algebra.vector(y)).coefficients,
            [randn(3, 1, b), randn(2, v)],
        ),
        "regressive": (lambda x, y: (whole(x) & whole(y)).coefficients, [randn(n), randn(2, n)]),
        "part": (
            lambda x, y: whole(x).geometric(algebra.vector(y), grades=(1,)).coefficients,
            [randn(n), randn(v)],
        ),
        "act": (
            lambda x, y: act(exp(algebra.bivector(x)), algebra.vector(y)).coefficients,
            [randn(2, b), randn(2, v)],
        ),
        "exp log": (
            lambda x, y: log(exp(algebra.bivector(x)) * exp(algebra.bivector(y))).coefficients,
            [randn(b), randn(b)],
        ),
        "inverse": (lambda x: inverse(whole(x) + 2.0).coefficients, [randn(n)]),
        "norm": (lambda x: norm(whole(x) + 3.0), [randn(2, n)]),
    }


every_algebra = pytest.mark.parametrize("algebra", [Cl3, PGA3D, STA, CGA3D], ids=str)
every_function = pytest.mark.parametrize("name", functions(Cl3))


@every_function
@every_algebra
def test_gradcheck(algebra: Algebra, name: str) -> None:
    function, x = functions(algebra)[name]
    leaves = [v.clone().requires_grad_() for v in x]
    few = algebra != Cl3  # what matrix_exp costs
    assert torch.autograd.gradcheck(
        function, leaves, check_forward_ad=True, check_batched_grad=not few, fast_mode=few
    )


@pytest.mark.parametrize("name", ["geometric", "broadcast", "regressive"])
def test_second_derivatives(name: str) -> None:
    function, x = functions(Cl3)[name]
    leaves = [v.clone().requires_grad_() for v in x]
    assert torch.autograd.gradgradcheck(function, leaves, check_fwd_over_rev=True)


@every_function
def test_jacobians_of_either_mode(name: str) -> None:
    function, x = functions(PGA3D)[name]
    torch.testing.assert_close(jacfwd(function)(*x), jacrev(function)(*x))


def test_derivatives_where_formulas_change() -> None:
    """At s = 0 and at the ends of the series near it, cos, 1 and cosh are one function."""
    for algebra in (Algebra(2), Algebra(1, 1), Algebra(0, 0, 2)):
        for x in (0.0, 1e-9, 0.124999, 0.125001, 0.03124, 0.03126, 2.0):
            b = torch.tensor([x], dtype=F8, requires_grad=True)
            assert torch.autograd.gradcheck(
                lambda b, a=algebra: exp(a.bivector(b)).coefficients, (b,), check_forward_ad=True
            )
            assert torch.autograd.gradcheck(
                lambda b, a=algebra: log(exp(a.bivector(b))).coefficients, (b,)
            )
            (first,) = torch.autograd.grad(exp(algebra.bivector(b))["1"], b, create_graph=True)
            (second,) = torch.autograd.grad(first, b)
            square = (algebra.blade("e12", F8) * algebra.blade("e12", F8))["1"]
            wanted = square * exp(algebra.bivector(b.detach()))["1"]
            torch.testing.assert_close(second[0], wanted)


# ---- torch.func takes and gives multivectors
def test_multivectors_are_trees_of_tensors() -> None:
    r, v = exp(Cl3.bivector(randn(3))), Cl3.vector(randn(5, 3, seed=1))
    dr, dv = Cl3.rotor(randn(4, seed=2)), Cl3.vector(randn(5, 3, seed=3))
    out, tangent = jvp(act, (r, v), (dr, dv))
    assert isinstance(out, Multivector)
    exact = (
        dr * v * ~r + r * dv * ~r + r * v * ~dr
    ).grade(1)  # fmt: skip
    torch.testing.assert_close(tangent.coefficients, exact.coefficients)
    slope = grad(lambda r: act(r, v)["e1"].sum())(r)
    assert isinstance(slope, Multivector)
    assert slope.blades == r.blades
    batch = vmap(act, in_dims=(None, 0))(r, v)
    torch.testing.assert_close(batch.coefficients, act(r, v).coefficients)
    pairs = vmap(lambda r, v: act(r, v), in_dims=(0, None))(exp(Cl3.bivector(randn(4, 3))), v)
    assert pairs.shape == (4, 5)


@pytest.mark.parametrize("dims", [(0, 0), (0, None), (None, 0), (1, 0)])
@pytest.mark.parametrize("spec", [None, bposit16], ids=str)
def test_vmap(dims: tuple[int | None, int | None], spec: Any) -> None:
    x = randn(3, 3, 8) if dims[0] is not None else randn(3, 8)
    y = randn(3, 2, 1, 8, seed=1) if dims[1] is not None else randn(2, 1, 8)

    def function(x: Tensor, y: Tensor) -> Tensor:
        return (Cl3.multivector(x, spec=spec) * Cl3.multivector(y, spec=spec)).coefficients

    found = vmap(function, in_dims=dims)(x, y)
    for i in range(3):
        one = [v if d is None else v.select(d, i) for v, d in zip((x, y), dims, strict=True)]
        assert torch.equal(found[i], function(*one))


# ---- compiled
@every_function
@every_algebra
def test_compiled(algebra: Algebra, name: str) -> None:
    function, x = functions(algebra)[name]
    if name == "exp log" and algebra == CGA3D:
        pytest.skip("as PGA3D, and slow to trace")
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    leaves = [[v.clone().requires_grad_() for v in x] for _ in range(2)]
    made = [f(*v) for f, v in zip((compiled, function), leaves, strict=True)]
    assert torch.equal(made[0], made[1])
    slopes = [torch.autograd.grad(m.square().sum(), v) for m, v in zip(made, leaves, strict=True)]
    assert all(map(torch.equal, *slopes))


def test_compiled_multivectors() -> None:
    """They go in and out, with operators, indices and every algebra."""

    def function(r: Multivector, x: Multivector, t: Tensor) -> Multivector:
        y = act(normalized(r), x) * t + (t - x) / 2.0 - x * 3.0
        return (y ^ x) + (y | x) + (y << x) + (x >> y) + (y & x.dual()) - y["e1"]

    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    for algebra in (Cl3, PGA3D):
        r = exp(algebra.bivector(randn(size(algebra, 2))))
        x = algebra.vector(randn(4, algebra.dimension))
        t = torch.linspace(1, 2, 4, dtype=F8)
        found, wanted = compiled(r, x, t), function(r, x, t)
        assert found.blades == wanted.blades
        assert torch.equal(found.coefficients, wanted.coefficients)


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("spec", [None, "bposit16"])
def test_compiled_by_inductor(spec: str | None) -> None:
    def function(x: Tensor, y: Tensor) -> Tensor:
        product = Cl3.multivector(x, spec=spec) * Cl3.bivector(y, spec=spec)
        return normalized(product).coefficients

    x, y = randn(3, 8), randn(3, 3, seed=1)
    assert torch.equal(torch.compile(function, fullgraph=True)(x, y), function(x, y))


def test_compiled_forward_mode_is_refused() -> None:
    """Dynamo would give zeros; outside full graphs the derivative is taken eagerly."""
    function, (x, y) = functions(Cl3)["geometric"]

    def tangent(x: Tensor, y: Tensor) -> Tensor:
        return jvp(function, (x, y), (x, y))[1]

    with pytest.raises(Exception, match="forward-mode derivatives do not compile"):
        torch.compile(tangent, fullgraph=True, backend="aot_eager")(x, y)
    broken = torch.compile(tangent, backend="aot_eager")(x, y)
    torch.testing.assert_close(broken, 2 * function(x, y))


def test_opcheck() -> None:
    a, b = Cl3.even, Cl3.blades(grades=(1,))
    spaces = [Cl3.multivector(torch.ones(len(s)), blades=s)._space for s in (a, b)]
    form, _ = multiplied("geometric", *spaces)
    op = torch.ops.bposit.clifford_product
    for spec in ("", "16,6,5", "58,6,3"):
        x, y = (randn(2, 3, n).requires_grad_() for n in (4, 3))
        opcheck(op, (x, y, form, 2, [], spec))
        opcheck(op, (x, randn(1, 3, 4).requires_grad_(), form, 1, [0], spec))


# ---- posits: each element of a gradient or tangent is one exact sum, rounded once
def exact_gradient(form: str, x: Tensor, y: Tensor, g: Tensor, which: int) -> Tensor:
    """The sum over the batch and over terms, in fractions: products with unit coefficients."""
    n = (x if which == 0 else y).shape[-1]
    made = []
    for i in range(n):
        unit = torch.zeros(n, dtype=F8)
        unit[i] = 1.0
        total = Fraction(0)
        for row in range(g.shape[0]):
            other = (y if which == 0 else x)[row]
            pair = (unit, other) if which == 0 else (other, unit)
            column = multiply(*pair, form)  # one product of a coefficient with ±1: exact
            total += sum(
                Fraction(c) * Fraction(d)
                for c, d in zip(column.tolist(), g[row].tolist(), strict=True)
            )
        made.append(posit.to_fraction(posit.from_fraction(total, bposit16), bposit16))
    return torch.tensor([float(v) for v in made if v is not None], dtype=F8)


@pytest.mark.parametrize("which", [0, 1])
def test_gradients_of_posits_are_rounded_once(which: int) -> None:
    rng = np.random.default_rng(6)
    blades = STA.even, STA.blades(grades=(1, 4))
    x, y = (
        torch.stack([model.random_like(STA, s, rng, spec=bposit16).coefficients for _ in range(7)])
        for s in blades
    )
    places = [STA.multivector(v, blades=s)._space for v, s in zip((x, y), blades, strict=True)]
    form, made = multiplied("geometric", *places)
    shared = [x, y][which][:1].clone().requires_grad_()
    pair = (shared, y) if which == 0 else (x, shared)
    out = multiply(*pair, form, "16,6,5")
    g = ops.fake_quant(torch.from_numpy(rng.standard_normal(tuple(out.shape))), bposit16)
    (found,) = torch.autograd.grad(out, shared, g, retain_graph=True)
    wide = [v.expand(7, -1).detach() for v in pair]
    wanted = exact_gradient(form, *wide, g, which)
    assert torch.equal(found[0], wanted)
    assert made

    parameter = torch.nn.Parameter(shared.detach().clone())
    gradients.collect([parameter])
    for rows in (slice(0, 3), slice(3, 7)):  # micro-batches add up exactly
        part = (parameter, y[rows]) if which == 0 else (x[rows], parameter)
        multiply(*part, form, "16,6,5").backward(g[rows])
    assert parameter.grad is None
    assert torch.equal(
        ops.decode(torch.from_numpy(gradients.rounded(parameter, bposit16)), bposit16)[0], wanted
    )


def test_tangents_of_posits_are_rounded_once() -> None:
    rng = np.random.default_rng(7)
    x, dx, y, dy = (model.random_like(Cl3, Cl3.blades(), rng, spec=bposit16) for _ in range(4))
    _, tangent = jvp(lambda a, b: a * b, (x, y), (dx, dy))
    gp = model.PRODUCTS["geometric"]
    parts = [gp(model.element(a), model.element(b), Cl3) for a, b in ((dx, y), (x, dy))]
    exact = {b: parts[0].get(b, 0) + parts[1].get(b, 0) for b in {*parts[0], *parts[1]}}
    found = Cl3.multivector(tangent.coefficients, spec=bposit16)
    assert model.bits(found) == model.encoded(exact, found.blades, bposit16)


def test_gradients_of_posits_are_posits() -> None:
    b = randn(4, 3).requires_grad_()
    v = Cl3.vector(randn(4, 3), spec=bposit32)
    out = act(exp(Cl3.bivector(b, spec=bposit32)), v)
    out.coefficients.square().sum().backward()
    plain = b.detach().clone().requires_grad_()
    act(exp(Cl3.bivector(plain)), v.floats()).coefficients.square().sum().backward()
    torch.testing.assert_close(b.grad, plain.grad, rtol=1e-5, atol=1e-6)
    assert torch.equal(ops.fake_quant(b.grad, bposit32), b.grad)
