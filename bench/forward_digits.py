"""How well do forward gradients train, honestly? ``python -m bench.forward_digits``

Handwritten digits (1797 images of 8×8, in scikit-learn), a perceptron 64-64-10 in float32, plain
SGD, a quarter of the images for testing. Four ways to a step: backpropagation; a forward gradient
of one direction in the weights (``forward.Trainer``); one with noise in the activations; and SPSA,
two losses at weights ± ε·v, with the same batch and in the same memory: what it saves beside the
forward gradient goes into a larger batch. Each gets the learning rate, of one grid, that is best
after as many steps for three seeds that are not used again. Then every seed draws the split, the
first weights, the batches and the directions. Accuracy is read after equal steps, and after equal
CPU time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from math import sqrt
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn

from torch_bridge.adaptive import forward
from torch_bridge.adaptive._layers import plan_of
from torch_bridge.adaptive._passes import leaf_tangent

from . import _machine
from .forward_memory import peak

BATCH, HIDDEN, EPSILON = 64, 64, 1e-3
RATES = tuple(10.0 ** (e / 4) for e in range(-12, 1))
TUNING = (1000, 1001, 1002)  # seeds
Data = tuple[Tensor, Tensor]
Step = Callable[[Data], object]


def loss(output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of each sample."""
    return -output.log_softmax(-1).gather(-1, target[:, None])[:, 0]


def build() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))


def _backpropagation(model: nn.Module, rate: float, seed: int) -> Step:
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)

    def step(batch: Data) -> None:
        optimizer.zero_grad()
        loss(model(batch[0]), batch[1]).mean().backward()
        optimizer.step()

    return step


def _weights(model: nn.Module, rate: float, seed: int) -> Step:
    return forward.Trainer(model, loss, lr=rate, seed=seed).step


def _activations(model: nn.Module, rate: float, seed: int) -> Step:
    optimizer, count = torch.optim.SGD(model.parameters(), lr=rate), iter(range(1 << 62))

    def step(batch: Data) -> None:
        found = forward.gradient(
            model, loss, batch, perturb="activations", seed=seed, step=next(count)
        )
        found.write(model)
        optimizer.step()

    return step


def _spsa(model: nn.Module, rate: float, seed: int) -> Step:
    """Spall (1992), with directions made again from seeds as in MeZO (Malladi et al., 2023)."""
    leaves, count = plan_of(model).leaves, iter(range(1 << 62))

    @torch.no_grad()
    def move(direction: int, by: float) -> None:
        for leaf in leaves:
            for rows, part in leaf_tangent(leaf, direction, "normal").blocks():
                leaf.parameter[rows].add_(part, alpha=by)

    @torch.no_grad()
    def step(batch: Data) -> None:
        direction = (seed << 32) + next(count)
        values = []
        for by in (EPSILON, -2 * EPSILON):
            move(direction, by)
            values.append(float(loss(model(batch[0]), batch[1]).mean()))
        slope = (values[0] - values[1]) / (2 * EPSILON)
        move(direction, EPSILON - rate * slope)

    return step


ARMS: dict[str, Callable[[nn.Module, float, int], Step]] = {
    "backpropagation": _backpropagation,
    "forward, weights": _weights,
    "forward, activations": _activations,
    "SPSA": _spsa,
    "SPSA, equal memory": _spsa,
}


def _split(seed: int) -> tuple[Data, Data]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    x, y = torch.from_numpy(images / 16.0).float(), torch.from_numpy(labels)
    train, test = train_test_split(np.arange(len(y)), stratify=y, random_state=seed)
    return (x[train], y[train]), (x[test], y[test])


def _accuracy(model: nn.Module, of: Data) -> float:
    with torch.no_grad():
        return float((model(of[0]).argmax(1) == of[1]).double().mean())


def _batches(train: Data, size: int, seed: int) -> Iterator[Data]:
    rng = np.random.default_rng(seed)
    while True:
        rows = torch.from_numpy(rng.choice(len(train[1]), size, replace=False))
        yield train[0][rows], train[1][rows]


