"""How a method is measured: arms on seeds, sweeps on other seeds, progress, result and figure.

A method's ``__main__`` is::

    app = command(Method("kalman", source=…, needs={"sklearn": "scikit-learn"}, run=run, draw=draw))
    if __name__ == "__main__":
        app(prog_name="python -m torch_bridge.methods.kalman")

``run(run)`` does the experiments with :meth:`Run.trials` and :meth:`Run.sweep`, ``draw(result)``
makes the figure from what :mod:`._result` keeps of them, and from nothing else.
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ._environment import environment
from ._result import Better, Experiment, Result, Settings, Sweep, Value, interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Method", "Run", "Trial", "cell", "command"]

SEEDS, QUICK_SEEDS, SWEEP_SEEDS = (0, 1, 2, 3, 4), (0,), (100, 101, 102)

Trial = Callable[[int], Mapping[str, Value]]
"""A trial of one arm: from the seed to what was measured."""


@dataclass(frozen=True)
class Method:
    """What a command needs to know.

    Parameters
    ----------
    name : str
        Of the package under ``torch_bridge.methods``.
    source : str
        The article, and how faithful to it this is, in a sentence.
    needs : mapping
        Modules that must be there, and the packages they come in.
    run : callable
        Does the experiments.
    draw : callable
        Result to Figure; must also take the result of a quick run.
    """

    name: str
    source: str
    needs: Mapping[str, str]
    run: Callable[[Run], None]
    draw: Callable[[Result], Figure]

    @property
    def sweeps(self) -> Path:
        """The settings chosen by the sweeps of the committed results, which ship with the code."""
        return Path(__file__).parent / self.name / "sweeps.json"


class Run:
    """One run of a method: what it may spend, and where results go.

    Parameters
    ----------
    result : Result
    progress : rich Progress
    chosen : mapping
        From arms to settings: what the committed sweeps chose. A quick run takes these.
    keep : callable
        Called with the result after each experiment and sweep.
    """

    def __init__(
        self,
        result: Result,
        progress: Progress,
        chosen: Mapping[str, Settings] | None = None,
        keep: Callable[[Result], None] = lambda result: None,
    ) -> None:
        self.result = result
        self._progress = progress
        self._chosen = {} if chosen is None else chosen
        self._keep = keep

    @property
    def quick(self) -> bool:
        """Whether to end within a minute."""
        return self.result.quick

    @property
    def seeds(self) -> tuple[int, ...]:
        """Five seeds; one in a quick run."""
        return QUICK_SEEDS if self.quick else SEEDS

    def trials(
        self,
        experiment: Experiment,
        arms: Mapping[str, Trial],
        settings: Mapping[str, Settings] | None = None,
    ) -> Experiment:
        """Do every arm on every seed, seed by seed, and keep what they measure.

        Parameters
        ----------
        experiment : Experiment
            A metric "seconds" is filled in here: time on the wall of the trial.
        arms : mapping of names to trials
        settings : mapping, optional
            What distinguishes each arm, for the record.
        """
        label = f"{experiment.name}"
        bar = self._progress.add_task(label, total=len(arms) * len(experiment.seeds))
        for seed in experiment.seeds:
            for arm, trial in arms.items():
                self._progress.update(bar, description=f"{label}: {arm}")
                start = time.perf_counter()
                measured = dict(trial(seed))
                if "seconds" in experiment.metrics:
                    measured.setdefault("seconds", time.perf_counter() - start)
                experiment.add(arm, measured, (settings or {}).get(arm, {}))
                self._progress.advance(bar)
        self._progress.update(bar, description=label)
        self.result.experiments[experiment.name] = experiment
        self._keep(self.result)
        return experiment

    def sweep(
        self,
        arm: str,
        grid: Sequence[Settings],
        score: Callable[[Settings, int], float],
        better: Better = "higher",
        seeds: Sequence[int] = SWEEP_SEEDS,
    ) -> Settings:
        """The settings of the grid with the best mean score over ``seeds``.

        These are seeds that no experiment uses. NaN is the worst score. A quick run tries nothing
        and gives what the committed sweep of this arm chose.

        Raises LookupError in a quick run without such a choice; ValueError for seeds that are also
        those of the experiments.
        """
        if set(seeds) & set(SEEDS):
            raise ValueError(f"seeds {tuple(seeds)}: the experiments use {SEEDS}")
        if self.quick:
            if arm not in self._chosen:
                raise LookupError(f"no committed sweep of {arm!r}; there are {[*self._chosen]}")
            return self._chosen[arm]
        sweep = Sweep(tuple(seeds), better)
        bar = self._progress.add_task(f"sweep: {arm}", total=len(grid) * len(seeds))
        sign = -1.0 if better == "lower" else 1.0
        means = []
        for settings in grid:
            scores = []
            for seed in seeds:
                scores.append(float(score(settings, seed)))
                self._progress.advance(bar)
            sweep.tried.append({"settings": dict(settings), "scores": scores})
            means.append(sign * float(np.mean(scores)))
        sweep.chosen = dict(grid[int(np.argmax(np.nan_to_num(means, nan=-np.inf)))])
        self.result.sweeps[arm] = sweep
        self._keep(self.result)
        return sweep.chosen


def command(method: Method) -> typer.Typer:
    """The command of a method: ``[--quick] [--out DIR]``."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

    @app.command(help=f"Measure {method.name}: {method.source}")
    def main(
        out: Annotated[Path, typer.Option(help="Folder for result.json and the figure.")] = Path(
            f"{method.name}-out"
        ),
        quick: Annotated[
            bool, typer.Option("--quick", help="One seed, small sizes: within a minute.")
        ] = False,
    ) -> None:
        missing = [p for m, p in method.needs.items() if importlib.util.find_spec(m) is None]
        if missing:
            typer.echo(f"needs {', '.join(missing)}: pip install 'bposit[methods]'", err=True)
            raise typer.Exit(2)
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            typer.echo(f"--out {out}: {e.strerror}", err=True)
            raise typer.Exit(2) from None
        console = Console(highlight=False)
        try:
            result = measure(method, quick, console, partial(_write, path=out / "result.json"))
        except KeyboardInterrupt:
            typer.echo(f"interrupted; {out / 'result.json'} has what was done", err=True)
            raise typer.Exit(130) from None
        for experiment in result.experiments.values():
            console.print("", table(experiment), sep="\n")
        for path in deliver(method, result, out):
            console.print(f"wrote {path}", soft_wrap=True, markup=False)

    return app


