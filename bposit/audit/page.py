"""report.html: one file that needs no network, and runs no script but its own.

Everything is in the page as text and as SVG before its script runs; that only sorts. Jinja2 escapes
all of it, and a Content-Security-Policy with the hashes of the one style and the one script stops
whatever else a name might smuggle in.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from math import inf, isfinite, isnan
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from . import text
from .gate import value
from .report import Report
from .source import shown

__all__ = ["html"]

_WIDTH, _HEIGHT = 640, 220  # of a plot, in its own units
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 10, 34
_MARGIN = 6  # binades shown beside those in use
_PLOTS = 300  # subjects with a plot of their own; a page with more would be slow


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


def html(report: Report) -> str:
    """The page, as text; the same report gives the same page."""
    folder = files(__package__)
    style = folder.joinpath("page.css").read_text(encoding="utf-8")
    script = folder.joinpath("page.js").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(folder.joinpath("page.html").read_text(encoding="utf-8"))
    figure = text.main_figure(report)
    return template.render(
        report=report,
        title=", ".join(shown(i["name"]) for i in report["inputs"]) or report["kind"],
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}';"
        " base-uri 'none'; form-action 'none'",
        style=Markup(style),
        script=Markup(script),
        headings=text.HEADINGS,
        rows=list(_rows(report, figure)),
        subjects=list(_subjects(report)),
        whole=_whole(report),
        growth=_growth(report),
        shown=shown,
    )


def _hash(content: str) -> str:
    return "sha256-" + b64encode(sha256(content.encode()).digest()).decode()


def _rows(report: Report, figure: str) -> Iterator[dict[str, Any]]:
    """Of the table, worst first: cells with their text and what they sort by, and a link."""
    places: dict[int, int] = {}
    for i, subject in enumerate([*report["tensors"], *report["layers"]]):
        places.update((id(row), i) for row in subject["rows"])
    columns = (None, None, figure, "relative_max", "relative_p999", "ulps", *text.COLUMNS, "bytes")
    for name, row in text.worst_first(report):
        cells = list(text.cells(name, row, figure))
        keys = [cells[i] if column is None else _key(value(row, column))
                for i, column in enumerate(columns)]  # fmt: skip
        yield {"cells": list(zip(cells, keys, strict=True)), "to": places[id(row)]}


def _key(x: float | None) -> str:
    """What a number sorts by: failed before all, exact after all, absent last."""
    if x is None:
        return "1e999"
    if isnan(x):
        return "-1e999"
    return "1e308" if x == inf else f"{x:.9g}"


def _subjects(report: Report) -> Iterator[dict[str, Any]]:
    for i, subject in enumerate([*report["tensors"], *report["layers"]]):
        facts = [
            ("shape", " × ".join(map(str, subject["shape"])) or "scalar"),
            ("kind", subject.get("dtype") or subject.get("kind")),
            ("narrowest", subject["narrowest"] or "none"),
        ]
        if "call" in subject:
            facts += [("call", subject["call"]), ("step", subject["step"])]
        for best in subject.get("best", []):
            facts.append((best["format"], f"{text.decibel_text(best, 'sqnr')} dB,"
                          f" {100 * best['saved']:.0f} % smaller"))  # fmt: skip
        yield {
            "name": shown(subject["name"]),
            "facts": facts,
            "rows": [list(_details(row)) for row in subject["rows"]],
            "plot": _histogram(subject["exponents"], report["formats"], "this tensor")
            if i < _PLOTS
            else None,
        }


_NAMES = {
    "sqnr": "SQNR dB", "local_sqnr": "local dB", "cumulative_sqnr": "cumulative dB",
    "quantization_sqnr": "operands dB", "accumulation_sqnr": "sum dB", "rounding_sqnr": "result dB",
}  # fmt: skip
_OTHERS = {
    "cross_share": "cross term", "cancellation_median": "cancelled, median",
    "cancellation_p99": "p99", "cancellation_max": "max", "digits_min": "digits, min",
    "digits_p1": "p1", "digits_median": "median", "fovea": "fovea", "stagnation": "stagnation",
    "versor_defect": "versor defect", "metric_change": "metric change",
    "sqnr_change": "since baseline",
}  # fmt: skip


def _details(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "format", row["format"] + (f", {row['accumulate']}" if row.get("accumulate") else "")
    for figure, name in _NAMES.items():
        if figure in row:
            yield name, text.decibel_text(dict(row), figure)
    for figure, name in _OTHERS.items():
        if row.get(figure) is not None:
            yield name, text.number_text(row[figure])
    if row.get("diverged"):
        yield "calls", "diverged"
    if row.get("fraction_bits"):
        yield (
            "fraction bits",
            ", ".join(
                f"{'none' if b['bits'] < 0 else b['bits']}: {b['count']}"
                for b in row["fraction_bits"]
            ),
        )


# ---- plots
def _whole(report: Report) -> Plot | None:
    """All tensors' exponents in one histogram."""
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


