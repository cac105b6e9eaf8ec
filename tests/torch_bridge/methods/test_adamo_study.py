"""The experiments of the AdamO page: diagnostics, arms, and what is committed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from torch_bridge.methods._result import Result, interval, read
from torch_bridge.methods.adamo import (
    condition,
    control,
    dormant_share,
    effective_rank,
    ntk_condition,
    study,
)
from torch_bridge.methods.adamo.__main__ import METHOD
from torch_bridge.methods.adamo.arms import ARMS, Arm, make
from torch_bridge.methods.adamo.figure import draw
from torch_bridge.methods.adamo.formats import FORMATS, Narrow, Stored
from torch_bridge.methods.adamo.lifetime import live
from torch_bridge.methods.adamo.networks import CReLU, Perceptron
from torch_bridge.methods.adamo.tasks import TASKS, tasks

ROOT = Path(__file__).parents[3]
RESULT = ROOT / "bench" / "results" / "methods" / "adamo" / "result.json"
PAGE = ROOT / "docs" / "methods" / "adamo.md"
TABLES = [*TASKS, "revival", "cart-pole", "deviation", "16 bits"]  # in the page's order
COLUMNS = {
    "largest condition": "condition", "log₁₀ cond. NTK": "log10 NTK condition",
    "alive again": "alive", "reward, second half": "second half", "reward, whole life": "whole",
    "median error of a diagonal element": "diagonal", "error of the matrix": "whole",
    "zeros on the diagonal": "zeros",
}  # fmt: skip


@pytest.fixture(scope="module")
def committed() -> Result:
    return read(RESULT)


def means(result: Result, experiment: str, metric: str) -> dict[str, float]:
    found = result.experiments[experiment]
    return {arm: found.mean(arm, metric) for arm in found.values}


def test_what_is_committed(committed: Result, tmp_path: Path) -> None:
    """Five seeds, sweeps on others and equal, the settings that ship, a figure to redraw."""
    assert not committed.quick
    assert all(len(e.seeds) == 5 for e in committed.experiments.values())
    chosen = {arm: sweep.chosen for arm, sweep in committed.sweeps.items()}
    assert chosen == json.loads(METHOD.sweeps.read_text())
    for name in (*TASKS, "cart-pole"):
        tried = {len(s.tried) for arm, s in committed.sweeps.items() if arm.startswith(name)}
        assert len(tried) == 1, name
    draw(committed).savefig(tmp_path / "x.png")


def test_the_tables_of_the_page_are_the_committed_numbers(committed: Result) -> None:
    text = PAGE.read_text(encoding="utf-8").split("## Does it work?")[1]
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    for name, table in zip(TABLES, tables, strict=True):
        head, _, *rows = ([c.strip() for c in r.split("|")[1:-1]] for r in table.splitlines())
        found = committed.experiments[name]
        assert {row[0] for row in rows} == set(found.values)
        for row in rows:
            for column, cell in zip(head[1:], row[1:], strict=True):
                mean = found.mean(row[0], COLUMNS.get(column, column))
                shown, unit = Decimal(cell.split()[0]), 100 if cell.endswith("%") else 1
                half = 0.5 * 10.0 ** int(shown.as_tuple().exponent)
                assert abs(unit * mean - float(shown)) <= 1.001 * half, (name, row[0], column)


def test_what_the_page_claims(committed: Result) -> None:
    last = means(committed, "random labels", "last five")
    assert last["AdamO"] > 0.98
    assert last["AdamO"] > last["AdamW"] + 0.05
    assert means(committed, "random labels", "dormant")["AdamO"] < 0.05
    alive = means(committed, "revival", "alive")
    assert alive["isometry alone"] > 0.9
    assert alive["AdamW"] == alive["AdamW, weight decay 1"] == 0
    lost = means(committed, "16 bits", "updates lost")
    assert lost["bposit16 + quire, residue"] < 0.001
    assert lost["bposit16 + quire, nearest"] > 0.05
    assert lost["float32"] < 0.01
    assert lost["bposit32, nearest"] < 0.01
    assert lost["bfloat16"] > lost["bposit16 + quire, nearest"]
    dormant = means(committed, "cart-pole", "dormant")
    assert 0.05 < dormant["AdamO"] < 0.3 * dormant["AdamW"]
    final = committed.experiments["16 bits"]
    for arm in ("bposit16, residue", "bposit16 + quire, nearest", "bposit16 + quire, residue"):
        gap = np.subtract(final.numbers(arm, "last five"), final.numbers("bfloat16", "last five"))
        low, high = interval([*map(float, gap)]) or (0, 0)
        assert 0.0145 < low < high < 0.05, arm
    off = means(committed, "deviation", "diagonal")
    assert max(off.pop(f"{name}, -1 inside") for name in ("bposit16 + quire", "bposit32")) < 2e-3
    assert min(off.values()) > 0.5


@pytest.mark.parametrize("kind", ARMS)
def test_every_arm_learns_and_is_repeatable(kind: str) -> None:
    plan = replace(TASKS["random labels"], count=2, epochs=2)
    settings = ARMS[kind][-1]
    a, b = (live("random labels", plan, kind, settings, 3) for _ in range(2))
    assert a.accuracy == b.accuracy
    assert len(ARMS[kind]) == 6
    task = next(tasks("random labels", 3, 1))
    one = make(kind, 64, 3, settings)
    start = [p.detach().clone() for p in one.model.parameters()]
    losses = [one.step(task.x, task.labels) for _ in range(8)]
    assert losses[-1] < losses[0]
    assert all(not torch.equal(p, q) for p, q in zip(one.model.parameters(), start, strict=True))


def test_arms_do_what_they_are_called() -> None:
    model = Perceptron(5, 8, 3, depth=2, seed=1)
    pull = Arm(model, "L2 to the start", 0, lr=0.1, strength=2.0)
    coupled = Arm(Perceptron(8, 8, 3), "coupled penalty", 0, lr=0.1, strength=1.0)
    with torch.no_grad():
        assert float(pull.penalty()) == 0
        assert float(coupled.penalty()) < 1e-9
        model.layers[0].weight += 0.5
        assert float(pull.penalty()) == pytest.approx(2.0 * 0.25 * 40)
    moved = model.layers[0].weight.detach().clone()
    shrink = Arm(model, "shrink and perturb", 0, lr=0.1, strength=0.25)
    shrink.next_task()
    fresh = 4 * (model.layers[0].weight.detach() - 0.75 * moved)
    assert torch.allclose(fresh.T @ fresh, torch.eye(5), atol=1e-4)  # orthogonal, as at a start
    with pytest.raises(ValueError, match="arm 'SGD': possible are AdamO"):
        Arm(model, "SGD", 0, lr=0.1)


def test_crelu() -> None:
    x = torch.tensor([[1.0, -2.0]])
    assert CReLU()(x).tolist() == [[1.0, 0.0, 0.0, 2.0]]
    wide = Perceptron(4, 6, 2, concatenated=True)
    assert [f.shape[1] for f in wide.features(torch.ones(1, 4))] == [6] * 4
    assert wide.layers[1].weight.shape == (3, 6)


def test_diagnostics() -> None:
    assert condition(torch.diag(torch.tensor([4.0, 2.0, 1.0]))) == pytest.approx(4)
    assert condition(torch.zeros(2, 2)) == float("inf")
    assert effective_rank(torch.eye(5)) == pytest.approx(5)
    assert effective_rank(torch.ones(7, 3)) == pytest.approx(1, abs=1e-4)
    assert effective_rank(torch.diag(torch.tensor([1.0, 1.0, 0.0]))) == pytest.approx(2)
    assert effective_rank(torch.zeros(3, 3)) == 0
    zero = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    assert dormant_share([zero, torch.ones(2, 2)]) == 0.25


def test_the_kernel_of_a_linear_map() -> None:
    """J of W·x has J·Jᵀ = X·Xᵀ ⊗ I."""
    torch.manual_seed(0)
    x = torch.randn(4, 6)
    values = torch.linalg.svdvals(x.double())
    found = ntk_condition(nn.Linear(6, 3, bias=False), x)
    assert found == pytest.approx(float((values[0] / values[-1]) ** 2), rel=1e-3)
    assert ntk_condition(nn.Linear(6, 3, bias=False), torch.cat([x, x[:1]])) > 1e10


def test_streams() -> None:
    for name, size in (("random labels", 512), ("permuted digits", 1400), ("permuted MNIST", 4000)):
        first, second = tasks(name, 0, 2)
        again = next(tasks(name, 0, 1))
        assert torch.equal(first.x, again.x)
        assert len(first.x) == size
        if name == "random labels":
            assert torch.equal(first.x, second.x)
            assert 0.05 < (first.labels == second.labels).double().mean() < 0.2
        else:
            assert torch.equal(first.labels, second.labels)
            assert not torch.equal(first.x, second.x)
            assert torch.equal(first.x.sort(dim=1)[0], second.x.sort(dim=1)[0])
            seen, asked = (set(map(tuple, x.tolist())) for x in (first.x[:50], first.test_x))
            assert not seen & asked


def test_control() -> None:
    """A policy that is trained keeps the pole up longer; the physics alternate."""
    drawn = control.physics(3, 4)
    assert [p.swapped for p in drawn] == [False, True, False, True]
    assert control.physics(3, 4) == drawn
    settings = {"lr": 4e-3}
    a = control.play("AdamW", settings, 0, 1, 14)
    idle = control.play("AdamW", {"lr": 0.0}, 0, 1, 4)
    assert a.returns[0] > 1.5 * idle.returns[0]
    short = [control.play("AdamW", settings, 0, 2, 2) for _ in range(2)]
    assert short[0] == short[1]


def test_advantages_are_generalized() -> None:
    """δ + γλ·(next), cut where an episode ends."""
    rng = np.random.default_rng(0)
    shape = (control.STEPS, control.ENVS)
    rows: dict[str, Any] = {
        "rewards": torch.ones(shape), "values": torch.from_numpy(rng.standard_normal(shape)),
        "goes": torch.from_numpy((rng.random(shape) > 0.2).astype(float)),
    }  # fmt: skip
    after = torch.from_numpy(rng.standard_normal(control.ENVS))
    found = control._advantages(rows, after)
    v = torch.cat([rows["values"], after[None]])
    for t in (0, 5, control.STEPS - 1):
        right, weight = torch.zeros(control.ENVS, dtype=torch.float64), torch.ones(control.ENVS)
        for k in range(t, control.STEPS):
            delta = 1 + 0.99 * v[k + 1] * rows["goes"][k] - v[k]
            right += weight * delta
            weight = weight * 0.99 * 0.95 * rows["goes"][k]
        assert torch.allclose(found[t].double(), right, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "bposit16, residue"])
def test_formats(name: str) -> None:
    plan = replace(TASKS["random labels"], count=1, epochs=1, samples=64)
    arm = Stored(name, 0)
    life = live("random labels", plan, "AdamO", {}, 0, arm=arm)
    assert 0 <= arm.inner.lost <= arm.inner.moved
    assert arm.inner.moved > 1000
    assert 0 <= life.accuracy[0] <= 1
    kept = next(arm.model.parameters())
    if name == "bfloat16":
        assert kept.dtype == torch.bfloat16
    elif name != "float32":
        assert str(kept.spec) == ("<32,6,5>" if "32" in name else "<16,6,5>")


def test_the_formats_lose_steps_by_one_count() -> None:
    """The same rule in float32 and bposit32, which hold nearly the same: nearly the same loss."""
    plan = replace(TASKS["random labels"], count=1, epochs=10, samples=192)
    lost, moved = {}, {}
    for name in ("float32", "bfloat16", "bposit16 + quire, nearest", "bposit32, nearest"):
        arm = Stored(name, 0)
        live("random labels", plan, "AdamO", {}, 0, arm=arm)
        lost[name], moved[name] = arm.inner.lost, arm.inner.moved
    assert max(moved.values()) < 1.001 * min(moved.values())
    assert lost["float32"] == pytest.approx(lost["bposit32, nearest"], rel=0.1)
    assert 2 * lost["float32"] < lost["bposit16 + quire, nearest"] < lost["bfloat16"]


def test_floats_are_stored_as_posits_are() -> None:
    """A wide step, added and rounded once; counted where it is not 0 and nothing changed."""
    w = nn.Parameter(torch.tensor([[1.0, 1.0, 1.0]], dtype=torch.bfloat16))
    start = w.detach().clone()
    opt = Narrow([{"params": [w], "iso": 0.0}], 1e-3)
    w.grad = torch.tensor([[1.0, 0.0, -1.0]], dtype=torch.bfloat16)
    opt.step()  # -1e-3 and 1e-3; last places are 2⁻⁸ below 1, and 2⁻⁷ above
    assert torch.equal(w, start)
    assert (opt.lost, opt.moved) == (2, 2)
    opt = Narrow([{"params": [w], "iso": 0.0}], 3e-3)
    opt.step()
    assert w.tolist() == [[1 - 2**-8, 1.0, 1.0]]
    assert (opt.lost, opt.moved) == (1, 2)
    assert all(v.dtype == torch.float64 for s in opt.inner.state.values() for v in (s["exp_avg"],))


class Listener:
    """Takes the place of a run: keeps what would be done."""

    def __init__(self, quick: bool) -> None:
        self.quick, self.seeds = quick, (0,) if quick else (0, 1, 2, 3, 4)
        self.planned: dict[str, tuple[str, dict[str, Any]]] = {}

    def trials(self, experiment: Any, arms: Any, settings: Any = None) -> None:
        self.planned[experiment.name] = experiment.about, dict(arms)

    def sweep(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {}


def test_what_is_committed_is_what_the_code_measures(committed: Result) -> None:
    """The same experiments, sizes and arms: neither has moved on without the other."""
    listener: Any = Listener(quick=False)
    METHOD.run(listener)
    assert set(listener.planned) == set(committed.experiments)
    for name, (about, arms) in listener.planned.items():
        found = committed.experiments[name]
        assert (found.about, set(found.values)) == (about, set(arms)), name


def test_dead_units_come_back() -> None:
    """The isometry alone brings them back: nothing else is in its arm, not even a gradient."""
    listener: Any = Listener(quick=True)
    study.revival(listener)
    _, trials = listener.planned["revival"]
    assert trials["isometry alone"](0)["alive"] > 0.9
    assert trials["AdamW"](0)["alive"] == 0


def test_swapped_actions_push_the_other_way() -> None:
    """The same policy and choices from the same states: what happens differs from step one on."""
    gymnasium = pytest.importorskip("gymnasium")
    states = []
    for swapped in (False, True):
        env = gymnasium.make_vec(
            "CartPole-v1", num_envs=control.ENVS, vectorization_mode="vector_entry_point"
        )
        state, _ = env.reset(seed=5)
        physics = control.physics(0, 1)[0]._replace(swapped=swapped)
        model, drawn = Perceptron(4, 8, 3, depth=1), torch.Generator().manual_seed(0)
        batch, *_ = control._collect(env, model, state, np.zeros(control.ENVS), physics, drawn)
        states.append(batch["states"])
    n = control.ENVS
    assert torch.equal(states[0][:n], states[1][:n])
    moved = states[0][n : 2 * n, 1] - states[1][n : 2 * n, 1]  # the cart's speed
    assert (moved.abs() > 0.1).all()
