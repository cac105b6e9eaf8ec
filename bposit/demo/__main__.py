"""``python -m bposit.demo``: train, prove, draw, and say where to look."""

from __future__ import annotations

import importlib
import io
import os
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Callable

    from .study import Study

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_NEEDS = {
    "torch": "torch",
    "sklearn": "scikit-learn",
    "matplotlib": "matplotlib",
    "ml_dtypes": "ml_dtypes",
}


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="Folder for the pictures and the numbers.")] = Path(
        "demo-out"
    ),
    seed: Annotated[int, typer.Option(min=0, help="The first seed; the next ones follow.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="A few steps: a check, no result.")
    ] = False,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="How many to share the work; default one a processor, at most 4."),
    ] = None,
) -> None:
    """Train two networks in bounded posits with exact sums, beside bfloat16 and float32.

    Ends with status 1 if the b-posit weights depend on how gradients are summed.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an ASCII terminal still gets its tables
    _require_packages()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise _failure(f"cannot make the folder {out}: {e.strerror}") from None
    console = Console(highlight=False)
    try:
        proven = _demo(console, out, seed, quick, processes or min(4, _processors()))
    except BrokenProcessPool:
        raise _failure("a process ended early, perhaps for want of memory") from None
    raise typer.Exit(0 if proven else 1)


def _failure(text: str) -> typer.Exit:
    typer.echo(f"demo: {text}", err=True)
    return typer.Exit(2)


def _require_packages() -> None:
    missing = []
    for module, package in _NEEDS.items():
        try:
            importlib.import_module(module)
        except ImportError:
            missing.append(package)
    if missing:
        raise _failure(f"needs {', '.join(missing)}: pip install 'bposit[demo]'")


def _demo(console: Console, out: Path, seed: int, quick: bool, processes: int) -> bool:
    """Whether the weights did not depend on how gradients were summed."""
    from . import report
    from .arms import ARMS
    from .study import FULL, QUICK, Study
    from .workers import Workers

    study = Study(QUICK if quick else FULL, seed)
    for task, data in study.tasks.items():
        plan = study.scale.plans[task]
        console.print(
            f"{data.about} {plan.steps} steps of {plan.batch}; {study.scale.seeds} seeds."
        )
    with Workers(processes) as workers:
        with _progress(console) as progress:
            study.train(workers, _bars(progress))
        console.print("", report.score_table(study), "", sep="\n")
        for name, arm in ARMS.items():
            console.print(f"{name}: {arm.note}.", style="dim")
        console.print(
            "On test data, mean ± standard deviation over the seeds. First weights, batches and"
            " options of the optimizers are the same for all.\n",
            style="dim",
        )
        console.print("The Transformer in memory, beside its activations:\n")
        console.print(report.memory_table(study, "text"), "", sep="\n")
        console.print(
            "Gradients of b-posits are all the terms of their exact sums, until a step rounds them."
            " torch_bridge computes in float64 tensors that hold posits: 8 bytes a weight while it"
            " runs, 2 or 4 in a file.\n",
            style="dim",
        )
        console.print(
            f"The first steps again from seed {seed}, with the gradient of each batch summed in"
            " other ways. Hashes of the weights:"
        )
        with _progress(console) as progress:
            study.sum_otherwise(workers, _bars(progress))
    for task in study.tasks:
        digits = 8 if console.width >= 64 else 5
        console.print("", report.proof_table(study, task, digits), sep="\n")
    console.print()
    for sentence in report.verdict(study):
        console.print(sentence, style="bold")
    _show_text(console, study)
    try:
        names = _deliver(lambda folder: report.write(study, folder), out)
    except OSError as e:
        raise _failure(f"cannot write to {out}: {e.strerror}") from None
    console.print(f"\nLook in {out}/: {', '.join(names)}", soft_wrap=True, markup=False)
    return study.proven


def _show_text(console: Console, study: Study) -> None:
    if study.sample is not None:
        console.print("\nThe bposit16 Transformer continues three beginnings:")
        for line in study.sample.lines:
            console.print(f"  {line} …", style="italic", markup=False)


def _deliver(write: Callable[[Path], list[Path]], out: Path) -> list[str]:
    """Write all files aside, then put them in place: killed meanwhile, the old ones stay whole."""
    with TemporaryDirectory(prefix=".writing-", dir=out) as aside:
        made = write(Path(aside))
        for path in made:
            path.replace(out / path.name)
    return [path.name for path in made]


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:15}"),
        BarColumn(None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        expand=True,
    )


def _bars(progress: Progress) -> Callable[[str, int], Callable[[], None]]:
    def bar(label: str, total: int) -> Callable[[], None]:
        task = progress.add_task(label, total=total)
        return lambda: progress.advance(task)

    return bar


if __name__ == "__main__":
    app(prog_name="python -m bposit.demo")
