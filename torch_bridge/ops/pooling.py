"""Pooling: the largest element of a window, or the exact mean of its elements."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

import quire
from posit.spec import SpecLike

from ._define import Grad, Inputs, Op, Rule, define, spec_of, text_of
from ._device import anywhere
from ._kernels import Patterns, bits_of, empty, tensor_of
from .convolution import Sizes, framed, per_axis, spaced, windows_after
from .embedding import _embedding

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "avg_pool1d", "avg_pool2d", "max_pool1d", "max_pool2d",
]  # fmt: skip

Adaptive = int | Sequence[int | None] | None
How = tuple[Sequence[int], Sequence[int], Sequence[int]]


def _windows(bits: Patterns, how: Any, fill: int) -> Patterns:
    """(..., windows, elements of a window)."""
    kernel, stride, padding = how
    axes = len(kernel)
    frame = [(0, 0)] * (bits.ndim - axes) + [(p, p) for p in padding]
    padded = np.pad(bits, frame, constant_values=fill)
    seen = np.lib.stride_tricks.sliding_window_view(
        padded, tuple(kernel), tuple(range(bits.ndim - axes, bits.ndim))
    )
    picked: tuple[Any, ...] = (*(slice(None, None, s) for s in stride), *[slice(None)] * axes)
    seen = seen[(..., *picked)]
    return seen.reshape(*seen.shape[: bits.ndim], prod(kernel))


def _shape(x: Tensor, how: Any) -> tuple[Any, ...]:
    kernel, stride, padding = how
    axes = zip(x.shape[x.dim() - len(kernel) :], kernel, stride, padding, strict=True)
    return (*x.shape[: x.dim() - len(kernel)], *(windows_after(*a) for a in axes))


# ---- the exact mean, and its gradient: the same of the spaced gradient
def _avg_kernel(x: Tensor, *how: Any) -> Tensor:
    spec = spec_of(how[-1])
    return tensor_of(quire.mean(_windows(bits_of(x, spec), how[:-1], 0), spec, axis=-1), spec)


def _avg_vjp(inputs: Inputs, out: Tensor, g: Tensor) -> list[Grad]:
    x, kernel, stride, padding, text = inputs
    axes = len(kernel)
    before = [k - 1 - p for k, p in zip(kernel, padding, strict=True)]
    last = zip(x.shape[x.dim() - axes :], kernel, stride, padding, strict=True)
    rest = [(n + 2 * p - k) % s for n, k, s, p in last]
    after = [b + r for b, r in zip(before, rest, strict=True)]
    return [
        lambda: _avg(framed(spaced(g, stride), before, after), kernel, [1] * axes, [0] * axes, text)
    ]


_avg: Op = define(
    Rule(
        "avg_pool",
        "(Tensor x, int[] kernel, int[] stride, int[] padding, str spec) -> Tensor",
        _avg_kernel,
        lambda x, *how: empty(x, _shape(x, how[:-1])),
        _avg_vjp,
        lambda i, out, t: _avg(t[0], *i[1:]),
        lambda f, i, dims, size: f(i[0].movedim(dims[0], 0), *i[1:]),
    )
)


# ---- the largest: where it is, then what is there
@torch.library.custom_op("bposit::pool_argmax", mutates_args=())
@anywhere("pool_argmax")
def _argmax(
    x: Tensor, kernel: list[int], stride: list[int], padding: list[int], spec: str
) -> Tensor:
    """The flat place within the last axes of the first largest element of each window.

    NaN counts as the largest. Padding never wins: it is -maxpos, and comes with its place before
    and after elements that are at least that; its places are outside, which is looked for.
    """
    format_ = spec_of(spec)
    bits = bits_of(x, format_)
    how, axes = (kernel, stride, padding), len(kernel)
    top = np.int64(1) << format_.n
    ranks = np.where(bits == format_.nar, top, bits.astype(np.int64))
    spatial = bits.shape[bits.ndim - axes :]
    places = np.arange(prod(spatial)).reshape(spatial)
    best = np.argmax(_windows(ranks, how, -int(top)), -1)[..., np.newaxis]
    at = np.broadcast_to(_windows(places, how, -1), (*best.shape[:-1], prod(kernel)))
    return torch.from_numpy(np.ascontiguousarray(np.take_along_axis(at, best, -1)[..., 0]))


@_argmax.register_fake
def _(x: Tensor, kernel: Any, stride: Any, padding: Any, spec: str) -> Tensor:
    return x.new_empty(_shape(x, (kernel, stride, padding)), dtype=torch.int64)


@_argmax.register_vmap
def _(info: Any, dims: Inputs, x: Tensor, *how: Any) -> tuple[Tensor, int]:
    return torch.ops.bposit.pool_argmax(x.movedim(dims[0], 0), *how), 0


def _max_pool(x: Tensor, how: Any, text: str) -> Tensor:
    """The elements found, as rows of length 1: exact, as the sums of their gradients are."""
    axes = len(how[0])
    at = torch.ops.bposit.pool_argmax(x.detach(), *how, text)
    planes, size = x.shape[: x.dim() - axes], prod(x.shape[x.dim() - axes :])
    count = prod(planes)
    first = torch.arange(count, device=x.device).reshape(*planes, *[1] * axes) * size
    return _embedding(x.reshape(count * size), at + first, text)


def _how(  # noqa: PLR0917
    name: str, axes: int, x: Tensor, kernel: Sizes, stride: Sizes | None, padding: Sizes
) -> How:
    k = per_axis(kernel, axes, f"{name}: kernel_size")
    s = k if stride is None else per_axis(stride, axes, f"{name}: stride")
    p = per_axis(padding, axes, f"{name}: padding")
    if min(k) < 1 or min(s) < 1 or min(p) < 0 or any(2 * b > a for a, b in zip(k, p, strict=True)):
        raise ValueError(f"{name}: padding {p} must be at most half of the kernel {k}, stride {s}")
    if x.dim() < axes:
        raise ValueError(f"{name}: x has {x.dim()} axes, at least {axes} are needed")
    size = x.shape[x.dim() - axes :]
    if any(n + 2 * b < a for n, a, b in zip(size, k, p, strict=True)):
        raise ValueError(f"{name}: a window of {k} does not fit into {tuple(size)}")
    return k, s, p


def max_pool1d(
    x: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, *,
    spec: SpecLike,
) -> Tensor:  # fmt: skip
    """The largest element of each window of the last axis, NaN before all; padding never wins.

    The gradient goes to the first largest: one exact sum each element, rounded once.
    """
    return _max_pool(x, _how("max_pool1d", 1, x, kernel_size, stride, padding), text_of(spec))


def max_pool2d(
    x: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, *,
    spec: SpecLike,
) -> Tensor:  # fmt: skip
    """The largest element of each window of the last two axes, as :func:`max_pool1d`."""
    return _max_pool(x, _how("max_pool2d", 2, x, kernel_size, stride, padding), text_of(spec))


def avg_pool1d(
    x: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, *,
    spec: SpecLike,
) -> Tensor:  # fmt: skip
    """The exact mean of each window of the last axis, rounded once; padding counts as zeros.

    Each element of the gradient is an exact sum over the window's size, rounded once.
    """
    return _avg(x, *_how("avg_pool1d", 1, x, kernel_size, stride, padding), text_of(spec))


def avg_pool2d(
    x: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, *,
    spec: SpecLike,
) -> Tensor:  # fmt: skip
    """The exact mean of each window of the last two axes, as :func:`avg_pool1d`."""
    return _avg(x, *_how("avg_pool2d", 2, x, kernel_size, stride, padding), text_of(spec))


def _windows_of(name: str, axes: int, x: Tensor, size: Adaptive) -> list[int]:
    """The kernel that leaves ``size`` windows on each of the last axes, None for all of one."""
    last = x.shape[x.dim() - axes :]
    given = [size] * axes if size is None or isinstance(size, int) else list(size)
    if len(given) != axes or len(last) != axes:
        raise ValueError(f"{name}: output_size {size} does not fit {tuple(x.shape)}")
    want = [n if o is None else o for n, o in zip(last, given, strict=True)]
    if any(o < 1 or n % o for n, o in zip(last, want, strict=True)):
        raise ValueError(
            f"{name}: axes of {tuple(last)} do not divide into {want} windows of one size"
        )
    return [n // o for n, o in zip(last, want, strict=True)]


def adaptive_avg_pool1d(x: Tensor, output_size: Adaptive, *, spec: SpecLike) -> Tensor:
    """The exact means of ``output_size`` equal windows of the last axis.

    Raises ValueError where the axis cannot be divided so.
    """
    return avg_pool1d(x, _windows_of("adaptive_avg_pool1d", 1, x, output_size), spec=spec)


def adaptive_avg_pool2d(x: Tensor, output_size: Adaptive, *, spec: SpecLike) -> Tensor:
    """The exact means of equal windows of the last two axes, as :func:`adaptive_avg_pool1d`."""
    return avg_pool2d(x, _windows_of("adaptive_avg_pool2d", 2, x, output_size), spec=spec)


def adaptive_max_pool1d(x: Tensor, output_size: Adaptive, *, spec: SpecLike) -> Tensor:
    """The largest elements of equal windows of the last axis, as :func:`adaptive_avg_pool1d`."""
    return max_pool1d(x, _windows_of("adaptive_max_pool1d", 1, x, output_size), spec=spec)


def adaptive_max_pool2d(x: Tensor, output_size: Adaptive, *, spec: SpecLike) -> Tensor:
    """The largest elements of equal windows of the last two axes."""
    return max_pool2d(x, _windows_of("adaptive_max_pool2d", 2, x, output_size), spec=spec)
