"""What the demo found: tables, a verdict, pictures, and everything as JSON."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
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

from . import curves
from .arms import ARMS, Memory
from .study import WAYS, Sample, Study

__all__ = ["memory_table", "proof_table", "score_table", "verdict", "write"]

Kept = dict[str, dict[str, float]]  # format -> "fewest" decimals, "share_below_2"

_PACKAGES = ("bposit", "torch", "numpy", "scikit-learn", "matplotlib", "ml_dtypes")
_FEW = 2.0  # decimals: a number that keeps fewer is counted as poorly kept
_PLACES = {"digits": 1, "text": 3}  # decimals of a score


def score_table(study: Study) -> Table:
    """Scores on test data and time of a run, a row for each arithmetic."""
    table = _table("", *(f"{t}, {task.unit}" for t, task in study.tasks.items()), "CPU s a run")
    for arm in ARMS:
        runs = {task: study.runs[task, arm] for task in study.tasks}
        cells = [_spread(study, task, arm) for task in runs]
        seconds = (f"{fmean(run.seconds for run in found):.1f}" for found in runs.values())
        table.add_row(arm, *cells, " + ".join(seconds))
    return table


def memory_table(study: Study, task: str) -> Table:
    """Kilobytes that training one network keeps beside its activations."""
    found = {arm: _memory(study, task, arm) for arm in ARMS}
    table = _table("kB", *found)

    def row(label: str, show: Callable[[Memory], int]) -> None:
        sizes = (show(m) / 1000 for m in found.values())
        table.add_row(label, *(f"{size:.0f}" if size else "-" for size in sizes))

    row("weights", lambda m: m.weights)
    row("residues", lambda m: m.residues)
    row("moments", lambda m: m.moments)
    row("gradients", lambda m: m.gradients)
    return table


def proof_table(study: Study, task: str, digits: int = 8) -> Table:
    """First digits of the weights' hash for each way of summing; = where it is the first one's."""
    table = _table(task, *ARMS)
    for i, way in enumerate(WAYS):
        cells = []
        for arm in ARMS:
            hashes = study.hashes[task, arm]
            same = hashes[i] == hashes[0]
            sign = " " if i == 0 else "=" if same else "≠"
            cells.append(f"[{'green' if same else 'red'}]{sign} {hashes[i][:digits]}[/]")
        table.add_row(way.label, *cells)
    return table


def _table(corner: str, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(corner)
    for name in columns:
        table.add_column(name, justify="right")
    return table


def _scores(study: Study, task: str, arm: str) -> list[float]:
    return [run.score for run in study.runs[task, arm] if run.score is not None]


def _spread(study: Study, task: str, arm: str) -> str:
    values, places = _scores(study, task, arm), _PLACES[task]
    return f"{fmean(values):.{places}f} ± {stdev(values):.{places}f}"


def _memory(study: Study, task: str, arm: str) -> Memory:
    found = study.runs[task, arm][0].memory
    assert found is not None
    return found


def verdict(study: Study) -> list[str]:
    """A sentence about each arithmetic, read off the hashes."""
    sentences = []
    for name, arm in ARMS.items():
        counts = {task: len(set(study.hashes[task, name])) for task in study.tasks}
        if max(counts.values()) == 1:
            chance = "" if arm.exact else "; it happened so, nothing guarantees it"
            sentences.append(
                f"{name}: the same weights, bit for bit, in all {len(WAYS)} ways{chance}."
            )
        else:
            cause = "the sums are not exact: a defect" if arm.exact else "rounding saw the order"
            found = ", ".join(f"{count} of {task}" for task, count in counts.items())
            sentences.append(f"{name}: different weights in {len(WAYS)} ways, {found}; {cause}.")
    return sentences


def write(study: Study, out: Path) -> list[Path]:
    """Draw the pictures, and write them and result.json to ``out``."""
    assert study.sample is not None
    kept = _kept_by(study.sample)
    samples = {"trained weights": study.sample.weights, "gradients": study.sample.gradients}
    result = out / "result.json"
    text = json.dumps(_as_json(study) | {"decimals_kept": kept}, indent=1, ensure_ascii=False)
    result.write_text(text + "\n", encoding="utf-8")
    return [
        *figure.save(_loss_picture(study), out / "loss"),
        *figure.save(figure.draw(samples, *_captions(kept)), out / "accuracy"),
        result,
    ]


def _loss_picture(study: Study) -> Any:
    losses = {
        task: {arm: np.array([run.losses for run in study.runs[task, arm]]) for arm in ARMS}
        for task in study.tasks
    }
    sizes = {task: f"{_memory(study, task, 'float32').numbers:,} weights" for task in losses}
    titles = {"digits": "Handwritten digits, convolutional net", "text": "English, Transformer"}
    titles = {task: f"{title}, {sizes[task]}" for task, title in titles.items()}
    best = {arm: fmean(_scores(study, "text", arm)) for arm in ("float32", "bposit16")}
    title = (
        f"Trained in bposit16 alone: {best['bposit16']:.2f} bits per character, in float32"
        f" {best['float32']:.2f}"
    )
    return curves.draw(losses, titles, title)


def _kept_by(sample: Sample) -> dict[str, Kept]:
    """How well each format keeps a network's numbers that are not zero."""
    formats = {name: figure.Accuracy.of(f) for name, f in figure.formats().items()}

    def measure(x: npt.NDArray[np.float64]) -> Kept:
        decimals = {name: curve.at(x[x != 0]) for name, curve in formats.items()}
        return {
            name: {"fewest": float(d.min()), "share_below_2": float((d < _FEW).mean())}
            for name, d in decimals.items()
        }

    return {"trained weights": measure(sample.weights), "gradients": measure(sample.gradients)}


