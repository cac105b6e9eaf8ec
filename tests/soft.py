"""SoftPosit, the oracle that is not ours, on the formats where rs and es agree with its own.

posit8 is <8,7,0>, posit16 <16,15,1>, posit32 <32,31,2>; posit_2 is standard(n), kept at the top of
32 bits. Two defects of SoftPosit 0.3.4.4 are left out, and shown to be its own in
tests/posit/test_softposit.py: posit_2 at 32 bits loses the sticky bit in the outermost regimes,
and mulAdd from 20 bits up loses that of the addend.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import softposit  # type: ignore[import-untyped]

from posit import PositSpec, standard

__all__ = ["LEGACY", "STANDARD", "Soft"]

Bits = npt.NDArray[np.signedinteger[Any]]

_NAMES = {"add": "add", "sub": "sub", "mul": "mul", "div": "div", "sqrt": "sqrt", "fma": "mulAdd"}


@dataclass(frozen=True)
class Soft:
    """One of SoftPosit's formats: operations on lists of patterns, one call an element."""

    spec: PositSpec
    prefix: str  # of its functions: p8, p16, p32 or pX2

    def __str__(self) -> str:
        return f"{self.prefix}-{self.spec}"

    @property
    def ops(self) -> list[str]:
        """The operations to trust."""
        return [op for op in _NAMES if op != "fma" or self.spec.n < 20]

    @property
    def _sized(self) -> tuple[int, ...]:
        """What functions on posit_2 take besides the operands."""
        return (self.spec.n,) if self.prefix == "pX2" else ()

    @property
    def _shift(self) -> int:
        return 32 - self.spec.n if self.prefix == "pX2" else 0

    def box(self, pattern: int) -> Any:
        """SoftPosit's own object for a pattern."""
        name = "posit_2_t" if self.prefix == "pX2" else f"posit{self.spec.n}_t"
        made = getattr(softposit, name)()
        made.v = (pattern % (1 << self.spec.n)) << self._shift
        return made

    def unbox(self, thing: Any) -> int:
        """The signed pattern in SoftPosit's object."""
        pattern = thing.v >> self._shift
        return int(pattern - (1 << self.spec.n) if pattern > self.spec.maxpos_pattern else pattern)

    def _each(self, function: Callable[..., Any], *columns: list[Any]) -> Bits:
        made = [self.unbox(function(*row)) for row in zip(*columns, strict=True)]
        return np.array(made, self.spec.storage)

    def apply(self, op: str, *operands: Bits) -> Bits:
        """add, sub, mul, div, sqrt or fma, on operands that broadcast together."""
        function = getattr(softposit, f"{self.prefix}_{_NAMES[op]}")
        wide = np.broadcast_arrays(*operands)
        boxes = {p: self.box(p) for x in operands for p in np.unique(x).tolist()}
        columns = [[boxes[p] for p in x.reshape(-1).tolist()] for x in wide]
        made = self._each(lambda *row: function(*row, *self._sized), *columns)
        return made.reshape(wide[0].shape)

    def encode(self, x: npt.NDArray[np.float64]) -> Bits:
        """Patterns of finite floats."""
        name = "PX2" if self.prefix == "pX2" else f"P{self.spec.n}"
        function = getattr(softposit, f"convertDoubleTo{name}")
        return self._each(lambda v: function(v, *self._sized), x.tolist())

    def encode_int(self, x: npt.NDArray[np.int64]) -> Bits:
        """Patterns of 64-bit integers."""
        function = getattr(softposit, f"i64_to_{self.prefix}")
        return self._each(lambda v: function(v, *self._sized), x.tolist())

    def decode(self, bits: Bits) -> npt.NDArray[np.float64]:
        """Values of patterns, without NaR."""
        name = "PX2" if self.prefix == "pX2" else f"P{self.spec.n}"
        function = getattr(softposit, f"convert{name}ToDouble")
        return np.array([function(self.box(p)) for p in bits.tolist()])

    def convert(self, bits: Bits, to: Soft) -> Bits:
        """Patterns in another of its formats."""
        function = getattr(softposit, f"{self.prefix}_to_{to.prefix}")
        return to._each(lambda p: function(self.box(p), *to._sized), bits.tolist())

    def dot(self, a: Bits, b: Bits) -> int:
        """Σ a·b in SoftPosit's quire."""
        name = f"q{self.prefix[1:]}"
        q = getattr(softposit, f"{name}Clr")()
        add = getattr(softposit, f"{name}_fdp_add")
        for x, y in zip(a.tolist(), b.tolist(), strict=True):
            q = add(q, self.box(x), self.box(y))
        return self.unbox(getattr(softposit, f"{name}_to_{self.prefix}")(q, *self._sized))


LEGACY = [
    Soft(PositSpec(8, 7, 0), "p8"), Soft(PositSpec(16, 15, 1), "p16"), Soft(standard(32), "p32"),
]  # fmt: skip
STANDARD = [Soft(standard(n), "pX2") for n in (3, 4, 5, 6, 7, 8, 9, 12, 16, 20, 24, 31)]
