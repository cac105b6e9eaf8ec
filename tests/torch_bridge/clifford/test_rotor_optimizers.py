"""Steps of rotors: the formula, the same in every frame, exact gradients, checkpoints, errors."""

from __future__ import annotations

import copy
from io import BytesIO
from math import cos, sin
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from posit import bposit16
from torch_bridge import ops
from torch_bridge._parameter import PositParameter
from torch_bridge.clifford import (
    Algebra,
    Cl3,
    Multivector,
    RotorAdam,
    RotorSGD,
    exp,
    log,
    renormalized,
)

from .test_rotor_manifold import KEPT, Make, Task, named
from .test_rotors import F8, randn, rotors


# ---- the same in every frame
def check_equivariance(make: Make, **options: Any) -> None:
    frame = exp(Cl3.bivector([0.3, -0.8, 0.5])).floats(F8)
    frame = renormalized(frame)
    here = Task(Cl3).run(make, 30, **options)
    there = Task(Cl3, frame).run(make, 30, **options)
    moved = frame * Cl3.rotor(here.detach()) * frame.reverse()
    torch.testing.assert_close(there.detach(), moved.coefficients, rtol=1e-10, atol=1e-10)


class Elementwise(RotorAdam):
    """Adam with a second moment for each coefficient."""

    def _step_of(self, group: Any, slope: Multivector, state: Any) -> Multivector:
        x = slope.coefficients
        state["square"] = 0.999 * state.get("square", 0.0) + 0.001 * x * x
        return slope.replace(-group["lr"] * x / (state["square"] / 0.001 + 1e-8).sqrt())


@pytest.mark.parametrize("make", [RotorSGD, RotorAdam])
def test_rotated_data_give_the_rotated_path(make: Make) -> None:
    check_equivariance(make, lr=0.05)


def test_moments_of_single_coefficients_break_it() -> None:
    with pytest.raises(AssertionError):
        check_equivariance(Elementwise, lr=0.05)


# ---- details of a step
def test_one_step_is_the_formula() -> None:
    r, g = rotors(Cl3, 3), randn(3, 4, seed=5)
    weight = nn.Parameter(r.coefficients.clone())
    optimizer = RotorSGD([weight], lr=0.3, algebra=Cl3)
    weight.grad = g.clone()
    optimizer.step()
    b = Cl3.rotor(g).geometric(r.reverse(), grades=(2,))
    wanted = exp(b * -0.3) * r
    torch.testing.assert_close(weight.detach(), wanted.coefficients)


def test_first_step_of_adam_has_length_lr() -> None:
    weight = nn.Parameter(rotors(Cl3, 3).coefficients)
    before = weight.detach().clone()
    weight.grad = randn(3, 4, seed=6)
    RotorAdam([weight], lr=0.01, algebra=Cl3).step()
    turn = log(Cl3.rotor(weight.detach()) * Cl3.rotor(before).reverse())
    torch.testing.assert_close(turn.coefficients.norm(dim=-1), torch.full((3,), 0.01, dtype=F8))


def test_gradients_are_exact_over_micro_batches() -> None:
    """One batch or five: the same bits, because parameters collect exact sums."""
    made = []
    x = Cl3.vector(randn(40, 3, seed=7), spec=bposit16)
    for parts in (1, 5):
        start = ops.fake_quant(rotors(Cl3, 1).coefficients[0], bposit16)
        weight = PositParameter(start, True, bposit16)
        optimizer = RotorSGD([weight], lr=0.3, algebra=Cl3, spec=bposit16)
        for rows in torch.arange(40).chunk(parts):
            r = Cl3.rotor(weight, spec=bposit16)
            product = r * x[rows]
            product.coefficients.backward(ops.fake_quant(randn(40, 4, seed=8)[rows], bposit16))
        optimizer.step()
        made.append(weight.detach().clone())
        assert weight.grad is None
    assert torch.equal(*made)