def learn(  # noqa: PLR0917
    arm: str, rate: float, seed: int, size: int, steps: int, seconds: float
) -> dict[str, float]:
    """Accuracy after so many steps and after so much CPU time; and what a step took."""
    train, test = _split(seed)
    torch.manual_seed(seed)
    model = build()
    step = ARMS[arm](model, rate, seed)
    found: dict[str, float] = {}
    spent, done = 0.0, 0
    for batch in _batches(train, size, seed):
        start = time.process_time()
        try:
            step(batch)
        except FloatingPointError:  # diverged: a rate for none
            return {"steps": 0.0}
        spent, done = spent + time.process_time() - start, done + 1
        if done == steps:
            found["steps"], found["ms"] = _accuracy(model, test), 1e3 * spent / done
        if spent >= seconds and "time" not in found:
            found["time"], found["done"] = _accuracy(model, test), done
        if done >= steps and spent >= seconds:
            return found
    raise AssertionError


def memory(arm: str) -> int:
    """Bytes of torch's that a step takes above weights and batch, at the batch of the bench."""
    torch.manual_seed(0)
    model, (train, _) = build(), _split(0)
    step = ARMS[arm](model, 1e-4, 0)
    batch = next(_batches(train, BATCH, 0))
    step(batch)
    return peak(lambda: step(batch))[0]


def _interval(values: list[float]) -> str:
    from scipy.stats import t

    points = 100 * np.array(values)
    half = float(t.ppf(0.975, len(points) - 1) * points.std(ddof=1)) / sqrt(len(points))
    return f"{points.mean():.1f} ± {half:.1f}"


def main(
    steps: Annotated[int, typer.Option(min=1)] = 2000,
    seconds: Annotated[float, typer.Option(help="CPU time of a run.")] = 5.0,
    seeds: Annotated[int, typer.Option(min=2)] = 5,
    out: Annotated[Path, typer.Option(help="Folder for forward_digits.md and .json.")] = Path(
        "bench/results"
    ),
) -> None:
    """Choose rates, train every arm from every seed, and write what came of it."""
    torch.set_num_threads(1)
    bytes_of = {arm: memory(arm) for arm in ARMS}
    sizes = dict.fromkeys(ARMS, BATCH)
    sizes["SPSA, equal memory"] = int(BATCH * bytes_of["forward, weights"] / bytes_of["SPSA"])
    result: dict[str, Any] = {"steps": steps, "seconds": seconds, "batch": sizes}
    result |= {"bytes": bytes_of, "arms": {}}
    with Progress(console=Console(stderr=True)) as progress:
        total = len(ARMS) * (len(RATES) * len(TUNING) + seeds)
        task = progress.add_task("training …", total=total)
        for arm in ARMS:
            tried = {}
            for rate in RATES:
                found = []
                for seed in TUNING:
                    found.append(learn(arm, rate, seed, sizes[arm], steps, 0.0)["steps"])
                    progress.advance(task)
                tried[rate] = float(np.mean(found))
            best = max(tried, key=lambda r: tried[r])
            runs = []
            for seed in range(seeds):
                runs.append(learn(arm, best, seed, sizes[arm], steps, seconds))
                progress.advance(task)
            result["arms"][arm] = {"rate": best, "tried": list(tried.values()), "runs": runs}
    machine = _machine.describe(0, None, 1)
    text = ["# Digits: forward gradients beside backpropagation and SPSA", ""]
    text += [f"- {key}: {machine[key]}" for key in ("machine", "packages", "commit", "date")]
    text += ["", f"{seeds} seeds; percent of the test digits with 95 % t intervals, after {steps}"]
    text += [f"steps and after {seconds:g} seconds of CPU time. Rates were chosen by the accuracy"]
    text += ["after as many steps, the mean for three seeds that are not among these."]
    text += [
        "",
        "| arm | batch | rate | equal steps | equal time | steps in that time | ms a step |",
    ]
    text += ["|---|--:|--:|--:|--:|--:|--:|"]
    for arm, of in result["arms"].items():
        runs = of["runs"]
        cells = [arm, sizes[arm], f"{of['rate']:.2g}"]
        cells += [_interval([r[what] for r in runs]) for what in ("steps", "time")]
        cells += [f"{np.mean([r['done'] for r in runs]):.0f}"]
        cells += [f"{np.mean([r['ms'] for r in runs]):.2f}"]
        text.append("| " + " | ".join(map(str, cells)) + " |")
    (out / "forward_digits.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    (out / "forward_digits.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    Console().print("\n".join(text), highlight=False)


if __name__ == "__main__":
    typer.run(main)
