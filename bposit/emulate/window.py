"""Window and Quire: fixed-point accumulators, rounded once at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

import quire
from posit import PositSpec, convert
from posit._arrays import Patterns

from .accumulator import LOST, NAR, OVERFLOW, Accumulator, Flags, Job, check_kinds, flipped
from .integers import Whole, drop, round_wholes, word, wrapped

__all__ = ["Quire", "Window", "holds"]

_MOST_WIDTH = 1 << 15  # bits: beyond every exact quire
_MOST_WEIGHT = 1 << 16  # log2: far beyond every product
_SPARE = 4  # bits of a machine word: sign, one addition, and what `drop` needs


@dataclass(frozen=True)
class Window(Accumulator):
    """A two's-complement register of bits 2^msb … 2^lsb, 2^msb being the sign.

    Products that reach below are cut to it one by one, and after each addition the register is
    brought back into range; both are flagged.

    Parameters
    ----------
    lsb, msb : int
        log2 of the weight of bit 0 and of the sign bit; lsb < msb.
    overflow : {"wrap", "saturate", "nar"}
        What an addition out of range leaves. NaR stays.
    low : {"trunc", "floor", "rne"}
        How a product loses bits below 2^lsb: towards zero, downwards, to nearest even.
    sticky : bool
        Whether the final rounding sees the register with one more bit below, set if bits were lost
        from any product. It never makes a zero register non-zero.

    A starting value is cut like a product.
    """

    lsb: int
    msb: int
    overflow: Literal["wrap", "saturate", "nar"] = "wrap"
    low: Literal["trunc", "floor", "rne"] = "trunc"
    sticky: bool = False

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_kinds(self, ("lsb", "msb"), ("sticky",))
        if not -_MOST_WEIGHT <= self.lsb <= _MOST_WEIGHT:
            raise ValueError(
                f"Window: lsb = {self.lsb}, but {-_MOST_WEIGHT} to {_MOST_WEIGHT} are possible"
            )
        if not self.lsb < self.msb <= self.lsb + _MOST_WIDTH:
            raise ValueError(
                f"Window: lsb = {self.lsb}, msb = {self.msb}, but lsb < msb <= lsb + {_MOST_WIDTH}"
                " is needed: msb is the sign bit"
            )
        for name, known in (("overflow", ("wrap", "saturate", "nar")),
                            ("low", ("trunc", "floor", "rne"))):  # fmt: skip
            given = getattr(self, name)
            if given not in known:
                raise ValueError(f"Window: {name}={given!r}: possible are {', '.join(known)}")

    @property
    def width(self) -> int:
        """Bits, with the sign."""
        return self.msb - self.lsb + 1

    def __str__(self) -> str:
        return f"window of {self.width} bits, 2^{self.lsb} to 2^{self.msb}"

    def dots(self, job: Job) -> tuple[Patterns, Flags]:
        """See :class:`Accumulator`."""
        a, b = job.a, job.b
        bits = a.width + b.width
        register = _Register(self, job, word(max(bits, self.width) + _SPARE))
        lsb = a.scale + b.scale - (a.spec.f_max + b.spec.f_max + self.lsb)
        left, right = a.sig.astype(register.kind), b.sig.astype(register.kind)
        chunk = max(1, self.block // max(1, register.sum.size))
        for k in range(0, job.steps, chunk):
            part = slice(k, k + chunk)
            product = left[part] * right[part]
            terms = self._placed(product, lsb[part], register.kind)
            for i in range(len(product)):
                if job.probe is not None:
                    job.show_operands(k + i)
                    low = np.where(product[i] == 0, 0, lsb[k + i] + self.lsb)
                    job.probe(k + i, "multiply", "product", product[i], bits + 1, True, low)
                register.add(k + i, *(x[i] for x in terms))
        return register.rounded()

    def _placed(self, x: Whole, shift: Whole, kind: np.dtype[np.generic]) -> tuple[Whole, ...]:
        """x·2^shift in the register's bits, or beyond its range as x is; bits lost; beyond."""
        kept, lost = drop(x, np.maximum(-shift, 0), self.low)
        up = np.clip(shift, 0, self.width).astype(kind)
        room = self.width - up
        beyond = np.abs(kept) >> room != 0
        if self.overflow == "wrap":
            outside = (kept & ((_ones(kept) << room) - 1)) << up
        else:
            outside = np.sign(kept) * (_ones(kept) << self.width)
        return np.where(beyond, outside, kept << (up * ~beyond)), lost, np.asarray(beyond, bool)


def _ones(x: Whole) -> Whole:
    return np.ones((), x.dtype)


