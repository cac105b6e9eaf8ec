"""Mac: a multiply-accumulate datapath, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from posit import PositSpec
from posit._arrays import Patterns, patterns

from .accumulator import LOST, NAR, OVERFLOW, Accumulator, Flags, Job, Upset
from .integers import Operand
from .trace import Trace
from .window import Quire

__all__ = ["Mac", "Result"]


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What a datapath gives; arrays of one shape.

    Parameters
    ----------
    bits : patterns of ``spec``
    flags : uint8
        OVERFLOW = 1, LOST = 2, NAR = 4; the properties read them.
    spec : PositSpec
    trace : Trace or None
    """

    bits: Patterns
    flags: Flags
    spec: PositSpec
    trace: Trace | None = None

    @property
    def overflow(self) -> npt.NDArray[np.bool_]:
        """Where an accumulator left its range, or a step saturated at ±maxpos."""
        return np.asarray(self.flags & OVERFLOW, bool)[()]

    @property
    def bits_lost(self) -> npt.NDArray[np.bool_]:
        """Where bits that were not zero were dropped or rounded away before the last rounding.

        Models that round at each step have no other: any inexact step counts.
        """
        return np.asarray(self.flags & LOST, bool)[()]

    @property
    def nar(self) -> npt.NDArray[np.bool_]:
        """Where the result is NaR."""
        return np.asarray(self.flags & NAR, bool)[()]


