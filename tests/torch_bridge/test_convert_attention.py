"""Attention and transformers, converted: torch's values, masks without -inf, no fast path."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from posit import bposit16, bposit32
from torch_bridge import gradients, ops
from torch_bridge.accumulate import EachOp
from torch_bridge.config import PositConfig
from torch_bridge.convert import convert_
from torch_bridge.streams import stream

HIDDEN = torch.tensor([[False, True, False], [False, False, True], [False, False, False]])
PADDING = torch.tensor([[False, False, True], [False, False, False]])


def infinite(mask: Tensor) -> Tensor:
    return torch.zeros(mask.shape, dtype=torch.float64).masked_fill(mask, -torch.inf)


def pair(module: nn.Module, spec: Any = bposit32) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(5)
    for p in module.parameters():
        nn.init.normal_(p, std=0.5)
    ours, twin = copy.deepcopy(module).double(), module.double()
    convert_(ours, spec)
    return ours, twin


def agree(got: Any, want: Any) -> None:
    if isinstance(want, Tensor):
        torch.testing.assert_close(got, want, atol=4e-6, rtol=4e-6)
        assert torch.equal(ops.fake_quant(got, bposit32), got)
    elif want is None:
        assert got is None
    else:
        for a, b in zip(got, want, strict=True):
            agree(a, b)


def gradients_agree(ours: nn.Module, twin: nn.Module, got: Tensor, want: Tensor) -> None:
    weights = torch.linspace(-1, 1, want.numel(), dtype=torch.float64).reshape(want.shape)
    for out in (got, want):
        (out * weights).sum().backward()
    for (name, p), q in zip(ours.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, atol=2e-5, rtol=2e-5, msg=name)


QUERY = torch.linspace(-1, 2, 2 * 3 * 8, dtype=torch.float64).sin().reshape(2, 3, 8)
OTHER = torch.linspace(3, -1, 2 * 3 * 8, dtype=torch.float64).cos().reshape(2, 3, 8)


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"batch_first": False}], ids=str)
@pytest.mark.parametrize(
    "call",
    [
        {}, {"need_weights": False}, {"average_attn_weights": False}, {"attn_mask": HIDDEN},
        {"attn_mask": infinite(HIDDEN), "need_weights": False},
        {"key_padding_mask": PADDING}, {"key_padding_mask": infinite(PADDING)},
        {"attn_mask": HIDDEN, "key_padding_mask": PADDING, "need_weights": False},
        {"attn_mask": HIDDEN.expand(4, 3, 3)}, {"attn_mask": infinite(HIDDEN), "is_causal": True},
    ],
    ids=lambda c: "+".join(c),
)  # fmt: skip
def test_multihead_attention(options: dict[str, Any], call: dict[str, Any]) -> None:
    ours, twin = pair(nn.MultiheadAttention(8, 2, **{"batch_first": True} | options))
    x = QUERY if options.get("batch_first", True) else QUERY.transpose(0, 1)
    y = OTHER if options.get("batch_first", True) else OTHER.transpose(0, 1)
    for inputs in ((x, x, x), (x, y, y), (x, y, x)):
        agree(ours(*inputs, **call), twin(*inputs, **call))
    gradients_agree(ours, twin, ours(x, x, x, **call)[0], twin(x, x, x, **call)[0])


def test_other_shapes_and_widths() -> None:
    ours, twin = pair(nn.MultiheadAttention(8, 2, kdim=4, vdim=6, batch_first=True))
    inputs = (QUERY, OTHER[..., :4], OTHER[..., :6])
    agree(ours(*inputs), twin(*inputs))
    gradients_agree(ours, twin, ours(*inputs)[0], twin(*inputs)[0])
    ours, twin = pair(nn.MultiheadAttention(8, 2))
    single = (QUERY[0], OTHER[0], OTHER[0])
    for average in (True, False):
        call = {"average_attn_weights": average, "key_padding_mask": PADDING[0]}
        agree(ours(*single, **call), twin(*single, **call))


def test_one_projection_where_all_three_are_one_tensor() -> None:
    class Counting(EachOp):
        calls = 0

        def matmul(self, a: Any, b: Any, spec: Any) -> Any:
            self.calls += 1
            return super().matmul(a, b, spec)

    device = Counting()
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    convert_(layer, PositConfig.emulate_hardware(bposit32, device))
    for inputs, products in (((QUERY,) * 3, 4), ((QUERY, OTHER, OTHER), 6)):
        device.calls = 0
        layer(*inputs)
        assert device.calls == products
    single = QUERY.float()  # of another dtype it stays one tensor
    device.calls = 0
    layer(single, single, single)
    assert device.calls == 4


def test_weights_change_no_bits_and_dropout_is_theirs_too() -> None:
    ours, _ = pair(nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True), bposit16)
    made = []
    for need in (False, True):
        with stream(1, 1):
            made.append(ours(QUERY, QUERY, QUERY, need_weights=need))
    assert torch.equal(made[0][0], made[1][0])
    assert (made[1][1] == 0).any()
    with stream(1, 1, torch.tensor([1])):
        part = ours(QUERY[1:], QUERY[1:], QUERY[1:])
    assert torch.equal(part[0], made[0][0][1:])
    assert torch.equal(part[1], made[1][1][1:])


def test_masks_of_other_numbers_are_refused() -> None:
    ours, _ = pair(nn.MultiheadAttention(8, 2, batch_first=True))
    for name, mask in (("attn_mask", HIDDEN), ("key_padding_mask", PADDING)):
        with pytest.raises(NotImplementedError, match=f"{name} has other numbers than 0 and -inf"):
            ours(QUERY, QUERY, QUERY, **{name: mask.double() * -1e9})
    blind = torch.ones(3, 3, dtype=torch.bool)
    out, weights = ours(QUERY, QUERY, QUERY, attn_mask=blind)
    assert not weights.any()
    assert not out.isnan().any()


class Written(nn.Module):
    """Attention by hand, in the usual ways to hide."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        if self.way == "sdpa":
            return F.scaled_dot_product_attention(q, k, k, infinite(HIDDEN))
        if self.way == "bias":
            return F.scaled_dot_product_attention(q, k, k, HIDDEN * -1.5)
        if self.way == "causal":
            return F.scaled_dot_product_attention(q, k, k, is_causal=True, scale=0.5)
        scores = q @ k.mT * 8**-0.5
        if self.way == "fill":
            scores = scores.masked_fill(HIDDEN, float("-inf"))
        elif self.way == "fill_":
            scores.masked_fill_(HIDDEN, float("-inf"))
        elif self.way == "where":
            scores = torch.where(HIDDEN, -torch.inf, scores)
        elif self.way == "add":
            scores = scores + infinite(HIDDEN)
        return torch.softmax(scores, -1) @ k


