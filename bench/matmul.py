"""How fast is an exact matrix product, beside NumPy's inexact float64 one on one thread?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

import posit
import quire
from posit import PositSpec

from ._harness import Config, Pair, Side, agree, sample

SIZES = (256, 512)
QUICK_SIZES = (64,)


def pairs(config: Config) -> Iterator[Pair]:
    for spec in (posit.bposit16, posit.bposit32):
        for n in QUICK_SIZES if config.quick else SIZES:
            yield _pair(n, spec, config)


def _pair(n: int, spec: PositSpec, config: Config) -> Pair:
    x, y = config.rng().standard_normal((2, n, n))
    a, b = posit.encode(x, spec), posit.encode(y, spec)
    u, v = posit.decode(a, spec), posit.decode(b, spec)
    out = np.empty((n, n))
    ours = Side(
        f"{spec.name} matmul {n}³",
        lambda: quire.matmul(a, b, spec),
        n**3,
        3 * a.nbytes,
    )
    peer = Side(f"NumPy float64 matmul {n}³", lambda: np.matmul(u, v, out=out), n**3, 3 * u.nbytes)

    def check() -> str:
        product: Any = quire.matmul(a, b, spec)
        at = sample(n * n, config.rng(), 256)
        sums = [math.fsum(u[i // n] * v[:, i % n]) for i in at.tolist()]  # exact: see dot.py
        agree(f"{spec} matmul", product.reshape(-1)[at], posit.encode(sums, spec))
        return f"{at.size} elements = exact sum by math.fsum"

    return Pair(ours, peer, "multiply-adds", check)
