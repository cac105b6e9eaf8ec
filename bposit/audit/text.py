"""The report for people at a terminal, for pull requests (Markdown) and for CI (JUnit)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from math import inf, isnan
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from .gate import Gate, value
from .report import Report, firing, groups
from .source import shown

__all__ = ["decibel_text", "junit", "markdown", "number_text", "short", "title", "worst_first"]

_SHOWN = 60  # characters of a name
_ROWS = 40  # of a table
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+!|<>~&@:-])")


def worst_first(report: Report) -> list[tuple[str, dict[str, Any]]]:
    """Rows by their SQNR, those that failed first; of a model by the cumulative one."""
    figure = main_figure(report)

    def key(item: tuple[int, tuple[str, dict[str, Any]]]) -> tuple[float, int]:
        found = value(item[1][1], figure)
        if found is None:
            return inf, item[0]
        return (-inf if isnan(found) else found), item[0]

    rows = [(name, row) for name, group in groups(report) for row in group]
    return [item for _, item in sorted(enumerate(rows), key=key)]


def title(report: Report) -> str:
    """Of what it is an audit, as visible characters."""
    names = [i["name"] for i in report["inputs"]]
    if not names and report["kind"] == "expression":
        names = [layer["name"] for layer in report["layers"]]
    return ", ".join(map(shown, names)) or f"a {report['kind']}"


def main_figure(report: Report) -> str:
    """What rows are ranked by."""
    return "cumulative_sqnr" if report["kind"] == "model" else "sqnr"


_CEILINGS = {
    "cumulative_sqnr": "ceiling", "worst_sqnr": "worst_ceiling", "median_sqnr": "median_ceiling",
    "local_sqnr": "local_ceiling", "quantization_sqnr": "local_ceiling",
    "accumulation_sqnr": "local_ceiling", "rounding_sqnr": "local_ceiling",
}  # fmt: skip


def decibel_text(row: dict[str, Any], figure: str) -> str:
    """An SQNR: 61.2, exact, failed, ≥ 290, or – where there is none.

    What is beyond the reference's ceiling is no better known than that, also without any noise; an
    accumulation in a quire has none by what it is.
    """
    found = value(row, figure)
    if found is None:
        return "–"
    if isnan(found):
        return "failed"
    floor = row.get(_CEILINGS.get(figure, ""))
    by_definition = figure == "accumulation_sqnr" and row.get("accumulate") == "quire"
    if floor is not None and found > floor and not by_definition:
        return f"≥ {floor:.0f}"
    return "exact" if found == inf else f"{found:.1f}"


def number_text(x: float | None) -> str:
    """Three significant digits; integers whole."""
    if x is None:
        return "–"
    return f"{x}" if isinstance(x, int) else f"{x:.3g}"


COLUMNS = ("n", "zeros", "nonfinite", "saturated", "to_minpos", "to_zero", "infinite", "nar")


def short(name: str) -> str:
    """The first visible characters of a name."""
    found = shown(name)
    return found if len(found) <= _SHOWN else f"{found[: _SHOWN - 1]}…"


def cells(name: str, row: dict[str, Any], figure: str) -> Iterator[str]:
    """One row as text; the name as visible characters."""
    yield short(name)
    form = row["format"]
    yield f"{form}, {row['accumulate']}" if row.get("accumulate") else form
    yield decibel_text(row, figure)
    yield number_text(row["relative_max"])
    yield number_text(row["relative_p999"])
    yield number_text(row["ulps"])
    for column in COLUMNS:
        yield number_text(row[column])
    yield number_text(row.get("bytes"))


HEADINGS = ("name", "format", "SQNR dB", "relative max", "p99.9", "ulps", "n", "zeros",
            "non-finite", "saturated", "to minpos", "to zero", "±∞", "NaR", "bytes")  # fmt: skip


SUMMARY = ("format", "worst dB", "median dB", "≥ bound", "narrowest", "NaR, ±∞", "to zero",
           "saturated", "bytes")  # fmt: skip


def summary_cells(row: dict[str, Any]) -> list[str]:
    """A format over everything, as text."""
    return [
        row["format"] + (f", {row['accumulate']}" if row["accumulate"] else ""),
        decibel_text(row, "worst_sqnr"), decibel_text(row, "median_sqnr"),
        f"{row['reached']} of {row['rows']}", f"{row['narrowest']}",
        f"{row['nar'] + row['infinite']}", f"{row['to_zero']}", f"{row['saturated']}",
        f"{row['bytes']}",
    ]  # fmt: skip


def markdown(report: Report) -> str:
    """A table, worst first, and what the gate and the baseline say."""
    figure = main_figure(report)
    rows = worst_first(report)
    lines = [f"# Accuracy audit of {_md(title(report))}", ""]
    if not report["complete"]:
        lines += ["**Interrupted: this report is not complete.**", ""]
    gate = report.get("gate")
    if gate:
        verdict = f"fired for {len(gate['rows'])} rows" if gate["fired"] else "did not fire"
        lines += [f"Gate {_md(gate['fail_if'])}: **{verdict}**.", ""]
    base = report.get("baseline")
    if base:
        lines += [
            f"Against the baseline: {len(base['changed'])} changed, {base['new']} new,"
            f" {base['gone']} gone.", "",
        ]  # fmt: skip
    lines += _md_table(SUMMARY, 1, [summary_cells(row) for row in report["summary"]])
    lines += ["", "## Worst first", ""]
    lines += _md_table(HEADINGS, 2, [list(cells(*row, figure)) for row in rows[:_ROWS]])
    if len(rows) > _ROWS:
        lines += ["", f"{len(rows) - _ROWS} more rows in report.json."]
    return "\n".join(lines) + "\n"


def _md_table(headings: Sequence[str], left: int, rows: Iterable[Sequence[str]]) -> list[str]:
    """A table whose first columns are words, the others numbers."""
    made = ["| " + " | ".join(headings) + " |",
            "|" + "---|" * left + "---:|" * (len(headings) - left)]  # fmt: skip
    return made + ["| " + " | ".join(_md(c) for c in row) + " |" for row in rows]


def _md(text: str) -> str:
    """Text that Markdown shows as it is; names may hold markup."""
    return _MARKUP.sub(lambda m: f"&#{ord(m[1])};", text) if _MARKUP.search(text) else text


def junit(report: Report) -> str:
    """A test case for each row, which fails where the gate fired."""
    gate = report.get("gate")
    fired = {id(row) for _, row in firing(report, Gate.parse(gate["fail_if"]))} if gate else set()
    cases = []
    for name, rows in groups(report):
        for row in rows:
            form = row["format"] + (f" {row['accumulate']}" if row.get("accumulate") else "")
            head = f"<testcase classname={_xml(shown(name))} name={_xml(form)}"
            if gate is None or id(row) not in fired:
                cases.append(f"  {head}/>")
                continue
            told = f"{gate['fail_if']}; SQNR {decibel_text(row, main_figure(report))} dB"
            cases.append(
                f"  {head}><failure message={_xml(shown(told))}>{escape(shown(told))}</failure>"
                "</testcase>"
            )
    errors = 0 if report["complete"] else 1
    if errors:
        cases.append('  <testcase classname="audit" name="complete"><error message="interrupted"/>'
                     "</testcase>")  # fmt: skip
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuite name="bposit audit" tests="{len(cases)}" failures="{len(fired)}"'
        f' errors="{errors}">\n' + "\n".join(cases) + "\n</testsuite>\n"
    )


def _xml(text: str) -> str:
    return quoteattr(text)
