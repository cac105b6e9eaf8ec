"""The formats that the suites run over, and patterns worth trying in each."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, standard

__all__ = [
    "EDGES",
    "EIGHT",
    "SIXTEEN",
    "TINY",
    "WIDE",
    "corners",
    "every_spec",
    "mixed",
    "stratified",
]

Bits = npt.NDArray[np.signedinteger[Any]]

EIGHT = [bposit8, standard(8), PositSpec(8, 7, 0)]
TINY = [
    PositSpec(3, 2, 0), PositSpec(3, 2, 8), PositSpec(4, 2, 1), PositSpec(5, 3, 1),
    PositSpec(5, 4, 2), PositSpec(6, 2, 3), PositSpec(6, 5, 0), PositSpec(7, 6, 4),
    PositSpec(7, 3, 8),
]  # fmt: skip
SIXTEEN = [bposit16, standard(16), PositSpec(13, 6, 5), PositSpec(16, 15, 1)]
EDGES = [
    PositSpec(60, 6, 5), PositSpec(61, 6, 5),  # 53 significand bits and 54
    PositSpec(12, 4, 8), PositSpec(40, 32, 5),  # reach 1024: minpos is and is not a normal float64
    PositSpec(16, 4, 5), PositSpec(31, 8, 4),  # reach 128, just beyond float32's
    PositSpec(16, 5, 5), PositSpec(24, 10, 4),  # reach 160, just beyond float32's subnormals
    PositSpec(28, 16, 4), PositSpec(28, 2, 8),  # reach 256 and 512
    PositSpec(33, 5, 0), PositSpec(34, 5, 0),  # products of 62 bits and 64
]  # fmt: skip
"""Formats on both sides of where an implementation may change its route."""
WIDE = [
    *EDGES,
    PositSpec(20, 6, 5), PositSpec(24, 6, 5), PositSpec(24, 3, 0), bposit32, standard(32),
    PositSpec(33, 6, 5), PositSpec(34, 6, 5), PositSpec(33, 32, 0), PositSpec(40, 6, 5),
    PositSpec(48, 20, 7), bposit64, standard(64), PositSpec(17, 16, 8), PositSpec(31, 30, 7),
    PositSpec(64, 16, 8), PositSpec(64, 63, 0), PositSpec(64, 63, 6), PositSpec(64, 2, 0),
    PositSpec(17, 2, 0), PositSpec(18, 8, 8),
]  # fmt: skip
"""Widths on both sides of each word size, the extremes of rs and es, and cut exponent fields."""


@cache
def every_spec() -> tuple[PositSpec, ...]:
    """All valid <n, rs, es>."""
    return tuple(
        PositSpec(n, rs, es)
        for n in range(3, 65)
        for rs in range(2, n)
        for es in range(9)
        if rs << es <= 4096
    )


def corners(spec: PositSpec, reach: int = 2) -> list[int]:
    """Patterns within ``reach`` of 0, NaR, ±1, ±maxpos and of every power of two that is a regime
    edge; and those whose bits alternate. All widths; ascending."""
    marks = {0, spec.nar, spec.maxpos_pattern, spec.one, -spec.one}
    for k in range(spec.n - 1):
        marks |= {1 << k, -(1 << k), (1 << (spec.n - 1)) - (1 << k), (1 << k) - (1 << (spec.n - 1))}
    for word in (0x5555555555555555, 0x3333333333333333, 0x6DB6DB6DB6DB6DB6):
        marks |= {word & spec.maxpos_pattern, -(word & spec.maxpos_pattern)}
    found = {m + d for m in marks for d in range(-reach, reach + 1)}
    return sorted(p for p in found if spec.nar <= p <= spec.maxpos_pattern)


def stratified(spec: PositSpec, count: int, seed: int) -> Bits:
    """``count`` or so patterns: the corners, evenly spaced ones with a jitter, and near 1."""
    rng = np.random.default_rng([seed, spec.n, spec.rs, spec.es])
    edge = corners(spec, 1)
    rest = max(16, count - len(edge))
    step = (1 << spec.n) / rest
    spread = [spec.nar + int((i + rng.random()) * step) for i in range(rest)]
    found = sorted({min(p, spec.maxpos_pattern) for p in (*edge, *spread)})
    return np.array(found, spec.storage)


def mixed(spec: PositSpec, shape: int | tuple[int, ...], rng: np.random.Generator) -> Bits:
    """Random patterns: uniform bits, or near a corner."""
    anywhere = rng.integers(spec.nar, spec.maxpos_pattern, shape, endpoint=True)
    corner = rng.choice(np.array(corners(spec), np.int64), shape)
    return np.where(rng.random(shape) < 0.5, anywhere, corner).astype(spec.storage)
