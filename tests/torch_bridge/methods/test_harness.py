"""What the four methods measure with: seeds, sweeps, intervals, and the file they leave."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from torch_bridge.methods._harness import SEEDS, Method, Run, cell, command
from torch_bridge.methods._result import Experiment, Metric, Result, interval, read

METRICS = {"error": Metric("a number", "lower"), "curve": Metric("numbers")}


def experiment(seeds: tuple[int, ...]) -> Experiment:
    return Experiment("trial", "method", "nothing", METRICS, seeds)


def run(run: Run) -> None:
    chosen = run.sweep("b", [{"lr": 1}, {"lr": 2}, {"lr": 3}], score, "lower")

    def trial(lr: float) -> Any:
        return lambda seed: {"error": lr + seed, "curve": [seed, math.inf]}

    arms = {"a": trial(0), "b": trial(chosen["lr"])}
    run.trials(experiment(run.seeds), arms, {"b": chosen})


def score(settings: Any, seed: int) -> float:
    """lr = 1 diverges, 2 is best, 3 worse."""
    return {1: math.nan, 2: 0.5, 3: 0.7}[settings["lr"]] + seed


def draw(result: Result) -> Figure:
    return Figure()


def method(**changed: Any) -> Method:
    return Method("absent", "nowhere", **{"needs": {}, "run": run, "draw": draw, **changed})


def test_a_full_run(tmp_path: Path) -> None:
    done = CliRunner().invoke(command(method()), ["--out", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = read(tmp_path / "result.json")
    assert (found.quick, found.command) == (False, "python -m torch_bridge.methods.absent")
    assert found.complete
    trial = found.experiments["trial"]
    assert trial.seeds == list(SEEDS) == [0, 1, 2, 3, 4]
    assert trial.numbers("b", "error") == [2, 3, 4, 5, 6]
    assert trial.settings == {"a": {}, "b": {"lr": 2}}
    assert trial.curves("a", "curve").tolist() == [[s, math.inf] for s in SEEDS]
    sweep = found.sweeps["b"]
    assert not set(sweep.seeds) & set(SEEDS)
    assert [t["settings"]["lr"] for t in sweep.tried] == [1, 2, 3]
    assert json.loads((tmp_path / "sweeps.json").read_text()) == {"b": {"lr": 2}}
    assert (tmp_path / "absent.png").read_bytes().startswith(b"\x89PNG")
    written = json.loads((tmp_path / "result.json").read_text())
    low, high = written["experiments"]["trial"]["arms"]["b"]["metrics"]["error"]["interval"]
    assert (low, high) == pytest.approx((4 - 1.96324, 4 + 1.96324), abs=1e-5)


def test_a_quick_run_takes_the_committed_choice() -> None:
    class Bar:
        def __getattr__(self, name: str) -> Any:
            return lambda *a, **k: 0

    bar: Any = Bar()
    result = Result("m", "", "", True, {})
    run(Run(result, bar, {"b": {"lr": 3}}))
    assert result.experiments["trial"].numbers("b", "error") == [3]
    assert not result.sweeps
    with pytest.raises(LookupError, match=r"no committed sweep of 'b'; there are \['c'\]"):
        run(Run(result, bar, {"c": {}}))
    with pytest.raises(ValueError, match=r"seeds \(4, 100\): the experiments use"):
        Run(Result("m", "", "", False, {}), bar).sweep("b", [{}], score, seeds=(4, 100))


def test_intervals() -> None:
    """Half-widths t(0.975, n-1)·s/√n, of tables of Student's t."""
    assert interval([1.0, 2.0, 3.0]) == pytest.approx(
        (2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5)
    )
    assert interval([1.0]) is None
    assert interval([1.0, math.nan]) is None
    assert cell([1.0, 2.0, 3.0]) == "2 ± 2.5"
    assert cell([7.0]) == "7"


@pytest.mark.parametrize(
    ("measured", "settings", "text"),
    [({"error": 1.0}, {}, "measured"), ({"error": 1.0, "curve": []}, {"lr": 2}, "settings differ")],
)
def test_trials_must_agree(measured: Any, settings: Any, text: str) -> None:
    e = experiment((0, 1))
    e.add("a", {"error": np.float32(1), "curve": (1, 2)}, {"lr": 1})
    with pytest.raises(ValueError, match=text):
        e.add("a", measured, settings)
    with pytest.raises(TypeError, match="curve, not a number"):
        e.numbers("a", "curve")


def test_an_interrupted_run_keeps_what_was_done(tmp_path: Path) -> None:
    def stopped(r: Run) -> None:
        run(r)
        raise KeyboardInterrupt

    app = command(method(run=stopped))
    done = CliRunner().invoke(app, ["--out", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 130
    assert "interrupted" in done.output
    found = read(tmp_path / "result.json")
    assert not found.complete
    assert found.experiments["trial"].numbers("b", "error") == [2, 3, 4, 5, 6]
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = CliRunner().invoke(command(method()), ["--out", str(tmp_path / "file" / "x")])
    assert done.exit_code == 2
    assert "Not a directory" in done.output


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    app = command(method(needs={"no_such_module": "no-such-package"}))
    done = CliRunner().invoke(app, ["--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "needs no-such-package: pip install 'bposit[methods]'" in done.output


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ValueError, match=r"x\.json is not a result\.json: KeyError"):
        read(tmp_path / "x.json")
