"""One look for the figures of all methods: colours by arithmetic, plain axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from matplotlib.figure import Figure

__all__ = ["FAINT", "INK", "STYLES", "panels", "title"]

INK, FAINT, RULE = "#30343A", "#6B727C", "#E7EAEE"

STYLES: dict[str, dict[str, Any]] = {
    "float64": {"color": INK, "linewidth": 3.5, "alpha": 0.35},
    "float32": {"color": "#6B727C", "linewidth": 1.3, "linestyle": (0, (1, 1.2))},
    "bfloat16": {"color": "#A8467F", "linewidth": 1.3, "linestyle": (0, (6, 1.5, 1.2, 1.5))},
    "bposit16": {"color": "#56A0D3", "linewidth": 1.5, "linestyle": (0, (4, 1.5))},
    "bposit16 + quire": {"color": "#0072B2", "linewidth": 2.0},
    "bposit32": {"color": "#C75300", "linewidth": 1.5, "linestyle": (0, (2.5, 1.5))},
}
"""Hue and dashes of each arithmetic, so that no reader needs colour."""


def panels(columns: int, rows: int = 1, width: float = 9.0, height: float = 3.4) -> Any:
    """A figure and its axes, flat: no frame, faint rules; ``height`` inches a row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height * rows), layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for one in axes:
        one.grid(axis="y", color=RULE, linewidth=0.7)
        one.set_axisbelow(True)
        one.tick_params(length=0, colors=FAINT, labelsize=8.5)
        one.spines[:].set_visible(False)
    return figure, list(axes)


def title(axes: Any, text: str) -> None:
    """The title of a panel."""
    axes.set_title(text, loc="left", fontsize=10, color=INK)


def headline(figure: Figure, text: str) -> None:
    """The title of the figure."""
    figure.suptitle(text, x=0.012, ha="left", fontsize=12.5, fontweight="bold", color=INK)
