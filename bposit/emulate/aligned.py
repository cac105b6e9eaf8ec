"""Aligned: products brought to one exponent, cut, and added; PDPU's datapath."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posit._arrays import Patterns

from .accumulator import LOST, Accumulator, Flags, Job, check_kinds, flipped
from .integers import NOTHING, Whole, drop, round_wholes, signed, word

__all__ = ["Aligned"]

_SPARE = 3  # bits of a machine word: sign, and what `drop` needs


@dataclass(frozen=True)
class Aligned(Accumulator):
    """Dot-product units of ``group`` lanes that keep W bits of each term.

    A step takes ``group`` products and the accumulator, a posit of the output format. The largest
    exponent e of them is found before products are normalised, so a product of significands in
    [1, 4) has the sum of its operands' exponents. Each term's magnitude is cut to a multiple of
    2^(e + 2 - width), which leaves W bits; the terms, with their signs, are added exactly in
    ⌈log2(group+1)⌉ more bits; the sum is rounded to nearest even in the output format. What was cut
    is flagged and forgotten. Zeros take no part. Source: PDPU (Li, Fang, Wang 2023).

    Parameters
    ----------
    width : int
        W, 2 to 4096.
    group : int
        Lanes, 1 to 4096; the last step may have fewer terms.
    twos : bool
        Cut two's-complement terms downwards instead of magnitudes.
    """

    width: int
    group: int = 4
    twos: bool = False

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_kinds(self, ("width", "group"), ("twos",))
        for name, least in (("width", 2), ("group", 1)):
            if not least <= getattr(self, name) <= 4096:
                raise ValueError(
                    f"Aligned: {name} = {getattr(self, name)}, but {least} to 4096 are possible"
                )

    @property
    def carry(self) -> int:
        """Bits that the sum of a group needs above its terms'."""
        return self.group.bit_length()

    @property
    def lanes(self) -> int:
        """Products in a step."""
        return self.group

    def __str__(self) -> str:
        return f"aligned to {self.width} bits, groups of {self.group}"

    def dots(self, job: Job) -> tuple[Patterns, Flags]:
        """See :class:`Accumulator`."""
        a, b, out = job.a, job.b, job.out
        product = a.width + b.width
        most = max(product, self.width, out.f_max + 1) + self.carry + _SPARE
        kind = word(most)
        exponent = np.dtype(np.int32)
        # terms are shifted up so far, then only down
        room, above = max(0, self.width - product), max(0, self.width - 2 - out.f_max)
        left, right = a.sig.astype(kind), b.sig.astype(kind) << kind.type(room)
        scales = a.scale.astype(exponent), b.scale.astype(exponent)
        bits, flags = job.first(), np.zeros(job.shape, np.uint8)
        for step, k in enumerate(range(0, job.steps, self.group)):
            part = slice(k, k + self.group)
            sig, its = signed(bits, out)
            scale = scales[0][part] + scales[1][part]
            top = np.maximum(scale.max(axis=0), its.astype(exponent))
            terms, lost = self._cut(left[part] * right[part],
                                    top - scale + (product + room - self.width))  # fmt: skip
            kept, gone = self._cut(sig.astype(kind) << kind.type(above),
                                   top - its + (out.f_max + above + 2 - self.width))  # fmt: skip
            total = np.asarray(terms.sum(axis=0, dtype=kind) + kept, kind)
            if job.flags:
                flags |= np.uint8(LOST) * (lost.any(axis=0) | gone)
            lsb = np.where(top < NOTHING // 2, 0, top + (2 - self.width))
            bits = round_wholes(total, lsb, out)
            bits = flipped(bits, step, out.n, job)
            if job.probe is not None:
                self._show(job, step, part, (terms, kept, total, bits), lsb)
        return bits, flags

    def _cut(self, x: Whole, by: Whole) -> tuple[Whole, Whole]:
        """Terms, and which of them lost bits; ``by`` >= 0."""
        if self.twos or x.dtype == object:
            return drop(x, by, "floor" if self.twos else "trunc")
        by = np.minimum(by, 8 * x.dtype.itemsize - 2).astype(x.dtype, copy=False)
        sign = x >> (8 * x.dtype.itemsize - 1)
        magnitude = (x ^ sign) - sign
        kept = magnitude >> by
        return (kept ^ sign) - sign, (kept << by) != magnitude

    def _show(self, job: Job, step: int, part: slice, found: tuple[Whole, ...], lsb: Whole) -> None:
        terms, kept, total, bits = found
        assert job.probe is not None
        for k in range(*part.indices(job.steps)):
            job.show_operands(k)
        for i, term in enumerate(terms):
            job.probe(step, "align", f"term{i}", term, self.width + 1, True, lsb)
        job.probe(step, "align", "accumulator", kept, self.width + 1, True, lsb)
        width = self.width + self.carry + 1
        job.probe(step, "accumulate", "sum", total, width, True, lsb)
        job.probe(step, "round", "result", bits, job.out.n, True, 0)
