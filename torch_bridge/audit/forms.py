"""Units that are one matrix product, as such."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["PRODUCTS", "Linear", "is_by_rows", "linear_form"]

PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d)
"""Modules whose calls may be one matrix product."""

_ELEMENTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh,
    nn.Sigmoid, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Identity,
    nn.Dropout,
)  # fmt: skip


@dataclass(frozen=True)
class Linear:
    """A linear unit's call as rows (M, K) times weight (N, K) transposed, plus bias (N,)."""

    rows: Tensor
    weight: Tensor
    bias: Tensor | None
    fold: Callable[[Tensor], Tensor]  # (M, N) to the shape that the unit returns
    unfold: Callable[[Tensor], Tensor]  # and back


def is_by_rows(unit: nn.Module, args: tuple[Any, ...]) -> bool:
    """Whether each row, along the last axis, of a call's output follows from that of its input."""
    if len(args) != 1 or not isinstance(args[0], Tensor) or not args[0].is_floating_point():
        return False
    if type(unit) in (nn.LayerNorm, nn.RMSNorm):
        return len(unit.normalized_shape) == 1  # type: ignore[arg-type]
    return type(unit) in _ELEMENTWISE


def linear_form(unit: nn.Module, args: tuple[Any, ...]) -> Linear | None:
    """A call as one matrix product, if it is one; of convolutions by their patches."""
    if len(args) != 1 or not isinstance(args[0], Tensor) or not args[0].is_floating_point():
        return None
    x = args[0]
    if type(unit) is nn.Linear and x.ndim:
        lead = x.shape[:-1]
        return Linear(
            x.reshape(-1, x.shape[-1]), unit.weight, unit.bias,
            lambda y: y.reshape(*lead, y.shape[-1]), lambda y: y.reshape(-1, y.shape[-1]),
        )  # fmt: skip
    if type(unit) not in (nn.Conv1d, nn.Conv2d):
        return None
    assert isinstance(unit, (nn.Conv1d, nn.Conv2d))
    plain = unit.groups == 1 and unit.padding_mode == "zeros" and not isinstance(unit.padding, str)
    axes = 2 if isinstance(unit, nn.Conv2d) else 1
    if not plain or x.ndim != axes + 2:
        return None
    return _patches(unit, x, axes)


def _patches(unit: nn.Conv1d | nn.Conv2d, x: Tensor, axes: int) -> Linear:
    def both(given: Any, filler: int) -> tuple[int, int]:
        return (filler, given[0]) if axes == 1 else (given[0], given[1])

    image = x.unsqueeze(2) if axes == 1 else x
    kernel, stride = both(unit.kernel_size, 1), both(unit.stride, 1)
    padding, dilation = both(unit.padding, 0), both(unit.dilation, 1)
    columns = functional.unfold(image, kernel, dilation, padding, stride)
    batch, width, places = columns.shape
    size = [
        (image.shape[i + 2] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
        for i in (0, 1)
    ]

    def fold(y: Tensor) -> Tensor:
        made = y.reshape(batch, places, -1).transpose(1, 2)
        return made.reshape(batch, -1, *(size if axes == 2 else size[1:]))

    def unfold(y: Tensor) -> Tensor:
        return y.reshape(batch, -1, places).transpose(1, 2).reshape(batch * places, -1)

    rows = columns.transpose(1, 2).reshape(batch * places, width)
    return Linear(rows, unit.weight.reshape(unit.out_channels, -1), unit.bias, fold, unfold)
