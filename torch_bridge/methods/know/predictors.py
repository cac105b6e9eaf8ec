"""Predictors of the next weights that are sums with fixed coefficients, and recursion.

Of S stages θ_{S-1}, …, θ_0 (in this order: k = 0 … S-1), each predicts Σ_k c_k·θ_k. ``ahead`` is
how many times the data would have grown by 1/rate: 1, 2, 3 for 2, 4, 8 times the data at rate 1/2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log

import numpy as np
import numpy.typing as npt
import torch

from .networks import State

__all__ = [
    "FIXED",
    "combine",
    "line",
    "linear",
    "log_fit",
    "recurse",
    "soup",
    "strengthened",
    "task_vector",
]

Coefficients = npt.NDArray[np.float64]


def naive(stages: int, ahead: int) -> Coefficients:
    """θ_0."""
    return _unit(stages, -1)


def linear(stages: int, ahead: int) -> Coefficients:
    """θ_0 + ahead·(θ_0 - θ_1): each next one from the two before it."""
    return _unit(stages, -1) + ahead * (_unit(stages, -1) - _unit(stages, -2))


def task_vector(stages: int, ahead: int) -> Coefficients:
    """θ_0 - ahead·(θ_{S-1} - θ_0)/(S - 1): the negated task vector of all that was forgotten.

    Source: Ilharco et al., "Editing models with task arithmetic", ICLR 2023.
    """
    away = _unit(stages, 0) - _unit(stages, -1)
    return _unit(stages, -1) - ahead / (stages - 1) * away


def line(x: Sequence[float], at: float) -> Coefficients:
    """Coefficients c with Σ_k c_k·y_k = the least-squares line through (x_k, y_k), at ``at``."""
    design = np.stack([np.ones(len(x)), np.asarray(x, dtype=np.float64)], axis=1)
    made: Coefficients = np.array([1.0, at]) @ np.linalg.pinv(design)
    return made


def least_squares(stages: int, ahead: int) -> Coefficients:
    """A line over the number of the stage; as |D_s| is geometric, also a + b·log|D_s|."""
    return line(range(stages), stages - 1 + ahead)


def log_fit(stages: int, ahead: int) -> Coefficients:
    """a + b·log k with k = 1 … S, at S + ahead."""
    return line([log(k + 1) for k in range(stages)], log(stages + ahead))


def soup(stages: int, ahead: int) -> Coefficients:
    """The mean of all stages. Source: Wortsman et al., "Model soups", ICML 2022."""
    return np.full(stages, 1 / stages)


FIXED: dict[str, Callable[[int, int], Coefficients]] = {
    "naive": naive,
    "linear": linear,
    "least squares": least_squares,
    "LogFit": log_fit,
    "task vector": task_vector,
    "model soup": soup,
}


def combine(coefficients: npt.ArrayLike, stages: Sequence[State]) -> State:
    """Σ_k c_k·θ_k in float64, as the dtype of the stages. ``storage`` has the exact one."""
    pairs = list(zip(np.asarray(coefficients, np.float64).tolist(), stages, strict=True))
    return {
        name: sum((c * s[name].double() for c, s in pairs), torch.zeros(())).to(like.dtype)
        for name, like in stages[-1].items()
    }


def recurse(
    predict: Callable[[Sequence[State]], State], stages: Sequence[State], times: int
) -> list[State]:
    """The predictions of 1, …, ``times`` steps: each is appended, and the oldest stage dropped."""
    window, found = list(stages), []
    for _ in range(times):
        found.append(predict(window))
        window = [*window[1:], found[-1]]
    return found


def strengthened(predicted: State, base: State, strength: float) -> State:
    """base + strength·(predicted - base): the one number that every predictor is swept over."""
    return {name: w + strength * (predicted[name].to(w.dtype) - w) for name, w in base.items()}


def _unit(stages: int, k: int) -> Coefficients:
    made = np.zeros(stages)
    made[k] = 1.0
    return made
