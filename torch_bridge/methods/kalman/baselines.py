"""Learners that follow gradients, one sample at a time, for comparison: LMS, NLMS, SGD, Adam."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from .._arithmetic import Doubles

__all__ = ["GradientLearner", "Learner", "Persistence"]

Rule = Literal["sgd", "averaged", "nlms", "adam"]


class Learner(Protocol):
    """Predicts, then is told."""

    def predict(self, h: npt.ArrayLike) -> Doubles:
        """Outputs for features (size,)."""
        ...

    def update(self, h: npt.ArrayLike, y: npt.ArrayLike) -> Doubles:
        """Learn from a sample."""
        ...


class GradientLearner:
    """Linear outputs Wᵀ·h by stochastic gradient steps.

    Parameters
    ----------
    size, outputs : int
    rule : {"sgd", "averaged", "nlms", "adam"}
        "sgd" on squares is Widrow and Hoff's LMS. "averaged" predicts with the mean of all weights
        so far (Polyak and Juditsky, 1992). "nlms" divides the step by 1 + |h|². "adam" has β₁ =
        0.9, β₂ = 0.999.
    lr : float
    entropy : bool
        Follow the gradient of the softmax's cross-entropy; default that of the squared error.
    """

    def __init__(
        self, size: int, outputs: int = 1, *, rule: Rule, lr: float, entropy: bool = False
    ) -> None:
        self._rule, self._lr, self._entropy = rule, lr, entropy
        self.weights: Doubles = np.zeros((size, outputs))
        self._shown: Doubles = self.weights
        self._m, self._v = np.zeros((size, outputs)), np.zeros((size, outputs))
        self._steps = 0

    def predict(self, h: npt.ArrayLike) -> Doubles:
        """Wᵀ·h, (outputs,); before the softmax, if there is one."""
        made: Doubles = self._shown.T @ np.asarray(h, float)
        return made

    def update(self, h: npt.ArrayLike, y: npt.ArrayLike) -> Doubles:
        """One step on the sample; returns target less output, of the weights that are stepped."""
        row = np.asarray(h, float)
        made = self.weights.T @ row
        if self._entropy:
            made = np.exp(made - made.max())
            made /= made.sum()
        error: Doubles = np.asarray(y, float).reshape(-1) - made
        step: Doubles = np.multiply.outer(row, error)
        self._steps += 1
        t = self._steps
        if self._rule == "nlms":
            step = step / (1.0 + row @ row)
        elif self._rule == "adam":
            self._m = 0.9 * self._m + 0.1 * step
            self._v = 0.999 * self._v + 0.001 * step * step
            step = self._m / (1 - 0.9**t) / (np.sqrt(self._v / (1 - 0.999**t)) + 1e-8)
        self.weights = self.weights + self._lr * step
        averaged = self._rule == "averaged"
        self._shown = self._shown + (self.weights - self._shown) / t if averaged else self.weights
        return error


class Persistence:
    """Predicts the last target again."""

    def __init__(self, outputs: int = 1) -> None:
        self._last: Doubles = np.zeros(outputs)

    def predict(self, h: npt.ArrayLike) -> Doubles:
        """The last target."""
        return self._last

    def update(self, h: npt.ArrayLike, y: npt.ArrayLike) -> Doubles:
        """Remember the target; returns how far off the prediction was."""
        before = self._last
        self._last = np.asarray(y, float).reshape(-1)
        off: Doubles = self._last - before
        return off
