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
from posit import PositSpec, functions
from posit.spec import SpecLike

from ._define import Inputs, Op, Rule, define, spec_of, text_of
from ._kernels import (
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
    """x - Σx/n of each row, exact, rounded once."""
    x, n = posit.decode(rows, spec), rows.shape[-1]
    if not n:
        return rows
    size = np.abs(x).sum(-1, keepdims=True)
    value = x - x.sum(-1, keepdims=True) / n
    error = (n + 8) * ULP * (size / n + np.abs(x))
    # All terms are multiples of the last bit of the least; with n a power of two, no operation
    # rounds while n·Σ|x| stays below 2^52 of those.
    _, exponent = np.frexp(np.where(x != 0, np.abs(x), np.inf).min(-1, keepdims=True))
    unit = np.ldexp(1.0, np.maximum(exponent - 1 - spec.f_max, -1022))
    sure = (n & (n - 1) == 0) & (n * size <= unit * 2.0**52)
    equal = (x == x[..., :1]).all(-1, keepdims=True)
    value, error = np.where(equal, 0.0, value), np.where(equal | sure, 0.0, error)
    lines = rows.reshape(rows.size // n, n)
    means: dict[int, Fraction] = {}

    def exact(i: int) -> Fraction | None:
        row = i // n
        if row not in means:
            means[row] = sum((posit.to_fraction(p, spec) or 0 for p in lines[row]), Fraction(0)) / n
        found = posit.to_fraction(lines[row, i % n], spec)
        return None if found is None else found - means[row]

    return decided(value, error, spec, exact)


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
