"""Products as tables: which coefficient times which goes where, with which sign.

A product is a trilinear form Σ s·a[i]·b[j]·c[k] with c left out. Its derivatives leave out a or b
instead, so that one table serves them all: slot 2 is the product, slots 0 and 1 are what gradients
flow back through. A form is named by a text, which custom ops and compiled graphs take as constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from posit._arrays import ffi, lib

from ._blades import BILINEAR, Signature, Support, index_of, masks, set_of

__all__ = ["Form", "Table", "form_of", "name_form", "support_of"]

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Table:
    """One output and two operands of a form.

    Parameters
    ----------
    terms : int64 array (T, 4)
        Output, left and right operand's place, sign; in that order.
    sizes : (int, int, int)
        Coefficients of the left and the right operand and of the output.
    """

    terms: Integers
    sizes: tuple[int, int, int]

    @cached_property
    def gathered(self) -> tuple[Integers, Integers]:
        """Places in the left and right operands, (outputs, most terms of one).

        The left operand is followed by a zero, the right one by its negative and a zero; both
        zeros meet where an output has fewer terms.
        """
        left, right, outputs = self.sizes
        counts = np.bincount(self.terms[:, 0], minlength=outputs)
        shape = outputs, int(counts.max(initial=0))
        a, b = np.full(shape, left), np.full(shape, 2 * right)
        at = self.terms[:, 0], np.arange(len(self.terms)) - self._start[self.terms[:, 0]]
        a[at], b[at] = self.terms[:, 1], self._signed
        return a, b

    @property
    def _signed(self) -> Integers:
        return np.where(self.terms[:, 3] < 0, self.terms[:, 2] + self.sizes[1], self.terms[:, 2])

    @property
    def _start(self) -> npt.NDArray[np.int32]:
        counts = np.bincount(self.terms[:, 0], minlength=self.sizes[2])
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)

    @cached_property
    def _core(self) -> tuple[Any, Any]:
        """For the C core, and what it points to."""
        left, right, outputs = self.sizes
        start = self._start
        term = np.stack([self.terms[:, 1], self._signed], -1).astype(np.uint8)
        held = ffi.from_buffer("int32_t[]", start), ffi.from_buffer("uint8_t[]", term)
        made = ffi.new("bp_form *", (left, right, outputs, *held))
        return made[0], (made, held)

    def multiply(
        self, size: int, rows: int, left: tuple[int, int], right: tuple[int, int], out: int
    ) -> None:
        """out[r] = the form of left[r] and right[r] for ``rows`` rows, contiguous each.

        Floats have ``size`` bytes. Operands are given by the address of the first row and how many
        floats rows lie apart: 0 is one row for all.
        """
        call, kind = _CALLS[size]
        a, b = ffi.cast(kind, left[0]), ffi.cast(kind, right[0])
        call(self._core[0], rows, a, left[1], b, right[1], ffi.cast(kind, out))


_CALLS = {
    4: (lib.bp_bilinear_f32, ffi.typeof("float *")),
    8: (lib.bp_bilinear_f64, ffi.typeof("double *")),
}


class Form:
    """A form over three supports: operands a and b, result c."""

    def __init__(self, signature: Signature, kind: str, supports: tuple[Support, ...]) -> None:
        self.supports = supports
        places = [index_of(s) for s in supports]
        product = BILINEAR[kind]
        found = []
        for a, i in places[0].items():
            for b, j in places[1].items():
                sign, mask = product(signature, a, b)
                if sign and mask in places[2]:
                    found.append((i, j, places[2][mask], sign))
        self._terms: Integers = np.array(found, np.int64).reshape(-1, 4)
        self._tables: dict[int, Table] = {}

    def table(self, slot: int) -> Table:
        """The form with that slot as its output, the two others in their order as operands."""
        if slot not in self._tables:
            left, right = (s for s in range(3) if s != slot)
            terms = self._terms[:, [slot, left, right, 3]]
            order = np.lexsort((terms[:, 2], terms[:, 1], terms[:, 0]))
            sizes = [len(self.supports[s]) for s in (left, right, slot)]
            self._tables[slot] = Table(terms[order], (sizes[0], sizes[1], sizes[2]))
        return self._tables[slot]


def name_form(signature: Signature, kind: str, supports: tuple[Support, ...]) -> str:
    """The text that names the form."""
    sets = ",".join(f"{set_of(s):x}" for s in supports)
    return f"{signature.text} {kind} {sets}"


@lru_cache(maxsize=4096)
def form_of(text: str) -> Form:
    """The form of that name."""
    signature, kind, sets = text.split(" ")
    supports = tuple(masks(int(s, 16)) for s in sets.split(","))
    return Form(Signature.read(signature), kind, supports)


@lru_cache(maxsize=4096)
def support_of(signature: Signature, kind: str, a: Support, b: Support) -> Support:
    """The blades that the product of multivectors on a and b can have."""
    product = BILINEAR[kind]
    found = (product(signature, x, y) for x in a for y in b)
    return tuple(sorted({mask for sign, mask in found if sign}))
