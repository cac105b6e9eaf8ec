"""A report in a few lines: each format over all tensors, or all layers in the last step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isnan
from typing import Any

from .gate import value

__all__ = ["summary"]

_TOTALS = ("bytes", "saturated", "to_zero", "infinite", "nar")
_Rows = Sequence[tuple[str, Mapping[str, Any]]]


def summary(kind: str, subjects: Sequence[Mapping[str, Any]], bound: float) -> list[dict[str, Any]]:
    """One row for each format and way of accumulating, in the order in which they are first met.

    ``worst_sqnr`` and ``median_sqnr`` are of the cumulative SQNR for a model; a failed one is below
    and an exact one above all others, and of an even number the lower is the median.
    """
    figure = "cumulative_sqnr" if kind == "model" else "sqnr"
    last = max((s.get("step", 0) for s in subjects), default=0)
    chosen = [s for s in subjects if s.get("step", 0) == last]
    grouped: dict[tuple[str, str | None], list[tuple[str, Mapping[str, Any]]]] = {}
    for s in chosen:
        for row in s["rows"]:
            grouped.setdefault((row["format"], row.get("accumulate")), []).append((s["name"], row))
    best = [s["narrowest"] for s in chosen]
    return [
        {"format": name, "accumulate": mode, **_of(rows, figure, bound),
         "narrowest": best.count(name)}
        for (name, mode), rows in grouped.items()
    ]  # fmt: skip


def _of(rows: _Rows, figure: str, bound: float) -> dict[str, Any]:
    ranked = sorted(rows, key=lambda item: _rank(item[1], figure))
    found: dict[str, Any] = {"rows": len(rows), "worst": ranked[0][0]}
    prefix = figure.removesuffix("sqnr")
    for name, (_, row) in (("worst", ranked[0]), ("median", ranked[(len(ranked) - 1) // 2])):
        found[f"{name}_sqnr"] = row[figure]
        found |= {f"{name}_{k}": row[f"{prefix}{k}"] for k in ("exact", "failed")}
        found[f"{name}_ceiling"] = row.get("ceiling")
    found["reached"] = sum(_rank(row, figure) >= bound for _, row in rows)
    return found | {k: sum(int(row[k]) for _, row in rows) for k in _TOTALS}


def _rank(row: Mapping[str, Any], figure: str) -> float:
    found = value(row, figure)
    return -inf if found is None or isnan(found) else found
