"""Does the method work on streams, and after a change? Sunspots, and digits that get new names."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._arithmetic import Doubles
from .._harness import Run, Trial
from .._result import Experiment, Metric, Settings
from . import data
from .arms import ENTROPY, REGIME, SERIES, tuned
from .online import errors, learner, recovery

__all__ = ["online", "regime", "relabelled"]


def online(run: Run) -> None:
    """Sunspots, one year ahead."""
    x = data.sunspots()

    def error(kind: str, settings: Settings, seed: int, start: int = 30, stop: int = 150) -> float:
        series = data.reservoir(x, seed)
        squares = errors(lambda: learner(kind, 100, **settings), series)[start:stop]
        return float(squares.mean() / series.y[start:stop].var())

    def persistence(seed: int) -> dict[str, float]:
        return {"error": float(np.mean(np.diff(x)[150:] ** 2) / x[151:].var())}

    def trial(kind: str, settings: Settings) -> Trial:
        return lambda seed: {"error": error(kind, settings, seed, 150, 308)}

    chosen = tuned(run, "sunspots", SERIES, error, "lower")
    trials = {arm: trial(kind, chosen[arm]) for arm, (kind, _) in SERIES.items()}
    metrics = {"error": Metric("mean squared error of 1851 to 2008 over their variance", "lower")}
    about = (
        "Yearly sunspots one year ahead, online, from a fixed random recurrent network of 100"
        " units, another for each seed. Settings were chosen on the years before 1850, with other"
        " networks."
    )
    experiment = Experiment("sunspots", "method", about, metrics, run.seeds)
    run.trials(experiment, {**trials, "persistence": persistence}, chosen)


def regime(run: Run) -> None:
    """Sunspots, whose sign as an input flips."""
    x = data.sunspots()

    def squares(kind: str, settings: Settings, seed: int, flip: int) -> Doubles:
        series = data.reservoir(x, seed, flip=flip)
        return errors(lambda: learner(kind, 100, **settings), series)

    def score(kind: str, settings: Settings, seed: int) -> float:
        return float(squares(kind, settings, seed, 80)[80:150].mean())

    def trial(kind: str, settings: Settings) -> Trial:
        def measure(seed: int) -> dict[str, Any]:
            found = squares(kind, settings, seed, 200)
            below = float(np.mean(np.diff(x)[150:] ** 2))
            smooth = np.convolve(found[170:290], np.ones(11) / 11, "valid")
            return {
                "years": recovery(found, 200, below),
                "error after": found[200:260].mean() / x[201:261].var(),
                "curve": smooth / x[150:].var(),
            }

        return measure

    chosen = tuned(run, "regime", REGIME, score, "lower")
    trials = {arm: trial(kind, chosen[arm]) for arm, (kind, _) in REGIME.items()}
    metrics = {
        "years": Metric("until 11 years' error is below persistence's; 108 is never", "lower"),
        "error after": Metric("mean squared error of the 60 years after, over variance", "lower"),
        "curve": Metric("the same over 11 years, from 30 years before the flip on"),
    }
    about = (
        "The same; after 200 years the network reads the series with the opposite sign, so that the"
        " right weights change sign. Settings were chosen with a flip after 80 years, on 70 years"
        " after it."
    )
    run.trials(Experiment("sign flip", "method", about, metrics, run.seeds), trials, chosen)


def relabelled(run: Run) -> None:
    """Digits, whose names change."""
    change, window = 900, 50

    def right(kind: str, settings: Settings, seed: int) -> Doubles:
        """Whether each digit of the stream was named rightly before its name was told."""
        samples = data.digits(seed)
        h = np.vstack([samples.h, samples.test_h])
        labels = np.append(samples.y.argmax(axis=1), samples.test_labels)
        labels[change:] = (labels[change:] + 1) % 10
        one = learner(kind, h.shape[1], 10, **settings)
        found = []
        with np.errstate(over="ignore", invalid="ignore"):
            for row, label in zip(h, labels, strict=True):
                found.append(one.predict(row).argmax() == label)
                one.update(row, np.eye(10)[label])
        return np.array(found, float)

    def score(kind: str, settings: Settings, seed: int) -> float:
        return float(right(kind, settings, seed)[change : change + 400].mean())

    def trial(kind: str, settings: Settings) -> Trial:
        def measure(seed: int) -> dict[str, Any]:
            found = right(kind, settings, seed)
            return {
                "samples": recovery(1 - found, change, 0.15 + 1e-9, window),
                "accuracy before": found[change - 300 : change].mean(),
                "accuracy after": found[change : change + 400].mean(),
                "curve": np.convolve(found, np.ones(window) / window, "valid")[700::10],
            }

        return measure

    chosen = tuned(run, "new names", REGIME | ENTROPY, score)
    trials = {arm: trial(kind, chosen[arm]) for arm, (kind, _) in (REGIME | ENTROPY).items()}
    metrics = {
        "samples": Metric("until 85 % of the next 50 are named rightly; 897 is never", "lower"),
        "accuracy before": Metric("share of the 300 before the change", "higher"),
        "accuracy after": Metric("share of the 400 after the change", "higher"),
        "curve": Metric("share of 50 samples, from 200 before the change on, every tenth"),
    }
    about = (
        "1797 digits in a stream, each named before its name is told; from the 901st on, every name"
        " is the next one's (0 is called 1, 9 is called 0). Settings were chosen, on other seeds,"
        " by the accuracy after the change."
    )
    run.trials(Experiment("new names", "method", about, metrics, run.seeds), trials, chosen)
