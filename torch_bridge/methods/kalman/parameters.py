"""Parameter filters: a gain where others have a gradient.

Parameters W are a state that goes by random walk, seen through y = Wᵀ·h + v, for a feature vector h
that is fixed or random (recursive least squares; Haykin, *Adaptive Filter Theory*, ch. 10)::

    K = P·h / (hᵀ·P·h + R)      W ← W + K·(y - Wᵀ·h)ᵀ      P ← (P - K·hᵀ·P)/λ + q·I

All outputs share one P. With λ = 1 and q = 0 one pass gives (HᵀH/R + I/p₀)⁻¹·HᵀY/R, exactly in
exact arithmetic: ridge regression over all samples.

The same code runs in every arithmetic. Arithmetic is all that rounds: P and W are stored in it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from .._arithmetic import FLOAT64, Arithmetic, Array, Doubles
from .samples import vector

__all__ = ["ParameterFilter", "SquareRootFilter"]


class _Filter(ABC):
    """What both forms have: W, R, and how sure the filter is at the start."""

    def __init__(
        self,
        size: int,
        outputs: int,
        *,
        prior: float,
        noise: float,
        forgetting: float,
        arithmetic: Arithmetic,
    ) -> None:
        check_options(prior=prior, noise=noise, forgetting=forgetting)
        self.arithmetic, self.prior = arithmetic, prior
        self._noise, self._forgetting = noise, forgetting
        self.weights: Array = arithmetic.array(np.zeros((size, outputs)))
        self.reopen()

    @property
    def noise(self) -> float:
        """R, variance of the observation's noise; it may be changed between updates."""
        return self._noise

    @noise.setter
    def noise(self, value: float) -> None:
        check_options(noise=value)
        self._noise = value

    def predict(self, h: npt.ArrayLike) -> Doubles:
        """Wᵀ·h, (outputs,)."""
        made = self.arithmetic.matmul(self.weights.T, self._features(h))
        return np.asarray(made).astype(np.float64)

    @abstractmethod
    def variance(self, h: npt.ArrayLike) -> float:
        """S = hᵀ·P·h + R: what the squared innovation of this sample should be on average."""

    @abstractmethod
    def update(self, h: npt.ArrayLike, y: npt.ArrayLike) -> Doubles:
        """Take in a sample h (size,), y (outputs,); returns the innovation y - Wᵀ·h.

        Raises ValueError, and changes nothing, for other shapes and numbers that are not finite.
        """

    @abstractmethod
    def reopen(self) -> None:
        """Make P what it was at the start: what is known may have become wrong. W stays."""

    def _features(self, h: npt.ArrayLike) -> Array:
        return vector("h", h, self.weights.shape[0], self.arithmetic)

    def _targets(self, y: npt.ArrayLike) -> Array:
        return vector("y", y, self.weights.shape[1], self.arithmetic)


class ParameterFilter(_Filter):
    """The textbook form, which stores P.

    Stored in 16 bits it diverges: rounding P element by element leaves a matrix that is no
    covariance, with negative eigenvalues. Use :class:`SquareRootFilter` there.

    Parameters
    ----------
    size, outputs : int
        Features, and numbers to predict.
    prior : float
        p₀: P starts as p₀·I.
    noise : float
        R, variance of the observation's noise; it may be changed between updates.
    forgetting : float
        λ in (0, 1]: the weight of a sample falls by λ with each that follows.
    drift : float
        q ≥ 0: variance that each parameter gains from one sample to the next.
    joseph : bool
        P ← (I - K·hᵀ)·P·(I - K·hᵀ)ᵀ + R·K·Kᵀ. The same matrix but for rounding.
    arithmetic : Arithmetic
    """

    def __init__(
        self,
        size: int,
        outputs: int = 1,
        *,
        prior: float = 1.0,
        noise: float = 1.0,
        forgetting: float = 1.0,
        drift: float = 0.0,
        joseph: bool = False,
        arithmetic: Arithmetic = FLOAT64,
    ) -> None:
        if not 0 <= drift < np.inf:
            raise ValueError(f"drift={drift}: possible are variances, numbers of at least 0")
        self.covariance: Array
        super().__init__(
            size, outputs, prior=prior, noise=noise, forgetting=forgetting, arithmetic=arithmetic
        )
        self._drift, self._joseph = drift, joseph

    def variance(self, h: npt.ArrayLike) -> float:
        """As in the base class; below R where rounding has made P no covariance."""
        row = self._features(h)
        matmul = self.arithmetic.matmul
        return float(matmul(row, matmul(self.covariance, row))) + self.noise

    def update(self, h: npt.ArrayLike, y: npt.ArrayLike) -> Doubles:
        """Take in a sample, as the base class says."""
        to = self.arithmetic
        row, target = self._features(h), self._targets(y)
        noise = to.number(self.noise)
        g = to.matmul(self.covariance, row)
        s = to.matmul(row, g) + noise
        gain = g / s
        innovation = target - to.matmul(self.weights.T, row)
        self.weights = self.weights + np.multiply.outer(gain, innovation)
        left = np.multiply.outer(gain, g)
        if self._joseph:
            p = self.covariance - left - left.T + np.multiply.outer(gain, gain * s)
        else:
            p = self.covariance - left
        if self._forgetting != 1:
            p = p / to.number(self._forgetting)
        if self._drift:
            p = p + to.array(self._drift * np.eye(len(p)))
        self.covariance = p
        return np.asarray(innovation).astype(np.float64)

    def reopen(self) -> None:
        """Make P p₀·I again."""
        self.covariance = self.arithmetic.array(self.prior * np.eye(len(self.weights)))


