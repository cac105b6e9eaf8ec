"""Rotors stay rotors after any number of steps, and what does not keep them is seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from torch_bridge import ops
from torch_bridge.clifford import (
    CGA3D,
    PGA3D,
    STA,
    Algebra,
    Cl3,
    Multivector,
    RotorAdam,
    RotorSGD,
    act,
    defect,
    normalized,
)

from .test_rotors import F8, randn, rotors

# ---- the optimizers
Make = Callable[..., torch.optim.Optimizer]


class Task:
    """Find the rotors that took points where they are now."""

    def __init__(self, algebra: Algebra, frame: Multivector | None = None, seed: int = 0) -> None:
        self.algebra = algebra
        self.points = algebra.vector(randn(40, 1, algebra.dimension, seed=seed))
        truth, start = rotors(algebra, 2, seed=seed + 1), rotors(algebra, 2, 0.1, seed=seed + 2)
        self.goal = act(truth, self.points)
        noise = 0.02 * randn(*self.goal.coefficients.shape, seed=seed + 3)
        self.goal = self.goal.replace(self.goal.coefficients + noise)
        if frame is not None:
            self.points, self.goal = act(frame, self.points), act(frame, self.goal)
            start = frame * start * frame.reverse()
        self.start = start.into(algebra.even).coefficients

    def run(self, make: Make, steps: int, spec: str | None = None, **options: Any) -> Any:
        start = self.start if spec is None else ops.fake_quant(self.start, spec)
        weight = nn.Parameter(start.clone().to(options.pop("dtype", F8)))
        optimizer: Any = make([weight], algebra=self.algebra, spec=spec, **options)
        self.worst, self.losses = 0.0, []
        for i in range(steps):
            rows = slice(8 * (i % 5), 8 * (i % 5) + 8)
            optimizer.zero_grad()
            r = self.algebra.rotor(weight.to(F8))
            off = act(r, self.points[rows]).coefficients - self.goal[rows].coefficients
            loss = off.square().mean()
            loss.backward()
            optimizer.step()
            self.worst = max(self.worst, optimizer.defect)
            self.losses.append(loss.item())
        self.optimizer = optimizer
        return weight


def stays_on_the_manifold(algebra: Algebra, make: Make, steps: int, **options: Any) -> Task:
    task = Task(algebra)
    weight = task.run(make, steps, **options)
    assert task.worst == pytest.approx(task.worst)
    assert task.worst <= 1e-6
    assert defect(algebra.rotor(weight.detach())).max() <= 1e-6
    assert sum(task.losses[-5:]) < 0.5 * sum(task.losses[:5])
    return task


KEPT: list[tuple[Algebra, Make, dict[str, Any]]] = [
    (Cl3, RotorSGD, {"lr": 0.1, "spec": "bposit32"}),
    (Cl3, RotorSGD, {"lr": 0.05, "momentum": 0.5, "spec": "bposit32"}),
    (Cl3, RotorAdam, {"lr": 0.02, "spec": "bposit32"}),
    (Cl3, RotorAdam, {"lr": 0.02, "spec": "bposit32", "generator": "bposit16"}),
    (Cl3, RotorAdam, {"lr": 0.02, "generator": "bposit16"}),
    (Cl3, RotorAdam, {"lr": 0.02, "dtype": torch.float32}),
    (PGA3D, RotorAdam, {"lr": 0.02, "spec": "bposit32"}),
    (PGA3D, RotorSGD, {"lr": 0.05, "generator": "bposit16"}),
    (STA, RotorAdam, {"lr": 0.01, "spec": "bposit32"}),
    (Algebra(4), RotorAdam, {"lr": 0.02, "spec": "bposit32"}),
]


def named(case: Any) -> str:
    algebra, make, options = case
    return f"{algebra} {make.__name__} {options}"


@pytest.mark.parametrize("case", KEPT, ids=named)
def test_rotors_stay_rotors(case: tuple[Algebra, Make, dict[str, Any]]) -> None:
    algebra, make, options = case
    stays_on_the_manifold(algebra, make, 150, **options)


@pytest.mark.slow
def test_rotors_stay_rotors_for_ten_thousand_steps(part: Any) -> None:
    for algebra, make, options in part.take(KEPT):
        stays_on_the_manifold(algebra, make, 10_000, **options)


FOUR = [
    (Algebra(4), RotorAdam, {"lr": 0.02, "spec": "bposit32"}),
    (Algebra(4), RotorAdam, {"lr": 0.02, "generator": "bposit16"}),
    (CGA3D, RotorSGD, {"lr": 0.01, "spec": "bposit32"}),
    (Algebra(6), RotorSGD, {"lr": 0.05}),
]


@pytest.mark.parametrize("case", FOUR, ids=named)
def test_there_are_no_four_vectors_in_the_square(case: tuple[Algebra, Make, Any]) -> None:
    """⟨R ~R⟩₄ = 0, which a norm alone does not see."""
    algebra, make, options = case
    task = Task(algebra)
    r = algebra.rotor(task.run(make, 30, **options).detach())
    square = r * r.reverse()
    assert 4 in square.grades
    assert square.grade(4).coefficients.abs().max() <= 1e-6
    assert task.worst <= 1e-6


def test_a_norm_alone_does_not_see_four_vectors() -> None:
    """Adam, and division by the norm, leave them."""

    def scaled(params: Any, lr: float, **_: Any) -> Any:
        made: Any = torch.optim.Adam(params, lr=lr)
        step = made.step

        def renormalising(closure: Any = None) -> Any:
            found, r = step(closure), Algebra(4).rotor(params[0].detach())
            params[0].data.copy_(normalized(r).coefficients)
            made.defect = 0.0
            return found

        made.step = renormalising
        return made

    r = Algebra(4).rotor(Task(Algebra(4)).run(scaled, 30, lr=0.02).detach())
    square = r * r.reverse()
    assert (square["1"] - 1).abs().max() < 1e-14
    assert square["e1234"].abs().max() > 1e-4


def test_what_bposit16_does() -> None:
    """Its rotors are off by their own last bits, as docs/clifford.md says."""
    task = Task(Cl3)
    task.run(RotorAdam, 150, lr=0.02, spec="bposit16")
    assert 1e-4 < task.worst < 5e-3
    assert sum(task.losses[-5:]) < 0.5 * sum(task.losses[:5])


def plain_adam(params: Any, lr: float, **_: Any) -> torch.optim.Optimizer:
    """An optimizer that knows no manifold, and measures where it is."""
    made: Any = torch.optim.Adam(params, lr=lr)
    step = made.step

    def measured(closure: Any = None) -> Any:
        found = step(closure)
        made.defect = float(defect(Cl3.rotor(params[0].detach())).max())
        return found

    made.step = measured
    return made


def test_an_optimizer_that_ignores_the_manifold_is_seen() -> None:
    with pytest.raises(AssertionError):
        stays_on_the_manifold(Cl3, plain_adam, 20, lr=0.02)
