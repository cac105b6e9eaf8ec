"""Does the method work? Filters beside tuned gradients, statsmodels and the truth, in float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from .._harness import Run, Trial
from .._result import Experiment, Metric, Settings
from . import data
from .arms import DIGITS, tuned
from .identify import identify, subspace_states
from .online import learner
from .parameters import ParameterFilter, SquareRootFilter
from .state import LinearModel, StateFilter

__all__ = ["identity", "latent", "nile", "one_pass"]


def one_pass(run: Run) -> None:
    """Digits, each seen once."""

    def accuracy(kind: str, settings: Settings, seed: int) -> float:
        samples = data.digits(seed)
        one = learner(kind, samples.h.shape[1], 10, **settings)
        with np.errstate(over="ignore", invalid="ignore"):  # too large a rate diverges
            for h, y in zip(samples.h, samples.y, strict=True):
                one.update(h, y)
            made = np.array([one.predict(h) for h in samples.test_h])
        return float((made.argmax(axis=1) == samples.test_labels).mean())

    def trial(kind: str, settings: Settings) -> Trial:
        return lambda seed: {"accuracy": accuracy(kind, settings, seed)}

    chosen = tuned(run, "one pass", DIGITS, accuracy)
    trials = {arm: trial(kind, chosen[arm]) for arm, (kind, _) in DIGITS.items()}
    metrics = {
        "accuracy": Metric("share of 397 digits not seen that are named rightly", "higher"),
        "seconds": Metric("of the trial, on the wall", "lower"),
    }
    about = (
        "1400 digits, one pass, one at a time; 256 fixed random tanh features, linear outputs. Each"
        " arm had nine settings to choose from, on other seeds."
    )
    seeds = run.seeds if run.quick else range(20)  # the arms are close to each other
    run.trials(Experiment("one pass", "method", about, metrics, seeds), trials, chosen)


def identity(run: Run) -> None:
    """One pass of a filter is ridge regression."""

    def trial(make: Callable[..., ParameterFilter | SquareRootFilter]) -> Trial:
        def measure(seed: int) -> dict[str, float]:
            samples = data.digits(seed)
            one = make(samples.h.shape[1], 10, noise=0.5, prior=2.0)
            for h, y in zip(samples.h, samples.y, strict=True):
                one.update(h, y)
            left = samples.h.T @ samples.h + 0.25 * np.eye(samples.h.shape[1])
            ridge = np.linalg.solve(left, samples.h.T @ samples.y)
            return {"error": float(np.abs(one.weights - ridge).max() / np.abs(ridge).max())}

        return measure

    arms = {
        "textbook": trial(ParameterFilter),
        "Joseph": trial(partial(ParameterFilter, joseph=True)),
        "square root": trial(SquareRootFilter),
    }
    metrics = {"error": Metric("largest |W - ridge| over largest |ridge|", "lower")}
    about = "One pass over 1400 digits in float64 beside ridge regression on all of them at once."
    run.trials(Experiment("filter = ridge", "exact", about, metrics, run.seeds), arms)


def nile(run: Run) -> None:
    """The Nile's local level beside statsmodels."""
    volume = data.nile()
    level, noise, prior = 1469.1, 15099.0, 1e7

    def ours(seed: int) -> dict[str, float]:
        from statsmodels.tsa.statespace.structural import (  # type: ignore[import-untyped]
            UnobservedComponents,
        )

        theirs = UnobservedComponents(volume, "llevel")
        theirs.ssm.initialize_known(np.array([0.0]), np.array([[prior]]))
        theirs.loglikelihood_burn = 0
        right = theirs.filter([noise, level])
        model = LinearModel(*(np.array([[value]]) for value in (1.0, 1.0, level, noise)))
        found = StateFilter(model, 0.0, prior).filter(volume)
        return {
            "states": float(np.abs(found.means[:, 0] / right.filtered_state[0] - 1).max()),
            "likelihood": abs(found.log_likelihood / float(right.llf) - 1),
        }

    metrics = {
        "states": Metric("largest relative difference of the filtered level", "lower"),
        "likelihood": Metric("relative difference of the log-likelihood", "lower"),
    }
    about = (
        "Local level of the Nile's flow, variances 15099 and 1469.1 and the same start, beside"
        " statsmodels' UnobservedComponents. Nothing is random."
    )
    run.trials(Experiment("Nile", "exact", about, metrics, (0,)), {"against statsmodels": ours})


def latent(run: Run) -> None:
    """A noisy oscillation, filtered with the true model and with one found from noisy data."""
    driven = np.diag([1 / data.OSCILLATION, 0.0])
    truth = LinearModel(
        np.array([[1.8, -0.95], [1.0, 0.0]]), np.array([[1.0, 0.0]]), driven, np.eye(1)
    )

    def found(seed: int) -> LinearModel:
        _, seen = data.autoregression(seed + 1000, 2000)
        return identify(subspace_states(seen, 2, 20), seen[20:])

    def filtered(model: Callable[[int], LinearModel]) -> Trial:
        def measure(seed: int) -> dict[str, float]:
            hidden, seen = data.autoregression(seed, 500)
            one = model(seed)
            made = StateFilter(one).filter(seen).means @ one.C.T
            return {"error": float(np.mean((made[:, 0] - hidden)[50:] ** 2))}

        return measure

    def raw(seed: int) -> dict[str, float]:
        hidden, seen = data.autoregression(seed, 500)
        return {"error": float(np.mean((seen - hidden)[50:] ** 2))}

    arms: dict[str, Trial] = {
        "observations": raw,
        "filter, true model": filtered(lambda seed: truth),
        "filter, identified model": filtered(found),
    }
    metrics = {"error": Metric("mean squared error of the hidden signal, of variance 1", "lower")}
    about = (
        "A damped oscillation under noise of its own size. The identified model came from 2000"
        " other noisy observations, by least squares alone."
    )
    run.trials(Experiment("hidden oscillation", "method", about, metrics, run.seeds), arms)