def _captions(kept: Mapping[str, Kept]) -> tuple[str, str]:
    """Title and subtitle of the picture, from what each format keeps of each sample."""
    weights, gradients = kept.values()
    ours = "bposit16"
    least = {name: floor(10 * k["fewest"]) / 10 for name, k in weights.items()}
    others = ", ".join(f"{name} ≥ {d}" for name, d in least.items() if name != ours)
    poor = ", ".join(f"{name} {100 * k['share_below_2']:.1f} %" for name, k in gradients.items())
    return (
        f"{ours} keeps ≥ {least[ours]} decimals of every weight,"
        f" ≥ {floor(10 * gradients[ours]['fewest']) / 10} of every gradient",
        f"Of every weight the others keep: {others}.\n"
        f"A batch's gradients with fewer than {_FEW:.0f} decimals: {poor}.",
    )


def _as_json(study: Study) -> dict[str, Any]:
    """Every number found, and what is needed to find it again."""
    return {
        "seeds": [study.seed + i for i in range(study.scale.seeds)],
        "arithmetic": {name: arm.note for name, arm in ARMS.items()},
        "tasks": {
            task: {
                "data": {"train": len(data.targets), "test": data.test_targets.numel()},
                "plan": asdict(study.scale.plans[task]),
                "score": data.unit,
                "results": {arm: _found(study, task, arm) for arm in ARMS},
                "summed_again": {
                    "steps": study.scale.again[task],
                    "weights_sha256": [
                        asdict(way) | {arm: study.hashes[task, arm][i] for arm in ARMS}
                        for i, way in enumerate(WAYS)
                    ],
                },
            }
            for task, data in study.tasks.items()
        },
        "verdict": verdict(study),
        "text": study.sample.lines if study.sample else [],
        "versions": {"python": platform.python_version()} | {p: version(p) for p in _PACKAGES},
    }


def _found(study: Study, task: str, arm: str) -> dict[str, Any]:
    scores = _scores(study, task, arm)
    return {
        "score_mean": fmean(scores),
        "score_sd": stdev(scores),
        "bytes": asdict(_memory(study, task, arm)),
        "runs": [
            {
                "score": run.score,
                "cpu_seconds": round(run.seconds, 2),
                "losses": [round(x, 5) for x in run.losses],
            }
            for run in study.runs[task, arm]
        ],
    }
