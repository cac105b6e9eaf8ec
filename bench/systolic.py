"""How fast is a systolic array's matrix product, bit for bit?

Arrays of 16×16 cells of bposit16 with each accumulator, beside NumPy's float64 product of the same
shape, which is what a simulation that only approximates would call: a bound, no goal. This project
asked itself for 20 million multiply-accumulates a second.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import posit
import quire
from bposit import emulate
from posit import bposit16

from ._harness import Config, Pair, Side, agree

SIZES = (256, 64, 16)  # the last is one tile
ACCUMULATORS = (
    emulate.Quire(), emulate.Aligned(14, group=4), emulate.RoundEachStep(), emulate.FusedChain(),
    emulate.Window(-16, 15),
)  # fmt: skip


def pairs(config: Config) -> Iterator[Pair]:
    for size in SIZES:
        for accumulator in ACCUMULATORS:
            yield _pair(min(size, 64) if config.quick else size, accumulator, config)


def _pair(size: int, accumulator: emulate.Accumulator, config: Config) -> Pair:
    rng = config.rng()
    a, b = (posit.encode(rng.standard_normal((size, size)), bposit16) for _ in "ab")
    x, y = (posit.decode(v, bposit16) for v in (a, b))
    out = np.empty_like(x)
    cell = emulate.Mac(bposit16, accumulator=accumulator)
    array = emulate.SystolicArray(16, 16, "os", cell)

    def check() -> str:
        """One row and column by the cell alone; what is exact, wholly by the quire."""
        found = array.matmul(a, b)
        agree(f"{array}", found[0], cell.dot(a[0], b.T).bits)
        agree(f"{array}", found[:, 0], cell.dot(a, b[:, 0]).bits)
        if isinstance(accumulator, emulate.Quire):
            agree(f"{array}", found, quire.matmul(a, b, bposit16))
            return "= quire.matmul"
        return "a row, a column = the cell's own sums"

    work = size**3
    ours = Side(f"{accumulator}, {size}³", lambda: array.matmul(a, b), work, 3 * a.nbytes)
    peer = Side(f"NumPy float64 @, {size}³", lambda: np.matmul(x, y, out=out), work, 3 * x.nbytes)
    note = "asked for: 20 M a second with the quire, aligned units and rounding each step"
    return Pair(ours, peer, "multiply-accumulates", check, note=note)
