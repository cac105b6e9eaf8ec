"""AdamO: Adam on the task's gradient, and a decoupled step of each weight towards an isometry."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.adamw import adamw

import posit
from posit import PositSpec
from posit.spec import SpecLike

from .isometry import as_matrix, gradient_of, gram_deviation, largest_step

__all__ = ["AdamO"]

_FACTORS = {"paper": 1.0, "half": 0.5}
_CHOICES = {"convention": ("paper", "half"), "update": ("residue", "nearest")}
_FIXED = ("convention", "update", "state_spec")  # what state, and what λ means, depend on


class AdamO(torch.optim.Optimizer):
    """Rosseau, Mueller and Nowé, *Preserving Plasticity in Continual Learning via Dynamical
    Isometry* (arXiv 2606.09762), eqs. 16, 19 and 20::

        m, v = Adam's moments of the task's gradient alone
        θ ← θ - lr·m̂/(√v̂ + eps) - lr·iso·∇R(θ),    R(W) = ‖WᵀW - I‖² on the smaller side

    The isometry does not enter the moments, so that Adam does not scale it away. With iso=0 the
    step has the bits of ``torch.optim.AdamW(weight_decay=0, foreach=False, fused=False)``.

    Parameters
    ----------
    params : iterable of Tensor, or of groups
        Which weights are isometric is said by their group's ``iso``; :func:`isometric_groups` makes
        groups of a model.
    lr, betas, eps
        As in ``torch.optim.AdamW``.
    iso : float
        λ ≥ 0, default of the groups. A parameter of fewer than two axes raises unless it is 0.
    iso_lr : float, optional
        η_iso, in place of lr for the isometry's step.
    target : float
        s: singular values go to √s.
    convention : {"paper", "half"}
        "half" takes ½R, as the authors' PyTorch port does; its λ is twice the paper's.
    update : {"residue", "nearest"}
        For parameters that hold posits (``p.spec``, as ``torch_bridge.convert_`` makes them). A
        step is often below half of the last place of a 16-bit weight. "residue" keeps beside
        each weight what rounding it lost; "nearest" loses it.
    state_spec : format
        Of residue and moments of such parameters. The isometry's gradient is computed in it too,
        each Gram deviation being one exact sum.

    All of these may differ between groups. A parameter without a gradient is still stepped towards
    an isometry (dead units come back so); one with ``requires_grad=False`` is not.

    Raises ValueError for lr·iso·target ≥ 1/4 (paper's convention), where a step goes beyond the
    isometry further than it was away from it, and for a weight with a singular value so large that
    the step throws it further out, or with an element that is not finite; RuntimeError for sparse
    gradients. All parameters are looked at in every step, before any moves.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        *,
        iso: float = 0.0,
        iso_lr: float | None = None,
        target: float = 1.0,
        convention: str = "paper",
        update: str = "residue",
        state_spec: SpecLike = "bposit32",
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "iso": iso, "iso_lr": iso_lr}
        fixed = {"convention": convention, "update": update, "state_spec": state_spec}
        super().__init__(params, options | {"target": target} | fixed)

    @property
    def lost(self) -> int:
        """Elements, of posit parameters, whose step was not 0 and whose storage did not change.

        Storage is the weight, and the residue if there is one. Counted since the beginning.
        """
        return sum(state.get("lost", 0) for state in self.state.values())

    @property
    def moved(self) -> int:
        """Elements, of posit parameters, whose step was not 0."""
        return sum(state.get("moved", 0) for state in self.state.values())

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters; see the class for options. Raises ValueError for what has no isometry."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            _check(group)
            spec = PositSpec.parse(group["state_spec"])
            group["state_spec"] = f"{spec.n},{spec.rs},{spec.es}"  # text, as a saved state has it
            if group["iso"]:
                for p in group["params"]:
                    as_matrix(p)
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave, counts too.

        Raises ValueError, before anything changes, for a state of another optimizer, one with
        impossible options, or saved with another convention, update or state_spec.
        """
        groups = state_dict["param_groups"]
        for i, (saved, group) in enumerate(zip(groups, self.param_groups, strict=False)):
            missing = set(self.defaults) - set(saved)
            if missing:
                raise ValueError(f"group {i} of the state has no {', '.join(sorted(missing))}: it"
                                 " is not one of AdamO")  # fmt: skip
            _check(saved)
            for name in _FIXED:
                if saved[name] != group[name]:
                    raise ValueError(
                        f"group {i} was saved with {name}={saved[name]!r}, this optimizer has"
                        f" {group[name]!r}: state does not carry over"
                    )
        super().load_state_dict(state_dict)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns what ``closure`` does, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            _check(group)  # schedulers write to it
        work = [(p, g, self._push(p, g)) for g in self.param_groups for p in g["params"]]
        for p, group, push in work:
            self._move(p, group, push)
        return loss

    def _push(self, p: Tensor, group: dict[str, Any]) -> Tensor | None:
        """c·∇R of the present weight, or None without isometry. Raises for what cannot be done."""
        if p.grad is not None and p.grad.is_sparse:
            raise RuntimeError(
                f"a parameter of shape {tuple(p.shape)} has a sparse gradient: AdamO takes dense"
                " ones; make its layer with sparse=False"
            )
        size, target = _size(group), group["target"]
        if size == 0 or not p.requires_grad:
            return None
        spec = getattr(p, "spec", None)
        wide = None if spec is None else PositSpec.parse(group["state_spec"])
        off = gram_deviation(p, target, spec=spec, to=wide)
        # σ² - s is at most this norm, so that no singular value has to be computed near an isometry
        if not size * float(torch.linalg.vector_norm(off, dtype=torch.float64)) <= 0.25:
            _check_weight(p, size, target)
        return size * gradient_of(p, off, wide)

    def _move(self, p: Tensor, group: dict[str, Any], push: Tensor | None) -> None:
        if p.grad is None and push is None:
            return
        if p.grad is None:
            moved: Tensor | None = None
        else:
            state = self.state[p]
            if "step" not in state:
                state["step"] = torch.zeros(())
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
            moved = p if getattr(p, "spec", None) is None else torch.zeros_like(p)
            adamw(
                [moved], [p.grad], [state["exp_avg"]], [state["exp_avg_sq"]], [], [state["step"]],
                foreach=False, fused=False, amsgrad=False, beta1=group["betas"][0],
                beta2=group["betas"][1], lr=group["lr"], weight_decay=0.0, eps=group["eps"],
                maximize=False,
            )  # fmt: skip
        spec = getattr(p, "spec", None)
        if spec is not None:
            step = torch.zeros_like(p) if moved is None else moved
            self._store(p, spec, group, step if push is None else step - push)
        elif push is not None:
            p.sub_(push)

    def _store(self, p: Tensor, spec: PositSpec, group: dict[str, Any], step: Tensor) -> None:
        """Add the step to a weight of posits, and round what is kept."""
        state, wide = self.state[p], PositSpec.parse(group["state_spec"])
        for name in ("exp_avg", "exp_avg_sq"):
            if name in state:
                state[name].copy_(_rounded(state[name], wide))
        weight = posit.encode(p.numpy(), spec)
        change = posit.encode(step.numpy(), wide)
        if group["update"] == "nearest":
            made = posit.sum_of(weight, change, spec=(spec, wide), to=spec)
            same = made == weight
        else:
            residue = state.setdefault("residue", torch.zeros_like(p))
            kept = posit.encode(residue.numpy(), wide)
            made, rest = posit.sum_and_rest(
                weight, kept, change, spec=(spec, wide, wide), to=spec, rest=wide
            )
            same = (made == weight) & (rest == kept)
            residue.copy_(torch.from_numpy(np.asarray(posit.decode(rest, wide))))
        state["lost"] = state.get("lost", 0) + int(np.count_nonzero(same & (change != 0)))
        state["moved"] = state.get("moved", 0) + int(np.count_nonzero(change != 0))
        p.copy_(torch.from_numpy(np.asarray(posit.decode(made, spec))))


def _rounded(x: Tensor, spec: PositSpec) -> Tensor:
    return torch.from_numpy(np.asarray(posit.decode(posit.encode(x.numpy(), spec), spec)))


def _size(group: dict[str, Any]) -> float:
    """C, of the paper's convention."""
    rate = group["lr"] if group["iso_lr"] is None else group["iso_lr"]
    return float(rate) * float(group["iso"]) * _FACTORS[group["convention"]]


