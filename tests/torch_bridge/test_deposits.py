"""Gradients of parameters that collect: exact sums over micro-batches, rounded once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from posit import PositSpec, bposit8, bposit16
from torch_bridge import gradients, ops

Use = Callable[[Tensor, Tensor], Tensor]

S: Any = {"spec": bposit16}
ROWS = 12


def made(*shape: int, seed: int = 0) -> Tensor:
    """Values whose sums of products are no posits of 16 bits, at several scales."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, dtype=torch.float64, generator=draw)
    return ops.fake_quant(x * 2.0 ** torch.randint(-6, 6, shape, generator=draw), bposit16)


def leaf(*shape: int, seed: int = 1) -> torch.nn.Parameter:
    return torch.nn.Parameter(made(*shape, seed=seed))


def rows(w: Tensor, start: int, stop: int) -> Tensor:
    return w[start:stop]


tokens = torch.randint(0, 5, (ROWS, 7), generator=torch.Generator().manual_seed(3))


def embedded(x: Tensor, w: Tensor) -> Tensor:
    return ops.embedding((x[:, :7].abs() * 97).long() % 5, w, **S)


USES: dict[str, tuple[tuple[int, ...], tuple[int, ...], Use]] = {
    "linear": ((6,), (4, 6), lambda x, w: ops.linear(x, w, **S)),
    "linear bias": ((6,), (4,), lambda x, w: ops.linear(x, made(4, 6), w, **S)),
    "linear of sequences": ((5, 6), (4, 6), lambda x, w: ops.linear(x, w, **S)),
    "linear rows": ((6,), (9, 6), lambda x, w: ops.linear(x, w[3:6], **S)),
    "linear columns": ((6,), (4, 9), lambda x, w: ops.linear(x, w[:, 2:8], **S)),
    "linear chunk": ((6,), (9, 6), lambda x, w: ops.linear(x, w.chunk(3)[2], **S)),
    "bias rows": ((6,), (8,), lambda x, w: ops.linear(x, made(4, 6), w[2:6], **S)),
    "matmul": ((6,), (6, 4), lambda x, w: ops.matmul(x, w, **S)),
    "matmul transposed": ((6,), (4, 6), lambda x, w: ops.matmul(x, w.T, **S)),
    "matmul reshaped": ((6,), (2, 12), lambda x, w: ops.matmul(x, w.reshape(6, 4), **S)),
    "matmul batched": ((3, 2, 6), (3, 6, 4), lambda x, w: ops.matmul(x, w, **S)),
    "conv1d": ((4, 9), (6, 2, 3), lambda x, w: ops.conv1d(x, w, None, 2, 1, 1, 2, **S)),
    "conv2d": ((2, 6, 7), (3, 2, 3, 2), lambda x, w: ops.conv2d(x, w, None, (1, 2), (1, 0), **S)),
    "conv2d dilated": ((2, 6, 7), (3, 2, 2, 2), lambda x, w: ops.conv2d(x, w, None, 2, 2, 3, **S)),
    "conv2d bias": ((2, 6, 7), (3,), lambda x, w: ops.conv2d(x, made(3, 2, 3, 3), w, **S)),
    "layer_norm weight": ((3, 5), (5,), lambda x, w: ops.layer_norm(x, 5, w, None, **S)),
    "layer_norm both": ((3, 5), (5,), lambda x, w: ops.layer_norm(x, 5, w, w, **S)),
    "rms_norm": ((3, 5), (3, 5), lambda x, w: ops.rms_norm(x, (3, 5), w, **S)),
    "batch_norm": (
        (4, 3), (4,),
        lambda x, w: ops.batch_norm(x, torch.zeros(4), torch.ones(4), w, w, **S),
    ),
    "embedding": ((8,), (5, 3), embedded),
    "add": ((3, 5), (5,), lambda x, w: ops.add(x, w, **S)),
    "add positions": ((3, 5), (7, 5), lambda x, w: ops.add(x, w[:3], **S)),
    "sub": ((3, 5), (3, 1), lambda x, w: ops.sub(x, w, **S)),
    "mul": ((3, 5), (1, 5), lambda x, w: ops.mul(w, x, **S)),
    "mul scalar": ((3, 5), (), lambda x, w: ops.mul(x, w, **S)),
    "mul row": ((3, 5), (4, 5), lambda x, w: ops.mul(x, w[2], **S)),
    "fma": ((3, 5), (5,), lambda x, w: ops.fma(x, w, w, **S)),
    "tied": (
        (8,), (5, 3),
        lambda x, w: ops.linear(embedded(x, w), w, **S),
    ),
    "nothing used": ((3,), (4,), lambda x, w: ops.mul(x, 2.0 * torch.ones(()), **S)),
}  # fmt: skip


def loss_gradient(y: Tensor, seed: int) -> Tensor:
    return made(*y.shape, seed=seed)


def passes(use: Use, x: Tensor, w: Tensor, parts: list[int]) -> None:
    """A backward pass of each part; the gradient of the outputs does not depend on the split."""
    whole = loss_gradient(use(x, w).detach(), 7)
    start = 0
    for n in parts:
        y = use(x[start : start + n], w)
        if y.requires_grad:
            y.backward(whole[start : start + n])
        start += n


