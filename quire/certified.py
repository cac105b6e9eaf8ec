"""The matrix product by certified rounding: one float64 product, and a proof for each element.

The exact sum and its float64 estimate differ by at most a bound derived in docs/quire.md, "A
product that proves itself". Rounding to posits is monotone; where both ends of the interval round
to one pattern, that pattern is the quire's.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from posit import PositSpec, encode

from ._core import Patterns, core_spec, ffi, is_transpose, lib, pointer
from ._memory import give, take
from ._threads import run

__all__ = ["Product", "bound_factor", "can_certify"]

Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_UNIT = 2.0**-53
_PIECE = 1 << 15  # elements: the least cast or rounding worth a thread
_STRIP = 32  # columns


def can_certify(spec: PositSpec) -> bool:
    """Whether float64 holds the format's values, and their products keep clear of its ends."""
    return bool(lib.bp_certifies(core_spec(spec)))


def bound_factor(inner: int) -> float:
    """g such that g·Σ|a||b| bounds the error of a float64 sum of ``inner`` products.

    In any order and grouping of the sum, with or without fused multiply-adds, a product takes part
    in at most ``inner`` roundings: γ = inner·u/(1 - inner·u), u = 2^-53. Eight more cover computing
    the bound itself, which may be too small by a factor 1 - γ and a few u, and the roundings of the
    interval's two ends; the last factor covers the denominators for inner < 2^31.
    """
    return (inner + 8) * _UNIT * (1 + 2.0**-20)


