"""The figure of docs/methods/smt.md, from result.json alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._figures import FAINT, INK, STYLES, headline, panels, title
from .._result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["drawn"]

_ARMS = {
    "SMT": ("#0072B2", "o", "SMT, then DMT"),
    "BPTT": ("#C75300", "s", "BPTT, same core"),
    "BPTT, truncated": ("#D9A300", "x", "BPTT through four steps"),
    "GRU": ("#6B727C", "^", "GRU, BPTT"),
    "LSTM": ("#A8467F", "D", "LSTM, BPTT"),
}


def drawn(result: Result) -> Figure:
    """Three panels; also of a quick run, with the lengths that it has."""
    figure: Figure
    figure, (first, second, third) = panels(3, width=12.6, height=3.8)
    _needles(first, result)
    _times(second, result)
    _rounding(third, result)
    seeds = len(result.experiments["length"].seeds)
    scope = f"{seeds} seeds" if seeds > 1 else "one seed"
    headline(figure, f"SMT: a recurrent network trained one step at a time ({scope})")
    return figure


def _needles(ax: Any, result: Result) -> None:
    found = sorted(
        (int(n.split()[1]), e) for n, e in result.experiments.items() if n.startswith("needle ")
    )
    at = np.arange(len(found))
    measured = [arm for arm in _ARMS if all(arm in e.values for _, e in found)]
    for i, arm in enumerate(measured):
        colour, marker, label = _ARMS[arm]
        x = at + 0.12 * (i - (len(measured) - 1) / 2)
        for k, (_, e) in enumerate(found):
            values = e.numbers(arm, "accuracy")
            ax.plot([x[k]] * len(values), values, marker, color=colour, markersize=4, alpha=0.45)
        means = [e.mean(arm, "accuracy") for _, e in found]
        ax.plot(x, means, color=colour, marker="_", markersize=14, linestyle="none", label=label)
    ax.axhline(0.25, color=FAINT, linewidth=0.8)
    ax.set_ylim(0, 1.05)
    ax.set_xticks(at, [f"T = {n}" for n, _ in found])
    ax.legend(frameon=False, fontsize=8, labelcolor=INK, loc="center left")
    title(ax, "Needle: accuracy at equal processor time (line: chance)")


def _times(ax: Any, result: Result) -> None:
    e = result.experiments["length"]
    for arm in e.values:
        x, y = (e.curves(arm, m).mean(0) for m in ("length", "milliseconds"))
        colour, marker, _ = _ARMS[arm]
        ax.plot(x, y, color=colour, marker=marker, markersize=4, label=arm)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xticks(x, [f"{n:g}" for n in x])
    low, high = np.log2(ax.get_ylim())
    ticks = 2.0 ** np.arange(np.ceil(low), np.floor(high) + 1)
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ax.set_xlabel("T", fontsize=9, color=FAINT)
    ax.legend(frameon=False, fontsize=8, labelcolor=INK)
    title(ax, "One training step of 16 sequences, milliseconds")


def _rounding(ax: Any, result: Result) -> None:
    e = result.experiments["rollout"]
    for arm in [a for a in e.values if a != "float64"]:
        curve = e.curves(arm, "curve").mean(0)
        ax.plot(np.arange(1, len(curve) + 1), curve, label=arm, **STYLES[arm])
    ax.set_yscale("log")
    ax.set_xlabel("step of the rollout", fontsize=9, color=FAINT)
    ax.legend(frameon=False, fontsize=8, labelcolor=INK, loc="center right")
    title(ax, "Rounding in the memory: mean square to float64")
