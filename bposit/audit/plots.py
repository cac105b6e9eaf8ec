"""The plots of report.html: positions and paths, which the page's template draws as SVG."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from .gate import value
from .report import Report

__all__ = ["Line", "Plot", "growth", "of_subject", "whole"]

_WIDTH, _HEIGHT = 640, 220  # of a plot, in its own units
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 10, 34
_RARE = 1e-5  # share of values that would only stretch a plot
_MARGIN = 6  # binades shown beside those in use
_STYLES = 8
_LABELS = 8  # along an axis, about

Series = Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Line:
    """One format in a plot: a path, and which of the styles draws it."""

    name: str
    style: int
    path: str


@dataclass(frozen=True)
class Plot:
    """Everything of a plot but its style; positions are in its own units."""

    title: str
    bars: list[tuple[float, float, float, float]]  # x, y, width, height
    lines: list[Line]
    across: list[tuple[float, str]]  # where, and the label
    up: list[tuple[float, str]]
    x_label: str
    y_label: str
    width: int = _WIDTH
    height: int = _HEIGHT
    left: int = _LEFT
    right: int = _WIDTH - _RIGHT
    top: int = _TOP
    base: int = _HEIGHT - _BOTTOM


def whole(report: Report) -> Plot | None:
    """All tensors' exponents in one histogram; None where there are not several."""
    if len(report["tensors"]) + len(report["layers"]) < 2:
        return None
    counts: dict[int, int] = {}
    for subject in [*report["tensors"], *report["layers"]]:
        start = subject["exponents"]["start"]
        for i, count in enumerate(subject["exponents"]["counts"]):
            counts[start + i] = counts.get(start + i, 0) + count
    if not counts:
        return None
    first, last = min(counts), max(counts)
    joined = {"start": first, "counts": [counts.get(e, 0) for e in range(first, last + 1)]}
    return _histogram(joined, report["formats"], "all of them")


def of_subject(subject: Mapping[str, Any], formats: Sequence[Mapping[str, Any]]) -> Iterator[Plot]:
    """A tensor's or layer's exponents, and the fraction bits that formats have for its values."""
    found = _histogram(subject["exponents"], formats, "these values")
    if found:
        yield found
    shares = {f["name"]: _shares(rows[0]) for f in formats
              if (rows := [r for r in subject["rows"] if r["format"] == f["name"]])
              and rows[0].get("fraction_bits")}  # fmt: skip
    if any(len(points) > 0 for points in shares.values()):
        most = max(x for points in shares.values() for x, _ in points)
        yield _chart("Values with at least so many fraction bits", shares, range(int(most) + 1),
                     "fraction bits", "% of values", (0.0, 100.0), tuple(f["name"] for f in formats)
                     )  # fmt: skip


