"""Rotations by descent: rotors beside what people use. ``python -m bench.attitude``

Wahba's problem on pictures of the Hipparcos stars and on a recording of walking. Every arm starts
at the identity and takes as many steps by the same schedule; its rate is chosen from the same few,
on other problems. _attitude.py has the problems, _rotations.py the arms.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from . import _machine

RATES = (0.5, 0.2, 0.1, 0.05, 0.02)
TASKS = {
    "stars": "Stars: noise of 20″, none taken for another",
    "outliers": "Stars: noise of 20″, a fifth taken for others",
    "gait": "Walking: the lower leg, each half second",
}
FEW = 16  # pictures to choose a rate by
EARLY = 50  # steps over which frames are compared

Found = dict[str, Any]


def measure(name: str, source: str, count: int, steps: int) -> dict[str, Found]:
    """What an arm reaches, by task: lists with a number for each problem, angles in radians.

    ``source`` is "gait", or "stars" for ``count`` pictures of each kind. Rates are chosen on other
    pictures, with outliers, or on the other half of the leg.
    """
    import torch

    from . import _attitude as of
    from ._rotations import ARMS

    torch.set_num_threads(1)
    make = ARMS[name]
    if source == "gait":
        scores = of.scores(make, of.gait("upper"), RATES, steps)
        tasks = {"gait": of.gait("lower")}
    else:
        scores = of.scores(make, of.stars(range(1000, 1000 + FEW)), RATES, steps)
        shares = {"stars": 0.0, "outliers": 0.2}
        tasks = {task: of.stars(range(count), outliers=share) for task, share in shares.items()}
    made = {}
    for task, problems in tasks.items():
        made[task] = of.measured(make, problems, of.best_rate(scores), steps, EARLY)
        made[task]["scores"] = scores
    return made


# ---- what was found
def interval(values: Sequence[float], chance: float = 0.95) -> tuple[float, float, float]:
    """The median, and an interval that holds the true one by that chance, of any distribution.

    Order statistics (Conover, Practical Nonparametric Statistics, 1999, section 3.2). Few values
    give the extremes.
    """
    from scipy.stats import binom

    x = sorted(values)
    k = max(0, int(binom.ppf((1 - chance) / 2, len(x), 0.5)) - 1)
    middle = (x[(len(x) - 1) // 2] + x[len(x) // 2]) / 2
    return middle, x[k], x[-1 - k]


def _text(values: Sequence[float] | None, unit: float = 1.0) -> str:
    """``median [low, high]`` in a unit, to two digits."""
    if values is None:
        return "–"
    middle, low, high = (_short(v / unit) for v in interval(values))
    return f"{middle} [{low}, {high}]"


def _short(x: float) -> str:
    if x == 0 or 0.01 <= x < 10_000:
        places = 0 if x == 0 else max(0, 1 - math.floor(math.log10(x)))
        return f"{x:.{places}f}"
    return f"{x:.1e}".replace("e-0", "e-").replace("e+0", "e")


def _unit(task: str) -> tuple[float, str]:
    return (math.radians(1), "degrees") if task == "gait" else (math.radians(1) / 3600, "″")


def table(task: str, found: Mapping[str, Found]) -> list[str]:
    """A row for each arm, in Markdown."""
    unit, name = _unit(task)
    first = next(iter(found.values()))
    lines = [f"## {TASKS[task]}", "", f"{len(first['optimum'])} problems; errors in {name}."]
    if "best" in first:
        lines[-1] += f" The optimum itself is {_text(first['best'], unit)} off the truth."
    lines += [
        "",
        "| arm | to the optimum | worst | to the truth | stored | acting | frames, ° | η |",
    ]
    lines += ["|---|--:|--:|--:|--:|--:|--:|--:|"]
    for arm, row in found.items():
        cells = [arm, _text(row["optimum"], unit), _short(max(row["optimum"]) / unit)]
        cells += [_text(row.get("truth"), unit), _short(max(row["stored"]))]
        cells += [_short(max(row["acting"])), _text(row["frames"], math.radians(1))]
        lines += ["| " + " | ".join([*cells, f"{row['rate']:g}"]) + " |"]
    return [*lines, ""]


READING = """\
Medians over the problems, with distribution-free 95 % intervals. **To the optimum**: the angle to
the least Huber distance, by singular values in float64, after the last step; **worst**: of all
problems. **Stored**: the largest violation of the constraint by the parameter, \\|R~R − 1\\| or the
largest of \\|MᵀM − 1\\|; **acting**: of what it does to directions, in its own arithmetic.
**Frames**: how far the path is from the one in turned frames, turned back: the largest angle of the
first 50 steps, in degrees. **η**: the rate, chosen on other problems by the mean logarithm of the
error. The matrix's errors are of the rotation nearest to it."""


