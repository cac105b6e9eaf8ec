"""The arithmetics that are compared: what each does to a network, its optimizer and its loss."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

import posit
import torch_bridge
from torch_bridge import gradients

from .tasks import Plan

__all__ = ["ARMS", "Arm", "FloatArm", "Memory", "PositArm"]


@dataclass(frozen=True)
class Memory:
    """Bytes of training a network, as measured before a step; activations are not among them."""

    numbers: int  # how many weights there are
    weights: int  # in their own format
    residues: int  # what rounding the weights has lost; or master copies
    gradients: int  # of one backward pass; for b-posits all terms of the exact sums
    moments: int  # of the optimizer


class Arm(ABC):
    """What training needs of a number format. Abstract."""

    name: str
    exact: bool  # whether it claims that sums do not depend on their order
    note: str  # how it computes, for the reader of the results

    @abstractmethod
    def prepare(self, model: nn.Module) -> None:
        """Let a float32 network compute in this arithmetic, in place."""

    @abstractmethod
    def optimizer(self, model: nn.Module, plan: Plan) -> Optimizer:
        """The plan's optimizer, its state in this arithmetic too."""

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor, count: int) -> Tensor:
        """Cross entropy of (N, C) logits, summed over N and divided by ``count``."""

    @abstractmethod
    def inputs(self, x: Tensor) -> Tensor:
        """Images in the format; numbers of characters stay."""

    @abstractmethod
    def bits(self, weight: Tensor) -> npt.NDArray[np.signedinteger[Any]]:
        """A weight's patterns."""

    @abstractmethod
    def gradient_bytes(self, weight: Tensor) -> int:
        """Of what a backward pass has left."""

    def sha256(self, model: nn.Module) -> str:
        """Of the patterns of all weights, little-endian, in hexadecimal."""
        digest = hashlib.sha256()
        for weight in model.parameters():
            bits = self.bits(weight)
            digest.update(bits.astype(bits.dtype.newbyteorder("<"), copy=False).tobytes())
        return digest.hexdigest()

    def memory(self, model: nn.Module, optimizer: Optimizer) -> Memory:
        """What there is between a backward pass and a step."""
        weights = list(model.parameters())
        kept = {"residue": 0, "master": 0}
        moments = 0
        for state in optimizer.state.values():
            for name, value in state.items():
                if name in kept:
                    kept[name] += value.nbytes
                elif name != "step" and isinstance(value, Tensor):
                    moments += value.nbytes
        return Memory(
            sum(w.numel() for w in weights),
            sum(self.bits(w).nbytes for w in weights),
            sum(kept.values()),
            sum(map(self.gradient_bytes, weights)),
            moments,
        )


@final
class FloatArm(Arm):
    """As ``model.to(dtype)`` and ``torch.optim`` have it: weights and moments in ``dtype``."""

    exact = False

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.name = str(dtype).removeprefix("torch.")
        self.note = f"weights, activations, gradients and moments in {self.name}, as torch has it"

    def prepare(self, model: nn.Module) -> None:
        """See the base class."""
        model.to(self.dtype)

    def optimizer(self, model: nn.Module, plan: Plan) -> Optimizer:
        """See the base class."""
        made: Optimizer = getattr(torch.optim, plan.optimizer)(
            model.parameters(), lr=plan.rate, **plan.options
        )
        return made

    def loss(self, logits: Tensor, targets: Tensor, count: int) -> Tensor:
        """See the base class."""
        return F.cross_entropy(logits, targets, reduction="sum") / count

    def inputs(self, x: Tensor) -> Tensor:
        """See the base class."""
        return x.to(self.dtype) if x.is_floating_point() else x

    def bits(self, weight: Tensor) -> npt.NDArray[np.signedinteger[Any]]:
        """See the base class."""
        integers = {2: torch.int16, 4: torch.int32, 8: torch.int64}[weight.element_size()]
        made: npt.NDArray[np.signedinteger[Any]] = weight.detach().view(integers).numpy()
        return made

    def gradient_bytes(self, weight: Tensor) -> int:
        """See the base class."""
        return 0 if weight.grad is None else weight.grad.nbytes


@final
class PositArm(Arm):
    """Converted by ``torch_bridge``: every operation rounded to ``spec`` once, every sum exact."""

    exact = True

    def __init__(self, spec: posit.PositSpec) -> None:
        self.spec = spec
        self.name = spec.name
        self.note = (
            f"weights, activations, gradients, residues and moments in {self.name}; every inner"
            " product and gradient exact, rounded once"
        )

    def prepare(self, model: nn.Module) -> None:
        """See the base class."""
        torch_bridge.convert_(model, torch_bridge.PositConfig.training(self.spec))

    def optimizer(self, model: nn.Module, plan: Plan) -> Optimizer:
        """See the base class."""
        made: Optimizer = getattr(torch_bridge.optim, f"Posit{plan.optimizer}")(
            model.parameters(),
            lr=plan.rate,
            update="residue",
            state_spec=self.spec,
            **plan.options,
        )
        return made

    def loss(self, logits: Tensor, targets: Tensor, count: int) -> Tensor:
        """See the base class."""
        return torch_bridge.ops.cross_entropy(logits, targets, count=count, spec=self.spec)

    def inputs(self, x: Tensor) -> Tensor:
        """As they are: the network rounds them."""
        return x

    def bits(self, weight: Tensor) -> npt.NDArray[np.signedinteger[Any]]:
        """See the base class."""
        made: npt.NDArray[np.signedinteger[Any]] = torch_bridge.ops.encode(
            weight.detach(), self.spec
        ).numpy()
        return made

    def gradient_bytes(self, weight: Tensor) -> int:
        """See the base class."""
        found = gradients.find(weight)
        return (0 if found is None else found.nbytes) + (
            0 if weight.grad is None else weight.grad.nbytes
        )


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        FloatArm(torch.float32),
        FloatArm(torch.bfloat16),
        PositArm(posit.bposit16),
        PositArm(posit.bposit32),
    )
}
