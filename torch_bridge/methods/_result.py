"""What an experiment measured, as it stands in ``result.json``.

::

    {"method": …, "source": …, "command": …, "quick": false, "environment": {…},
     "experiments": {name: {
        "question": "method" | "format" | "exact", "about": …, "seeds": [0, …],
        "metrics": {metric: {"about": …, "better": "higher" | "lower" | "none"}},
        "arms": {arm: {"settings": {…},
                       "metrics": {metric: {"values": [one for each seed],
                                            "mean": …, "interval": [low, high] | null}}}}}},
     "sweeps": {arm: {"seeds": […], "better": …, "chosen": {…},
                      "tried": [{"settings": {…}, "scores": [one for each seed]}]}}}

A value is a number, or a list of numbers (a curve), which has neither mean nor interval. Infinity
and NaN are the strings "inf", "-inf" and "nan": a run that diverged says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

__all__ = [
    "Better",
    "Experiment",
    "Metric",
    "Result",
    "Settings",
    "Sweep",
    "Value",
    "interval",
    "read",
]

Value = float | list[float]
Settings = Mapping[str, Any]
Better = Literal["higher", "lower", "none"]
Question = Literal["method", "format", "exact"]


@dataclass(frozen=True)
class Metric:
    """A quantity measured in each trial: what it is, with its unit, and which way is better."""

    about: str
    better: Better = "none"


@dataclass
class Experiment:
    """The trials that answer one question.

    Parameters
    ----------
    name : str
    question : {"method", "format", "exact"}
        Does the method work; does the number format hold; is the result exact. One experiment
        answers one of them.
    about : str
        Data, sizes and what is compared, in a sentence or two.
    metrics : mapping of str to Metric
        The first is the one for tables.
    seeds : sequence of int
    """

    name: str
    question: Question
    about: str
    metrics: Mapping[str, Metric]
    seeds: Sequence[int]
    settings: dict[str, Settings] = field(default_factory=dict)
    values: dict[str, dict[str, list[Value]]] = field(default_factory=dict)

    def add(self, arm: str, measured: Mapping[str, Value], settings: Settings) -> None:
        """Record a trial of an arm; trials come in the order of the seeds.

        Raises ValueError if what was measured is not what the experiment measures, or an arm gets
        other settings than before.
        """
        if set(measured) != set(self.metrics):
            raise ValueError(f"{self.name}, {arm}: measured {[*measured]}, not {[*self.metrics]}")
        if self.settings.setdefault(arm, settings) != settings:
            raise ValueError(f"{self.name}, {arm}: settings differ from the last trial's")
        columns = self.values.setdefault(arm, {name: [] for name in self.metrics})
        for name, value in measured.items():
            columns[name].append(_plain(value))

    def numbers(self, arm: str, metric: str) -> list[float]:
        """The values of a metric that is a number, one for each seed."""
        found = [v for v in self.values[arm][metric] if isinstance(v, float)]
        if len(found) != len(self.values[arm][metric]):
            raise TypeError(f"{self.name}: {metric} is a curve, not a number")
        return found

    def mean(self, arm: str, metric: str) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.numbers(arm, metric)))

    def curves(self, arm: str, metric: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The values of a metric that is a curve: (seeds, points)."""
        return np.array(self.values[arm][metric], np.float64)


@dataclass
class Sweep:
    """A search for the settings of one arm, on seeds of its own."""

    seeds: Sequence[int]
    better: Better
    chosen: Settings = field(default_factory=dict)
    tried: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Result:
    """All that one run of a method's command measured; not complete until it ended."""

    method: str
    source: str
    command: str
    quick: bool
    environment: Mapping[str, str]
    experiments: dict[str, Experiment] = field(default_factory=dict)
    sweeps: dict[str, Sweep] = field(default_factory=dict)
    complete: bool = False

    def as_json(self) -> str:
        """The text of result.json, its numbers to six significant digits."""
        head = {
            "method": self.method,
            "source": self.source,
            "command": self.command,
            "quick": self.quick,
            "complete": self.complete,
            "environment": dict(self.environment),
            "experiments": {name: _written(e) for name, e in self.experiments.items()},
            "sweeps": {arm: asdict(sweep) for arm, sweep in self.sweeps.items()},
        }
        return _text(head, 0) + "\n"


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % confidence interval of the mean, by Student's t; None for fewer than two values.

    It assumes that the values of the seeds are independent and nearly normal.
    """
    from scipy.stats import t  # type: ignore[import-untyped]

    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    mean, n = float(np.mean(values)), len(values)
    half = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n))
    return mean - half, mean + half


def read(path: Path) -> Result:
    """Read result.json. Raises ValueError for a file that is not one."""
    found = json.loads(path.read_text(encoding="utf-8"))
    try:
        experiments = {
            name: Experiment(
                name, e["question"], e["about"],
                {metric: Metric(**about) for metric, about in e["metrics"].items()}, e["seeds"],
                {arm: a["settings"] for arm, a in e["arms"].items()},
                {arm: {m: [_plain(v) for v in of["values"]] for m, of in a["metrics"].items()}
                 for arm, a in e["arms"].items()},
            )
            for name, e in found["experiments"].items()
        }  # fmt: skip
        sweeps = {arm: Sweep(**sweep) for arm, sweep in found["sweeps"].items()}
        names = ("method", "source", "command", "quick", "environment", "complete")
        head = {key: found[key] for key in names}
        return Result(**head, experiments=experiments, sweeps=sweeps)
    except (KeyError, TypeError) as e:
        raise ValueError(f"{path} is not a result.json: {e!r}") from None


def _written(e: Experiment) -> dict[str, Any]:
    def column(values: list[Value]) -> dict[str, Any]:
        numbers = [v for v in values if isinstance(v, float)]
        if len(numbers) < len(values):
            return {"values": values}
        return {"values": values, "mean": float(np.mean(numbers)), "interval": interval(numbers)}

    return {
        "question": e.question,
        "about": e.about,
        "seeds": list(e.seeds),
        "metrics": {name: asdict(metric) for name, metric in e.metrics.items()},
        "arms": {
            arm: {
                "settings": dict(e.settings[arm]),
                "metrics": {name: column(values) for name, values in columns.items()},
            }
            for arm, columns in e.values.items()
        },
    }


def _plain(value: Any) -> Value:
    if isinstance(value, (list, tuple, np.ndarray)):
        return [float(v) for v in value]
    return float(value)


def _text(x: Any, depth: int) -> str:
    """JSON with a line for each entry of a mapping, and lists on one line."""
    if isinstance(x, Mapping) and x:
        pad = " " * (depth + 1)
        rows = (f"{pad}{json.dumps(str(k))}: {_text(v, depth + 1)}" for k, v in x.items())
        return "{\n" + ",\n".join(rows) + "\n" + " " * depth + "}"
    if isinstance(x, (list, tuple)):
        if any(isinstance(v, Mapping) for v in x):
            pad = " " * (depth + 1)
            return "[\n" + ",\n".join(pad + _line(v) for v in x) + "\n" + " " * depth + "]"
        return _line(x)
    return _line(x)


def _line(x: Any) -> str:
    return json.dumps(_finite(x), ensure_ascii=False, allow_nan=False)


def _finite(x: Any) -> Any:
    if isinstance(x, Mapping):
        return {k: _finite(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [_finite(v) for v in x]
    if isinstance(x, float):
        return float(f"{x:.6g}") if math.isfinite(x) else str(x)
    return x
