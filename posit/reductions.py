"""Exact reductions of posit arrays: any axes, each result rounded once.

NumPy's own ``np.sum`` and ``a @ b`` are exact where its machinery hands a whole sum to one loop;
these functions are exact always, and cover what NumPy rounds twice or refuses (docs/numpy.md).
All take arrays of a posit dtype and raise TypeError for others.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from math import isfinite, prod
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from . import reference
from ._arrays import Patterns, check_range, core_spec, ffi, lib, pointer, refuse_mask
from ._bounds import BLOCK, F8, SHORT, deviations, holds, means, variances
from ._dtype import bits, view
from ._products import dot, einsum, posits, totals
from .codec import decode, encode
from .scalar import Posit
from .spec import PositSpec

__all__ = ["dot", "einsum", "mean", "median", "std", "sum", "var"]

Axes = int | Sequence[int] | None
Array = npt.NDArray[Any]
Rule = Callable[[Patterns, PositSpec], Patterns]
"""From rows of patterns to a pattern for each."""
F = TypeVar("F", bound=Callable[..., Any])


def _described(function: F) -> F:
    """With the docstring that all have in common, of the parameters that this one has."""
    has = inspect.signature(function).parameters
    ddof = "ddof : float\n    Delta degrees of freedom: the divisor is n - ddof. Finite.\n"
    where = (
        "where : array_like of bool\n"
        "    Which elements count; the others are as if absent, NaR too. Broadcasts to ``a``.\n"
    )
    function.__doc__ = f"""{inspect.cleandoc(function.__doc__ or "")}

Parameters
----------
a : array_like of posits
    Of any shape: an array of a posit dtype, a Posit, or nested sequences of Posits.
axis : int or sequence of int, optional
    Over which axes, counted from the end if negative; all by default.
{ddof if "ddof" in has else ""}keepdims : bool
    Whether the reduced axes stay, of length 1.
{where if "where" in has else ""}
Returns
-------
posit array of the dtype of ``a`` and of the shape of the axes that are left; a Posit where none is.
NaR where an element that counts is NaR.

Raises
------
TypeError
    For another dtype of ``a``{" or ``where``" if "where" in has else ""}, or a masked array.
ValueError
    For an axis that is not there (``np.exceptions.AxisError``) or named twice, an element that is
    no pattern of its format{", a wrong shape of ``where``" if "where" in has else ""}\
{", or a ddof that is not finite" if "ddof" in has else ""}.

