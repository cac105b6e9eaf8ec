"""Convolutions: every output and every gradient is one exact sum, rounded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

import quire
from posit.spec import SpecLike

from .._deposit import Products, Terms, Values
from ._define import Grad, Inputs, Op, Rule, define, spec_of, text_of
from ._kernels import Patterns, bits_of, empty, tensor_of
from .casts import _nearest
from .products import _sum, repeated

__all__ = ["conv1d", "conv2d", "per_axis", "windows_after"]

Sizes = int | Sequence[int]


def per_axis(value: Sizes, axes: int, name: str) -> list[int]:
    """One integer for each spatial axis."""
    found = [value] * axes if isinstance(value, int) else list(value)
    if len(found) != axes:
        raise ValueError(f"{name} must be an integer or {axes} of them, got {value}")
    return found


def windows_after(n: Any, kernel: Any, stride: int, padding: int, dilation: int = 1) -> Any:
    """How many windows an axis of n elements has."""
    return (n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _kernel(x: Tensor, w: Tensor, bias: Tensor | None, *how: Any) -> Tensor:
    *sizes, groups, text = how
    spec = spec_of(text)
    stride, padding, dilation = (tuple(s) for s in sizes)
    made = quire.conv(
        bits_of(x, spec), bits_of(w, spec), spec, stride=stride, padding=padding,
        dilation=dilation, groups=groups, bias=None if bias is None else bits_of(bias, spec),
    )  # fmt: skip
    return tensor_of(made, spec)


def _fake(x: Tensor, w: Tensor, bias: Tensor | None, *how: Any) -> Tensor:
    axes = zip(x.shape[2:], w.shape[2:], *how[:3], strict=True)
    return empty(x, (x.shape[0], w.shape[0], *(windows_after(*a) for a in axes)))


def spaced(g: Tensor, stride: Sequence[int]) -> Tensor:
    """g with stride - 1 zeros between neighbours along the last axes."""
    for axis, step in zip(range(-len(stride), 0), stride, strict=True):
        if step > 1:
            moved = g.movedim(axis, -1)
            wide = functional.pad(moved.unsqueeze(-1), (0, step - 1)).flatten(-2)
            g = wide[..., : wide.shape[-1] - step + 1].movedim(-1, axis)
    return g


def grouped(x: Tensor, axis: int, groups: int) -> Tensor:
    """x with an axis split in so many groups."""
    return x.reshape(*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])


def framed(g: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
    """g with zeros before and after its last axes; negative numbers cut off."""
    pairs = [n for pair in zip(before, after, strict=True) for n in pair]
    pairs = [n for i in range(len(pairs) - 2, -1, -2) for n in pairs[i : i + 2]]
    return functional.pad(g, pairs)


def _of_input(inputs: Inputs, g: Tensor) -> Tensor:
    """A correlation of the spaced gradient with the turned kernel, outputs and inputs exchanged."""
    x, w, _, stride, padding, dilation, groups, text = inputs
    axes = len(stride)
    reach = [d * (k - 1) for d, k in zip(dilation, w.shape[2:], strict=True)]
    before = [r - p for r, p in zip(reach, padding, strict=True)]
    rest = [
        (n + 2 * p - r - 1) % s
        for n, p, r, s in zip(x.shape[2:], padding, reach, stride, strict=True)
    ]
    after = [b + r for b, r in zip(before, rest, strict=True)]
    split = grouped(w, 0, groups).transpose(1, 2).flatten(0, 1)
    turned = split.flip([*range(2, 2 + axes)])
    wide = framed(spaced(g, stride), before, after)
    return _conv(wide, turned, None, [1] * axes, [0] * axes, dilation, groups, text)


def _of_weight(inputs: Inputs, g: Tensor) -> Tensor:
    """A correlation of x with the gradient, the samples as channels."""
    x, w, _, stride, padding, dilation, groups, text = inputs
    data = grouped(x, 1, groups).movedim(0, 2)  # (groups, C/groups, N, ...)
    data = data.transpose(0, 1).flatten(1, 2)
    wide = _conv(data, g.transpose(0, 1), None, dilation, padding, stride, groups, text)
    cut = tuple(slice(0, k) for k in w.shape[2:])
    return wide[(slice(None), slice(None), *cut)].transpose(0, 1)


def _vjp(inputs: Inputs, out: Tensor, g: Tensor) -> list[Grad]:
    text = inputs[-1]
    return [
        lambda: _of_input(inputs, g),
        lambda: _of_weight(inputs, g),
        None if inputs[2] is None else lambda: _sum(g, [0, *range(2, g.dim())], text),
    ]


def _terms(inputs: Inputs, out: Tensor, g: Tensor) -> list[Callable[[], Terms] | None]:
    x, w, bias, stride, padding, dilation, groups, text = inputs
    spec = spec_of(text)

    def of_weight() -> Terms:
        """(groups, O/groups, N·L) times (groups, N·L, C/groups·K)."""
        seen = _windows(bits_of(x, spec), w.shape[2:], stride, padding, dilation, g.shape[2:])
        lines = seen.reshape(groups, seen.shape[0] // groups * prod(w.shape[2:]), -1)
        made = bits_of(g.transpose(0, 1), spec).reshape(groups, w.shape[0] // groups, -1)
        return Products(made, lines.transpose(0, 2, 1))

    return [
        None,
        of_weight,
        None if bias is None else lambda: Values(bits_of(g.movedim(1, -1).flatten(0, -2), spec)),
    ]


def _windows(  # noqa: PLR0917
    x: Patterns, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], size: Sequence[int],
) -> Patterns:  # fmt: skip
    """(C, *kernel, N, *size): what each place of a kernel sees in each window; a view."""
    wide = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    n, c, *steps = wide.strides
    inner = [s * d for s, d in zip(steps, dilation, strict=True)]
    outer = [s * d for s, d in zip(steps, stride, strict=True)]
    shape = (x.shape[1], *kernel, x.shape[0], *size)
    return np.lib.stride_tricks.as_strided(wide, shape, (c, *inner, n, *outer), writeable=False)


def _jvp(inputs: Inputs, out: Tensor, tangents: Any) -> Tensor:
    """dx∗w + x∗dw + dbias: one correlation of up to twice the channels, rounded once."""
    x, w, _, *how, groups, text = inputs
    dx, dw, term = tangents
    if dx is None and dw is None:
        return _nearest(term, text).reshape(-1, *[1] * (x.dim() - 2)).expand_as(out)
    if dx is None or dw is None:
        pair = (x, dw) if dx is None else (dx, w)
        return _conv(*pair, term, *how, groups, text)
    both = torch.cat([grouped(t, 1, groups) for t in (dx, x)], 2).flatten(1, 2)
    return _conv(both, torch.cat([w, dw], 1), term, *how, groups, text)


def _batched(f: Callable[..., Tensor], inputs: Inputs, dims: Inputs, size: int) -> Tensor:
    """A batch of inputs as more samples; one of kernels too, as more groups."""
    x, w, bias, *how, groups, text = inputs
    if dims[1] is None and dims[2] is None:
        made = f(x.movedim(dims[0], 0).flatten(0, 1), w, bias, *how, groups, text)
        return grouped(made, 0, size)
    x, w = (repeated(t, d, size, text) for t, d in zip((x, w), dims[:2], strict=True))
    bias = None if bias is None else repeated(bias, dims[2], size, text).flatten()
    made = f(x.transpose(0, 1).flatten(1, 2), w.flatten(0, 1), bias, *how, groups * size, text)
    return grouped(made, 1, size).transpose(0, 1)


_conv: Op = define(
    Rule(
        "conv",
        "(Tensor x, Tensor w, Tensor? bias, int[] stride, int[] padding, int[] dilation,"
        " int groups, str spec) -> Tensor",
        _kernel,
        _fake,
        _vjp,
        _jvp,
        _batched,
        _terms,
    )
)


def _conv_of(  # noqa: PLR0917
    axes: int, x: Tensor, w: Tensor, bias: Tensor | None, sizes: dict[str, Sizes], groups: int,
    spec: SpecLike,
) -> Tensor:  # fmt: skip
    single = x.dim() == axes + 1
    if not single and x.dim() != axes + 2:
        raise ValueError(f"conv{axes}d: x must have {axes + 1} or {axes + 2} axes, got {x.dim()}")
    if w.dim() != axes + 2:
        raise ValueError(f"conv{axes}d: the weight must have {axes + 2} axes, got {w.dim()}")
    if any(isinstance(s, str) for s in sizes.values()):
        raise ValueError(f"conv{axes}d: padding in numbers, please, not as {sizes['padding']!r}")
    how = [per_axis(value, axes, f"conv{axes}d: {name}") for name, value in sizes.items()]
    made = _conv(x.unsqueeze(0) if single else x, w, bias, *how, groups, text_of(spec))
    return made.squeeze(0) if single else made


def conv1d(  # noqa: PLR0917
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    *,
    spec: SpecLike,
) -> Tensor:
    """Cross-correlation of (N, C, L) with (O, C/groups, K), as ``torch`` defines it.

    Each output with its bias, and each element of all three gradients, is one exact sum, rounded
    once; so is each element of a tangent.
    """
    sizes = {"stride": stride, "padding": padding, "dilation": dilation}
    return _conv_of(1, x, weight, bias, sizes, groups, spec)


def conv2d(  # noqa: PLR0917
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    *,
    spec: SpecLike,
) -> Tensor:
    """Cross-correlation of (N, C, H, W) with (O, C/groups, KH, KW); rounding as :func:`conv1d`."""
    sizes = {"stride": stride, "padding": padding, "dilation": dilation}
    return _conv_of(2, x, weight, bias, sizes, groups, spec)
