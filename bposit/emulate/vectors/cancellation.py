"""Operands whose result is 0, or small beside them."""

from __future__ import annotations

from typing import Any

import numpy as np

import posit
import quire
from posit import PositSpec
from posit._arrays import Patterns

from .operations import Task
from .sources import Rng, stratified

__all__ = ["cancelling"]

Operands = dict[str, Any]


def cancelling(task: Task, rng: Rng, count: int) -> Operands:
    """The last operand is the opposite of what comes before, or a few patterns beside it."""
    spec = task.spec
    names = [c.name for c in task.inputs]
    values: Operands = {n: stratified(spec, rng, count) for n in names if n != "clear"}
    if task.op == "quire":
        return _sequence(task, values, rng, count)
    if task.op in ("add", "sub", "compare"):
        before = values["a"]
        before = posit.neg(before, spec) if task.op == "add" else before
    elif task.op == "fma":
        before = posit.neg(posit.mul(values["a"], values["b"], spec), spec)
    else:
        left, right = (np.stack([values[f"{x}{k}"] for k in range(task.terms)], -1) for x in "ab")
        if task.terms > 1:
            before = posit.neg(np.asarray(quire.dot(left[:, :-1], right[:, :-1], spec)), spec)
        else:
            before = values["a0"]
        values[f"b{task.terms - 1}"] = np.full(count, spec.one, spec.storage)
        names = [f"a{task.terms - 1}"]
    values[names[-1]] = _beside(before, spec, rng)
    return values


def _beside(bits: Patterns, spec: PositSpec, rng: Rng) -> Patterns:
    """Half the patterns themselves, others up to a few away, or one bit."""
    count = len(bits)
    by = rng.integers(-3, 4, count) * rng.integers(0, 2, count)
    far = (np.int64(1) << rng.integers(0, spec.n - 1, count)) * (rng.integers(0, 8, count) == 0)
    at = bits.astype(np.int64)
    near = at + np.where(at > 0, by - far, by + far)
    near = np.clip(near, spec.nar, spec.maxpos_pattern)
    return np.where(bits == spec.nar, bits, near).astype(spec.storage)


def _sequence(task: Task, values: Operands, rng: Rng, count: int) -> Operands:
    """Of four steps: two products, the same negated."""
    for first in range(0, count - 3, 4):
        values["a"][first + 2 : first + 4] = values["a"][first : first + 2]
        values["b"][first + 2 : first + 4] = posit.neg(values["b"][first : first + 2], task.spec)
    values["clear"] = np.arange(count) % 4 == 0
    return values
