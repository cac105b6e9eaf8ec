"""How wide an accumulator these data need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from posit import PositSpec
from posit._arrays import patterns
from posit.spec import SpecLike

from .integers import NOTHING, Operand, Whole, lengths, word
from .window import Window

__all__ = ["Required", "required_accumulator"]

_BLOCK = 1 << 16  # products at once


@dataclass(frozen=True, slots=True)
class Required:
    """The smallest register in which no product of some data loses a bit and no sum overflows.

    Parameters
    ----------
    lsb, msb : int
        log2 of the weight of bit 0 and of the sign bit, as :class:`Window` takes them.
    guard : int
        Bits that sums take above the largest single product; negative where none does.
    terms : int
        K, the products of one sum.
    """

    lsb: int
    msb: int
    guard: int
    terms: int

    @property
    def width(self) -> int:
        """Bits, with the sign."""
        return self.msb - self.lsb + 1

    def window(self) -> Window:
        """A register of that size."""
        return Window(self.lsb, self.msb)

    def __str__(self) -> str:
        return (
            f"{self.width} bits, 2^{self.lsb} to 2^{self.msb}, {self.guard} above the largest of"
            f" {self.terms} products"
        )


def required_accumulator(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    spec: SpecLike,
    *,
    order: Literal["given", "any"] = "given",
) -> Required:
    """The smallest accumulator that is exact for the matrix product a·b.

    >>> import posit
    >>> a, b = posit.encode([[3.0, -3.0]], "bposit16"), posit.encode([[1.0], [0.5]], "bposit16")
    >>> required_accumulator(a, b, "bposit16")
    Required(lsb=-1, msb=2, guard=0, terms=2)

    Parameters
    ----------
    a : patterns (M, K)
    b : patterns (K, N)
        Or both (K,): one sum.
    spec : PositSpec, posit dtype or name
    order : {"given", "any"}
        "given": sums run from k = 0 to K-1. "any": in whatever order, so that every sum of some of
        the products must fit.

    Where nothing is ever added, the register is 2 bits at 2^0. Raises ValueError for NaR, shapes
    that do not fit, or another order.
    """
    spec = PositSpec.parse(spec)
    x, y = patterns(a, spec, "a"), patterns(b, spec, "b")
    if x.ndim == y.ndim == 1:
        x, y = x[np.newaxis, :], y[:, np.newaxis]
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[0]:
        raise ValueError(f"required_accumulator of shapes {np.shape(a)} and {np.shape(b)}:"
                         " (M, K) and (K, N), or (K,) twice")  # fmt: skip
    if order not in ("given", "any"):
        raise ValueError(f"order={order!r}: possible are 'given' and 'any'")
    if (x == spec.nar).any() or (y == spec.nar).any():
        raise ValueError("required_accumulator: there is a NaR, which no register makes finite")
    left, right = Operand.of(x, spec), Operand.of(y, spec)
    found = _ends(left), _ends(right)
    some = (found[0][0].min(0, initial=0) < 0) & (found[1][0].min(1, initial=0) < 0)
    if not some.any():
        return Required(0, 1, 0, x.shape[1])
    # `_ends` are shifted below 0, so that an axis without numbers has minimum 0
    lsb = int((found[0][0].min(0) + found[1][0].min(1))[some].min()) + 2 * _SHIFT
    top = int((found[0][1].max(0) + found[1][1].max(1))[some].max()) - 2 * _SHIFT
    low, high, most = _sums(left, right, lsb, top, order)
    msb = max(1, (-low - 1).bit_length(), high.bit_length())
    return Required(lsb, lsb + msb, msb - most.bit_length(), x.shape[1])


_SHIFT = 1 << 20


def _ends(x: Operand) -> tuple[Whole, Whole]:
    """Exponents of the lowest set bits minus _SHIFT, and of the leading bits plus it; 0 for 0."""
    lowest = np.where(x.sig == 0, 1, x.sig & -x.sig)
    trailing = lengths(lowest) - 1 + x.scale - x.spec.f_max
    some = x.sig != 0
    return np.where(some, trailing - _SHIFT, 0), np.where(some, x.scale + _SHIFT, 0)


def _sums(left: Operand, right: Operand, lsb: int, top: int, order: str) -> tuple[int, int, int]:
    """Least and largest sum, and the largest magnitude of a product, in units of 2^lsb."""
    terms = left.sig.shape[1]
    kind = word(top + 2 - lsb + terms.bit_length() + 2 * left.spec.f_max)
    f = left.spec.f_max
    low = high = most = 0
    height = max(1, _BLOCK // max(1, right.sig.shape[1]))
    for i in range(0, len(left.sig), height):
        rows = slice(i, i + height)
        down = up = total = np.zeros((*left.sig[rows, :1].shape[:1], right.sig.shape[1]), kind)
        for k in range(terms):
            x = left.sig[rows, k, np.newaxis].astype(kind) * right.sig[k].astype(kind)
            by = left.scale[rows, k, np.newaxis] + right.scale[k] - 2 * f - lsb
            by = np.where(x == 0, 0, by).astype(kind)
            # a negative `by` only takes zeros off the product: lsb is its lowest bit or below
            x = (x << np.maximum(by, 0)) >> np.maximum(-by, 0)
            most = max(most, int(np.abs(x).max(initial=0)))
            if order == "given":
                total = total + x
                low, high = min(low, int(total.min())), max(high, int(total.max()))
            else:
                down, up = down + np.minimum(x, 0), up + np.maximum(x, 0)
        low, high = min(low, int(down.min(initial=0))), max(high, int(up.max(initial=0)))
    return low, high, most


assert NOTHING < -_SHIFT // 2
