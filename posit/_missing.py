"""Reductions and running totals of posit arrays in which NaR stands for a missing value.

They take NumPy arrays of a posit dtype; :mod:`posit.pandas` puts them behind Series.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _moments, reductions, reference
from ._dtype import bits
from .scalar import Posit
from .spec import PositSpec

__all__ = ["accumulate", "grouped", "missing", "quantile", "reduce"]

Array = npt.NDArray[Any]

_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "sum": reductions.sum, "mean": reductions.mean, "median": reductions.median,
    "var": reductions.var, "std": reductions.std, "min": np.min, "max": np.max, "prod": np.prod,
    "sem": _moments.sem, "skew": _moments.skew, "kurt": _moments.kurt,
}  # fmt: skip
_WITH_DDOF = {"var", "std", "sem"}
_NEED_SOME = {"min", "max"}  # NumPy has no answer for none; the others say what is right

_ACCUMULATIONS: dict[str, tuple[np.ufunc, Callable[[PositSpec], int]]] = {
    "cumsum": (np.add, lambda spec: 0),
    "cumprod": (np.multiply, lambda spec: spec.one),
    "cummax": (np.maximum, lambda spec: -spec.maxpos_pattern),
    "cummin": (np.minimum, lambda spec: spec.maxpos_pattern),
}
"""Each with the pattern that changes nothing."""


def missing(data: Array) -> npt.NDArray[np.bool_]:
    """Where the elements are NaR."""
    found: npt.NDArray[np.bool_] = np.isnan(data)
    return found


def reduce(name: str, data: Array, *, skipna: bool, min_count: int = 0, ddof: int = 1) -> Any:
    """One reduction of a 1-D array: a Posit, a bool for any and all, an int for count.

    All but products are exact and rounded once; a product is rounded after each factor. NaR where
    fewer than ``min_count`` are left. KeyError for an unknown name.
    """
    present = data[~missing(data)]
    if name == "count":
        return present.size
    used = present if skipna else data
    if name in ("any", "all"):
        return bool(getattr(np, name)(bits(used) != 0))
    function = _REDUCTIONS[name]
    if used.size < min_count or (used.size == 0 and name in _NEED_SOME):
        return Posit(np.nan, data.dtype.spec)  # type: ignore[attr-defined]
    return function(used, ddof=ddof) if name in _WITH_DDOF else function(used)


def accumulate(name: str, data: Array, *, skipna: bool) -> Array:
    """A running cumsum, cumprod, cummax or cummin; a missing element stays so and, if skipped,
    does not touch those after it. Each cumsum is the exact sum so far, rounded once.
    """
    ufunc, neutral = _ACCUMULATIONS[name]
    if not skipna:
        return np.asarray(ufunc.accumulate(data))
    gone = missing(data)
    filled = data.copy()
    bits(filled)[gone] = neutral(data.dtype.spec)  # type: ignore[attr-defined]
    made = np.asarray(ufunc.accumulate(filled))
    bits(made)[gone] = data.dtype.spec.nar  # type: ignore[attr-defined]
    return made


def grouped(
    name: str, data: Array, rows: npt.NDArray[np.intp], groups: int, *, skipna: bool, **options: Any
) -> Array:
    """:func:`reduce` or :func:`accumulate` in groups: element i is in group rows[i], in none at -1.

    An element for each group, or for each row (NaR where it is in none); for idxmin and idxmax the
    place of the first such element, -1 where there is none. KeyError for an unknown name.
    """
    order = np.argsort(rows, kind="stable")
    bounds = np.searchsorted(rows, np.arange(groups + 1), sorter=order)
    members = [order[low:high] for low, high in pairwise(bounds)]
    if name in _ACCUMULATIONS:
        totals = np.full(data.size, np.nan, data.dtype)
        for member in members:
            totals[member] = accumulate(name, data[member], skipna=skipna)
        return totals
    if name in ("idxmin", "idxmax"):
        first = np.argmin if name == "idxmin" else np.argmax
        present = [member[~missing(data[member])] for member in members]
        return np.array([m[first(bits(data[m]))] if m.size else -1 for m in present], np.intp)
    found = [reduce(name, data[member], skipna=skipna, **options) for member in members]
    return np.array(found, dtype=bool if name in ("any", "all") else data.dtype)


def quantile(data: Array, q: float, method: str) -> Posit:
    """The q-quantile of what is not missing, q in [0, 1], rounded once; NaR of nothing.

    ``method`` is "linear", "lower", "higher", "nearest" or "midpoint", as in ``numpy.quantile``.
    """
    present = np.sort(data[~missing(data)])
    spec: PositSpec = data.dtype.spec  # type: ignore[attr-defined]
    if present.size == 0:
        return Posit(np.nan, spec)
    place = Fraction(repr(q)) * (present.size - 1)  # 0.1 means a tenth: NumPy takes ties so, too
    low = place.numerator // place.denominator
    part = place - low
    below, above = present[low], present[min(low + 1, present.size - 1)]
    if method == "linear":
        weight = part
    elif method == "midpoint":
        weight = Fraction(part > 0, 2)
    else:
        rounded = {"lower": low, "higher": low + (part > 0), "nearest": round(place)}[method]
        weight = Fraction(rounded - low)
    exact = below.as_fraction() + weight * (above.as_fraction() - below.as_fraction())
    return Posit.from_bits(reference.encode(exact, spec), spec)
