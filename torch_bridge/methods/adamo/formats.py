"""Does the format hold? AdamO on weights of 16 bits, and the fused deviation from an isometry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import torch_bridge as tb

from .._arithmetic import arithmetic
from .._harness import Run, Trial
from .._result import Experiment, Metric
from .arms import Arm
from .groups import isometric_groups
from .isometry import gram_deviation
from .lifetime import live
from .networks import Perceptron
from .optimizer import AdamO
from .tasks import TASKS

__all__ = ["FORMATS", "deviation", "sixteen_bits"]

LR, ISO, WIDTH = 2e-3, 0.1, 48
FORMATS: dict[str, tuple[Any, str]] = {
    "float32": (torch.float32, ""),
    "bfloat16": (torch.bfloat16, ""),
    "bposit16, residue": (tb.PositConfig.emulate_hardware("bposit16"), "residue"),
    "bposit16 + quire, nearest": ("bposit16", "nearest"),
    "bposit16 + quire, residue": ("bposit16", "residue"),
    "bposit32, nearest": ("bposit32", "nearest"),
}
"""What the network computes in, and what becomes of steps below a weight's last place."""


class Narrow:
    """AdamO on parameters of a floating-point type, stored as AdamO with "nearest" stores posits.

    Step and moments are of float32 (posits: of bposit32), computed in float64; a weight and its
    step are added and rounded once, to the weight's type.

    Parameters
    ----------
    groups : list of dict
        As of :class:`AdamO`.
    lr : float
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float) -> None:
        self.lost = self.moved = 0
        self._pairs: list[tuple[Tensor, nn.Parameter]] = []
        wide = []
        for group in groups:
            copies = [nn.Parameter(p.detach().double()) for p in group["params"]]
            self._pairs += zip(group["params"], copies, strict=True)
            wide.append(group | {"params": copies})
        self.inner = AdamO(wide, lr=lr)

    @torch.no_grad()
    def step(self) -> None:
        """One step; counts the elements whose step was not 0, and those of them that stayed."""
        for p, wide in self._pairs:
            wide.copy_(p)
            wide.grad = None if p.grad is None else p.grad.double()
        self.inner.step()
        for p, wide in self._pairs:
            state = self.inner.state[wide]
            for name in {"exp_avg", "exp_avg_sq"} & state.keys():
                state[name].copy_(state[name].float())
            step = (wide - p.double()).float().double()
            made = (p.double() + step).to(p.dtype)
            self.lost += int(((step != 0) & (made == p)).sum())
            self.moved += int((step != 0).sum())
            p.copy_(made)


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
        self._dtype = kind if isinstance(kind, torch.dtype) else torch.float32
        if isinstance(kind, torch.dtype):
            model.to(kind)
        else:
            tb.convert_(model, kind)
        groups = isometric_groups(model, ISO, skip=["readout"])
        self.inner = AdamO(groups, lr=LR, update=update) if update else Narrow(groups, LR)

    def step(self, x: Tensor, labels: Tensor) -> float:
        """Learn from a batch."""
        return super().step(x.to(self._dtype), labels)

    def descend(self, loss: Tensor) -> None:
        """One step on a loss of the model."""
        self.model.zero_grad()
        loss.backward()
        self.inner.step()


def sixteen_bits(run: Run) -> None:
    """A shorter life in every format."""
    brief = replace(TASKS["random labels"], count=1 if run.quick else 8, epochs=24, samples=192)

    def trial(name: str) -> Trial:
        def measure(seed: int) -> dict[str, Any]:
            arm = Stored(name, seed)
            life = live("random labels", brief, "AdamO", {}, seed, arm=arm)
            return {
                "last five": np.mean(life.accuracy[-5:]),
                "updates lost": arm.inner.lost / max(arm.inner.moved, 1),
                "dormant": life.dormant[-1],
                "condition": life.conditions[-1],
                "curve": life.accuracy,
            }

        return measure

    metrics = {
        "last five": Metric("mean accuracy at the end of the last five tasks", "higher"),
        "updates lost": Metric(
            "share of the steps of a weight (not 0) that change nothing", "lower"
        ),
        "dormant": Metric("share of hidden units that are 0 for every sample, at the end", "lower"),
        "condition": Metric("largest condition number of a hidden weight, at the end", "lower"),
        "curve": Metric("accuracy at the end of each task"),
        "seconds": Metric("of the trial, on the wall", "lower"),
    }
    about = (
        f"{brief.samples} digits, {brief.count} tasks of new random labels, {brief.epochs} epochs;"
        f" four layers of {WIDTH} units; AdamO at lr {LR}, λ {ISO}. Weights, activations and"
        " gradients are of the format; moments, steps and residues are bposit32 for b-posits,"
        " float32 for floats. The isometry's gradient is AdamO's own: exact sums for every b-posit"
        " arm, without + quire too, float64 for floats."
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

    def fused(spec: str) -> Callable[[Any], Any]:
        return lambda w: gram_deviation(torch.from_numpy(w), spec=spec).numpy()

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
        "bposit16 + quire, -1 inside": trial("bposit16", fused("bposit16")),
        "bposit32": trial("bposit32", unfused("bposit32")),
        "bposit32, -1 inside": trial("bposit32", fused("bposit32")),
    }
    metrics = {
        "diagonal": Metric("median relative error of a diagonal element", "lower"),
        "whole": Metric("relative error of the matrix, Frobenius norms", "lower"),
        "zeros": Metric("share of the diagonal that comes out as 0 (none is)", "lower"),
    }
    about = (
        "An orthogonal 128×128 matrix, rounded to the format: WᵀW - I beside the exact one of the"
        " same W. But for the arms with -1 inside, the product is rounded before 1 is subtracted;"
        " bfloat16's is summed in float32, bposit32's in a quire."
    )
    run.trials(Experiment("deviation", "format", about, metrics, run.seeds), arms)
