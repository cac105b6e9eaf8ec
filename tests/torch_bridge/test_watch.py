"""watch_nar: the layer, the direction, the step and the number of elements, and no cost in bits."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import torch_bridge as tb
from torch_bridge import gradients


class Inverse(nn.Module):
    """1/x, which is NaR at 0, where ``at`` says; its gradient is NaR where that of 1/x is."""

    def __init__(self, backward: bool = False) -> None:
        super().__init__()
        self.backward = backward

    def forward(self, x: Tensor) -> Tensor:
        if self.backward:
            return torch.where(x == 0, x.sqrt(), x)  # the slope of the root at 0
        return 1.0 / x


class Block(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.linear, self.inner = nn.Linear(3, 4), inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(F.relu(self.linear(x)) + x.new_zeros(()))


def model(inner: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential(nn.LayerNorm(3), Block(inner), nn.Linear(4, 2))
    tb.convert_(made)
    return made


X = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))


def zeros(made: nn.Module) -> int:
    return int((F.relu(made[1].linear(made[0](X))) == 0).sum())  # type: ignore[index, union-attr]


def test_forward() -> None:
    made = model(Inverse())
    count = zeros(made)
    assert count
    with tb.watch_nar(made) as watch:
        text = rf"step 1, forward: the output of 1\.inner \(Inverse\) is NaR in {count} of 20"
        with pytest.raises(FloatingPointError, match=text + " elements; its inputs had 0"):
            made(X)
        with tb.stream(0, 41), pytest.raises(FloatingPointError, match="step 41, forward"):
            made(X)
        bad = X.clone()
        bad[2, 1] = torch.nan
        with pytest.raises(FloatingPointError, match=r"step 3.*input of the model is NaR in 1 of"):
            made(bad)
    assert made(X).isnan().any()
    assert not watch.active


def test_backward() -> None:
    made = model(Inverse(backward=True))
    count = zeros(made)
    handle = tb.watch_nar(made)
    made(X)
    with tb.stream(0, 7):
        loss = made(X).sum()
    text = rf"step 7, backward: .*the input of 1\.inner \(Inverse\) is NaR in {count} of 20"
    with pytest.raises(FloatingPointError, match=text):
        loss.backward()
    loss = made(X).sum()
    handle.remove()
    loss.backward()
    with tb.watch_nar(made, backward=False):
        made(X).sum().backward()


def test_between_two_layers_both_are_named() -> None:
    made = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    tb.convert_(made)
    with tb.watch_nar(made):
        y = made(X)
        with pytest.raises(FloatingPointError, match=r"gradient of the output of 1 \(Tanh\)"):
            (y * torch.full((4,), torch.nan)).sum().backward()


class Dict(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Any]:
        return {"a": [x], "b": x.log()}


def test_structures_and_plain_models() -> None:
    made = nn.Sequential(nn.Linear(3, 3), Dict())  # not converted
    with tb.watch_nar(made), pytest.raises(FloatingPointError, match=r"1 \(Dict\) is NaR"):
        made(-X.abs())


def test_exact_gradients_and_memory_are_left_alone() -> None:
    made = model(nn.Tanh())
    gradients.collect(made.parameters())
    made(X).sum().backward()
    want = [gradients.rounded(p, "bposit16") for p in made.parameters()]
    gradients.clear(made.parameters())
    with tb.watch_nar(made) as watch:
        y = made(X)
        y.sum().backward()
        kept = weakref.ref(y)
        del y
        gc.collect()
        assert kept() is None
        handles = len(watch._handles)
        made(X)
        assert len(watch._handles) == handles
    for p, bits in zip(made.parameters(), want, strict=True):
        assert p.grad is None
        assert (gradients.rounded(p, "bposit16") == bits).all()
