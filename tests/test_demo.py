"""`make demo`: it ends with files and a verdict, the exactness it shows is real, and can fail."""

import json
import os
import socket
import subprocess
import sys
from decimal import Context, Decimal
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import ml_dtypes
import numpy as np
import pytest
from typer.testing import CliRunner

import posit
from bposit import figure
from bposit.demo.__main__ import app
from bposit.demo.arithmetic import BoundedPosit, Float
from bposit.demo.study import WAYS
from bposit.demo.training import Data, Plan, load_digits, train

SPEC = posit.bposit16
ARMS = ["bposit16", "bfloat16", "float32"]


def run_quick(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "bposit.demo", "--quick", "--seed", "3"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict]:
    folder = tmp_path_factory.mktemp("demo")
    done = run_quick(folder, COLUMNS="80")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    out = folder / "demo-out"
    return out, done.stdout, json.loads((out / "result.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def digits() -> Data:
    return load_digits()


def rounded_sums(shape):
    """The mutant: a micro-batch's gradient is rounded before it is added to the others."""

    class Rounded:
        total = np.zeros(shape, SPEC.storage)

        def add_products(self, a, b):
            part = exact_sums(BoundedPosit(SPEC), shape).add_products(a, b).round()
            self.total = posit.add(self.total, part, SPEC)

        def merge(self, other):
            self.total = posit.add(self.total, other.total, SPEC)

        def round(self):
            return self.total

    return Rounded()


exact_sums = BoundedPosit.sums


def test_last_line_says_where_to_look(quick):
    out, text, _ = quick
    assert text.splitlines()[-1] == "Look in demo-out/: accuracy.png, accuracy.svg, result.json"
    assert {p.name for p in out.iterdir()} == {"accuracy.png", "accuracy.svg", "result.json"}


def test_output_shows_bars_tables_and_verdict(quick):
    _, text, result = quick
    for name in ARMS:
        assert f"{name} " in text
        assert result["formats"][name]["runs"][0]["weights_sha256"][:8] in text
    assert text.count("epochs") >= 2 * len(ARMS)
    unwrapped = " ".join(text.split())
    assert all(sentence in unwrapped for sentence in result["verdict"])


def test_result_has_every_number(quick):
    _, _, result = quick
    assert result["seeds"] == [3, 4, 5, 6, 7]
    assert list(result["formats"]) == ARMS
    for name, size in zip(ARMS, (2, 2, 4), strict=True):
        found = result["formats"][name]
        assert found["bytes_per_parameter"] == size
        tests = [r["test_accuracy"] for r in found["runs"]]
        assert found["test_accuracy_mean"] == pytest.approx(np.mean(tests))
        assert found["test_accuracy_sd"] == pytest.approx(np.std(tests, ddof=1))
        assert all(0.85 < a <= 1 for a in tests), "two epochs already learn the digits"
        assert all(0 <= r["updates_lost"] < 0.7 for r in found["runs"])
    assert {"python", "numpy", "bposit", "ml_dtypes"} <= set(result["versions"])


def test_bposit16_weights_are_the_same_in_every_way(quick):
    _, _, result = quick
    ways = result["ways_of_summing"]
    assert [w["parts"] for w in ways] == [1, 2, 7, 1, 7]
    assert {w["threads"] for w in ways} == {1, 2}
    assert {w["shuffled"] for w in ways} == {False, True}
    hashes = {name: {w["weights_sha256"][name] for w in ways} for name in ARMS}
    assert len(hashes["bposit16"]) == 1
    assert result["different_weights"] == {name: len(h) for name, h in hashes.items()}
    for name, sentence in zip(ARMS, result["verdict"], strict=True):
        assert ("same weights, bit for bit" in sentence) == (len(hashes[name]) == 1)


def test_files_tell_nothing_of_the_machine(quick):
    out, *_ = quick
    for name in ("result.json", "accuracy.svg"):
        text = (out / name).read_text(encoding="utf-8")
        assert str(out.parent) not in text
        assert str(Path.home()) + "/" not in text
        assert f'"{socket.gethostname()}"' not in text


def test_narrow_ascii_terminal(tmp_path):
    done = run_quick(tmp_path, COLUMNS="40", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    assert max(map(len, lines)) <= 40
    assert "Look in demo-out/" in last
    first = json.loads((tmp_path / "demo-out/result.json").read_text())["ways_of_summing"][0]
    assert all(h[:6] in done.stdout for h in first["weights_sha256"].values())


@pytest.mark.parametrize("mutant", [False, True])
def test_exactness_can_be_lost(digits, monkeypatch, mutant):
    arm = BoundedPosit(SPEC)
    if mutant:
        monkeypatch.setattr(arm, "sums", rounded_sums)
    hashes = {train(arm, digits, Plan(epochs=1), 0, way).hash for way in WAYS}
    assert (len(hashes) > 1) == mutant


def test_exit_status_tells_of_lost_exactness(monkeypatch, tmp_path):
    monkeypatch.setattr(BoundedPosit, "sums", lambda _, shape: rounded_sums(shape))
    done = CliRunner().invoke(app, ["--quick", "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert "a defect" in done.output


def test_missing_package_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    done = CliRunner().invoke(app, ["--out", str(tmp_path)])
    assert done.exit_code == 2
    assert done.stderr == "demo: needs scikit-learn: pip install 'bposit[demo]'\n"


def test_help_needs_nothing(monkeypatch):
    for module in ("sklearn", "matplotlib", "ml_dtypes"):
        monkeypatch.setitem(sys.modules, module, None)
    done = CliRunner().invoke(app, ["--help"])
    assert done.exit_code == 0
    assert all(option in done.output for option in ("--quick", "--out", "--seed"))


@pytest.mark.parametrize("arguments", [["--seed", "-1"], ["--out", __file__]])
def test_bad_options(arguments):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert "Traceback" not in done.output


def test_gradient_is_the_derivative_of_the_loss(digits):
    """One step from known weights, against central differences of a loss written in float64."""
    x, y = digits.train_x[:16], digits.train_y[:16]
    few = Data(x, y, x, y)
    plan = {"batch": 16, "hidden": 5, "rate": 2.0**-6}
    arm = BoundedPosit(posit.bposit32)
    before, after = (
        [arm.decode(w) for w in train(arm, few, Plan(epochs=e, **plan), 0).layers] for e in (0, 1)
    )

    def loss(layers):
        hidden = np.maximum(x @ layers[0][:-1] + layers[0][-1], 0)
        z = hidden @ layers[1][:-1] + layers[1][-1]
        return float((np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]).sum())

    for k, index in [(0, (20, 1)), (0, (-1, 2)), (0, (36, 4)), (1, (0, 3)), (1, (-1, 9))]:
        shifted = []
        for step in (1e-5, -1e-5):
            layers = [w.copy() for w in before]
            layers[k][index] += step
            shifted.append(loss(layers))
        slope = (shifted[0] - shifted[1]) / 2e-5
        found = (before[k][index] - after[k][index]) / plan["rate"]
        assert found == pytest.approx(slope, rel=1e-4, abs=1e-5)


def test_lost_updates_are_those_that_leave_the_weight(digits):
    """One step: momentum is the gradient, so an update was tried where that is not zero."""
    start = Plan(epochs=0, batch=1437)
    arm = BoundedPosit(SPEC)
    before = train(arm, digits, start, 0)
    after = train(arm, digits, Plan(epochs=1, batch=1437), 0)
    tried = sum(int((g != 0).sum()) for g in after.gradients)
    moved = sum(int((b != a).sum()) for b, a in zip(before.layers, after.layers, strict=True))
    assert (after.tried, after.lost) == (tried, tried - moved)
    assert (before.tried, before.lost) == (0, 0)


def test_exponential_is_correctly_rounded_for_every_argument():
    patterns = np.arange(SPEC.nar + 1, 1, dtype=SPEC.storage)
    found = BoundedPosit(SPEC).exp(patterns)
    exact = Context(prec=40)
    for pattern, got, x in zip(patterns, found, posit.decode(patterns, SPEC), strict=True):
        if x < -200:  # e^-200 < 2^-288, below minpos
            assert got == 1, pattern
        else:
            power = Fraction(exact.exp(Decimal(float(x))))
            assert got == posit.reference.encode(power, SPEC), pattern


def test_nothing_loses_nan():
    posits = BoundedPosit(SPEC)
    z = np.array([[SPEC.nar, *posit.encode([-1.0, 0.0, 2.0], SPEC)]], dtype=SPEC.storage)
    assert posits.relu(z).tolist() == [[SPEC.nar, 0, 0, z[0, 3]]]
    assert (posits.residual(z, np.array([1])) == SPEC.nar)[0, 0]
    for dtype in (np.float32, ml_dtypes.bfloat16):
        floats = Float(dtype)
        relu = floats.relu(np.array([np.nan, -1, 2], dtype=dtype)).astype(float)
        assert np.isnan(relu[0])
        assert relu[1:].tolist() == [0, 2]


@pytest.mark.parametrize("name", ["bposit16", "float16", "bfloat16"])
def test_accuracy_bounds_the_rounding_error_tightly(name):
    number_format = figure.formats()[name]
    accuracy = figure.Accuracy.of(number_format)
    most = figure.positive_values(number_format)[-1]  # beyond it floats overflow
    rng = np.random.default_rng(0)
    for start in accuracy.edges[1:-1:7]:
        x = np.minimum(2.0 ** (start + rng.random(4000)), most)
        if name == "bposit16":
            rounded = posit.decode(posit.encode(x, SPEC), SPEC)
        else:
            rounded = x.astype(number_format).astype(np.float64)
        largest = (np.abs(rounded - x) / x).max()
        bound = 10 ** -accuracy.at(2.0**start)
        assert 0.8 * bound <= largest <= bound * (1 + 1e-12)


def test_accuracy_spans_the_formats_range():
    spans = {name: figure.Accuracy.of(f).edges[[0, -1]] for name, f in figure.formats().items()}
    assert spans["bposit16"].tolist() == [-192, 192]
    assert spans["posit16"].tolist() == [-56, 56]
    assert spans["float16"].tolist() == [-24, 16]
    assert spans["bfloat16"].tolist() == [-133, 128]
    assert figure.Accuracy.of(SPEC).at([2.0**200, 2.0**-200]).tolist() == [0, 0]


@pytest.mark.parametrize("wide", [posit.bposit32, np.float32])
def test_wide_formats_are_not_listed(wide):
    with pytest.raises(ValueError, match="has 32 bits; the values of at most 16"):
        figure.positive_values(wide)


def test_picture_is_reproducible_and_complete(tmp_path):
    import matplotlib.image

    x = np.random.default_rng(0).standard_normal(1000)
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        figure.save(figure.draw({"weights": x, "gradients": x / 1e6}, "title"), folder / "p")
    for name in ("p.svg", "p.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    svg = (tmp_path / "a/p.svg").read_text()
    ElementTree.fromstring(svg)
    assert "<dc:date>" not in svg
    for style in ("#0072b2", "#c75300", "#007a59", "#a8467f"):
        assert style in svg.lower()
    pixels = matplotlib.image.imread(tmp_path / "a/p.png")
    assert pixels.shape[:2] == (1104, 1440)
