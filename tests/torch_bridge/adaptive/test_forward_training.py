"""Steps by forward gradients: what they move, what they hold in memory, and that they learn."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import posit
import torch_bridge as tb
from bench import forward_memory
from posit import bposit16, bposit32
from torch_bridge._patterns import patterns_of
from torch_bridge.adaptive import _fused, forward
from torch_bridge.adaptive._estimators import WORK, combined
from torch_bridge.adaptive._layers import plan_of
from torch_bridge.optim._formats import formats
from torch_bridge.optim._update import UPDATES, Place, Step

from .forward_cases import MODELS, batch, loss, model, one_thread, posit_loss, size

ROOT = Path(__file__).parents[3]
__all__ = ["one_thread"]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("tangents", [1, 20])
def test_a_step_is_the_estimate_times_the_rate(name: str, tangents: int) -> None:
    found, shape = model(name)
    data = batch(shape)
    other = copy.deepcopy(found)
    trainer = forward.Trainer(found, loss, lr=0.1, tangents=tangents, seed=3)
    for step in range(2):
        torch.manual_seed(step)
        made = forward.gradient(other, loss, data, tangents=tangents, seed=3, step=step)
        torch.manual_seed(step)
        assert trainer.step(data) == pytest.approx(made.loss, rel=1e-14)
        with torch.no_grad():
            for leaf, g in made.tensors.items():
                other.get_parameter(leaf).sub_(g, alpha=0.1)
    for a, b in zip(found.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-14)


def peaks(make: str, depths: tuple[int, ...] = (2, 5, 20)) -> list[int]:
    """Bytes of torch's above weights and batch, with smaller layers than the bench has."""
    found = []
    for depth in depths:
        net, data = forward_memory.build(depth, 64), forward_memory.data(512, 64)
        step = forward_memory.ARMS[make](net)
        step(data)
        found.append(forward_memory.peak(lambda step=step, data=data: step(data))[0])
    return found


@pytest.mark.filterwarnings("ignore")  # of the profiler
def test_memory_is_constant_and_bounded() -> None:
    base = peaks("inference")
    assert len(set(base)) == 1
    for arm, most in (("forward", 1.65), ("forward, one by one", 2.2)):
        found = peaks(arm)
        assert len(set(found)) == 1, found
        assert found[0] <= most * base[0]


@pytest.mark.filterwarnings("ignore")
def test_what_grows_is_seen_to_grow() -> None:
    """The measurement can fail: reverse mode, and directions that are kept."""
    for arm, least in (("reverse", 3), ("jvp, whole direction", 1.2)):
        low, _, high = peaks(arm)
        assert high > least * low


@pytest.mark.filterwarnings("ignore")
def test_a_tangent_kept_for_all_layers_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    through = _fused.through_affine

    def keeping(pair: _fused.Pair, layer: object, shift: object) -> None:
        through(pair, layer, shift)  # type: ignore[arg-type]
        kept.append(pair.tangent)

    monkeypatch.setattr(_fused, "through_affine", keeping)
    with pytest.raises(AssertionError):
        test_memory_is_constant_and_bounded()


def digits() -> tuple[Tensor, Tensor]:
    images, labels = load_digits(return_X_y=True)
    return torch.from_numpy(images / 16.0).float(), torch.from_numpy(labels)


@pytest.mark.parametrize("perturb", ["weights", "activations"])
def test_it_learns_digits(perturb: str) -> None:
    x, y = digits()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    trainer = forward.Trainer(net, loss, lr=0.02)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    rng = np.random.default_rng(0)
    for step in range(400 if perturb == "weights" else 200):
        rows = torch.from_numpy(rng.choice(len(y), 64, replace=False))
        if perturb == "weights":
            trainer.step((x[rows], y[rows]))
        else:
            forward.gradient(net, loss, (x[rows], y[rows]), perturb="activations", step=step).write(
                net
            )
            optimizer.step()
    with torch.no_grad():
        accuracy = (net(x).argmax(1) == y).double().mean().item()
    assert accuracy > (0.5 if perturb == "weights" else 0.7)


