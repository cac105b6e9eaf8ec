"""Scoreboard: a bench's answers judged one by one, whatever its values are made of."""

from __future__ import annotations

from typing import Any, SupportsInt

import numpy as np

from .operations import Task
from .verify import Mismatch

__all__ = ["Scoreboard"]


class Scoreboard:
    """Compares what a simulated device answers with what it should, and explains differences.

    >>> from posit import bposit16
    >>> board = Scoreboard(Task("add", bposit16))
    >>> board.check({"a": 0x4000, "b": 0x4000}, result=0x4100)
    True
    >>> board.check({"a": 0x4000, "b": 0x4000}, result=0x4000)
    False
    >>> print(board.mismatches[0].explanation[-1])
    first wrong step: exponent: 0 instead of 1

    Operands and answers are integers or whatever turns into them: cocotb's ``LogicArray`` and
    handles' values, ``BinaryValue``, NumPy's scalars. A value with x or z bits, which does not turn
    into an integer, is a wrong answer. Nothing here needs a simulator.

    Parameters
    ----------
    task : Task
    keep : int
        How many mismatches to keep.
    """

    def __init__(self, task: Task, keep: int = 10) -> None:
        self.task, self.keep = task, keep
        self.count = self.wrong = 0
        self.mismatches: list[Mismatch] = []
        self._state = task.start()

    def check(self, operands: dict[str, Any], **answers: Any) -> bool:
        """Whether the device's answers, by column names, are right; others are not judged.

        Raises ValueError for operands that are not those of the operation, or no integers;
        KeyError for an answer that it does not have.
        """
        names = [c.name for c in self.task.inputs]
        given = {name: _integer(x) for name, x in operands.items()}
        if sorted(given) != sorted(names) or None in given.values():
            raise ValueError(f"{self.task.op} takes {', '.join(names)}; got {operands}")
        words = {
            c.name: np.array([(given[c.name] or 0) & ((1 << c.bits) - 1)], c.dtype)
            for c in self.task.inputs
        }
        found = self.task.answers(words, self._state)
        bits = {c.name: c.bits for c in self.task.outputs}
        expected = {name: int(found[name][0]) for name in answers}
        actual = {name: _integer(x) for name, x in answers.items()}
        actual = {n: None if x is None else x & ((1 << bits[n]) - 1) for n, x in actual.items()}
        self.count += 1
        if actual == expected:
            return True
        self.wrong += 1
        if len(self.mismatches) < self.keep:
            asked = {name: int(x[0]) for name, x in words.items()}
            self.mismatches.append(Mismatch(self.task, self.count, asked, expected, actual))
        return False

    def report(self) -> str:
        """How many were right, and the explanations of those kept."""
        lines = [f"{self.count - self.wrong} of {self.count} right"]
        for m in self.mismatches:
            lines += [f"vector {m.line}:", *(f"  {line}" for line in m.explanation)]
        return "\n".join(lines)


def _integer(value: SupportsInt | Any) -> int | None:
    """The value's unsigned bits, or None where some are x or z."""
    for name in ("to_unsigned", "integer"):  # LogicArray; BinaryValue
        found = getattr(value, name, None)
        if found is not None:
            try:
                return int(found() if callable(found) else found)
            except ValueError:
                return None
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
