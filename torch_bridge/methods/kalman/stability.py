"""When the state filter converges, checked before it runs, and to what.

If (A, C) is detectable and (A, Q^½) stabilisable, the Riccati recursion converges from every P ≥ 0
to the one stabilising solution, and A - A·K·C has its eigenvalues inside the unit circle (Anderson
and Moore, *Optimal Filtering*, §4.4). What C does not see, and by duality what Q does not drive, is
split off in staircase form (P. Van Dooren, IEEE Trans. Automatic Control 26, 1981), by orthogonal
steps, so that defective eigenvalues do no harm; what is left must decay. Units of observations,
noises and states do not matter, as long as those of states differ by less than 10¹².
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._arithmetic import Doubles
from .state import LinearModel

__all__ = ["Steady", "check_stable", "hidden_modes", "steady_state", "undriven_modes"]

_NOTHING = 1e-12  # of the largest: what rounding may have left of 0
_AT_ONE = 1e-9  # an eigenvalue closer to the unit circle than this does not decay


class Steady(NamedTuple):
    """Where the Riccati recursion ends."""

    predicted: Doubles
    """P⁻, the covariance before each observation, (n, n)."""
    gain: Doubles
    """K, (n, m)."""
    radius: float
    """Largest |eigenvalue| of A - A·K·C: how fast an error of the state is forgotten."""
    steps: int
    """Steps of the recursion that it took."""


def hidden_modes(model: LinearModel) -> list[complex]:
    """Eigenvalues of A, not inside the unit circle, that C does not see: empty if detectable."""
    low = np.linalg.cholesky(model.R)
    rows = np.linalg.solve(low, model.C)  # R^-½·C: noise of variance 1 on each
    return _lasting(_unreached(model.A, rows))


def undriven_modes(model: LinearModel) -> list[complex]:
    """Eigenvalues of A, not inside the unit circle, that Q does not drive: empty if stabilisable.

    The filter stops learning about them: its gain for them tends to 0.
    """
    sizes = np.sqrt(np.diag(model.Q).clip(0))
    rows = model.Q / np.where(sizes > 0, sizes, 1)[:, np.newaxis]  # its range is that of Q^½
    return _lasting(_unreached(model.A.T, rows))


def check_stable(model: LinearModel) -> None:
    """Raise ValueError, with the modes at fault, unless the Riccati recursion must converge."""
    hidden, undriven = hidden_modes(model), undriven_modes(model)
    if hidden:
        raise ValueError(
            f"(A, C) is not detectable: C does not see the modes of A at {_text(hidden)}, which do"
            " not decay, so that their covariance grows without bound"
        )
    if undriven:
        raise ValueError(
            f"(A, Q^½) is not stabilisable: Q does not drive the modes of A at {_text(undriven)},"
            " which do not decay, so that the gain tends to 0 there and errors stay"
        )


def steady_state(model: LinearModel, tolerance: float = 1e-13, most: int = 100_000) -> Steady:
    """The fixed point of the Riccati recursion, by the recursion itself.

    P⁻ ← A·(P⁻ - P⁻Cᵀ(C·P⁻Cᵀ + R)⁻¹C·P⁻)·Aᵀ + Q, in Joseph's form, from P⁻ = Q + I, until no element
    changes by more than ``tolerance`` of the largest.

    Raises ValueError as :func:`check_stable` does; ArithmeticError if ``most`` steps do not do.
    """
    check_stable(model)
    a, c = model.A, model.C
    p = model.Q + np.eye(len(a))
    for step in range(1, most + 1):
        gain = np.linalg.solve(c @ p @ c.T + model.R, c @ p).T
        rest = a @ (np.eye(len(a)) - gain @ c)
        new = rest @ p @ rest.T + a @ gain @ model.R @ gain.T @ a.T + model.Q
        new = (new + new.T) / 2
        done = np.abs(new - p).max() <= tolerance * np.abs(new).max()
        p = new
        if done:
            gain = np.linalg.solve(c @ p @ c.T + model.R, c @ p).T
            radius = np.abs(np.linalg.eigvals(a - a @ gain @ c)).max()
            return Steady(p, gain, float(radius), step)
    raise ArithmeticError(f"the Riccati recursion still moves after {most} steps")


def _unreached(a: Doubles, rows: Doubles) -> Doubles:
    """The block of ``a`` that ``rows`` do not see, (r, r), in some basis.

    Each state is measured in units in which the rows see as much of it as of any other, in as many
    steps as there are states, if they see it at all.
    """
    pace = max(1.0, np.abs(np.linalg.eigvals(a)).max(initial=0.0))
    seen, squares = rows, np.zeros(len(a))
    for _ in range(len(a)):
        squares, seen = squares + (seen**2).sum(axis=0), seen @ a / pace
    sizes = np.sqrt(squares)
    largest = sizes.max(initial=0.0)
    units = np.where(sizes > _NOTHING * largest, sizes, largest or 1.0)
    a, seen = a / units * units[:, np.newaxis], rows / units
    limit = _NOTHING * _norm(seen)
    while len(a):
        _, values, basis = np.linalg.svd(seen)
        rank = int((values > limit).sum())
        if rank == 0:
            break
        first, rest = basis[:rank].T, basis[rank:].T
        limit = _NOTHING * _norm(a)
        seen, a = first.T @ a @ rest, rest.T @ a @ rest
    return a


def _norm(x: Doubles) -> float:
    return float(np.linalg.norm(x, 2)) if x.size else 0.0


def _lasting(a: Doubles) -> list[complex]:
    """Eigenvalues on the unit circle or outside it, as far as can be told.

    Of r that are one, but for rounding ε, each is off by ε^(1/r); the angle between its left and
    right eigenvectors says whether it is such a one.
    """
    values, right = np.linalg.eig(a)
    try:
        left = np.linalg.inv(right)
        spread = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=0)
    except np.linalg.LinAlgError:  # eigenvectors that are equal to the last bit
        spread = np.full(len(a), np.inf)
    margin = np.minimum(_AT_ONE * spread, _AT_ONE ** (1 / max(len(a), 1)))
    return [complex(z) for z in values[np.abs(values) >= 1 - margin]]


def _text(modes: list[complex]) -> str:
    return ", ".join(f"{z.real:.4g}" if z.imag == 0 else f"{z:.4g}" for z in modes)
