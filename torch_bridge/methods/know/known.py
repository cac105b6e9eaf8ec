"""KNOWN, the network that predicts a weight from its past, and its meta-training.

Source: arXiv 2508.05059 and its released code (KNOWN.py). The form is that of WNN (Jang et al.,
ICML 2023), which scales each weight's history to a common range and looks ahead in epochs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .networks import Kind, State

__all__ = ["Known", "Nowcaster", "histories", "meta_train"]

_KERNEL, _BIAS = 1e-6, 0.1  # ℓ1 regularisers of the released code
_TINY = 1e-5  # keeps the range of a history that does not move from being 0


class _Gate(nn.Module):
    """T(z) + U(z)·exp(V(z)·h) with z = relu(A·h), 64 to 64 by way of 8."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow = nn.Linear(64, 8)
        self.shift, self.scale, self.rate = (nn.Linear(8, 64) for _ in range(3))
        for layer in (self.narrow, self.shift, self.scale, self.rate):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, h: Tensor) -> Tensor:
        z = torch.relu(self.narrow(h))
        out: Tensor = self.shift(z) + self.scale(z) * torch.exp(self.rate(z) * h)
        return out


class Known(nn.Module):
    """Histories of single weights to what is next less what is last, (N,), within ±1.

    Two streams, of the S values (N, S) and of their differences (N, S - 1). 9,425 parameters for
    S = 5.
    """

    def __init__(self, length: int = 5) -> None:
        super().__init__()
        self.length = length
        self.values, self.differences = _stream(length), _stream(length - 1)
        self.join = nn.Linear(64, 1)
        nn.init.xavier_uniform_(self.join.weight)
        nn.init.zeros_(self.join.bias)

    def forward(self, w: Tensor, d: Tensor) -> Tensor:
        both = torch.cat((self.values(w), self.differences(d)), dim=-1)
        return torch.tanh(self.join(both)).squeeze(-1)

    def penalty(self) -> Tensor:
        """ℓ1 of the four layers that the released code regularises."""
        total = torch.zeros(())
        for name, p in (*self.values.named_parameters(), *self.differences.named_parameters()):
            if not name.startswith("1."):  # the gate's
                total = total + (_BIAS if name.endswith("bias") else _KERNEL) * p.abs().sum()
        return total


def _stream(length: int) -> nn.Sequential:
    return nn.Sequential(_regular(length, 64), _Gate(), _regular(64, 32), nn.LeakyReLU(0.3))


def _regular(inputs: int, outputs: int) -> nn.Linear:
    """Keras' VarianceScaling(0.1, fan_in, uniform)."""
    layer = nn.Linear(inputs, outputs)
    limit = (3 * 0.1 / inputs) ** 0.5
    nn.init.uniform_(layer.weight, -limit, limit)
    nn.init.zeros_(layer.bias)
    return layer


@dataclass
class Nowcaster:
    """One network for each kind of parameter; predicts what comes after S stages.

    ``scaled`` is WNN's way: histories are moved and scaled to [-1/2, 1/2], and the result back.
    KNOW's released code takes weights as they are.
    """

    networks: Mapping[Kind, Known]
    scaled: bool = False

    def __call__(self, stages: Sequence[State], kind_of: Mapping[str, Kind]) -> State:
        """The next state; the stages are in order, those with the smallest subset first."""
        out: State = {}
        for name, kind in kind_of.items():
            history = torch.stack([s[name].reshape(-1) for s in stages], dim=1)
            last = stages[-1][name]
            with torch.no_grad():
                out[name] = last + self._step(kind, history).to(last.dtype).reshape(last.shape)
        return out

    def _step(self, kind: Kind, history: Tensor) -> Tensor:
        if kind not in self.networks:
            raise ValueError(f"no network for {kind!r}; meta-training saw {sorted(self.networks)}")
        network = self.networks[kind]
        if history.shape[1] != network.length:
            raise ValueError(f"{history.shape[1]} stages; this network takes {network.length}")
        history = history.to(next((p.dtype for p in network.parameters()), history.dtype))
        normal, unit = _normalised(history) if self.scaled else (history, torch.ones(()))
        step: Tensor = network(normal, normal.diff(dim=1)) * unit
        return step


def _normalised(history: Tensor) -> tuple[Tensor, Tensor]:
    """(w - w_first) / unit with unit = 2·(range of w + 1e-5), row by row."""
    unit = 2 * (history.amax(1) - history.amin(1) + _TINY)
    return (history - history[:, :1]) / unit[:, None], unit


def histories(
    sequences: Sequence[Sequence[State]], kind_of: Mapping[str, Kind], length: int = 5
) -> dict[Kind, Tensor]:
    """All windows of ``length`` states and the one that follows, as (N, length + 1) by kind."""
    found: dict[Kind, list[Tensor]] = {}
    for states in sequences:
        for first in range(len(states) - length):
            window = states[first : first + length + 1]
            for name, kind in kind_of.items():
                rows = torch.stack([s[name].reshape(-1) for s in window], dim=1)
                found.setdefault(kind, []).append(rows)
    if not found:
        raise ValueError(f"no sequence has {length + 1} states or more")
    return {kind: torch.cat(rows) for kind, rows in found.items()}


def meta_train(
    samples: Mapping[Kind, Tensor],
    *,
    steps: int = 1500,
    batch: int = 2048,
    lr: float = 1e-3,
    seed: int = 0,
    scaled: bool = False,
) -> Nowcaster:
    """Minimise the ℓ1 error of the next weight, |θ_t + KNOWN(w) - θ_{t-1}|, by Adam.

    Samples are those of :func:`histories`. ``scaled`` as for :class:`Nowcaster`.
    """
    made: dict[Kind, Known] = {}
    for kind, rows in samples.items():
        w, target = rows[:, :-1], rows[:, -1] - rows[:, -2]
        if scaled:
            w, unit = _normalised(w)
            target = target / unit
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = Known(w.shape[1])
        generator = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.Adam(network.parameters(), lr=lr, fused=True)
        for _ in range(steps):
            at = torch.randint(len(w), (batch,), generator=generator)
            optimizer.zero_grad()
            error = (network(w[at], w[at].diff(dim=1)) - target[at]).abs().mean()
            (error + network.penalty()).backward()
            optimizer.step()
        made[kind] = network
    return Nowcaster(made, scaled)
