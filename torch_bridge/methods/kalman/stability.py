"""When the state filter converges, checked before it runs, and to what.

If (A, C) is detectable and (A, Q^½) stabilisable, the Riccati recursion converges from every P ≥ 0
to the one stabilising solution, and A - A·K·C has its eigenvalues inside the unit circle (Anderson
and Moore, *Optimal Filtering*, §4.4). Both are tested mode by mode, by Popov, Belevitch and Hautus:
every eigenvalue λ of A on or outside the unit circle must have rank [A - λI; C] = n, and
rank [A - λI, Q^½] = n.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._arithmetic import Doubles
from .state import LinearModel

__all__ = ["Steady", "check_stable", "hidden_modes", "steady_state", "undriven_modes"]

_RANK = 1e-9  # a singular value below this share of the largest counts as 0


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
    return [z for z in _lasting(model.A) if _lacks(np.vstack([_shifted(model.A, z), model.C]))]


def undriven_modes(model: LinearModel) -> list[complex]:
    """Eigenvalues of A, not inside the unit circle, that Q does not drive: empty if stabilisable.

    The filter stops learning about them: its gain for them tends to 0.
    """
    values, vectors = np.linalg.eigh(model.Q)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    return [z for z in _lasting(model.A) if _lacks(np.hstack([_shifted(model.A, z), root]).T)]


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


def _lasting(a: Doubles) -> list[complex]:
    return [complex(z) for z in np.linalg.eigvals(a) if abs(z) >= 1 - 1e-9]


def _shifted(a: Doubles, z: complex) -> np.ndarray[tuple[int, int], np.dtype[np.complex128]]:
    return a - z * np.eye(len(a))


def _lacks(tall: np.ndarray[tuple[int, int], np.dtype[np.complex128]]) -> bool:
    """Whether a matrix of n columns has a rank below n."""
    values = np.linalg.svd(tall, compute_uv=False)
    return bool(len(values) < tall.shape[1] or values[-1] <= _RANK * values[0])


def _text(modes: list[complex]) -> str:
    return ", ".join(f"{z.real:.4g}" if z.imag == 0 else f"{z:.4g}" for z in modes)
