"""The experiments of the Kalman page: what is committed, learners, and a quick run of each kind."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from torch_bridge.methods._result import Result, interval, read
from torch_bridge.methods.kalman import (
    ARITHMETICS,
    ActivationCorrection,
    Gate,
    ParameterFilter,
    arithmetic,
    data,
    transformer,
)
from torch_bridge.methods.kalman.__main__ import METHOD
from torch_bridge.methods.kalman.baselines import GradientLearner, Persistence
from torch_bridge.methods.kalman.figure import draw
from torch_bridge.methods.kalman.formats import EXACT, FORMS
from torch_bridge.methods.kalman.online import GatedFilter, errors, learner, recovery

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "methods" / "kalman.md"
RESULT = ROOT / "bench" / "results" / "methods" / "kalman" / "result.json"


@pytest.fixture(scope="module")
def committed() -> Result:
    return read(RESULT)


def means(result: Result, experiment: str, metric: str) -> dict[str, float]:
    found = result.experiments[experiment]
    return {arm: found.mean(arm, metric) for arm in found.values}


def test_what_is_committed(committed: Result, tmp_path: Path) -> None:
    """Five seeds, sweeps on others, the settings that ship, and a figure that can be redrawn."""
    assert not committed.quick
    assert all(len(e.seeds) >= 5 for e in committed.experiments.values() if e.name != "Nile")
    chosen = {arm: sweep.chosen for arm, sweep in committed.sweeps.items()}
    assert chosen == json.loads(METHOD.sweeps.read_text())
    assert all(len(sweep.tried) == 9 for sweep in committed.sweeps.values())
    draw(committed).savefig(tmp_path / "x.png")


def test_what_the_page_claims(committed: Result) -> None:
    for value in means(committed, "filter = ridge", "error").values():
        assert value < 1e-9
    assert means(committed, "any order", "different") == {
        "float32": 8.0, "float64": 8.0, "bposit16 + quire": 1.0,
    }  # fmt: skip
    one_pass = means(committed, "one pass", "accuracy")
    assert one_pass.pop("Kalman") > max(one_pass.values())
    assert max(means(committed, "Nile", "states").values()) < 1e-6
    assert max(means(committed, "Nile", "likelihood").values()) < 1e-6
    sixteen = ("bfloat16", "bposit16 + quire")
    for form in ("P", "P, Joseph"):
        assert all(means(committed, form, "accuracy")[name] < 0.3 for name in sixteen)
    for form in ("square root", "Λ in quires"):
        assert all(means(committed, form, "accuracy")[name] > 0.95 for name in sixteen)


def test_the_page_prints_what_was_measured(committed: Result) -> None:
    """Each row of the formats' table: accuracy, and weights off unless over 1000 or no number."""
    printed = re.findall(r"^\| (.+?) \| (0\.\d+, .+) \|$", PAGE.read_text(), re.M)
    assert [name for name, _ in printed] == list(FORMS)
    for name, row in printed:
        accuracy, off = (means(committed, name, m) for m in ("accuracy", "weights off"))
        for arm, cell in zip(ARITHMETICS, row.split(" | "), strict=True):
            if arm not in accuracy:
                assert cell == "as with quire"
                continue
            right, far = cell.split(", ")
            assert float(right) == round(accuracy[arm], 3)
            if off[arm] <= 1000:
                assert float(far) == pytest.approx(off[arm], rel=0.05, abs=5e-4), (name, arm)
            else:
                assert far == "diverged"


def pairwise(result: Result, experiment: str, metric: str, a: str, b: str) -> tuple[float, float]:
    """Mean of a - b over the seeds, and half its 95 % interval."""
    found = result.experiments[experiment]
    apart = np.subtract(*(found.numbers(arm, metric) for arm in (a, b)))
    low, high = interval(apart.tolist()) or (np.nan, np.nan)
    return float(apart.mean()), (high - low) / 2


