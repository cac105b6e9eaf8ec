"""AdamW on posits."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch

import posit
from posit import PositSpec, bposit64, functions
from posit.spec import SpecLike

from .._patterns import Held, Patterns
from ._base import PositOptimizer, check_range, scalar
from ._formats import Formats
from ._update import State, Step, keep

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
        gradient: Held,
        weight: Callable[[], Patterns],
        state: State,
        f: Formats,
    ) -> Step:
        g, spec = gradient, f.work
        numbers = (group[name] for name in ("lr", "eps", "weight_decay"))
        s = _scalars(*map(float, (*numbers, *group["betas"])), int(state["step"]), spec)
        for name in ("mean", "square"):
            if name not in state:
                state[name] = torch.from_numpy(np.zeros(g.shape, f.state.storage))
        spare = np.empty(g.shape, spec.storage)

        def nearer(rate: Patterns, target: Patterns) -> Callable[..., Patterns]:
            return lambda old, out: posit.fma(
                rate, posit.sub(target, old, spec, out=spare), old, spec, out=out
            )

        m = keep(state, "mean", f, nearer(s.alpha1, g))
        v = keep(state, "square", f, nearer(s.alpha2, posit.mul(g, g, spec, out=spare)))
        below = posit.sqrt(posit.div(v, s.grown2, spec, out=spare), spec, out=spare)
        below = posit.add(below, s.eps, spec, out=spare)
        step = np.asarray(posit.mul(s.scale, m, spec), spec.storage)
        posit.div(step, below, spec, out=step)
        if group["weight_decay"] != 0:
            posit.fma(s.decay, weight(), step, spec, out=step)
        return Step(step)


class _Scalars(NamedTuple):
    """Of one step, in its format."""

    alpha1: Patterns
    alpha2: Patterns
    grown2: Patterns  # 1 - β₂^t
    eps: Patterns
    scale: Patterns  # -lr / (1 - β₁^t)
    decay: Patterns  # -lr·weight_decay


@lru_cache(maxsize=64)
def _scalars(  # noqa: PLR0917
    lr: float, eps: float, weight_decay: float, beta1: float, beta2: float, t: int, to: PositSpec
) -> _Scalars:
    wide = bposit64
    alphas = [scalar(1 - Fraction(beta), wide) for beta in (beta1, beta2)]
    powers = [functions.compound(posit.neg(x, wide), t, wide) for x in alphas]
    grown = [posit.sub(wide.one, power, wide) for power in powers]
    rate = scalar(-lr, wide)
    scale = posit.div(rate, grown[0], wide)
    decay = posit.mul(rate, scalar(weight_decay, wide), wide)
    made = [*alphas, grown[1], scalar(eps, wide), scale, decay]
    return _Scalars(*(np.asarray(posit.convert(x, wide, to), to.storage) for x in made))
