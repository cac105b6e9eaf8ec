"""Structured forgetting: train on all data, then on ever smaller parts of it, in nested subsets.

    D_{S-1} ⊂ … ⊂ D_1 ⊂ D_0,   |D_s| = rate·|D_{s-1}|,   θ_0 → θ_1 → … → θ_{S-1}

θ_0 is trained on D_0, and each θ_s starts from θ_{s-1}. Source: arXiv 2508.05059, section 3; S = 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from .networks import State, state_of

__all__ = ["Forgetting", "NotForgotten", "Plan", "check", "fit", "forget", "nested"]


class NotForgotten(ValueError):
    """θ_0 is no better than θ_1, so that there is nothing to turn back."""


@dataclass(frozen=True)
class Plan:
    """How a forgetting sequence is trained, by Adam.

    Parameters
    ----------
    rate : float
        |D_s| / |D_{s-1}|, between 0 and 1.
    stages : int
        How many θ, S; the paper's is 5.
    epochs, stage_epochs : int
        Passes over D_0 for θ_0, and over D_s for each later stage.
    lr : float
    batch : int
    snapshot_every : int
        After how many passes a state of the training of θ_0 is kept, counted back from its end;
        0 keeps none.
    """

    rate: float = 0.5
    stages: int = 5
    epochs: int = 100
    stage_epochs: int = 30
    lr: float = 1e-3
    batch: int = 64
    snapshot_every: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise ValueError(f"rate = {self.rate}: subsets shrink, so it lies between 0 and 1")
        if self.stages < 2:
            raise ValueError(f"{self.stages} stages: forgetting takes 2 or more")


@dataclass
class Forgetting:
    """What :func:`forget` made.

    ``stages`` are θ_{S-1}, …, θ_0: the smallest subset first, as predictors take them. ``sizes``
    are their numbers of samples. ``path`` are snapshots of the training of θ_0, the oldest first.
    ``model`` holds θ_0, and what is not predicted (normalisation layers) as it was with θ_0.
    """

    model: nn.Module
    stages: list[State] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    path: list[State] = field(default_factory=list)


def nested(count: int, rate: float, stages: int, generator: torch.Generator) -> list[Tensor]:
    """Indices of D_0 ⊃ D_1 ⊃ …, largest first; |D_s| = ⌊count·rate^s⌋.

    Raises ValueError where the smallest would be empty.
    """
    order = torch.randperm(count, generator=generator)
    sizes = [int(count * rate**s * (1 + 1e-12)) for s in range(stages)]  # 100·0.7² is 49
    if sizes[-1] < 1:
        raise ValueError(f"{count} samples at rate {rate} leave none for stage {stages - 1}")
    return [order[:size] for size in sizes]


def forget(
    make: Callable[[], nn.Module], x: Tensor, y: Tensor, plan: Plan, generator: torch.Generator
) -> Forgetting:
    """Train θ_0 on (x, y), and all later stages; ``make`` makes a new network.

    x is (N, …), y (N,) of classes. The generator chooses subsets and the order of samples.
    """
    subsets = nested(len(x), plan.rate, plan.stages, generator)
    model = make()
    kept: list[State] = []

    def keep(epoch: int) -> None:
        if plan.snapshot_every and (plan.epochs - epoch) % plan.snapshot_every == 0:
            kept.append(state_of(model))

    fit(model, x, y, plan.epochs, plan, generator, keep)
    made = Forgetting(_copied(make, model), path=kept)
    found = [state_of(model)]
    for subset in subsets[1:]:
        fit(model, x[subset], y[subset], plan.stage_epochs, plan, generator)
        found.append(state_of(model))
    made.stages = found[::-1]
    made.sizes = [len(s) for s in subsets][::-1]
    return made


def fit(  # noqa: PLR0917
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    epochs: int,
    plan: Plan,
    generator: torch.Generator,
    after: Callable[[int], None] | None = None,
) -> None:
    """``epochs`` passes of a new Adam over (x, y); ``after`` sees the number of passes done."""
    optimizer = torch.optim.Adam(model.parameters(), lr=plan.lr, fused=True)
    model.train()
    for epoch in range(epochs):
        for rows in torch.randperm(len(x), generator=generator).split(plan.batch):
            optimizer.zero_grad()
            functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
        if after is not None:
            after(epoch + 1)


def check(scores: Sequence[float]) -> None:
    """Raise NotForgotten unless θ_0 is better than θ_1 on data that neither was trained on.

    ``scores`` of θ_0, θ_1, …; higher is better. Where stages improve, they were further training
    rather than forgetting, and turning them back untrains.
    """
    if len(scores) < 2:
        raise ValueError(f"scores {[*scores]}: of θ_0 and θ_1 at least")
    if not scores[0] > scores[1]:
        raise NotForgotten(
            f"θ_0 scores {scores[0]:.4g} and θ_1 {scores[1]:.4g} on held-out data: the stages did"
            " not forget; train θ_0 until it has converged, or hold more data out"
        )


def _copied(make: Callable[[], nn.Module], model: nn.Module) -> nn.Module:
    made = make()
    made.load_state_dict(model.state_dict())
    return made
