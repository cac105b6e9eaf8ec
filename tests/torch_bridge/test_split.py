"""Where a batch is split, what would round a sum over a part of it is refused, and only that."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_bridge import convert_, gradients, ops, stream

BATCH, LENGTH, WIDTH = 6, 5, 4


class Model(nn.Module):
    """Tokens, whatever a test does with them, and a layer."""

    def __init__(self, change: Callable[[Any, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.tokens = nn.Embedding(9, WIDTH)
        self.places = nn.Embedding(LENGTH, WIDTH)
        self.weight = nn.Parameter(torch.randn(LENGTH, WIDTH))
        self.square = nn.Parameter(torch.randn(WIDTH, WIDTH))
        self.layer = nn.Linear(WIDTH, 3)
        self.change = change

    def forward(self, codes: Tensor) -> Tensor:
        x = self.change(self, self.tokens(codes), codes)
        return self.layer(x) if x.dim() else x


Change = Callable[[Any, Tensor, Tensor], Tensor]


def set_first(x: Tensor, y: Tensor) -> Tensor:
    x[:, 0] = y
    return x


REFUSED: dict[str, Change] = {
    "positions": lambda m, x, c: x + m.places(torch.arange(LENGTH)),
    "positions with an axis": lambda m, x, c: x + m.places(torch.arange(LENGTH)).unsqueeze(0),
    "swapped": lambda m, x, c: m.places(torch.arange(LENGTH)) - x,
    "across": lambda m, x, c: (x.transpose(0, 1) * (m.weight * 2).unsqueeze(1)).transpose(0, 1),
    "weight": lambda m, x, c: F.linear(x, m.square * 2),
    "bias": lambda m, x, c: F.linear(x, m.square, m.square[0].tanh()),
    "matmul": lambda m, x, c: x @ F.softmax(m.square, -1),
    "norm": lambda m, x, c: F.layer_norm(x, (WIDTH,), m.weight[0].exp()),
    "table": lambda m, x, c: F.embedding(c % LENGTH, F.gelu(m.weight)),
    "copies": lambda m, x, c: x + (m.weight * 2).expand(x.shape),
    "joined": lambda m, x, c: torch.cat([(m.weight * 2).expand(x.shape), x], 1),
    "chosen": lambda m, x, c: torch.where(c[..., None] > 4, x, m.weight.tanh()),
    "written": lambda m, x, c: x.clone().copy_((m.weight * 2).expand(x.shape)),
    "set": lambda m, x, c: set_first(x.clone(), m.weight[0] * 2),
}
ALLOWED: dict[str, Change] = {
    "positions": lambda m, x, c: x + m.places(torch.arange(LENGTH).expand(c.shape)),
    "parameter": lambda m, x, c: x + m.weight,
    "view": lambda m, x, c: x + m.weight[:LENGTH].view(1, LENGTH, WIDTH),
    "across": lambda m, x, c: (x.transpose(0, 1) * m.weight.unsqueeze(1)).transpose(0, 1),
    "copies": lambda m, x, c: torch.cat([m.weight[0].expand(len(x), 1, WIDTH), x], 1),
    "rows": lambda m, x, c: x + m.weight[c % LENGTH],
    "matmul": lambda m, x, c: x @ m.square,
    "attention": lambda m, x, c: F.softmax(x @ m.square @ x.mT, -1) @ x,
    "one for each": lambda m, x, c: x * x.mean(1, keepdim=True),
    "constant": lambda m, x, c: x + torch.arange(float(WIDTH)),
    "masked": lambda m, x, c: x.masked_fill(torch.ones(LENGTH, 1, dtype=torch.bool).triu(), 0.0),
    "asked": lambda m, x, c: x * (1.0 + torch.equal(m.weight * 2, x)),
    "flat": lambda m, x, c: (x.flatten(0, 1) + m.weight[0]).unflatten(0, c.shape),
}


def gradients_of(change: Change, size: int, named: bool) -> list[Any]:
    """Of all parameters, from micro-batches of a size, with the samples named or not."""
    model = Model(change)
    convert_(model, "bposit16")
    parameters = list(model.parameters())
    gradients.collect(parameters)
    codes = torch.randint(9, (BATCH, LENGTH), generator=torch.Generator().manual_seed(1))
    slopes = ops.fake_quant(torch.randn(BATCH, 99, 3, dtype=torch.float64), "bposit16")
    for samples in torch.arange(BATCH).split(size):
        with stream(0, 0, samples) if named else nullcontext():
            made = model(codes[samples])
        made.backward(slopes[samples, : made.shape[1]])
    if named:  # all of it was deposited
        assert all(p.grad is None for p in parameters)
    gradients.write(parameters)
    return [None if p.grad is None else p.grad.tolist() for p in parameters]


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_allowed_does_not_depend_on_the_split(name: str) -> None:
    whole, *others = (gradients_of(ALLOWED[name], size, True) for size in (BATCH, 1, 4))
    assert others == [whole, whole]


LAYERS: dict[str, tuple[nn.Module, Callable[[Any, Tensor], Tensor]]] = {
    "linear": (nn.Linear(4, 3), lambda m, x: m(x)),
    "conv1d": (nn.Conv1d(5, 4, 3, padding=1), lambda m, x: m(x)),
    "conv2d": (nn.Conv2d(1, 3, 2), lambda m, x: m(x.unsqueeze(1))),
    "rnn": (nn.RNN(4, 3, batch_first=True), lambda m, x: m(x)[0]),
    "lstm": (nn.LSTM(4, 3, 2, batch_first=True, dropout=0.5), lambda m, x: m(x)[0]),
    "gru": (nn.GRU(4, 3, batch_first=True, bidirectional=True), lambda m, x: m(x)[0]),
    "gru of steps": (nn.GRU(4, 3), lambda m, x: m(x.transpose(0, 1))[0].transpose(0, 1)),
    "attention": (nn.MultiheadAttention(4, 2, 0.5, batch_first=True), lambda m, x: m(x, x, x)[0]),
    "encoder": (nn.TransformerEncoderLayer(4, 2, 6, batch_first=True), lambda m, x: m(x)),
    "layer_norm": (nn.LayerNorm((5, 4)), lambda m, x: m(x)),
    "rms_norm": (nn.RMSNorm(4), lambda m, x: m(x)),
    "group_norm": (nn.GroupNorm(5, 5), lambda m, x: m(x)),
    "instance_norm": (nn.InstanceNorm1d(5, affine=True), lambda m, x: m(x)),
    "prelu": (nn.PReLU(5), lambda m, x: m(x)),
    "dropout": (nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)), lambda m, x: m(x)),
    "tied": (nn.Linear(4, 4), lambda m, x: m(m(x).tanh())),
}


def outputs_and_gradients(name: str, split: list[Tensor]) -> Any:
    """Of a layer in training, sample by sample, and its parameters' in order."""
    module, call = LAYERS[name]
    model = copy.deepcopy(module)
    convert_(model, "bposit16")
    parameters = list(model.parameters())
    gradients.collect(parameters)
    draw = torch.Generator().manual_seed(2)
    data = torch.randn(BATCH, LENGTH, WIDTH, generator=draw)
    slopes = torch.randn(BATCH, dtype=torch.float64, generator=draw)
    made: dict[int, Any] = {}
    for samples in split:
        with stream(5, 1, samples):
            out = call(model, data[samples])
        slope = slopes[samples].reshape(-1, *[1] * (out.dim() - 1))
        out.backward((slope * torch.linspace(0.5, 2, out.shape[-1]).double()).expand(out.shape))
        made |= {int(s): row.tolist() for s, row in zip(samples, out, strict=True)}
    assert all(p.grad is None for p in parameters)
    gradients.write(parameters)
    assert any(bool(p.grad.any()) for p in parameters if p.grad is not None)
    return made, [None if p.grad is None else p.grad.tolist() for p in parameters]


