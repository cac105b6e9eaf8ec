"""AdamO: Adam on the task's gradient, and a decoupled step of each weight towards an isometry."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

import posit
from posit import PositSpec
from posit.spec import SpecLike

from .isometry import as_matrix, isometry_gradient, largest_step

__all__ = ["AdamO", "isometric_groups"]

_CHECK_EVERY = 50
_FACTORS = {"paper": 1.0, "half": 0.5}


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

    Raises ValueError for lr·iso ≥ 1/4 (paper's convention), where a step goes beyond the isometry
    further than it was away from it, and where a weight has a singular value so large that the step
    throws it further out.

    ``lost`` of an optimizer counts, for posit parameters, the elements whose step was not 0 and
    whose stored weight (and residue) did not change; ``moved`` counts all whose step was not 0.
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
        if convention not in _FACTORS:
            raise ValueError(f"convention {convention!r}: possible are 'paper' (R) and 'half' (½R)")
        if update not in ("residue", "nearest"):
            raise ValueError(f"update {update!r}: possible are 'residue' and 'nearest'")
        for name, value in {"lr": lr, "eps": eps, "target": target}.items():
            if not value >= 0:
                raise ValueError(f"{name}={value}: possible are numbers from 0 up")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas={betas}: possible are numbers from 0 to below 1")
        self.lost, self.moved, self._steps = 0, 0, 0
        self._update, self._factor = update, _FACTORS[convention]
        self._state_spec = PositSpec.parse(state_spec)
        options = {"lr": lr, "betas": betas, "eps": eps}
        super().__init__(params, options | {"iso": iso, "iso_lr": iso_lr, "target": target})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters; see the class for options. Raises ValueError for what has no isometry."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            self._step_size(group)
            if group["iso"]:
                for p in group["params"]:
                    as_matrix(p)
        except ValueError:
            self.param_groups.pop()
            raise

    def _step_size(self, group: dict[str, Any]) -> float:
        """C, of the paper's convention."""
        rate = group["lr"] if group["iso_lr"] is None else group["iso_lr"]
        if not group["iso"] >= 0:
            raise ValueError(f"iso={group['iso']}: possible are numbers from 0 up")
        size = float(rate) * float(group["iso"]) * self._factor
        if size >= 0.25:
            raise ValueError(
                f"lr·iso = {size:.4g} (of R): it must be below 1/4. A singular value 1 + ε becomes"
                f" 1 + (1 - 8·{size:.4g})·ε, which is further from 1"
            )
        return size

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns what ``closure`` does, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        check = self._steps % _CHECK_EVERY == 0
        self._steps += 1
        for group in self.param_groups:
            size = self._step_size(group)
            pushes = [self._push(p, group, size, check) for p in group["params"]]
            for p, push in zip(group["params"], pushes, strict=True):
                self._move(p, group, push)
        return loss

    def _push(self, p: Tensor, group: dict[str, Any], size: float, check: bool) -> Tensor | None:
        """c·∇R of the present weight, or None without isometry."""
        if size == 0:
            return None
        target = group["target"]
        if check and size > largest_step(p, target):
            raise ValueError(
                f"lr·iso = {size:.4g} is too much for a weight of shape {tuple(p.shape)}: its"
                f" largest singular value asks for at most {largest_step(p, target):.4g}. Scale the"
                " weight down, begin with torch.nn.init.orthogonal_, or take a smaller iso"
            )
        spec = getattr(p, "spec", None)
        wide = None if spec is None else self._state_spec
        return size * isometry_gradient(p, target, spec=spec, to=wide)

    def _move(self, p: Tensor, group: dict[str, Any], push: Tensor | None) -> None:
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
            self._store(p, spec, step if push is None else step - push)
        elif push is not None:
            p.sub_(push)

    def _store(self, p: Tensor, spec: PositSpec, step: Tensor) -> None:
        """Add the step to a weight of posits, and round what is kept."""
        state, wide = self.state[p], self._state_spec
        for name in ("exp_avg", "exp_avg_sq"):
            if name in state:
                state[name].copy_(_rounded(state[name], wide))
        weight = posit.encode(p.numpy(), spec)
        change = posit.encode(step.numpy(), wide)
        if self._update == "nearest":
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
        self.lost += int(np.count_nonzero(same & (change != 0)))
        self.moved += int(np.count_nonzero(change != 0))
        p.copy_(torch.from_numpy(np.asarray(posit.decode(made, spec))))


def _rounded(x: Tensor, spec: PositSpec) -> Tensor:
    return torch.from_numpy(np.asarray(posit.decode(posit.encode(x.numpy(), spec), spec)))


def isometric_groups(
    model: nn.Module, iso: float, skip: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """Groups for :class:`AdamO`: weights of linear and convolution layers get ``iso``, the rest 0.

    ``skip`` names modules, as ``model.named_modules()`` does, that stay free: usually the last
    layer, whose scale is the logits'. Raises ValueError for a name that is not there, or if no
    weight is left.
    """
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    modules = dict(model.named_modules())
    free = set(skip)
    if free - set(modules):
        raise ValueError(f"skip: no module is called {sorted(free - set(modules))}")
    chosen = [m.weight for name, m in modules.items() if isinstance(m, kinds) and name not in free]
    if not chosen:
        raise ValueError("no linear or convolutional layer is left to be isometric")
    taken = {id(p) for p in chosen}
    rest = [p for p in model.parameters() if id(p) not in taken]
    return [{"params": chosen, "iso": iso}, {"params": rest, "iso": 0.0}]
