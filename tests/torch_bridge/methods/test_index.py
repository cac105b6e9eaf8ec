"""The table of all methods is made of the committed results, and says so."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from torch_bridge.methods import __main__ as together
from torch_bridge.methods._index import METHODS, format_table, split_arm
from torch_bridge.methods._result import Experiment, Metric, Result, read

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "bench" / "results" / "methods"
PAGE = ROOT / "docs" / "methods" / "index.md"


@pytest.mark.parametrize(
    ("arm", "parts"),
    [
        ("bposit16", ("bposit16", "")),
        ("bposit16 + quire", ("bposit16 + quire", "")),
        ("bposit16 + quire, residue", ("bposit16 + quire", "residue")),
        ("bposit16 deltas + quire", ("bposit16", "deltas + quire")),
        ("bposit32, nearest", ("bposit32", "nearest")),
        ("float16", ("", "float16")),
        ("bposit160", ("", "bposit160")),
    ],
)
def test_arms_are_read(arm: str, parts: tuple[str, str]) -> None:
    assert split_arm(arm) == parts


def test_a_table(tmp_path: Path) -> None:
    metrics = {
        "error": Metric("of something", "lower"),
        "seconds": Metric("time", "lower"),
        "curve": Metric("many", "lower"),
        "size": Metric("neither good nor bad"),
    }
    e = Experiment("storage", "format", "…", metrics, (0, 1))
    for arm, errors in {
        "float32": (1, 3),
        "bposit16, kept": (5, float("nan")),
        "none": (7, 7),
    }.items():
        for value in errors:
            e.add(arm, {"error": value, "seconds": 1, "curve": [1, 2], "size": 3}, {})
    other = Experiment("method", "method", "…", metrics, (0,))
    other.add("float32", {"error": 1, "seconds": 1, "curve": [1], "size": 3}, {})
    result = Result("smt", "", "python -m m", False, {}, {"storage": e, "method": other})
    (tmp_path / "smt").mkdir()
    (tmp_path / "smt" / "result.json").write_text(result.as_json())
    made = format_table(tmp_path).splitlines()
    assert made[:2] == ["- `python -m m` (2 seeds, not complete)", ""]
    assert made[4:] == [
        "| [smt](smt.md) | storage | error |  | 2 ± 13 |  |  |  |  |",
        "| [smt](smt.md) | storage, kept | error |  |  |  | diverged |  |  |",
        "| [smt](smt.md) | storage, none | error: 7 ± 0 |  |  |  |  |  |  |",
    ]


def test_the_page_has_the_table_of_the_committed_results() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert format_table(RESULTS) in text, (
        "python -m torch_bridge.methods --table bench/results/methods"
    )
    for name in METHODS:
        if (RESULTS / name / "result.json").exists():
            assert f"`{read(RESULTS / name / 'result.json').command}`" in text


def test_every_method_has_its_page_figure_and_result() -> None:
    for name in METHODS:
        assert (RESULTS / name / "result.json").exists(), name
        page = (ROOT / "docs" / "methods" / f"{name}.md").read_text(encoding="utf-8")
        figures = re.findall(r"!\[[^\]]+\]\((\.\./img/[^)]+)\)", page)
        assert figures, name
        for figure in figures:
            assert (PAGE.parent / figure).exists(), figure


def test_all_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[Any] = []

    def run(command: list[str], check: bool) -> subprocess.CompletedProcess[bytes]:
        ran.append(command)
        return subprocess.CompletedProcess(command, 2 if "know" in command[2] else 0)

    monkeypatch.setattr(subprocess, "run", run)
    done = CliRunner().invoke(together.app, ["--quick", "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert "failed: know" in done.output
    assert [c[2] for c in ran] == [f"torch_bridge.methods.{name}" for name in METHODS]
    assert ran[0] == [
        sys.executable, "-m", "torch_bridge.methods.kalman", "--out", str(tmp_path / "kalman"),
        "--quick",
    ]  # fmt: skip
    shown = CliRunner().invoke(together.app, ["--table", str(RESULTS)])
    assert shown.output == format_table(RESULTS)


@pytest.mark.parametrize("name", METHODS)
def test_examples_in_docstrings(name: str) -> None:
    package = importlib.import_module(f"torch_bridge.methods.{name}")
    for info in [None, *pkgutil.iter_modules(package.__path__)]:
        if info is None or info.name != "__main__":
            path = package.__name__ if info is None else f"{package.__name__}.{info.name}"
            flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            assert not doctest.testmod(importlib.import_module(path), optionflags=flags).failed