def measure(
    method: Method,
    quick: bool,
    console: Console,
    keep: Callable[[Result], None] = lambda result: None,
) -> Result:
    """Run the experiments of a method on one thread, with a progress bar."""
    import torch
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    name = f"python -m torch_bridge.methods.{method.name}" + (" --quick" if quick else "")
    result = Result(method.name, method.source, name, quick, environment(method.needs.values()))
    chosen = json.loads(method.sweeps.read_text()) if method.sweeps.exists() else {}
    columns = (
        TextColumn("{task.description:40}"), BarColumn(24), MofNCompleteColumn(),
        TimeElapsedColumn(),
    )  # fmt: skip
    threads = torch.get_num_threads()
    with threadpool_limits(1), Progress(*columns, console=console) as progress:
        torch.set_num_threads(1)
        try:
            method.run(Run(result, progress, chosen, keep))
        finally:
            torch.set_num_threads(threads)
    result.complete = True
    return result


def _write(result: Result, path: Path) -> None:
    """Write result.json at once or not at all."""
    part = path.with_suffix(".part")
    part.write_text(result.as_json(), encoding="utf-8")
    part.replace(path)


def deliver(method: Method, result: Result, out: Path) -> list[Path]:
    """Write result.json, sweeps.json (the settings chosen) and the figure; returns the paths."""
    _write(result, out / "result.json")
    made = [out / "result.json", out / f"{method.name}.png"]
    if result.sweeps:
        made.append(out / "sweeps.json")
        chosen = {arm: sweep.chosen for arm, sweep in result.sweeps.items()}
        made[-1].write_text(json.dumps(chosen, indent=1) + "\n", encoding="utf-8")
    method.draw(result).savefig(made[1], dpi=160)
    return made


def cell(values: Sequence[float]) -> str:
    """Mean ± half the width of its 95 % interval, for a table."""
    mean = float(np.mean(values))
    ends = interval(values)
    return f"{mean:.4g}" if ends is None else f"{mean:.4g} ± {(ends[1] - ends[0]) / 2:.2g}"


def table(experiment: Experiment) -> Table:
    """The numbers of an experiment, an arm a row; curves are left out."""
    first = next(iter(experiment.values.values()))
    shown = [m for m in experiment.metrics if not isinstance(first[m][0], list)]
    made = Table(title=f"{experiment.name} ({experiment.question})", title_justify="left")
    made.add_column("arm")
    for name in shown:
        made.add_column(name, justify="right")
    for arm in experiment.values:
        made.add_row(arm, *(cell(experiment.numbers(arm, name)) for name in shown))
    return made
