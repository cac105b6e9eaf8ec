"""Sequences with targets: (x, y) of shape (B, T), y_t being what is to be read at time t, -1 none.

The needle follows the released code (NeedleDataset); the others are data that ship in packages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

__all__ = ["NONE", "Task", "digits", "needle", "text"]

NONE = -1  # no target at this time

Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Task:
    """Training and test sequences of one length.

    Parameters
    ----------
    vocabulary, length : int
    train, test : callable
        (count, generator) to x, y, both (count, length) of int64.
    labels : callable, optional
        (count, generator, training) to sequences and the classes (count,) of what they show.
    """

    vocabulary: int
    length: int
    train: Draw
    test: Draw
    labels: Callable[[int, torch.Generator, bool], tuple[Tensor, Tensor]] | None = None


def needle(length: int, symbols: int = 4) -> Task:
    """Among random symbols 1 … ``symbols``, a 0 marks one in the first half; a last 0 asks for it.

    One target, at the last time. Chance is 1/symbols.
    """
    if length < 4:
        raise ValueError(f"length = {length}: a mark, a needle and a question take 4")

    def draw(count: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
        x = torch.randint(1, symbols + 1, (count, length), generator=g)
        at = (torch.rand(count, generator=g) * length * 0.5).long().clamp(1, length - 2)
        rows = torch.arange(count)
        x[rows, at - 1] = 0
        x[:, -1] = 0
        y = torch.full_like(x, NONE)
        y[:, -1] = x[rows, at]
        return x, y

    return Task(symbols + 1, length, draw, draw)


def digits(train: int = 1400) -> Task:
    """scikit-learn's digits, pixel by pixel: 64 grey levels of 0 to 16; the target is the next.

    A level 17 begins each, so that the first pixel is predicted too: length 64, the last pixel
    being target only.
    """

    @lru_cache(maxsize=1)
    def load() -> tuple[Tensor, Tensor]:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]

        images, classes = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(images))
        begin = np.full((len(images), 1), 17)
        rows = np.concatenate([begin, images], axis=1).astype(np.int64)
        return torch.from_numpy(rows[order]), torch.from_numpy(classes[order]).long()

    def rows(count: int, g: torch.Generator, training: bool) -> Tensor:
        first, last = (0, train) if training else (train, len(load()[0]))
        return torch.randint(first, last, (count,), generator=g)

    def draw(training: bool) -> Draw:
        def of(count: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
            found = load()[0][rows(count, g, training)]
            return found[:, :-1], found[:, 1:]

        return of

    def labels(count: int, g: torch.Generator, training: bool) -> tuple[Tensor, Tensor]:
        at = rows(count, g, training)
        return load()[0][at, :-1], load()[1][at]

    return Task(18, 64, draw(True), draw(False), labels)


def text(length: int = 48) -> Task:
    """Characters of Python's own documentation (pydoc_data.topics); the target is the next.

    The last tenth is for tests.
    """

    @lru_cache(maxsize=1)
    def load() -> tuple[Tensor, int]:
        from pydoc_data.topics import topics

        body = "".join(topics[k] for k in sorted(topics))
        known = {c: i for i, c in enumerate(sorted(set(body)))}
        return torch.tensor([known[c] for c in body]), len(known)

    def draw(training: bool) -> Draw:
        def of(count: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
            body = load()[0]
            cut = len(body) * 9 // 10
            first, last = (0, cut) if training else (cut, len(body))
            start = torch.randint(first, last - length, (count,), generator=g)
            found = body[start[:, None] + torch.arange(length + 1)]
            return found[:, :-1], found[:, 1:]

        return of

    return Task(load()[1], length, draw(True), draw(False))
