"""Draw how the loss falls in each arithmetic, and how far that is from float32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Curves", "draw", "smooth"]

Values = npt.NDArray[np.float64]
Curves = Mapping[str, Values]
"""Losses (seeds, steps) by arithmetic; the first is what the others are compared with."""

_INK, _FAINT, _RULE = "#30343A", "#6B727C", "#E7EAEE"
_STYLES: dict[str, dict[str, Any]] = {  # dashes and hues, so that no reader needs colour
    "float32": {"color": _INK, "linewidth": 4.0, "alpha": 0.35},
    "bfloat16": {"color": "#A8467F", "linewidth": 1.3, "linestyle": (0, (6, 1.5, 1.2, 1.5))},
    "bposit16": {"color": "#0072B2", "linewidth": 2.0},
    "bposit32": {"color": "#C75300", "linewidth": 1.5, "linestyle": (0, (2.5, 1.5))},
}


def smooth(x: Values, window: int) -> Values:
    """Means over ``window`` neighbouring steps: (…, steps) to (…, steps - window + 1)."""
    made: Values = np.lib.stride_tricks.sliding_window_view(x, window, axis=-1).mean(axis=-1)
    return made


def draw(tasks: Mapping[str, Curves], titles: Mapping[str, str], title: str) -> Figure:
    """A column for each task: losses above, below their difference from the first arithmetic's.

    Differences are of the same seed and step, so of the same batch. Lines are means over seeds and
    over some 5 % of the steps; the band below spans the seeds.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained", facecolor="white")
    panels = figure.subplots(2, len(tasks), height_ratios=(1.6, 1), sharex="col", squeeze=False)
    for (above, below), (task, curves) in zip(panels.T, tasks.items(), strict=True):
        first, *others = curves
        steps = curves[first].shape[1]
        window = max(1, steps // 20)
        at = np.arange(window, steps + 1) - (window - 1) / 2
        for name, losses in curves.items():
            above.plot(at, smooth(losses.mean(axis=0), window), label=name, **_STYLES[name])
        below.axhline(0, **_STYLES[first])
        for name in others:
            apart = smooth(curves[name] - curves[first], window)
            color = _STYLES[name]["color"]
            below.fill_between(at, apart.min(0), apart.max(0), color=color, alpha=0.13, linewidth=0)
            below.plot(at, apart.mean(0), **_STYLES[name])
        above.set_title(titles[task], loc="left", fontsize=10.5, color=_INK)
        below.set_xlabel("step", color=_INK)
        for axes in (above, below):
            _plain(axes)
    panels[0, 0].set_ylabel("training loss, nats", color=_INK)
    panels[1, 0].set_ylabel(f"loss − {next(iter(next(iter(tasks.values()))))}'s", color=_INK)
    panels[0, -1].legend(
        facecolor="white", edgecolor="none", framealpha=1, labelcolor=_INK, handlelength=3.2
    )
    figure.suptitle(title, x=0.012, ha="left", fontsize=13, fontweight="bold", color=_INK)
    return figure


def _plain(axes: Axes) -> None:
    axes.margins(x=0, y=0.06)
    axes.grid(axis="y", color=_RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=_FAINT, labelsize=9)
    axes.spines[:].set_visible(False)
