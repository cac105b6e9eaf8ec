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
    steady_state,
    undriven_modes,
)
from torch_bridge.methods.kalman.data import nile


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


def jordan(seed: int, states: int) -> tuple[Any, Any]:
    """A, with a single eigenvector to its eigenvalue 1, in a random basis T; and T."""
    basis = np.random.default_rng(seed).standard_normal((states, states))
    return basis @ (np.eye(states) + np.eye(states, k=1)) @ np.linalg.inv(basis), basis


@pytest.mark.parametrize("states", [2, 3, 4])
def test_conditions_hold_for_defective_eigenvalues(states: int) -> None:
    """Computed, those are off by ε^(1/n), and a test at each of them sees full rank."""
    first, last = np.eye(states)[:1], np.eye(states)[-1:]
    for seed in range(50):
        a, basis = jordan(seed, states)
        blind = LinearModel(a, last @ np.linalg.inv(basis), np.eye(states), np.eye(1))
        assert np.allclose(hidden_modes(blind), [1] * (states - 1), atol=1e-3)
        with pytest.raises(ValueError, match="not detectable"):
            check_stable(blind)
        q = np.outer(basis[:, 0], basis[:, 0])
        still = LinearModel(a, first @ np.linalg.inv(basis), q, np.eye(1))
        assert hidden_modes(still) == []
        assert len(undriven_modes(still)) == states - 1
        with pytest.raises(ValueError, match="not stabilisable"):
            steady_state(still)


@pytest.mark.parametrize(
    ("c", "q", "r"),
    [
        ([[1, 1]], [1e-20, 1e-20], 1e-20), ([[1e10, 1e10]], [1, 1], 1e20),
        ([[1e-10, 1]], [1e20, 1], 1), ([[1e10, 1]], [1e-20, 1], 1), ([[1, 1]], [1e20, 1e20], 1e20),
    ],
)  # fmt: skip
def test_conditions_do_not_depend_on_units(c: Any, q: Any, r: float) -> None:
    """One and the same system, in other units of noise, observations and the first state."""
    model = LinearModel(np.diag([1.0, 0.5]), np.array(c, float), np.diag(q), np.array([[r]]))
    right = LinearModel(np.diag([1.0, 0.5]), np.ones((1, 2)), np.eye(2), np.eye(1))
    assert steady_state(model).radius == pytest.approx(steady_state(right).radius, rel=1e-9)
    blind = LinearModel(model.A, model.C * [0, 1], model.Q, model.R)
    assert hidden_modes(blind) == [1]
    still = LinearModel(model.A, model.C, model.Q * [0, 1], model.R)
    assert undriven_modes(still) == [1]


@pytest.mark.parametrize("seed", range(10))
def test_conditions_of_large_systems_in_mixed_units(seed: int) -> None:
    """Seen, and driven, at one place; states in units from 10⁻⁵ to 10⁵."""
    rng = np.random.default_rng(seed)
    n = 8
    a, c, unit = rng.standard_normal((n, n)), rng.standard_normal((1, n)), np.eye(n)[0]
    d = 10 ** rng.uniform(-5, 5, n)
    q = np.diag(unit * d**2)
    check_stable(LinearModel(a * d[:, np.newaxis] / d, c / d, q, np.eye(1)))


WRONG_SHAPES: dict[str, tuple[dict[str, Any], str]] = {
    "B on its side": ({"B": np.ones((3, 2))}, r"B has shape \(3, 2\)"),
    "B of three axes": ({"B": np.ones((2, 1, 1))}, r"B has shape \(2, 1, 1\)"),
    "NaN in A": ({"A": np.array([[1, np.nan], [0, 1]])}, r"A is nan at \(0, 1\)"),
    "infinity in A": ({"A": np.array([[1, 0], [np.inf, 1]])}, r"A is inf at \(1, 0\)"),
    "NaN in C": ({"C": np.array([[np.nan, 1]])}, "C is nan"),
    "NaN in Q": ({"Q": np.array([[np.nan, 0], [0, 1]])}, "Q is nan"),
    "NaN in R": ({"R": np.array([[np.nan]])}, "R is nan"),
    "NaN in B": ({"B": np.array([1, np.nan])}, "B is nan"),
}


@pytest.mark.parametrize("case", WRONG_SHAPES)
def test_models_of_other_shapes_and_no_numbers_are_refused(case: str) -> None:
    change, text = WRONG_SHAPES[case]
    right: dict[str, Any] = {"A": np.eye(2), "C": np.ones((1, 2)), "Q": np.eye(2), "R": np.eye(1)}
    with pytest.raises(ValueError, match=text):
        LinearModel(**{**right, **change})


def test_what_does_not_fit_the_model_is_refused() -> None:
    """Nothing is reshaped or broadcast, and nothing changes."""
    model = LinearModel(np.eye(2), np.eye(2), np.eye(2), np.eye(2), B=np.ones(2))
    found, x, u = StateFilter(model), np.ones((6, 2)), np.ones(6)
    mean = found.mean
    refused: list[tuple[Any, str]] = [
        (lambda: found.filter(x.T, u), r"x has shape \(2, 6\); it must be \(rows, 2\)"),
        (lambda: found.filter(x.ravel(), u), r"x has shape \(12,\)"),
        (lambda: found.filter(x, u[:, np.newaxis].T), r"u has shape \(1, 6\)"),
        (lambda: found.filter(x), r"u has shape \(6, 0\); it must be \(rows, 1\)"),
        (lambda: found.filter(x, u[:5]), "6 observations, 5 inputs"),
        (lambda: found.filter(x * [1, np.inf], u), r"x is inf at \(0, 1\)"),
        (lambda: found.filter(x, u * np.nan), r"u is nan at \(0, 0\)"),
        (lambda: found.correct(1.0), r"x has shape \(\); it must be \(2,\)"),
        (lambda: found.correct([[1.0, 1.0]]), r"x has shape \(1, 2\)"),
        (lambda: found.correct([1.0, np.nan]), r"x is nan at \(1,\)"),
        (lambda: found.predict([1.0, 2.0]), r"u has shape \(2,\); it must be \(1,\)"),
        (found.predict, r"u has shape \(0,\)"),
        (lambda: StateFilter(model, [1.0]), r"mean has shape \(1,\); it must be \(2,\)"),
        (lambda: StateFilter(model, np.nan), "mean is nan"),
        (lambda: StateFilter(model, 0.0, np.nan), "covariance is nan"),
    ]
    for act, text in refused:
        with pytest.raises(ValueError, match=text):
            act()
        assert found.mean is mean
    assert found.filter(x, u).means.shape == (6, 2)


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
    with pytest.raises(ValueError, match="innovation is nan"):
        adapted_noise(1.0, np.nan, 1.0, 0.5)
    with pytest.raises(ValueError, match=r"they must be \(m, m\), \(m,\) and \(m, m\)"):
        adapted_noise(1.0, [1.0, 2.0], 1.0, 0.5)
