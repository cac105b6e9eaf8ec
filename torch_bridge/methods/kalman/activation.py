"""Experimental: correct a frozen network's activations with the last innovation.

The article's abstract says that activations of a Transformer can be "treated as latent dynamical
states corrected via innovation terms", and no more. This is one reading: h ← h + K·ν, where ν is
the innovation of the previous token and ::

    K = Σ_hν·(Σ_νν + ρ·I)⁻¹

with running covariances of the activations h and the innovations ν. docs/methods/kalman.md has the
test of whether it helps.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._arithmetic import Doubles
from .samples import vector

__all__ = ["ActivationCorrection"]


class ActivationCorrection:
    """The gain of one layer, from running cross-covariances.

    Parameters
    ----------
    size, outputs : int
        Of the activation h and of the innovation ν.
    ridge : float
        ρ, as a share of the mean of Σ_νν's diagonal.
    memory : float
        In (0, 1): what of the covariances is kept from step to step.
    """

    def __init__(
        self, size: int, outputs: int, *, ridge: float = 0.1, memory: float = 0.999
    ) -> None:
        if not ridge > 0 or not 0 < memory < 1:
            raise ValueError(f"ridge={ridge}, memory={memory}: above 0, and between 0 and 1")
        self._ridge, self._memory = ridge, memory
        self._mean = np.zeros(size)
        self._cross = np.zeros((size, outputs))
        self._own = np.zeros((outputs, outputs))
        self.gain: Doubles = np.zeros((size, outputs))

    def observe(self, h: npt.ArrayLike, innovation: npt.ArrayLike) -> None:
        """Take an activation (size,) with the innovation (outputs,) that belongs to it."""
        size, outputs = self.gain.shape
        x, nu, keep = vector("h", h, size), vector("innovation", innovation, outputs), self._memory
        self._mean = keep * self._mean + (1 - keep) * x
        self._cross = keep * self._cross + (1 - keep) * np.multiply.outer(x - self._mean, nu)
        self._own = keep * self._own + (1 - keep) * np.multiply.outer(nu, nu)

    def solve(self) -> None:
        """Bring the gain up to date; it costs outputs³, so do it every few steps."""
        floor = self._ridge * max(float(np.trace(self._own)) / len(self._own), 1e-12)
        self.gain = np.linalg.solve(self._own + floor * np.eye(len(self._own)), self._cross.T).T

    def correct(self, h: npt.ArrayLike, innovation: npt.ArrayLike) -> Doubles:
        """h + K·ν."""
        size, outputs = self.gain.shape
        change = self.gain @ vector("innovation", innovation, outputs)
        made: Doubles = vector("h", h, size) + change
        return made
