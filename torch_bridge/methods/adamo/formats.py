"""Does the format hold? AdamO on weights of 16 bits, and the fused deviation from an isometry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

import torch_bridge as tb

from .._arithmetic import arithmetic
from .._harness import Run, Trial
from .._result import Experiment, Metric
from .arms import Arm
from .isometry import gram_deviation
from .lifetime import live
from .networks import Perceptron
from .optimizer import AdamO, isometric_groups
from .tasks import TASKS

__all__ = ["FORMATS", "deviation", "sixteen_bits"]

LR, ISO, WIDTH = 2e-3, 0.1, 48
FORMATS: dict[str, tuple[Any, str]] = {
    "float32": (None, ""),
    "bfloat16": (torch.bfloat16, ""),
    "bposit16, residue": ("each_op", "residue"),
    "bposit16 + quire, nearest": ("bposit16", "nearest"),
    "bposit16 + quire, residue": ("bposit16", "residue"),
    "bposit32, nearest": ("bposit32", "nearest"),
}
"""What the network computes in, and what becomes of steps below a weight's last place."""


class Stored(Arm):
    """AdamO on a network in a format; counts the steps that change no weight.

    Parameters
    ----------
    name : str
        Of :data:`FORMATS`.
    seed : int
    """

    def __init__(self, name: str, seed: int) -> None:
        kind, update = FORMATS[name]
        model = Perceptron(64, WIDTH, 10, seed=seed)
        super().__init__(model, "AdamO", seed, lr=LR, strength=ISO)
        self.lost, self.moved, self._dtype = 0, 0, torch.float32
        if isinstance(kind, torch.dtype):
            model.to(kind)
            self._dtype = kind
        elif kind == "each_op":
            tb.convert_(model, tb.PositConfig.emulate_hardware("bposit16"))
        elif kind is not None:
            tb.convert_(model, kind)
        groups = isometric_groups(model, ISO, skip=["readout"])
        self.inner = AdamO(groups, lr=LR, update=update or "nearest")
        self.optimizers = [self.inner]

    def step(self, x: Tensor, labels: Tensor) -> float:
        """Learn from a batch."""
        before = [p.detach().clone() for p in self.model.parameters()]
        loss = super().step(x.to(self._dtype), labels)
        if any(hasattr(p, "spec") for p in self.model.parameters()):
            self.lost, self.moved = self.inner.lost, self.inner.moved
            return loss
        for p, old in zip(self.model.parameters(), before, strict=True):
            assert p.grad is not None
            wanted = p.grad != 0
            self.lost += int((wanted & (p == old)).sum())
            self.moved += int(wanted.sum())
        return loss


def sixteen_bits(run: Run) -> None:
    """A shorter life in every format."""
    brief = replace(TASKS["random labels"], count=1 if run.quick else 8, epochs=24, samples=192)

    def trial(name: str) -> Trial:
        def measure(seed: int) -> dict[str, Any]:
            arm = Stored(name, seed)
            life = live("random labels", brief, "AdamO", {}, seed, arm=arm)
            return {
                "last five": np.mean(life.accuracy[-5:]),
                "updates lost": arm.lost / max(arm.moved, 1),
                "dormant": life.dormant[-1],
                "condition": life.conditions[-1],
                "curve": life.accuracy,
            }

        return measure

    metrics = {
        "last five": Metric("mean accuracy at the end of the last five tasks", "higher"),
        "updates lost": Metric("share of the steps of a weight that change nothing", "lower"),
        "dormant": Metric("share of hidden units that are 0 for every sample, at the end", "lower"),
        "condition": Metric("largest condition number of a hidden weight, at the end", "lower"),
        "curve": Metric("accuracy at the end of each task"),
        "seconds": Metric("of the trial, on the wall", "lower"),
    }
    about = (
        f"{brief.samples} digits, {brief.count} tasks of new random labels, {brief.epochs} epochs;"
        f" four layers of {WIDTH} units; AdamO at lr {LR}, λ {ISO}. Weights, activations and"
        " gradients are of the format; moments and residues of b-posits are bposit32."
    )
    experiment = Experiment("16 bits", "format", about, metrics, run.seeds)
    run.trials(experiment, {name: trial(name) for name in FORMATS})


def deviation(run: Run) -> None:
    """WᵀW - I of a weight that is an isometry but for its format's rounding, in several ways."""

    def unfused(name: str) -> Callable[[Any], Any]:
        to = arithmetic(name)

        def compute(w: Any) -> Any:
            a = to.array(w)
            made = np.stack(
                [np.asarray(to.matmul(a.T, a[:, j])) for j in range(a.shape[1])], axis=1
            )
            return (made - to.array(np.eye(a.shape[1]))).astype(np.float64)

        return compute

    def fused(w: Any) -> Any:
        return gram_deviation(torch.from_numpy(w), spec="bposit16").numpy()

    def trial(name: str, compute: Callable[[Any], Any]) -> Trial:
        def measure(seed: int) -> dict[str, Any]:
            rng = np.random.default_rng(seed)
            isometry = np.linalg.qr(rng.standard_normal((128, 128)))[0]
            w = arithmetic(name).array(isometry).astype(np.float64)
            exact = gram_deviation(torch.from_numpy(w), spec="bposit64").numpy()
            off = np.abs(compute(w) - exact)
            return {
                "diagonal": np.median(np.diag(off) / np.abs(np.diag(exact))),
                "whole": np.linalg.norm(off) / np.linalg.norm(exact),
                "zeros": float((np.diag(compute(w)) == 0).mean()),
            }

        return measure

    arms = {
        "float32": trial("float32", unfused("float32")),
        "bfloat16": trial("bfloat16", unfused("bfloat16")),
        "bposit16": trial("bposit16", unfused("bposit16")),
        "bposit16 + quire": trial("bposit16", unfused("bposit16 + quire")),
        "bposit16 + quire, -1 inside": trial("bposit16", fused),
    }
    metrics = {
        "diagonal": Metric("median relative error of a diagonal element", "lower"),
        "whole": Metric("relative error of the matrix, Frobenius norms", "lower"),
        "zeros": Metric("share of the diagonal that comes out as 0 (none is)", "lower"),
    }
    about = (
        "An orthogonal 128×128 matrix, rounded to the format: WᵀW - I beside the exact one of the"
        " same W. In all but the last arm, and in float32, the product is rounded before 1 is"
        " subtracted; bfloat16's is summed in float32."
    )
    run.trials(Experiment("deviation", "format", about, metrics, run.seeds), arms)