@pytest.mark.parametrize("name", USES)
def test_any_split_gives_the_exact_sum_rounded_once(name: str) -> None:
    shape, size, use = USES[name]
    x = made(ROWS, *shape)
    plain = leaf(*size)
    if name != "nothing used":
        passes(use, x, plain, [ROWS])
    expected = plain.grad
    kept: Tensor | None = None
    for parts in ([ROWS], [1] * ROWS, [5, 7], [7, 5]):
        w = leaf(*size)
        gradients.collect([w])
        passes(use, x, w, parts)
        assert w.grad is None
        gradients.write([w], bposit16)
        if expected is None:
            assert w.grad is None
        elif name in ("layer_norm both", "fma", "batch_norm", "tied"):
            # two uses: autograd adds two rounded gradients, the exact sum is rounded once
            assert (w.grad - expected).abs().max() <= 2.0**-9 * expected.abs().max()
        else:
            assert torch.equal(w.grad, expected), parts
        if kept is not None:
            assert torch.equal(w.grad, kept)
        kept = w.grad


def test_a_left_factor() -> None:
    x, w = made(6, 8), leaf(4, 6)
    ops.matmul(w, x, **S).backward(made(4, 8, seed=7))
    expected = w.grad
    w.grad = None
    gradients.collect([w])
    for part in (slice(0, 3), slice(3, 8)):
        ops.matmul(w, x[:, part], **S).backward(made(4, 8, seed=7)[:, part])
    gradients.write([w])
    assert torch.equal(w.grad, expected)


def test_a_rounded_gradient_would_depend_on_the_split() -> None:
    """The check of the check: without collecting, the same comparison fails."""
    shape, size, use = USES["linear"]
    x, seen = made(ROWS, *shape), []
    for parts in ([ROWS], [1] * ROWS, [5, 7]):
        w = leaf(*size)
        passes(use, x, w, parts)
        seen.append(w.grad)
    assert any(not torch.equal(seen[0], other) for other in seen[1:])


def collecting() -> tuple[Tensor, torch.nn.Parameter]:
    w = leaf(4, 6)
    gradients.collect([w])
    return made(ROWS, 6).requires_grad_(), w


def test_autograd_grad_gets_tensors_and_deposits_nothing() -> None:
    x, w = collecting()
    loss = ops.sum(ops.linear(x, w, **S), **S)
    by_x, by_w = torch.autograd.grad(loss, (x, w), retain_graph=True)
    (alone,) = torch.autograd.grad(loss, x, retain_graph=True)
    loss.backward(inputs=[x])
    assert by_w.abs().sum() > 0
    assert torch.equal(by_x, alone)
    assert torch.equal(x.grad, alone)
    assert gradients.find(w) is None


def test_derivatives_of_gradients_are_tensors() -> None:
    x, w = collecting()
    loss = ops.sum(ops.linear(x, w, **S), **S)
    with pytest.warns(UserWarning, match="create_graph"):
        loss.backward(create_graph=True)
    assert w.grad is not None
    assert gradients.find(w) is None
    w.grad = x.grad = None


def test_transforms_get_tensors() -> None:
    x, w = collecting()

    def loss(w: Tensor) -> Tensor:
        return ops.sum(ops.linear(x.detach(), w, **S), **S)

    by_func = torch.func.grad(loss)(w)
    assert torch.equal(by_func.detach(), torch.autograd.grad(loss(w), w)[0])
    assert gradients.find(w) is None


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_layers_deposit(reentrant: bool) -> None:
    x, w = collecting()
    y = checkpoint(lambda x: ops.linear(x, w, **S), x, use_reentrant=reentrant)
    y.backward(loss_gradient(y.detach(), 7))
    plain = leaf(4, 6)
    passes(lambda x, w: ops.linear(x, w, **S), x.detach(), plain, [ROWS])
    assert gradients.find(w) is not None
    gradients.write([w])
    assert torch.equal(w.grad, plain.grad)


def test_hooks_see_rounded_gradients() -> None:
    x, w = collecting()
    seen: list[Tensor] = []
    handle = w.register_hook(seen.append)
    ops.linear(x, w, **S).sum().backward()
    assert len(seen) == 1
    assert gradients.find(w) is None
    handle.remove()
    ops.linear(x, w, **S).sum().backward()
    assert gradients.find(w) is not None


def test_release() -> None:
    x, w = collecting()
    gradients.release([w])
    ops.linear(x, w, **S).sum().backward()
    assert w.grad is not None
    assert gradients.find(w) is None


def test_nar_stays_in_its_rows() -> None:
    x, w = made(ROWS, 6), leaf(9, 6)
    gradients.collect([w])
    g = torch.ones(ROWS, 3, dtype=torch.float64)
    g[0, 1] = torch.nan
    ops.linear(x, w[3:6], **S).backward(g)
    gradients.write([w])
    assert torch.equal(w.grad.isnan().any(1), torch.arange(9) == 4)


def test_one_format_for_all_uses() -> None:
    x, w = collecting()
    ops.linear(x, w, **S).sum().backward()
    with pytest.raises(ValueError, match="share one format"):
        ops.linear(x, w, spec=PositSpec.parse(bposit8)).sum().backward()


def test_empty_batches() -> None:
    _, w = collecting()
    ops.linear(made(0, 6).requires_grad_(), w, **S).sum().backward()
    gradients.write([w])
    assert w.grad is not None
    assert torch.equal(w.grad, torch.zeros(4, 6, dtype=torch.float64))


def test_frozen_parameters_collect_nothing() -> None:
    x, w = collecting()
    w.requires_grad_(False)
    ops.linear(x, w, **S).sum().backward()
    assert gradients.find(w) is None
