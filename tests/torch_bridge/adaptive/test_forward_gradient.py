"""Forward gradients: derivatives along directions, and estimates of gradients made of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

import posit
from torch_bridge.adaptive import _passes, _tangents, forward
from torch_bridge.adaptive._estimators import WORK
from torch_bridge.adaptive._layers import Leaf, plan_of

from .forward_cases import MODELS, batch, loss, model, one_thread, reverse, size

__all__ = ["one_thread"]
pytestmark = pytest.mark.usefixtures("one_thread")


def directions(found: nn.Module, seed: int) -> dict[str, Tensor]:
    """The whole of a direction, by parameter."""
    return {
        leaf.name: _tangents.Tangent(seed, i, tuple(leaf.parameter.shape), torch.float64).whole()
        for i, leaf in enumerate(plan_of(found).leaves)
    }


def close(a: Tensor, b: Tensor, relative: float) -> bool:
    return bool((a - b).norm() <= relative * b.norm())


@pytest.mark.parametrize("name", MODELS)
def test_as_many_tangents_as_parameters_give_the_gradient(name: str) -> None:
    found, shape = model(name)
    data = batch(shape)
    torch.manual_seed(3)  # of dropout
    exact = reverse(found, data)
    torch.manual_seed(3)
    made = forward.gradient(found, loss, data, tangents=size(found), estimator="projected", seed=5)
    a, b = (torch.cat([x.reshape(-1) for x in t.values()]) for t in (made.tensors, exact))
    assert list(made.tensors) == list(exact)
    assert close(a, b, 1e-11)


@pytest.mark.parametrize("name", [n for n in MODELS if n != "normalised"])
def test_a_derivative_is_that_of_the_whole_tangent_tree(name: str) -> None:
    found, shape = model(name)
    x, y = batch(shape)
    v = directions(found, 11)
    trained = {n: p.detach() for n, p in found.named_parameters() if n in v}

    def of(weights: dict[str, Tensor]) -> Tensor:
        return loss(functional_call(found, weights, (x,)), y).mean()

    found.train()  # nn.MultiheadAttention has no derivative of its fast path
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        value, slope = jvp(of, (trained,), (v,))
    made = forward.derivatives(found, loss, (x, y), tangents=[11])
    assert made.loss() == pytest.approx(value.item(), rel=1e-14)
    assert posit.decode(made.means(), WORK)[0] == pytest.approx(slope.item(), rel=1e-12)


def estimates(found: nn.Module, data: tuple[Tensor, Tensor], count: int, **how: str) -> Tensor:
    """Estimates of one tangent each, (count, parameters)."""
    rows = []
    for seed in range(count):
        made = forward.gradient(found, loss, data, seed=seed, **how)  # type: ignore[arg-type]
        rows.append(torch.cat([x.reshape(-1) for x in made.tensors.values()]))
    return torch.stack(rows)


@pytest.mark.parametrize("how", [
    {"distribution": "normal"}, {"distribution": "rademacher"}, {"perturb": "activations"},
])  # fmt: skip
def test_estimates_have_the_gradient_as_mean(how: dict[str, str]) -> None:
    """Of 225 one-tangent estimates; each element's deviation is measured from them."""
    found = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)).double()
    data = batch((4,), 3)
    exact = torch.cat([g.reshape(-1) for g in reverse(found, data).values()])
    rows = estimates(found, data, 225, **how)
    z = (rows.mean(0) - exact) / (rows.std(0) / 15)
    assert z.abs().max() < 4.5
    assert 0.4 < z.square().mean() < 2


@pytest.mark.parametrize("name", ["chain", "convolution", "skip", "frozen"])
@pytest.mark.parametrize("perturb", ["weights", "activations"])
def test_micro_batches_change_a_float_model_by_rounding_alone(name: str, perturb: str) -> None:
    found, shape = model(name)
    data = batch(shape)
    made = [
        forward.gradient(found, loss, data, tangents=2, perturb=perturb, micro_batch=m)  # type: ignore[arg-type]
        for m in (None, 4, 1)
    ]
    for other in made[1:]:
        for leaf, g in made[0].tensors.items():
            torch.testing.assert_close(other.tensors[leaf], g, rtol=1e-12, atol=1e-14)


