"""Does a network learn as well in bposit16 with residues as in float32? ``python -m bench.digits``

Handwritten digits (1797 images of 8×8, in scikit-learn), a perceptron 64-128-10, SGD with momentum,
30 epochs; five seeds, and for each five folds: 25 pairs of runs that share the split, the first
weights and the order of the samples. The arms differ in arithmetic alone. No hyperparameter was
chosen for one of them: rate and momentum are what float32 likes.

Weights without residues are the control: they lose updates that round back.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from math import sqrt
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from . import _machine

ARMS = ("float32", "bposit16, residue", "bposit16, nearest")
SEEDS, FOLDS = 5, 5
HIDDEN, BATCH, RATE, MOMENTUM = 128, 64, 0.05, 0.9


def accuracies(seed: int, fold: int, epochs: int) -> dict[str, float]:
    """Share of the fold's digits that each arm knows after training on the others."""
    import torch
    from sklearn.datasets import load_digits
    from sklearn.model_selection import StratifiedKFold
    from torch import nn

    torch.set_num_threads(1)
    images, labels = load_digits(return_X_y=True)
    split = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    train, test = list(split.split(images, labels))[fold]
    x, y = torch.from_numpy(images / 16.0), torch.from_numpy(labels)
    torch.manual_seed(100 * seed + fold)
    first = nn.Sequential(nn.Linear(64, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))
    orders = [np.random.default_rng([seed, fold, e]).permutation(train) for e in range(epochs)]
    return {arm: _accuracy(arm, copy.deepcopy(first), x, y, orders, test) for arm in ARMS}


def _accuracy(  # noqa: PLR0917
    arm: str, model: Any, x: Any, y: Any, orders: list[Any], test: Any
) -> float:
    import torch
    from torch.nn import functional

    import torch_bridge as tb

    name, _, update = arm.partition(", ")
    if name == "float32":
        x = x.float()
        make: Callable[..., Any] = torch.optim.SGD
        options = {}
    else:
        tb.convert_(model, name)
        make, options = tb.optim.PositSGD, {"update": update}
    optimizer = make(model.parameters(), lr=RATE, momentum=MOMENTUM, **options)
    for order in orders:
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            optimizer.zero_grad()
            functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        return float((model(x[test]).argmax(1) == y[test]).double().mean())


def _row(of: dict[str, list[float]], arm: str) -> str:
    """Mean accuracy, and the mean paired difference to float32 with its interval."""
    from scipy.stats import t

    points = 100 * np.array(of[arm])
    difference = points - 100 * np.array(of[ARMS[0]])
    n = len(points)
    # folds share their training data: the variance of the mean is corrected for that overlap
    # (Nadeau and Bengio, 2003), test over train being 1 to FOLDS - 1
    error = float(difference.std(ddof=1)) * sqrt(1 / n + 1 / (FOLDS - 1))
    half = float(t.ppf(0.975, n - 1)) * error
    paired = "" if arm == ARMS[0] else f"{difference.mean():+.2f} ± {half:.2f}"
    return f"| {arm} | {points.mean():.2f} | {points.std(ddof=1):.2f} | {paired} |"


def main(
    epochs: Annotated[int, typer.Option(min=1)] = 30,
    seeds: Annotated[int, typer.Option(min=1)] = SEEDS,
    processes: Annotated[int, typer.Option(min=1)] = 2,
    out: Annotated[Path, typer.Option(help="Folder for digits.md and digits.json.")] = Path(
        "bench/results"
    ),
) -> None:
    """Train every arm on every fold from every seed, and compare in pairs."""
    if not out.is_dir():
        raise typer.BadParameter(f"there is no folder {out}")
    cells = [(seed, fold) for seed in range(seeds) for fold in range(FOLDS)]
    found: dict[str, list[float]] = {arm: [] for arm in ARMS}
    with ProcessPoolExecutor(processes) as pool:
        runs = [pool.submit(accuracies, *cell, epochs) for cell in cells]
        for run in track(runs, "training …", console=Console(stderr=True)):
            for arm, value in run.result().items():
                found[arm].append(value)
    machine = _machine.describe(0, None, processes)
    text = ["# Digits: bposit16 with residues beside float32", ""]
    text += [f"- {key}: {machine[key]}" for key in ("machine", "packages", "commit", "date")]
    text += ["", f"{seeds} seeds × {FOLDS} folds, {epochs} epochs; percent of the test digits.", ""]
    text += ["| arm | mean | deviation | less float32, in pairs, 95 % |", "|---|--:|--:|--:|"]
    text += [_row(found, arm) for arm in ARMS]
    text += ["", "The interval is a t interval with the variance corrected for folds that share"]
    text += ["training data (Nadeau and Bengio, 2003)."]
    (out / "digits.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    (out / "digits.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    Console().print("\n".join(text[-7:]), highlight=False)


if __name__ == "__main__":
    typer.run(main)
