"""The problems of bench/attitude.py, and what is measured of an arm."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from itertools import islice
from math import radians
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pad_sequence

from torch_bridge.clifford import Cl3, Multivector, act, exp, normalized

from . import _machine
from ._rotations import Arm, Make

sys.path.insert(0, str(_machine.ROOT / "examples"))

import attitude as example

__all__ = [
    "Problems", "apart", "best_rate", "gait", "measured", "rotations", "scores", "stars",
]  # fmt: skip

F8 = torch.float64
WINDOW = 60  # samples of 1/120 s
GAIT_LIMIT = 5.0  # degrees
LEGS = ("upper", "lower")


# ---- problems
@dataclass(frozen=True)
class Problems:
    """P problems of Wahba's, side by side, in float64."""

    known: Tensor
    """Directions (n, P, 3)."""
    seen: Tensor
    """The same, where they were measured."""
    there: Tensor
    """(n, P, 1): 1, or 0 where a problem has fewer directions."""
    limit: float
    """Radians: residuals beyond it count by their length, not its square."""
    best: Tensor
    """Optima (P, 3, 3)."""
    truth: Tensor | None
    """(P, 3, 3), where it is known."""
    start: Multivector
    """Rotors (P)."""

    @staticmethod
    def of(
        known: Sequence[Tensor], seen: Sequence[Tensor], limit: float, truth: Tensor | None = None
    ) -> Problems:
        """Problems of any numbers of directions (n, 3), which start at the identity."""
        best = [example.optimum(a, b, limit) for a, b in zip(known, seen, strict=True)]
        there = pad_sequence([torch.ones(len(x), 1, dtype=F8) for x in known])
        start = Cl3.rotor(torch.tensor([1.0, 0, 0, 0], dtype=F8).repeat(len(known), 1))
        directions = pad_sequence([*known]), pad_sequence([*seen])
        return Problems(*directions, there, limit, torch.stack(best), truth, start)

    def moved(self, left: Multivector, right: Multivector) -> Problems:
        """The same in other frames: of what is measured (left, P rotors), and of what is known."""
        p, q = example.matrix(right), example.matrix(left)
        truth = None if self.truth is None else q @ self.truth @ p.mT
        known, seen = (
            torch.einsum("pij,npj->npi", m, x) for m, x in ((p, self.known), (q, self.seen))
        )
        start = left * self.start * right.reverse()
        best = q @ self.best @ p.mT
        return replace(self, known=known, seen=seen, best=best, truth=truth, start=start)


def stars(seeds: Sequence[int], noise: float = 20.0, outliers: float = 0.2) -> Problems:
    """Pictures of the Hipparcos stars, a seed each; noise in arcseconds."""
    views = [example.view(example.stars(), seed, noise, outliers) for seed in seeds]
    limit, truth = example.LIMIT * example.ARCSECOND, torch.stack([v.truth for v in views])
    return Problems.of([v.known for v in views], [v.seen for v in views], limit, truth)


