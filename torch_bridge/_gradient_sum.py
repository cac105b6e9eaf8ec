"""Exact sums in the shape of a parameter: operands are kept as long as that is cheaper."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any, Self

import numpy as np
import numpy.typing as npt

import quire
from posit import PositSpec, convert
from posit.spec import SpecLike
from quire import Accumulators

__all__ = ["GradientSum"]

Patterns = npt.NDArray[np.signedinteger[Any]]
_BUDGET = 1 << 26  # bytes
_PIECE = 1 << 18  # elements of add_rows summed at a time: fewer than 2^31 terms, some 30 bytes each

Indices = npt.NDArray[np.int64]


class GradientSum:
    """One exact sum for each element of a parameter, of products and of values.

    Operands are kept, not copied, until they exceed the budget, and multiplied together then or
    when the sum is wanted: one product of the concatenated operands is the sum of the products.
    Do not write to an array after handing it over.

    Parameters
    ----------
    shape : tuple of int
    spec : PositSpec, posit dtype or name
        The format of all that is added.
    budget : int
        Bytes of operands to keep before they are folded into :class:`quire.Accumulators`, which
        take ``8·planes + 1`` bytes for each element of ``shape``.
    """

    def __init__(self, shape: Iterable[int], spec: SpecLike, *, budget: int = _BUDGET) -> None:
        self.shape = tuple(shape)
        self.spec = PositSpec.parse(spec)
        self.budget = budget
        self._size = prod(self.shape)
        self.clear()

    def clear(self) -> Self:
        """Set the sum to zero, forget that anything was added, and allow additions."""
        self._pairs: dict[tuple[int, int, int], list[tuple[Patterns, Patterns]]] = {}
        self._rows: list[tuple[Indices, Patterns]] = []
        self._sums: Accumulators | None = None
        self._kept = 0
        self._used = ""
        return self

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been added, not even zeros."""
        return not self._pairs and not self._rows and self._sums is None

    @property
    def nbytes(self) -> int:
        """Bytes kept: operands, and digits of sums."""
        return self._kept + (0 if self._sums is None else self._sums.nbytes)

    @property
    def is_closed(self) -> bool:
        """Whether additions are refused; see :meth:`close`."""
        return bool(self._used)

    def close(self, why: str) -> None:
        """Refuse additions until :meth:`clear`, with ``why`` in the error."""
        self._used = why

    def add_products(self, a: Patterns, b: Patterns) -> Self:
        """Add a·b: a (..., M, K) and b (..., K, N).

        The product's elements are those of ``shape``, both in C order. A linear layer's weight
        (out, in) takes ``add_products(g.T, x)`` of g (batch, out), x (batch, in).
        """
        x, y = self._checked(a, "a"), self._checked(b, "b")
        if x.ndim < 2 or x.ndim != y.ndim or x.shape[:-2] != y.shape[:-2]:
            raise ValueError(f"cannot multiply {x.shape} and {y.shape}: (..., M, K), (..., K, N)")
        key = prod(x.shape[:-2]), x.shape[-2], y.shape[-1]
        if x.shape[-1] != y.shape[-2] or prod(key) != self._size:
            raise ValueError(
                f"the product of {x.shape} and {y.shape} is not a gradient {self.shape}"
            )
        pair = x.reshape(key[0], *x.shape[-2:]), y.reshape(key[0], *y.shape[-2:])
        self._pairs.setdefault(key, []).append(pair)
        return self._keep(x.nbytes + y.nbytes)

    def add(self, values: Patterns) -> Self:
        """Add values (..., *shape), and sum over the axes before, such as a batch."""
        x = self._checked(values, "values")
        if x.shape[x.ndim - len(self.shape) :] != self.shape or x.ndim < len(self.shape):
            raise ValueError(f"values of shape {x.shape} are not (..., *{self.shape})")
        count = prod(x.shape[: x.ndim - len(self.shape)])
        ones = np.broadcast_to(self.spec.storage.type(self.spec.one), (1, 1, count))
        self._pairs.setdefault((1, 1, self._size), []).append(
            (ones, x.reshape(1, count, self._size))
        )
        return self._keep(x.nbytes)

    def add_dots(self, a: Patterns, b: Patterns) -> Self:
        """Add a·b, element by element, of arrays (..., *shape); sum over the axes before."""
        x, y = self._checked(a, "a"), self._checked(b, "b")
        if x.shape != y.shape or x.shape[x.ndim - len(self.shape) :] != self.shape:
            raise ValueError(f"dots of {x.shape} and {y.shape} are not (..., *{self.shape})")
        rows = (prod(x.shape[: x.ndim - len(self.shape)]), self._size)
        left, right = (np.ascontiguousarray(v.reshape(rows).T) for v in (x, y))
        pair = left[:, np.newaxis, :], right[:, :, np.newaxis]
        self._pairs.setdefault((self._size, 1, 1), []).append(pair)
        return self._keep(x.nbytes + y.nbytes)

    def add_rows(self, index: npt.NDArray[np.integer[Any]], values: Patterns) -> Self:
        """Add ``values[i]`` to row ``index[i]``, as often as a row occurs: an embedding's gradient.

        ``index`` has any shape, ``values`` (*index.shape, *shape[1:]).
        """
        x = self._checked(values, "values")
        at = np.asarray(index)
        if at.dtype.kind not in "iu" or not self.shape or x.shape != (*at.shape, *self.shape[1:]):
            raise ValueError(
                f"index {at.dtype} {at.shape} and values {x.shape} do not fit rows of {self.shape}"
            )
        if at.size and not 0 <= at.min() <= at.max() < self.shape[0]:
            raise IndexError(f"rows {at.min()} to {at.max()} of a gradient of {self.shape[0]} rows")
        row = prod(self.shape[1:])
        self._rows.append((at.reshape(-1).astype(np.int64), x.reshape(at.size, row)))
        return self._keep(x.nbytes + 8 * at.size)

    def merge(self, other: GradientSum | Accumulators) -> Self:
        """Add what another object of the same shape and format holds, and leave that as it is."""
        if self.shape != other.shape or self.spec != other.spec:
            raise ValueError(
                f"cannot merge {other.spec} {other.shape} into {self.spec} {self.shape}"
            )
        self._open()
        if isinstance(other, Accumulators):
            self.to_accumulators().merge(other)
            return self
        if other._sums is not None:
            self.to_accumulators().merge(other._sums)
        for key, pairs in other._pairs.items():
            self._pairs.setdefault(key, []).extend(pairs)
        self._rows += other._rows
        return self._keep(other._kept)

    def round(self, spec: SpecLike | None = None) -> Patterns:
        """The patterns nearest to the sums, in ``spec`` or the format of what was added."""
        to = self.spec if spec is None else PositSpec.parse(spec)
        # a wider format of the same rs and es has all values: zero bits are appended
        widens = (to.rs, to.es) == (self.spec.rs, self.spec.es) and to.n >= self.spec.n
        if self._sums is None and not self._rows and len(self._pairs) == 1 and widens:
            ((_, pairs),) = self._pairs.items()
            a, b = (_widened(x, self.spec, to) for x in _joined(pairs))
            if a.shape[1] == b.shape[2] == 1:
                made = quire.dot(a[:, 0, :], b[:, :, 0], to)
            else:
                made = quire.matmul(a, b, to)
            return np.asarray(made, to.storage).reshape(self.shape)
        if self._sums is None and self._rows and not self._pairs:
            rows, sums = self._summed_rows()
            made = np.zeros((self.shape[0], sums.shape[1]), to.storage)
            made[rows] = sums.round(to)
            return made.reshape(self.shape)
        return self.to_accumulators().round(to)

    def to_accumulators(self) -> Accumulators:
        """The sums as they are kept from now on; altering them alters this object."""
        sums = Accumulators(self.shape, self.spec) if self._sums is None else self._sums
        for pairs in self._pairs.values():
            sums.merge(self._multiplied(*_joined(pairs)))
        if self._rows:
            rows, part = self._summed_rows()
            low, high = part.settle().window
            wide = np.zeros(((high - low) // 32, self.shape[0], part.shape[1]), np.int64)
            nar = np.zeros(wide.shape[1:], np.bool_)
            wide[:, rows], nar[rows] = part.digits(), part.is_nar
            sums.merge(Accumulators.from_digits(wide, low, self.spec, nar).reshape(self.shape))
        self._pairs, self._rows, self._kept, self._sums = {}, [], 0, sums
        return sums

    def replace(self, sums: Accumulators) -> Self:
        """Hold these sums alone, such as the total of all ranks."""
        if self.shape != sums.shape or self.spec != sums.spec:
            raise ValueError(f"{sums.spec} {sums.shape} cannot replace {self.spec} {self.shape}")
        self.clear()._sums = sums
        return self

    def _multiplied(self, a: Patterns, b: Patterns) -> Accumulators:
        """The product of a (batch, M, K) and b (batch, K, N), of ``shape``."""
        shape = a.shape[1], b.shape[2]
        if shape == (1, 1):
            dots = Accumulators(len(a), self.spec).add_dots(a[:, 0, :], b[:, :, 0])
            return dots.reshape(self.shape)
        parts = [
            Accumulators(shape, self.spec).add_products(x, y) for x, y in zip(a, b, strict=True)
        ]
        if len(parts) == 1:
            return parts[0].reshape(self.shape)
        ends = [p.settle().window for p in parts]
        used = [(low, high) for low, high in ends if low < high] or [(0, 0)]
        window = min(low for low, _ in used), max(high for _, high in used)
        planes = (window[1] - window[0]) // 32
        digits = [p.digits(window).reshape(planes, 1, *shape) for p in parts]
        nar = [p.is_nar[np.newaxis] for p in parts]
        wide = np.concatenate(digits, axis=1) if parts else np.zeros((0, 0, *shape), np.int64)
        nars = np.concatenate(nar) if parts else False
        return Accumulators.from_digits(wide, window[0], self.spec, nars).reshape(self.shape)

    def _summed_rows(self) -> tuple[Indices, Accumulators]:
        """The rows that occur, ascending, and the sum of what was added to each."""
        index = np.concatenate([i for i, _ in self._rows])
        values = np.concatenate([x for _, x in self._rows])
        order = np.argsort(index, kind="stable")
        rows, places = np.unique(index[order], return_inverse=True)
        total = Accumulators((len(rows), values.shape[1]), self.spec)
        step = max(1, _PIECE // max(1, values.shape[1]))
        for start in range(0, len(index), step):
            part, place = order[start : start + step], places[start : start + step]
            terms = Accumulators((len(part), values.shape[1]), self.spec).add(values[part])
            starts = np.flatnonzero(np.diff(place, prepend=-1))
            at = place[starts]
            low = terms.settle().window[0]
            sums = np.add.reduceat(terms.digits(), starts, axis=1)
            wide = np.zeros((len(sums), *total.shape), np.int64)
            nar = np.zeros(total.shape, np.bool_)
            wide[:, at], nar[at] = sums, np.logical_or.reduceat(terms.is_nar, starts, axis=0)
            total.merge(Accumulators.from_digits(wide, low, self.spec, nar))
        return rows, total

    def _checked(self, values: Patterns, name: str) -> Patterns:
        self._open()
        if not isinstance(values, np.ndarray) or values.dtype != self.spec.storage:
            found = getattr(values, "dtype", type(values).__name__)
            raise TypeError(
                f"{name}: patterns of {self.spec} are arrays of {self.spec.storage}, got {found}"
            )
        return values

    def _open(self) -> None:
        if self._used:
            raise RuntimeError(
                f"this gradient {self._used}, and was not cleared before the next one began:"
                " optimizer.zero_grad() does, model.zero_grad() does not see it"
            )

    def _keep(self, more: int) -> Self:
        self._kept += more
        if self._kept > self.budget:
            self.to_accumulators()
        return self


def _widened(x: Patterns, of: PositSpec, to: PositSpec) -> Patterns:
    """The same values in a wider format, in the memory order of x (batch, M, K)."""
    if of == to:
        return x
    turned = x.strides[1] < x.strides[2]
    made = np.asarray(convert(x.swapaxes(1, 2) if turned else x, of, to), to.storage)
    return made.swapaxes(1, 2) if turned else made


def _joined(pairs: list[tuple[Patterns, Patterns]]) -> tuple[Patterns, Patterns]:
    """All products of a kind as one, of the concatenated operands."""
    if len(pairs) == 1:
        return pairs[0]
    return np.concatenate([a for a, _ in pairs], 2), np.concatenate([b for _, b in pairs], 1)
