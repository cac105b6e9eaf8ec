"""Train a network in one arithmetic, its gradients summed in one way."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_bridge import gradients

from .arms import Arm, Memory
from .tasks import Logits, Plan, Task

__all__ = ["Run", "Way", "gradients_of", "logits_of", "train"]


@dataclass(frozen=True, slots=True)
class Way:
    """One way to sum the gradient of a batch; exact arithmetic cannot tell them apart."""

    label: str
    parts: int = 1  # micro-batches, each with its own forward and backward pass
    shuffled: bool = False  # whether the samples of the batch come in another order
    threads: int = 1


@dataclass(slots=True)
class Run:
    """One training run."""

    losses: list[float] = field(default_factory=list)  # of each step, in nats
    hashes: dict[int, str] = field(default_factory=dict)  # of the weights, by number of steps
    memory: Memory | None = None
    score: float | None = None
    seconds: float = 0.0  # of the processor, for the steps


def train(
    task: Task,
    arm: Arm,
    plan: Plan,
    seed: int,
    way: Way,
    *,
    steps: int,
    hash_at: Collection[int] = (),
    progress: Callable[[], None] = lambda: None,
) -> tuple[nn.Module, Run]:
    """Take the first ``steps`` steps of a plan.

    ``seed`` fixes the first weights and the batches; ``way`` only how the gradient of a batch is
    summed. The losses noted are computed in float64 from the arithmetic's own logits.
    """
    run = Run()
    torch.manual_seed(seed)
    model = task.model()
    arm.prepare(model)
    optimizer = arm.optimizer(model, plan)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.rate, plan.steps, pct_start=0.2, cycle_momentum=False
    )
    other_order = torch.Generator().manual_seed(seed)
    start = time.process_time()
    for step, (x, y) in enumerate(islice(task.batches(seed, plan.batch), steps), 1):
        order = torch.arange(len(x))
        if way.shuffled:
            order = torch.randperm(len(x), generator=other_order)
        optimizer.zero_grad()
        run.losses.append(
            sum(
                _deposit(model, arm, x[part], y[part], y.numel())
                for part in order.tensor_split(way.parts)
            )
        )
        if step == steps:
            run.memory = arm.memory(model, optimizer)
        optimizer.step()
        schedule.step()
        if step in hash_at:
            run.hashes[step] = arm.sha256(model)
        progress()
    run.seconds = time.process_time() - start
    return model, run


def _deposit(model: nn.Module, arm: Arm, x: Tensor, y: Tensor, count: int) -> float:
    """Add the gradients of some samples to those of the batch; their part of the loss."""
    logits, targets = model(arm.inputs(x)), y.flatten()
    logits = logits.reshape(len(targets), -1)
    arm.loss(logits, targets, count).backward()
    return float(F.cross_entropy(logits.detach().double(), targets, reduction="sum")) / count


def logits_of(model: nn.Module, arm: Arm) -> Logits:
    """The network as a function without gradients."""

    def apply(x: Tensor) -> Tensor:
        with torch.no_grad():
            made: Tensor = model(arm.inputs(x)).double()
        return made

    return apply


def gradients_of(
    model: nn.Module, task: Task, arm: Arm, batch: int, seed: int
) -> npt.NDArray[np.float64]:
    """The gradients of one more batch, rounded once."""
    model.zero_grad()
    gradients.clear(model.parameters())
    x, y = next(task.batches(seed, batch))
    _deposit(model, arm, x, y, y.numel())
    gradients.write(model.parameters())
    found = [w.grad.double().flatten() for w in model.parameters() if w.grad is not None]
    made: npt.NDArray[np.float64] = torch.cat(found).numpy()
    return made
