"""Draw how accurate 16-bit formats are at each magnitude, and where the numbers in use lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt

import posit
from posit import PositSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Accuracy", "draw", "formats", "positive_values", "save"]

Values = npt.NDArray[np.float64]
Format = PositSpec | npt.DTypeLike
Anchor = tuple[float, float, float, Literal["left", "center"]]  # log2 x, points right, points up

_INK, _FAINT, _RULE = "#30343A", "#6B727C", "#E7EAEE"
_FILLS = (("#A4ABB6", "#4A515C"), ("#DADFE6", "#6B727C"))  # of a histogram: bars, name


@dataclass(frozen=True, slots=True)
class _Curve:
    """How a format is drawn: dashes and Okabe and Ito's hues, so that no reader needs colour."""

    color: str
    dash: Any
    width: float
    near: Anchor  # of its name in the upper panel
    whole: Anchor  # and in the lower


_CURVES = {
    "bposit16": _Curve("#0072B2", "-", 2.6, (-44, 0, 5, "center"), (-161, 0, 5, "center")),
    "posit16": _Curve("#C75300", (0, (5, 1.5)), 1.5, (0, 0, 4, "center"), (34, 7, -2, "left")),
    "float16": _Curve("#007A59", (0, (1.2, 1.2)), 1.6, (13, 0, 4, "center"), (15, 9, -3, "left")),
    "bfloat16": _Curve(
        "#A8467F", (0, (6, 1.5, 1.2, 1.5)), 1.5, (-28, 0, -13, "center"), (-96, 0, 4, "center")
    ),
}


def formats() -> dict[str, Format]:
    """The 16-bit formats that are compared, by name."""
    import ml_dtypes

    return {
        "bposit16": posit.bposit16,
        "posit16": posit.standard(16),
        "float16": np.float16,
        "bfloat16": ml_dtypes.bfloat16,
    }


