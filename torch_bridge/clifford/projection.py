"""Weights stored with blades that they may not have: projected, so that these stay 0.

[A] the weight update preserves grades: W <- W - η·Π(g), with Π the projection on declared grades.
[ours] the same around any optimizer, whose own step may do more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["GradePreserving", "grade_project_"]


def grade_project_(gradient: Tensor, mask: Tensor) -> Tensor:
    """Set to 0, in place, the coefficients that a mask leaves out, NaN too; returns the tensor.

    Parameters
    ----------
    gradient : Tensor (..., n)
        Of coefficients on n blades; or an update, or weights.
    mask : bool Tensor, (n,) or one that broadcasts
        True for what may be there; :meth:`Algebra.mask` makes it.
    """
    if mask.dtype != torch.bool:
        raise TypeError(f"a mask is of torch.bool, got {mask.dtype}")
    with torch.no_grad():
        return gradient.masked_fill_(~mask, 0.0)


class GradePreserving(Optimizer):
    """Any optimizer, for weights that are stored with blades which they may not have.

    Gradients are projected before its step and weights after it, so that forbidden coefficients are
    0 exactly after any number of steps, whatever momentum, decay or noise would make of them.
    (Weights stored on their own blades alone, as multivectors here are, need nothing of it.)

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    masks : mapping of parameters (..., n) to bool tensors
        As :func:`grade_project_` takes them. Parameters without a mask are left as they are.

    Raises ValueError for a parameter that the optimizer does not have, or with a forbidden
    coefficient that is not 0.
    """

    def __init__(self, optimizer: Optimizer, masks: Mapping[Tensor, Tensor]) -> None:
        self.optimizer, self.masks = optimizer, dict(masks)
        self._share()
        self.__setstate__({})  # hooks, as Optimizer.__init__ makes them
        known = {id(p) for group in optimizer.param_groups for p in group["params"]}
        for p, mask in self.masks.items():
            if id(p) not in known:
                raise ValueError("a mask is given for a parameter that the optimizer does not have")
            changed = grade_project_(p.detach().clone(), mask) != p.detach()
            if bool((changed & ~mask).any()):  # NaN where it may be is not our business
                raise ValueError(
                    "a parameter has forbidden coefficients that are not 0; grade_project_ them"
                )

    def _share(self) -> None:
        """Groups and state are the optimizer's: Optimizer.__init__ would add groups."""
        self.defaults, self.state = self.optimizer.defaults, self.optimizer.state
        self.param_groups = self.optimizer.param_groups

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """The optimizer's step between two projections; also of gradients that a closure makes."""

        def projected() -> Any:
            assert closure is not None
            loss = closure()
            self._project_gradients()
            return loss

        self._project_gradients()
        loss = self.optimizer.step(None if closure is None else projected)
        for p, mask in self.masks.items():
            grade_project_(p, mask)
        return loss

    def _project_gradients(self) -> None:
        for p, mask in self.masks.items():
            if p.grad is not None:
                grade_project_(p.grad, mask)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """The optimizer's."""
        self.optimizer.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The optimizer's."""
        self.optimizer.load_state_dict(state_dict)
        self._share()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """The optimizer's; without masks."""
        self.optimizer.add_param_group(param_group)

    def __repr__(self) -> str:
        return f"GradePreserving of {self.optimizer!r}"
