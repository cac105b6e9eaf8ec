"""What a filter may be told: finite numbers, of exactly the shape that it works with.

One number that is not finite would stay in the sums of a filter for good, and an array of another
shape, reshaped or broadcast, would be other samples. Both are refused before anything is changed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._arithmetic import FLOAT64, Arithmetic, Array, Doubles

__all__ = ["check_finite", "table", "vector"]


def check_finite(name: str, x: Array) -> None:
    """Raise ValueError unless all numbers of x are finite."""
    bad = np.argwhere(~np.isfinite(x.astype(np.float64)))
    if len(bad):
        where = tuple(bad[0].tolist())
        raise ValueError(f"{name} is {x[where]} at {where}: only finite numbers can be learnt from")


def vector(name: str, x: npt.ArrayLike, size: int, to: Arithmetic = FLOAT64) -> Array:
    """x as (size,) of an arithmetic; a single number where size is 1.

    Raises ValueError for another shape, or numbers that are not finite once rounded.
    """
    found = to.array(x)
    if found.ndim == 0 and size == 1:
        found = found.reshape(1)
    if found.shape != (size,):
        raise ValueError(f"{name} has shape {np.shape(x)}; it must be {(size,)}")
    check_finite(name, found)
    return found


def table(name: str, x: npt.ArrayLike, width: int | None = None) -> Doubles:
    """x as (T, width) in float64, of any width if None; (T,) is a single column.

    Raises ValueError for another shape. Numbers may be any.
    """
    given: Doubles = np.asarray(x, np.float64)
    found = given[:, np.newaxis] if given.ndim == 1 and width in (1, None) else given
    if found.ndim != 2 or found.shape[1] != (found.shape[1] if width is None else width):
        columns = "columns" if width is None else str(width)
        raise ValueError(f"{name} has shape {given.shape}; it must be (rows, {columns})")
    return found