@dataclass(frozen=True)
class Mac:
    """A datapath that multiplies posits of ``in_spec`` and rounds sums to ``out_spec``.

    >>> import posit
    >>> from bposit import emulate
    >>> a, b = posit.encode([[3.0, 2.0**-20], [1.0, 1.0]], "bposit16")
    >>> mac = emulate.Mac("bposit16", accumulator=emulate.Window(lsb=-16, msb=15))
    >>> found = mac.dot(a, b)
    >>> float(posit.decode(found.bits, "bposit16")), bool(found.bits_lost)
    (3.0, True)

    Parameters
    ----------
    in_spec : PositSpec, posit dtype or name
    out_spec : the same, optional
        By default ``in_spec``.
    accumulator : Quire, Window, Aligned, FusedChain or RoundEachStep
        Products are added in the order k = 0 … K-1.
    upset : callable, optional
        Bits that flip in the accumulators; :class:`~bposit.emulate.Upsets` makes one.
    """

    in_spec: PositSpec
    out_spec: PositSpec | None = None
    accumulator: Accumulator = field(default_factory=Quire)
    upset: Upset | None = None

    def __post_init__(self) -> None:
        """Read formats in any spelling."""
        object.__setattr__(self, "in_spec", PositSpec.parse(self.in_spec))
        out = self.in_spec if self.out_spec is None else PositSpec.parse(self.out_spec)
        object.__setattr__(self, "out_spec", out)
        if not isinstance(self.accumulator, Accumulator):
            raise TypeError(
                f"Mac: accumulator={self.accumulator!r}: possible are Quire(), Window(…),"
                " Aligned(…), FusedChain() and RoundEachStep()"
            )
        if isinstance(self.accumulator, Quire):
            self.accumulator.window(self.in_spec)  # refuses layouts that the format does not have

    @property
    def out(self) -> PositSpec:
        """The format of the results."""
        assert self.out_spec is not None
        return self.out_spec

    def __str__(self) -> str:
        formats = self.in_spec.name + ("" if self.out == self.in_spec else f" to {self.out.name}")
        return f"{formats}, {self.accumulator}"

    def dot(
        self,
        a: npt.ArrayLike,
        b: npt.ArrayLike,
        start: npt.ArrayLike | None = None,
        *,
        trace: bool = False,
    ) -> Result:
        """start + Σ_k a[..., k]·b[..., k].

        Parameters
        ----------
        a, b : patterns of ``in_spec``
            The last axes have one length K, the others broadcast.
        start : patterns of ``out_spec``, optional
            What the accumulators hold at first; broadcasts to the result's shape. Default 0.
        trace : bool
            Record every integer of a single sum on its way.

        Raises TypeError or ValueError for wrong patterns or shapes, or a trace of many sums.
        """
        x, y = patterns(a, self.in_spec, "a"), patterns(b, self.in_spec, "b")
        if x.ndim == 0 or y.ndim == 0 or x.shape[-1] != y.shape[-1]:
            raise ValueError(f"dot of shapes {x.shape} and {y.shape}: the last axes must agree")
        rank = max(x.ndim, y.ndim)
        if trace and rank > 1:
            raise ValueError(f"trace: of one sum, not of shapes {np.shape(a)} and {np.shape(b)}")
        seen = Trace() if trace else None
        # an axis beside K even for one sum: NumPy's 0-d objects would turn into plain integers
        x, y = (v.reshape((1,) * (max(rank, 2) - v.ndim) + v.shape) for v in (x, y))
        job = self._job(np.moveaxis(x, -1, 0), np.moveaxis(y, -1, 0), start, seen=seen)
        found = self._run(job, seen)
        if rank > 1:
            return found
        return Result(found.bits[0], found.flags[0], self.out, seen)

    def matmul(
        self,
        a: npt.ArrayLike,
        b: npt.ArrayLike,
        start: npt.ArrayLike | None = None,
        *,
        flags: bool = True,
    ) -> Result:
        """The matrix product of (..., M, K) and (..., K, N) patterns, added to ``start``.

        Batches broadcast. Without ``flags``, models that round at each step are faster; only NaR
        is flagged then.
        """
        x, y = patterns(a, self.in_spec, "a"), patterns(b, self.in_spec, "b")
        if x.ndim < 2 or y.ndim < 2 or x.shape[-1] != y.shape[-2]:
            raise ValueError(f"matmul of shapes {x.shape} and {y.shape}: (M, K) times (K, N)")
        shape = (*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-1])
        bits, said = np.empty(shape, self.out.storage), np.empty(shape, np.uint8)
        first = None if start is None else np.broadcast_to(self._start(start), shape)
        x = np.broadcast_to(x, (*shape[:-1], x.shape[-1]))
        y = np.broadcast_to(y, (*shape[:-2], *y.shape[-2:]))
        part = 0
        for i in np.ndindex(shape[:-2]):
            for rows in self._bands(shape):
                at = (*i, rows)
                job = self._job(
                    x[at].T[:, :, np.newaxis], y[i][:, np.newaxis, :],
                    None if first is None else first[at], flags=flags, part=part,
                )  # fmt: skip
                part += 1
                found = self._run(job, None)
                bits[at], said[at] = found.bits, found.flags
        return Result(bits, said, self.out)

    def _bands(self, shape: tuple[int, ...]) -> list[slice]:
        """Rows that are computed together."""
        rows, cols = shape[-2:]
        size = self.accumulator.block // (max(1, cols) * self.accumulator.lanes)
        height = max(1, size) if self.accumulator.block else max(1, rows)
        return [slice(i, min(i + height, rows)) for i in range(0, rows, height)]

    def _start(self, start: npt.ArrayLike) -> Patterns:
        return patterns(start, self.out, "start")

    def _job(
        self,
        a: Patterns,
        b: Patterns,
        start: Any,
        *,
        flags: bool = True,
        seen: Trace | None = None,
        part: int = 0,
    ) -> Job:
        left, right = Operand.of(a, self.in_spec), Operand.of(b, self.in_spec)
        first = None
        if start is not None:
            shape = np.broadcast_shapes(a.shape[1:], b.shape[1:])
            first = Operand.of(np.broadcast_to(self._start(start), shape), self.out)
        probe = None if seen is None else seen.add
        return Job(left, right, first, self.out, flags, probe, self.upset, part)

    def _run(self, job: Job, seen: Trace | None) -> Result:
        bits, flags = self.accumulator.dots(job)
        bits, flags = np.asarray(bits), np.asarray(flags)
        nar = np.broadcast_to(job.a.nar.any(axis=0) | job.b.nar.any(axis=0), job.shape)
        if job.start is not None:
            nar = nar | job.start.nar
        bits = np.where(nar, self.out.storage.type(self.out.nar), bits)
        flags = np.asarray(flags | np.uint8(NAR) * (bits == self.out.nar))
        return Result(bits, flags, self.out, seen)
