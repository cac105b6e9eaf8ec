"""What becomes of a weight and a step: four answers to what rounding the weight would lose.

All add the same exact numbers. They differ in what they keep of the sum.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import posit
from posit.reference import uniform64
from quire import Accumulators

from .._patterns import Patterns
from ._formats import Formats

__all__ = ["UPDATES", "Place", "Update", "state_bits"]

State = MutableMapping[str, Any]


@dataclass(frozen=True)
class Place:
    """Where stochastic rounding is in its stream."""

    seed: int
    step: int
    start: int  # number of the parameter's first element among all of the model


@dataclass(frozen=True)
class Update:
    """How a weight is kept.

    Parameters
    ----------
    current : callable
        (weight, state, formats) to the weight that is meant, as work patterns.
    moved : callable
        (weight, step, state, formats, place) to the new weight's patterns; keeps its own state.
        ``weight`` and ``step`` are work patterns.
    """

    current: Callable[[Patterns, State, Formats], Patterns]
    moved: Callable[[Patterns, Patterns, State, Formats, Place], Patterns]


def state_bits(state: State, name: str) -> Patterns:
    """The patterns of a state tensor, without a copy."""
    found: Patterns = state[name].numpy()
    return found


def _sum(f: Formats, *terms: Patterns) -> Accumulators:
    total = Accumulators(terms[0].shape, f.work)
    for x in terms:
        total.add(x)
    return total


def _plain(weight: Patterns, state: State, f: Formats) -> Patterns:
    return weight


def _nearest(weight: Patterns, step: Patterns, state: State, f: Formats, place: Place) -> Patterns:
    return _sum(f, weight, step).round(f.weight)


def _stochastic(
    weight: Patterns, step: Patterns, state: State, f: Formats, place: Place
) -> Patterns:
    total = _sum(f, weight, step).round(f.wide)
    made = posit.encode(
        posit.decode(total, f.wide),
        f.weight,
        rounding="stochastic",
        key=uniform64(place.seed, place.step),
        start=place.start,
    )
    return np.asarray(made, f.weight.storage)


def _residue(state: State, f: Formats, shape: tuple[int, ...]) -> Patterns:
    if "residue" not in state:
        state["residue"] = torch.from_numpy(np.zeros(shape, f.state.storage))
    return f.from_state(state_bits(state, "residue"))


def _with_residue(weight: Patterns, state: State, f: Formats) -> Patterns:
    residue = _residue(state, f, weight.shape)
    return np.asarray(posit.add(weight, residue, f.work), f.work.storage)


def _keep_residue(
    weight: Patterns, step: Patterns, state: State, f: Formats, place: Place
) -> Patterns:
    total = _sum(f, weight, _residue(state, f, weight.shape), step)
    made = total.round(f.weight)
    lost = total.add(np.asarray(posit.neg(f.from_weight(made), f.work), f.work.storage))
    state_bits(state, "residue")[...] = lost.round(f.state)
    return made


def _master(weight: Patterns, state: State, f: Formats) -> Patterns:
    if "master" not in state:
        state["master"] = torch.from_numpy(f.to_state(weight).copy())
    return f.from_state(state_bits(state, "master"))


def _keep_master(
    weight: Patterns, step: Patterns, state: State, f: Formats, place: Place
) -> Patterns:
    made = _sum(f, _master(weight, state, f), step).round(f.state)
    state_bits(state, "master")[...] = made
    return np.asarray(posit.convert(made, f.state, f.weight), f.weight.storage)


UPDATES = {
    "nearest": Update(_plain, _nearest),
    "residue": Update(_with_residue, _keep_residue),
    "stochastic": Update(_plain, _stochastic),
    "master": Update(_master, _keep_master),
}