class Product:
    """Σ_k a[i,k]·b[k,j] (+ add[i,j]) in float64, rounded where its bound decides.

    Parameters
    ----------
    a, b : patterns of ``spec``, (rows, K) and (K, cols), K > 0
    add : patterns (rows, cols), or None
    out : patterns (rows, cols), contiguous; decided elements are written
    threads : int
    """

    def __init__(  # noqa: PLR0917
        self,
        a: Patterns,
        b: Patterns,
        spec: PositSpec,
        add: Patterns | None,
        out: Patterns,
        threads: int,
    ) -> None:
        self.spec, self.add, self.out, self.threads = spec, add, out, threads
        self.patterns = a, b
        self.factor = bound_factor(a.shape[1])
        room = self._room = take(a.size + b.size + out.size)
        self.left = doubles(a, spec, threads, room[: a.size])
        # One array for both lets the BLAS see a Gram matrix, which it can halve.
        gram = is_transpose(a, b)
        self.right = (
            self.left.T if gram else doubles(b, spec, threads, room[a.size + out.size :][: b.size])
        )
        self.estimate: Doubles = room[a.size : a.size + out.size].reshape(out.shape)
        np.matmul(self.left, self.right, out=self.estimate)

    def close(self) -> None:
        """Give the memory back; nothing but ``out`` may be used any more."""
        give(self._room)

    @cached_property
    def norms(self) -> tuple[Doubles, Doubles]:
        """‖a_i‖ and ‖b_j‖."""
        made: dict[int, Doubles] = {}

        def work(i: int) -> None:
            x = (self.left, self.right)[i]
            made[i] = np.sqrt(np.einsum(("ik,ik->i", "kj,kj->j")[i], x, x))

        run(work, range(2), self.threads if self.left.size > _PIECE else 1)
        return made[0], made[1]

    def by_norms(self) -> Indices:
        """Round where |error| ≤ g·‖a_i‖·‖b_j‖ decides; returns the other elements' indices."""
        row, col = self.norms
        return self._round(row * self.factor, col, None)

    def by_grids(self, undecided: Indices) -> Indices:
        """Round, of the elements at these indices, those whose float64 sums are exact.

        With 2^p dividing all of row a_i and 2^q all of column b_j, every sum of some of their
        products is a multiple of 2^(p+q), and at most ‖a_i‖·‖b_j‖: where that is below
        2^(p+q+53), no operation rounds, whatever the order. Sums that lie on a boundary of the
        format are such ones, which no bound above 0 decides. Returns the other indices.
        """
        if self.add is not None or not undecided.size:
            return undecided
        left, right = grids(self.left, 0), grids(self.right, 1)
        # the norms' own roundings are within the factor
        left *= (1 - 2.0**-20) / _UNIT
        i, j = np.divmod(undecided, self.out.shape[1])
        with np.errstate(invalid="ignore", over="ignore"):  # 0·inf: of no element, or NaR
            exact = self.norms[0][i] * self.norms[1][j] < left[i] * right[j]
        some = undecided[exact]
        values = self.estimate.reshape(-1)[some]
        self.out.reshape(-1)[some] = encode(values, self.spec)
        return undecided[~exact]

    def by_magnitudes(self) -> Indices:
        """The same with g·(|A||B|)_ij: a second float64 product, and never a weaker bound."""
        magnitude = np.matmul(np.abs(self.left), np.abs(self.right))
        return self._round(np.full(len(self.left), self.factor), None, magnitude)

    def decide(self, undecided: Indices) -> None:
        """The elements at these row-major indices, each by itself."""
        if not undecided.size:
            return
        a, b = self.patterns
        cols = self.out.shape[1]
        column = undecided % cols
        order = np.argsort(column, kind="stable")
        undecided, column = undecided[order], column[order]
        product = self._struct(0, len(self.out), None, None, None)
        # Strips of a few columns are copied together: a column of a row-major matrix has one cache
        # line for every element, and of a power-of-two width, few sets of the cache to lie in.
        strips, starts = np.unique(column // _STRIP, return_index=True)
        ends = np.append(starts[1:], column.size)

        def work(strip: tuple[int, int, int]) -> None:
            j, first, last = strip
            some = np.array(b[:, j : j + _STRIP], order="K")
            start = ffi.cast("char *", some.ctypes.data) - j * some.strides[1]
            factors = ffi.new(
                "bp_factors *", (a.shape[1], pointer(a), start, *a.strides, *some.strides)
            )
            where = ffi.from_buffer("int64_t[]", undecided[first:last])
            spec, out = core_spec(self.spec), pointer(self.out)
            lib.bp_decide(spec, product[0], factors[0], where, last - first, out)

        run(work, zip((strips * _STRIP).tolist(), starts, ends, strict=True), self.threads)

    def _round(self, row: Doubles, col: Doubles | None, magnitude: Doubles | None) -> Indices:
        rows, cols = self.out.shape
        height = max(-(-rows // (2 * self.threads)), -(-_PIECE // cols))
        starts = range(0, rows, height)
        found: dict[int, Indices] = {}

        def work(i: int) -> None:
            count = min(height, rows - i)
            product = self._struct(i, count, row, col, magnitude)
            where = np.empty(count * cols, np.int64)
            size = lib.bp_certify(
                core_spec(self.spec), product[0], pointer(self.out[i:]),
                ffi.from_buffer("int64_t[]", where), where.size,
            )  # fmt: skip
            if size:
                found[i] = where[:size] + i * cols

        run(work, starts, self.threads)
        return np.concatenate([found[i] for i in sorted(found)] or [np.empty(0, np.int64)])

    def _struct(
        self, i: int, count: int, row: Doubles | None, col: Doubles | None, magnitude: Any
    ) -> Any:
        def at(x: Any, first: int = 0) -> Any:
            return ffi.NULL if x is None else ffi.cast("double *", x[first:].ctypes.data)

        add = ffi.NULL if self.add is None else pointer(self.add[i:])
        steps = (0, 0) if self.add is None else self.add.strides
        return ffi.new(
            "bp_product *",
            (
                count, self.out.shape[1], at(self.estimate, i), at(row, i), at(col),
                at(magnitude, i), add, *steps,
            ),
        )  # fmt: skip


def grids(x: Doubles, axis: int) -> Doubles:
    """The largest power of two that divides all of each row (axis 0) or column; inf for zeros."""
    if x.strides[0] < x.strides[1]:
        return grids(x.T, 1 - axis)
    out = np.empty(x.shape[axis])
    pair = [ffi.NULL, ffi.NULL]
    pair[axis] = ffi.cast("double *", out.ctypes.data)
    lib.bp_grids(*x.shape, ffi.cast("double *", x.ctypes.data), *pair)
    return out


def doubles(bits: Patterns, spec: PositSpec, threads: int, room: Doubles) -> Doubles:
    """The exact values as float64, in the memory order of ``bits``, into ``room``."""
    if bits.strides[0] < bits.strides[1]:
        return doubles(bits.T, spec, threads, room).T
    out = room.reshape(bits.shape)
    rows, cols = bits.shape
    height = max(-(-rows // (2 * threads)), -(-_PIECE // max(1, cols)))

    def work(i: int) -> None:
        part, to = bits[i : i + height], out[i : i + height]
        flat = part.reshape(-1)
        lib.bp_decode_f64(
            core_spec(spec), flat.size, pointer(flat), flat.strides[0] if flat.size else 0,
            pointer(to), 8, 0,
        )  # fmt: skip

    run(work, range(0, rows, height), threads)
    return out
