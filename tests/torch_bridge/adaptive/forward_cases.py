"""Models, batches and losses that the tests of forward gradients share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import torch_bridge as tb

SAMPLES = 6


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Layers are so small that threads only wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def loss(output: Tensor, target: Tensor) -> Tensor:
    return cross_entropy(output, target, reduction="none")


def posit_loss(output: Tensor, target: Tensor) -> Tensor:
    return tb.ops.cross_entropy(output, target, reduction="none", spec="bposit16")


class Residual(nn.Module):
    """A parameter of its own, a list of parameters, a layer used twice, and a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.randn(3))
        self.scales = nn.ParameterList([nn.Parameter(torch.randn(())), nn.Parameter(torch.ones(1))])
        self.twice = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.shift
        for scale in self.scales:
            x = x + scale * torch.tanh(self.twice(x))
        return x


class Skip(nn.Module):
    """What a chain takes in is used again behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 3), nn.Linear(3, 2)
        self.branch = nn.Sequential(nn.SiLU(), nn.Linear(3, 3), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        found: Tensor = self.last(x + self.branch(x))
        return found


class Attention(nn.Module):
    """Reads the weights of its output projection without calling it."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(2, 2, batch_first=True)
        self.norm = nn.LayerNorm(2)

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(len(x), 2, 2)
        found: Tensor = self.norm(x + self.attention(x, x, x, need_weights=False)[0])
        return found.sum(1)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.lstm(x.reshape(len(x), 2, 2))[0]
        return found[:, -1]


def model(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A small model in float64 with between 20 and 60 parameters, and the shape of its input."""
    torch.manual_seed(7)
    made: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
        "chain": (
            nn.Sequential(
                nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2), nn.GELU(), nn.Linear(2, 2, bias=False),
                nn.SiLU(), nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 3), nn.ReLU(),
            ),
            (4,),
        ),
        "convolution": (
            nn.Sequential(
                nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Conv2d(2, 2, 2, groups=2), nn.Flatten(),
                nn.Linear(2, 3),
            ),
            (1, 3, 3),
        ),
        "residual": (nn.Sequential(Residual(), nn.Linear(3, 3)), (3,)),
        "skip": (Skip(), (4,)),
        "attention": (Attention().eval(), (4,)),  # where torch would take a fast path
        "recurrent": (Recurrent(), (4,)),
        "normalised": (
            nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.3), nn.Linear(3, 3)),
            (4,),
        ),
        "frozen": (
            nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)),
            (4,),
        ),
    }  # fmt: skip
    found, shape = made[name]
    if name == "frozen":
        for p in (*found[0].parameters(), found[3].bias):  # type: ignore[index]
            p.requires_grad_(False)
    return found.double(), shape


MODELS = (
    "chain", "convolution", "residual", "skip", "attention", "recurrent", "normalised", "frozen",
)  # fmt: skip


def batch(shape: tuple[int, ...], classes: int = 2, samples: int = SAMPLES) -> tuple[Tensor, Any]:
    torch.manual_seed(8)
    return torch.randn(samples, *shape, dtype=torch.float64), torch.arange(samples) % classes


def size(found: nn.Module) -> int:
    return sum(p.numel() for p in found.parameters() if p.requires_grad)


def reverse(found: nn.Module, data: tuple[Tensor, Any]) -> dict[str, Tensor]:
    """The gradient of the mean loss by torch's backward pass."""
    trained = {name: p for name, p in found.named_parameters() if p.requires_grad}
    mean = loss(found(data[0]), data[1]).mean()
    return dict(zip(trained, torch.autograd.grad(mean, list(trained.values())), strict=True))
