"""FusedChain and RoundEachStep: the accumulator is a posit, rounded at every step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import posit
from posit import PositSpec
from posit._arrays import Patterns, core_spec, ffi, lib, pointer

from .accumulator import LOST, OVERFLOW, Accumulator, Flags, Job, flipped
from .integers import Operand, Whole, round_wholes, rounding, word
from .window import holds

__all__ = ["FusedChain", "RoundEachStep"]


@dataclass(frozen=True)
class FusedChain(Accumulator):
    """A fused multiply-add: one rounding to the output format a step."""

    def __str__(self) -> str:
        return "fused multiply-adds"

    def dots(self, job: Job) -> tuple[Patterns, Flags]:
        """See :class:`Accumulator`."""
        total, flags = job.first(), np.zeros(job.shape, np.uint8)
        direct = _operands(job) if not job.flags else None
        for k in range(job.steps):
            before = total
            if direct is not None:
                total = np.asarray(posit.fma(direct[0][k], direct[1][k], total, job.out))
            else:
                total, exact, lsb = _fused(job, k, total)
                flags |= _flags(exact, lsb, total, job.out)
            total = flipped(total, k, job.out.n, job)
            if job.probe is not None:
                job.show_operands(k)
                job.probe(k, "accumulate", "before", before, job.out.n, True, 0)
                job.probe(k, "round", "result", total, job.out.n, True, 0)
        return total, flags


@dataclass(frozen=True)
class RoundEachStep(Accumulator):
    """A multiplier and an adder: two roundings to the output format a step."""

    def __str__(self) -> str:
        return "rounding each step"

    def dots(self, job: Job) -> tuple[Patterns, Flags]:
        """See :class:`Accumulator`."""
        out = job.out
        total, flags = np.ascontiguousarray(job.first()), np.zeros(job.shape, np.uint8)
        direct = None if job.flags else _operands(job)
        chunk = max(1, self.block // max(1, total.size))
        for first in range(0, job.steps, chunk):
            part = slice(first, first + chunk)
            if direct is None or job.flags:
                terms, exact, lsb = _products(job, part)
                flags |= np.bitwise_or.reduce(_flags(exact, lsb, terms, out), axis=0)
            else:
                terms = np.asarray(posit.mul(direct[0][part], direct[1][part], out))
            if not job.flags and job.upset is None and job.probe is None:
                _add_each(total, terms, out)
                continue
            for k, term in enumerate(terms, first):
                if job.flags:
                    total, rest = posit.sum_and_rest(total, term, spec=out, to=out, rest=out)
                    total, rest = np.asarray(total), np.asarray(rest)
                    beyond = np.abs(total) == out.maxpos_pattern
                    beyond &= np.sign(rest) == np.sign(total)
                    flags |= np.uint8(LOST) * (rest != 0) | np.uint8(OVERFLOW) * beyond
                else:
                    total = np.asarray(posit.add(total, term, out))
                total = flipped(total, k, out.n, job)
                if job.probe is not None:
                    job.show_operands(k)
                    job.probe(k, "multiply", "product", term, out.n, True, 0)
                    job.probe(k, "round", "result", total, out.n, True, 0)
        return total, flags


def _add_each(total: Patterns, terms: Patterns, spec: PositSpec) -> None:
    """total + terms[0] + terms[1] + …, in place, rounded each time; contiguous arrays.

    The core itself: for a tile, what :func:`posit.add` checks takes longer than to add.
    """
    line = pointer(total), total.itemsize
    for term in terms if total.size else ():
        lib.bp_apply(
            lib.BP_ADD, core_spec(spec), total.size, *line, pointer(term), term.itemsize,
            ffi.NULL, 0, *line,
        )  # fmt: skip


def _operands(job: Job) -> tuple[Patterns, Patterns] | None:
    """Both operands in the output format, where that has all their values."""
    given = job.a, job.b
    if not all(holds(job.out, x.spec) for x in given):
        return None
    a, b = (np.asarray(posit.convert(x.bits, x.spec, job.out)) for x in given)
    return a, b


def _products(job: Job, part: slice) -> tuple[Patterns, Whole, Whole]:
    """Products rounded once, and as they are: integers and the weight of bit 0."""
    a, b = job.a, job.b
    kind = word(a.width + b.width + 2)
    exact = a.sig[part].astype(kind) * b.sig[part].astype(kind)
    lsb = a.scale[part] + b.scale[part] - (a.spec.f_max + b.spec.f_max)
    return round_wholes(exact, lsb, job.out), exact, lsb


def _fused(job: Job, k: int, total: Patterns) -> tuple[Patterns, Whole, Whole]:
    """The same of a[k]·b[k] + total."""
    a, b, c = job.a, job.b, Operand.of(total, job.out)
    product = np.broadcast_to(a.sig[k].astype(object) * b.sig[k], job.shape)
    low = np.broadcast_to(a.scale[k] + b.scale[k] - (a.spec.f_max + b.spec.f_max), job.shape)
    other = c.scale - c.spec.f_max
    # a zero takes the other's place
    low = np.where(product == 0, np.where(c.sig == 0, 0, other), low)
    other = np.where(c.sig == 0, low, other)
    lsb = np.minimum(low, other)
    ups = [(x - lsb).astype(object) for x in (low, other)]
    exact = np.asarray((product << ups[0]) + (c.sig.astype(object) << ups[1]), object)
    return round_wholes(exact, lsb, job.out), exact, lsb


def _flags(exact: Whole, lsb: Whole, bits: Patterns, out: PositSpec) -> Flags:
    lost, beyond = rounding(exact, lsb, bits, out)
    return np.uint8(LOST) * lost | np.uint8(OVERFLOW) * beyond
