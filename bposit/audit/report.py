"""The report: one JSON document of a published schema, the same bytes for the same inputs.

No time, host or absolute path is in it; floats have nine significant digits.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from itertools import groupby
from math import isfinite, isnan
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadInput
from .formats import Format
from .gate import Gate, value
from .measure import Measured
from .source import Source
from .summary import summary

__all__ = [
    "LAYER_FIGURES", "SCHEMA_VERSION", "TENSOR_FIGURES", "Report", "build", "check_folder",
    "compare", "dumps", "firing", "groups", "judge", "load_schema", "read", "write",
]  # fmt: skip

SCHEMA_VERSION = 1
Report = dict[str, Any]

_COMMON = ("n", "zeros", "nonfinite", "saturated", "to_minpos", "to_zero", "infinite", "nar",
           "relative_max", "relative_p999", "gap_error", "ulps", "digits_min", "digits_p1",
           "digits_median", "bytes", "fovea", "sqnr_change")  # fmt: skip
TENSOR_FIGURES = frozenset({*_COMMON, "sqnr", "inexact"})
LAYER_FIGURES = frozenset(
    {
        *_COMMON, "local_sqnr", "cumulative_sqnr", "quantization_sqnr", "accumulation_sqnr",
        "rounding_sqnr", "cross_share", "cancellation_median", "cancellation_p99",
        "cancellation_max", "cancellation_total", "metric_change", "stagnation", "versor_defect",
        "drift_sqnr",
    }
)  # fmt: skip
_CURVE = range(-256, 256)


def build(
    kind: str,
    formats: Sequence[Format],
    settings: Mapping[str, Any],
    *,
    sources: Sequence[Source] = (),
    tensors: Sequence[Measured] = (),
    layers: Sequence[dict[str, Any]] = (),
    complete: bool = True,
    extra: Mapping[str, Any] | None = None,
) -> Report:
    """A report; ``kind`` is tensors, model or expression."""
    made: Report = {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "complete": complete,
        "settings": {"formats": [f.name for f in formats], **settings},
        "environment": environment(),
        "inputs": [
            {"name": path.name, "sha256": sha256, "bytes": size}
            for path, sha256, size in [
                *((s.path, s.sha256, s.bytes) for s in sources),
                *((path, *found) for s in sources for path, found in s.beside.items()),
            ]
        ],
        "formats": [_described(f) for f in formats],
        "summary": [],
        "tensors": [_tensor(t) for t in tensors],
        "layers": list(layers),
        "skipped": [
            {"file": i, "name": name, "why": why}
            for i, s in enumerate(sources)
            for name, why in s.skipped
        ],
        **(extra or {}),
    }
    made["summary"] = summary(kind, [*made["tensors"], *made["layers"]], settings["bound"])
    return rounded(made)  # type: ignore[no-any-return]


def environment() -> dict[str, str]:
    """Versions that the figures may depend on."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in ("bposit", "numpy", "ml_dtypes", "torch"):
        if name in ("bposit", "numpy") or name in sys.modules:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
    return found


def _described(f: Format) -> dict[str, Any]:
    bits = zip(_CURVE, f.fraction_bits(np.array(_CURVE)), strict=True)
    runs = [(int(b), [e for e, _ in run]) for b, run in groupby(bits, lambda pair: pair[1])]
    return {
        "name": f.name,
        "bits": f.bits,
        "largest": f.top,
        "smallest": f.bottom,
        "scaled": f.is_scaled,
        "curve": [{"from": e[0], "to": e[-1], "fraction_bits": b} for b, e in runs if b >= 0],
    }


def _tensor(t: Measured) -> dict[str, Any]:
    start, counts = t.exponents.bins
    rows = [{**row, "fraction_bits": _histogram(row["fraction_bits"])} for row in t.rows]
    return {
        "name": t.name,
        "file": t.file,
        "dtype": t.dtype,
        "shape": list(t.shape),
        "n": t.n,
        "zeros": t.zeros,
        "nonfinite": t.nonfinite,
        "largest": t.amax,
        "smallest": t.amin,
        "exponents": {"start": start, "counts": counts},
        "narrowest": t.narrowest,
        "best": t.best,
        "rows": rows,
    }


def _histogram(counts: Mapping[int, int]) -> list[dict[str, int]]:
    return [{"bits": bits, "count": count} for bits, count in counts.items()]


