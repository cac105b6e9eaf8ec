"""Everything that is trained for one seed, and what each arm makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import torch
from torch import nn

from . import controls, data, evaluate
from .forgetting import Forgetting, NotForgotten, Plan, check, fit, forget
from .known import Nowcaster, histories, meta_train
from .networks import Kind, State, cnn, kinds, mlp, state_of
from .predictors import FIXED, combine, recurse, strengthened

__all__ = ["AHEAD", "PREDICTORS", "SWEPT", "Prepared", "prepare"]

NETWORKS: Mapping[str, Callable[[], nn.Module]] = {"mlp": mlp, "cnn": cnn}
PLANS = {
    "mlp": Plan(epochs=60, stage_epochs=20, snapshot_every=3),
    "cnn": Plan(epochs=60, stage_epochs=20, snapshot_every=3),
}
AHEAD = {"×2": 1, "×4": 2, "×8": 3}
PREDICTORS = ("linear", "least squares", "LogFit", "task vector", "WNN", "KNOWN")
SWEPT = (*PREDICTORS, "shrink")
META, STEPS, BATCH = 12, 1000, 1024  # sequences; steps and samples of meta-training
DRAWS, SHOTS = 5, 2


@dataclass
class Prepared:
    """What one seed trains: all of it before any arm, so that arms differ in weights alone."""

    network: str
    seed: int
    split: data.Split
    made: Forgetting
    kind_of: Mapping[str, Kind]
    known: Nowcaster
    wnn: Nowcaster
    twice: tuple[nn.Module, State]
    longer: tuple[nn.Module, State]
    unseen: Forgetting
    epochs: int

    @property
    def base(self) -> State:
        """θ_0."""
        return self.made.stages[-1]

    def predict(self, name: str, ahead: int, seen: Forgetting | None = None) -> State:
        """A predictor's weights after ``ahead`` steps, from this seed's stages or others."""
        made = self.made if seen is None else seen
        if name == "KNOWN":
            return recurse(partial(self.known, kind_of=self.kind_of), made.stages, ahead)[-1]
        if name == "KNOWN, shuffled":
            generator = torch.Generator().manual_seed(self.seed)
            order = controls.shuffled(made.stages, generator)
            return recurse(partial(self.known, kind_of=self.kind_of), order, ahead)[-1]
        if name == "WNN":
            return recurse(partial(self.wnn, kind_of=self.kind_of), made.path[-5:], ahead)[-1]
        return combine(FIXED[name](len(made.stages), ahead), made.stages)

    def transfer(
        self, placed: nn.Module, lr: float, *, sweep: bool = False, new_head: bool = False
    ) -> float:
        """Mean accuracy on the target after a few shots, over draws of them."""
        found = []
        for draw in range(DRAWS):
            generator = torch.Generator().manual_seed(1000 * self.seed + draw)
            few = data.few_shot(data.target(sweep), SHOTS, generator)
            found.append(evaluate.transfer(placed, few, lr, draw, new_head))
        return sum(found) / len(found)

    def placed(self, state: State, model: nn.Module | None = None) -> nn.Module:
        """The network with these weights; all else as in ``model``, or with θ_0."""
        return evaluate.placed(model or self.made.model, state, self.split.train)

    def measure(self, state: State, lr: float, model: nn.Module | None = None) -> dict[str, float]:
        """All that is measured of weights."""
        placed = self.placed(state, model)
        accuracy, entropy = evaluate.scores(placed, self.split.test)
        cosine, norm = controls.alignment(state, self.base)
        return {
            "transfer": self.transfer(placed, lr),
            "new head": self.transfer(placed, lr, new_head=True),
            "accuracy": accuracy,
            "cross-entropy": entropy,
            "cosine": cosine,
            "norm": norm,
        }

    def swept(self, name: str, settings: Mapping[str, float]) -> State:
        """The weights of a predictor, or of shrinking, with the settings of a sweep."""
        if name == "shrink":
            return controls.shrink(self.base, settings["factor"])
        predicted = self.predict(name, int(settings["ahead"]))
        return strengthened(predicted, self.base, settings["strength"])


@lru_cache(maxsize=8)  # the seeds of one network
def prepare(network: str, seed: int, quick: bool = False) -> Prepared:
    """Train what all arms of a seed share.

    Raises NotForgotten where θ_0 is no better than θ_1 on the validation part, although it was
    trained longer twice.
    """
    make, split = NETWORKS[network], data.source(seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made, plan = _converged(make, split, PLANS[network], generator)
        unseen = forget(make, split.train.x, split.train.y, replace(plan, stages=6), generator)
        twice = _trained(make, [split.train, split.more], plan, generator)
        longer = _longer(made, split, plan, generator)
        meta = [
            forget(make, *_meta_data(split.meta, generator), _meta_plan(plan, generator), generator)
            for _ in range(META // 2 if quick else META)
        ]
    kind_of = kinds(made.model)
    steps = STEPS // 4 if quick else STEPS
    known = meta_train(
        histories([m.stages for m in meta], kind_of), steps=steps, batch=BATCH, seed=seed
    )
    past = histories([m.path for m in meta], kind_of)
    wnn = meta_train(past, steps=steps, batch=BATCH, seed=seed, scaled=True)
    return Prepared(
        network, seed, split, made, kind_of, known, wnn, twice, longer, unseen, plan.epochs
    )


def _converged(
    make: Callable[[], nn.Module], split: data.Split, plan: Plan, generator: torch.Generator
) -> tuple[Forgetting, Plan]:
    """A sequence that forgets, with twice and four times the epochs for θ_0 where that takes it."""
    for again in (True, True, False):
        made = forget(make, split.train.x, split.train.y, plan, generator)
        try:
            check([-_entropy(made, k, split) for k in (-1, -2)])
        except NotForgotten:
            if not again:
                raise
            plan = replace(plan, epochs=2 * plan.epochs)
        else:
            break
    return made, plan


def _entropy(made: Forgetting, stage: int, split: data.Split) -> float:
    placed = evaluate.placed(made.model, made.stages[stage], split.train)
    return evaluate.scores(placed, split.validation)[1]


def _meta_data(
    pool: data.Labelled, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    rows = torch.randperm(len(pool), generator=generator)[:1000]
    return pool.x[rows], pool.y[rows]


def _meta_plan(plan: Plan, generator: torch.Generator) -> Plan:
    """Seven stages; rate in 0.4 … 0.7, learning rate in half … twice the plan's."""
    a, b = torch.rand(2, generator=generator).tolist()
    return replace(plan, stages=7, rate=0.4 + 0.3 * a, lr=plan.lr * 2 ** (2 * b - 1))


def _trained(
    make: Callable[[], nn.Module],
    parts: list[data.Labelled],
    plan: Plan,
    generator: torch.Generator,
) -> tuple[nn.Module, State]:
    model = make()
    x, y = torch.cat([p.x for p in parts]), torch.cat([p.y for p in parts])
    fit(model, x, y, plan.epochs, plan, generator)
    return model, state_of(model)


def _longer(
    made: Forgetting, split: data.Split, plan: Plan, generator: torch.Generator
) -> tuple[nn.Module, State]:
    """θ_0 trained on, on all its data, for as many samples as the forgetting stages took."""
    model = evaluate.placed(made.model, made.stages[-1], split.train)
    epochs = round(plan.stage_epochs * sum(made.sizes[:-1]) / made.sizes[-1])
    fit(model, split.train.x, split.train.y, epochs, plan, generator)
    return model, state_of(model)
