"""Normalisation: of the last axes (LayerNorm, RMSNorm), or of any others.

The mean enters exactly: x - mean is rounded once. The variance (or mean square) is rounded once
from exact sums, then its sum with eps, then the reciprocal root r; then (x - mean)·r, and last that
times the weight plus the bias, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

import posit
import quire
from posit import PositSpec, functions
from posit.spec import SpecLike

from ._define import Inputs, Op, Rule, define, spec_of, text_of
from ._kernels import (
    F8,
    ROOM,
    ULP,
    Patterns,
    as_rows,
    bits_of,
    decided,
    empty,
    every,
    reduced_shape,
    spread,
    tensor_of,
)
from .casts import _nearest
from .elementwise import _add, _fma, _mul, _per
from .products import _dot, later
from .reductions import mean_squares, statistic

__all__ = ["layer_norm", "rms_norm"]


def _centred(rows: Patterns, spec: PositSpec) -> Patterns:
    """x - Σx/n of each row, exact, rounded once: in float64, else by exact means, else exactly."""
    n = rows.shape[-1]
    if not rows.size:
        return rows
    lines = rows.reshape(rows.size // n, n)
    x = posit.decode(lines, spec)
    if spec.reach > ROOM:
        value, error = np.zeros(x.shape), np.ones(x.shape)  # decides nothing
    else:
        value, error = _by_sums(x)
        low, high = posit.encode(value - error, spec), posit.encode(value + error, spec)
        unsure = (low != high).any(-1)
        value[unsure], error[unsure] = _by_means(x[unsure], _means(lines[unsure], spec))

    def exact(i: int) -> Fraction | None:
        row, term = i // n, posit.to_fraction(lines[i // n, i % n], spec)
        (mean,) = _means(lines[row : row + 1], spec)
        return None if term is None or mean is None else term - mean

    return decided(value, error, spec, exact).reshape(rows.shape)


def _means(lines: Patterns, spec: PositSpec) -> list[Fraction | None]:
    """The exact mean of each row, None for NaR."""
    one = np.full(lines.shape[1], spec.one, spec.storage)
    sums = quire.Accumulators(len(lines), spec).add_dots(lines, one).values().tolist()
    return [None if s is None else s / lines.shape[1] for s in sums]


def _by_sums(x: F8) -> tuple[F8, F8]:
    """x less the mean of its row in float64, and how far from it the exact difference may be."""
    n = x.shape[-1]
    mean, size = x.sum(-1, keepdims=True) / n, np.abs(x).sum(-1, keepdims=True)
    return x - mean, (n + 8) * ULP * (size / n + np.abs(x))


def _by_means(x: F8, means: list[Fraction | None]) -> tuple[F8, F8]:
    """The same of exact means: no error where a mean is a float64 and TwoSum leaves nothing."""
    near = [np.nan if m is None else float(m) for m in means]
    whole = [m is not None and Fraction(v) == m for m, v in zip(means, near, strict=True)]
    mean = np.array(near, np.float64).reshape(-1, 1)
    value = x - mean
    back = value - x
    sure = ((x - (value - back)) - (mean + back) == 0) & np.array(whole, np.bool_).reshape(-1, 1)
    return value, np.where(sure, 0.0, ULP * (np.abs(x) + np.abs(mean)))


def _back(rows: Patterns, x: Tensor, dims: Sequence[int]) -> Patterns:
    """From rows of the axes ``dims`` to the shape of x."""
    gone = every(dims, x.dim())
    order = [i for i in range(x.dim()) if i not in gone] + gone
    shaped = rows.reshape([x.shape[i] for i in order])
    return np.ascontiguousarray(shaped.transpose(np.argsort(order)))


def _root(rows: Patterns, centre: bool, eps: float, spec: PositSpec) -> Patterns:
    """1/√(variance or mean square + eps) of each row: three roundings."""
    square = statistic("var", rows, spec) if centre else mean_squares(rows, spec)
    wide = posit.add(square, np.asarray(posit.encode(eps, spec), spec.storage), spec)
    return np.asarray(functions.r_sqrt(wide, spec), spec.storage)


# ---- x - mean: linear, its own derivative
def _centre_kernel(x: Tensor, dims: Sequence[int], text: str) -> Tensor:
    spec = spec_of(text)
    return tensor_of(_back(_centred(as_rows(bits_of(x, spec), dims), spec), x, dims), spec)


_centre: Op = define(
    Rule(
        "centre",
        "(Tensor x, int[] dims, str spec) -> Tensor",
        _centre_kernel,
        lambda x, dims, text: empty(x, x.shape),
        lambda i, out, g: (lambda: _centre(g, i[1], i[2]),),
        lambda i, out, t: _centre(t[0], i[1], i[2]),
        lambda f, i, dims, size: f(i[0].movedim(dims[0], 0), later(i[1]), i[2]),
    )
)


# ---- the reciprocal root r: dr = -r²·mean(z·dx), z the normalised x
def _rstd_kernel(x: Tensor, dims: Sequence[int], centre: bool, eps: float, text: str) -> Tensor:
    spec = spec_of(text)
    return tensor_of(_root(as_rows(bits_of(x, spec), dims), centre, eps, spec), spec)


def _share(inputs: Inputs, r: Tensor, g: Tensor, z: Tensor) -> Tensor:
    """-g·r²·z/n, each product and the quotient rounded."""
    x, dims, _, _, text = inputs
    scaled = spread(_mul(_mul(r, r, text), g, text), x.shape, dims)
    return -_per(_mul(scaled, z, text), _count(x, dims), 1, text)


def _count(x: Tensor, dims: Sequence[int]) -> Tensor:
    return torch.as_tensor(prod([x.shape[d] for d in dims]), dtype=torch.int64)


def _rstd_jvp(inputs: Inputs, r: Tensor, t: Any) -> Tensor:
    x, dims, _, _, text = inputs
    along = _per(_dot(_normalize(*inputs), t[0], dims, text), _count(x, dims), 1, text)
    return -_mul(_mul(r, r, text), along, text)


_rstd: Op = define(
    Rule(
        "reciprocal_deviation",
        "(Tensor x, int[] dims, bool centre, float eps, str spec) -> Tensor",
        _rstd_kernel,
        lambda x, dims, *how: empty(x, reduced_shape(x, dims)),
        lambda i, r, g: (lambda: _share(i, r, g, _normalize(*i)),),
        _rstd_jvp,
        lambda f, i, dims, size: f(i[0].movedim(dims[0], 0), later(i[1]), *i[2:]),
        uses_output=True,
    )
)


# ---- z = (x - mean)·r; its derivative is symmetric: dz = r·(dx - mean(dx) - z·mean(z·dx))
def _normal_kernel(x: Tensor, dims: Sequence[int], centre: bool, eps: float, text: str) -> Tensor:
    spec = spec_of(text)
    rows = as_rows(bits_of(x, spec), dims)
    moved = _centred(rows, spec) if centre else rows
    root = _root(rows, centre, eps, spec)[..., np.newaxis]
    return tensor_of(_back(posit.mul(moved, root, spec), x, dims), spec)


def _slope(inputs: Inputs, z: Tensor, t: Tensor) -> Tensor:
    x, dims, centre, _, text = inputs
    along = _per(_dot(z, t, dims, text), _count(x, dims), 1, text)
    moved = _centre(t, dims, text) if centre else _nearest(t, text)
    rest = _fma(-z, spread(along, x.shape, dims), moved, text)
    return _mul(spread(_rstd(*inputs), x.shape, dims), rest, text)


_normalize: Op = define(
    Rule(
        "normalize",
        "(Tensor x, int[] dims, bool centre, float eps, str spec) -> Tensor",
        _normal_kernel,
        lambda x, *how: empty(x, x.shape),
        lambda i, z, g: (lambda: _slope(i, z, g),),
        lambda i, z, t: _slope(i, z, t[0]),
        lambda f, i, dims, size: f(i[0].movedim(dims[0], 0), later(i[1]), *i[2:]),
        uses_output=True,
    )
)


def _affine(z: Tensor, weight: Tensor | None, bias: Tensor | None, text: str) -> Tensor:
    """z·weight + bias, rounded once."""
    if weight is None:
        return z if bias is None else _add(z, bias, text)
    return _mul(z, weight, text) if bias is None else _fma(z, weight, bias, text)


def _last_axes(name: str, x: Tensor, shape: int | Sequence[int]) -> list[int]:
    wanted = [shape] if isinstance(shape, int) else list(shape)
    if not wanted or list(x.shape[-len(wanted) :]) != wanted:
        raise ValueError(f"{name}: the last axes of {tuple(x.shape)} are not {wanted}")
    return [*range(x.dim() - len(wanted), x.dim())]


def layer_norm(
    x: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *,
    spec: SpecLike,
) -> Tensor:
    """(x - mean)/√(variance + eps)·weight + bias over the last axes.

    Roundings forward: as the module says. Backward, with z the normalised x and r the root:
    g·weight; the exact dot product of that with z, and it over n; the difference from the mean, as
    forward; that less z times the former; the product with r. The gradients of weight and bias are
    one exact sum each element, rounded once.
    """
    text = text_of(spec)
    dims = _last_axes("layer_norm", x, normalized_shape)
    return _affine(_normalize(x, dims, True, eps, text), weight, bias, text)


def rms_norm(
    x: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
    *,
    spec: SpecLike,
) -> Tensor:
    """x/√(mean of x² + eps)·weight over the last axes; ``eps`` is by default the format's epsilon.

    Roundings: as :func:`layer_norm`, without the mean.
    """
    text = text_of(spec)
    dims = _last_axes("rms_norm", x, normalized_shape)
    small = float(spec_of(text).epsilon) if eps is None else eps
    return _affine(_normalize(x, dims, False, small, text), weight, None, text)
