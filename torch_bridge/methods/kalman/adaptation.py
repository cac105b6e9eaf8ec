"""What innovations tell: how noisy observations are, which to doubt, whether the world changed.

In a filter whose model is right, innovations are white with covariance S. So ν·νᵀ - S is zero on
average, and where it is not, R is wrong (R. K. Mehra, 1970).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from .._arithmetic import Doubles
from .samples import check_finite

__all__ = ["Gate", "adapted_noise"]

Verdict = Literal["take", "skip", "reopen"]


def adapted_noise(
    noise: npt.ArrayLike,
    innovation: npt.ArrayLike,
    covariance: npt.ArrayLike,
    rate: float,
    least: float = 1e-6,
) -> Doubles:
    """R ← R + rate·(ν·νᵀ - S), kept a covariance.

    Parameters
    ----------
    noise : (m, m)
        R, the present estimate.
    innovation : (m,)
    covariance : (m, m)
        S, what the filter expected of ν·νᵀ.
    rate : float
        In (0, 1]: about 1/rate innovations are remembered.
    least : float
        Eigenvalues of the result are at least this.

    Raises ValueError for another rate, and for numbers that are not finite.
    """
    if not 0 < rate <= 1:
        raise ValueError(f"rate={rate}: possible are numbers above 0, at most 1")
    nu = np.atleast_1d(np.asarray(innovation, float))
    r, s = (np.atleast_2d(np.asarray(x, float)) for x in (noise, covariance))
    if nu.ndim != 1 or not r.shape == s.shape == (len(nu), len(nu)):
        raise ValueError(
            f"noise {r.shape}, innovation {nu.shape}, covariance {s.shape}: they must be"
            " (m, m), (m,) and (m, m)"
        )
    for name, given in {"noise": r, "innovation": nu, "covariance": s}.items():
        check_finite(name, given)
    r = r + rate * (np.multiply.outer(nu, nu) - s)
    values, vectors = np.linalg.eigh((r + r.T) / 2)
    made: Doubles = (vectors * np.maximum(values, least)) @ vectors.T
    return (made + made.T) / 2


class Gate:
    """Tells a wild observation from a changed world by how long the surprise lasts.

    An innovation beyond ``width`` standard deviations is surprising. A single one is skipped, if
    the gate skips; when ``patience`` of the last ``2·patience`` were surprising, the filter is to
    be reopened: its P says that it knows what it no longer does. Both need a filter whose S is
    true, so a prior that is not much wider than the parameters are large.

    Parameters
    ----------
    width : float
    patience : int
    skips : bool
        Right where single observations are wild, as those of a sensor; wrong where surprises are
        what there is to learn from, as for labels.
    """

    def __init__(self, width: float = 4.0, patience: int = 5, *, skips: bool = True) -> None:
        if not width > 0 or patience < 1:
            raise ValueError(f"Gate({width}, {patience}): both must be positive")
        self._width, self._patience, self._skips = width, patience, skips
        self._recent: list[bool] = []

    def judge(self, innovation: npt.ArrayLike, variance: float) -> Verdict:
        """What to do with an innovation (m,), whose elements have ``variance`` each if all is well.

        Its size is √(Σν²/(m·variance)).

        Raises ValueError, and counts nothing, unless the innovation is finite and the variance
        above 0: what was not observed, and a filter that is none any more, tell nothing.
        """
        nu = np.atleast_1d(np.asarray(innovation, float))
        check_finite("innovation", nu)
        if not 0 < variance < np.inf:
            raise ValueError(f"variance={variance}: possible are numbers above 0")
        surprising = bool(np.mean(nu * nu) > self._width**2 * variance)
        self._recent = [*self._recent, surprising][-2 * self._patience :]
        if sum(self._recent) >= self._patience:
            self._recent = []
            return "reopen"
        return "skip" if surprising and self._skips else "take"
