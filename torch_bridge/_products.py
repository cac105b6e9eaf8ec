"""How torch's products are called as exact ones: handlers by torch's arguments."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor

from . import accumulate, ops
from .config import PositConfig

__all__ = ["addcmul", "conv", "einsum", "outer", "with_term"]


def _spec(config: PositConfig) -> Any:
    return config.activations


def with_term(
    config: PositConfig, term: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """addmm and its like: one exact sum where products are exact."""
    if beta != 1 or alpha != 1:
        raise NotImplementedError(f"addmm with beta={beta}, alpha={alpha}: only 1 is here")
    if config.accumulate == "quire":
        return ops.matmul(a, b, term, spec=_spec(config))
    return ops.add(accumulate.matmul(config, a, b), term, spec=_spec(config))


def conv(axes: int) -> Callable[..., Any]:
    """With torch's padding by name: "same" is zeros, the odd one at the end."""
    made = accumulate.conv(axes)

    def handle(  # noqa: PLR0917
        config: PositConfig, input: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1,
        padding: Any = 0, dilation: Any = 1, groups: int = 1,
    ) -> Tensor:  # fmt: skip
        x = input
        if padding == "same":
            steps = dilation if isinstance(dilation, (tuple, list)) else (dilation,) * axes
            more = [d * (k - 1) for d, k in zip(steps, weight.shape[2:], strict=True)]
            sides = [n for m in reversed(more) for n in (m // 2, m - m // 2)]
            x = torch.nn.functional.pad(x, sides)
        size = 0 if isinstance(padding, str) else padding
        return made(config, x, weight, bias, stride, size, dilation, groups)

    return handle


def outer(config: PositConfig, input: Tensor, vec2: Tensor) -> Tensor:
    """All products of two vectors."""
    return ops.mul(input.unsqueeze(1), vec2.unsqueeze(0), spec=_spec(config))


def addcmul(
    config: PositConfig, input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1
) -> Tensor:
    """A product and a term, rounded once."""
    if value != 1:
        raise NotImplementedError(f"addcmul with value={value}: only 1 is here")
    return ops.fma(tensor1, tensor2, input, spec=_spec(config))


def einsum(config: PositConfig, equation: str, *operands: Any) -> Tensor:
    """Of two tensors, each of whose axes has a name: one product of matrices."""
    given = operands[0] if isinstance(operands[0], (tuple, list)) else operands
    text = equation.replace(" ", "")
    inputs, _, out = text.partition("->")
    parts = inputs.split(",")
    plain = len(parts) == len(given) == 2 and "->" in text and "." not in text
    if not plain or any(len(set(p)) < len(p) for p in (*parts, out)):
        raise NotImplementedError(
            f"einsum {equation!r}: only of two tensors, with -> and without ... or axes named twice"
        )
    (left, right), (a, b) = parts, given
    size = dict(zip(left + right, (*a.shape, *b.shape), strict=True))
    both = [n for n in left if n in right and n in out]
    inner = [n for n in left if n in right and n not in out]
    rows, columns = ([n for n in p if n not in left or n not in right] for p in parts)
    if {*rows, *columns} - {*out}:
        raise NotImplementedError(f"einsum {equation!r}: sum an axis of one tensor by itself")

    def matrix(x: Tensor, names: str, first: list[str], second: list[str]) -> Tensor:
        moved = x.permute([names.index(n) for n in (*both, *first, *second)])
        shape = [prod(size[n] for n in part) for part in (both, first, second)]
        return moved.reshape(shape)

    made = accumulate.matmul(
        config, matrix(a, left, rows, inner), matrix(b, right, inner, columns)
    )  # fmt: skip
    order = [*both, *rows, *columns]
    return made.reshape([size[n] for n in order]).permute([order.index(n) for n in out])
