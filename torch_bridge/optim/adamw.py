"""AdamW on posits."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import torch

import posit
from posit import bposit64, functions
from posit.spec import SpecLike

from .._patterns import Patterns
from ._base import PositOptimizer, check_range, scalar
from ._formats import Formats
from ._update import State, state_bits

__all__ = ["PositAdamW"]


class PositAdamW(PositOptimizer):
    """Adam with decoupled weight decay, as ``torch.optim.AdamW`` has it, in posits.

    Parameters
    ----------
    params, maximize, spec, update, state_spec, seed, offset, on_nar
        As in :class:`PositSGD`.
    lr, betas, eps, weight_decay
        As in ``torch.optim.AdamW``; eps must be positive.

    A step t with gradient g and weight w (plus its residue; or its master), left to right, each
    operation rounded once; α₁ = 1 - β₁ and α₂ = 1 - β₂::

        m = fma(α₁, g - m, m)
        v = fma(α₂, g·g - v, v)
        step = -(lr / (1 - β₁^t))·m / (√(v / (1 - β₂^t)) + eps)
        step = fma(-lr·weight_decay, w, step)

    Scalars are computed in bposit64, each operation rounded (β^t by ``functions.compound``), and
    rounded once more where they meet an array. Posits do not underflow: g·g of a small gradient is
    not 0.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        maximize: bool = False,
        spec: SpecLike | None = None,
        update: str = "residue",
        state_spec: SpecLike = "bposit32",
        seed: int = 0,
        offset: int | None = None,
        on_nar: str = "raise",
    ) -> None:
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "spec": spec,
            "update": update,
            "state_spec": state_spec,
            "seed": seed,
            "offset": offset,
            "on_nar": on_nar,
        }
        super().__init__(params, options)

    def _check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "weight_decay"):
            check_range(group, name, 0.0)
        beta1, beta2 = group["betas"]
        check_range({"betas[0]": beta1}, "betas[0]", 0.0, 1.0)
        check_range({"betas[1]": beta2}, "betas[1]", 0.0, 1.0)
        check_range(group, "eps", 0.0)
        if group["eps"] == 0:
            raise ValueError("eps=0: it must be positive, because 0/0 is NaR")

    def _step_of(
        self,
        group: dict[str, Any],
        gradient: Patterns,
        weight: Callable[[], Patterns],
        state: State,
        f: Formats,
    ) -> Patterns:
        g, spec = gradient, f.work
        t = int(state["step"])
        rates = [scalar(1 - Fraction(float(b)), bposit64) for b in group["betas"]]
        grown = [_grown(rate, t) for rate in rates]
        lr = scalar(float(group["lr"]), bposit64)
        for name in ("mean", "square"):
            if name not in state:
                state[name] = torch.from_numpy(np.zeros(g.shape, f.state.storage))
        square = posit.mul(g, g, spec)
        for name, target, rate in (("mean", g, rates[0]), ("square", square, rates[1])):
            old = f.from_state(state_bits(state, name))
            made = posit.fma(_in(f, rate), posit.sub(target, old, spec), old, spec)
            state_bits(state, name)[...] = f.to_state(np.asarray(made, spec.storage))
        m, v = (f.from_state(state_bits(state, name)) for name in ("mean", "square"))
        root = posit.sqrt(posit.div(v, _in(f, grown[1]), spec), spec)
        below = posit.add(root, scalar(group["eps"], spec), spec)
        scale = posit.neg(posit.div(lr, grown[0], bposit64), bposit64)
        step = posit.div(posit.mul(_in(f, scale), m, spec), below, spec)
        if group["weight_decay"] != 0:
            decay = posit.mul(
                posit.neg(lr, bposit64), scalar(group["weight_decay"], bposit64), bposit64
            )
            step = posit.fma(_in(f, decay), weight(), step, spec)
        return np.asarray(step, spec.storage)


def _grown(rate: Patterns, t: int) -> Patterns:
    """1 - (1 - rate)^t."""
    power = functions.compound(posit.neg(rate, bposit64), t, bposit64)
    return np.asarray(posit.sub(bposit64.one, power, bposit64), bposit64.storage)


def _in(f: Formats, x: Any) -> Patterns:
    """A bposit64 scalar in the format of the step."""
    return np.asarray(posit.convert(x, bposit64, f.work), f.work.storage)
