"""Spiking neurons that learn by STDP, beside k-means: ``python -m bench.spiking``

Handwritten digits (1797 images of 8×8, in scikit-learn), a quarter of them for the test. 50 neurons
of :class:`torch_bridge.adaptive.spiking.WinnerTakeAll` learn from spikes alone; labels of the
training images name the neurons afterwards, as they name the 50 centres of k-means. An arm differs
from the others in arithmetic alone: same split, spikes, first weights and order for a seed.

What the constants are was chosen in float32 on seeds 100 and 101. ``--draw`` also draws docs/img.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from . import _machine

ARMS = ("float32", "bposit16", "bposit32")
RULE = {"rise": 1.0, "fall": 0.025, "tau_plus": 2.0, "tau_minus": 8.0}
NEURONS, STEPS, BATCH, EPOCHS = 50, 16, 16, 5
LEAK, THRESHOLD, TARGET = 0.97, 60.0, 1.5
RATE, HOMEOSTASIS = 0.04, 1.0
INK, FAINT = "#30343A", "#9AA1AB"
MARKS: dict[str, dict[str, Any]] = {
    "bposit16": {"marker": "o", "color": "#0072B2", "markersize": 6, "markerfacecolor": "none"},
    "bposit32": {"marker": "x", "color": "#C75300", "markersize": 4},
}


def accuracies(seed: int, epochs: int) -> dict[str, float]:
    """Share of the test digits that k-means and each arm know."""
    import torch
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    torch.set_num_threads(1)
    x, y = load_digits(return_X_y=True)
    parts = train_test_split(x / 16.0, y, test_size=0.25, stratify=y, random_state=seed)
    found = {"k-means": _k_means(*parts, seed)}
    for arm in ARMS:
        found[arm], found[f"{arm}, seconds"] = _spiking(arm, *parts, seed, epochs)
    return found


def _k_means(train: Any, test: Any, labels: Any, wanted: Any, seed: int) -> float:
    """Each centre is named by most of its training images."""
    from sklearn.cluster import KMeans

    made = KMeans(NEURONS, n_init=10, random_state=seed).fit(train)
    names = [np.bincount(labels[made.labels_ == k], minlength=10).argmax() for k in range(NEURONS)]
    return float((np.array(names)[made.predict(test)] == wanted).mean())


def _spiking(  # noqa: PLR0917
    arm: str, train: Any, test: Any, labels: Any, wanted: Any, seed: int, epochs: int
) -> tuple[float, float]:
    """Accuracy, and seconds of CPU that learning took."""
    import torch

    from torch_bridge.adaptive import spiking
    from torch_bridge.optim import PositSGD

    spec = None if arm == "float32" else arm
    random = torch.Generator().manual_seed(seed)
    layer = spiking.WinnerTakeAll(
        128, NEURONS, rule=spiking.STDP(**RULE), leak=LEAK, threshold=THRESHOLD,
        target=TARGET, spec=spec, generator=random,
    )  # fmt: skip
    groups = [
        {"params": [layer.weight], "lr": RATE},
        {"params": [layer.threshold], "lr": HOMEOSTASIS},
    ]
    optimizer = torch.optim.SGD(groups) if spec is None else PositSGD(groups)
    spiking.keep_within(optimizer, [layer.weight], 0.0, 1.0)

    def coded(images: Any) -> Any:
        return spiking.rate_code(torch.from_numpy(images), STEPS, generator=random)

    started = time.process_time()
    for _ in range(epochs):
        order = torch.randperm(len(train), generator=random).numpy()
        for start in range(0, len(order), BATCH):
            spikes = coded(train[order[start : start + BATCH]])
            optimizer.zero_grad()
            layer.deposit(spikes, layer(spikes))
            optimizer.step()
    seconds = time.process_time() - started
    names = spiking.name_neurons(layer(coded(train)).sum(1), torch.from_numpy(labels), 10)
    said = spiking.votes(layer(coded(test)).sum(1), names, 10)
    return float((said.numpy() == wanted).mean()), seconds


def window(arm: str, reach: int) -> tuple[Any, Any]:
    """Δt, and what one pair of spikes that far apart changes, measured in traces."""
    import torch

    from torch_bridge.adaptive.spiking import STDP, Eligibility

    lags = torch.arange(-reach, reach + 1)
    weight = torch.zeros(1, len(lags), dtype=torch.float32 if arm == "float32" else torch.float64)
    spec = None if arm == "float32" else arm
    trace = Eligibility(weight, STDP(**RULE), spec=spec, exact=spec is not None)
    pre = torch.zeros(1, 2 * reach + 1, len(lags), dtype=torch.bool)
    pre[0, reach - lags, torch.arange(len(lags))] = True  # each input once, the neuron in between
    post = torch.zeros(1, 2 * reach + 1, 1, dtype=torch.bool)
    post[0, reach] = True
    trace.add_spikes(pre, post)
    return lags.numpy(), trace.value[0].numpy()


def draw(found: Mapping[str, list[float]], file: Path) -> None:
    """The learning window as measured, and each seed's accuracy."""
    import torch
    from matplotlib.figure import Figure

    from torch_bridge.adaptive.spiking import STDP

    figure = Figure(figsize=(9, 3.6), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    near = torch.linspace(1e-3, 14, 300)
    for side in (near, -near):
        left.plot(side, STDP(**RULE).window(side).abs(), color=INK, linewidth=1)
    for arm, how in MARKS.items():
        lag, change = window(arm, 14)
        left.plot(lag[lag != 0], abs(change[lag != 0]), linestyle="", label=arm, **how)
    left.axvline(0, color=FAINT, linewidth=0.6)
    left.set_yscale("log")
    left.set(xlabel="Δt: steps from the input's spike to the neuron's", ylabel="|change of weight|")
    left.text(-13.5, 0.5, "weaker", color=INK)
    left.text(9.5, 0.5, "stronger", color=INK)
    left.set_title("one pair of spikes: the formula, and as measured", loc="left", fontsize=10)
    left.legend(frameon=False, fontsize=8, loc="lower left")
    arms = ("k-means", *ARMS)
    for k, arm in enumerate(arms):
        points = 100 * np.array(found[arm])
        right.plot(np.full(len(points), k), points, "o", color=FAINT, markersize=3)
        right.errorbar(
            k, points.mean(), _half(points), fmt="_", color=INK, capsize=4, markersize=16
        )
    right.set_xticks(range(len(arms)), arms)
    right.set_title(f"% of test digits, {NEURONS} prototypes", loc="left", fontsize=10)
    for panel in (left, right):
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=110)


