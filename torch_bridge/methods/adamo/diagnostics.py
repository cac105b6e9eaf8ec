"""What tells a network that can still learn from one that cannot."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from .isometry import as_matrix

__all__ = ["condition", "dormant_share", "effective_rank", "ntk_condition", "singular_values"]

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def singular_values(weight: Tensor) -> Tensor:
    """Of a weight as a matrix, the largest first: (k,), float64."""
    found: Tensor = torch.linalg.svdvals(as_matrix(weight.detach()).to(torch.float64))
    return found


def condition(weight: Tensor) -> float:
    """Largest over least singular value; inf for a singular matrix."""
    values = singular_values(weight)
    return float(values[0] / values[-1]) if values[-1] > 0 else float("inf")


def effective_rank(features: Tensor) -> float:
    """exp of the entropy of the singular values of (samples, units), as shares of their sum.

    Roy and Vetterli, *The effective rank* (EUSIPCO 2007); 0 for features that are all 0.
    """
    values = torch.linalg.svdvals(features.detach().to(torch.float64))
    total = values.sum()
    if total == 0:
        return 0.0
    share = values[values > 0] / total
    return float(torch.exp(-(share * share.log()).sum()))


def dormant_share(activations: Iterable[Tensor]) -> float:
    """Share of the units, of all layers (samples, units), that are 0 for every sample."""
    dead = [(a.detach() == 0).all(dim=0) for a in activations]
    return float(torch.cat(dead).to(torch.float64).mean())


def ntk_condition(model: nn.Module, x: Tensor) -> float:
    """Condition number of the empirical neural tangent kernel J·Jᵀ.

    J has the derivatives of all outputs of all samples.

    Parameters
    ----------
    model : Module
        From (samples, …) to (samples, outputs).
    x : Tensor
        A few samples: the kernel has samples·outputs rows.

    Directions of the outputs that no small step can change make it infinite; it is taken as such
    from 10¹⁴ on, where float64 ends.

    Raises ValueError for a batch norm in training: a sample's output is then no function of that
    sample, and the norm's running statistics would move.
    """
    for name, module in model.named_modules():
        if isinstance(module, _BATCH_NORMS) and module.training:
            raise ValueError(
                f"{name or 'the model'} is a {type(module).__name__} in training: its outputs"
                " depend on the other samples, so there is no kernel; call model.eval() first"
            )
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def outputs(values: dict[str, Tensor]) -> Tensor:
        made: Tensor = functional_call(model, values, (x,))
        return made.flatten()

    jacobian = jacrev(outputs)(parameters)
    rows = torch.cat([part.flatten(1) for part in jacobian.values()], dim=1).to(torch.float64)
    values = torch.linalg.svdvals(rows)
    found = float((values[0] / values[-1]) ** 2) if values[-1] > 0 else float("inf")
    return found if found < 1e14 else float("inf")
