"""Many quires at once: exact, mergeable accumulators for arrays of sums, such as gradients."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod
from operator import index
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from posit import PositSpec
from posit.spec import SpecLike

from . import _serial
from ._core import Patterns, core_layout, core_spec, lib, patterns, pointer
from ._threads import check_threads, run
from ._window import Window
from .layout import Layout

__all__ = ["Accumulators"]

_PIECE = 1 << 15  # sums: the least work worth a thread


class Accumulators(Window):
    """An array of exact sums of posits and of their products, each rounded once at the end.

    Adding in any order, in any split, and merging parts give the same sums, bits and bytes. A sum
    is an integer in 64-bit digits of 32 bits each, the rest being room for carries; all sums share
    one *window* of digits, which grows to what has been added. Memory: ``8·planes + 1`` bytes a
    sum. A plane is 32 binary places: numbers of one magnitude need two or three, all of bposit16
    needs 26.

    One object is for one thread at a time; give each thread its own and merge them.

    Parameters
    ----------
    shape : int or tuple of int
    spec : PositSpec
    """

    __slots__ = ("_shape",)

    def __init__(self, shape: int | tuple[int, ...], spec: SpecLike) -> None:
        spec = PositSpec.parse(spec)
        try:
            sizes = (index(shape),) if not isinstance(shape, Sequence) else tuple(map(index, shape))
        except TypeError:
            raise TypeError(f"shape must be integers, got {shape!r}") from None
        if any(n < 0 for n in sizes):
            raise ValueError(f"negative dimension in shape {sizes}")
        self._shape = sizes
        super().__init__(prod(sizes), spec)

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
        """The exact layout, whose width bounds the sums."""
        return self._layout

    @property
    def is_nar(self) -> npt.NDArray[np.bool_]:
        """Which sums are NaR."""
        return np.reshape(self._nar != 0, self._shape)

    def add(self, values: npt.ArrayLike, *, threads: int | None = 1) -> Self:
        """Add an array of patterns, element by element; it broadcasts to ``shape``."""
        x = patterns(values, self._spec, "values")
        try:
            x = np.broadcast_to(x, self._shape)
        except ValueError:
            raise ValueError(f"values of shape {x.shape} do not fit {self._shape}") from None
        line = x.reshape(-1)
        self._allow(1)
        step = max(_PIECE, -(-line.size // check_threads(threads)))
        left = dict.fromkeys(range(0, line.size, step), 0)
        needs: list[tuple[int, int]] = []

        def work(start: int) -> None:
            at, part = start + left[start], line[start : start + step]
            done, need = self._add_row(at, 1, part[left[start] :], self._spec.one)
            left[start] += done
            if need is not None:
                needs.append(need)

        while True:
            run(work, list(left), check_threads(threads))
            if not needs:
                return self
            self._widen(min(low for low, _ in needs), max(high for _, high in needs))
            needs.clear()

    def add_products(self, a: npt.ArrayLike, b: npt.ArrayLike, *, threads: int | None = 1) -> Self:
        """Add the matrix product a·b: a (M, K), b (K, N), ``shape`` (M, N).

        No product and no sum is rounded. Large products are cut into slices whose float64 products
        are exact (docs/quire.md, "Slices"), so that the BLAS does the work.
        """
        from .products import add_products

        x, y = patterns(a, self._spec, "a"), patterns(b, self._spec, "b")
        if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[0]:
            raise ValueError(f"cannot multiply shapes {x.shape} and {y.shape}")
        if (x.shape[0], y.shape[1]) != self._shape:
            raise ValueError(
                f"the product has shape {(x.shape[0], y.shape[1])}, the sums {self._shape}"
            )
        add_products(self, x, y, check_threads(threads))
        return self

    def add_dots(self, a: npt.ArrayLike, b: npt.ArrayLike, *, threads: int | None = 1) -> Self:
        """Add Σ_k a[..., k]·b[..., k]: both broadcast to (*shape, K)."""
        from .products import add_dots

        x, y = patterns(a, self._spec, "a"), patterns(b, self._spec, "b")
        if x.ndim == 0 or y.ndim == 0 or x.shape[-1] != y.shape[-1]:
            raise ValueError(f"add_dots: lengths of {x.shape} and {y.shape} must agree")
        try:
            x, y = (np.broadcast_to(v, (*self._shape, v.shape[-1])) for v in (x, y))
        except ValueError:
            raise ValueError(f"add_dots: {x.shape}, {y.shape} do not fit {self._shape}") from None
        add_dots(self, x, y, check_threads(threads))
        return self

    def merge(self, other: Accumulators) -> Self:
        """Add the sums of other accumulators of the same shape and spec."""
        if not isinstance(other, Accumulators):
            raise TypeError(f"can only merge Accumulators, got {type(other).__name__}")
        if self._spec != other._spec:
            raise ValueError(f"cannot merge sums of {other._spec} into sums of {self._spec}")
        if self._shape != other._shape:
            raise ValueError(f"cannot merge shape {other._shape} into {self._shape}")
        if len(other._digits):
            other._allow(1)
            self._allow(other._added + 1)
            self._widen(*other.window)
            at = (other._low - self._low) // 32
            self._digits[at : at + len(other._digits)] += other._digits
        self._nar |= other._nar
        return self

    def round(self, spec: SpecLike | None = None, *, threads: int | None = 1) -> Patterns:
        """The patterns nearest to the sums, each rounded once, in ``spec`` or their own format.

        A sum beyond the exact layout's width, which takes more than 2^31 products, is NaR.
        """
        to = self._spec if spec is None else PositSpec.parse(spec)
        core, layout, window = core_spec(to), core_layout(self._layout), self._window()
        out = np.empty(self._shape, dtype=to.storage)
        line = out.reshape(-1)

        def work(i: int) -> None:
            part = line[i : i + _PIECE]
            lib.bp_window_round(core, layout, window[0], i, part.size, pointer(part))

        run(work, range(0, line.size, _PIECE), check_threads(threads))
        return out

    def values(self) -> npt.NDArray[np.object_]:
        """The exact sums, as an array of fractions.Fraction; None for NaR."""
        self.settle()
        unit = Fraction(2) ** self._low
        out = np.empty(self._nar.size, object)
        for i, nar in enumerate(self._nar.tolist()):
            whole = sum(int(d) << 32 * k for k, d in enumerate(self._digits[:, i].tolist()))
            out[i] = None if nar else whole * unit
        return out.reshape(self._shape)

    def reshape(self, shape: int | tuple[int, ...]) -> Accumulators:
        """The same sums in another shape of as many elements; a copy."""
        made = self.copy()
        empty = np.broadcast_to(np.int8(0), self._shape).reshape(shape)
        made._shape = empty.shape
        return made

    def digits(self, window: tuple[int, int] | None = None) -> npt.NDArray[np.int64]:
        """The sums as integers in digits of 32 bits, for transport: Σ_k digits[k]·2^(low + 32·k).

        Every digit is at least -2^31 and below 2^32, and those of NaR are 0. So the digits that up
        to 2^31 - 1 objects have in one window may be added in int64; :meth:`from_digits` takes the
        total. Settles the sums.

        Parameters
        ----------
        window : (int, int), optional
            (low, high), multiples of 32, around the window in use (:attr:`window` after
            :meth:`settle`); default that one.

        Returns
        -------
        ndarray of int64, (planes, *shape); a copy.

        Raises ValueError for a window that cannot hold the digits in use.
        """
        low, high = self.settle().window
        bottom, top = (low, high) if window is None else window
        inside = low == high or bottom <= low <= high <= top
        if bottom % 32 or top % 32 or bottom > top or not inside:
            raise ValueError(
                f"window ({bottom}, {top}): possible are multiples of 32 around the window in use,"
                f" ({low}, {high})"
            )
        wide = np.zeros(((top - bottom) // 32, self._nar.size), np.int64)
        at = (low - bottom) // 32 if low < high else 0
        wide[at : at + len(self._digits)] = self._digits
        return wide.reshape(len(wide), *self._shape)

    @classmethod
    def from_digits(
        cls,
        digits: npt.NDArray[np.int64],
        low: int,
        spec: PositSpec,
        is_nar: npt.ArrayLike = False,
    ) -> Accumulators:
        """The sums Σ_k digits[k]·2^(low + 32·k): of what :meth:`digits` gave, or totals of such.

        Parameters
        ----------
        digits : ndarray of int64, (planes, *shape)
            Below 2^63 - 2^32 in magnitude.
        low : int
            A multiple of 32.
        spec : PositSpec
            The format accumulated.
        is_nar : array_like of bool
            Broadcasts to ``shape``.

        Raises TypeError for another dtype; ValueError for a wrong ``low`` or shape; OverflowError
        for places that no sum of the format has.
        """
        if not isinstance(digits, np.ndarray) or digits.dtype != np.int64 or digits.ndim == 0:
            found = getattr(digits, "dtype", type(digits).__name__)
            raise TypeError(f"digits must be an int64 array of (planes, *shape), got {found}")
        made = cls(digits.shape[1:], spec)
        least, most = made._layout.lsb - 64, made._layout.lsb + made._layout.width + 64
        if low % 32:
            raise ValueError(f"low = {low}: the lowest place must be a multiple of 32")
        if len(digits) and not least <= low <= low + 32 * len(digits) <= most:
            raise OverflowError(
                f"digits from 2^{low} to 2^{low + 32 * len(digits)}: sums of {spec} lie between"
                f" 2^{least} and 2^{most}"
            )
        made._low = low if len(digits) else 0
        made._digits = digits.reshape(len(digits), made._nar.size).copy()
        made._nar[:] = np.broadcast_to(np.asarray(is_nar, bool), made._shape).reshape(-1)
        made._carry()
        return made

    def to_bytes(self) -> bytes:
        """Header, NaR bits, sums as integers of 32·planes bits, and a checksum; without the shape.

        The window is cut to the digits in use, so that equal sums give equal bytes. Size:
        40 + ⌈count/8⌉ + 4·count·planes bytes.
        """
        self.settle()
        return _serial.pack_sums(self._spec, self._low, self._digits, self._nar)

    @classmethod
    def from_bytes(cls, data: bytes, shape: int | tuple[int, ...]) -> Accumulators:
        """Read what :meth:`to_bytes` wrote, into ``shape``.

        Raises ValueError if the data is damaged, truncated, or not of that many sums.
        """
        spec, low, digits, nar = _serial.unpack_sums(data)
        made = cls(shape, spec)
        if made._nar.size != nar.size:
            raise ValueError(f"the data holds {nar.size} sums, not {made._shape}")
        made._low, made._digits, made._nar = low, digits, nar
        return made

    def copy(self) -> Accumulators:
        """Independent accumulators of the same sums."""
        made = type(self)(self._shape, self._spec)
        made._low, made._added = self._low, self._added
        made._digits, made._nar = self._digits.copy(), self._nar.copy()
        return made

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Accumulators:
        return self.copy()

    def __reduce__(self) -> tuple[Any, tuple[bytes, tuple[int, ...]]]:
        return type(self).from_bytes, (self.to_bytes(), self._shape)

    def __eq__(self, other: object) -> bool:
        """Same shape, spec and sums; NaR equals NaR, as for posits."""
        if not isinstance(other, Accumulators):
            return NotImplemented
        same = (self._shape, self._spec) == (other._shape, other._spec)
        return same and self.to_bytes() == other.to_bytes()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        low, high = self.window
        return f"Accumulators({self._shape}, {self._spec}, window 2^{low} to 2^{high})"
