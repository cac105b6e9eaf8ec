"""Filters as learners on a stream, with or without a gate, and how their errors are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arithmetic import Doubles
from .adaptation import Gate, adapted_noise
from .baselines import GradientLearner, Learner
from .data import Series
from .parameters import ParameterFilter, SquareRootFilter
from .samples import vector

__all__ = ["GatedFilter", "errors", "learner", "recovery"]


class GatedFilter:
    """A parameter filter that asks a gate about every innovation, and learns its noise from them.

    Parameters
    ----------
    inner : ParameterFilter or SquareRootFilter
    gate : Gate
    rate : float
        Of the noise's adaptation.
    """

    def __init__(
        self, inner: ParameterFilter | SquareRootFilter, gate: Gate, rate: float = 0.02
    ) -> None:
        self._inner, self._gate, self._rate = inner, gate, rate

    def predict(self, h: npt.ArrayLike) -> Doubles:
        """As the filter does."""
        return self._inner.predict(h)

    def update(self, h: npt.ArrayLike, y: npt.ArrayLike) -> Doubles:
        """Take the sample, skip it, or forget how sure the filter was and then take it."""
        inner = self._inner
        predicted = inner.predict(h)
        innovation: Doubles = vector("y", y, len(predicted)) - predicted
        expected = inner.variance(h)
        verdict = self._gate.judge(innovation, expected)
        if verdict == "skip":
            return innovation
        if verdict == "reopen":
            inner.reopen()
        else:
            seen = float(np.sqrt(np.mean(innovation**2)))
            inner.noise = float(adapted_noise(inner.noise, seen, expected, self._rate)[0, 0])
        told: Doubles = inner.update(h, y)
        return told


def learner(kind: str, size: int, outputs: int = 1, **options: Any) -> Learner:
    """A learner by the name of its arm.

    "Kalman" (options of ParameterFilter, and width: that of a gate that only reopens), "LMS",
    "NLMS", "Adam" (lr), or any of GradientLearner's rules.
    """
    if kind == "Kalman":
        width = options.pop("width", None)
        inner = ParameterFilter(size, outputs, **options)
        return inner if width is None else GatedFilter(inner, Gate(width, skips=False))
    rule: Any = {"LMS": "sgd", "NLMS": "nlms", "Adam": "adam"}.get(kind, kind)
    return GradientLearner(size, outputs, rule=rule, **options)


def errors(make: Callable[[], Learner], series: Series) -> Doubles:
    """Squared error of each prediction, made before the value is told: (T,), at most 10⁹."""
    one, found = make(), []
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging learner has infinite errors
        for h, y in zip(series.h, series.y, strict=True):
            found.append(float(np.mean((y - one.predict(h)) ** 2)))
            one.update(h, y)
    made: Doubles = np.nan_to_num(np.array(found), nan=1e9, posinf=1e9).clip(max=1e9)
    return made


def recovery(squares: Doubles, change: int, below: float, window: int = 11) -> int:
    """Steps after ``change`` until the mean of the next ``window`` squares is under ``below``.

    All the steps there are if that does not happen.
    """
    for k in range(change, len(squares) - window + 1):
        if squares[k : k + window].mean() < below:
            return k - change
    return len(squares) - change