def test_gradients_that_a_step_has_used_are_not_added_to() -> None:
    start = ops.fake_quant(rotors(Cl3, 1).coefficients[0], bposit16)
    weight = PositParameter(start, True, bposit16)
    optimizer = RotorSGD([weight], lr=0.3, algebra=Cl3, spec=bposit16)
    x = Cl3.vector([1.0, 2.0, 3.0], spec=bposit16)

    def backward() -> None:
        (Cl3.rotor(weight, spec=bposit16) * x).coefficients.sum().backward()

    backward()
    optimizer.step()
    with pytest.raises(RuntimeError, match="was used by step 1"):
        backward()
    optimizer.zero_grad()
    backward()


@pytest.mark.parametrize("case", KEPT, ids=named)
def test_checkpoints_continue_bit_for_bit(case: tuple[Algebra, Make, dict[str, Any]]) -> None:
    algebra, make, options = case
    options = copy.deepcopy(options)
    dtype = options.pop("dtype", F8)
    start = rotors(algebra, 2).coefficients.to(dtype)
    if options.get("spec"):
        start = ops.fake_quant(start, options["spec"])
    gradients = randn(6, *start.shape, seed=9).to(dtype)

    def steps(weight: nn.Parameter, optimizer: Any, rows: range) -> None:
        for i in rows:
            optimizer.zero_grad()
            weight.grad = gradients[i].clone()
            optimizer.step()

    one = nn.Parameter(start.clone())
    optimizer = make([one], algebra=algebra, **options)
    steps(one, optimizer, range(3))
    file = BytesIO()
    torch.save({"weight": one.detach(), "state": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    steps(one, optimizer, range(3, 6))

    other = nn.Parameter(saved["weight"])
    again = make([other], algebra=algebra, **options)
    again.load_state_dict(saved["state"])
    steps(other, again, range(3, 6))
    assert torch.equal(one, other)


def test_a_stored_generator_is_all_that_the_rotor_is_made_of() -> None:
    task = Task(Cl3)
    weight = task.run(RotorAdam, 20, lr=0.05, generator="bposit16")
    kept = task.optimizer.state[weight]["generator"]
    assert torch.equal(ops.fake_quant(kept, bposit16), kept)
    assert torch.equal(exp(Cl3.bivector(kept)).coefficients, weight.detach())


def test_small_steps_are_not_lost_by_a_stored_generator() -> None:
    """A hundred steps, each far below the last bit of the generator, add up."""
    weight = nn.Parameter(Cl3.rotor([1.0, 0, 0, 0]).floats(F8).coefficients)
    with torch.no_grad():
        weight.copy_(exp(Cl3.bivector([1.0, 0, 0]).floats(F8)).coefficients)
    optimizer = RotorSGD([weight], lr=1e-4, algebra=Cl3, generator="bposit16")
    for _ in range(100):
        slope = torch.zeros(3, dtype=F8)
        slope[0] = 1.0
        weight.grad = (Cl3.bivector(slope) * Cl3.rotor(weight.detach())).coefficients
        optimizer.step()
    turned = log(Cl3.rotor(weight.detach())).coefficients
    assert abs(turned[0] - 0.99) < 2**-8
    assert turned[0] != 1.0


# ---- what cannot be
def test_errors_come_before_anything_moves() -> None:
    good, bad = (nn.Parameter(rotors(Cl3, 1).coefficients) for _ in range(2))
    before = good.detach().clone()
    optimizer = RotorSGD([good, bad], lr=0.1, algebra=Cl3)
    good.grad, bad.grad = torch.ones(1, 4, dtype=F8), torch.full((1, 4), torch.nan, dtype=F8)
    with pytest.raises(FloatingPointError, match="gradient of parameter 1 of group 0 has NaN"):
        optimizer.step()
    bad.grad = torch.ones(1, 4, dtype=F8)
    with torch.no_grad():
        bad[0, 2] = torch.nan
    with pytest.raises(FloatingPointError, match="rotor of parameter 1"):
        optimizer.step()
    assert torch.equal(good, before)


def test_what_is_no_rotor() -> None:
    def make(weight: Tensor, **options: Any) -> None:
        RotorSGD([nn.Parameter(weight)], **{"algebra": Cl3, **options})

    one = torch.tensor([1.0, 0, 0, 0], dtype=F8)
    make(one)
    for weight, options, error, match in (
        (torch.zeros(4), {}, ValueError, "does not hold rotors"),
        (torch.full((4,), torch.nan), {}, ValueError, "does not hold rotors"),
        (torch.ones(3), {}, ValueError, r"shape \(3,\) for 4 blades: 1, e12, e13, e23"),
        (torch.ones(2), {"blades": ("1", "e1")}, ValueError, "even blades, closed"),
        (torch.ones(3), {"blades": ("1", "e12", "e13")}, ValueError, "closed under products"),
        (one.half(), {}, TypeError, "possible are float32 and float64"),
        (one.float(), {"spec": bposit16}, TypeError, "posits appear as torch.float64"),
        (one.float(), {"generator": bposit16}, TypeError, "posits appear as torch.float64"),
        (one, {"lr": -1.0}, ValueError, "lr=-1.0"),
        (one, {"algebra": Algebra(2)}, ValueError, "for 2 blades"),
    ):
        with pytest.raises(error, match=match):
            make(weight, **options)
    with pytest.raises(ValueError, match=r"betas\[1\]"):
        RotorAdam([nn.Parameter(one)], betas=(0.9, 1.0), algebra=Cl3)
    for spec in (None, "bposit32"):
        with pytest.raises(TypeError, match="is a parameter of <16,6,5>: give that as spec"):
            RotorSGD([PositParameter(one, True, bposit16)], algebra=Cl3, spec=spec)
    optimizer = RotorSGD([nn.Parameter(one)], algebra=Cl3)
    with pytest.raises(ValueError, match="does not hold"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(4))]})
    assert len(optimizer.param_groups) == 1


