"""Bad and unusual input: clear errors, NaN, empty tensors, other dtypes and memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from torch_bridge import ops
from torch_bridge.ops import products as torch_bridge_products

NAN, INF = float("nan"), float("inf")
S = "bposit16"


def real(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def attend(**options: object) -> Tensor:
    return ops.scaled_dot_product_attention(  # type: ignore[arg-type]
        real(2, 4), real(3, 4), real(3, 5), spec=S, **options
    )


WRONG: list[tuple[type[Exception], str, Callable[[], object]]] = [
    (ValueError, "boolean mask", lambda: attend(attn_mask=torch.tensor([[0.0, -INF, 0.0]] * 2))),
    (ValueError, "exclude each other", lambda: attend(
        attn_mask=torch.ones(2, 3, dtype=torch.bool), is_causal=True)),
    (ValueError, "dropout: key", lambda: attend(dropout_p=0.5)),
    (TypeError, "no -inf", lambda: ops.softmax(real(3), mask=real(3), spec=S)),
    (ValueError, "at least one axis", lambda: ops.softmax(real(), spec=S)),
    (TypeError, "does not fit float64", lambda: ops.add(real(3), real(3), spec="bposit64")),
    (TypeError, "expected a float tensor", lambda: ops.relu(torch.arange(3), spec=S)),
    (ValueError, "at least one axis", lambda: ops.matmul(real(), real(3), spec=S)),
    (IndexError, "axis 3 of a tensor with 2", lambda: ops.sum(real(2, 3), 3, spec=S)),
    (ValueError, "named twice", lambda: ops.mean(real(2, 3), (1, -1), spec=S)),
    (TypeError, "where must be booleans", lambda: ops.mean(real(3), where=real(3), spec=S)),
    (ValueError, "count must be at least 1", lambda: ops.mean(real(3), count=0, spec=S)),
    (ValueError, "less than the 3 terms", lambda: ops.mean(real(3), count=2, spec=S)),
    (ValueError, "3 or 4 axes", lambda: ops.conv2d(real(5, 5), real(1, 1, 2, 2), spec=S)),
    (ValueError, "an integer or 2 of them", lambda: ops.conv2d(
        real(1, 5, 5), real(1, 1, 2, 2), stride=[1, 2, 3], spec=S)),
    (ValueError, "in numbers", lambda: ops.conv1d(
        real(1, 5), real(1, 1, 2), padding="same", spec=S)),  # type: ignore[arg-type]
    (ValueError, "at most half of the kernel", lambda: ops.max_pool1d(
        real(1, 5), 2, padding=2, spec=S)),
    (ValueError, "do not divide", lambda: ops.adaptive_avg_pool2d(real(1, 5, 5), 2, spec=S)),
    (IndexError, "into 3 rows", lambda: ops.embedding(torch.tensor([3]), real(3, 2), spec=S)),
    (TypeError, "must be integers", lambda: ops.embedding(real(3), real(3, 2), spec=S)),
    (ValueError, "are not \\[4\\]", lambda: ops.layer_norm(real(2, 3), 4, spec=S)),
    (ValueError, "one value for each channel", lambda: ops.batch_norm(
        real(1, 3), None, None, training=True, spec=S)),
    (ValueError, "needs running_mean", lambda: ops.batch_norm(real(4, 3), None, None, spec=S)),
    (ValueError, "'mean', 'sum' or 'none'", lambda: ops.mse_loss(
        real(3), real(3), "average", spec=S)),  # type: ignore[arg-type]
    (ValueError, "belongs to reduction='mean'", lambda: ops.mse_loss(
        real(3), real(3), "sum", count=3, spec=S)),
    (TypeError, "class numbers", lambda: ops.cross_entropy(real(2, 3), real(2, 3), spec=S)),
    (ValueError, "do not fit", lambda: ops.nll_loss(real(2, 3), torch.tensor([1]), spec=S)),
    (ValueError, "from 0 to 1", lambda: ops.cross_entropy(
        real(2, 3), torch.tensor([1, 2]), label_smoothing=2.0, spec=S)),
    (TypeError, "must be whole numbers", lambda: ops.per(real(3), 2.5, spec=S)),  # type: ignore[arg-type]
    (TypeError, "must be whole numbers", lambda: ops.per(real(3), real(3), spec=S)),
    (IndexError, "padding_idx 4 into 3 rows", lambda: ops.embedding(
        torch.tensor([1]), real(3, 2), 4, spec=S)),
    (IndexError, "padding_idx 0 into 0 rows", lambda: ops.embedding(
        torch.tensor([], dtype=torch.int64), real(0, 2), 0, spec=S)),
    (ValueError, r"class weights \(2,\) for 3 classes", lambda: ops.nll_loss(
        real(2, 3), torch.tensor([0, 1]), real(2), spec=S)),
    (ValueError, r"class weights \(4,\) for 3 classes", lambda: ops.cross_entropy(
        real(2, 3), torch.tensor([0, 1]), real(4), spec=S)),
    (TypeError, "got booleans", lambda: ops.cross_entropy(
        real(2, 3), torch.tensor([True, False]), spec=S)),
    (ValueError, "delta must be positive", lambda: ops.huber_loss(
        real(3), real(3), delta=0.0, spec=S)),
    (ValueError, "beta must not be negative", lambda: ops.smooth_l1_loss(
        real(3), real(3), beta=-1.0, spec=S)),
    (ValueError, r"a window of \[3\] does not fit into \(2,\)", lambda: ops.max_pool1d(
        real(1, 2), 3, spec=S)),
    (ValueError, r"a window of \[2, 2\] does not fit into \(1, 5\)", lambda: ops.avg_pool2d(
        real(1, 5), 2, spec=S)),
]  # fmt: skip


@pytest.mark.parametrize(("error", "message", "call"), WRONG, ids=[m for _, m, _ in WRONG])
def test_errors(error: type[Exception], message: str, call: Callable[[], object]) -> None:
    with pytest.raises(error, match=message):
        call()


def test_an_infinite_mask_is_refused_before_anything_else_happens() -> None:
    """A finite one is added."""
    bias = torch.tensor([[0.0, -4.0, 1.0]] * 2)
    assert not torch.equal(attend(attn_mask=bias), attend())
    assert torch.equal(attend(attn_mask=0 * bias), attend())


def test_targets_of_small_integers() -> None:
    x, target = real(2, 3), torch.tensor([0, 2])
    for weight in (None, real(3)):
        want = ops.cross_entropy(x, target, weight, spec=S)
        assert torch.equal(ops.cross_entropy(x, target.to(torch.uint8), weight, spec=S), want)


def test_rows_without_terms() -> None:
    x = real(2, 3)
    mask = torch.tensor([[False] * 3, [True, False, True]])
    found = ops.softmax(x, mask=mask, spec=S)
    assert found[0].tolist() == [0, 0, 0]
    assert found[1, 1] == 0
    assert ops.log_softmax(x, mask=mask, spec=S).isnan().tolist() == (~mask).tolist()
    blind = attend(attn_mask=torch.tensor([[False] * 3, [True] * 3]))
    assert blind[0].tolist() == [0] * 5
    assert torch.equal(blind[1], attend()[1])


def test_nan_poisons_its_own_results_only() -> None:
    x = real(3, 4)
    x[1, 2] = NAN
    wanted = torch.tensor([False, True, False])
    for found in (
        ops.softmax(x, spec=S), ops.log_softmax(x, spec=S), ops.layer_norm(x, 4, spec=S),
        ops.rms_norm(x, 4, spec=S), ops.linear(x, real(2, 4), spec=S),
        ops.mean(x, 1, keepdim=True, spec=S), ops.max_pool1d(x, 4, spec=S),
        ops.avg_pool1d(x, 4, spec=S),
    ):  # fmt: skip
        assert torch.equal(found.isnan().all(-1), wanted)
        assert torch.equal(found.isnan().any(-1), wanted)


def test_masked_nan_does_not_count() -> None:
    x = real(2, 4)
    x[0, 1] = NAN
    mask = torch.tensor([True, False, True, True])
    assert not ops.softmax(x, mask=mask, spec=S).isnan().any()
    assert not ops.mean(x, 1, where=mask, spec=S).isnan().any()


def test_infinities_become_nan() -> None:
    assert ops.relu(torch.tensor([INF, -INF]), spec=S).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_other_floats_round_to_the_same(dtype: torch.dtype) -> None:
    x, w = real(3, 4).to(dtype).requires_grad_(), real(5, 4).to(dtype)
    found = ops.linear(x, w, spec=S)
    assert torch.equal(found, ops.linear(x.double(), w.double(), spec=S))
    found.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == dtype


def test_memory_order_does_not_matter() -> None:
    x, w = real(6, 4, 5), real(7, 5)
    turned = x.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    assert not turned.is_contiguous()
    for found in (lambda v: ops.linear(v, w, spec=S), lambda v: ops.softmax(v, 1, spec=S),
                  lambda v: ops.layer_norm(v, 5, spec=S), lambda v: ops.gelu(v, spec=S),
                  lambda v: ops.conv1d(v, real(2, 4, 3), spec=S)):  # fmt: skip
        assert torch.equal(found(turned), found(x))


def test_empty_tensors() -> None:
    assert ops.linear(real(0, 4), real(3, 4), spec=S).shape == (0, 3)
    assert torch.equal(ops.linear(real(2, 0), real(3, 0), spec=S), torch.zeros(2, 3).double())
    assert ops.softmax(real(0, 4), spec=S).shape == (0, 4)
    assert ops.softmax(real(4, 0), spec=S).shape == (4, 0)
    assert ops.log_softmax(real(4, 0), spec=S).shape == (4, 0)
    assert ops.embedding(torch.empty(0, dtype=torch.int64), real(3, 2), spec=S).shape == (0, 2)
    assert ops.sum(real(0), spec=S) == 0
    assert ops.mean(real(0), spec=S).isnan()
    assert ops.gelu(real(0), spec=S).shape == (0,)
    w = real(3, 2).requires_grad_()
    ops.embedding(torch.empty(0, dtype=torch.int64), w, spec=S).sum().backward()
    assert torch.equal(w.grad, torch.zeros(3, 2).double())


def test_running_statistics() -> None:
    x = real(5, 2, 3)
    mean, var = torch.zeros(2).double(), torch.ones(2).double()
    other = mean.clone(), var.clone()
    for _ in range(3):
        ops.batch_norm(x, mean, var, training=True, spec="bposit32")
        torch.nn.functional.batch_norm(x, *other, training=True)
    torch.testing.assert_close((mean, var), other, rtol=1e-6, atol=1e-6)
    found = ops.batch_norm(x, mean, var, spec="bposit32")
    wanted = torch.nn.functional.batch_norm(x, *other)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)
    assert torch.equal(ops.fake_quant(mean, "bposit32"), mean)


def test_gradients_are_made_only_where_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient of a layer's input, often the first, costs a product."""
    calls = []
    kernel = torch_bridge_products.quire.matmul
    monkeypatch.setattr(
        torch_bridge_products.quire, "matmul", lambda *a, **k: calls.append(1) or kernel(*a, **k)
    )
    w = real(3, 4).requires_grad_()
    ops.linear(real(5, 4), w, spec=S).sum().backward()
    assert len(calls) == 2


def test_constants_are_rounded_once() -> None:
    """Operands in float32 do not make the scale of attention or an eps a float32."""
    x = real(3, 3).float()
    found = ops.scaled_dot_product_attention(x, x, x, spec="bposit32")
    wide = x.double()
    assert torch.equal(found, ops.scaled_dot_product_attention(wide, wide, wide, spec="bposit32"))
    stats = torch.zeros(3), torch.ones(3)
    found = ops.batch_norm(x, *stats, eps=0.1, spec="bposit32")
    assert torch.equal(
        found, ops.batch_norm(wide, *(s.double() for s in stats), eps=0.1, spec="bposit32")
    )
