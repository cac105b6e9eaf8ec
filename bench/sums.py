"""What do exact sums cost: of one array, and of many arrays element by element?

Beside the ``xsum`` package's large superaccumulator, which adds float64 numbers exactly, and
NumPy's float64 ``+=``, which rounds every time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

import posit
import quire
from posit import PositSpec

from ._harness import Config, Pair, Side, agree

FULL = 1 << 20
ADDS = 16


def pairs(config: Config) -> Iterator[Pair]:
    for spec in (posit.bposit16, posit.bposit32):
        yield _beside_xsum(spec, config)
    for spec in (posit.bposit16, posit.bposit32):
        yield _beside_numpy(spec, config)


def _beside_xsum(spec: PositSpec, config: Config) -> Pair:
    import xsum

    size = config.size(FULL)
    a = posit.encode(config.rng().standard_normal(size), spec)
    x = posit.decode(a, spec)

    def theirs() -> float:
        total = xsum.xsum_large_accumulator()
        xsum.xsum_add(total, x)
        return float(xsum.xsum_round(total))

    def check() -> str:
        agree(f"{spec} sum", quire.sum(a, spec), posit.encode(math.fsum(x.tolist()), spec))
        agree("xsum", np.float64(theirs()), np.float64(math.fsum(x.tolist())))
        return "both = math.fsum"

    ours = Side(f"{spec.name} sum", lambda: quire.sum(a, spec, threads=1), size, a.nbytes)
    peer = Side("xsum, large accumulator", theirs, size, x.nbytes)
    return Pair(ours, peer, "elements", check, 1.0 if spec == posit.bposit16 else None)


def _beside_numpy(spec: PositSpec, config: Config) -> Pair:
    size = config.size(FULL)
    values = config.rng().standard_normal((ADDS, size))
    a = posit.encode(values, spec)
    x = posit.decode(a, spec)
    sums, total = quire.Accumulators(size, spec), np.zeros(size)

    def ours() -> None:
        for row in a:
            sums.add(row)

    def theirs() -> None:
        nonlocal total
        for row in x:
            total += row

    def check() -> str:
        found = quire.Accumulators(size, spec)
        for row in a:
            found.add(row)
        agree(f"{spec} Accumulators", found.round(), quire.sum(a, spec, axis=0))
        return "= quire.sum over the axis"

    mine = Side(f"{spec.name} Accumulators.add, {ADDS} times", ours, a.size, a.nbytes)
    peer = Side(f"NumPy float64 +=, {ADDS} times", theirs, a.size, 3 * x.nbytes)
    return Pair(mine, peer, "additions", check, 0.1)
