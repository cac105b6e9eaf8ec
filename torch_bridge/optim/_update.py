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
from posit import PositSpec
from posit.reference import uniform64

from .._patterns import Held, Patterns, is_numbers
from ._formats import Formats

__all__ = ["UPDATES", "Place", "State", "Step", "Update", "keep", "state_bits"]

State = MutableMapping[str, Any]


@dataclass(frozen=True)
class Place:
    """Where stochastic rounding is in its stream."""

    seed: int
    step: int
    start: int  # number of the parameter's first element among all of the model


@dataclass(frozen=True)
class Step:
    """What to add to a weight: ``amounts`` times ``factor``, of the working format, rounded to it.

    Amounts are work patterns, or float64 numbers that are rounded first. A factor other than 1
    needs a working format that ``float64_decides``.
    """

    amounts: Held
    factor: float = 1.0


@dataclass(frozen=True)
class Update:
    """How a weight is kept.

    Parameters
    ----------
    current : callable
        (weight, state, formats) to the weight that is meant, as work patterns.
    moved : callable
        (weight, step, state, formats, place) to the new weight; keeps its own state.

    ``weight`` is patterns of the weight's format, or float64 numbers that are rounded to it and
    that the new weight may replace in place.
    """

    current: Callable[[Held, State, Formats], Patterns]
    moved: Callable[[Held, Step, State, Formats, Place], Held]


def _place(weight: Held) -> Held | None:
    return weight if is_numbers(weight) else None


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


def _plain(weight: Held, state: State, f: Formats) -> Patterns:
    return f.from_weight(weight)


def _sum(
    held: Held, step: Step, specs: tuple[PositSpec, PositSpec], to: PositSpec, out: Held | None
) -> Held:
    factors = 1.0, step.factor
    return np.asarray(posit.sum_of(held, step.amounts, spec=specs, to=to, factors=factors, out=out))


def _nearest(weight: Held, step: Step, state: State, f: Formats, place: Place) -> Held:
    return _sum(weight, step, (f.weight, f.work), f.weight, _place(weight))


def _stochastic(weight: Held, step: Step, state: State, f: Formats, place: Place) -> Held:
    total = _sum(weight, step, (f.weight, f.work), f.wide, None)
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


def _with_residue(weight: Held, state: State, f: Formats) -> Patterns:
    residue = _residue(state, f, weight.shape)
    made = posit.sum_of(weight, residue, spec=(f.weight, f.state), to=f.work)
    return np.asarray(made, f.work.storage)


def _keep_residue(weight: Held, step: Step, state: State, f: Formats, place: Place) -> Held:
    residue = _residue(state, f, weight.shape)
    made, _ = posit.sum_and_rest(
        weight, residue, step.amounts, spec=(f.weight, f.state, f.work), to=f.weight, rest=f.state,
        factors=(1.0, 1.0, step.factor), out=(_place(weight), residue),
    )  # fmt: skip
    return np.asarray(made)


def _master(weight: Held, state: State, f: Formats) -> Patterns:
    if "master" not in state:
        bits = f.weight_bits(weight)
        made = np.asarray(posit.convert(bits, f.weight, f.state), f.state.storage)
        state["master"] = torch.from_numpy(made)
    return f.from_state(state_bits(state, "master"))


def _keep_master(weight: Held, step: Step, state: State, f: Formats, place: Place) -> Held:
    _master(weight, state, f)
    master = state_bits(state, "master")
    _sum(master, step, (f.state, f.work), f.state, master)
    return np.asarray(posit.convert(master, f.state, f.weight), f.weight.storage)


UPDATES = {
    "nearest": Update(_plain, _nearest),
    "residue": Update(_with_residue, _keep_residue),
    "stochastic": Update(_plain, _stochastic),
    "master": Update(_master, _keep_master),
}
