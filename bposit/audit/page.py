"""report.html: one file that needs no network, and runs no script but its own.

Everything is in the page as text and as SVG before its script runs; that only sorts. Jinja2 escapes
all of it, and a Content-Security-Policy with the hashes of the one style and the one script stops
whatever else a name might smuggle in.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib.resources import files
from math import inf, isnan
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from . import plots, text
from .gate import value
from .report import Report
from .source import shown

__all__ = ["html"]

_PLOTS = 300  # subjects with a plot of their own; a page with more would be slow


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
        title=text.title(report),
        counted=_counted(report),
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}';"
        " base-uri 'none'; form-action 'none'",
        style=Markup(style),
        script=Markup(script),
        headings=text.HEADINGS,
        summary_headings=text.SUMMARY,
        summary=[(text.summary_cells(row), text.short(row["worst"])) for row in report["summary"]],
        rows=list(_rows(report, figure)),
        subjects=list(_subjects(report)),
        whole=plots.whole(report),
        growth=list(plots.growth(report)),
        shown=shown,
    )


def _counted(report: Report) -> str:
    kind = {"tensors": "tensor", "model": "call of a layer", "expression": "computation"}
    found = []
    for count, one in ((len(report["tensors"]) + len(report["layers"]), kind[report["kind"]]),
                       (len(report["formats"]), "format")):  # fmt: skip
        first, _, rest = one.partition(" ")
        found.append(f"{count} {first}{'' if count == 1 else 's'}{rest and ' ' + rest}")
    return " in ".join(found)


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
        for row in subject["rows"][:1]:  # alike in all formats
            facts += [("values", row["n"]), ("zeros", row["zeros"]),
                      ("not finite", row["nonfinite"])]  # fmt: skip
        if "call" in subject:
            facts += [("call", subject["call"]), ("step", subject["step"])]
        for best in subject.get("best", []):
            facts.append((best["format"], f"{text.decibel_text(best, 'sqnr')} dB,"
                          f" {100 * best['saved']:.0f} % smaller"))  # fmt: skip
        yield {
            "name": shown(subject["name"]),
            "facts": facts,
            "rows": [list(_details(row)) for row in subject["rows"]],
            "plots": list(plots.of_subject(subject, report["formats"])) if i < _PLOTS else [],
        }


_NAMES = {
    "sqnr": "SQNR dB", "local_sqnr": "local dB", "cumulative_sqnr": "cumulative dB",
    "quantization_sqnr": "operands dB", "accumulation_sqnr": "sum dB", "rounding_sqnr": "result dB",
    "drift_sqnr": "weights over steps dB",
}  # fmt: skip
_OTHERS = {
    "gap_error": "gaps off", "cross_share": "cross term",
    "cancellation_median": "cancelled, median", "cancellation_p99": "cancelled, p99",
    "cancellation_max": "cancelled, max", "cancellation_total": "cancelled wholly",
    "digits_min": "digits, min", "digits_p1": "digits, p1",
    "digits_median": "digits, median", "fovea": "fovea", "stagnation": "stagnation",
    "versor_defect": "versor defect", "metric_change": "metric change",
    "sqnr_change": "since baseline",
}  # fmt: skip


def _details(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "format", row["format"] + (f", {row['accumulate']}" if row.get("accumulate") else "")
    for figure, name in _NAMES.items():
        if figure in row and (figure != "drift_sqnr" or value(row, figure) is not None):
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