@pytest.mark.parametrize("name", LAYERS)
def test_layers_give_each_sample_and_parameter_the_same(name: str) -> None:
    """For any split and order of the batch, dropout included."""
    whole = outputs_and_gradients(name, [torch.arange(BATCH)])
    for split in (torch.arange(BATCH).split(1), torch.tensor([4, 0, 5, 2, 1, 3]).split(4)):
        assert outputs_and_gradients(name, list(split)) == whole


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("size", [1, 4])
def test_refused(name: str, size: int) -> None:
    with pytest.raises(RuntimeError, match="computed from parameters alone"):
        gradients_of(REFUSED[name], size, True)


@pytest.mark.parametrize("name", ["positions", "weight", "norm", "table"])
def test_what_is_refused_does_depend_on_the_split(name: str) -> None:
    assert gradients_of(REFUSED[name], BATCH, False) != gradients_of(REFUSED[name], 4, False)


MEANS: dict[str, Change] = {
    "mean": lambda m, x, c: x.mean(),
    "cross_entropy": lambda m, x, c: F.cross_entropy(x.flatten(0, 1), c.flatten() % WIDTH),
    "mse_loss": lambda m, x, c: F.mse_loss(x, torch.zeros_like(x)),
}


@pytest.mark.parametrize("name", MEANS)
def test_means_over_a_part_of_the_batch(name: str) -> None:
    model = Model(MEANS[name])
    convert_(model, "bposit16")
    codes = torch.zeros(2, LENGTH, dtype=torch.int64)
    with stream(0, 0, torch.arange(2)), pytest.raises(RuntimeError, match="count="):
        model(codes)
    with stream(0, 0, torch.arange(2), batch=2):
        whole = model(codes)
    with stream(0, 0):
        assert torch.equal(model(codes), whole)
    with stream(0, 0, torch.arange(2)), torch.no_grad():
        assert torch.equal(model(codes), whole)