@pytest.mark.parametrize("way", ["sdpa", "bias", "causal", "fill", "fill_", "where", "add"])
def test_hidden_terms_are_skipped(way: str) -> None:
    ours, twin = pair(Written(way))
    leaves = [QUERY.clone().requires_grad_() for _ in range(2)]
    outs = [m(x, OTHER) for m, x in zip((ours, twin), leaves, strict=True)]
    agree(*outs)
    for out in outs:
        out.sum().backward()
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad, atol=4e-6, rtol=4e-6)


TRANSFORMERS: list[tuple[nn.Module, dict[str, Any]]] = [
    (nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), {}),
    (nn.TransformerEncoderLayer(8, 2, 16, 0.0, "gelu", batch_first=True, norm_first=True), {}),
    (nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), {"src_mask": infinite(HIDDEN)}),
    (
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), 2),
        {"src_key_padding_mask": PADDING},
    ),
]


@pytest.mark.filterwarnings("ignore:enable_nested_tensor", "ignore:The PyTorch API of nested")
@pytest.mark.parametrize(("module", "call"), TRANSFORMERS, ids=lambda x: str(x)[:30])
def test_encoders(module: nn.Module, call: dict[str, Any]) -> None:
    ours, twin = pair(module)
    gradients_agree(ours, twin, ours(QUERY, **call), twin(QUERY, **call))
    trained = ours(QUERY, **call)
    agree(trained.detach(), twin(QUERY, **call).detach())
    ours.eval()
    with torch.no_grad():  # where torch would take its fast path, in floats
        assert torch.equal(ours(QUERY, **call), trained)
    with torch.inference_mode():
        assert torch.equal(ours(QUERY, **call), trained)


