"""A, B and C from data without a gradient: least squares on rows, by the parameter filter.

Where states are seen, z[t+1] is regressed on (z[t], u[t]) and x[t] on z[t]. Where they are not, a
state sequence is found first, up to a change of basis, as the part of the past that predicts: a
long autoregression gives the predictor's Markov parameters, and the singular vectors of what they
say of the next observations are the state (predictor-based subspace identification; A. Chiuso,
Automatica 43, 2007). Nothing here is differentiated; all sums are recursive.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._arithmetic import Doubles
from .parameters import SquareRootFilter
from .samples import check_finite, table
from .state import LinearModel

__all__ = ["identify", "regress", "subspace_states"]

_PRIOR = 1e12  # variance of weights of columns of size 1: no say against two passes of samples
_SPREAD = 1e-8  # a state that varies by less, relative to what is predicted, is rounding


def regress(rows: npt.ArrayLike, targets: npt.ArrayLike) -> Doubles:
    """Weights (size, outputs) for targets ≈ rows·W: least squares, by a square-root filter.

    Columns are brought to size 1 by powers of two first, so that their units do not matter. The
    filter's prior is 10¹²; a second pass, over what the first has left, takes its square. Columns
    that are one but for 10⁻⁵ of their size are told apart to six digits; equal ones share a weight.

    Raises ValueError for (T, size) and (T, outputs) that do not fit, or are not finite.
    """
    h, y = table("rows", rows), table("targets", targets)
    check_finite("rows", h)
    check_finite("targets", y)
    if not len(h) == len(y) > 0:
        raise ValueError(f"{len(h)} rows, {len(y)} targets: they must be as many, and some")
    exponents = np.frexp(np.abs(h).max(axis=0))[1]
    h = np.ldexp(h, -exponents)
    weights = np.zeros((h.shape[1], y.shape[1]))
    for _ in range(2):
        found = SquareRootFilter(*weights.shape, prior=_PRIOR)
        for row, target in zip(h, y - h @ weights, strict=True):
            found.update(row, target)
        weights = weights + found.weights
    scaled: Doubles = np.ldexp(weights, -exponents[:, np.newaxis])
    return scaled


def identify(
    states: npt.ArrayLike, x: npt.ArrayLike, u: npt.ArrayLike | None = None
) -> LinearModel:
    """The model of known states.

    Parameters
    ----------
    states : (T, n)
    x : (T, m)
        Observations.
    u : (T, k), optional
        Inputs; u[t] acts between t and t+1.

    Q and R are the covariances of what is left; R gets 10⁻¹² of its trace more, and 10⁻³² of the
    mean square of x, so that it is positive definite where C sees without noise.

    Raises ValueError if there are too few, their numbers differ, or not all are finite.
    """
    z, seen = table("states", states), table("x", x)
    n = z.shape[1]
    inputs = np.zeros((len(z), 0)) if u is None else table("u", u)
    if not len(z) == len(seen) == len(inputs) > n + inputs.shape[1]:
        raise ValueError(
            f"{len(z)} states, {len(seen)} observations, {len(inputs)} inputs: they must be as many"
            f" as each other, and more than {n + inputs.shape[1]}, the unknowns of a row"
        )
    before = np.hstack([z, inputs])[:-1]
    onward, view = regress(before, z[1:]), regress(z, seen)
    drift, noise = z[1:] - before @ onward, seen - z @ view
    r = noise.T @ noise / len(noise)
    r = r + (1e-12 * np.trace(r) + 1e-32 * np.mean(seen * seen)) * np.eye(len(r))
    q = drift.T @ drift / len(drift)
    return LinearModel(onward[:n].T, view.T, (q + q.T) / 2, (r + r.T) / 2, onward[n:].T)


def subspace_states(
    x: npt.ArrayLike, order: int, lags: int, u: npt.ArrayLike | None = None
) -> Doubles:
    """States (T - lags, order) of a series x (T, m) with inputs u (T, k), in some basis.

    Row i belongs to time lags + i. ``lags`` is how far back the past goes; it should be some times
    the order.

    Raises ValueError unless order <= lags·m and the series is long enough to determine the
    autoregression; and if it has less to predict than ``order`` states that vary, as a constant.
    """
    seen = table("x", x)
    inputs = np.zeros((len(seen), 0)) if u is None else table("u", u)
    if len(inputs) != len(seen):
        raise ValueError(f"{len(seen)} observations, {len(inputs)} inputs")
    both = np.hstack([seen, inputs])
    width, m = both.shape[1], seen.shape[1]
    if not 1 <= order <= lags * m:
        raise ValueError(f"order={order}: possible are 1 to lags·outputs = {lags * m}")
    if len(seen) < 2 * lags * width + lags:
        raise ValueError(
            f"{len(seen)} samples do not determine {lags * width} coefficients:"
            f" {2 * lags * width + lags} are the least"
        )
    past = np.hstack([both[lags - 1 - i : len(both) - 1 - i] for i in range(lags)])  # newest first
    markov = regress(past, seen[lags:])
    blocks = markov.reshape(lags, width, m)
    ahead = np.zeros((lags, m, lags * width))
    for step in range(lags):  # what the past alone says of x[t + step]
        kept = blocks[step:].reshape(-1, m).T
        ahead[step, :, : kept.shape[1]] = kept
    predicted = past @ ahead.reshape(-1, lags * width).T
    directions = np.linalg.svd(predicted, full_matrices=False)[2]
    states = predicted @ directions[:order].T
    spread = states.std(axis=0)
    vary = spread > _SPREAD * np.sqrt(np.mean(states**2, axis=0).max())
    if not vary.all():
        raise ValueError(
            f"order={order}: the past of this series predicts only {int(vary.sum())} states that"
            " vary; take fewer, or add what varies"
        )
    scaled: Doubles = states / spread
    return scaled
