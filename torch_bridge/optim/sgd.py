"""Stochastic gradient descent on posits."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import torch

import posit
from posit.spec import SpecLike

from .._patterns import Held, Patterns
from ._base import PositOptimizer, check_range, scalar
from ._formats import Formats
from ._update import State, Step, keep, state_bits

__all__ = ["PositSGD"]


class PositSGD(PositOptimizer):
    """SGD with momentum, as ``torch.optim.SGD`` has it, every operation one of posits.

    Weights that are only rounded drift, because every step errs to the same side, or stall.
    1000 steps of 1e-3 lead from 1.0 to 0, but not in bposit16; with a residue they do:

    >>> import torch
    >>> from torch_bridge.optim import PositSGD
    >>> for update in ("nearest", "residue"):
    ...     w = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    ...     optimizer = PositSGD([w], lr=1e-3, spec="bposit16", update=update)
    ...     for _ in range(1000):
    ...         w.grad = torch.ones_like(w)
    ...         optimizer.step()
    ...     print(f"{update}: {w.item():.4f}")
    nearest: -0.2275
    residue: 0.0000

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of groups (dict)
        float64 tensors of posits, on the CPU. What is not a posit is rounded by the first step.
    lr, momentum, dampening, weight_decay, nesterov, maximize
        As in ``torch.optim.SGD``. Weight decay is coupled: it adds to the gradient.
    spec : PositSpec, dtype or text, optional
        The weights' format; default the parameter's attribute ``spec``.
    update : {"residue", "stochastic", "master", "nearest"}
        What becomes of weight + step, which is exact, the sum of posits in an accumulator:

        - "residue": the weight is the posit nearest to weight + residue + step, and the new
          residue what that lost, rounded once to ``state_spec``.
        - "stochastic": rounded to one of the two neighbours, with probability linear in the value
          (of the sum rounded to 53 significant bits). The random word depends on ``seed``, the
          parameter's step and the element's number among all elements of all parameters.
        - "master": a copy in ``state_spec`` takes the step, and the weight is its nearest posit.
        - "nearest": rounded to nearest.
    state_spec : PositSpec, dtype or text
        Of residues, masters and moments, kept as patterns. Operations are in the wider of the two
        formats (bposit64 where neither holds the other); what is kept is then rounded to this one.
    seed : int
        For "stochastic".
    offset : int, optional
        The number of the group's first element; default after the group before. Shards of a model
        give theirs, so that they round as the whole does.
    on_nar : {"raise", "skip"}
        For NaR in a gradient: FloatingPointError, or no step at all, counted in ``skipped``.

    A step with gradient g and weight w (plus its residue; or its master), left to right, each
    operation rounded once::

        g = fma(weight_decay, w, g)
        m = fma(momentum, m, (1 - dampening)·g), or g in the first step
        g = fma(momentum, m, g) with nesterov, else m
        step = -lr·g
    """

    def __init__(  # noqa: PLR0917, torch's order
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
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
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
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
        for name in ("lr", "momentum", "weight_decay"):
            check_range(group, name, 0.0)
        check_range(group, "dampening", float("-inf"))
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError("nesterov=True needs a momentum above 0 and a dampening of 0")

    def _takes_numbers(self, group: dict[str, Any], f: Formats) -> bool:
        """Without state, and where the product with the rate is a factor of the step."""
        stateless = group["momentum"] == 0 and group["weight_decay"] == 0
        return stateless and f.work.float64_decides

    def _step_of(
        self,
        group: dict[str, Any],
        gradient: Held,
        weight: Callable[[], Patterns],
        state: State,
        f: Formats,
    ) -> Step:
        g, spec = gradient, f.work
        if group["weight_decay"] != 0:
            g = posit.fma(scalar(group["weight_decay"], spec), weight(), g, spec)
        if group["momentum"] != 0:
            rate = scalar(group["momentum"], spec)
            if "momentum" not in state:
                state["momentum"] = torch.from_numpy(np.array(f.to_state(np.asarray(g))))
                m = f.from_state(state_bits(state, "momentum"))
            else:
                kept = scalar(1 - Fraction(group["dampening"]), spec)
                more = g if group["dampening"] == 0 else posit.mul(kept, g, spec)
                m = keep(
                    state, "momentum", f, lambda old, out: posit.fma(rate, old, more, spec, out=out)
                )
            g = posit.fma(rate, m, g, spec) if group["nesterov"] else m
        factor = -float(group["lr"])
        if spec.float64_decides:
            return Step(np.asarray(g), factor)
        return Step(np.asarray(posit.mul(scalar(factor, spec), g, spec)))