def _histogram(
    exponents: Mapping[str, Any], formats: Sequence[Mapping[str, Any]], whose: str
) -> Plot | None:
    """Exponents in use, and over them the significand bits of each format."""
    counts: list[int] = exponents["counts"]
    if not counts:
        return None
    low, high = exponents["start"] - _MARGIN, exponents["start"] + len(counts) + _MARGIN
    most = max([r["fraction_bits"] + 1 for f in formats for r in f["curve"]], default=1)
    base, top, left, right = _HEIGHT - _BOTTOM, _TOP, _LEFT, _WIDTH - _RIGHT

    def x(e: float) -> float:
        share = (min(max(e, low), high) - low) / (high - low)
        return float(round(left + (right - left) * share, 1))

    def y(bits: float) -> float:
        return float(round(base - (base - top) * bits / most, 1))

    tallest = max(counts)
    bars = []
    for i, count in enumerate(counts):
        if count:
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
        lines.append(Line(form["name"], k % 8, path))
    step = max(1, -(-(high - low) // 8))
    across = [(x(e), f"2^{e}") for e in range(low - low % step + step, high, step)]
    up = [(y(b), str(b)) for b in range(0, most + 1, max(1, -(-most // 5)))]
    title = f"Exponents of {whose} and the significand bits of each format there"
    return Plot(title, bars, lines, across, up, "magnitude", "bits")


def _growth(report: Report) -> Plot | None:
    """Cumulative SQNR of a model by depth; of several steps, the last."""
    steps = [layer["step"] for layer in report["layers"]]
    layers = [x for x in report["layers"] if x["step"] == max(steps)] if steps else []
    if report["kind"] != "model" or len(layers) < 2:
        return None
    series: dict[str, list[tuple[int, float]]] = {}
    for i, layer in enumerate(layers):
        for row in layer["rows"]:
            found = value(row, "cumulative_sqnr")
            if found is not None and isfinite(found):
                name = f"{row['format']}, {row['accumulate']}"
                series.setdefault(name, []).append((i, found))
    if not series:
        return None
    numbers = [v for points in series.values() for _, v in points]
    low: float = min([0.0, *numbers])
    high: float = max([1.0, *numbers])
    base, left, right = _HEIGHT - _BOTTOM, _LEFT, _WIDTH - _RIGHT

    def x(i: int) -> float:
        return round(left + (right - left) * i / (len(layers) - 1), 1)

    def y(v: float) -> float:
        return float(round(base - (base - _TOP) * (v - low) / (high - low), 1))

    lines = [Line(name, k % 8, "M" + "L".join(f"{x(i)} {y(v)}" for i, v in points))
             for k, (name, points) in enumerate(series.items())]  # fmt: skip
    every = max(1, -(-len(layers) // 8))
    across = [(x(i), str(i)) for i in range(0, len(layers), every)]
    up = [(y(low + (high - low) * k / 4), f"{low + (high - low) * k / 4:.0f}") for k in range(5)]
    return Plot("Cumulative SQNR by depth", [], lines, across, up, "call", "dB")
