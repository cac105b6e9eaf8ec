"""The state filter: against scipy and statsmodels, its conditions, and models found from data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.linalg import solve_discrete_are
from statsmodels.tsa.statespace.structural import UnobservedComponents

from torch_bridge.methods.kalman import (
    LinearModel,
    StateFilter,
    adapted_noise,
    check_stable,
    hidden_modes,
    identify,
    steady_state,
    subspace_states,
    undriven_modes,
)
from torch_bridge.methods.kalman.data import autoregression, nile


def system(seed: int, states: int, radius: float, outputs: int = 2) -> LinearModel:
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((states, states))
    a *= radius / np.abs(np.linalg.eigvals(a)).max()
    q = rng.standard_normal((states, states))
    q = q @ q.T + 0.1 * np.eye(states)
    r = np.eye(outputs) * rng.uniform(0.2, 2, outputs)
    return LinearModel(a, rng.standard_normal((outputs, states)), (q + q.T) / 2, r)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("states", "radius"), [(1, 0.5), (4, 0.99), (3, 1.1), (5, 1.5)])
def test_the_recursion_ends_at_the_riccati_solution(seed: int, states: int, radius: float) -> None:
    """Also for systems that are unstable, as long as they are seen."""
    model = system(seed, states, radius)
    steady = steady_state(model)
    p = solve_discrete_are(model.A.T, model.C.T, model.Q, model.R)
    assert np.abs(steady.predicted - p).max() <= 1e-10 * np.abs(p).max()
    assert steady.radius < 1
    assert np.abs(np.linalg.eigvals(model.A)).max() == pytest.approx(radius)


def test_the_filter_goes_to_the_steady_state() -> None:
    model = system(3, 4, 1.05)
    found = StateFilter(model)
    for _ in range(300):
        found.predict()
        gain = found.correct([0.0, 0.0]).gain
    steady = steady_state(model)
    assert np.allclose(gain, steady.gain, rtol=1e-9, atol=1e-12)
    found.predict()
    assert np.allclose(found.covariance, steady.predicted, rtol=1e-9)


def test_conditions_name_the_modes() -> None:
    a, c = np.diag([1.2, 0.5]), np.array([[0.0, 1.0]])
    blind = LinearModel(a, c, np.eye(2), np.eye(1))
    assert hidden_modes(blind) == [pytest.approx(1.2)]
    with pytest.raises(ValueError, match=r"not detectable: C does not see the modes of A at 1\.2,"):
        check_stable(blind)
    still = LinearModel(a, c[:, ::-1], np.diag([0.0, 1.0]), np.eye(1))
    assert hidden_modes(still) == []
    assert undriven_modes(still) == [pytest.approx(1.2)]
    with pytest.raises(ValueError, match=r"not stabilisable: Q does not drive .* at 1\.2,"):
        steady_state(still)
    decays = LinearModel(np.diag([0.9, 0.5]), c, np.diag([0.0, 1.0]), np.eye(1))
    check_stable(decays)  # neither seen nor driven, but it fades by itself
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    with pytest.raises(ValueError, match=r"0\.6[+-]0\.8j"):
        check_stable(LinearModel(turn, np.zeros((1, 2)), np.eye(2), np.eye(1)))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"C": np.ones((1, 3))}, r"C has shape \(1, 3\); .* must be \(1, 2\)"),
        ({"Q": np.array([[1.0, 0.5], [0.0, 1.0]])}, "Q is not symmetric: off by 0.5"),
        ({"Q": np.diag([1.0, -0.1])}, "Q is no covariance: .* semidefinite, .* -0.1"),
        ({"R": np.zeros((1, 1))}, "R is no covariance: it must be positive definite"),
    ],
)
def test_wrong_models_are_refused(change: dict[str, Any], text: str) -> None:
    right = {"A": np.eye(2), "C": np.ones((1, 2)), "Q": np.eye(2), "R": np.eye(1)}
    LinearModel(**right)
    with pytest.raises(ValueError, match=text):
        LinearModel(**{**right, **change})


@pytest.mark.parametrize("holes", [False, True])
def test_the_nile_beside_statsmodels(holes: bool) -> None:
    """States, likelihood and innovations, at equal variances and start; with years missing too."""
    volume = nile().copy()
    if holes:
        volume[20:40] = np.nan
        volume[99] = np.nan
    theirs = UnobservedComponents(volume, "llevel")
    theirs.ssm.initialize_known(np.array([0.0]), np.array([[1e7]]))
    theirs.loglikelihood_burn = 0
    right = theirs.filter([15099.0, 1469.1])
    model = LinearModel(*(np.array([[v]]) for v in (1.0, 1.0, 1469.1, 15099.0)))
    found = StateFilter(model, 0.0, 1e7).filter(volume)
    assert np.allclose(found.means[:, 0], right.filtered_state[0], rtol=1e-9, atol=0)
    assert np.allclose(found.covariances[:, 0, 0], right.filtered_state_cov[0, 0], rtol=1e-9)
    assert found.log_likelihood == pytest.approx(float(right.llf), rel=1e-9)
    assert np.isnan(found.innovations[:, 0]).sum() == (21 if holes else 0)


def test_inputs_move_the_state() -> None:
    model = LinearModel(
        np.array([[0.5]]), np.eye(1), np.array([[1e-9]]), np.eye(1), B=np.array([[2.0]])
    )
    found = StateFilter(model, 1.0, 1e-9)
    found.predict([3.0])
    assert found.mean == pytest.approx([6.5])


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
    with pytest.raises(ValueError, match="order=21: possible are 1 to"):
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


def test_noise_is_learnt_from_innovations() -> None:
    rng = np.random.default_rng(2)
    model = LinearModel(*(np.array([[v]]) for v in (1.0, 1.0, 0.1, 50.0)))
    found, level = StateFilter(model), 0.0
    for _ in range(4000):
        level += rng.normal(0, 0.1**0.5)
        found.predict()
        step = found.correct(level + rng.normal(0, 2.0))
        noise = adapted_noise(model.R, step.innovation, step.covariance, 0.005)
        model = LinearModel(model.A, model.C, model.Q, noise)
        found.model = model
    assert model.R[0, 0] == pytest.approx(4.0, rel=0.25)  # it started at 50
    assert adapted_noise(1.0, 0.0, 100.0, 0.5)[0, 0] == 1e-6  # never negative
    with pytest.raises(ValueError, match=r"rate=0: possible"):
        adapted_noise(1.0, 0.0, 1.0, 0)