def test_noise_in_activations_has_less_variance() -> None:
    found = nn.Sequential(nn.Linear(50, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    data = batch((50,), 3, 40)
    exact = torch.cat([g.reshape(-1) for g in reverse(found, data).values()])
    error = {
        perturb: (estimates(found, data, 20, perturb=perturb) - exact).square().sum(1).mean()
        for perturb in ("weights", "activations")
    }
    assert error["activations"] < error["weights"] / 5


def test_the_average_has_the_error_that_theory_says() -> None:
    """Var of (g·v)v is |g|²·I + g·gᵀ for normal v: K of them are off by (P + 1)/K·|g|²."""
    found = nn.Sequential(nn.Linear(30, 3)).double()
    data = batch((30,), 3)
    exact = torch.cat([g.reshape(-1) for g in reverse(found, data).values()])
    for tangents in (1, 8):
        errors = []
        for seed in range(40):
            made = forward.gradient(found, loss, data, tangents=tangents, seed=seed)
            errors.append(torch.cat([x.reshape(-1) for x in made.tensors.values()]) - exact)
        ratio = torch.stack(errors).square().sum(1).mean() / exact.square().sum()
        assert ratio.item() * tangents / (size(found) + 1) == pytest.approx(1, abs=0.45)


def test_the_projection_is_the_part_in_the_span() -> None:
    found, shape = model("chain")
    data = batch(shape)
    exact = torch.cat([g.reshape(-1) for g in reverse(found, data).values()])
    seeds = [3, 1, 2]
    v = torch.stack(
        [torch.cat([x.reshape(-1) for x in directions(found, s).values()]) for s in seeds], 1
    )
    part = v @ torch.linalg.lstsq(v, exact[:, None]).solution[:, 0]
    made = forward.gradient(found, loss, data, tangents=seeds, estimator="projected")
    assert close(torch.cat([x.reshape(-1) for x in made.tensors.values()]), part, 1e-13)


def test_the_model_is_as_before() -> None:
    found, shape = model("normalised")
    before = {n: x.clone() for n, x in found.state_dict().items()}
    names, grads = [n for n, _ in found.named_parameters()], [p.grad for p in found.parameters()]
    other = model("normalised")[0]
    data = batch(shape)
    for perturb in ("weights", "activations"):
        for m in (found, other):  # noise in activations is refused where samples meet
            m.train(perturb == "weights")
        torch.manual_seed(1)
        forward.gradient(found, loss, data, tangents=3, perturb=perturb)  # type: ignore[arg-type]
        torch.manual_seed(1)
        other(data[0])
        for name, x in found.state_dict().items():
            moved = "running" in name or "num" in name
            assert torch.equal(x, (other.state_dict() if moved else before)[name]), name
        assert [n for n, _ in found.named_parameters()] == names
        assert [p.grad for p in found.parameters()] == grads
        assert all("forward" not in m.__dict__ for m in found.modules())


@pytest.fixture
def _same_tangent_for_all(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A mutant: layers of one shape share their part of a direction."""
    made = _passes.leaf_tangent
    monkeypatch.setattr(
        _passes, "leaf_tangent", lambda leaf, *rest: made(Leaf(0, leaf.name, leaf.parameter), *rest)
    )
    return


@pytest.mark.usefixtures("_same_tangent_for_all")
def test_a_seed_used_for_two_layers_is_caught() -> None:
    with pytest.raises(AssertionError):
        test_a_derivative_is_that_of_the_whole_tangent_tree("chain")


def test_every_tangent_is_independent_normal_or_sign() -> None:
    shape = (3, 5000)
    for distribution, fourth in (("normal", 3.0), ("rademacher", 1.0)):
        drawn = [
            _tangents.Tangent(s, i, shape, torch.float64, None, distribution).whole().reshape(-1)  # type: ignore[arg-type]
            for s in (0, 1) for i in (0, 1)
        ]  # fmt: skip
        v = torch.stack(drawn)
        n = v.shape[1]
        assert torch.allclose(v @ v.T / n, torch.eye(4, dtype=v.dtype), atol=5 / n**0.5)
        assert v.mean(1).abs().max() < 4 / n**0.5
        assert v.pow(4).mean().item() == pytest.approx(fourth, abs=0.15)


def test_blocks_of_a_tangent_differ() -> None:
    v = _tangents.Tangent(0, 0, (4 * _tangents.BLOCK,), torch.float64).whole().reshape(4, -1)
    assert torch.allclose(v @ v.T / _tangents.BLOCK, torch.eye(4, dtype=v.dtype), atol=0.06)


def test_a_tangent_is_the_same_in_blocks_and_samples() -> None:
    for shape in ((), (1,), (7,), (20000,), (300, 100), (3, 9000), (5, 2, 3), (0, 4)):
        v = _tangents.Tangent(5, 2, shape, torch.float32)
        whole = v.whole()
        assert whole.shape == shape
        rows = whole.reshape(1) if not shape else whole
        assert all(torch.equal(rows[where], part) for where, part in v.blocks())
        for start, stop in ((0, len(rows)), (len(rows) // 3, len(rows) // 2)):
            if shape and stop > start:
                assert torch.equal(v.samples(start, stop), rows[start:stop])


def test_known_numbers() -> None:
    """A direction is part of what a seed means: these must not change between versions."""
    v = _tangents.Tangent(1, 2, (3,), torch.float64).whole()
    assert np.allclose(v.numpy(), KNOWN, rtol=0, atol=1e-8)


KNOWN = [-0.2417312, -0.78625513, -0.63017798]