def test_fast_paths_would_be_taken_otherwise() -> None:
    """The test above can fail: torch's own layer leaves Python's functions in eval mode."""
    seen: list[Any] = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    ours, twin = pair(nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True).eval())
    for model in (twin, ours):
        seen.clear()
        with torch.no_grad(), Watch():
            model(QUERY)
        fast = [s for s in seen if "_transformer_encoder_layer_fwd" in s or "_native_multi" in s]
        assert bool(fast) == (model is twin)


def test_gradients_do_not_depend_on_micro_batches() -> None:
    ours, _ = pair(nn.TransformerEncoderLayer(8, 2, 16, 0.25, batch_first=True), bposit16)
    gradients.collect(ours.parameters())
    x = ops.fake_quant(torch.cat([QUERY, OTHER, -QUERY]), bposit16)
    found = []
    for sizes in ([6], [1, 5], [2, 2, 2]):
        for at in torch.arange(6).split(sizes):
            with stream(1, 1, at, 6):
                ours(x[at]).backward(x[at])
        assert all(p.grad is None for p in ours.parameters())
        found.append([gradients.rounded(p, bposit16).tolist() for p in ours.parameters()])
        gradients.clear(ours.parameters())
    assert found[0] == found[1] == found[2]


def test_decoders() -> None:
    ours, twin = pair(
        nn.TransformerDecoder(
            nn.TransformerDecoderLayer(8, 2, 16, 0.0, batch_first=True), 2, nn.LayerNorm(8)
        )
    )
    call = {"tgt_mask": infinite(HIDDEN), "memory_key_padding_mask": PADDING}
    agree(ours(QUERY, OTHER, **call), twin(QUERY, OTHER, **call))
    ours, twin = pair(nn.Transformer(8, 2, 1, 1, 16, 0.0, batch_first=True))
    causal = nn.Transformer.generate_square_subsequent_mask(3, dtype=torch.float64)
    agree(ours(QUERY, OTHER, tgt_mask=causal), twin(QUERY, OTHER, tgt_mask=causal))
    gradients_agree(ours, twin, ours(QUERY, OTHER), twin(QUERY, OTHER))


def test_dropout_in_a_transformer_goes_by_sample() -> None:
    ours, _ = pair(nn.TransformerEncoderLayer(8, 2, 16, 0.25, batch_first=True), bposit16)
    x = torch.cat([QUERY, OTHER])
    with stream(1, 1):
        whole = ours(x)
    with stream(1, 1, torch.tensor([2, 3])):
        assert torch.equal(ours(x[2:]), whole[2:])
    with stream(1, 2):
        assert not torch.equal(ours(x), whole)


WRONG_MASKS: list[dict[str, Tensor]] = [
    {"attn_mask": HIDDEN[:1]}, {"attn_mask": HIDDEN[None]}, {"attn_mask": HIDDEN.expand(2, 3, 3)},
    {"key_padding_mask": PADDING.mT.contiguous()}, {"key_padding_mask": PADDING.reshape(6)},
]  # fmt: skip


@pytest.mark.parametrize("masks", WRONG_MASKS)
def test_masks_of_another_shape_are_refused(masks: dict[str, Tensor]) -> None:
    """A transposed one has as many elements."""
    layer = nn.MultiheadAttention(4, 2, batch_first=True)
    convert_(layer, bposit16)
    (name,) = masks
    with pytest.raises(ValueError, match=rf"{name} has shape .* possible are \(2, 3\)|\(3, 3\)"):
        layer(*[torch.ones(2, 3, 4)] * 3, **masks)


def test_gradients_by_sample() -> None:
    """torch.vmap over sums and softmax, of which nobody knows whether they hide terms."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.attention(x, x, x, attn_mask=HIDDEN)[0]
            return torch.log_softmax(x, -1) + torch.softmax(x, 1)

    torch.manual_seed(0)
    block = Block()
    convert_(block, bposit16)
    weights = {name: p.detach() for name, p in block.named_parameters()}
    x = torch.randn(5, 3, 4, dtype=torch.float64)

    def loss(weights: Any, x: Tensor) -> Tensor:
        return ops.mean_square(functional_call(block, weights, (x[None],)), spec=bposit16)

    together = vmap(grad(loss), (None, 0))(weights, x)
    for i, row in enumerate(x):
        for name, one in grad(loss)(weights, row).items():
            assert torch.equal(together[name][i], one)
