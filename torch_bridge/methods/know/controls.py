"""Controls without which a gain proves nothing: is it the direction, or just smaller weights?

A prediction whose norm is less than that of θ_0 may gain by that alone. So each is compared with
θ_0 shrunk to the same norms, and with itself after the part along θ_0 was taken out of its step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .networks import State

__all__ = ["alignment", "shrink", "shrink_to", "shuffled", "without_radial"]


def shrink(state: State, factor: float) -> State:
    """All weights times a constant."""
    return {name: w * factor for name, w in state.items()}


def shrink_to(state: State, like: State) -> State:
    """``state`` with each tensor scaled to the norm of that of ``like``; zeros stay zeros."""
    made: State = {}
    for name, w in state.items():
        norm = w.double().norm()
        made[name] = w * (like[name].double().norm() / norm).to(w.dtype) if norm > 0 else w.clone()
    return made


def without_radial(predicted: State, base: State) -> State:
    """base + (Δ - its projection onto base), tensor by tensor, with Δ = predicted - base."""
    made: State = {}
    for name, w in base.items():
        flat = w.double().reshape(-1)
        step = predicted[name].double().reshape(-1) - flat
        along = step @ flat / (flat @ flat).clamp_min(1e-300)
        made[name] = (flat + step - along * flat).reshape(w.shape).to(w.dtype)
    return made


def shuffled(stages: Sequence[State], generator: torch.Generator) -> list[State]:
    """The same stages with θ_0 in its place and all others in another order than theirs."""
    count = len(stages) - 1
    order = torch.arange(count)
    while count > 1 and torch.equal(order, torch.arange(count)):
        order = torch.randperm(count, generator=generator)
    return [*(stages[i] for i in order.tolist()), stages[-1]]


def alignment(predicted: State, base: State) -> tuple[float, float]:
    """(cosine, ratio of norms) of a prediction and θ_0, over all weights together."""
    p, b = (torch.cat([w.double().reshape(-1) for w in s.values()]) for s in (predicted, base))
    return float(p @ b / (p.norm() * b.norm())), float(p.norm() / b.norm())
