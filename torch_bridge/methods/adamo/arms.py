"""AdamO and what it is compared with: each keeps a network plastic in its own way, or does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .._result import Settings
from .groups import isometric_groups
from .isometry import isometry_penalty
from .networks import Perceptron
from .optimizer import AdamO

__all__ = ["ARMS", "Arm", "make", "network"]

RATES = (3e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3)


class Arm:
    """How one arm trains a network: its optimizers, its penalty, what it does between tasks.

    Parameters
    ----------
    model : Perceptron
    kind : str
        A name of :data:`ARMS`.
    seed : int
        Of what shrink-and-perturb draws.
    options
        lr, and ``strength``: λ, weight decay, or whatever the arm has.
    """

    def __init__(
        self, model: Perceptron, kind: str, seed: int, *, lr: float, strength: float = 0.0
    ) -> None:
        if kind not in ARMS:
            raise ValueError(f"arm {kind!r}: possible are {', '.join(ARMS)}")
        self.model, self._kind, self._strength, self._seed = model, kind, strength, seed
        self._first = [p.detach().clone() for p in model.parameters()]
        self._tasks = 0
        self.optimizers: list[torch.optim.Optimizer]
        if kind == "AdamO":
            groups = isometric_groups(model, strength, skip=["readout"])
            self.optimizers = [AdamO(groups, lr=lr)]
        elif kind == "Muon":
            matrices = [layer.weight for layer in model.layers]
            taken = {id(p) for p in matrices}
            rest = [p for p in model.parameters() if id(p) not in taken]
            muon = torch.optim.Muon(matrices, lr=lr, weight_decay=0.0, adjust_lr_fn="original")
            self.optimizers = [muon, torch.optim.AdamW(rest, lr=1e-3, weight_decay=0.0)]
        else:
            decay = strength if kind == "weight decay" else 0.0
            self.optimizers = [torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=decay)]

    def penalty(self) -> Tensor | float:
        """What is added to the loss."""
        if self._kind == "coupled penalty":
            terms = [isometry_penalty(layer.weight) for layer in self.model.layers]
            return self._strength * torch.stack(terms).sum()
        if self._kind == "L2 to the start":
            off = [
                (p - first).square().sum()
                for p, first in zip(self.model.parameters(), self._first, strict=True)
            ]
            return self._strength * torch.stack(off).sum()
        return 0.0

    @torch.no_grad()
    def next_task(self) -> None:
        """What is done when a task begins that is not the first."""
        self._tasks += 1
        if self._kind == "shrink and perturb":  # Ash and Adams, 2020
            other = Perceptron(
                self.model.layers[0].in_features, self.model.readout.in_features,
                self.model.readout.out_features, depth=len(self.model.layers),
                seed=1000 * self._seed + self._tasks,
            )  # fmt: skip
            for p, fresh in zip(self.model.parameters(), other.parameters(), strict=True):
                p.mul_(1 - self._strength).add_(fresh, alpha=self._strength)

    def step(self, x: Tensor, labels: Tensor) -> float:
        """Learn from a batch; returns the loss of the task."""
        loss = nn.functional.cross_entropy(self.model(x), labels)
        self.descend(loss)
        return loss.item()

    def descend(self, loss: Tensor) -> None:
        """One step of the optimizers on a loss of the model."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        (loss + self.penalty()).backward()
        for optimizer in self.optimizers:
            optimizer.step()


def _rates(*rates: float) -> list[dict[str, Any]]:
    return [{"lr": lr} for lr in rates]


def _grid(*strengths: float) -> list[dict[str, Any]]:
    return [{"lr": lr, "strength": s} for lr in (1e-3, 2e-3) for s in strengths]


ARMS: Mapping[str, list[dict[str, Any]]] = {
    "AdamO": _grid(0.03, 0.1, 0.3),
    "AdamW": _rates(*RATES),
    "weight decay": _grid(0.1, 0.5, 2.0),
    "L2 to the start": _grid(1e-4, 1e-3, 1e-2),
    "coupled penalty": _grid(1e-3, 1e-2, 1e-1),
    "shrink and perturb": _grid(0.2, 0.5, 0.8),
    "CReLU": _rates(*RATES),
    "Muon": _rates(1e-3, 3e-3, 1e-2, 2e-2, 3e-2, 0.1),
}
"""Of each arm, the six settings that it may choose from."""


def network(kind: str, inputs: int, seed: int, width: int = 128) -> Perceptron:
    """The network of an arm: the same weights for all but CReLU, which has half the units."""
    return Perceptron(inputs, width, 10, concatenated=kind == "CReLU", seed=seed)


def make(kind: str, inputs: int, seed: int, settings: Settings) -> Arm:
    """An arm with its network."""
    return Arm(network(kind, inputs, seed), kind, seed, **settings)
