"""Converted recurrent layers: torch's own in a wide format, and the steps that they promise."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

from posit import bposit16, bposit32
from torch_bridge import gradients, ops
from torch_bridge.config import PositConfig
from torch_bridge.convert import convert_
from torch_bridge.mode import UnsupportedOp
from torch_bridge.streams import stream

KINDS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
CELLS = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}


def made(kind: str, **options: Any) -> nn.Module:
    torch.manual_seed(3)
    return KINDS[kind](5, 4, **options).double()


def flat(out: Any) -> list[Tensor]:
    return [out] if isinstance(out, Tensor) else [t for part in out for t in flat(part)]


def start(kind: str, *shape: int) -> Any:
    generator = torch.Generator().manual_seed(9)
    made = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2)]
    return tuple(made) if kind == "lstm" else made[0]


def agree(model: nn.Module, spec: Any, *inputs: Any, accumulate: Any = "quire") -> None:
    """Values and all gradients as torch has them, within roundings of a wide format."""
    twin = copy.deepcopy(model)
    convert_(model, PositConfig.emulate_hardware(spec, accumulate))
    ours, theirs = flat(model(*inputs)), flat(twin(*inputs))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)
        assert torch.equal(ops.fake_quant(a, spec), a)
    weights = [torch.linspace(-1, 1, b.numel(), dtype=b.dtype).reshape(b.shape) for b in theirs]
    for outs in (ours, theirs):
        sum((o * w).sum() for o, w in zip(outs, weights, strict=True)).backward()  # type: ignore[union-attr]
    for (name, p), q in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert p.grad is not None
        torch.testing.assert_close(p.grad, q.grad, atol=2e-6, rtol=2e-6, msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options",
    [{}, {"batch_first": True, "bias": False}, {"num_layers": 2, "bidirectional": True}],
    ids=str,
)
def test_torch_within_rounding(kind: str, options: dict[str, Any]) -> None:
    x = torch.randn(3, 2, 5, dtype=torch.float64)
    agree(made(kind, **options), bposit32, x)
    ways = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    rows = 3 if options.get("batch_first") else 2
    agree(made(kind, **options), bposit32, x, start(kind, ways, rows, 4))
    agree(made(kind, **options), bposit32, x[:, 0], start(kind, ways, 4))


def test_other_nonlinearity_and_accumulators() -> None:
    x = torch.randn(3, 2, 5, dtype=torch.float64)
    agree(made("rnn", nonlinearity="relu"), bposit32, x)
    for accumulate in ("float64", "each_op"):
        agree(made("gru"), bposit32, x, accumulate=accumulate)


@pytest.mark.parametrize("kind", CELLS)
def test_cells(kind: str) -> None:
    x = torch.randn(2, 5, dtype=torch.float64)
    for options in ({}, {"bias": False}):
        agree(CELLS[kind](5, 4, **options).double(), bposit32, x, start(kind, 2, 4))
        agree(CELLS[kind](5, 4, **options).double(), bposit32, x[0])
    agree(nn.RNNCell(5, 4, nonlinearity="relu").double(), bposit32, x)


def sigmoid(x: Tensor) -> Tensor:
    return ops.sigmoid(x, spec=bposit16)


def tanh(x: Tensor) -> Tensor:
    return ops.tanh(x, spec=bposit16)


def test_each_step_rounds_as_documented() -> None:
    """GRU and LSTM in a narrow format, written out: the same bits, also of all gradients."""

    def gru(m: Any, x: Tensor) -> Tensor:
        i = ops.linear(x, m.weight_ih_l0, m.bias_ih_l0, spec=bposit16)
        h = torch.zeros(x.shape[1], 4, dtype=torch.float64)
        for t in range(len(x)):
            g = ops.linear(h, m.weight_hh_l0, m.bias_hh_l0, spec=bposit16)
            r, z = (
                sigmoid(ops.add(i[t][:, s], g[:, s], spec=bposit16))
                for s in (slice(0, 4), slice(4, 8))
            )
            n = tanh(ops.fma(r, g[:, 8:], i[t][:, 8:], spec=bposit16))
            h = ops.fma(z, ops.sub(h, n, spec=bposit16), n, spec=bposit16)
        return h

    def lstm(m: Any, x: Tensor) -> Tensor:
        i = ops.linear(x, m.weight_ih_l0, m.bias_ih_l0, spec=bposit16)
        h = c = torch.zeros(x.shape[1], 4, dtype=torch.float64)
        for t in range(len(x)):
            g = ops.linear(h, m.weight_hh_l0, m.bias_hh_l0, spec=bposit16)
            a = ops.add(i[t], g, spec=bposit16)
            enter, keep, new, leave = a[:, :4], a[:, 4:8], a[:, 8:12], a[:, 12:]
            left = torch.stack([sigmoid(keep), sigmoid(enter)])
            c = ops.dot(left, torch.stack([c, tanh(new)]), 0, spec=bposit16)
            h = ops.mul(sigmoid(leave), tanh(c), spec=bposit16)
        return h

    x = torch.randn(4, 3, 5)
    for kind, written in (("gru", gru), ("lstm", lstm)):
        model = made(kind)
        convert_(model, bposit16)
        twin = copy.deepcopy(model)
        got, want = model(x)[0][-1], written(twin, x)
        assert torch.equal(got, want)
        got.sum().backward()
        want.sum().backward()
        for p, q in zip(model.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad, atol=0, rtol=2e-3)  # in another order


@pytest.mark.parametrize("kind", KINDS)
def test_bits_do_not_depend_on_the_batch(kind: str) -> None:
    """Trap: torch's GRU takes paths by batch size that differ even in float64."""
    model = made(kind, num_layers=2, dropout=0.5, batch_first=True)
    convert_(model, bposit16)
    x = torch.randn(7, 6, 5)
    with stream(1, 2):
        whole = flat(model(x))
    parts = []
    for at in (torch.arange(0, 1), torch.arange(1, 5), torch.arange(5, 7)):
        with stream(1, 2, at):
            parts.append(flat(model(x[at])))
    for i, (y, *pieces) in enumerate(zip(whole, *parts, strict=True)):
        assert torch.equal(torch.cat(pieces, 0 if i == 0 else 1), y)
    with stream(1, 2):
        assert not torch.equal(flat(model.eval()(x))[0], whole[0])


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_do_not_depend_on_micro_batches(kind: str) -> None:
    """All uses of a weight, over time and samples, come to one exact sum."""
    model = made(kind, num_layers=2, bidirectional=True, batch_first=True)
    convert_(model, bposit16)
    gradients.collect(model.parameters())
    x, g = torch.randn(6, 5, 5), torch.randn(6, 5, 8)
    found = []
    for sizes in ([6], [1, 5], [2, 2, 2]):
        for part, back in zip(x.split(sizes), g.split(sizes), strict=True):
            model(part)[0].backward(back)
        assert all(p.grad is None for p in model.parameters())
        found.append([gradients.rounded(p, bposit16).tolist() for p in model.parameters()])  # type: ignore[union-attr]
        gradients.clear(model.parameters())
    assert found[0] == found[1] == found[2]


def test_input_dtypes() -> None:
    model = made("gru").float()
    convert_(model)
    x = torch.randn(3, 2, 5)
    out = model(x)[0]
    assert out.dtype == torch.float64
    assert torch.equal(out, model(x.double())[0])


def test_what_is_refused() -> None:
    model = made("lstm", proj_size=2)
    with pytest.raises(UnsupportedOp, match="LSTM with proj_size=2, which has no posit form"):
        convert_(model)
    convert_(model, strict=False)
    with pytest.raises(NotImplementedError, match="proj_size"):
        model(torch.randn(3, 2, 5))
    packed = pack_sequence([torch.randn(3, 5), torch.randn(2, 5)])
    for kind in KINDS:
        layer = made(kind).float()
        convert_(layer)
        with pytest.raises(NotImplementedError, match=f"{kind}.*PackedSequence"):
            layer(packed)
        with pytest.raises(ValueError, match=r"without steps, of shape \(0, 2, 5\)"):
            layer(torch.randn(0, 2, 5))
    deep = made("gru", num_layers=2, dropout=0.5)
    convert_(deep)
    with pytest.raises(RuntimeError, match="stream"):
        deep(torch.randn(3, 2, 5))