@cache
def gait(leg: str) -> Problems:
    """Attitudes of a leg while it walks, one each half second; ``leg`` is "upper" or "lower".

    An inertial sensor measured acceleration, angular velocity and magnetic field, 120 times a
    second; the recording is in the wheel of scikit-kinematics. Turned to the first moment of each
    window by the angular velocity, all its accelerations should point up, all its fields along the
    earth's, and their products east. Walking adds its own accelerations: the outliers here.

    Raises ModuleNotFoundError without scikit-kinematics, or without the recording in it.
    """
    if leg not in LEGS:
        raise ValueError(f"leg={leg!r}: possible are {' and '.join(map(repr, LEGS))}")
    name = f"walking_xsens_{leg}Leg.txt"
    try:
        found = [f for f in files("scikit-kinematics") or () if f.name == name]
    except PackageNotFoundError:
        found = []
    if not found:
        raise ModuleNotFoundError(
            f"{name} is missing: pip install 'bposit[adaptive]' brings it, in the wheel of"
            " scikit-kinematics"
        )
    table = np.loadtxt(found[0].locate(), skiprows=5, usecols=range(1, 10))
    force, rate, field = torch.from_numpy(table).split(3, dim=-1)
    up, down_north = normalize(force, dim=-1), normalize(field, dim=-1)
    east = normalize(torch.linalg.cross(down_north, up), dim=-1)
    dip = (up[:120] * down_north[:120]).sum(-1).median().acos()  # stands still for a second
    windows = len(table) // WINDOW
    # to the first moment: D <- D exp(-½ I ω Δt), from the sample before
    turn = exp(Cl3.vector(rate).dual() * (-0.5 / 120))
    now = Cl3.rotor(torch.tensor([1.0, 0, 0, 0], dtype=F8).repeat(windows, 1))
    seen = []
    for i in range(WINDOW):
        at = slice(i, windows * WINDOW, WINDOW)
        three = torch.stack([up[at], down_north[at], east[at]])
        seen.append(act(now, Cl3.vector(three)).coefficients)
        now = normalized(now * turn[at])
    measured = torch.stack(seen).flatten(0, 1).unbind(1)  # P of (3·WINDOW, 3)
    level = [[0, 0, 1.0], [0, float(dip.sin()), float(dip.cos())], [1, 0, 0]]  # east, north, up
    known = torch.tensor(level, dtype=F8)
    return Problems.of([known.repeat(WINDOW, 1)] * windows, measured, radians(GAIT_LIMIT))


def frames(count: int, seed: int) -> Multivector:
    """Rotors (count) of any attitude, all as likely."""
    draw = torch.Generator().manual_seed(seed)
    return normalized(Cl3.rotor(torch.randn(count, 4, generator=draw, dtype=F8)))


# ---- measuring
def rotations(arm: Arm, problems: Problems, steps: int) -> Iterator[Tensor]:
    """The rotations (P, 3, 3) after each step."""

    def slope(moved: Tensor) -> Tensor:
        return problems.there * example.slope(moved, problems.seen, problems.limit)

    def turned() -> Tensor:
        return arm.turned(problems.known)

    for _ in example.descend(turned, slope, arm.optimizer, steps):
        yield arm.rotation(arm.parameter.detach())


def scores(
    make: Make, problems: Problems, rates: Sequence[float], steps: int
) -> dict[float, float]:
    """The mean logarithm of the final error (radians) by first rate: the less, the better."""
    found = {}
    for lr in rates:
        *_, end = rotations(make(problems.start, lr), problems, steps)
        found[lr] = float(example.angle(end, problems.best).clamp(min=1e-9).log().mean())
    return found


def best_rate(scores: Mapping[float, float]) -> float:
    """The one with the least score."""
    return min(scores, key=scores.__getitem__)


def apart(make: Make, problems: Problems, lr: float, steps: int, early: int) -> Tensor:
    """How far the first ``early`` steps of ``steps`` are from those in other frames (P), radians.

    Both frames are turned, that of the known directions and that of the measured ones, and the
    start with them; the path is turned back, and the largest angle is taken.
    """
    left, right = (frames(len(problems.best), seed) for seed in (1, 2))
    q, p = example.matrix(left), example.matrix(right)
    worst = torch.zeros(len(problems.best), dtype=F8)
    moved = problems.moved(left, right)
    both = (rotations(make(x.start, lr), x, steps) for x in (problems, moved))
    for here, there in islice(zip(*both, strict=True), early):
        worst = worst.maximum(example.angle(there, q @ here @ p.mT))
    return worst


def measured(make: Make, problems: Problems, lr: float, steps: int, early: int) -> dict[str, Any]:
    """What an arm reaches: lists with a number for each problem; angles in radians."""
    arm = make(problems.start, lr)
    off = torch.stack([example.angle(at, problems.best) for at in rotations(arm, problems, steps)])
    found: dict[str, Any] = {
        "rate": lr,
        "optimum": off[-1].tolist(),
        "path": off.median(-1).values.tolist(),
        "stored": arm.violation(arm.parameter.detach()).tolist(),
        "acting": arm.distortion().tolist(),
        "frames": apart(make, problems, lr, steps, early).tolist(),
    }
    if problems.truth is not None:
        end = arm.rotation(arm.parameter.detach())
        found["truth"] = example.angle(end, problems.truth).tolist()
        found["best"] = example.angle(problems.best, problems.truth).tolist()
    return found
