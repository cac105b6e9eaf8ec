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

from .._patterns import Patterns
from ._formats import Formats

__all__ = ["UPDATES", "Place", "State", "Update", "keep", "state_bits"]

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
        (weight, step, state, formats, place) to the new weight; keeps its own state.

    ``weight`` is patterns of the weight's format, ``step`` of the working format.
    """

    current: Callable[[Patterns, State, Formats], Patterns]
    moved: Callable[[Patterns, Patterns, State, Formats, Place], Patterns]


def state_bits(state: State, name: str) -> Patterns:
    """The patterns of a state tensor, without a copy."""
    found: Patterns = state[name].numpy()
    return found


def keep(state: State, name: str, f: Formats, made: Callable[..., Patterns]) -> Patterns:
    """Let a state be ``made(old, out)``, rounded to its format; returns it.

    ``old`` and what is returned are work patterns. ``out`` is where the result may go: the state
    itself where it has the working format, or None.
    """
    bits = state_bits(state, name)
    old = f.from_state(bits)
    new = made(old, bits if old is bits else None)
    if new is not bits:
        posit.convert(new, f.work, f.state, out=bits)
    return f.from_state(bits)


def _plain(weight: Patterns, state: State, f: Formats) -> Patterns:
    return f.from_weight(weight)


def _nearest(weight: Patterns, step: Patterns, state: State, f: Formats, place: Place) -> Patterns:
    made = posit.sum_of(weight, step, spec=(f.weight, f.work), to=f.weight)
    return np.asarray(made, f.weight.storage)


def _stochastic(
    weight: Patterns, step: Patterns, state: State, f: Formats, place: Place
) -> Patterns:
    total = posit.sum_of(weight, step, spec=(f.weight, f.work), to=f.wide)
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
    return state_bits(state, "residue")


def _with_residue(weight: Patterns, state: State, f: Formats) -> Patterns:
    residue = _residue(state, f, weight.shape)
    made = posit.sum_of(weight, residue, spec=(f.weight, f.state), to=f.work)
    return np.asarray(made, f.work.storage)


def _keep_residue(
    weight: Patterns, step: Patterns, state: State, f: Formats, place: Place
) -> Patterns:
    residue = _residue(state, f, weight.shape)
    made, _ = posit.sum_and_rest(
        weight, residue, step, spec=(f.weight, f.state, f.work), to=f.weight, rest=f.state,
        out=(None, residue),
    )  # fmt: skip
    return np.asarray(made, f.weight.storage)


def _master(weight: Patterns, state: State, f: Formats) -> Patterns:
    if "master" not in state:
        made = np.asarray(posit.convert(weight, f.weight, f.state), f.state.storage)
        state["master"] = torch.from_numpy(made)
    return f.from_state(state_bits(state, "master"))


def _keep_master(
    weight: Patterns, step: Patterns, state: State, f: Formats, place: Place
) -> Patterns:
    _master(weight, state, f)
    master = state_bits(state, "master")
    posit.sum_of(master, step, spec=(f.state, f.work), to=f.state, out=master)
    return np.asarray(posit.convert(master, f.state, f.weight), f.weight.storage)


UPDATES = {
    "nearest": Update(_plain, _nearest),
    "residue": Update(_with_residue, _keep_residue),
    "stochastic": Update(_plain, _stochastic),
    "master": Update(_master, _keep_master),
}
