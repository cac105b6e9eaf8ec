"""`make demo`: it ends with files and a verdict, the exactness it shows is real, and can fail."""

import json
import os
import socket
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import fmean, stdev
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from bposit import figure
from bposit.demo import curves, study
from bposit.demo.__main__ import app
from bposit.demo.arms import ARMS, FloatArm, PositArm
from bposit.demo.study import WAYS, Scale
from bposit.demo.tasks import Digits, Task
from bposit.demo.text import Text, paragraphs
from bposit.demo.training import train
from bposit.demo.workers import Workers, limited

FILES = ["loss.png", "loss.svg", "accuracy.png", "accuracy.svg", "result.json"]
EXACT = ["bposit16", "bposit32"]


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict]:
    """The command as users start it, in a narrow ASCII terminal, in two processes."""
    folder = tmp_path_factory.mktemp("demo")
    arguments = ["--quick", "--seed", "3", "--processes", "2"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "bposit.demo", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "52", "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        encoding="ascii",
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    out = folder / "demo-out"
    return out, done.stdout, json.loads((out / "result.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def text() -> Text:
    return Text.load()


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, text: Text) -> Scale:
    """The least that goes through everything, in this process."""
    tasks: dict[str, Task] = {
        "digits": Digits.load(),
        "text": replace(text, test_inputs=text.test_inputs[:4], test_targets=text.test_targets[:4]),
    }
    plans = {name: replace(t.plan, steps=6, batch=6) for name, t in tasks.items()}
    for arm in ("bfloat16", "bposit32"):
        monkeypatch.delitem(ARMS, arm)
    scale = Scale(2, plans, {"digits": 2, "text": 1}, 1)
    monkeypatch.setattr(study, "QUICK", scale)
    monkeypatch.setattr(study, "_load", tasks.__getitem__)
    return scale


def test_last_line_says_where_to_look(quick):
    out, said, _ = quick
    assert said.splitlines()[-1] == f"Look in demo-out/: {', '.join(FILES)}"
    assert {p.name for p in out.iterdir()} == set(FILES)


def test_output_shows_bars_tables_and_verdict_in_a_narrow_terminal(quick):
    _, said, result = quick
    *lines, _ = said.splitlines()
    assert max(map(len, lines)) <= 52
    for task, found in result["tasks"].items():
        for arm in ARMS:
            assert said.count(f"{task} {arm}") == 2, "two phases, a bar in each"
            shown = [way[arm][:5] in said for way in found["summed_again"]["weights_sha256"]]
            assert all(shown)
    unwrapped = " ".join(said.split())
    assert all(" ".join(s.split()) in unwrapped for s in result["verdict"])
    assert all(" ".join(s.split()) in unwrapped for s in result["text"])


def test_result_has_every_number(quick):
    _, _, result = quick
    assert result["seeds"] == [3, 4]
    assert {"python", "torch", "bposit"} <= set(result["versions"])
    for task, found in result["tasks"].items():
        assert list(found["results"]) == list(ARMS)
        for arm in found["results"].values():
            scores = [run["score"] for run in arm["runs"]]
            assert arm["score_mean"] == pytest.approx(fmean(scores))
            assert arm["score_sd"] == pytest.approx(stdev(scores))
            for run in arm["runs"]:
                assert len(run["losses"]) == found["plan"]["steps"]
                assert run["losses"][-1] < 0.9 * run["losses"][0], f"{task} is learned"


def test_all_begin_alike(quick):
    """The same weights and batch: the first loss differs by the formats' rounding alone."""
    _, _, result = quick
    for found in result["tasks"].values():
        runs = {name: arm["runs"] for name, arm in found["results"].items()}
        for i, run in enumerate(runs["float32"]):
            for name, within in (("bfloat16", 2e-2), ("bposit16", 1e-2), ("bposit32", 1e-5)):
                assert runs[name][i]["losses"][0] == pytest.approx(run["losses"][0], rel=within)


def test_posits_give_one_hash_and_floats_several(quick):
    _, _, result = quick
    for found in result["tasks"].values():
        ways = found["summed_again"]["weights_sha256"]
        assert {w["threads"] for w in ways} == {1, 2}
        assert {w["parts"] for w in ways} == {1, 5}
        assert {w["shuffled"] for w in ways} == {False, True}
        hashes = {arm: {w[arm] for w in ways} for arm in ARMS}
        for arm in ARMS:
            assert (len(hashes[arm]) == 1) == (arm in EXACT)
    for arm, sentence in zip(ARMS, result["verdict"], strict=True):
        assert ("same weights, bit for bit" in sentence) == (arm in EXACT)


def test_bytes_are_those_of_the_formats(quick):
    """Residues only of posits; SGD has one moment a weight, AdamW two."""
    _, _, result = quick
    for task, moments in (("digits", 1), ("text", 2)):
        for name, arm in result["tasks"][task]["results"].items():
            size, found = 4 if name.endswith("32") else 2, arm["bytes"]
            whole = size * found["numbers"]
            assert found["weights"] == whole
            assert found["residues"] == (whole if name in EXACT else 0)
            assert found["moments"] == moments * whole
            assert (found["gradients"] == whole) == (name not in EXACT)


def test_files_tell_nothing_of_the_machine(quick):
    out, *_ = quick
    for name in ("result.json", "loss.svg", "accuracy.svg"):
        content = (out / name).read_text(encoding="utf-8")
        assert str(out.parent) not in content
        assert str(Path.home()) + "/" not in content
        assert f'"{socket.gethostname()}"' not in content


def test_exit_status_tells_of_lost_exactness(tiny, monkeypatch, tmp_path):
    """torch's optimizers collect no exact gradients: each micro-batch's is rounded."""
    monkeypatch.setattr(PositArm, "optimizer", FloatArm.optimizer)
    done = CliRunner().invoke(app, ["--quick", "--processes", "1", "--out", str(tmp_path)])
    assert done.exit_code == 1, done.output
    assert "a defect" in done.output
    assert {p.name for p in tmp_path.iterdir()} == set(FILES)


@pytest.mark.parametrize("task", [Digits, Text])
def test_every_way_sums_the_same_samples(task):
    """In float64 the ways agree but for the last places: they are ways of the same training."""
    arm, loaded = FloatArm(torch.float64), task.load()
    plan = replace(task.plan, steps=10, batch=11)
    with limited(1):
        networks = [train(loaded, arm, plan, 0, way, steps=3)[0] for way in WAYS]
    runs = [np.concatenate([w.detach().numpy().ravel() for w in n.parameters()]) for n in networks]
    for found in runs[1:]:
        assert np.abs(found - runs[0]).max() < 1e-9


def test_text_is_prose_once():
    lines = paragraphs()
    assert len(lines) == len(set(lines)) > 300
    assert sum(map(len, lines)) > 60_000
    assert all("::=" not in line and ">>>" not in line and "  " not in line for line in lines)
    assert any("the" in line.split() for line in lines)


def test_text_is_split_by_paragraphs(text):
    def written(numbers):
        return "".join(text.alphabet[i] for i in numbers.tolist())

    lines = paragraphs()
    assert written(text.inputs)[1:] == written(text.targets)[:-1]
    assert written(text.test_inputs.flatten())[1:] == written(text.test_targets.flatten())[:-1]
    assert set(written(text.inputs).split("\n")[:-1]) <= set(lines)
    assert not set(written(text.inputs).split("\n")) & set(lines[::10])
    tested = written(text.test_inputs.flatten()).split("\n")[:-1]  # the last may be cut
    assert tested == lines[::10][: len(tested)]
    assert len(tested) >= len(lines[::10]) - 2


@pytest.mark.parametrize("task", [Digits, Text])
def test_batches_are_of_the_seed(task):
    loaded = task.load()
    first, again, other = (
        list(islice(loaded.batches(seed, 400), 4)) for seed in (0, 0, 1)
    )  # the fourth is of a new order of the digits
    for (x, y), (x2, y2), (x3, _) in zip(first, again, other, strict=True):
        assert len(x) == len(y) == 400
        assert torch.equal(x, x2)
        assert torch.equal(y, y2)
        assert not torch.equal(x, x3)


def test_score_of_a_network_that_knows_nothing(text):
    """Equal logits: log2 of the alphabet's size; and one digit in ten."""
    assert text.score(lambda x: torch.zeros(*x.shape, len(text.alphabet))) == pytest.approx(
        np.log2(len(text.alphabet)), rel=1e-6
    )
    digits = Digits.load()
    right = torch.nn.functional.one_hot(digits.test_targets, 10).double()
    assert digits.score(lambda _: right) == 100
    assert digits.score(lambda x: torch.eye(10)[[0] * len(x)]) == pytest.approx(10, abs=0.5)


def test_writing_follows_the_network(text):
    """One that is sure of the next letter of the alphabet writes the alphabet."""

    def next_letter(x):
        made = torch.zeros(*x.shape, len(text.alphabet))
        return made.scatter_(-1, ((x + 1) % len(text.alphabet)).unsqueeze(-1), 40.0)

    assert text.write(next_letter, ["if a", "or x"], 2) == ["if abc", "or xyz"]


def half(job: int, step) -> float:
    if job < 0:
        raise ValueError(f"{job} is negative")
    if job > 100:
        os._exit(1)
    for _ in range(job):
        step()
    with limited(1):
        return job / 2 if torch.get_num_threads() == 1 else -1.0


@pytest.mark.parametrize("count", [1, 2])
def test_workers(count):
    ticks = dict.fromkeys(range(5), 0)

    def steps(job):
        def step():
            ticks[job] += 1

        return step

    with Workers(count) as workers:
        assert workers.map(half, [3, 0, 4, 1], steps) == [1.5, 0, 2, 0.5]
        assert ticks == {0: 0, 1: 1, 2: 0, 3: 3, 4: 4}
        with pytest.raises(ValueError, match="-1 is negative"):
            workers.map(half, [1, -1, 1], steps)
        assert workers.map(half, [2], steps) == [1]
        if count > 1:
            with pytest.raises(BrokenProcessPool):
                workers.map(half, [101], lambda _: lambda: None)


def test_missing_package_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    done = CliRunner().invoke(app, ["--out", str(tmp_path)])
    assert done.exit_code == 2
    assert done.stderr == "demo: needs torch, scikit-learn: pip install 'bposit[demo]'\n"


def test_help_needs_nothing():
    """Not even modules of the demo that import torch."""
    lines = "import sys; sys.modules['torch'] = None; from bposit.demo.__main__ import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", lines, "--help"],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert all(option in done.stdout for option in ("--quick", "--out", "--seed", "--processes"))


@pytest.mark.parametrize("arguments", [["--seed", "-1"], ["--out", __file__], ["--processes", "0"]])
def test_bad_options(arguments):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert "Traceback" not in done.output


def test_smoothing_keeps_lines():
    x = np.arange(12.0).reshape(2, 6)
    assert curves.smooth(x, 3).tolist() == [[1, 2, 3, 4], [7, 8, 9, 10]]


def test_curves_are_reproducible_and_complete(tmp_path):
    rng = np.random.default_rng(0)
    losses = {arm: 2 + rng.random((3, 40)) for arm in ARMS}
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        picture = curves.draw({"digits": losses, "text": losses}, {"digits": "D", "text": "T"}, "x")
        figure.save(picture, folder / "p")
    for name in ("p.svg", "p.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    svg = (tmp_path / "a/p.svg").read_text()
    ElementTree.fromstring(svg)
    assert all(color in svg.lower() for color in ("#30343a", "#a8467f", "#0072b2", "#c75300"))