@pytest.mark.parametrize("perturb", ["weights", "activations"])
def test_a_converted_model_learns(perturb: str) -> None:
    """bposit16 weights: stochastic rounding in place, or residues of an optimizer."""
    torch.manual_seed(0)
    x = torch.randn(40, 4, dtype=torch.float64)
    y = (x[:, 0] > x[:, 1]).long()
    net = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    tb.convert_(net, "bposit16")
    optimizer = tb.optim.PositSGD(net.parameters(), lr=0.2)
    trainer = forward.Trainer(net, posit_loss, lr=0.1, tangents=4)
    losses = []
    for step in range(60):
        if perturb == "weights":
            losses.append(trainer.step((x, y)))
        else:
            optimizer.zero_grad()
            made = forward.gradient(net, posit_loss, (x, y), perturb="activations", step=step)
            made.write(net)
            optimizer.step()
            losses.append(made.loss)
    assert losses[-1] < 0.6 * losses[0]
    assert all(torch.equal(p, tb.ops.fake_quant(p, "bposit16")) for p in net.parameters())


def test_a_converted_step_has_the_same_bits_for_any_split() -> None:
    torch.manual_seed(1)
    first = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    tb.convert_(first, "bposit16")
    data = batch((4,), 2, 9)
    made = []
    for micro_batch in (None, 2, 1):
        net = copy.deepcopy(first)
        trainer = forward.Trainer(net, posit_loss, lr=0.3, tangents=3, micro_batch=micro_batch)
        losses = [trainer.step(data) for _ in range(3)]
        made.append((losses, [p.tolist() for p in net.parameters()]))
    assert made[0] == made[1] == made[2]
    assert made[0][1] != [p.tolist() for p in first.parameters()]


def test_stochastic_rounding_is_one_stream_over_all_parameters() -> None:
    """Each element has the word of its number in the model, whatever the blocks."""
    torch.manual_seed(6)
    net = nn.Sequential(nn.Linear(100, 120), nn.ReLU(), nn.Linear(120, 2))
    tb.convert_(net, "bposit16")
    data = batch((100,), 2, 2)
    f = formats(bposit16, bposit32)
    sums = forward.derivatives(net, posit_loss, data, seed=4)
    rate = posit.mul(posit.encode(np.array(-1e-4), WORK), sums.means(), WORK)
    start, wanted = 0, []
    for leaf in plan_of(net).leaves:
        step = np.concatenate(
            [bits for _, bits in combined(leaf, sums.seeds, np.asarray(rate), "normal", f.work)]
        )
        old = patterns_of(leaf.parameter.detach(), bposit16).reshape(-1)
        wanted.append(UPDATES["stochastic"].moved(old, Step(step), {}, f, Place(4, 0, start)))
        start += len(old)
    forward.Trainer(net, posit_loss, lr=1e-4, seed=4).step(data)
    for p, bits in zip(net.parameters(), wanted, strict=True):
        assert np.array_equal(patterns_of(p.detach(), bposit16).reshape(-1), bits)


def test_training_goes_on_where_it_was() -> None:
    found, shape = model("chain")
    data = batch(shape)
    trainer = forward.Trainer(found, loss, lr=0.1, seed=5)
    trainer.step(data)
    state, weights = trainer.state_dict(), copy.deepcopy(found)
    trainer.step(data)
    other = forward.Trainer(weights, loss, lr=0.1)
    other.load_state_dict(state)
    other.step(data)
    assert all(
        torch.equal(a, b) for a, b in zip(found.parameters(), weights.parameters(), strict=True)
    )


def test_an_optimizer_takes_an_estimate() -> None:
    found, shape = model("chain")
    made = forward.gradient(found, loss, batch(shape), tangents=size(found), estimator="projected")
    made.write(found)
    assert all(p.grad is made.tensors[n] for n, p in found.named_parameters())
    torch.optim.AdamW(found.parameters()).step()


def test_the_bench_met_its_bound() -> None:
    """What is committed: both ratios at every depth, and what is above weights constant."""
    data = json.loads((ROOT / "bench/results/forward_memory.json").read_text(encoding="utf-8"))
    assert data["depths"] == list(forward_memory.DEPTHS)
    for arm in forward_memory.BOUNDED:
        for what in ("above", "total"):
            assert max(data["ratios"][what][arm]) <= forward_memory.LIMIT
        assert len({row["torch"] for row in data["peaks"][arm]}) == 1
    assert data["ratios"]["above"]["reverse"][-1] > 30


def test_the_page_has_the_numbers_of_the_benches() -> None:
    page = (ROOT / "docs/forward.md").read_text(encoding="utf-8")
    for name in ("forward_memory", "forward_digits"):
        rows = (ROOT / f"bench/results/{name}.md").read_text(encoding="utf-8").splitlines()
        shown = [row for row in rows if re.match(r"\| (\d|forward|back|SPSA)", row)]
        assert shown
        assert [row for row in shown if row in page.splitlines()], name
