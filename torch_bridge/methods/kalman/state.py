"""The state filter: a linear-Gaussian world model, predicted and corrected.

::

    z[t+1] = A·z[t] + B·u[t] + w,  w ~ N(0, Q)        x[t] = C·z[t] + v,  v ~ N(0, R)

The equations are textbook ones (Anderson and Moore, *Optimal Filtering*, 1979, ch. 3 and 4; the
likelihood as in Durbin and Koopman, *Time Series Analysis by State Space Methods*, §7.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._arithmetic import Doubles
from .samples import check_finite, table, vector

__all__ = ["Filtered", "LinearModel", "StateFilter", "Step"]


@dataclass(frozen=True)
class LinearModel:
    """A world model. Arrays are taken as float64.

    Parameters
    ----------
    A : (n, n)
        How the state goes on.
    C : (m, n)
        What is seen of it.
    Q : (n, n)
        Covariance of what drives the state; symmetric, positive semidefinite.
    R : (m, m)
        Covariance of the observation's noise; symmetric, positive definite.
    B : (n, k) or (n,), optional
        Effect of inputs; default none, k = 0.

    Raises ValueError for shapes that do not fit, numbers that are not finite, or a Q or R that is
    no covariance.
    """

    A: Doubles
    C: Doubles
    Q: Doubles
    R: Doubles
    B: Doubles | None = None

    def __post_init__(self) -> None:
        """Check, and make every array float64 of two axes."""
        for name in ("A", "C", "Q", "R"):
            object.__setattr__(self, name, np.atleast_2d(np.asarray(getattr(self, name), float)))
        n, m = self.A.shape[0], self.C.shape[0]
        object.__setattr__(self, "B", np.zeros((n, 0)) if self.B is None else table("B", self.B))
        k = self.inputs.shape[1]
        shapes = {"A": (n, n), "C": (m, n), "Q": (n, n), "R": (m, m), "B": (n, k)}
        for name, shape in shapes.items():
            found = getattr(self, name)
            if found.shape != shape:
                raise ValueError(f"{name} has shape {found.shape}; with {n} states and {m} rows of"
                                 f" C it must be {shape}")  # fmt: skip
            check_finite(name, found)
        for name, least in {"Q": 0.0, "R": np.finfo(float).tiny}.items():
            check_covariance(name, getattr(self, name), least)

    @property
    def inputs(self) -> Doubles:
        """B, with no columns where there are no inputs."""
        assert self.B is not None
        return self.B


def check_covariance(name: str, x: Doubles, least: float) -> None:
    """Raise ValueError unless x is symmetric with eigenvalues of at least ``least``."""
    if not np.array_equal(x, x.T):
        raise ValueError(f"{name} is not symmetric: off by {np.abs(x - x.T).max():.3g}")
    low = np.linalg.eigvalsh(x).min() if x.size else 0.0
    tolerance = 1e-12 * max(np.abs(x).max(initial=0.0), np.finfo(float).tiny)
    if low < least - (tolerance if least == 0 else 0):
        kind = "positive semidefinite" if least == 0 else "positive definite"
        raise ValueError(f"{name} is no covariance: it must be {kind}, its least eigenvalue is"
                         f" {low:.3g}")  # fmt: skip


class Step(NamedTuple):
    """One step of the filter."""

    innovation: Doubles
    """x - C·z⁻, (m,)."""
    covariance: Doubles
    """Its covariance S, (m, m)."""
    gain: Doubles
    """K, (n, m)."""
    log_likelihood: float
    """log N(x; C·z⁻, S)."""


class Filtered(NamedTuple):
    """A whole series, filtered."""

    means: Doubles
    """E[z | x up to t], (T, n)."""
    covariances: Doubles
    """(T, n, n)."""
    innovations: Doubles
    """(T, m); NaN where nothing was observed."""
    log_likelihood: float


class StateFilter:
    """Filters observations one by one.

    Parameters
    ----------
    model : LinearModel
    mean, covariance : (n,), (n, n)
        Of the state before the first observation. Numbers stand for all of (n,), and for as many
        times I.
    """

    def __init__(
        self, model: LinearModel, mean: npt.ArrayLike = 0.0, covariance: npt.ArrayLike = 1.0
    ) -> None:
        n = model.A.shape[0]
        self.model = model
        start = np.full(n, mean) if np.ndim(mean) == 0 else mean
        self.mean: Doubles = vector("mean", start, n)
        given = np.asarray(covariance, float)
        self.covariance: Doubles = given * np.eye(n) if given.ndim == 0 else given.copy()
        if self.covariance.shape != (n, n):
            raise ValueError(f"covariance has shape {given.shape}; it must be {(n, n)}")
        check_finite("covariance", self.covariance)
        check_covariance("covariance", self.covariance, 0.0)

    def predict(self, u: npt.ArrayLike = ()) -> None:
        """z ← A·z + B·u,  P ← A·P·Aᵀ + Q."""
        model = self.model
        driven = model.inputs @ vector("u", u, model.inputs.shape[1])
        self.mean = model.A @ self.mean + driven
        self.covariance = _symmetric(model.A @ self.covariance @ model.A.T + model.Q)

    def correct(self, x: npt.ArrayLike) -> Step:
        """Take in an observation (m,).

        K = P·Cᵀ·S⁻¹ with S = C·P·Cᵀ + R, and Joseph's form P ← (I-KC)·P·(I-KC)ᵀ + K·R·Kᵀ, a sum of
        two positive semidefinite matrices for any K, right or rounded.
        """
        model, p = self.model, self.covariance
        innovation = vector("x", x, len(model.C)) - model.C @ self.mean
        s = _symmetric(model.C @ p @ model.C.T + model.R)
        gain = np.linalg.solve(s, model.C @ p).T
        self.mean = self.mean + gain @ innovation
        rest = np.eye(len(p)) - gain @ model.C
        self.covariance = _symmetric(rest @ p @ rest.T + gain @ model.R @ gain.T)
        _, log_det = np.linalg.slogdet(2 * np.pi * s)
        size = float(innovation @ np.linalg.solve(s, innovation))
        return Step(innovation, s, gain, -0.5 * (float(log_det) + size))

    def filter(self, x: npt.ArrayLike, u: npt.ArrayLike | None = None) -> Filtered:
        """Filter a series x (T, m) with inputs u (T, k); u[t] acts between x[t] and x[t+1].

        A single output or input may be (T,). A row of x with a NaN was not observed: the state is
        predicted through it. Raises ValueError for other shapes, and for infinities.
        """
        model = self.model
        series = table("x", x, model.C.shape[0])
        k = model.inputs.shape[1]
        driven = table("u", np.zeros((len(series), 0)) if u is None else u, k)
        if len(driven) != len(series):
            raise ValueError(f"{len(series)} observations, {len(driven)} inputs")
        check_finite("x", np.where(np.isnan(series), 0.0, series))
        check_finite("u", driven[:-1])
        means, covariances, innovations, total = [], [], [], 0.0
        for t, row in enumerate(series):
            if t:
                self.predict(driven[t - 1])
            innovation = np.full(row.shape, np.nan)
            if not np.isnan(row).any():
                step = self.correct(row)
                innovation, total = step.innovation, total + step.log_likelihood
            means.append(self.mean)
            covariances.append(self.covariance)
            innovations.append(innovation)
        return Filtered(np.array(means), np.array(covariances), np.array(innovations), total)


def _symmetric(x: Doubles) -> Doubles:
    return (x + x.T) / 2
