"""What the demo found: tables, a verdict, a picture, and everything as JSON."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from math import floor
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt
from rich import box
from rich.table import Table

from bposit import figure

from .study import Score, Study
from .training import Trained

__all__ = ["accuracy_table", "proof_table", "verdict", "write"]

Kept = dict[str, dict[str, float]]  # format -> "fewest" decimals, "share_below_2"

_PACKAGES = ("bposit", "numpy", "scikit-learn", "matplotlib", "ml_dtypes")
_FEW = 2.0  # decimals: a number that keeps fewer is counted as poorly kept


def accuracy_table(study: Study) -> Table:
    """Accuracy, size, lost updates, time and hash, a column for each arithmetic."""
    table = _table("", study)
    all_scores = [found.scores for found in study.found.values()]

    def row(label: str, show: Callable[[list[Score]], str]) -> None:
        table.add_row(label, *map(show, all_scores))

    row("train %", lambda scores: _spread([100 * s.train_accuracy for s in scores]))
    row("test %", lambda scores: _spread([100 * s.test_accuracy for s in scores]))
    sizes = (str(found.bytes_per_parameter) for found in study.found.values())
    table.add_row("bytes per parameter", *sizes)
    row("updates lost %", lambda scores: f"{100 * fmean(s.updates_lost for s in scores):.0f}")
    row("seconds a run", lambda scores: f"{fmean(s.seconds for s in scores):.2f}")
    row("weight hash", lambda scores: scores[0].weights_sha256[:8])
    return table


def proof_table(study: Study, digits: int = 8) -> Table:
    """First digits of the weights' hash for each way of summing; = where it is the first one's."""
    table = _table("gradient summed", study)
    for i, way in enumerate(study.ways):
        cells = []
        for found in study.found.values():
            same = found.hashes[i] == found.hashes[0]
            sign = " " if i == 0 else "=" if same else "≠"
            cells.append(f"[{'green' if same else 'red'}]{sign} {found.hashes[i][:digits]}[/]")
        table.add_row(way.label, *cells)
    return table


def _table(corner: str, study: Study) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(corner)
    for name in study.found:
        table.add_column(name, justify="right")
    return table


def _spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.1f} ± {stdev(values):.1f}"


def verdict(study: Study) -> list[str]:
    """A sentence about each arithmetic, read off the hashes."""
    ways = len(study.ways)
    sentences = []
    for name, found in study.found.items():
        exact = name == study.arms[0].name
        if found.distinct == 1:
            chance = "" if exact else "; it happened so, nothing guarantees it"
            sentences.append(f"{name}: the same weights, bit for bit, in all {ways} ways{chance}.")
        else:
            cause = "the sums are not exact: a defect" if exact else "rounding saw the order"
            sentences.append(f"{name}: {found.distinct} different weights in {ways} ways; {cause}.")
    return sentences


def write(study: Study, trained: Trained, out: Path) -> list[Path]:
    """Draw the picture of a trained network's numbers, write it and result.json to ``out``."""
    decode = trained.arithmetic.decode
    samples = {
        "trained weights": trained.weights(),
        "gradients": np.concatenate([decode(g).reshape(-1) for g in trained.gradients]),
    }
    kept = {name: _kept(x[x != 0]) for name, x in samples.items()}
    picture = figure.draw(samples, *_captions(trained.arithmetic.name, kept))
    result = out / "result.json"
    text = json.dumps(_as_json(study) | {"decimals_kept": kept}, indent=1, ensure_ascii=False)
    result.write_text(text + "\n", encoding="utf-8")
    return [*figure.save(picture, out / "accuracy"), result]


def _kept(x: npt.NDArray[np.float64]) -> Kept:
    """How well each format keeps the numbers x."""
    curves = {name: figure.Accuracy.of(f) for name, f in figure.formats().items()}
    decimals = {name: curve.at(x) for name, curve in curves.items()}
    return {
        name: {"fewest": float(d.min()), "share_below_2": float((d < _FEW).mean())}
        for name, d in decimals.items()
    }


def _captions(ours: str, kept: Mapping[str, Kept]) -> tuple[str, str]:
    """Title and subtitle of the picture, from what each format keeps of each sample."""
    weights, gradients = kept.values()
    least = {name: floor(10 * k["fewest"]) / 10 for name, k in weights.items()}
    others = ", ".join(f"{name} ≥ {d}" for name, d in least.items() if name != ours)
    poor = ", ".join(f"{name} {100 * k['share_below_2']:.1f} %" for name, k in gradients.items())
    return (
        f"{ours} keeps ≥ {least[ours]} decimals of every weight,"
        f" ≥ {floor(10 * gradients[ours]['fewest']) / 10} of every gradient",
        f"Of every weight the others keep: {others}.\n"
        f"The last epoch's gradients with fewer than {_FEW:.0f} decimals: {poor}.",
    )


def _as_json(study: Study) -> dict[str, Any]:
    """Every number found, and what is needed to find it again."""
    return {
        "data": {
            "name": "scikit-learn digits",
            "train_images": len(study.data.train_y),
            "test_images": len(study.data.test_y),
        },
        "plan": asdict(study.plan),
        "seeds": list(study.seeds),
        "formats": {
            name: {
                "arithmetic": found.note,
                "bytes_per_parameter": found.bytes_per_parameter,
                "test_accuracy_mean": fmean(s.test_accuracy for s in found.scores),
                "test_accuracy_sd": stdev(s.test_accuracy for s in found.scores),
                "runs": [asdict(s) for s in found.scores],
            }
            for name, found in study.found.items()
        },
        "ways_of_summing": [
            asdict(way) | {"weights_sha256": {n: f.hashes[i] for n, f in study.found.items()}}
            for i, way in enumerate(study.ways)
        ],
        "different_weights": {name: found.distinct for name, found in study.found.items()},
        "verdict": verdict(study),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in _PACKAGES},
    }