class _Register:
    """The register of each result, at work."""

    def __init__(self, window: Window, job: Job, kind: np.dtype[np.generic]) -> None:
        self.window, self.job, self.kind = window, job, kind
        self.sum: Whole = np.zeros(job.shape, kind)
        self.flags: Flags = np.zeros(job.shape, np.uint8)
        half = 1 << (window.width - 1)
        self.range = -half, half - 1
        if job.start is not None:
            x = job.start
            whole = np.broadcast_to(x.sig, job.shape).astype(word(max(x.width, window.width) + 4))
            shift = np.broadcast_to(x.scale, job.shape) - (x.spec.f_max + window.lsb)
            kept, lost, beyond = window._placed(whole, shift, whole.dtype)
            self.add(-1, kept, lost, beyond)

    def add(self, k: int, term: Whole, lost: Whole, beyond: Whole) -> None:
        """One addition, and back into range."""
        low, high = self.range
        total: Whole = np.asarray(self.sum + term, self.kind)
        out = np.asarray((total < low) | (total > high), bool)
        if out.any():
            if self.window.overflow == "saturate":
                total = np.clip(total, low, high)
            else:
                total = wrapped(total, self.window.width)
                if self.window.overflow == "nar":
                    self.flags |= np.uint8(NAR) * out
        self.flags |= np.uint8(OVERFLOW) * (out | beyond) | np.uint8(LOST) * lost
        total = flipped(np.asarray(total, self.kind), k, self.window.width, self.job)
        if self.job.probe is not None:
            lsb, width = self.window.lsb, self.window.width
            self.job.probe(k, "align", "term", term, width, True, lsb)
            self.job.probe(k, "accumulate", "register", total, width, True, lsb)
        self.sum = np.asarray(total, self.kind)

    def rounded(self) -> tuple[Patterns, Flags]:
        """What is read out."""
        total, lsb = self.sum, self.window.lsb
        if self.window.sticky:
            below = np.asarray((self.flags & LOST != 0) & (total != 0), bool)
            total, lsb = total + total + below, lsb - 1
        bits = round_wholes(total, lsb, self.job.out)
        bits[self.flags & NAR != 0] = self.job.out.nar
        return bits, self.flags


@dataclass(frozen=True)
class Quire(Accumulator):
    """The exact accumulator of the operands' format: the bits of :func:`quire.dot`, in any order.

    A starting value of another format is cut to it, and becomes NaR beyond it; both are flagged.

    Parameters
    ----------
    layout : {"exact", "paper800", "standard"}
        With "paper800" bits of products below 2^-384 are lost, and flagged.
    """

    layout: str = "exact"

    def __post_init__(self) -> None:
        """Check the layout's name."""
        if self.layout not in ("exact", "paper800", "standard"):
            raise ValueError(
                f"Quire: layout={self.layout!r}: possible are exact, paper800 and standard"
            )

    @property
    def block(self) -> int:
        """All at once."""
        return 0

    def __str__(self) -> str:
        return "quire" if self.layout == "exact" else f"quire ({self.layout})"

    def window(self, spec: PositSpec) -> Window:
        """The same register as a :class:`Window`, whose every step can be seen."""
        found = getattr(quire.Layout, self.layout)(spec)
        return Window(found.lsb, found.lsb + found.width - 1, "nar")

    def dots(self, job: Job) -> tuple[Patterns, Flags]:
        """See :class:`Accumulator`."""
        spec = job.a.spec
        layout = getattr(quire.Layout, self.layout)(spec)
        unseen = layout.is_exact and job.probe is None and job.upset is None
        if not unseen or (job.start is not None and job.out != spec):
            return self.window(spec).dots(job)
        # NaR is the caller's, and would make the exact sums slow
        a, b = (np.where(x.nar, x.spec.storage.type(0), x.bits) for x in (job.a, job.b))
        nothing = np.zeros(job.shape, np.uint8)
        if holds(job.out, spec):
            a, b = (np.asarray(convert(x, spec, job.out)) for x in (a, b))
            start = None if job.start is None else job.first()
            return _matmul(a, b, job.out, job.shape, start), nothing
        sums = quire.Accumulators(job.shape, spec)
        sums.add_dots(*(np.moveaxis(x, 0, -1) for x in (a, b)))
        return sums.round(job.out), nothing


def holds(wide: PositSpec, narrow: PositSpec) -> bool:
    """Whether every value of ``narrow`` is one of ``wide``, by appending zero bits."""
    return (wide.rs, wide.es) == (narrow.rs, narrow.es) and wide.n >= narrow.n


def _matmul(
    a: Patterns, b: Patterns, spec: PositSpec, shape: tuple[int, ...], start: Patterns | None
) -> Patterns:
    """Σ_k a[k]·b[k] + start; outer products, as a matrix product has them, by that."""
    if len(shape) > 1 and a.shape[-1] == b.shape[-2] == 1:
        left, right = np.moveaxis(a[..., 0], 0, -1), np.moveaxis(b[..., 0, :], 0, -2)
        return np.asarray(quire.matmul(left, right, spec, add=start))
    left, right = np.moveaxis(a, 0, -1), np.moveaxis(b, 0, -1)
    if start is not None:
        one = np.full((*shape, 1), spec.one, spec.storage)
        full = (*shape, len(a))
        left = np.concatenate([np.broadcast_to(left, full), start[..., np.newaxis]], axis=-1)
        right = np.concatenate([np.broadcast_to(right, full), one], axis=-1)
    return np.asarray(quire.dot(left, right, spec)).reshape(shape)
