"""One figure: a life of random labels, other streams, and the life in 16 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._figures import FAINT, INK, STYLES, headline, panels, title
from .._result import Result, interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw"]

_CURVES: dict[str, dict[str, Any]] = {
    "AdamO": {"color": "#0072B2", "linewidth": 2.4, "zorder": 3},
    "AdamW": {"color": INK, "linewidth": 1.5},
    "weight decay": {"color": "#C75300", "linewidth": 1.4, "linestyle": (0, (4, 1.5))},
    "L2 to the start": {"color": "#A8467F", "linewidth": 1.4, "linestyle": (0, (6, 1.5, 1.2, 1.5))},
    "coupled penalty": {"color": "#56A0D3", "linewidth": 1.4, "linestyle": (0, (1, 1.2))},
    "shrink and perturb": {"color": FAINT, "linewidth": 1.4, "linestyle": (0, (2.5, 1.5))},
    "CReLU": {"color": "#2E8B57", "linewidth": 1.4},
    "Muon": {"color": "#B8860B", "linewidth": 1.4, "linestyle": (0, (5, 1))},
}
_SHOWN = ("random labels", "permuted MNIST")


def draw(result: Result) -> Figure:
    """The figure of a run, quick or not."""
    figure, axes = panels(3, width=13.5, height=4.4)
    for one, name in zip(axes[:2], _SHOWN, strict=True):
        _stream(one, result, name)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, names, fontsize=8.5, frameon=False, labelcolor=INK, loc="outside lower left",
        ncols=len(names),
    )  # fmt: skip
    _formats(axes[2], result)
    headline(figure, "A step towards an isometry keeps a network able to learn")
    return figure  # type: ignore[no-any-return]


def _stream(axes: Any, result: Result, name: str) -> None:
    experiment = result.experiments[name]
    for arm, style in _CURVES.items():
        curve = experiment.curves(arm, "curve").mean(axis=0)
        axes.plot(np.arange(1, len(curve) + 1), curve, label=arm, **style)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("task", color=INK)
    axes.set_ylabel("accuracy at the end of the task", color=INK)
    title(axes, name[0].upper() + name[1:])


def _formats(axes: Any, result: Result) -> None:
    experiment = result.experiments["16 bits"]
    arms = [*experiment.values][::-1]
    for row, arm in enumerate(arms):
        values = experiment.numbers(arm, "last five")
        low, high = interval(values) or (values[0], values[0])
        color = STYLES[arm.split(",")[0]]["color"]
        axes.plot([low, high], [row, row], color=color, linewidth=2.2)
        axes.plot(np.mean(values), row, "o", color=color, markersize=6)
        lost = 100 * experiment.mean(arm, "updates lost")
        axes.annotate(
            f"{lost:.2g} % of steps lost", (np.mean(values), row), (0, 7), color=FAINT, fontsize=8,
            textcoords="offset points", ha="center",
        )  # fmt: skip
    axes.set_yticks(range(len(arms)), arms, color=INK)
    axes.set_ylim(-0.5, len(arms) - 0.3)
    axes.grid(axis="x", color="#E7EAEE", linewidth=0.7)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("accuracy, last five of the tasks", color=INK)
    title(axes, "AdamO in 16 bits, random labels")
