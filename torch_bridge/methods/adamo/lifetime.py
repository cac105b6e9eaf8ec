"""A network's life: task after task, never reset, and what is measured of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._result import Settings
from .arms import Arm, make
from .diagnostics import condition, dormant_share, effective_rank
from .tasks import Plan, Task, batches, tasks

__all__ = ["Life", "live"]


class Life(NamedTuple):
    """What was measured, at the end of each task."""

    accuracy: list[float]
    dormant: list[float]
    """Share of the hidden units that are 0 for all samples."""
    rank: list[float]
    """Effective rank of the last hidden layer."""
    conditions: list[float]
    """Largest condition number of the hidden weights."""
    arm: Arm


def accuracy(model: torch.nn.Module, x: Tensor, labels: Tensor) -> float:
    """Share of the samples whose largest output is the label's."""
    with torch.no_grad():
        return float((model(x).argmax(dim=-1) == labels).to(torch.float64).mean())


def live(
    name: str, plan: Plan, kind: str, settings: Settings, seed: int, *, arm: Arm | None = None
) -> Life:
    """Learn the tasks of a stream one after the other.

    Parameters
    ----------
    name, plan
        Of :data:`tasks.TASKS`.
    kind, settings
        Of the arm.
    seed : int
        Of tasks, weights and batches: the same for all arms.
    arm : Arm, optional
        Another arm than ``make(kind, …)``.
    """
    drawn = torch.Generator().manual_seed(seed)
    columns: tuple[list[float], ...] = ([], [], [], [])
    one = arm
    for number, task in enumerate(tasks(name, seed, plan.count, plan.samples)):
        if one is None:
            one = make(kind, task.x.shape[1], seed, settings)
        if number:
            one.next_task()
        for x, labels in batches(task, plan, drawn):
            one.step(x, labels)
        for column, value in zip(columns, _measured(one, task), strict=True):
            column.append(value)
    assert one is not None
    return Life(columns[0], columns[1], columns[2], columns[3], one)


def _measured(arm: Arm, task: Task) -> tuple[float, float, float, float]:
    shown = task.test_x.to(next(arm.model.parameters()).dtype)
    with torch.no_grad():
        features = arm.model.features(shown)
    worst = max(condition(layer.weight) for layer in arm.model.layers)
    return (
        accuracy(arm.model, shown, task.test_labels),
        dormant_share(features),
        effective_rank(features[-1]),
        float(np.minimum(worst, 1e12)),
    )