def _row(found: Mapping[str, list[float]], arm: str) -> str:
    """Mean accuracy with its interval, and the mean difference to float32 in pairs with its."""
    points = 100 * np.array(found[arm])
    apart = points - 100 * np.array(found["float32"])
    paired = "" if arm == "float32" else f"{apart.mean():+.1f} ± {_half(apart):.1f}"
    spent = found.get(f"{arm}, seconds")
    seconds = "" if spent is None else f"{np.mean(spent):.1f}"
    return f"| {arm} | {points.mean():.1f} ± {_half(points):.1f} | {paired} | {seconds} |"


def _half(points: Any) -> float:
    """Half of the 95 % t interval of the mean."""
    from scipy.stats import t

    return float(t.ppf(0.975, len(points) - 1) * points.std(ddof=1) / sqrt(len(points)))


def main(
    epochs: Annotated[int, typer.Option(min=1)] = EPOCHS,
    seeds: Annotated[int, typer.Option(min=2)] = 10,
    image: Annotated[Path | None, typer.Option("--draw", help="A file for the picture.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for spiking.md and spiking.json.")] = Path(
        "bench/results"
    ),
) -> None:
    """Let every arm learn from every seed, and compare."""
    if not out.is_dir():
        raise typer.BadParameter(f"there is no folder {out}")
    runs = [
        accuracies(seed, epochs)
        for seed in track(range(seeds), "learning …", console=Console(stderr=True))
    ]
    found = {key: [run[key] for run in runs] for key in runs[0]}
    machine = _machine.describe(0, None, 1)
    text = ["# Digits by STDP, beside k-means", ""]
    text += [f"- {key}: {machine[key]}" for key in ("machine", "packages", "commit", "date")]
    text += [
        "",
        f"{seeds} seeds, {epochs} epochs, {NEURONS} neurons or centres; percent of the test",
    ]
    text += [
        "digits, mean and 95 % t interval of it over seeds. Seconds are of CPU, for learning.",
        "",
    ]
    text += ["| arm | accuracy | less float32, in pairs | seconds |", "|---|--:|--:|--:|"]
    text += [_row(found, arm) for arm in ("k-means", *ARMS)]
    (out / "spiking.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    (out / "spiking.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if image is not None:
        draw(found, image)
    Console().print("\n".join(text[-6:]), highlight=False)


if __name__ == "__main__":
    typer.run(main)