def draw(results: Mapping[str, Mapping[str, Found]], path: Path) -> None:
    """The way to the optimum among stars with outliers, and what became of the constraints."""
    from matplotlib.figure import Figure

    found = results["outliers"]
    unit, _ = _unit("outliers")
    ink, rule = "#30343A", "#E7EAEE"
    hues = {"rotor": "#0072B2", "quaternion": "#C75300", "6-D": "#009E73", "matrix": "#A8467F"}
    dashes = {"bposit16": (0, (1, 1.2)), "bposit32": "solid", "float32": (0, (5, 1.5))}

    variants = {"of a bposit16 generator": "#56B4E9", "moments by coefficient": "#6B727C"}

    def style(arm: str) -> dict[str, Any]:
        kind, number, *more = arm.split(", ")
        return {
            "color": variants[more[0]] if more else hues[kind], "linestyle": dashes[number],
        }  # fmt: skip

    figure = Figure(figsize=(11, 8.4), layout="constrained", facecolor="white")
    halves = figure.add_gridspec(2, 1)
    above, below = (figure.add_subfigure(halves[i]) for i in range(2))
    axes = above.subplots()
    for arm, row in found.items():
        axes.semilogy([v / unit for v in row["path"]], linewidth=1.5, label=arm, **style(arm))
    axes.set(xlabel="step", ylabel="arcseconds to the optimum, median")
    axes.set_title("stars, a fifth taken for others", loc="left", color=ink)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8.5, frameon=False)
    parts = {
        "optimum": ("arcseconds to the optimum", unit),
        "stored": ("violation, as stored", 1.0),
        "frames": ("degrees between frames", math.radians(1)),
    }
    panels = below.subplots(1, len(parts), sharey=True)
    names = list(found)[::-1]
    for panel, (key, (title, scale)) in zip(panels, parts.items(), strict=True):
        for y, arm in enumerate(names):
            values = [max(v / scale, 1e-9) for v in found[arm][key]]
            color = style(arm)["color"]
            panel.plot(values, [y] * len(values), "|", color=color, alpha=0.35, markersize=9)
            panel.plot(interval(values)[0], y, "o", color=color, markersize=6)
        panel.set_xscale("log")
        panel.set_title(title, loc="left", fontsize=10.5, color=ink)
        panel.set_yticks(range(len(names)), names, fontsize=8.5)
    for panel in (axes, *panels):
        panel.grid(color=rule, linewidth=0.7)
        panel.set_axisbelow(True)
        panel.tick_params(which="both", length=0, labelsize=8.5)
        panel.spines[:].set_visible(False)
    figure.savefig(path, dpi=130)


def main(  # noqa: PLR0917
    steps: Annotated[int, typer.Option(min=EARLY)] = 400,
    pictures: Annotated[int, typer.Option(min=2, help="Of stars; a seed each.")] = 50,
    processes: Annotated[int, typer.Option(min=1)] = 2,
    arms: Annotated[list[str] | None, typer.Option("--arm", help="Which; else all.")] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Also draw what stars with outliers gave.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for attitude.md and attitude.json.")] = Path(
        "bench/results"
    ),
) -> None:
    """Let every arm find attitudes of cameras and of a leg."""
    from ._rotations import ARMS

    if wrong := set(arms or ()) - set(ARMS):
        raise typer.BadParameter(f"no arm {wrong}; possible are {'; '.join(ARMS)}")
    if not out.is_dir():
        raise typer.BadParameter(f"there is no folder {out}")
    chosen = [arm for arm in ARMS if arm in (arms or ARMS)]
    cells = [(arm, source) for source in ("stars", "gait") for arm in chosen]
    results: dict[str, dict[str, Found]] = {task: {} for task in TASKS}
    with ProcessPoolExecutor(processes) as pool:
        runs = [pool.submit(measure, *cell, pictures, steps) for cell in cells]
        both = zip(cells, runs, strict=True)
        for (arm, _), run in track(both, "turning …", len(cells), console=Console(stderr=True)):
            for task, found in run.result().items():
                results[task][arm] = _rounded(found)
    machine = _machine.describe(0, None, processes)
    text = ["# Attitude: rotors that stay rotors, beside what people use", ""]
    text += [f"- {key}: {machine[key]}" for key in ("machine", "packages", "commit", "date")]
    text += ["", f"{steps} steps; the first rate is one of {', '.join(map(str, RATES))}.", ""]
    for task, found in results.items():
        text += table(task, found)
    text += [READING]
    (out / "attitude.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    head = {"machine": machine, "steps": steps, "results": results}
    (out / "attitude.json").write_text(json.dumps(head) + "\n", encoding="utf-8")
    if figure is not None:
        draw(results, figure)
    Console().print("\n".join(text), highlight=False, soft_wrap=True)


def _rounded(x: Any) -> Any:
    """Numbers of four digits."""
    if isinstance(x, dict):
        return {str(k): _rounded(v) for k, v in x.items()}
    if isinstance(x, list):
        return [_rounded(v) for v in x]
    return float(f"{x:.4g}") if isinstance(x, float) else x


if __name__ == "__main__":
    typer.run(main)
