"""Derivatives of PositTensors are torch's formulas in posit arithmetic, in every mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

import posit
import quire
import torch_bridge as tb
from posit import bposit16, bposit32

Function = Callable[..., Any]
pytestmark = pytest.mark.filterwarnings(  # torch's own, where forward mode is first used
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
)


def sample(*shape: int, seed: int = 0, spec: Any = bposit32) -> tb.PositTensor:
    made = torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) + 0.25
    return tb.tensor(made, spec=spec)


FUNCTIONS: dict[str, Function] = {
    "add": lambda x: (x + x[0]).sum(),
    "mul": lambda x: (x * x * x[:1]).sum(),
    "div": lambda x: (x / (x[0] + 1)).sum(),
    "rdiv": lambda x: (3 / x).sum(),
    "pow": lambda x: (x**3 + x**x).sum(),
    "mean": lambda x: (x * x).mean(),
    "mean of axes": lambda x: (x.mean(0) * x.mean(1, True)).sum(),
    "norm": lambda x: x.norm(),
    "matmul": lambda x: (x @ x.mT @ x).sum(),
    "linear": lambda x: torch.nn.functional.linear(x, x, x[:, 0]).sum(),
    "bmm": lambda x: torch.bmm(x[None], x.mT[None]).sum(),
    "exp": lambda x: (x.exp() + x.expm1() + x.exp2()).sum(),
    "log": lambda x: (x.log() + x.log1p() + x.log2() + x.log10()).sum(),
    "root": lambda x: (x.sqrt() + x.rsqrt() + x.reciprocal()).sum(),
    "sine": lambda x: (x.sin() * x.cos() + x.tan()).sum(),
    "hyperbolic": lambda x: (x.tanh() * x.cosh() + x.sinh()).sum(),
    "inverse": lambda x: ((x / 2).asin() + (x / 2).acos() + x.atan() + x.asinh()).sum(),
    "angle": lambda x: (torch.atan2(x, x + 1) + torch.hypot(x, x * 2)).sum(),
    "order": lambda x: (x.relu() + x.abs() + x.clamp(0.5, 1) + torch.maximum(x, x.mean())).sum(),
    "max": lambda x: x.max(1).values.sum() + x.amax() + x.min(),
    "index": lambda x: (x[[0, 0, 1]] * x[1, 2]).sum(),
    "embedding": lambda x: torch.nn.functional.embedding(torch.tensor([1, 1, 0]), x).exp().sum(),
    "cat": lambda x: (torch.cat([x, x * x]) * torch.stack([x, x]).view(-1, x.shape[1])).sum(),
    "where": lambda x: torch.where(x > 0.5, x * x, 0.0).sum(),
    "gather": lambda x: (x.gather(1, torch.tensor([[0, 0], [2, 1]])) * x[:, :2]).sum(),
    "write": lambda x: x.clone().index_fill_(1, torch.tensor([0]), 2).mul(x).sum(),
    "addcmul": lambda x: torch.addcdiv(torch.addcmul(x, x, x, value=2), x, x + 1).sum(),
    "lerp": lambda x: torch.lerp(x, x * x, 0.75).sum(),
}  # fmt: skip


def close(made: Any, want: torch.Tensor, rounding: float = 1e-4) -> None:
    assert isinstance(made, tb.PositTensor)
    assert made.shape == want.shape
    np.testing.assert_allclose(made.tolist(), want.tolist(), rtol=rounding, atol=rounding)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_those_of_the_function(name: str) -> None:
    function = FUNCTIONS[name]
    x = sample(2, 3)
    want = grad(function)(x.double())
    leaf = x.clone().requires_grad_()
    function(leaf).backward()
    close(leaf.grad, want)
    assert leaf.grad.spec == bposit32
    by_function = grad(function)(x)
    if name != "rdiv":  # inside torch's own classes a / b is a · (1 / b)
        assert torch.equal(by_function.bits(), leaf.grad.bits())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_forward_mode(name: str) -> None:
    """Trap 14: a bare custom op gives a zero tangent."""
    function = FUNCTIONS[name]
    x, t = sample(2, 3), sample(2, 3, seed=1)
    with tb.emulate():  # constants such as log 2
        value, tangent = jvp(function, (x,), (t,))
    assert torch.equal(value.bits(), function(x).bits())
    close(tangent, jvp(function, (x.double(),), (t.double(),))[1])
    assert tangent.item() != 0


@pytest.mark.parametrize(
    "name", sorted(FUNCTIONS.keys() - {"where", "write", "gather", "embedding"})
)
def test_vmap_gives_the_bits_of_a_loop(name: str) -> None:
    function = FUNCTIONS[name]
    x = sample(4, 2, 3)
    for f in (function, grad(function)):
        batched = vmap(f)(x)
        alone = torch.stack([f(x[i]) for i in range(4)])
        assert isinstance(batched, tb.PositTensor)
        if name in ("rdiv", "linear"):  # and a batch of addmm is a product and a sum
            close(batched, alone.double(), 1e-6)
        else:
            assert torch.equal(batched.bits(), alone.bits())


def test_second_derivatives() -> None:
    x = sample(3)
    for f in (lambda a: (a * a * a).sum(), lambda a: (a.exp() / (a + 1)).sum()):
        want = hessian(f)(x.double())
        for make in (hessian, lambda f: jacrev(grad(f)), lambda f: jacfwd(grad(f))):
            close(make(f)(x), want)
        close(jvp(grad(f), (x,), (x,))[1], want @ x.double())
        leaf = x.clone().requires_grad_()
        (first,) = torch.autograd.grad(f(leaf), leaf, create_graph=True)
        first.sum().backward()
        close(leaf.grad, want.sum(0))


def test_gradients_of_products_are_exact_products() -> None:
    a, b = sample(4, 50, spec=bposit16), sample(50, 3, seed=1, spec=bposit16)
    g = sample(4, 3, seed=2, spec=bposit16)
    _, pull = vjp(torch.mm, a, b)
    da, db = pull(g)
    bits = [x.bits().numpy() for x in (a, b, g)]
    assert np.array_equal(da.bits().numpy(), quire.matmul(bits[2], bits[1].T, bposit16))
    assert np.array_equal(db.bits().numpy(), quire.matmul(bits[0].T, bits[2], bposit16))


def test_gradient_of_a_mean_is_rounded_once() -> None:
    """5000 is no posit of <16,6,5>, 1/5000 rounds to 0.00020027…; rounding both would differ."""
    x = sample(5000, spec=bposit16).requires_grad_()
    x.mean().backward()
    assert set(x.grad.tolist()) == {float(posit.Posit(1 / 5000, bposit16))}


def test_gradients_add_up_in_posits() -> None:
    p = torch.nn.Parameter(sample(3, spec=bposit16))
    for _ in range(3):
        (p * p).sum().backward()
    twice = p.detach() * 2
    assert torch.equal(p.grad, twice + twice + twice)
    torch.optim.SGD([p], lr=0.5).zero_grad(set_to_none=False)
    assert not p.grad.bits().any()


def test_repeated_places_gather_exact_sums() -> None:
    """1e20 + 1 - 1e20: a sum rounded at each step would lose the 1."""
    x = tb.tensor([[1.0]], spec=bposit16, requires_grad=True)
    weights = tb.tensor([[1e20], [1.0], [-1e20]], spec=bposit16)
    (torch.nn.functional.embedding(torch.tensor([0, 0, 0]), x) * weights).sum().backward()
    assert x.grad.tolist() == [[1]]
    x.grad = None
    (x[[0, 0, 0]] * weights).sum().backward()
    assert x.grad.tolist() == [[1]]
    x.grad = None
    (x.expand(3, 1) * weights).sum().backward()
    assert x.grad.tolist() == [[1]]


# ---- the gates
def test_derivatives_pass_the_gates() -> None:
    x = torch.linspace(-2, 2, 7, dtype=torch.float32, requires_grad=True)
    inside = tb.tensor(x, spec=bposit16)
    (inside * inside).double().mul(0.1).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.float32
    with torch.no_grad():
        want = tb.tensor(torch.tensor(0.1), spec=bposit16) * inside
        want = want + want
    assert torch.equal(x.grad, want.float())


def test_tangents_and_batches_pass_the_gates() -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        return tb.to_float64(tb.tensor(x, spec=bposit16) ** 2).sum()

    x = torch.tensor([1.0, 2.0, 0.1])
    rounded = tb.tensor(x, spec=bposit16).double()
    value, tangent = jvp(f, (x,), (torch.ones(3),))
    assert value.item() == tb.tensor(rounded**2, spec=bposit16).double().sum().item()
    np.testing.assert_allclose(tangent, 2 * rounded.sum(), rtol=1e-2)
    assert torch.equal(vmap(f)(x[:, None]), torch.stack([f(v) for v in x]))
    np.testing.assert_allclose(grad(f)(x), 2 * rounded, rtol=1e-2)
    wide = grad(lambda a: (tb.tensor(tb.tensor(a, spec=bposit32), spec=bposit16) ** 2).sum())(x)
    assert torch.equal(wide, grad(f)(x))


def test_a_new_leaf_is_detached() -> None:
    x = torch.ones(2, requires_grad=True)
    made = tb.tensor(x * 2, spec=bposit16, requires_grad=True)
    assert made.is_leaf
    made.sum().backward()
    assert x.grad is None
    with pytest.raises(TypeError, match=r"expected a PositTensor, got a tensor of torch\.float32"):
        tb.to_float64(x)