class SquareRootFilter(_Filter):
    """Potter's form, which stores S with P = S·Sᵀ: a covariance for any S, rounded or not.

    ::

        f = Sᵀ·h    a = 1/(fᵀ·f + R)    K = a·S·f    S ← (S - γ·K·fᵀ)/√λ,  γ = 1/(1 + √(a·R))

    (J. E. Potter, 1963; Bierman, *Factorization Methods for Discrete Sequential Estimation*, §V.)
    S·f and Sᵀ·h are the inner products that a quire rounds once. S has half the range of P in
    exponents, so that 16 bits see numbers near 1. There is no process noise: adding q·I would take
    a new factorisation at each step.

    Parameters
    ----------
    size, outputs, prior, noise, forgetting, arithmetic
        As in :class:`ParameterFilter`.
    """

    def __init__(
        self,
        size: int,
        outputs: int = 1,
        *,
        prior: float = 1.0,
        noise: float = 1.0,
        forgetting: float = 1.0,
        arithmetic: Arithmetic = FLOAT64,
    ) -> None:
        self.factor: Array
        super().__init__(
            size, outputs, prior=prior, noise=noise, forgetting=forgetting, arithmetic=arithmetic
        )

    @property
    def covariance(self) -> Doubles:
        """S·Sᵀ in float64."""
        s = self.factor.astype(np.float64)
        return s @ s.T

    def variance(self, h: npt.ArrayLike) -> float:
        """As in the base class; never below R."""
        matmul = self.arithmetic.matmul
        f = matmul(self.factor.T, self._features(h))
        return float(matmul(f, f)) + self.noise

    def update(self, h: npt.ArrayLike, y: npt.ArrayLike) -> Doubles:
        """Take in a sample, as the base class says."""
        to = self.arithmetic
        row, target = self._features(h), self._targets(y)
        one, noise = to.number(1.0), to.number(self.noise)
        f = to.matmul(self.factor.T, row)
        a = one / (to.matmul(f, f) + noise)
        gain = a * to.matmul(self.factor, f)
        innovation = target - to.matmul(self.weights.T, row)
        self.weights = self.weights + np.multiply.outer(gain, innovation)
        share = one / (one + np.sqrt(a * noise))
        self.factor = self.factor - np.multiply.outer(share * gain, f)
        if self._forgetting != 1:
            self.factor = self.factor / to.number(self._forgetting**0.5)
        return np.asarray(innovation).astype(np.float64)

    def reopen(self) -> None:
        """Make P p₀·I again."""
        self.factor = self.arithmetic.array(np.sqrt(self.prior) * np.eye(len(self.weights)))


def check_options(**given: float) -> None:
    """Raise ValueError for a prior or noise that is not positive, or forgetting outside (0, 1]."""
    for name, value in given.items():
        high = 1.0 if name == "forgetting" else np.inf
        if not 0 < value <= high or value == np.inf:
            raise ValueError(f"{name}={value}: possible are numbers above 0"
                             + (", at most 1" if name == "forgetting" else ""))  # fmt: skip