@pytest.mark.parametrize(
    ("experiment", "metric", "arms", "text"),
    [
        ("one pass", "accuracy", ("Kalman", "averaged SGD, entropy"), "1.2 ± 0.5 points"),
        ("new names", "accuracy after", ("Kalman, gated", "Adam"), "3.7 ± 2.0\npoints"),
        ("new names", "samples", ("Adam", "Kalman, gated"), "15 ± 18 samples"),
        ("activation correction", "squares", ("no correction", "last layer"), "0.0011 ± 0.0010"),
        ("activation correction", "accuracy", ("last layer", "no correction"), "0.003 ± 0.005"),
        ("activation correction", "squares", ("no correction", "innovation as input"),
         "0.0141 ± 0.0016"),
    ],
)  # fmt: skip
def test_differences_on_the_page_are_pairwise(
    committed: Result, experiment: str, metric: str, arms: tuple[str, str], text: str
) -> None:
    scale, digits = (100 if "points" in text else 1), len(text[: text.index(" ")].partition(".")[2])
    mean, half = (scale * x for x in pairwise(committed, experiment, metric, *arms))
    assert text.startswith(f"{mean:.{digits}f} ± {half:.{digits}f}")
    assert text in PAGE.read_text()


def test_what_a_trial_costs(committed: Result) -> None:
    cost = means(committed, "one pass", "seconds")
    times = [cost["Kalman"] / cost[arm] for arm in ("averaged SGD, entropy", "Adam, entropy")]
    text = "{:.1f} times as long as that\narm's, and {:.1f} times as long as Adam's".format(*times)
    assert text in PAGE.read_text()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_in_float64(form: str) -> None:
    samples = data.digits(7, size=40)
    few = samples._replace(h=samples.h[:150], y=samples.y[:150])
    learn, arithmetics, _ = FORMS[form]
    weights, matrix = learn(arithmetic("float64"), few)
    right, _ = FORMS["Λ once"][0](arithmetic("float64"), few)
    assert np.abs(weights.astype(float) - right).max() <= 1e-9 * np.abs(right).max()
    assert np.linalg.eigvalsh((matrix + matrix.T) / 2)[0] > 0
    assert set(arithmetics) <= set(EXACT)


@pytest.mark.parametrize(
    ("rule", "make"),
    [
        ("sgd", lambda p: torch.optim.SGD(p, lr=0.03)),
        ("adam", lambda p: torch.optim.Adam(p, lr=0.03)),
    ],
)
@pytest.mark.parametrize("entropy", [False, True])
def test_baselines_are_torchs(rule: Any, make: Any, entropy: bool) -> None:
    rng = np.random.default_rng(0)
    ours = GradientLearner(6, 4, rule=rule, lr=0.03, entropy=entropy)
    weights = torch.zeros((6, 4), dtype=torch.float64, requires_grad=True)
    optimizer = make([weights])
    for _ in range(20):
        h, label = rng.standard_normal(6), int(rng.integers(4))
        ours.update(h, np.eye(4)[label])
        made = torch.from_numpy(h) @ weights
        target = torch.eye(4, dtype=torch.float64)[label]
        loss = -made.log_softmax(0)[label] if entropy else ((made - target) ** 2).sum() / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert np.allclose(ours.weights, weights.detach().numpy(), rtol=1e-6, atol=1e-9)


def test_other_learners() -> None:
    averaged = GradientLearner(1, rule="averaged", lr=0.5)
    nlms = GradientLearner(2, rule="nlms", lr=0.5)
    for _ in range(2):
        averaged.update([1.0], 1.0)  # weights 0.5, 0.75
    assert averaged.predict([1.0]) == pytest.approx([0.625])
    nlms.update([1.0, 2.0], 6.0)
    assert nlms.weights.ravel() == pytest.approx([0.5, 1.0])
    series = data.Series(np.zeros((3, 1)), np.array([[1.0], [1.0], [3.0]]))
    assert errors(Persistence, series).tolist() == [1, 0, 4]
    assert errors(lambda: learner("LMS", 1, lr=0.1), series).tolist() == [1, 1, 9]


