"""``python -m bposit.demo``: train, prove, draw, and say where to look."""

from __future__ import annotations

import importlib
import io
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_NEEDS = {"sklearn": "scikit-learn", "matplotlib": "matplotlib", "ml_dtypes": "ml_dtypes"}
_SEEDS = 5


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="Folder for the picture and the numbers.")] = Path(
        "demo-out"
    ),
    seed: Annotated[int, typer.Option(min=0, help="The first seed; four more follow.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Two epochs: a check, no result.")] = False,
) -> None:
    """Train a digit classifier in bounded posits with exact sums, beside bfloat16 and float32.

    Ends with status 1 if the b-posit weights depend on how gradients are summed.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an ASCII terminal still gets its tables
    _require_packages()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise _failure(f"cannot make the folder {out}: {e.strerror}") from None
    raise typer.Exit(0 if _demo(Console(highlight=False), out, seed, 2 if quick else 30) else 1)


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


def _demo(console: Console, out: Path, seed: int, epochs: int) -> bool:
    """Whether the weights did not depend on how gradients were summed."""
    import ml_dtypes
    import numpy as np

    import posit

    from . import report
    from .arithmetic import BoundedPosit, Float
    from .study import Study
    from .training import Plan, load_digits

    arms = [BoundedPosit(posit.bposit16), Float(ml_dtypes.bfloat16), Float(np.float32)]
    study = Study(arms, load_digits(), Plan(epochs), range(seed, seed + _SEEDS))
    console.print(
        f"Learning {len(study.data.train_y)} handwritten digits, tested on"
        f" {len(study.data.test_y)} others: {epochs} epochs from each of {_SEEDS} seeds."
    )
    with _progress(console) as progress:
        trained = study.train(_bars(progress))
    console.print("", report.accuracy_table(study), "", sep="\n")
    for arm in arms:
        console.print(f"{arm.name}: {arm.note}.", style="dim")
    console.print(
        "Mean ± standard deviation over the seeds; hash of the first seed's weights. Weights and"
        " momentum have no wider copy: an update is lost when it rounds back to the old weight.\n",
        style="dim",
    )
    console.print(
        f"Again from seed {seed}, with the gradient of each batch summed in other ways: over"
        " micro-batches, over shuffled samples, by two threads."
    )
    with _progress(console) as progress:
        study.sum_otherwise(_bars(progress))
    console.print("", report.proof_table(study, 8 if console.width >= 60 else 6), "", sep="\n")
    for sentence in report.verdict(study):
        console.print(sentence, style="bold")
    try:
        names = _deliver(lambda folder: report.write(study, trained, folder), out)
    except OSError as e:
        raise _failure(f"cannot write to {out}: {e.strerror}") from None
    console.print(f"\nLook in {out}/: {', '.join(names)}", soft_wrap=True, markup=False)
    return study.proven


def _deliver(write: Callable[[Path], list[Path]], out: Path) -> list[str]:
    """Write all files aside, then put them in place: killed meanwhile, the old ones stay whole."""
    with TemporaryDirectory(prefix=".writing-", dir=out) as aside:
        made = write(Path(aside))
        for path in made:
            path.replace(out / path.name)
    return [path.name for path in made]


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:8}"),
        BarColumn(None),
        MofNCompleteColumn(),
        TextColumn("epochs"),
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
