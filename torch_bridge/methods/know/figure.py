"""The figure of docs/methods/know.md, from result.json alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._figures import FAINT, INK, STYLES, headline, panels, title
from .._result import Experiment, Result, interval
from .experiments import AHEAD

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["drawn"]

_SERIES = {
    "KNOWN": ("KNOWN {}", "o", "#0072B2"),
    "θ₀ shrunk to KNOWN's norms": ("θ_0 shrunk to the norms of KNOWN {}", "s", "#C75300"),
    "KNOWN without its part along θ₀": ("KNOWN {}, direction", "D", "#A8467F"),
    "linear": ("linear {}", "v", "#6B727C"),
}
_NAMES = {"mlp": "MLP, no normalisation", "cnn": "CNN with BatchNorm"}


def drawn(result: Result) -> Figure:
    """A panel for each network that was run: gain over θ_0; and one for formats."""
    networks = [n for n in _NAMES if f"{n}: comparison" in result.experiments]
    figure: Figure
    figure, axes = panels(len(networks) + 1, width=4.2 * (len(networks) + 1), height=4.0)
    for ax, network in zip(axes, networks, strict=False):
        _gains(ax, result.experiments[f"{network}: comparison"])
        title(ax, f"{_NAMES[network]}: transfer, points over θ₀")
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low - 0.35 * (high - low), high)  # room for the legend
    axes[0].legend(frameon=False, fontsize=8, labelcolor=INK, loc="lower left")
    _formats(axes[-1], result.experiments["formats"])
    title(axes[-1], "Error of the predicted step")
    seeds = len(result.experiments["formats"].seeds)
    scope = f"{seeds} seeds, 95 %" if seeds > 1 else "one seed"
    headline(figure, f"KNOW: is it the direction, or smaller weights? ({scope})")
    return figure


def _gains(ax: Any, e: Experiment) -> None:
    base = np.array(e.numbers("θ_0", "transfer"))
    for i, (label, (arm, marker, colour)) in enumerate(_SERIES.items()):
        x = np.arange(len(AHEAD)) + 0.12 * (i - 1.5)
        gains = [100 * (np.array(e.numbers(arm.format(t), "transfer")) - base) for t in AHEAD]
        _points(ax, x, gains, label=label, marker=marker, color=colour)
    more = 100 * (np.array(e.numbers("twice the data", "transfer")) - base)
    _points(ax, np.array([len(AHEAD)]), [more], marker="*", color=INK)
    best = 100 * (np.array(e.numbers("shrink, swept", "transfer")) - base)
    _points(ax, np.array([len(AHEAD) + 1]), [best], marker="s", color="#C75300", fillstyle="none")
    ax.axhline(0, color=FAINT, linewidth=0.8)
    ax.set_xticks(
        range(len(AHEAD) + 2), [*AHEAD, "really\ntwice the\ndata", "best\nconstant\n· θ₀"]
    )


def _points(ax: Any, x: Any, samples: list[Any], **style: Any) -> None:
    means = [s.mean() for s in samples]
    ends = [interval(list(s)) for s in samples]
    half = [0.0 if end is None else (end[1] - end[0]) / 2 for end in ends]
    ax.errorbar(x, means, half, linestyle="none", capsize=2, elinewidth=1, markersize=6, **style)


def _formats(ax: Any, e: Experiment) -> None:
    shown = [m for m in e.metrics if m not in ("cross-entropy", "bytes")]
    for arm in [a for a in e.values if a != "float64"]:
        style = dict(STYLES.get(arm, {"color": "#009E73", "linewidth": 2.0}))
        ax.plot(
            shown,
            [e.mean(arm, m) or np.nan for m in shown],
            marker="o",
            markersize=4,
            label=arm,
            **style,
        )
    ax.set_yscale("log")
    ax.tick_params(axis="x", labelrotation=20)
    ax.legend(frameon=False, fontsize=8, labelcolor=INK, loc="best")
