"""One figure: learning in one pass, what bears 16 bits, and coming back after a change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._figures import FAINT, INK, STYLES, headline, panels, title
from .._result import Result, interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw"]

_FORMS = ("P", "P, Joseph", "Λ each step", "Λ once", "square root", "Λ in quires")
_MARKS = {
    "float32": "o", "bfloat16": "D", "bposit16": "s", "bposit16 + quire": "^", "bposit32": "v",
}  # fmt: skip
_CURVES: dict[str, dict[str, Any]] = {
    "Kalman, gated": {"color": "#0072B2", "linewidth": 2.2},
    "Kalman, forgetting": {"color": "#56A0D3", "linewidth": 1.5, "linestyle": (0, (4, 1.5))},
    "Kalman, all alike": {"color": INK, "linewidth": 1.2, "linestyle": (0, (1, 1.2))},
    "Kalman, drift": {"color": "#C75300", "linewidth": 1.5, "linestyle": (0, (6, 1.5, 1.2, 1.5))},
    "SGD, entropy": {"color": FAINT, "linewidth": 1.5},
    "Adam, entropy": {"color": "#A8467F", "linewidth": 1.3, "linestyle": (0, (2.5, 1.5))},
}


def draw(result: Result) -> Figure:
    """The figure of a run, quick or not."""
    figure, axes = panels(3, width=13.5, height=4.2)
    _one_pass(axes[0], result)
    _forms(axes[1], result)
    _regime(axes[2], result)
    headline(figure, "Filtering instead of gradients, and what of it bears 16 bits")
    return figure  # type: ignore[no-any-return]


def _one_pass(axes: Any, result: Result) -> None:
    experiment = result.experiments["one pass"]
    arms = sorted(experiment.values, key=lambda arm: experiment.mean(arm, "accuracy"))
    for row, arm in enumerate(arms):
        values = experiment.numbers(arm, "accuracy")
        low, high = interval(values) or (values[0], values[0])
        color = "#0072B2" if arm == "Kalman" else FAINT
        axes.plot([low, high], [row, row], color=color, linewidth=2.2)
        axes.plot(np.mean(values), row, "o", color=color, markersize=6)
    axes.set_yticks(range(len(arms)), arms, color=INK)
    axes.grid(axis="x", color="#E7EAEE", linewidth=0.7)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("accuracy on digits not seen", color=INK)
    title(axes, "One pass over 1400 digits, each arm tuned")


def _forms(axes: Any, result: Result) -> None:
    for column, form in enumerate(_FORMS):
        experiment = result.experiments[form]
        shown = [name for name in _MARKS if name in experiment.values]
        for i, name in enumerate(shown):
            value = experiment.mean(name, "accuracy")
            place = column + 0.13 * (i - (len(shown) - 1) / 2)
            color = STYLES[name]["color"]
            axes.plot(place, value, _MARKS[name], color=color, markersize=6.5)
    best = result.experiments["square root"].mean("float64", "accuracy")
    axes.axhline(best, color=STYLES["float64"]["color"], linewidth=3.5, alpha=0.25, zorder=0)
    for name, mark in _MARKS.items():
        axes.plot([], [], mark, color=STYLES[name]["color"], label=name)
    axes.plot([], [], color=STYLES["float64"]["color"], linewidth=3.5, alpha=0.25, label="float64")
    axes.set_xticks(range(len(_FORMS)), [form.replace(" ", "\n", 1) for form in _FORMS], color=INK)
    axes.set_ylim(-0.02, 1.05)
    axes.set_ylabel("accuracy on digits not seen", color=INK)
    axes.legend(
        fontsize=8, loc="center left", bbox_to_anchor=(0.0, 0.58), frameon=False, labelcolor=INK
    )
    title(axes, "What is stored, and in which format")


def _regime(axes: Any, result: Result) -> None:
    experiment = result.experiments["new names"]
    for arm, style in _CURVES.items():
        curve = experiment.curves(arm, "curve").mean(axis=0)
        axes.plot(10 * np.arange(len(curve)) - 200 + 50, curve, label=arm, **style)
    axes.axvline(0, color=FAINT, linewidth=0.8)
    axes.set_ylim(-0.02, 1.05)
    axes.set_xlabel("digits since every name changed", color=INK)
    axes.set_ylabel("named rightly, of the last 50", color=INK)
    axes.legend(
        fontsize=8, frameon=False, labelcolor=INK, loc="upper center",
        bbox_to_anchor=(0.5, -0.17), ncols=3,
    )  # fmt: skip
    title(axes, "A stream of digits that get new names")
