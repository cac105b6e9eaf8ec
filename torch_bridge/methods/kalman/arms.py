"""What is compared in float64, and the settings that each arm may choose from: nine, for all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .._harness import Run
from .._result import Better, Settings

__all__ = ["DIGITS", "ENTROPY", "REGIME", "SERIES", "tuned"]

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
NOISES = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
Arms = dict[str, tuple[str, list[dict[str, Any]]]]
"""Of each arm: the kind of learner, and its grid of nine settings."""

DIGITS: Arms = {
    "Kalman": ("Kalman", [{"noise": r} for r in NOISES]),
    "SGD, squares": ("sgd", [{"lr": r} for r in RATES]),
    "SGD, entropy": ("sgd", [{"lr": r, "entropy": True} for r in RATES]),
    "averaged SGD, squares": ("averaged", [{"lr": r} for r in RATES]),
    "averaged SGD, entropy": ("averaged", [{"lr": r, "entropy": True} for r in RATES]),
    "Adam, squares": ("adam", [{"lr": r} for r in RATES]),
    "Adam, entropy": ("adam", [{"lr": r, "entropy": True} for r in RATES]),
}
SERIES: Arms = {
    "Kalman": ("Kalman", [{"noise": r} for r in NOISES]),
    "LMS": ("LMS", [{"lr": r} for r in RATES]),
    "NLMS": ("NLMS", [{"lr": r} for r in RATES]),
    "Adam": ("Adam", [{"lr": r} for r in RATES]),
}
REGIME: Arms = {
    "Kalman, all alike": SERIES["Kalman"],
    "Kalman, forgetting": (
        "Kalman",
        [{"noise": r, "forgetting": f} for r in (0.1, 1, 10) for f in (0.95, 0.98, 0.995)],
    ),
    "Kalman, drift": (
        "Kalman", [{"noise": r, "drift": q} for r in (0.1, 1, 10) for q in (1e-4, 1e-3, 1e-2)],
    ),
    "Kalman, gated": (
        "Kalman",
        [{"prior": p, "width": w, "noise": 0.1} for p in (0.001, 0.01, 0.1) for w in (1.5, 2, 3)],
    ),
    **{name: SERIES[name] for name in ("LMS", "NLMS", "Adam")},
}  # fmt: skip

ENTROPY: Arms = {"SGD, entropy": DIGITS["SGD, entropy"], "Adam, entropy": DIGITS["Adam, entropy"]}

Score = Callable[[str, Settings, int], float]


def tuned(
    run: Run, prefix: str, arms: Arms, score: Score, better: Better = "higher"
) -> dict[str, Settings]:
    """The best settings of each arm: a sweep of its grid by ``score(kind, settings, seed)``."""
    return {
        arm: run.sweep(f"{prefix}: {arm}", grid, partial(score, kind), better)
        for arm, (kind, grid) in arms.items()
    }