def test_recovery() -> None:
    squares = np.array([0, 0, 9, 9, 1, 1, 1, 9.0])
    assert recovery(squares, 2, 4, window=2) == 2
    assert recovery(squares, 2, 5.5, window=2) == 1
    assert recovery(squares, 2, 0.5, window=2) == 6


def test_a_gated_filter_skips_a_burst_and_follows_a_change() -> None:
    """Wild values of a sensor for 4 samples, and later other weights for good."""
    rng = np.random.default_rng(4)
    h, w = rng.standard_normal((600, 5)), rng.standard_normal((5, 1))
    y = h @ w + 0.1 * rng.standard_normal((600, 1))
    y[200:204] += 100.0
    y[400:] = -y[400:]
    inner = [ParameterFilter(5, noise=noise) for noise in (1.0, 0.01)]
    gated = GatedFilter(inner[0], Gate(5.0))
    for t, (row, target) in enumerate(zip(h, y, strict=True)):
        gated.update(row, target)
        inner[1].update(row, target)
        if t == 250:
            after_burst = [np.abs(f.weights - w).max() for f in inner]
        if t == 450:
            after_change = [np.abs(f.weights + w).max() for f in inner]
    assert after_burst[0] < 0.05 < after_burst[1]
    assert after_change[0] < 0.1
    assert after_change[1] > 0.5
    assert 0.005 < inner[0].noise < 0.05  # 0.01, and it was told 1


def test_an_activation_is_corrected_by_what_innovations_say_of_it() -> None:
    rng = np.random.default_rng(5)
    gain = rng.standard_normal((6, 3))
    one = ActivationCorrection(6, 3, ridge=1e-6, memory=0.9999)
    for _ in range(4000):
        nu = rng.standard_normal(3)
        one.observe(5.0 + gain @ nu, nu)
    one.solve()
    assert np.abs(one.gain - gain).max() < 0.3
    assert np.allclose(one.correct(np.zeros(6), [1.0, 0, 0]), one.gain[:, 0])
    for act in (one.observe, one.correct):
        with pytest.raises(ValueError, match=r"innovation has shape \(1,\); it must be \(3,\)"):
            act(np.zeros(6), [1.0])
        with pytest.raises(ValueError, match=r"h is nan"):
            act(np.full(6, np.nan), [1.0, 0, 0])
    with pytest.raises(ValueError, match="memory=1"):
        ActivationCorrection(6, 3, memory=1)


def test_reading_is_repeatable_and_causal() -> None:
    tokens = data.text(400)
    assert transformer.read(tokens, 0, "all", 1) == transformer.read(tokens, 0, "all", 1)
    blocks = [transformer.Blocks(3) for _ in range(2)]
    keep = [b.forward(5, lambda _, h: h)[0] for b in blocks]
    assert np.array_equal(*keep)
    blocks[1].forward(6, lambda _, h: h)
    changed = [b.forward(7, lambda _, h: h)[0] for b in blocks]
    assert not np.allclose(*changed)  # it attends to the past


def test_data_are_as_described() -> None:
    samples = data.digits(0)
    assert (samples.h.shape, samples.test_h.shape) == ((1400, 256), (397, 256))
    assert np.abs(samples.h).max() <= 1
    assert samples.y.sum(axis=1).tolist() == [1.0] * 1400
    assert (data.sunspots().shape, data.nile().shape) == ((309,), (100,))
    hidden, seen = data.autoregression(1, 20_000, noise=2.0)
    assert hidden.std() == pytest.approx(1, rel=0.1)
    assert (seen - hidden).std() == pytest.approx(2, rel=0.05)
    letters = data.text(5000)
    assert set(np.unique(letters)) == set(range(27))
    assert not ((letters[1:] == 0) & (letters[:-1] == 0)).any()


def test_the_flip_turns_the_right_weights_around() -> None:
    x = data.sunspots()
    plain, flipped = data.reservoir(x, 0), data.reservoir(x, 0, flip=150)
    assert np.array_equal(plain.h[:150], flipped.h[:150])
    assert np.allclose(plain.h[250:], -flipped.h[250:], atol=1e-3)
    assert np.array_equal(plain.y, flipped.y)
