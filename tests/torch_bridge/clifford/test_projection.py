"""Forbidden blades are absent, not merely small, after any number of steps of any optimizer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from posit import bposit16
from torch_bridge.clifford import Cl3, GradePreserving, act, exp, grade_project_
from torch_bridge.optim import PositSGD

EVEN = Cl3.mask(blades=Cl3.even)
OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.01, centered=True),
    "Rprop": lambda p: torch.optim.Rprop(p, lr=0.01),
    "LBFGS": lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=3),
    "PositSGD": lambda p: PositSGD(p, lr=0.05, spec=bposit16),
}


def problem(dtype: torch.dtype = torch.float64) -> tuple[nn.Parameter, Callable[[], Tensor]]:
    """A dense multivector that begins even, and a loss that pulls at all its blades."""
    generator = torch.Generator().manual_seed(1)
    weight = nn.Parameter(torch.zeros(2, 8, dtype=dtype))
    with torch.no_grad():
        weight[:, 0] = 1.0
    x, y = (torch.randn(6, 2, 8, generator=generator, dtype=dtype) for _ in range(2))

    def loss() -> Tensor:
        found = Cl3.multivector(weight) * Cl3.multivector(x)
        return (found.coefficients - y).square().mean()

    return weight, loss


def train(
    weight: nn.Parameter, loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer, steps: int
) -> list[float]:
    losses = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    for _ in range(steps):
        losses.append(float(optimizer.step(closure).detach()))
    return losses


def check_even(weight: Tensor) -> None:
    forbidden = weight.detach()[..., ~EVEN]
    assert forbidden.eq(0).all(), forbidden.abs().max()
    assert weight.detach()[..., EVEN].ne(0).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_any_optimizer_preserves_grades(name: str) -> None:
    weight, loss = problem()
    inner = OPTIMIZERS[name]([weight])
    losses = train(weight, loss, GradePreserving(inner, {weight: EVEN}), 60)
    check_even(weight)
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_that_ignores_grades_is_seen(name: str) -> None:
    weight, loss = problem()
    train(weight, loss, OPTIMIZERS[name]([weight]), 2)
    with pytest.raises(AssertionError):
        check_even(weight)


def test_masked_gradients_alone_would_not_do() -> None:
    """Momentum from before the mask, or noise, moves weights that have no gradient."""
    weight, loss = problem()
    inner = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    train(weight, loss, inner, 1)
    grade_project_(weight, EVEN)
    again = GradePreserving(inner, {weight: EVEN})
    train(weight, loss, again, 5)
    check_even(weight)


@pytest.mark.parametrize("closure", [True, False])
def test_the_optimizer_never_sees_forbidden_gradients(closure: bool) -> None:
    """Its moments have none; LBFGS, whose steps mix all coefficients, would go elsewhere."""
    weight, loss = problem()
    inner = torch.optim.AdamW([weight], lr=0.05)
    optimizer = GradePreserving(inner, {weight: EVEN})
    if closure:
        train(weight, loss, optimizer, 3)
    else:
        loss().backward()
        optimizer.step()
    for name in ("exp_avg", "exp_avg_sq"):
        moment = inner.state[weight][name]
        assert not moment[..., ~EVEN].any()
        assert moment[..., EVEN].all()


def test_it_is_an_optimizer() -> None:
    """Schedulers, checkpoints, groups; other parameters are left alone."""
    weight, loss = problem()
    other = nn.Parameter(torch.ones(3))
    inner = torch.optim.AdamW([{"params": [weight]}, {"params": [other], "lr": 1.0}], lr=0.1)
    optimizer = GradePreserving(inner, {weight: EVEN})
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    other.grad = torch.ones(3)
    optimizer.zero_grad()
    assert other.grad is None
    loss().backward()
    optimizer.step()
    scheduler.step()
    assert inner.param_groups[0]["lr"] == 0.05
    saved, values = copy.deepcopy(optimizer.state_dict()), weight.detach().clone()

    def next_values() -> Tensor:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        return weight.detach().clone()

    first = next_values()
    optimizer.load_state_dict(saved)
    with torch.no_grad():
        weight.copy_(values)
    assert torch.equal(next_values(), first)
    assert optimizer.state is inner.state
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    assert len(inner.param_groups) == 3
    assert "AdamW" in repr(optimizer)
    seen: list[int] = []
    handle = optimizer.register_step_post_hook(lambda *_: seen.append(1))
    optimizer.step()
    handle.remove()
    optimizer.step()
    assert seen == [1]


def test_projection_is_in_place_and_removes_nan() -> None:
    x = torch.full((2, 8), torch.nan)
    same = grade_project_(x, EVEN)
    assert same is x
    assert x[..., ~EVEN].eq(0).all()
    assert x[..., EVEN].isnan().all()
    rows = torch.tensor([[True], [False]])
    assert grade_project_(torch.ones(2, 8), rows).sum() == 8


def test_masks() -> None:
    assert Cl3.mask(grades=(1,)).tolist() == [False, True, True, False, True, False, False, False]
    assert Cl3.mask(blades=("e12",), of=Cl3.even).tolist() == [False, True, False, False]


def test_bad_masks() -> None:
    weight, _ = problem()
    inner = torch.optim.SGD([weight], lr=0.1)
    with pytest.raises(TypeError, match=r"torch.bool, got torch.float32"):
        grade_project_(weight, torch.ones(8))
    with pytest.raises(ValueError, match="does not have"):
        GradePreserving(inner, {nn.Parameter(torch.zeros(8)): EVEN})
    with pytest.raises(ValueError, match="forbidden coefficients"):
        GradePreserving(inner, {weight: ~EVEN})
    with torch.no_grad():
        weight[..., EVEN] = torch.nan
    GradePreserving(inner, {weight: EVEN})
    with torch.no_grad():
        weight[..., ~EVEN] = torch.nan
    with pytest.raises(ValueError, match="forbidden coefficients"):
        GradePreserving(inner, {weight: EVEN})


def test_packed_weights_need_no_mask() -> None:
    """Stored on their own blades, weights have no place for others, whatever is done to them."""
    weight = nn.Parameter(torch.randn(3, generator=torch.Generator().manual_seed(2)))
    optimizer = torch.optim.AdamW([weight], lr=0.3)
    for _ in range(5):
        optimizer.zero_grad()
        rotor = exp(Cl3.bivector(weight))
        act(rotor, Cl3.vector([1.0, 2, 3]))["e1"].backward()
        optimizer.step()
        assert exp(Cl3.bivector(weight)).blades == Cl3.even
