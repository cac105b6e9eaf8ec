"""Does the method work? Streams of tasks, revival of dead units, and control that changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from .._harness import Run, Trial
from .._result import Experiment, Metric, Settings
from . import control
from .arms import ARMS
from .diagnostics import ntk_condition
from .lifetime import live
from .networks import Perceptron
from .optimizer import AdamO
from .tasks import TASKS, tasks

__all__ = ["SHORT", "reinforcement", "revival", "streams"]

LAST = 5
SHORT = {"random labels": (16, 25), "permuted digits": (8, 5), "permuted MNIST": (8, 1)}
"""Tasks and epochs of a life in a sweep; a quick run has 3 tasks of half the epochs."""


def streams(run: Run) -> None:
    """Three streams of tasks, each in every arm."""
    for name in TASKS:
        _stream(run, name)


def _stream(run: Run, name: str) -> None:
    count, epochs = SHORT[name]
    brief = replace(TASKS[name], count=count, epochs=epochs)
    plan = replace(brief, count=3, epochs=-(-epochs // 2)) if run.quick else TASKS[name]

    def score(kind: str, settings: Settings, seed: int) -> float:
        return float(np.mean(live(name, brief, kind, settings, seed).accuracy[-LAST:]))

    def trial(kind: str, settings: Settings) -> Trial:
        def measure(seed: int) -> dict[str, Any]:
            life = live(name, plan, kind, settings, seed)
            return {
                "last five": np.mean(life.accuracy[-LAST:]),
                "first five": np.mean(life.accuracy[:LAST]),
                "dormant": life.dormant[-1],
                "effective rank": life.rank[-1],
                "condition": life.conditions[-1],
                "log10 NTK condition": np.log10(min(_kernel(name, life.arm.model, seed), 1e14)),
                "curve": life.accuracy,
            }

        return measure

    chosen = {
        kind: run.sweep(f"{name}: {kind}", grid, partial(score, kind), seeds=(100, 101))
        for kind, grid in ARMS.items()
    }
    metrics = {
        "last five": Metric("mean accuracy at the end of the last five tasks", "higher"),
        "first five": Metric("the same of the first five", "higher"),
        "dormant": Metric("share of hidden units that are 0 for every sample, at the end", "lower"),
        "effective rank": Metric("of the last hidden layer, at the end"),
        "condition": Metric("largest condition number of a hidden weight, at the end", "lower"),
        "log10 NTK condition": Metric("of 8 samples' outputs, at the end; 14 is singular", "lower"),
        "curve": Metric("accuracy at the end of each task"),
        "seconds": Metric("of the trial, on the wall", "lower"),
    }
    about = (
        f"{plan.about}. {plan.count} tasks of {plan.epochs} epochs, four layers of 128 units,"
        " orthogonal at the start, nothing ever reset. Settings were chosen, of six for each arm,"
        f" on two other seeds by the last five of {count} tasks of {epochs} epochs."
    )
    experiment = Experiment(name, "method", about, metrics, run.seeds)
    run.trials(experiment, {kind: trial(kind, chosen[kind]) for kind in ARMS}, chosen)


def _kernel(name: str, model: nn.Module, seed: int) -> float:
    task = next(tasks(name, seed, 1))
    return ntk_condition(model, task.test_x[:8])


def revival(run: Run) -> None:
    """Dead units, whose inputs stay as they are, under steps of one kind or another."""
    steps, dead, width = 400, 40, 128

    def prepared(seed: int) -> tuple[Perceptron, torch.Tensor, torch.Tensor]:
        task = next(tasks("random labels", seed, 1))
        model = Perceptron(64, width, 10, depth=2, seed=seed)
        with torch.no_grad():
            model.layers[1].weight[:dead] *= 1e-2
            model.layers[1].bias[:dead] = -0.5
        for p in model.layers[0].parameters():
            p.requires_grad_(False)
        assert alive(model, task.x) == 0
        return model, task.x, task.labels

    def alive(model: Perceptron, x: torch.Tensor) -> float:
        with torch.no_grad():
            return float((model.features(x)[1][:, :dead] > 0).any(dim=0).double().mean())

    def trial(iso: float, decay: float, learns: bool) -> Trial:
        def measure(seed: int) -> dict[str, Any]:
            model, x, labels = prepared(seed)
            weight = model.layers[1].weight
            rest = [p for p in model.parameters() if p is not weight and p.requires_grad]
            groups: list[dict[str, Any]] = [{"params": [weight]}, {"params": rest}]
            optimizer: torch.optim.Optimizer
            if iso:
                groups[0]["iso"] = iso
                optimizer = AdamO(groups, lr=2e-3)
            else:
                optimizer = torch.optim.AdamW(groups, lr=2e-3, weight_decay=decay)
            for _ in range(steps):
                optimizer.zero_grad()
                if learns:
                    nn.functional.cross_entropy(model(x), labels).backward()
                optimizer.step()
            return {"alive": alive(model, x)}

        return measure

    arms = {
        "isometry alone": trial(10.0, 0.0, learns=False),
        "AdamO": trial(10.0, 0.0, learns=True),
        "AdamW": trial(0.0, 0.0, learns=True),
        "AdamW, weight decay 1": trial(0.0, 1.0, learns=True),
    }
    metrics = {"alive": Metric("share of the 40 dead units that some sample activates", "higher")}
    about = (
        f"40 of 128 units of a second layer are killed (row / 100, bias -0.5), the layer before is"
        f" frozen; {steps} full-batch steps of fresh optimizers at lr 2e-3, λ = 10."
    )
    run.trials(Experiment("revival", "method", about, metrics, run.seeds), arms)


def reinforcement(run: Run) -> None:
    """A cart-pole whose physics change."""
    grids: dict[str, Sequence[dict[str, Any]]] = {
        "AdamO": [{"lr": lr, "strength": s} for lr in (2e-3, 4e-3) for s in (0.03, 0.3)],
        "AdamW": [{"lr": lr} for lr in (1e-3, 2e-3, 4e-3, 8e-3)],
        "weight decay": [{"lr": lr, "strength": s} for lr in (2e-3, 4e-3) for s in (0.1, 1.0)],
        "L2 to the start": [{"lr": lr, "strength": s} for lr in (2e-3, 4e-3) for s in (1e-4, 1e-3)],
    }
    phases, updates = (3, 8) if run.quick else (12, 20)

    def score(kind: str, settings: Settings, seed: int) -> float:
        return float(np.mean(control.play(kind, settings, seed, 6, updates).returns))

    def trial(kind: str, settings: Settings) -> Trial:
        def measure(seed: int) -> dict[str, Any]:
            played = control.play(kind, settings, seed, phases, updates)
            late = played.returns[phases // 2 :]
            return {
                "second half": np.mean(late), "whole": np.mean(played.returns),
                "dormant": played.dormant[-1], "curve": played.returns,
            }  # fmt: skip

        return measure

    chosen = {
        kind: run.sweep(f"cart-pole: {kind}", grid, partial(score, kind), seeds=(100, 101))
        for kind, grid in grids.items()
    }
    metrics = {
        "second half": Metric(
            "mean reward of an episode, in the second half of the life", "higher"
        ),
        "whole": Metric("the same, of all phases", "higher"),
        "dormant": Metric("share of hidden units that are 0 for every state seen last", "lower"),
        "curve": Metric("mean reward of an episode in the second half of each phase"),
    }
    about = (
        f"PPO on gymnasium's CartPole, whose force, gravity and pole change, and whose actions may"
        f" be swapped, in {phases} phases of {updates * control.STEPS * control.ENVS} steps. An"
        " episode gives at most 500. Settings were chosen, of four for each arm, on two other"
        " seeds."
    )
    experiment = Experiment("cart-pole", "method", about, metrics, run.seeds)
    run.trials(experiment, {kind: trial(kind, chosen[kind]) for kind in grids}, chosen)
