"""Operands by themselves: what files are written of, and what a bench can drive a device with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...errors import BadInput
from .columns import Words, rows_of
from .operations import Task
from .styles import check, exhaustive_count, generate

__all__ = ["blocks", "how_many", "stimuli"]

_BLOCK = 1 << 15  # rows
_MOST_SEED = (1 << 64) - 1


def how_many(task: Task, style: str, count: int | None, seed: int) -> int:
    """The number of vectors asked for: 1000, or all, where ``count`` is None.

    Raises BadInput for a style that the operation does not have, a count that makes no sense or a
    seed that is not 0 to 2^64-1.
    """
    check(task, style)
    if style == "exhaustive":
        every = exhaustive_count(task)
        if count not in (None, every):
            raise BadInput(
                f"exhaustive {task.op} of {task.spec.name} is {every} vectors, not {count}"
            )
        count = every
    count = 1000 if count is None else count
    if count < 1:
        raise BadInput(f"{count} vectors: at least 1 is possible")
    if not 0 <= seed <= _MOST_SEED:
        raise BadInput(f"seed {seed}: possible are 0 to 2^64-1")
    return count


def blocks(task: Task, style: str, count: int, seed: int) -> Iterator[tuple[dict[str, Words], int]]:
    """Operand columns of so many vectors at once, and how many."""
    for first in range(0, count, _BLOCK):
        size = min(_BLOCK, count - first)
        rng = np.random.default_rng([seed, first // _BLOCK])
        yield generate(task, style, rng, first, size), size


def stimuli(
    task: Task, style: str = "mixed", count: int | None = None, seed: int = 0
) -> Iterator[dict[str, int]]:
    """Operands as a file of these arguments has them, one vector at a time: for a bench to drive.

    >>> from posit import bposit8
    >>> next(stimuli(Task("mul", bposit8), "corners", 5, seed=3))
    {'a': 95, 'b': 95}

    Column names to words. Raises BadInput as :func:`write` does.
    """
    for words, size in blocks(task, style, how_many(task, style, count, seed), seed):
        yield from rows_of(words, np.arange(size))