def positive_values(number_format: Format) -> Values:
    """Every positive finite value of a format of at most 16 bits, ascending.

    ``number_format`` is a PositSpec, or a floating dtype of NumPy or ml_dtypes.
    Raises ValueError for a wider format.
    """
    if isinstance(number_format, PositSpec):
        bits, name = number_format.n, str(number_format)
    else:
        dtype = np.dtype(number_format)
        bits, name = 8 * dtype.itemsize, dtype.name
    if bits > 16:
        raise ValueError(f"{name} has {bits} bits; the values of at most 16 can be listed")
    patterns = np.arange(1, 1 << (bits - 1))
    if isinstance(number_format, PositSpec):
        return posit.decode(patterns.astype(number_format.storage), number_format)
    with np.errstate(invalid="ignore"):  # the signalling NaNs among them
        values = patterns.astype(f"u{bits // 8}").view(dtype).astype(np.float64)
    return values[np.isfinite(values)]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Decimal accuracy of a format in each binade [2^(start+i), 2^(start+i+1)).

    ``decimals[i]`` is -log10 of the largest relative error of rounding there: the largest
    half gap between two neighbouring values, relative to the number midway, which it befalls.
    """

    start: int
    decimals: Values

    @classmethod
    def of(cls, number_format: Format) -> Self:
        """Measured on the values of the format themselves; no formula about it is assumed."""
        values = positive_values(number_format)
        low, high = values[:-1], values[1:]
        error = (high - low) / (high + low)
        first = np.frexp(low)[1] - 1
        mantissa, exponent = np.frexp(high)
        last = np.where(mantissa == 0.5, exponent - 2, exponent - 1)  # a gap ends before high
        start = int(first[0])
        worst = np.zeros(int(last[-1]) - start + 1)
        for i in range(int((last - first).max()) + 1):  # a gap can cross many binades
            crossed = first + i <= last
            np.maximum.at(worst, first[crossed] + i - start, error[crossed])
        return cls(start, -np.log10(worst))

    @property
    def edges(self) -> Values:
        """log2 of the bounds of the binades, one more than there are ``decimals``."""
        return self.start + np.arange(len(self.decimals) + 1, dtype=np.float64)

    def at(self, x: npt.ArrayLike) -> Values:
        """Decimals kept at each non-zero value; 0 outside the range."""
        binade = np.frexp(np.abs(x))[1] - 1 - self.start
        inside = (binade >= 0) & (binade < len(self.decimals))
        return np.where(inside, self.decimals[np.where(inside, binade, 0)], 0.0)


def draw(samples: Mapping[str, Values], title: str, subtitle: str = "") -> Figure:
    """Accuracy against magnitude, over histograms of at most two samples of numbers.

    Above near the samples, below over the whole range; both panels have the same scales.

    Parameters
    ----------
    samples : name -> numbers in use, one bar a binade; zeros are left out
    title, subtitle : what the picture shows; a line, and one or two
    """
    from matplotlib.figure import Figure

    curves = {name: Accuracy.of(f) for name, f in formats().items()}
    used = {name: x[x != 0] for name, x in samples.items()}
    sizes = np.log2(np.abs(np.concatenate(list(used.values()))))
    window = (min(-58.0, float(sizes.min()) - 2), max(19.0, float(sizes.max()) + 2))
    reach = max(float(np.abs(c.edges).max()) for c in curves.values()) + 8

    figure = Figure(figsize=(9, 6.9), layout="constrained", facecolor="white")
    near, whole = figure.subplots(2, 1, height_ratios=(1.55, 1))
    for axes, limits, two, ten in ((near, window, 8, 3), (whole, (-reach, reach), 32, 20)):
        behind = axes.twinx()
        _histograms(behind, used, named=axes is near)
        _accuracies(axes, curves, named="near" if axes is near else "whole")
        _scales(axes, limits, two, ten)
        if axes is whole:
            behind.axvspan(*window, facecolor="#F2F4F7", edgecolor="#B8BEC7", lw=0.8, zorder=-1)
            axes.text(window[0] + 3, 3.55, "shown above", va="center", fontsize=9, color=_FAINT)
    whole.set_xlabel("magnitude, in powers of two; on top, powers of ten", color=_INK)
    figure.suptitle(title, x=0.012, ha="left", fontsize=13, fontweight="bold", color=_INK)
    near.set_title(subtitle, x=-0.033, loc="left", fontsize=10, color=_INK, pad=8)
    return figure


def _accuracies(axes: Axes, curves: Mapping[str, Accuracy], named: str) -> None:
    for name, accuracy in curves.items():
        style = _CURVES[name]
        axes.stairs(
            accuracy.decimals, accuracy.edges, baseline=0,
            color=style.color, linestyle=style.dash, linewidth=style.width,
        )  # fmt: skip
        x, right, up, side = getattr(style, named)
        axes.annotate(
            name, (x, float(accuracy.at(2.0**x))), (right, up), textcoords="offset points",
            ha=side, color=style.color, fontweight="bold" if style.width > 2 else "normal",
        )  # fmt: skip
    axes.set(ylim=(0, 3.95), yticks=range(4))
    axes.set_ylabel("decimal accuracy, at worst", color=_INK)


def _histograms(axes: Axes, samples: Mapping[str, Values], named: bool) -> None:
    tallest = 0.0
    for (fill, ink), (name, x) in reversed(list(zip(_FILLS, samples.items(), strict=False))):
        binades = np.frexp(np.abs(x))[1] - 1
        low = int(binades.min())
        share = np.bincount(binades - low) * (100 / x.size)
        axes.stairs(share, low + np.arange(len(share) + 1), fill=True, color=fill, linewidth=0)
        peak, first = low + int(share.argmax()), name == next(iter(samples))
        if named:
            axes.annotate(
                name, (peak + 1, float(share.max())), (6, -8) if first else (0, 4),
                textcoords="offset points", ha="left" if first else "right", color=ink,
            )  # fmt: skip
        tallest = max(tallest, float(share.max()))
    axes.set(ylim=(0, 2.1 * tallest), yticks=[y for y in range(0, 100, 10) if y <= tallest])
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:.0f} %")
    axes.set_ylabel("share of each sample", color=_FAINT, loc="bottom")
    axes.set_zorder(-1)


def _scales(axes: Axes, limits: tuple[float, float], two: int, ten: int) -> None:
    """Powers of two below, every ``two``, and powers of ten above, every ``ten``."""
    axes.set_xlim(*limits)
    axes.set_xticks([t for t in range(-512, 513, two) if limits[0] <= t <= limits[1]])
    axes.xaxis.set_major_formatter(lambda t, _: f"$2^{{{t:.0f}}}$")
    log2_ten = float(np.log2(10))
    top = axes.secondary_xaxis("top")
    exponents = [
        t for t in range(-9 * ten, 10 * ten, ten) if limits[0] <= t * log2_ten <= limits[1]
    ]
    top.set_xticks([t * log2_ten for t in exponents], [f"$10^{{{t}}}$" for t in exponents])
    axes.patch.set_visible(False)  # the histograms lie behind
    axes.grid(axis="y", color=_RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    for each in (*axes.figure.axes, top):
        each.tick_params(length=0, colors=_FAINT, labelsize=9)
        each.spines[:].set_visible(False)
    axes.axhline(0, color="#B8BEC7", linewidth=1)


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write ``stem``.png and ``stem``.svg, the same bytes each time, and return the paths."""
    import matplotlib as mpl

    paths = [stem.with_suffix(".png"), stem.with_suffix(".svg")]
    with mpl.rc_context({"svg.hashsalt": "bposit"}):
        figure.savefig(paths[0], dpi=160, metadata={"Software": None})
        figure.savefig(paths[1], metadata={"Date": None, "Creator": None})
    return paths