def test_a_state_of_other_rotors_is_not_loaded() -> None:
    one = torch.tensor([1.0, 0, 0, 0], dtype=F8)
    saved = RotorAdam([nn.Parameter(one.clone())], algebra=Cl3).state_dict()
    optimizers: list[tuple[Any, str]] = [
        (RotorAdam([nn.Parameter(one)], algebra=Algebra(2, 1)), r"algebra=\(3, 0, 0\), this"),
        (RotorAdam([nn.Parameter(one)], algebra=Cl3, generator=bposit16), "generator=''"),
        (RotorAdam([nn.Parameter(one)], algebra=Cl3, spec=bposit16), "spec=''"),
        (RotorSGD([nn.Parameter(one)], algebra=Cl3), "saved without momentum"),
    ]
    for optimizer, words in optimizers:
        before = copy.deepcopy(optimizer.state_dict())
        with pytest.raises(ValueError, match=words):
            optimizer.load_state_dict(saved)
        assert optimizer.state_dict() == before


def test_a_step_that_leads_nowhere_is_refused() -> None:
    """A boost so long that no norm is left of it."""
    algebra = Algebra(1, 1)
    weight = nn.Parameter(torch.tensor([1.0, 0.0], dtype=F8))
    optimizer = RotorSGD([weight], lr=1.0, algebra=algebra)
    weight.grad = torch.tensor([0.0, 40.0], dtype=F8)
    with pytest.raises(FloatingPointError, match="step 1 leads to no rotor"):
        optimizer.step()
    assert weight.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("spec", [None, bposit16], ids=str)
def test_no_rotors_at_all(spec: Any) -> None:
    weight = nn.Parameter(torch.empty(0, 4, dtype=F8))
    optimizer = RotorAdam([weight], algebra=Cl3, spec=spec)
    weight.grad = torch.empty(0, 4, dtype=F8)
    optimizer.step()
    assert optimizer.defect == 0


def test_rotors_of_one_plane() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 0.0], dtype=F8))
    optimizer = RotorSGD([weight], lr=0.5, algebra=Cl3, blades=("1", "e12"))
    weight.grad = torch.tensor([0.0, 1.0], dtype=F8)
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.tensor([cos(0.5), -sin(0.5)], dtype=F8))
