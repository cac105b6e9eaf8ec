"""How far a weight is from an isometry, and the step towards one.

R(W) = ‖WᵀW - s·I‖² for a matrix with at least as many rows as columns, ‖WWᵀ - s·I‖² for a wider
one: the Gram matrix is the smaller one, so that R = 0 can be reached. Its gradient is 4·W·(WᵀW -
s·I), or 4·(WWᵀ - s·I)·W. A convolution's kernel is the matrix of (output channels) × (all else).

A step W ← W - c·∇R moves every singular value by σ ← σ - 4c·σ·(σ² - s), so that

- c·s < 1/4 is what makes σ = √s attract (the derivative there is 1 - 8c·s),
- c = 1/8, with s = 1, is one Newton-Schulz step of the polar decomposition, σ·(3 - σ²)/2,
- a value with 4c·(σ² - s) > 2 is thrown further out than it was.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

import posit
import quire
from posit import PositSpec
from posit.spec import SpecLike

__all__ = ["as_matrix", "gram_deviation", "isometry_gradient", "isometry_penalty", "largest_step"]


def as_matrix(weight: Tensor) -> Tensor:
    """A weight of two or more axes as (outputs, all else), a view where that is possible.

    Raises ValueError for one with fewer axes: a vector is no linear map between layers.
    """
    if weight.dim() < 2:
        raise ValueError(f"a parameter of shape {tuple(weight.shape)} has no isometry: it takes two"
                         " axes or more; give it a group with iso=0")  # fmt: skip
    return weight.flatten(1)


def gram_deviation(
    weight: Tensor, target: float = 1.0, *, spec: SpecLike | None = None, to: SpecLike | None = None
) -> Tensor:
    """WᵀW - s·I, or WWᵀ - s·I for a wide matrix: (k, k), k the smaller side.

    Parameters
    ----------
    weight : Tensor, (out, in, …)
    target : float
        s.
    spec : format, optional
        W is rounded to it (nothing changes if W is of it), and each element is one exact sum: -s is
        put into the quire of the diagonal before the products, so that what cancels, cancels
        exactly, and the difference is rounded once. Default: products of torch.
    to : format, optional
        Of the result; default ``spec``. A wider one keeps more of the difference.
    """
    w = as_matrix(weight.detach())
    a = w.mT if w.shape[0] >= w.shape[1] else w
    if spec is None:
        return a @ a.mT - target * torch.eye(a.shape[0], dtype=a.dtype, device=a.device)
    found = PositSpec.parse(spec)
    bits = posit.encode(a.to(torch.float64).numpy(), found)
    out = found if to is None else PositSpec.parse(to)
    made = _deviation(bits, found, target, out)
    return torch.from_numpy(np.asarray(posit.decode(made, out)))


def _deviation(a: Any, spec: PositSpec, target: float, to: PositSpec) -> Any:
    """Patterns of ``to`` nearest to a·aᵀ - target·I."""
    shift = np.where(np.eye(len(a), dtype=bool), posit.encode(-target, spec), 0)
    shift = shift.astype(spec.storage)
    if to == spec:
        return quire.matmul(a, a.T, spec, add=shift)
    sums = quire.Accumulators(shift.shape, spec).add(shift).add_products(a, a.T)
    return sums.round(to)


def isometry_penalty(weight: Tensor, target: float = 1.0) -> Tensor:
    """R(W), differentiable: for the coupled variant, where the optimizer sees its gradient."""
    w = as_matrix(weight)
    a = w.mT if w.shape[0] >= w.shape[1] else w
    deviation = a @ a.mT - target * torch.eye(a.shape[0], dtype=a.dtype, device=a.device)
    return deviation.square().sum()


def isometry_gradient(
    weight: Tensor, target: float = 1.0, *, spec: SpecLike | None = None, to: SpecLike | None = None
) -> Tensor:
    """∇R(W) in W's shape; with ``spec`` from the fused deviation, a second exact product in ``to``.

    The product is rounded once, to ``to`` (default ``spec``), and 4 scales it exactly.
    """
    found = None if spec is None else PositSpec.parse(spec if to is None else to)
    return gradient_of(weight, gram_deviation(weight, target, spec=spec, to=to), found)


def gradient_of(weight: Tensor, deviation: Tensor, spec: PositSpec | None) -> Tensor:
    """4·W·D, or 4·D·W for a wide matrix, with D of :func:`gram_deviation`.

    The product is that of torch, or, of posits of ``spec``, exact and rounded once.
    """
    w = as_matrix(weight.detach())
    left, right = (w, deviation) if w.shape[0] >= w.shape[1] else (deviation, w)
    if spec is None:
        made = left @ right
    else:
        a, b = (posit.encode(x.to(torch.float64).numpy(), spec) for x in (left, right))
        made = torch.from_numpy(np.asarray(posit.decode(quire.matmul(a, b, spec), spec)))
    return (4 * made).reshape(weight.shape)


def largest_step(weight: Tensor, target: float = 1.0) -> float:
    """The largest c for which no singular value is thrown further out: 1/(2·(σ² - s)), or inf."""
    top = float(torch.linalg.matrix_norm(as_matrix(weight.detach()).to(torch.float64), 2))
    over = top * top - target
    return 0.5 / over if over > 0 else float("inf")
