"""What functions mean inside a converted model: numbers, products, copies, casts, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import quire
from posit import bposit8, bposit16, bposit32, encode
from torch_bridge import PositConfig, Rounding, UnsupportedOp, gradients, ops

Function = Callable[[Tensor], Any]


def values(*shape: int) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return ops.fake_quant(x, bposit32)


def run(function: Function, x: Tensor, spec: Any = bposit32, **options: Any) -> Any:
    with Rounding(PositConfig.training(spec), **options):
        return function(x)


def agrees(function: Function, x: Tensor) -> None:
    leaves = [x.clone().requires_grad_() for _ in range(2)]
    ours, theirs = run(function, leaves[0]), function(leaves[1])
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
    assert torch.equal(ops.fake_quant(ours, bposit32), ours)
    weights = torch.linspace(-1, 1, theirs.numel(), dtype=torch.float64).reshape(theirs.shape)
    for out in (ours, theirs):
        (out * weights).sum().backward()
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad, atol=2e-6, rtol=2e-6)


NUMBERS: list[Function] = [
    lambda x: 2 * x + 1, lambda x: (1 - x) / 3, lambda x: 3 / (x + 10), lambda x: x - x.mean(),
    lambda x: torch.add(x, x, alpha=2), lambda x: x.sub(other=x * x), lambda x: x**2 + x**3,
    lambda x: x.abs() ** 0.5, lambda x: (x + 10) ** -1, lambda x: (x + 10).pow(-0.5),
    lambda x: x * (x > 0), lambda x: x / (x > 0).sum(), lambda x: torch.addcmul(x, x, x),
    lambda x: x.sum(axis=1), lambda x: torch.mean(x, (0, 1)), lambda x: torch.sum(x, 0, True),
    lambda x: x.clamp(-0.5, 0.5), lambda x: torch.clip(x, max=0.25), lambda x: x.clamp_max(0.5),
    lambda x: x.sin() + x.cos(), lambda x: torch.expm1(x) - torch.log1p(x.abs()),
    lambda x: (x + 10).rsqrt() * x.reciprocal(), lambda x: x.square().atan().sinh().cosh(),
    lambda x: x.round() + x.floor() * x, lambda x: x.softmax(0), lambda x: x.log_softmax(-1),
    lambda x: x.maximum(x * 2).amax(1), lambda x: F.softplus(x, 2.0),
]  # fmt: skip
PRODUCTS: list[Function] = [
    lambda x: x @ x.mT, lambda x: torch.mm(x, x.t()), lambda x: x.mm(x.T), lambda x: x.mv(x[0]),
    lambda x: x[0].dot(x[1]), lambda x: torch.bmm(x[None], x.mT[None]),
    lambda x: torch.addmm(x[0, :3], x, x.mT), lambda x: x.baddbmm(x[None], x.mT[None] @ x)[0],
    lambda x: torch.outer(x[0], x[:, 0]), lambda x: torch.einsum("ij,kj->ik", x, x),
    lambda x: torch.einsum("ij, ij -> i", x, x), lambda x: torch.einsum("ij,kl->lkji", x, x),
    lambda x: torch.einsum("bij,bkj->bik", [torch.stack([x, x]), torch.stack([x, -x])]),
    lambda x: F.linear(x, x, x[:, 0]), lambda x: F.conv1d(x[None], x[:, :3, None].repeat(1, 1, 2)),
]  # fmt: skip
COPIES: list[Function] = [
    lambda x: x[None].expand(3, -1, -1), lambda x: x[:1].expand_as(x), lambda x: x.repeat(2, 3),
    lambda x: torch.broadcast_to(x, (2, 3, 4)), lambda x: x[torch.tensor([0, 2, -1, 0])],
    lambda x: x[:, torch.tensor([1, 1])], lambda x: x[torch.tensor([True, False, True])],
    lambda x: x.gather(1, torch.tensor([[0, 0], [1, 2], [3, 3]])), lambda x: x.unfold(1, 2, 1),
    lambda x: x.index_select(0, torch.tensor([1, 1])), lambda x: torch.tile(x, (2,)),
    lambda x: x.take(torch.tensor([5, 5, 0])), lambda x: x.repeat_interleave(2, 0),
    lambda x: F.pad(x, (1, 1), mode="replicate"), lambda x: F.pad(x[None], (2, 1), mode="circular"),
    lambda x: F.pad(x, (1, 1)), lambda x: F.interpolate(x[None], scale_factor=2),
    lambda x: torch.where(x > 0, x[0], x), lambda x: torch.where(x > 0, x[:, :1], 0.5),
    lambda x: x[0].where(x > 0, x), lambda x: torch.maximum(x, x[:1] / 2), lambda x: x.fmin(x[0]),
    lambda x: x.minimum(other=x[1] / 4), lambda x: sum(torch.broadcast_tensors(x[:1], x)),
    lambda x: F.unfold(x[None, None], 2), lambda x: F.unfold(x[None], (2, 3), padding=1, stride=2),
    lambda x: F.unfold(x[None, None], 2, 2, (0, 1)), lambda x: x[1:, None, ..., ::2],
    lambda x: torch.take_along_dim(x, torch.zeros(3, 2).long(), 1),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(NUMBERS)))
def test_numbers(case: int) -> None:
    agrees(NUMBERS[case], values(3, 4))


@pytest.mark.parametrize("case", range(len(PRODUCTS)))
def test_products(case: int) -> None:
    agrees(PRODUCTS[case], values(3, 4))


@pytest.mark.parametrize("case", range(len(COPIES)))
def test_copies(case: int) -> None:
    agrees(COPIES[case], values(3, 4))


def test_gradients_of_copies_are_one_exact_sum() -> None:
    """Terms that float64 would lose one by one."""
    g = torch.full((1000,), 2.0**-60, dtype=torch.float64)
    g[0], g[-1] = 1.0, -1.0
    want = quire.sum(encode(g.numpy(), bposit16), bposit16)
    for copy in (
        lambda w: w.expand(1000), lambda w: w[torch.zeros(1000).long()], lambda w: w.repeat(1000),
        lambda w: w.reshape(1, 1).take(torch.zeros(1000).long()),
        lambda w: torch.where(torch.ones(1000) > 0, w, 2.0), lambda w: w.maximum(-torch.ones(1000)),
        lambda w: torch.broadcast_tensors(w, torch.ones(1000))[0],
        lambda w: F.unfold(w.reshape(1, 1, 1, 1).expand(1, 1, 1, 1000), 1).flatten(),
    ):  # fmt: skip
        w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        run(copy, w, bposit16).backward(g)
        assert encode(w.grad.numpy(), bposit16) == want  # type: ignore[union-attr]
    w = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    gradients.collect([w])
    for part in g.split(8):
        run(lambda w: w.expand(8), w, bposit16).backward(part)
    assert w.grad is None
    assert gradients.rounded(w, bposit16) == want


def test_whole_divisors_are_not_rounded() -> None:
    x = torch.tensor([1.0], dtype=torch.float64)
    assert ops.fake_quant(torch.tensor(1001.0), bposit8) != 1001
    for function in (lambda x: x / 1001, lambda x: x / torch.tensor(1001)):
        assert run(function, x, bposit8) == ops.fake_quant(x / 1001, bposit8)


def test_casts_between_floats_do_nothing() -> None:
    x = values(3, 4)
    for function in (
        lambda x: x.float(), lambda x: x.half(), lambda x: x.to(torch.bfloat16),
        lambda x: x.double(), lambda x: x.type(torch.float32), lambda x: x.type_as(torch.ones(1)),
        lambda x: x.to("cpu", torch.float32),
    ):  # fmt: skip
        assert torch.equal(run(function, x), x)
    assert run(lambda x: x.to(torch.int8), x).dtype == torch.int8
    assert run(lambda x: (x > 0).float(), x).dtype == torch.float32


def test_ops_inside_and_nested_modes() -> None:
    x = values(3, 4)
    narrow = run(lambda x: ops.mul(x, x, spec=bposit8), x)
    assert torch.equal(narrow, ops.mul(x, x, spec=bposit8))
    raw = run(lambda x: torch.ops.bposit.mul(x, x, "8,6,1"), x)
    assert torch.equal(raw, torch.ops.bposit.mul(x, x, "8,6,1"))
    with Rounding(None), Rounding(PositConfig.training(bposit8)):
        assert torch.equal(x * x, narrow)
    with Rounding(PositConfig.training(bposit8)), Rounding(None):
        assert torch.equal(x * x, x.square())


UNKNOWN: list[tuple[Function, str]] = [
    (lambda x: x.erfinv(), "erfinv"), (lambda x: torch.special.i0(x), "i0"),
    (lambda x: 2**x, "__rpow__"), (lambda x: x.cumsum(0), "cumsum"),
    (lambda x: torch.ops.aten.mul(x, x), "aten.mul"),
    (lambda x: torch.ops.aten.std.dim(x, [0]), "aten.std.dim"),
    (lambda x: torch.ops.aten.mul.Tensor(x, x), "aten.mul.Tensor"),
    (lambda x: torch.batch_norm(x, *[None] * 4, True, 0.1, 1e-5, False), "torch.batch_norm"),
    (lambda x: torch.randn_like(x), "randn_like"), (lambda x: x.normal_(), "normal_"),
]  # fmt: skip
NOT_SO: list[tuple[Function, str]] = [
    (lambda x: x**1.5, "exponent 1.5"), (lambda x: x**x, "to a number"),
    (lambda x: torch.div(x, x, rounding_mode="floor"), "rounding_mode='floor'"),
    (lambda x: torch.einsum("ii->i", x[:, :3]), "einsum 'ii->i'"),
    (lambda x: torch.einsum("ij,jk->i", x, x.mT), "sum an axis of one tensor by itself"),
    (lambda x: torch.addmm(x[0, :3], x, x.mT, beta=2), "beta=2"),
    (lambda x: F.interpolate(x[None], scale_factor=2, mode="linear"), "mode='linear'"),
    (lambda x: F.max_pool1d(x, 2, dilation=2), "dilation=2"),
    (lambda x: F.softplus(x, 1, 3), "threshold=3"),
    (lambda x: F.mse_loss(x, x, weight=x), "mse_loss with weight"),
    (lambda x: F.max_pool1d(x, 2, return_indices=True), "max_pool1d_with_indices"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(UNKNOWN)))
def test_what_is_unknown_is_named(case: int) -> None:
    function, name = UNKNOWN[case]
    with pytest.raises(UnsupportedOp, match=f"^{name}.* in here: no posit operation means this"):
        run(function, values(3, 4), where="here")


@pytest.mark.parametrize("case", range(len(NOT_SO)))
def test_options_without_a_posit_form_are_named(case: int) -> None:
    function, text = NOT_SO[case]
    with pytest.raises(NotImplementedError, match=text):
        run(function, values(3, 4))


def test_own_functions_are_looked_into() -> None:
    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            return g

    x = values(5)
    assert torch.equal(run(Own.apply, x, bposit8), ops.mul(x, x, spec=bposit8))
