"""Every operation of the table gives the bits of posit and quire."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

import posit
import quire
import torch_bridge as tb
from posit import PositSpec, bposit8, bposit16, bposit32, functions
from torch_bridge._tensor.arithmetic import _BINARY, _UNARY

from ..formats import mixed

SPECS = [bposit8, bposit16, bposit32, PositSpec(10, 4, 2)]
specs = pytest.mark.parametrize("spec", SPECS, ids=str)
Operation = Callable[..., Any]


def patterns(spec: PositSpec, *shape: int, seed: int = 0) -> Any:
    return mixed(spec, shape, np.random.default_rng(seed))


def wrapped(bits: Any, spec: PositSpec) -> tb.PositTensor:
    return tb.from_bits(torch.from_numpy(bits), spec)


def same(made: Any, want: Any, spec: PositSpec) -> None:
    assert isinstance(made, tb.PositTensor)
    assert made.spec == spec
    assert np.array_equal(made.bits().numpy(), want)


@specs
@pytest.mark.parametrize("name", sorted(_UNARY))
def test_functions_of_one(spec: PositSpec, name: str) -> None:
    bits = patterns(spec, 9, 41)
    want = getattr(functions, _UNARY[name])(bits, spec)
    same(getattr(torch, name)(wrapped(bits, spec)), want, spec)
    x = wrapped(bits.copy(), spec)
    if hasattr(x, f"{name}_"):  # the same in place, through a view with strides
        getattr(x.t()[1:], f"{name}_")()
        same(x[:, 1:], want[:, 1:], spec)
        same(x[:, :1], bits[:, :1], spec)


@specs
@pytest.mark.parametrize("name", [*sorted(_BINARY), "add", "sub", "div"])
def test_functions_of_two(spec: PositSpec, name: str) -> None:
    a, b = patterns(spec, 40, 1), patterns(spec, 1, 37, seed=1)
    want = getattr(functions, _BINARY.get(name, name))(a, b, spec)
    same(getattr(torch, name)(wrapped(a, spec), wrapped(b, spec)), want, spec)


@specs
def test_operators_and_exact_numbers(spec: PositSpec) -> None:
    bits = patterns(spec, 60)
    x, two = wrapped(bits, spec), posit.encode(2.0, spec)
    for apply, name in ((lambda a, b: a + b, "add"), (lambda a, b: a - b, "sub"),
                        (lambda a, b: a * b, "mul"), (lambda a, b: a / b, "div"),
                        (lambda a, b: a**b, "pow"), (lambda a, b: a % b, "remainder")):  # fmt: skip
        function = getattr(functions, name)
        same(apply(x, 2.0), function(bits, two, spec), spec)
        same(apply(2.0, x), function(two, bits, spec), spec)
    same(-x, posit.neg(bits, spec), spec)
    same(abs(x), posit.abs(bits, spec), spec)


def test_number_over_tensor_is_rounded_once() -> None:
    """torch divides 3 by x as 3·(1/x), which rounds twice."""
    bits = patterns(bposit16, 2000)
    want = posit.div(posit.encode(3.0, bposit16), bits, bposit16)
    x = wrapped(bits, bposit16)
    same(3 / x, want, bposit16)
    assert not torch.equal((x.reciprocal() * 3).bits(), (3 / x).bits())


@specs
def test_products_are_the_quires(spec: PositSpec) -> None:
    a, b, c = patterns(spec, 3, 5, 8), patterns(spec, 3, 8, 4, seed=1), patterns(spec, 5, 4, seed=2)
    x, y, z = (wrapped(v, spec) for v in (a, b, c))
    same(x @ y, quire.matmul(a, b, spec), spec)
    same(x @ y[0], quire.matmul(a, b[0], spec), spec)
    same(torch.bmm(x, y), quire.matmul(a, b, spec), spec)
    same(torch.einsum("bij,bjk->bik", x, y), quire.matmul(a, b, spec), spec)
    same(x[0] @ y[0, :, 1], quire.matmul(a[0], b[0, :, 1], spec), spec)
    same(torch.dot(x[0, 1], y[0, :, 1]), quire.dot(a[0, 1], b[0, :, 1], spec), spec)
    same(torch.addmm(z, x[0], y[0]), quire.matmul(a[0], b[0], spec, add=c), spec)
    same(torch.addmm(z[0], x[0], y[0]), quire.matmul(a[0], b[0], spec, add=c[0]), spec)
    same(torch.baddbmm(z, x, y), quire.matmul(a, b, spec, add=c), spec)
    linear = torch.nn.functional.linear(x[0], y[0].t(), z[0])
    same(linear, quire.matmul(a[0], b[0], spec, add=c[0]), spec)
    product = quire.matmul(a[0], b[0], spec)
    two, half = posit.encode(2.0, spec), posit.encode(0.5, spec)
    want = posit.add(posit.mul(c, two, spec), posit.mul(product, half, spec), spec)
    same(torch.addmm(z, x[0], y[0], beta=2, alpha=0.5), want, spec)


@specs
def test_sums_are_the_quires(spec: PositSpec) -> None:
    bits = patterns(spec, 4, 5, 6)
    bits[bits == spec.nar] = 1
    bits[1, 1, 1] = spec.nar
    x = wrapped(bits, spec)
    same(x.sum(), quire.sum(bits, spec), spec)
    for dim, keep in ((0, False), ((0, 2), True), (-1, True)):
        same(x.sum(dim, keep), quire.sum(bits, spec, axis=dim, keepdims=keep), spec)
        same(x.mean(dim, keep), quire.mean(bits, spec, axis=dim, keepdims=keep), spec)
    same(x[0].mean(), quire.mean(bits[0], spec), spec)
    same(x[0, 0, 0].sum(), bits[0, 0, 0], spec)
    same(x[0].norm(), quire.norm2(bits[0], spec), spec)
    norms = [[quire.norm2(bits[i, :, j], spec) for j in range(6)] for i in range(4)]
    same(torch.linalg.vector_norm(x, dim=1, keepdim=True), np.array(norms)[:, None], spec)
    same(torch.linalg.vector_norm(x, dim=(2, 0))[1], quire.norm2(bits[:, 1], spec), spec)
    same(x[:0].sum(0), np.zeros((5, 6)), spec)
    with pytest.raises(TypeError, match="sums of posits are posits"):
        x.sum(dtype=torch.float32)


def test_sums_do_not_round_on_the_way() -> None:
    x = tb.tensor([1e20, 1.0, -1e20], spec=bposit16)
    assert x.sum().item() == 1
    assert (x @ torch.ones_like(x)).item() == 1


@specs
def test_several_values_in_one_place_are_summed_exactly(spec: PositSpec) -> None:
    rng = np.random.default_rng(3)
    bits, values = patterns(spec, 6, 4), patterns(spec, 50, 4, seed=1)
    rows = rng.integers(0, 5, 50)
    want = np.stack(
        [
            quire.sum(np.concatenate([bits[i : i + 1], values[rows == i]]), spec, axis=0)
            for i in range(6)
        ]
    )
    index = torch.from_numpy(rows)
    x, y = wrapped(bits, spec), wrapped(values, spec)
    same(x.index_add(0, index, y), want, spec)
    same(x.index_put((index,), y, accumulate=True), want, spec)
    same(x.scatter_add(0, index[:, None].expand(50, 4), y), want, spec)
    again = x.clone()
    again.index_add_(0, index, y)
    same(again, want, spec)


@specs
@pytest.mark.parametrize("by", [3, 5000, -7, 0, 10**9 + 7, 2**42 + 1])
def test_division_by_a_whole_number_is_rounded_once(spec: PositSpec, by: int) -> None:
    bits = patterns(spec, 400)
    values = [posit.to_fraction(p, spec) for p in bits]
    quotients = [None if v is None or not by else Fraction(v) / by for v in values]
    want = [posit.from_fraction(q, spec) for q in quotients]
    same(wrapped(bits, spec) / by, want, spec)
    spread = wrapped(bits[:2].reshape(2, 1), spec).expand(2, 3)
    same(spread / by, np.array(want[:2])[:, None].repeat(3, 1), spec)


@specs
def test_order(spec: PositSpec) -> None:
    a, b = patterns(spec, 50, 1), patterns(spec, 1, 50, seed=1)
    b[0, :25] = a[:25, 0]
    a[3], b[0, 3] = spec.nar, spec.nar
    x, y = wrapped(a, spec), wrapped(b, spec)
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        made = getattr(torch, name)(x, y)
        assert made.dtype == torch.bool
        assert np.array_equal(made.numpy(), getattr(np, {
            "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
            "ge": "greater_equal"}[name])(posit.view(a, spec), posit.view(b, spec)))  # fmt: skip
    v, w = posit.view(a, spec), posit.view(b, spec)
    same(torch.maximum(x, y), posit.bits(np.maximum(v, w)), spec)
    same(torch.minimum(x, y), posit.bits(np.minimum(v, w)), spec)
    same(x.relu(), posit.bits(np.maximum(v, 0)), spec)
    same(x.clamp(-1, 2), posit.bits(np.minimum(np.maximum(v, -1), 2)), spec)
    grid = np.concatenate([a.reshape(5, 10), b[:, 25:35]])
    t, g = wrapped(grid, spec), posit.view(grid, spec)
    same(t.max(), posit.bits(g.max()), spec)
    same(t.amax(1, True), posit.bits(g.max(1, keepdims=True)), spec)
    same(t.max(0).values, posit.bits(g.max(0)), spec)
    same(t.min(0).values, posit.bits(g.min(0)), spec)
    same(t.amin(1), posit.bits(g.min(1)), spec)
    assert t.max(1).indices.tolist() == t.argmax(1).tolist()
    same(t.gather(1, t.argmax(1, True)), posit.bits(g.max(1, keepdims=True)), spec)
    same(t.gather(1, t.argmin(1, True)), posit.bits(g.min(1, keepdims=True)), spec)
    assert grid.reshape(-1)[t.argmax()] == spec.nar
    same(t.sort(1).values, np.sort(grid, 1), spec)
    same(t.gather(1, t.argsort(1, True)), np.sort(grid, 1)[:, ::-1], spec)
    same(t[5].topk(3).values, np.sort(grid[5])[::-1][:3], spec)
    assert np.array_equal(torch.isnan(t).numpy(), grid == spec.nar)
    assert np.array_equal(torch.isfinite(t).numpy(), grid != spec.nar)
    assert not torch.isinf(t).any()
    assert torch.equal(t, t.clone())


MOVES: dict[str, Operation] = {
    "view": lambda t: t.view(6, 20),
    "reshape of a transpose": lambda t: t.mT.reshape(-1),
    "permute": lambda t: t.permute(2, 0, 1),
    "expand": lambda t: t[:, :1].expand(4, 5, 6),
    "unsqueeze": lambda t: t.unsqueeze(1).squeeze(1),
    "slice": lambda t: t[1:, ::2, -1],
    "ellipsis": lambda t: t[..., None, 2],
    "list": lambda t: t[[0, 2, 0], [1, 1, 3]],
    "mask": lambda t: t[torch.arange(4) % 2 == 0],
    "flip": lambda t: t.flip(0, 2),
    "roll": lambda t: t.roll(2, 1),
    "repeat": lambda t: t.repeat(2, 1, 1),
    "repeat_interleave": lambda t: t.repeat_interleave(2, 0),
    "unfold": lambda t: t.unfold(1, 2, 2),
    "diagonal": lambda t: t.diagonal(0, 1, 2),
    "as_strided": lambda t: t.as_strided((2, 3), (1, 6)),
    "index_select": lambda t: t.index_select(1, torch.tensor([3, 3, 0])),
    "gather": lambda t: t.gather(0, torch.zeros(1, 5, 6, dtype=torch.int64)),
    "take": lambda t: t.take(torch.tensor([0, 119, 7])),
    "cat": lambda t: torch.cat([t, t[:1]]),
    "stack": lambda t: torch.stack([t, t], 1),
    "split": lambda t: t.split(3, 1)[1],
    "unbind": lambda t: t.unbind(2)[4],
    "chunk": lambda t: t.chunk(2, -1)[1],
    "tril": lambda t: t.tril(),
    "embedding": lambda t: (
        torch.nn.functional.embedding(torch.tensor([[1, 0]]), t[0])
        if isinstance(t, tb.PositTensor)
        else t[0][torch.tensor([[1, 0]])]
    ),
    "contiguous": lambda t: t.mT.contiguous(),
}


@pytest.mark.parametrize("name", MOVES)
def test_moves_leave_patterns_as_they_are(name: str) -> None:
    bits = patterns(bposit16, 4, 5, 6)
    same(MOVES[name](wrapped(bits, bposit16)), MOVES[name](torch.from_numpy(bits)), bposit16)


def test_numbers_among_moves_are_values() -> None:
    x = tb.tensor([[1.0, -2.0], [3.0, 4.0]], spec=bposit16)
    assert torch.where(x > 0, x, 0.5).tolist() == [[1, 0.5], [3, 4]]
    assert torch.where(x > 0, -1.0, x).tolist() == [[-1, -2], [-1, -1]]
    assert x.masked_fill(x > 2, 7).tolist() == [[1, -2], [7, 7]]
    assert torch.nn.functional.pad(x, (0, 1), value=0.25).tolist() == [[1, -2, 0.25], [3, 4, 0.25]]
    assert x.index_fill(0, torch.tensor([0]), 2).tolist() == [[2, 2], [3, 4]]
    assert x.scatter(1, torch.tensor([[0], [1]]), 9).tolist() == [[9, -2], [3, 9]]


def test_writing_in_place() -> None:
    x = tb.tensor([[1.0, 2, 3], [4, 5, 6]], spec=bposit16)
    view = x.t()
    x[0] = 0
    x[1, 1] = 0.5
    x[x > 5] = -1
    x[[0, 1], [2, 0]] = tb.tensor([8.0, 16.0], spec=bposit16)
    assert x.tolist() == [[0, 0, 8], [16, 0.5, -1]]
    view[2].mul_(view[0, 1])
    assert x.tolist() == [[0, 0, 128], [16, 0.5, -16]]
    x[0] += 1
    x[1].copy_(x[0])
    assert x.tolist() == [[1, 1, 129]] * 2
    x.fill_(3)
    assert view.tolist() == [[3, 3]] * 3
    assert x.zero_() is x
    assert not x.bits().any()
    out = x.new_empty(2, 3)
    assert torch.add(x, 1, out=out) is out
    assert out.tolist() == [[1, 1, 1]] * 2
    with pytest.raises(ValueError, match=r"out has shape \(2, 3\), the result \(4, 3\)"):
        torch.cat([x, x], out=out)


def test_an_element_does_not_depend_on_its_neighbours() -> None:
    """Trap 13: torch's vector loops differ between body and tail."""
    bits = patterns(bposit16, 1003)
    whole = wrapped(bits, bposit16)
    for name in ("exp", "tanh", "log", "sin"):
        function = getattr(torch, name)
        alone = torch.stack([function(whole[i]) for i in range(0, 1003, 17)])
        assert torch.equal(function(whole)[::17].bits(), alone.bits())


def test_nar_spreads_and_stays_nar() -> None:
    x = tb.tensor([1.0, 0.0, -1.0], spec=bposit16)
    assert torch.isnan(1 / x).tolist() == [False, True, False]
    assert torch.isnan(x.log()).tolist() == [False, True, True]
    assert torch.isnan(x / 0).all()
    assert math.isnan((1 / x).sum().item())
    assert torch.equal(1 / x == 1 / x, torch.tensor([True] * 3))
