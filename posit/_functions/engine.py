"""Functions over arrays: by table at n <= 16, else in float64 where that decides, else by MPFR."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import Patterns, core_spec, deliver, patterns
from ..codec import decode, encode
from ..spec import PositSpec
from .exact import exact
from .row import Row

__all__ = ["apply", "table"]

_BLOCK = 1 << 15  # elements: four float64 arrays are 1 MiB; calls take 30 µs of each 150
_INDICES = 1 << 16  # elements whose indices NumPy widens at a time
_TABLES: dict[tuple[str, PositSpec], Patterns] = {}  # 2^16 elements at most each; never evicted
_BUILDING = Lock()


def apply(
    row: Row, spec: PositSpec, operands: Sequence[npt.ArrayLike], out: Patterns | None
) -> Patterns:
    """The function of operands that broadcast: patterns, then integers where the row takes them."""
    core_spec(spec)
    arrays: list[npt.NDArray[Any]] = [
        patterns(x, spec, name) for x, name in zip(operands, row.operands, strict=False)
    ]
    arrays += [_integers(x, row.integer) for x in operands[len(arrays) :]]
    try:
        shape = np.broadcast_shapes(*(x.shape for x in arrays))
    except ValueError:
        shapes = ", ".join(str(x.shape) for x in arrays)
        raise ValueError(f"shapes {shapes} do not broadcast together") from None
    if len(arrays) == 1 and spec.n <= 16:
        return deliver(_looked_up(table(row, spec), arrays[0]), out)
    made = np.empty(shape, spec.storage)
    lines = [np.broadcast_to(x, shape).reshape(-1) for x in arrays]
    flat = made.reshape(-1)
    for at in range(0, flat.size, _BLOCK):
        part = slice(at, at + _BLOCK)
        flat[part] = _decided(row, spec, [line[part] for line in lines])
    return deliver(made, out)


def _integers(k: npt.ArrayLike, name: str) -> npt.NDArray[np.int64]:
    array = np.asarray(k)
    if array.size == 0 and not isinstance(k, np.ndarray):
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        given = "an integer beyond int64" if array.dtype.kind == "O" else array.dtype.name
        raise TypeError(f"{name} must be integers that int64 holds, got {given}")
    if array.dtype.kind == "u" and array.size and int(array.max()) >= 1 << 63:
        raise ValueError(f"{name}: {int(array.max())} is beyond int64")
    return array.astype(np.int64, copy=False)


def _decided(row: Row, spec: PositSpec, operands: list[npt.NDArray[Any]]) -> Patterns:
    """A block: float64 where both ends of its interval round alike, MPFR for the others."""
    if not row.is_fast(spec):
        return exact(row, spec, operands)
    count = len(row.operands)
    with np.errstate(all="ignore"):
        numbers = [decode(x, spec) for x in operands[:count]]
        value, error = row.fast(*numbers, *operands[count:])
        if error is None:
            return encode(value, spec)
        low, high = encode(value - error, spec), encode(value + error, spec)
    unsure = np.flatnonzero(low != high)
    if unsure.size:
        low[unsure] = exact(row, spec, [x[unsure] for x in operands])
    return low


def table(row: Row, spec: PositSpec) -> Patterns:
    """The function of every pattern of at most 16 bits, read-only.

    It is indexed by a pattern as the unsigned integer of its storage: 2^8 or 2^16 elements, of
    which those that are no pattern are 0. Built on first use, once, whatever the number of threads.
    """
    key = (row.name, spec)
    found = _TABLES.get(key)
    if found is None:
        with _BUILDING:
            found = _TABLES.get(key)
            if found is None:
                found = _TABLES[key] = _build(row, spec)
    return found


def _build(row: Row, spec: PositSpec) -> Patterns:
    every = np.arange(spec.nar, spec.maxpos_pattern + 1).astype(spec.storage)
    unsigned = every.view(f"u{spec.storage.itemsize}")
    made = np.zeros(1 << 8 * spec.storage.itemsize, spec.storage)
    made[unsigned] = _decided(row, spec, [every])
    made.flags.writeable = False
    return made


def _looked_up(values: Patterns, bits: Patterns) -> Patterns:
    """values[bits]; numpy.take without bounds checks is several times as fast as indexing."""
    made = np.empty(bits.shape, bits.dtype)
    indices = bits.view(f"u{bits.dtype.itemsize}").reshape(-1)
    flat = made.reshape(-1)
    for at in range(0, flat.size, _INDICES):
        part = slice(at, at + _INDICES)
        np.take(values, indices[part], out=flat[part], mode="wrap")
    return made
