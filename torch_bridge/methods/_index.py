"""One table of all methods: what each number format does to each result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ._arithmetic import ARITHMETICS
from ._harness import cell
from ._result import Experiment, Result, read

__all__ = ["METHODS", "format_table"]

METHODS = ("kalman", "adamo", "smt", "know")


def split_arm(arm: str) -> tuple[str, str]:
    """The arithmetic that an arm's name begins with, or "", and the rest of the name."""
    for name in sorted(ARITHMETICS, key=len, reverse=True):
        if arm == name or arm.startswith((f"{name} ", f"{name},")):
            return name, arm[len(name) :].strip(" ,")
    return "", arm


def format_table(folder: Path, methods: Sequence[str] = METHODS) -> str:
    """Markdown: the commands that made the results, and a table.

    It has a row for each metric of the experiments that ask whether a format holds.

    Parameters
    ----------
    folder : Path
        Has ``NAME/result.json`` for each of ``methods``; those that are missing are left out.
    """
    found = {name: folder / name / "result.json" for name in methods}
    results = {name: read(path) for name, path in found.items() if path.exists()}
    lines = [
        *(f"- {_made(result)}" for result in results.values()),
        "",
        f"| method | what | metric | {' | '.join(ARITHMETICS)} |",
        f"|---|---|---|{'--:|' * len(ARITHMETICS)}",
    ]
    for name, result in results.items():
        lines += (f"| [{name}]({name}.md) | {row} |" for row in _rows(result))
    return "\n".join(lines) + "\n"


def _made(result: Result) -> str:
    """The command, and what a reader must know of the run."""
    said = [f"{len(e.seeds)} seeds" for e in [*result.experiments.values()][:1]]
    said += [result.environment[key] for key in ("date",) if key in result.environment]
    said += ["not complete"] * (not result.complete)
    return f"`{result.command}` ({', '.join(said)})"


def _rows(result: Result) -> Iterator[str]:
    for experiment in result.experiments.values():
        if experiment.question == "format":
            for metric in _shown(experiment):
                yield from _row(experiment, metric)


def _shown(experiment: Experiment) -> list[str]:
    """Metrics that are numbers and of which one direction is better; time is not of the format."""
    first = next(iter(experiment.values.values()))
    return [
        name
        for name, metric in experiment.metrics.items()
        if metric.better != "none" and name != "seconds" and isinstance(first[name][0], float)
    ]


def _row(experiment: Experiment, metric: str) -> Iterator[str]:
    by_rest: dict[str, dict[str, str]] = {}
    for arm in experiment.values:
        name, rest = split_arm(arm)
        by_rest.setdefault(rest, {})[name] = _text(experiment.numbers(arm, metric))
    for rest, cells in by_rest.items():
        what = f"{experiment.name}, {rest}" if rest else experiment.name
        if "" in cells:  # an arm that is of no arithmetic
            yield f"{what} | {metric}: {cells['']} | " + " | ".join("" for _ in ARITHMETICS)
        else:
            yield f"{what} | {metric} | " + " | ".join(cells.get(name, "") for name in ARITHMETICS)


def _text(values: Sequence[float]) -> str:
    return cell(values) if np.isfinite(values).all() else "diverged"