def rounded(x: Any) -> Any:
    """Floats to nine significant digits, non-finite ones to None, throughout."""
    if isinstance(x, Mapping):
        return {k: rounded(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [rounded(v) for v in x]
    if isinstance(x, float):
        return float(f"{x:.9g}") if isfinite(x) else None
    return x


def groups(report: Report) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The rows of each tensor, and of each layer's call, with a name to show."""
    for t in report["tensors"]:
        yield t["name"], t["rows"]
    for layer in report["layers"]:
        call = f" (call {layer['call']})" if layer.get("call") else ""
        yield f"{layer['name']}{call}", layer["rows"]


def firing(report: Report, gate: Gate) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows for which the gate fires, each with a name to show."""
    for name, rows in groups(report):
        for row in rows:
            if gate.fires(row, rows):
                yield name, row


def judge(report: Report, gate: Gate) -> bool:
    """Write down for which rows the gate fires; returns whether it does for any."""
    fired = [
        {"name": name, "format": row["format"], "accumulate": row.get("accumulate")}
        for name, row in firing(report, gate)
    ]
    report["gate"] = {"fail_if": gate.text, "fired": bool(fired), "rows": fired}
    return bool(fired)


def _keyed(report: Report) -> Iterator[tuple[tuple[str, int, str, str | None], dict[str, Any]]]:
    """Rows with what makes them the same in two reports; of equal names the first, second, …"""
    met: Counter[str] = Counter()
    for name, rows in groups(report):
        for row in rows:
            yield (name, met[name], row["format"], row.get("accumulate")), row
        met[name] += 1


def compare(report: Report, old: Report, sha256: str) -> None:
    """Give each row its ``sqnr_change`` in dB since ``old``, and list what changed."""
    figure = "cumulative_sqnr" if report["kind"] == "model" else "sqnr"
    before = dict(_keyed(old))
    changed, new = [], 0
    for key, row in _keyed(report):
        past = before.pop(key, None)
        row["sqnr_change"] = None
        if past is None:
            new += 1
            continue
        now, then = value(row, figure), value(past, figure)
        if now is None or then is None:
            continue
        same = now == then or (isnan(now) and isnan(then))
        row["sqnr_change"] = 0.0 if same else rounded(now - then)
        if not same:
            changed.append({"name": key[0], "format": row["format"],
                            "accumulate": row.get("accumulate"),
                            "before": rounded(then), "after": rounded(now)})  # fmt: skip
    report["baseline"] = {
        "sha256": sha256, "changed": changed, "new": new, "gone": len(before),
    }  # fmt: skip


def load_schema() -> dict[str, Any]:
    """The JSON Schema of a report."""
    text = files(__package__).joinpath("schema.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def dumps(report: Report) -> str:
    """As report.json has it: ASCII, so that no name plays tricks on who reads it."""
    return json.dumps(report, indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def read(path: Path) -> tuple[Report, str]:
    """An earlier report and the SHA-256 of its file; BadInput where it is none."""
    from .source import hashed

    try:
        found = json.loads(path.read_bytes())
        digest = hashed(path)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: no report.json: {error}") from None
    try:
        _ = found["kind"]
        if found["schema_version"] != SCHEMA_VERSION:
            raise BadInput(
                f"{path}: schema version {found['schema_version']!r}; this is {SCHEMA_VERSION}"
            )
        for name, rows in groups(found):
            for row in rows:
                mode = row.get("accumulate")
                words = name, row["format"], "" if mode is None else mode
                if not all(isinstance(word, str) for word in words):
                    raise TypeError
                _ = value(row, "sqnr"), value(row, "cumulative_sqnr")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{path}: it is no report of bposit audit") from None
    return found, digest


def check_folder(folder: Path) -> None:
    """Raise BadInput, before any work, where :func:`write` could not make or use a folder."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise BadInput(f"{folder}: no folder can be written there")


def write(report: Report, folder: Path | str) -> list[Path]:
    """Write report.json, report.md, junit.xml and report.html into a folder, each at once or not.

    Raises BadInput where the folder cannot be written.
    """
    from . import text

    target = Path(folder)
    made = {"report.json": dumps(report), "report.md": text.markdown(report),
            "junit.xml": text.junit(report)}  # fmt: skip
    try:
        from .page import html
    except ImportError:
        pass
    else:
        made["report.html"] = html(report)
    try:
        target.mkdir(parents=True, exist_ok=True)
        return [_replace(target / name, content) for name, content in made.items()]
    except OSError as error:
        raise BadInput(f"{target}: {error.strerror or error}") from None


def _replace(path: Path, content: str) -> Path:
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
