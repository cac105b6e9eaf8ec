"""What every accumulator model is given, and gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from posit import PositSpec
from posit._arrays import Patterns

from .integers import Operand, Whole, wrapped

__all__ = [
    "LOST",
    "NAR",
    "OVERFLOW",
    "Accumulator",
    "Flags",
    "Job",
    "Probe",
    "Upset",
    "check_kinds",
    "flipped",
]

Flags = npt.NDArray[np.uint8]
OVERFLOW, LOST, NAR = 1, 2, 4
"""Bits of a result's flags: the accumulator left its range, or a step saturated; bits that were
not zero were dropped or rounded away; the result is NaR."""

Probe = Callable[[int, str, str, Any, int, bool, Any], None]
"""Called with (step, stage, name, integer, width, signed, log2 of the weight of bit 0); the integer
and the weight may be arrays of one element."""

Upset = Callable[[int, int, tuple[int, ...], int], "Whole | None"]
"""Given (step, part, shape, width), the bits of the accumulators that flip after it, or None; part
numbers what a product is computed in, ``shape`` is that part's."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Sums of products Σ_k a[k]·b[k], for k = 0 … K-1 in this order.

    Parameters
    ----------
    a, b : Operand
        (K, ...), whose other axes, of which there is at least one, broadcast to the result's shape.
    start : Operand or None
        What the accumulators hold at first, of format ``out`` and of the result's shape.
    out : PositSpec
        Format of the results.
    flags : bool
        Whether OVERFLOW and LOST are wanted; models that round by themselves are faster without.
    probe : Probe or None
        Sees every integer on its way; the result's shape is (1,) then.
    upset : Upset or None
    part : int
        For ``upset``.
    """

    a: Operand
    b: Operand
    start: Operand | None
    out: PositSpec
    flags: bool = True
    probe: Probe | None = None
    upset: Upset | None = None
    part: int = 0

    @property
    def steps(self) -> int:
        """K."""
        return int(self.a.sig.shape[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        return np.broadcast_shapes(self.a.sig.shape[1:], self.b.sig.shape[1:])

    def first(self) -> Patterns:
        """The patterns to start from."""
        if self.start is None:
            return np.zeros(self.shape, self.out.storage)
        return np.array(np.broadcast_to(self.start.bits, self.shape))

    def show_operands(self, k: int) -> None:
        """Tell the probe what the multiplier of step k is given."""
        if self.probe is None:
            return
        for name, x in (("a", self.a), ("b", self.b)):
            lsb = np.where(x.sig[k] == 0, 0, x.scale[k] - x.spec.f_max)
            self.probe(k, "input", name, x.bits[k], x.spec.n, True, 0)
            self.probe(k, "decode", f"{name}_significand", x.sig[k], x.width + 1, True, lsb)


class Accumulator(ABC):
    """How a datapath adds products. Subclasses are frozen: their parameters are the hardware's."""

    @abstractmethod
    def dots(self, job: Job) -> tuple[Patterns, Flags]:
        """Results in ``job.out`` and their flags, both of ``job.shape``.

        NaR operands read as zeros here: the caller puts those results right.
        """

    @property
    def lanes(self) -> int:
        """Products that are added in one step."""
        return 1

    @property
    def block(self) -> int:
        """Products that are best computed at once; 0 where that does not matter."""
        return 1 << 15

    @abstractmethod
    def __str__(self) -> str:
        """A short name."""


def check_kinds(of: object, integers: tuple[str, ...], truths: tuple[str, ...] = ()) -> None:
    """Make named fields of a frozen dataclass Python's own integers, others True or False, so that
    ``repr`` can be read again; TypeError for what is neither."""
    for name in (*integers, *truths):
        given = getattr(of, name)
        if name in truths:
            if not isinstance(given, (bool, np.bool_)):
                raise TypeError(f"{type(of).__name__}: {name}={given!r} is neither True nor False")
            object.__setattr__(of, name, bool(given))
        elif isinstance(given, bool) or not isinstance(given, (int, np.integer)):
            raise TypeError(f"{type(of).__name__}: {name}={given!r} is no integer")
        else:
            object.__setattr__(of, name, int(given))


def flipped(x: Whole, step: int, width: int, job: Job) -> Whole:
    """Two's-complement words after a step, as upsets leave them."""
    mask = None if job.upset is None else job.upset(step, job.part, x.shape, width)
    if mask is None:
        return x
    kind = object if x.dtype == object or width > 62 else np.int64
    turned = wrapped(x.astype(kind) ^ mask.astype(kind), width)
    return np.asarray(turned, kind).astype(x.dtype)
