"""Ways to write a rotation as parameters, and what moves them: the arms of bench/attitude.py."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

import torch_bridge as tb
from torch_bridge.clifford import Cl3, Multivector, RotorAdam, act
from torch_bridge.clifford.nn import RotorLayer

from . import _machine

sys.path.insert(0, str(_machine.ROOT / "examples"))

import attitude as example

__all__ = ["ARMS", "Arm", "ElementwiseAdam", "Make"]

F8 = torch.float64


class Arm(ABC):
    """P rotations as parameters, and what moves them."""

    parameter: nn.Parameter
    optimizer: torch.optim.Optimizer

    @abstractmethod
    def turned(self, x: Tensor) -> Tensor:
        """The directions (n, P, 3), turned, in the arithmetic of the arm."""

    @abstractmethod
    def rotation(self, value: Tensor) -> Tensor:
        """The rotations (P, 3, 3) nearest to a value of the parameter, in float64."""

    @abstractmethod
    def violation(self, value: Tensor) -> Tensor:
        """How far a value of the parameter is from the manifold (P), in float64."""

    def distortion(self) -> Tensor:
        """How far what it does to directions is from a rotation: the largest of |MᵀM - 1| (P)."""
        axes = torch.eye(3, dtype=F8)[:, None].expand(3, len(self.parameter), 3)
        m = self.turned(axes).detach().to(F8)
        return _gram_defect(m.permute(1, 2, 0))


def _gram_defect(m: Tensor) -> Tensor:
    """The largest of |MᵀM - 1| (P) of matrices (P, 3, k)."""
    return (m.mT @ m - torch.eye(m.shape[-1], dtype=m.dtype)).abs().amax((-2, -1))


class Versors(Arm):
    """Even elements of Cl(3), so quaternions too. Without ``unit`` their length divides out."""

    def __init__(
        self, start: Multivector, make: Callable[..., Any], unit: bool, spec: str | None
    ) -> None:
        self.unit, self.spec = unit, spec
        self.layer = RotorLayer(Cl3, start.shape[0], std=0.0, spec=spec)
        self.parameter = self.layer.weight
        with torch.no_grad():
            x = start.coefficients
            self.parameter.copy_(x if spec is None else tb.ops.fake_quant(x, spec))
        self.optimizer = make([self.parameter])

    def turned(self, x: Tensor) -> Tensor:
        given = Cl3.vector(x.to(self.parameter.dtype), self.spec)
        made: Tensor = act(self.layer.rotor(), given, unit=self.unit).coefficients
        return made

    def rotation(self, value: Tensor) -> Tensor:
        return example.matrix(Cl3.rotor(value))

    def violation(self, value: Tensor) -> Tensor:
        return (value.to(F8).square().sum(-1) - 1).abs()


class Columns(Arm):
    """The first columns of a matrix, in float32: three as they are, or two made orthonormal.

    Two: Zhou, Barnes, Lu, Yang and Li, "On the Continuity of Rotation Representations in Neural
    Networks", 2019, section 4.
    """

    def __init__(self, start: Multivector, make: Callable[..., Any], count: int) -> None:
        self.count = count
        self.parameter = nn.Parameter(example.matrix(start)[..., :count].float())
        self.optimizer = make([self.parameter])

    def _matrix(self, value: Tensor) -> Tensor:
        if self.count == 3:
            return value
        first = normalize(value[..., 0], dim=-1)
        second = value[..., 1] - (first * value[..., 1]).sum(-1, keepdim=True) * first
        second = normalize(second, dim=-1)
        return torch.stack([first, second, torch.linalg.cross(first, second)], -1)

    def turned(self, x: Tensor) -> Tensor:
        m = self._matrix(self.parameter)
        return torch.einsum("pij,npj->npi", m, x.to(m.dtype))

    def rotation(self, value: Tensor) -> Tensor:
        u, _, v = torch.linalg.svd(self._matrix(value.to(F8)))
        u[..., -1] *= torch.linalg.det(u @ v)[..., None]
        return torch.bmm(u, v)

    def violation(self, value: Tensor) -> Tensor:
        return _gram_defect(value.to(F8))


class ElementwiseAdam(RotorAdam):
    """What RotorAdam must not be: a second moment for each coefficient of the bivector."""

    def _step_of(self, group: dict[str, Any], slope: Multivector, state: Any) -> Multivector:
        (beta1, beta2), x, t = group["betas"], slope.coefficients, state["step"]
        zero = torch.zeros_like(x)
        state["mean"] = beta1 * state.get("mean", zero) + (1 - beta1) * x
        state["square"] = beta2 * state.get("square", zero) + (1 - beta2) * x * x
        below = (state["square"] / (1 - beta2**t)).sqrt() + group["eps"]
        return slope.replace(-group["lr"] / (1 - beta1**t) * state["mean"] / below)


Make = Callable[[Multivector, float], Arm]


def _rotor(
    kind: type[RotorAdam] = RotorAdam, spec: str | None = None, generator: str | None = None
) -> Make:
    def made(start: Multivector, lr: float) -> Arm:
        def optimizer(p: Any) -> RotorAdam:
            return kind(p, lr, algebra=Cl3, spec=spec, generator=generator)

        return Versors(start, optimizer, True, spec)

    return made


def _adamw(lr: float, spec: str | None = None) -> Callable[..., Any]:
    """Without decay, which would pull rotations to 0."""
    if spec is not None:
        return lambda p: tb.optim.PositAdamW(p, lr, weight_decay=0.0)
    return lambda p: torch.optim.AdamW(p, lr, weight_decay=0.0)


def _quaternion(spec: str | None = None) -> Make:
    return lambda start, lr: Versors(start, _adamw(lr, spec), False, spec)


def _columns(count: int) -> Make:
    return lambda start, lr: Columns(start, _adamw(lr), count)


ARMS: dict[str, Make] = {
    "rotor, bposit16": _rotor(spec="bposit16"),
    "rotor, bposit32": _rotor(spec="bposit32"),
    "rotor, bposit32, of a bposit16 generator": _rotor(spec="bposit32", generator="bposit16"),
    "rotor, float32": _rotor(),
    "rotor, float32, moments by coefficient": _rotor(ElementwiseAdam),
    "quaternion, bposit16": _quaternion("bposit16"),
    "quaternion, bposit32": _quaternion("bposit32"),
    "quaternion, float32": _quaternion(),
    "6-D, float32": _columns(2),
    "matrix, float32": _columns(3),
}
"""Rotors by RotorAdam, all others by AdamW."""
