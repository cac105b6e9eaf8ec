"""Exact gradients: layers deposit what a gradient is the sum of; the optimizer rounds it, once.

>>> import torch, torch_bridge.gradients as gradients
>>> from posit import bposit16, encode
>>> w = torch.nn.Parameter(torch.zeros(2, 3, dtype=torch.float64))
>>> x, g = encode([[1.0, 2, 3], [4, 5, 6]], bposit16), encode([[1.0, 0], [1, 1]], bposit16)
>>> for k in (0, 1):  # two micro-batches of one sample
...     _ = gradients.of(w, bposit16).add_products(g[k : k + 1].T, x[k : k + 1])
>>> gradients.write([w])
>>> w.grad
tensor([[5., 7., 9.],
        [4., 5., 6.]], dtype=torch.float64)

A parameter's gradient is the sum of all its deposits, exact, and of ``.grad`` where a layer that
deposits nothing left one. So it does not depend on how a batch is split into micro-batches, on
their order, or on how many times a tied parameter was used. ``optimizer.zero_grad()`` clears both.
``model.zero_grad()`` cannot see deposits: a deposit on top of a gradient that a step has used
raises RuntimeError instead of adding to it silently.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from posit import PositSpec
from posit.spec import SpecLike

from ._gradient_sum import GradientSum
from ._patterns import Patterns, patterns_of, tensor_like
from ._registry import collect, find, of, release

__all__ = ["GradientSum", "clear", "collect", "find", "of", "release", "rounded", "write"]


def clear(parameters: Iterable[Tensor]) -> None:
    """Clear the parameters' sums; ``.grad`` is left alone. Optimizers' ``zero_grad`` does both."""
    for p in parameters:
        found = find(p)
        if found is not None:
            found.clear()


def rounded(parameter: Tensor, spec: SpecLike) -> Patterns | None:
    """The parameter's gradient in ``spec``, rounded once; None if it has none.

    A ``.grad`` beside deposits is rounded to their format and added to them exactly.
    """
    to, found, dense = PositSpec.parse(spec), find(parameter), parameter.grad
    if dense is not None:
        _check_dense(dense)
    if found is None or found.is_empty:
        return None if dense is None else patterns_of(dense, to)
    beside = None if dense is None else patterns_of(dense, found.spec)
    if beside is None or not beside.any():
        return found.round(to)
    return found.to_accumulators().copy().add(beside).round(to)


def _check_dense(gradient: Tensor) -> None:
    if gradient.layout != torch.strided:
        raise TypeError(f"a gradient of layout {gradient.layout}: only dense ones are possible")


def write(parameters: Iterable[Tensor], spec: SpecLike | None = None) -> None:
    """Set ``.grad`` to the gradient, rounded once to ``spec`` or its own format, and clear the sum.

    A PositTensor gets one, others a tensor of their dtype. For those who look at gradients, and for
    other optimizers.
    """
    for p in parameters:
        found = find(p)
        if found is not None and not found.is_empty:
            to = found.spec if spec is None else PositSpec.parse(spec)
            bits = rounded(p, to)
            assert bits is not None
            p.grad = tensor_like(p, bits, to)
            found.clear()
