"""Many quires at once: exact, mergeable accumulators for arrays of sums, such as gradients."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import index
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from posit import PositSpec

from . import _serial
from ._core import (
    INEXACT,
    NAR,
    Limbs,
    Patterns,
    core_layout,
    core_spec,
    ffi,
    lib,
    patterns,
    pointer,
    resolve,
)
from .layout import Layout

__all__ = ["Accumulators"]


class Accumulators:
    """An array of quires: each element an exact sum, rounded once at the end.

    Adding in any order, in any split, and merging parts give the same bits. One object is for one
    thread at a time; give each thread its own and merge them. Memory:
    8·layout.limbs + 4 bytes an element (108 for bposit16).

    Parameters
    ----------
    shape : int or tuple of int
    spec : PositSpec
    layout : Layout or its name, optional; default exact
    """

    __slots__ = ("_flags", "_layout", "_limbs", "_shape", "_spec")

    def __init__(
        self, shape: int | tuple[int, ...], spec: PositSpec, layout: Layout | str | None = None
    ) -> None:
        self._spec = spec
        self._layout = resolve(spec, layout)
        try:
            sizes = (index(shape),) if not isinstance(shape, Sequence) else tuple(map(index, shape))
        except TypeError:
            raise TypeError(f"shape must be integers, got {shape!r}") from None
        if any(n < 0 for n in sizes):
            raise ValueError(f"negative dimension in shape {sizes}")
        self._shape = sizes
        count = prod(sizes)
        self._limbs: Limbs = np.zeros(count * self._layout.limbs, dtype=np.uint64)
        self._flags: npt.NDArray[np.int32] = np.zeros(count, dtype=np.int32)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array of sums."""
        return self._shape

    @property
    def spec(self) -> PositSpec:
        """The format accumulated."""
        return self._spec

    @property
    def layout(self) -> Layout:
        """Where the bits of each quire lie."""
        return self._layout

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return self._limbs.nbytes + self._flags.nbytes

    @property
    def is_nar(self) -> npt.NDArray[np.bool_]:
        """Which sums are NaR."""
        return np.reshape(self._flags & NAR != 0, self._shape)

    @property
    def inexact(self) -> npt.NDArray[np.bool_]:
        """Which sums lost product bits below the layout's lsb."""
        return np.reshape(self._flags & INEXACT != 0, self._shape)

    def add(self, values: npt.ArrayLike) -> Self:
        """Add an array of patterns, element by element; it broadcasts to ``shape``."""
        x = patterns(values, self._spec, "values")
        try:
            x = np.broadcast_to(x, self._shape)
        except ValueError:
            raise ValueError(f"values of shape {x.shape} do not fit {self._shape}") from None
        line = x.reshape(-1)
        lib.bp_quires_add(*self._head(), line.size, pointer(line), line.strides[0])
        return self

    def add_products(self, a: npt.ArrayLike, b: npt.ArrayLike) -> Self:
        """Add the matrix product a·b: a (M, K), b (K, N), ``shape`` (M, N)."""
        x, y = patterns(a, self._spec, "a"), patterns(b, self._spec, "b")
        if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[0]:
            raise ValueError(f"cannot multiply shapes {x.shape} and {y.shape}")
        if (x.shape[0], y.shape[1]) != self._shape:
            raise ValueError(
                f"the product has shape {(x.shape[0], y.shape[1])}, the sums {self._shape}"
            )
        columns = np.ascontiguousarray(y.T)  # the core reads both operands along K
        lib.bp_quires_matmul(
            *self._head(), x.shape[0], x.shape[1], y.shape[1],
            pointer(x), x.strides[0], x.strides[1],
            pointer(columns), columns.strides[1], columns.strides[0],
        )  # fmt: skip
        return self

    def merge(self, other: Accumulators) -> Self:
        """Add the sums of other accumulators of the same shape, spec and layout."""
        if not isinstance(other, Accumulators):
            raise TypeError(f"can only merge Accumulators, got {type(other).__name__}")
        if self._layout != other._layout:
            raise ValueError(f"cannot merge {other._layout} into {self._layout}")
        if self._shape != other._shape:
            raise ValueError(f"cannot merge shape {other._shape} into {self._shape}")
        theirs = other._state()
        lib.bp_quires_merge(core_layout(self._layout), *self._state(), self._flags.size, *theirs)
        return self

    def round(self) -> Patterns:
        """The patterns nearest to the sums, each rounded once."""
        out = np.empty(self._shape, dtype=self._spec.storage)
        limbs, flags = self._state()
        lib.bp_quires_round(
            core_spec(self._spec), core_layout(self._layout), limbs, flags,
            self._flags.size, pointer(out),
        )  # fmt: skip
        return out

    def clear(self) -> Self:
        """Set every sum to zero and forget the flags."""
        self._limbs[:] = 0
        self._flags[:] = 0
        return self

    def to_bytes(self) -> bytes:
        """Header with spec and layout, flags, limbs and a checksum; flat, without the shape."""
        return _serial.pack(self._layout, self._limbs, self._flags)

    @classmethod
    def from_bytes(cls, data: bytes, shape: int | tuple[int, ...]) -> Accumulators:
        """Read what :meth:`to_bytes` wrote, into ``shape``.

        Raises ValueError if the data is damaged, truncated, or not of that many sums.
        """
        layout, limbs, flags = _serial.unpack(data, None)
        made = cls(shape, layout.spec, layout)
        if made._flags.size != flags.size:
            raise ValueError(f"the data holds {flags.size} sums, not {made._shape}")
        made._limbs[:], made._flags[:] = limbs, flags
        return made

    def copy(self) -> Accumulators:
        """Independent accumulators of the same sums."""
        return self.from_bytes(self.to_bytes(), self._shape)

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Accumulators:
        return self.copy()

    def __reduce__(self) -> tuple[Any, tuple[bytes, tuple[int, ...]]]:
        return type(self).from_bytes, (self.to_bytes(), self._shape)

    def __eq__(self, other: object) -> bool:
        """Same shape, layout, sums and flags; NaR equals NaR, as for posits."""
        if not isinstance(other, Accumulators):
            return NotImplemented
        return (
            (self._shape, self._layout) == (other._shape, other._layout)
            and bool(np.array_equal(self._limbs, other._limbs))
            and bool(np.array_equal(self._flags, other._flags))
        )

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Accumulators({self._shape}, {self._spec}, {self._layout.width} bits each)"

    def _state(self) -> tuple[Any, Any]:
        return (
            ffi.from_buffer("uint64_t[]", self._limbs),
            ffi.from_buffer("int32_t[]", self._flags),
        )

    def _head(self) -> tuple[Any, ...]:
        return core_spec(self._spec), core_layout(self._layout), *self._state()