def _shares(row: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Steps down: % of the values that have at least 0, 1, 2 … fraction bits."""
    counts = {b["bits"]: b["count"] for b in row["fraction_bits"]}
    total = sum(counts.values())
    points: list[tuple[float, float]] = []
    for bits in range(max(counts) + 1):
        share = 100 * sum(c for b, c in counts.items() if b >= bits) / total
        points += [(max(bits - 1, 0), share), (bits, share)]
    return points


def _histogram(
    exponents: Mapping[str, Any], formats: Sequence[Mapping[str, Any]], whose: str
) -> Plot | None:
    """Exponents in use, and over them the significand bits of each format."""
    counts: list[int] = exponents["counts"]
    if not counts:
        return None
    first, after = _most_of(counts)
    low, high = exponents["start"] + first - _MARGIN, exponents["start"] + after + _MARGIN
    most = max([r["fraction_bits"] + 1 for f in formats for r in f["curve"]], default=1)
    base, top, left, right = _HEIGHT - _BOTTOM, _TOP, _LEFT, _WIDTH - _RIGHT

    x, y = _scale(low, high, left, right), _scale(0, most, base, top)
    tallest = max(counts)
    bars = []
    for i, count in enumerate(counts):
        if count and low <= exponents["start"] + i < high:
            e = exponents["start"] + i
            size = max(round((base - top) * count / tallest, 1), 1)
            bars.append((x(e), round(base - size, 1), round(x(e + 1) - x(e), 1), size))
    lines = []
    for k, form in enumerate(formats):
        path = ""
        for part in form["curve"]:
            if part["to"] + 1 <= low or part["from"] >= high:
                continue
            here = y(part["fraction_bits"] + 1)
            path += f"{'L' if path else 'M'}{x(part['from'])} {here}L{x(part['to'] + 1)} {here}"
        name = form["name"] + (" before its scale" if form.get("scaled") else "")
        lines.append(Line(name, k % _STYLES, path))
    step = max(1, -(-(high - low) // _LABELS))
    across = [(x(e), f"2^{e}") for e in range(low - low % step + step, high, step)]
    up = [(y(b), str(b)) for b in range(0, most + 1, max(1, -(-most // 5)))]
    title = f"Exponents of {whose}, and the significand bits of each format there"
    for where, some in (("smaller", counts[:first]), ("larger", counts[after:])):
        if sum(some):
            title += f"; {sum(some)} more are {where}"
    return Plot(title, bars, lines, across, up, "magnitude", "bits")


def _most_of(counts: Sequence[int]) -> tuple[int, int]:
    """The binades to draw: all but a share of ``_RARE`` of the values on either side."""
    few = int(sum(counts) * _RARE)
    first, after = 0, len(counts)
    left = right = 0
    while left + counts[first] <= few:
        left += counts[first]
        first += 1
    while right + counts[after - 1] <= few:
        right += counts[after - 1]
        after -= 1
    return first, after


def growth(report: Report) -> Iterator[Plot]:
    """Of a model, SQNR by depth in the last step, and by step if there are several."""
    layers = report["layers"] if report["kind"] == "model" else []
    steps = sorted({layer["step"] for layer in layers})
    last = [x for x in layers if x["step"] == steps[-1]] if steps else []
    if len(last) > 1:
        found = _series(enumerate(last), "cumulative_sqnr")
        yield from _maybe("Cumulative SQNR by depth", found, range(len(last)), "call")
    if len(steps) > 1:
        ends = [max((x for x in layers if x["step"] == s), key=lambda x: x["depth"]) for s in steps]
        found = _series(zip(steps, ends, strict=True), "cumulative_sqnr")
        yield from _maybe("Cumulative SQNR of the last layer by step", found, steps, "step")
        worst: dict[str, dict[float, float]] = {}
        for layer in layers:
            for name, points in _series([(layer["step"], layer)], "drift_sqnr").items():
                before = worst.setdefault(name.partition(",")[0], {})
                for x, y in points:
                    before[x] = min(y, before.get(x, y))
        drift = {name: sorted(points.items()) for name, points in worst.items()}
        yield from _maybe("Weights held in the format over all steps: SQNR, worst layer", drift,
                          steps, "step")  # fmt: skip


def _series(layers: Any, figure: str) -> dict[str, list[tuple[float, float]]]:
    made: dict[str, list[tuple[float, float]]] = {}
    for x, layer in layers:
        for row in layer["rows"]:
            found = value(row, figure)
            if found is not None and isfinite(found):
                made.setdefault(f"{row['format']}, {row['accumulate']}", []).append((x, found))
    return made


def _maybe(title: str, series: Series, across: Sequence[int], x_label: str) -> Iterator[Plot]:
    if series:
        numbers = [y for points in series.values() for _, y in points]
        span = min([0.0, *numbers]), max([1.0, *numbers])
        yield _chart(title, series, across, x_label, "dB", span, tuple(series))


def _chart(  # noqa: PLR0917
    title: str, series: Series, across: Sequence[int], x_label: str, y_label: str,
    span: tuple[float, float], order: Sequence[str],
) -> Plot:  # fmt: skip
    """Lines over integers; a line's style is its name's place in ``order``."""
    x = _scale(min(across), max(across), _LEFT, _WIDTH - _RIGHT)
    y = _scale(*span, _HEIGHT - _BOTTOM, _TOP)
    lines = [
        Line(name, order.index(name) % _STYLES, "M" + "L".join(f"{x(i)} {y(v)}" for i, v in points))
        for name, points in series.items()
        if points
    ]
    labels = [(x(i), str(i)) for i in across[:: max(1, -(-len(across) // _LABELS))]]
    low, high = span
    up = [(y(low + (high - low) * k / 4), f"{low + (high - low) * k / 4:.0f}") for k in range(5)]
    return Plot(title, [], lines, labels, up, x_label, y_label)


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Numbers of low to high to places from start to end, of one decimal, and never beyond."""

    def place(x: float) -> float:
        share = (min(max(x, low), high) - low) / ((high - low) or 1)
        return float(round(start + (end - start) * share, 1))

    return place
