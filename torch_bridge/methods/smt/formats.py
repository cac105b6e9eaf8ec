"""Rollouts in several arithmetics, and gradients of single steps that no order or split changes."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

import torch_bridge as tb
from posit.spec import SpecLike

from .model import Core
from .objective import rollout

__all__ = ["ARITHMETICS", "exact_gradients", "fingerprint", "float_gradients", "rounding_drift"]


def _posit(spec: SpecLike, accumulate: str) -> Callable[[Core], object]:
    return lambda core: tb.convert_(core, tb.PositConfig.emulate_hardware(spec, accumulate))


ARITHMETICS: dict[str, Callable[[Core], object]] = {
    "float64": lambda core: core.double(),
    "float32": lambda core: core.float(),
    "bfloat16": lambda core: core.bfloat16(),
    "bposit16": _posit("bposit16", "each_op"),
    "bposit16 + quire": _posit("bposit16", "quire"),
    "bposit32": _posit("bposit32", "quire"),
}
"""How a copy of a core is made to compute, by arm. "bposit16" rounds after each operation."""


@torch.no_grad()
def rounding_drift(core: Core, x: Tensor, arm: str) -> Tensor:
    """Mean square between the memories of an arithmetic and float64's: (B, T).

    Both start from the same weights, those of ``core``; each feeds its own memories back.
    """
    placed, truth = copy.deepcopy(core), copy.deepcopy(core).double()
    ARITHMETICS[arm](placed)
    return (rollout(placed, x).double() - rollout(truth, x)).square().mean((2, 3))


def exact_gradients(
    core: Core, memory: Tensor, x: Tensor, labels: Tensor, parts: Sequence[Tensor]
) -> list[Tensor]:
    """Gradients of L_dyn in bposit16, the same whatever the order and split of its terms.

    memory and labels (N, K, d), x (N,): N independent steps, of any times of any sequences.
    ``parts`` are the rows of each micro-batch; a row counts as often as it is in one of them. Each
    step's share is accumulated in the quire and each gradient rounded once.
    """
    placed = copy.deepcopy(core)
    tb.convert_(placed, "bposit16")
    parameters = [*placed.step.parameters(), *placed.embed.parameters()]
    tb.gradients.collect(parameters)
    for rows in parts:
        made = placed(memory[rows], x[rows])
        loss = tb.ops.mse_loss(made, labels[rows].double(), count=labels.numel(), spec="bposit16")
        loss.backward()
    tb.gradients.write(parameters)
    return [p.grad for p in parameters if p.grad is not None]


def float_gradients(
    core: Core, memory: Tensor, x: Tensor, labels: Tensor, parts: Sequence[Tensor]
) -> list[Tensor]:
    """The same in the core's own floats, micro-batches added up as autograd does."""
    placed = copy.deepcopy(core)
    for rows in parts:
        loss = functional.mse_loss(placed(memory[rows], x[rows]), labels[rows], reduction="sum")
        (loss / labels.numel()).backward()
    parameters = [*placed.step.parameters(), *placed.embed.parameters()]
    return [p.grad for p in parameters if p.grad is not None]


def fingerprint(gradients: Sequence[Tensor]) -> str:
    """A hash of all their bits."""
    whole = hashlib.sha256()
    for g in gradients:
        whole.update(g.contiguous().numpy().tobytes())
    return whole.hexdigest()
