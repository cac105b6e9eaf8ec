"""convert_: the same model in posits, nothing skipped in silence, all or nothing, and back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import posit
from posit import bposit16, bposit32
from torch_bridge import ops
from torch_bridge.accumulate import EachOp
from torch_bridge.config import PositConfig
from torch_bridge.convert import convert_, unconvert_
from torch_bridge.mode import UnsupportedOp
from torch_bridge.streams import stream


class Everything(nn.Module):
    """Attention, norms, convolution, embedding, residual connections and functional calls."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 16)
        self.norm = nn.LayerNorm(16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.block = nn.Sequential(
            nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16), nn.Dropout(0.25)
        )
        self.batch = nn.BatchNorm1d(16)
        self.conv = nn.Conv1d(16, 16, 3, padding=1)
        self.pool = nn.AvgPool1d(2)
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        x = x + self.block(x) * self.scale
        x = self.batch(x.transpose(1, 2))
        x = self.pool(F.relu(self.conv(x)))
        return x.mean(-1)


INPUT = torch.tensor([[1, 2, 3, 4, 5, 6], [9, 8, 7, 0, 1, 1], [3, 3, 3, 2, 2, 2]])
TARGET = torch.tensor([3, 1, 15])


def made(seed: int = 0) -> Everything:
    torch.manual_seed(seed)
    return Everything().eval()


def is_posit(x: Tensor, spec: Any) -> bool:
    return bool(torch.equal(ops.fake_quant(x.detach(), spec), x.detach()))


@pytest.mark.parametrize("accumulate", ["quire", "float64", "each_op"])
def test_the_same_function_within_rounding(accumulate: str) -> None:
    model = made().double()
    twin = copy.deepcopy(model)
    report = convert_(model, PositConfig.emulate_hardware(bposit32, accumulate))
    assert len(report.converted) == len(list(twin.named_modules()))
    got, want = model(INPUT), twin(INPUT)
    assert got.dtype == torch.float64
    assert is_posit(got, bposit32)
    torch.testing.assert_close(got, want, atol=2e-6, rtol=0)
    F.cross_entropy(got, TARGET).backward()
    F.cross_entropy(want, TARGET).backward()
    for (name, p), q in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert p.grad is not None
        assert q.grad is not None
        torch.testing.assert_close(p.grad, q.grad, atol=2e-6, rtol=1e-4, msg=name)
        assert is_posit(p.grad, bposit32), name


def test_parameters_are_posits_and_know_it() -> None:
    model = made()
    report = convert_(model, "bposit16")
    for p in model.parameters():
        assert p.dtype == torch.float64
        assert p.spec == bposit16  # type: ignore[attr-defined]
        assert is_posit(p, bposit16)
    assert 0 < report.changed < report.parameters
    text = str(report)
    assert "embed" in text
    assert "bposit16" in text or "<16,6,5>" in text


def test_products_are_exact() -> None:
    torch.manual_seed(1)
    layer = nn.Sequential(nn.Linear(300, 5))
    convert_(layer, "bposit16")
    x = torch.randn(7, 300)
    bits = posit.encode(x.numpy(), bposit16)
    weight = posit.encode(layer[0].weight.detach().numpy(), bposit16)
    import quire

    bias = posit.encode(layer[0].bias.detach().numpy(), bposit16)
    want = quire.matmul(bits, weight.T, bposit16, add=bias)
    assert (posit.encode(layer(x).detach().numpy(), bposit16) == want).all()


def test_overrides_and_filters() -> None:
    model = made()
    report = convert_(
        model,
        "bposit32",
        overrides={
            "re:block.*": "bposit16",
            "block.2": None,
            "attention": PositConfig.training("posit32"),
        },
        filter_fn=lambda name, module: name != "conv",
    )
    assert set(report.left) == {"block.2", "conv"}
    assert report.converted["block.0"].weights == bposit16
    assert report.converted["attention.out_proj"].weights == posit.standard(32)
    assert model.conv.weight.dtype == torch.float32
    with pytest.raises(ValueError, match="no module is called"):
        convert_(made(), overrides={"blok": None})


class WithBilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.odd = nn.Bilinear(2, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.odd(self.first(x), torch.special.i0(x))


def test_what_is_not_known_is_named_and_nothing_changes() -> None:
    model = WithBilinear()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(UnsupportedOp, match=r"odd is a Bilinear.*overrides=\{'odd': None\}"):
        convert_(model)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert not any(hasattr(m, "_posit_mode") for m in model.modules())
    convert_(model, overrides={"odd": None})
    with pytest.raises(UnsupportedOp, match="i0"):
        model(torch.randn(3, 2))
    unconvert_(model)
    report = convert_(model, strict=False)
    assert report.unknown == {}
    assert is_posit(model(torch.randn(3, 2)), bposit16)
    assert report.unknown == {"": {"i0": 1}, "odd": {"bilinear": 1}}
    assert "odd: in float64, bilinear" in str(report)
    with pytest.raises(ValueError, match="converted already"):
        convert_(model)


def test_tied_parameters_stay_tied() -> None:
    model = nn.Sequential(nn.Embedding(6, 4), nn.Linear(4, 6, bias=False))
    model[1].weight = model[0].weight
    convert_(model)
    assert model[0].weight is model[1].weight
    model(torch.tensor([1, 5])).sum().backward()
    assert model[0].weight.grad is not None


def test_back_to_floats() -> None:
    model = made()
    want = copy.deepcopy(model)
    convert_(model, bposit32)
    unconvert_(model)
    assert all(p.dtype == torch.float32 for p in model.parameters())
    torch.testing.assert_close(model(INPUT), want(INPUT))


def test_dropout_depends_on_seed_step_and_sample_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5))
    convert_(model)
    x = torch.randn(6, 4)
    with pytest.raises(RuntimeError, match="stream"):
        model(x)
    with stream(3, 7):
        whole = model(x)
    with stream(3, 7, torch.arange(6)[2:]):
        assert torch.equal(model(x[2:]), whole[2:])
    with stream(3, 8):
        assert not torch.equal(model(x), whole)
    with stream(0, 0, torch.arange(2)), pytest.raises(ValueError, match="names 2 samples"):
        model(x)


class Counting(EachOp):
    def __init__(self) -> None:
        self.calls = 0

    def matmul(self, a: Any, b: Any, spec: Any) -> Any:
        self.calls += 1
        return super().matmul(a, b, spec)


@pytest.mark.parametrize("layer", ["linear", "conv1d", "conv2d"])
def test_a_product_of_ones_own(layer: str) -> None:
    device = Counting()
    shapes: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
        "linear": (nn.Linear(3, 2), (4, 3)),
        "conv1d": (nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 9)),
        "conv2d": (nn.Conv2d(2, 3, (2, 3), padding=(0, 1), dilation=(2, 1)), (2, 2, 6, 5)),
    }
    inner, shape = shapes[layer]
    model = nn.Sequential(inner).double()
    twin = copy.deepcopy(model)
    convert_(model, PositConfig.emulate_hardware(bposit32, device))
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    got, want = model(x), twin(x)
    torch.testing.assert_close(got, want, atol=1e-6, rtol=0)
    g = torch.randn_like(want)
    ours = torch.autograd.grad(got, [x, *model.parameters()], g)
    theirs = torch.autograd.grad(want, [x, *twin.parameters()], g)
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, atol=1e-5, rtol=1e-5)
    assert device.calls == 3


def test_each_op_is_not_the_quire() -> None:
    """A sum in which rounding each step loses the small term."""
    results = []
    for accumulate in ("quire", "each_op"):
        layer = nn.Sequential(nn.Linear(3, 1, bias=False))
        layer[0].weight.data = torch.tensor([[1e20, 3.0, -1e20]])
        convert_(layer, PositConfig.emulate_hardware("bposit16", accumulate))
        results.append(float(layer(torch.ones(1, 3)).detach()))
    assert results == [3, 0]


def test_configurations() -> None:
    config = PositConfig.emulate_hardware("bposit16", "float64")
    assert PositConfig.from_json(config.to_json()) == config
    only = PositConfig.weight_only("posit8")
    assert PositConfig.from_json(only.to_json()) == only
    assert PositConfig.of("bposit8") == PositConfig.training("bposit8")
    with pytest.raises(ValueError, match="accumulate"):
        PositConfig.training("bposit16").__class__(accumulate="exact")
    with pytest.raises(TypeError, match="no matmul"):
        PositConfig(accumulate=3)
    with pytest.raises(ValueError, match="version"):
        PositConfig.from_json('{"version": 9}')
    with pytest.raises(ValueError, match="no PositConfig"):
        PositConfig.from_json('{"colour": "red"}')
    with pytest.raises(TypeError, match="no JSON form"):
        PositConfig(accumulate=EachOp()).to_json()


def test_weight_only_computes_in_float64() -> None:
    model = made()
    convert_(model, PositConfig.weight_only("bposit16"))
    assert not is_posit(model(INPUT), bposit16)
