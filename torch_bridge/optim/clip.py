"""Clipping by the norm of all gradients, which is exact but for one rounding."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

import posit
from posit import PositSpec
from posit.reference import root
from posit.spec import SpecLike
from quire import Accumulators

from .. import gradients
from .._patterns import tensor_like
from ..ops._define import text_of

__all__ = ["clip_grad_norm_"]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    *,
    spec: SpecLike = "bposit32",
    group: dist.ProcessGroup | None = None,
    sharded: bool = False,
    error_if_nonfinite: bool = True,
) -> Tensor:
    """Scale gradients so that √Σg² over all of them is at most ``max_norm``.

    Gradients are rounded to ``spec``, once; Σg² is exact and its root rounded once. If it is above
    ``max_norm``, every gradient is multiplied by max_norm/norm, which is one rounded quotient, and
    rounded again; ``.grad`` is the result, and deposits are cleared. Else nothing is changed.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
    max_norm : float
        Positive.
    spec : PositSpec, dtype or text
        Of the gradients here, the norm and the factor.
    group, sharded
        With ``sharded=True`` each rank has other elements, and Σg² is summed over the ranks of
        ``group`` (default all), exactly: every rank must call, and finds the same norm.
    error_if_nonfinite : bool
        Whether NaR raises FloatingPointError; otherwise nothing is changed.

    Returns the norm before, a float64 tensor of no axes; NaN for NaR.
    """
    to = PositSpec.parse(text_of(spec))
    if not (isfinite(max_norm) and max_norm > 0):
        raise ValueError(f"max_norm={max_norm}: possible are positive numbers")
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    found = [(p, bits) for p in given if (bits := gradients.rounded(p, to)) is not None]
    squares = Accumulators((), to)
    for _, bits in found:
        squares.add_dots(bits.reshape(-1), bits.reshape(-1))
    if sharded:
        from ..distributed import all_reduce

        all_reduce([squares], group)
    exact = squares.values().item()
    norm = posit.from_fraction(None if exact is None else root(exact, 2 * to.n), to)
    limit = posit.encode(float(max_norm), to)
    if norm == to.nar:
        if error_if_nonfinite:
            raise FloatingPointError("the norm of the gradients is NaR: an element of one is NaR")
    elif norm > limit:
        factor = posit.div(limit, norm, to)
        for p, bits in found:
            scaled = np.asarray(posit.mul(factor, bits, to), to.storage)
            p.grad = tensor_like(p, scaled, to)
            gradients.clear([p])
    return torch.tensor(float(posit.decode(norm, to)), dtype=torch.float64)