Source: Posit Standard (2022), 5.11 (quire operations); docs/numpy.md, docs/quire.md.
"""
    return function


@_described
def sum(
    a: npt.ArrayLike, axis: Axes = None, *, keepdims: bool = False, where: npt.ArrayLike = True
) -> Any:
    """Σ a over ``axis``, exact, rounded once; 0 where there is nothing."""
    return _reduced(a, axis, keepdims, where, lambda rows, spec: bits(totals(view(rows, spec))))


@_described
def mean(
    a: npt.ArrayLike, axis: Axes = None, *, keepdims: bool = False, where: npt.ArrayLike = True
) -> Any:
    """Σ a / n over ``axis``: the exact sum over the count, rounded once; NaR where n = 0."""
    return _reduced(a, axis, keepdims, where, _means)


@_described
def var(
    a: npt.ArrayLike,
    axis: Axes = None,
    *,
    ddof: float = 0,
    keepdims: bool = False,
    where: npt.ArrayLike = True,
) -> Any:
    """(Σ a² - (Σ a)²/n)/(n - ddof): from two exact sums, rounded once.

    NaR where n = 0 or n <= ddof.
    """
    free = _finite(ddof)
    fast, exact = partial(variances, ddof=free), partial(_variance, ddof=free)
    return _reduced(a, axis, keepdims, where, partial(_decided, fast=fast, exact=exact))


@_described
def std(
    a: npt.ArrayLike,
    axis: Axes = None,
    *,
    ddof: float = 0,
    keepdims: bool = False,
    where: npt.ArrayLike = True,
) -> Any:
    """The root of the exact variance, rounded once; NaR where n = 0 or n <= ddof."""
    free = _finite(ddof)

    def exact(row: Patterns, spec: PositSpec) -> Fraction | None:
        square = _variance(row, spec, free)
        return None if square is None else reference.root(square, 2 * spec.n)

    fast = partial(deviations, ddof=free)
    return _reduced(a, axis, keepdims, where, partial(_decided, fast=fast, exact=exact))


@_described
def median(a: npt.ArrayLike, axis: Axes = None, *, keepdims: bool = False) -> Any:
    """The middle element, or the mean of the two middle ones, rounded once; NaR where n = 0."""
    return _reduced(a, axis, keepdims, True, _medians)


def _medians(rows: Patterns, spec: PositSpec) -> Patterns:
    n = rows.shape[-1]
    if n == 0:
        return _means(rows, spec)
    ordered = np.sort(rows, axis=-1)  # NaR sorts first, so that it would shift the middle
    worst, low, high = ordered[:, 0], ordered[:, (n - 1) // 2], ordered[:, n // 2]
    middle = low if n % 2 else _means(np.stack([low, high], axis=-1), spec)
    return np.where(worst == spec.nar, spec.storage.type(spec.nar), middle)


def _means(rows: Patterns, spec: PositSpec) -> Patterns:
    def exact(row: Patterns, spec: PositSpec) -> Fraction | None:
        total = _exact_dot(row, None, spec)
        return None if total is None or row.size == 0 else total / row.size

    return _decided(rows, spec, partial(means, f_max=spec.f_max), exact)


def _finite(ddof: float) -> float:
    if not isfinite(ddof):
        raise ValueError(f"ddof: expected a finite number, got {ddof}")
    return float(ddof)


def _reduced(a: npt.ArrayLike, axis: Axes, keepdims: bool, where: npt.ArrayLike, rule: Rule) -> Any:
    """The rule for each row, in which the reduced axes are joined; shaped as NumPy does."""
    array = posits(a, "a")
    spec: PositSpec = array.dtype.spec  # type: ignore[attr-defined]  # posits has checked
    every = tuple(range(array.ndim))
    axes = every if axis is None else np.lib.array_utils.normalize_axis_tuple(axis, array.ndim)
    kept = [i for i in every if i not in axes]
    shape = [array.shape[i] for i in kept]
    check_range(bits(array), spec, "a")

    def joined(x: Array) -> Array:
        return x.transpose(*kept, *axes).reshape(prod(shape), prod(array.shape[i] for i in axes))

    rows = joined(bits(array))
    if where is True:
        found = rule(rows, spec)
    else:
        chosen = joined(_condition(where, array.shape))
        counts, found = np.count_nonzero(chosen, axis=-1), np.empty(len(rows), spec.storage)
        for n in np.unique(counts):
            alike = counts == n
            left = rows[alike][chosen[alike]]  # in C order: row after row, n of each
            found[alike] = rule(left.reshape(np.count_nonzero(alike), n), spec)
    if keepdims:
        shape = [1 if i in axes else array.shape[i] for i in every]
    result = found.reshape(shape)
    return view(result, spec) if result.ndim else Posit.from_bits(int(result), spec)


def _condition(where: npt.ArrayLike, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    refuse_mask(where, "where")
    chosen = np.asarray(where)
    if chosen.dtype != np.bool_:
        raise TypeError(f"where: expected booleans, such as a > 0, got {chosen.dtype}")
    try:
        return np.broadcast_to(chosen, shape)
    except ValueError:
        raise ValueError(
            f"where: shape {chosen.shape} does not broadcast to {shape}, the shape of a"
        ) from None


def _decided(
    rows: Patterns,
    spec: PositSpec,
    fast: Callable[[F8], tuple[F8, F8]],
    exact: Callable[[Patterns, PositSpec], Fraction | None],
) -> Patterns:
    """Each row reduced: in float64 where both ends of its interval round alike, else exactly."""
    count, n = rows.shape
    out = np.empty(count, dtype=spec.storage)
    if not holds(spec) or not 0 < n <= SHORT:
        out[:] = [reference.encode(exact(row, spec), spec) for row in rows]
        return out
    step = max(1, BLOCK // n)
    for at in range(0, count, step):
        part = rows[at : at + step]
        with np.errstate(all="ignore"):
            value, error = fast(decode(part, spec))
            low, high = encode(value - error, spec), encode(value + error, spec)
        for i in np.flatnonzero(low != high):
            low[i] = reference.encode(exact(part[i], spec), spec)
        out[at : at + step] = low
    return out


def _exact_dot(a: Patterns, b: Patterns | None, spec: PositSpec) -> Fraction | None:
    """Σ a·b (Σ a where b is None) as a fraction; None for NaR."""
    layout = lib.bp_exact_layout(core_spec(spec))
    limbs = np.zeros(layout.limbs, dtype=np.uint64)
    flags = ffi.new("int32_t *")
    state = (core_spec(spec), layout, ffi.from_buffer("uint64_t[]", limbs), flags, a.size)
    if b is None:
        lib.bp_quire_sum(*state, pointer(a), a.strides[0])
    else:
        lib.bp_quire_dot(*state, pointer(a), a.strides[0], pointer(b), b.strides[0])
    if flags[0] & lib.BP_NAR:
        return None
    whole = int.from_bytes(limbs.astype("<u8").tobytes(), "little", signed=True)
    lsb: int = layout.lsb
    return whole * Fraction(2) ** lsb


def _variance(row: Patterns, spec: PositSpec, ddof: float) -> Fraction | None:
    n = row.size
    total, squares = _exact_dot(row, None, spec), _exact_dot(row, row, spec)
    if total is None or squares is None or n == 0 or n <= ddof:
        return None
    return (squares - total * total / n) / (n - Fraction(ddof))