def _check(group: dict[str, Any]) -> None:
    """Raise ValueError for options that are not possible."""
    for name, possible in _CHOICES.items():
        if group[name] not in possible:
            raise ValueError(f"{name}={group[name]!r}: possible are {' and '.join(possible)}")
    for name in ("lr", "eps", "iso", "iso_lr", "target"):
        value = group[name]
        if not (name == "iso_lr" and value is None) and not 0 <= float(value) < inf:
            raise ValueError(f"{name}={value}: possible are finite numbers from 0 up")
    if len(group["betas"]) != 2 or not all(0 <= beta < 1 for beta in group["betas"]):
        raise ValueError(f"betas={group['betas']}: possible are two numbers from 0 to below 1")
    slope = _size(group) * float(group["target"])
    if slope >= 0.25:
        times = "" if group["target"] == 1 else "·target"
        raise ValueError(
            f"lr·iso{times} = {slope:.4g} (of R): it must be below 1/4. A singular value"
            f" √target·(1 + ε) becomes √target·(1 + (1 - 8·{slope:.4g})·ε), which is further from"
            " √target"
        )


def _check_weight(p: Tensor, size: float, target: float) -> None:
    """Raise ValueError for a weight that a step of this size throws further out."""
    what = f"a weight of shape {tuple(p.shape)}"
    if not torch.isfinite(p).all():
        raise ValueError(f"{what} has elements that are not finite: it has no isometry near it")
    most = largest_step(p, target)
    if size > most:
        raise ValueError(
            f"lr·iso = {size:.4g} is too much for {what}: its largest singular value asks for at"
            f" most {most:.4g}. Scale the weight down, begin with torch.nn.init.orthogonal_, or"
            " take a smaller iso"
        )
