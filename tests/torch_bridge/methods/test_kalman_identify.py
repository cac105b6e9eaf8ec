"""Models from data: least squares in any unit, states that are seen, and states that are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from torch_bridge.methods.kalman import StateFilter, identify, regress, subspace_states
from torch_bridge.methods.kalman.data import autoregression


def least_squares(h: Any, y: Any) -> Any:
    """By singular values, with columns of size 1."""
    size = np.abs(h).max(axis=0)
    return np.linalg.lstsq(h / size, y, rcond=None)[0] / size[:, np.newaxis]


@pytest.mark.parametrize("units", [1, 1e5, 1e-4, 1e-6, 1e-160, 1e160, 10.0 ** np.arange(-8, 12, 4)])
def test_regression_is_least_squares_in_any_unit(units: Any) -> None:
    rng = np.random.default_rng(0)
    h = rng.standard_normal((120, 5)) * units
    y = (h / units) @ rng.standard_normal((5, 2)) + 0.3 * rng.standard_normal((120, 2))
    right = least_squares(h, y)
    assert np.allclose(regress(h, y), right, rtol=1e-9, atol=0)
    assert np.allclose(regress(h, y * 1e-20), right * 1e-20, rtol=1e-9, atol=0)


@pytest.mark.parametrize(("off", "near"), [(1e-3, 1e-9), (1e-5, 1e-4)])
def test_regression_tells_columns_apart_that_are_nearly_one(off: float, near: float) -> None:
    rng = np.random.default_rng(1)
    h = rng.standard_normal((200, 4))
    h = np.hstack([h, h[:, :1] + off * rng.standard_normal((200, 1))])
    y = h @ np.arange(1.0, 6)[:, np.newaxis] + 0.01 * rng.standard_normal((200, 1))
    right = least_squares(h, y)
    assert np.abs(regress(h, y) - right).max() <= near * np.abs(right).max()


def test_regression_on_columns_that_are_one_or_nothing() -> None:
    rng = np.random.default_rng(2)
    h = rng.standard_normal((50, 1)) * np.array([1, 1, 0])
    assert np.allclose(regress(h, 3 * h[:, 0]).ravel(), [1.5, 1.5, 0], atol=1e-9)


def test_regression_refuses_what_does_not_fit() -> None:
    h = np.ones((4, 2))
    for rows, targets, text in (
        (h, h[:3], "4 rows, 3 targets"), (h[:0], h[:0], "0 rows"),
        (h, np.full(4, np.nan), r"targets is nan at \(0, 0\)"), (h * np.inf, h, "rows is inf"),
        (h[np.newaxis], h, r"rows has shape \(1, 4, 2\); it must be \(rows, columns\)"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=text):
            regress(rows, targets)


def test_a_model_of_known_states_is_found() -> None:
    rng = np.random.default_rng(0)
    a, b, c = np.array([[0.9, 0.2], [-0.2, 0.8]]), np.array([[1.0], [0.5]]), np.array([[1.0, -1.0]])
    u, z = rng.standard_normal((400, 1)), np.zeros((400, 2))
    for t in range(399):
        z[t + 1] = a @ z[t] + b @ u[t]
    found = identify(z, z @ c.T, u)
    for got, right in ((found.A, a), (found.inputs, b), (found.C, c)):
        assert np.allclose(got, right, atol=1e-6)
    with pytest.raises(ValueError, match=r"2 states, 2 observations, 2 inputs: .* more than 3"):
        identify(z[:2], z[:2] @ c.T, u[:2])


def test_a_model_of_hidden_states_is_found() -> None:
    """Up to a change of basis: eigenvalues and responses C·Aⁱ·B."""
    rng = np.random.default_rng(1)
    a, b, c = np.array([[1.6, -0.8], [1.0, 0.0]]), np.array([[1.0], [0.0]]), np.array([[1.0, 0.5]])
    u, z = rng.standard_normal((3000, 1)), np.zeros((3000, 2))
    for t in range(2999):
        z[t + 1] = a @ z[t] + b @ u[t] + 0.1 * rng.standard_normal(2)
    x = z @ c.T + 0.3 * rng.standard_normal((3000, 1))
    found = identify(subspace_states(x, 2, 20, u), x[20:], u[20:])
    key = np.imag
    right, got = (sorted(np.linalg.eigvals(m), key=key) for m in (a, found.A))
    assert np.allclose(got, right, atol=0.02)
    for i in range(5):
        response = c @ np.linalg.matrix_power(a, i) @ b
        got = found.C @ np.linalg.matrix_power(found.A, i) @ found.inputs
        assert np.allclose(got, response, atol=0.1), i
    with pytest.raises(ValueError, match=r"order=21: possible are 1 to"):
        subspace_states(x, 21, 20)
    with pytest.raises(ValueError, match="50 samples do not determine 40 coefficients"):
        subspace_states(x[:50], 2, 20, u[:50])


def test_filtering_with_a_found_model_removes_noise() -> None:
    """By itself, the noise has the size of the signal; the true model leaves a quarter."""
    _, seen = autoregression(50, 2000)
    model = identify(subspace_states(seen, 2, 20), seen[20:])
    hidden, seen = autoregression(51, 500)
    made = StateFilter(model).filter(seen).means @ model.C.T
    assert np.mean((seen - hidden)[50:] ** 2) > 0.8
    assert np.mean((made[:, 0] - hidden)[50:] ** 2) < 0.4


@pytest.mark.parametrize("unit", [1e5, 1e-6])
def test_a_model_is_found_in_any_unit(unit: float) -> None:
    """States and observations in other units: A is the same, noise is the unit's square."""
    rng = np.random.default_rng(3)
    a, z = np.array([[0.9, 0.2], [-0.2, 0.8]]), np.zeros((400, 2))
    for t in range(399):
        z[t + 1] = a @ z[t] + rng.standard_normal(2)
    x = z @ [[1.0], [0.5]] + 0.1 * rng.standard_normal((400, 1))
    plain, found = identify(z, x), identify(z * unit, x * unit)
    assert np.allclose(found.A, plain.A, rtol=1e-9)
    assert np.allclose(found.C, plain.C, rtol=1e-9)
    assert np.allclose(found.Q, plain.Q * unit**2, rtol=1e-9)
    assert np.allclose(found.R, plain.R * unit**2, rtol=1e-9)
    states = [subspace_states(x * scale, 2, 10) for scale in (1, unit)]
    assert np.allclose(np.abs(states[0]), np.abs(states[1]), rtol=1e-6, atol=1e-9)


def test_states_that_do_not_vary_are_refused() -> None:
    """Zeros and constants have none; one geometric series has one, and no second."""
    for series in (np.zeros(200), np.full(200, 7.0), np.full((200, 2), 1e-6)):
        with pytest.raises(ValueError, match=r"order=1: .* predicts only 0 states that vary"):
            subspace_states(series, 1, 5)
    fading = 0.97 ** np.arange(200)
    assert subspace_states(fading, 1, 5).std() == pytest.approx(1)
    with pytest.raises(ValueError, match=r"order=2: .* predicts only 1 states"):
        subspace_states(fading, 2, 5)
    with pytest.raises(ValueError, match="200 observations, 100 inputs"):
        subspace_states(fading, 1, 5, np.ones(100))
    with pytest.raises(ValueError, match="is nan"):
        subspace_states(np.where(fading == 1, np.nan, fading), 1, 5)
