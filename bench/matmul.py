"""What does an exact matrix product cost, beside NumPy's inexact float64 one of the same shape?

Data: normal numbers; numbers whose exponents spread evenly over 2^±60; a ReLU's output with dead
rows, where many sums are exactly 0; and WᵀW - I of a nearly orthogonal W, where all digits cancel.
Beside them mtl5's matrices of posit16, the other posit product that a Python user can install. Its
product rounds after every step (checked below); its Python package offers no quire.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

import posit
import quire
from posit import PositSpec

from ._harness import Config, Pair, Side, agree, sample

Array = npt.NDArray[Any]

SPREAD = 60
MTL5 = 256
SAMPLE = 128
# takes at most 1.8, 1.4, 4 and 10 times as long
TARGETS = {("normal", 512): 1 / 1.8, ("normal", 1024): 1 / 1.4, ("spread", 512): 1 / 4,
           ("spread", 1024): 1 / 4, ("WᵀW - I", 512): 1 / 10}  # fmt: skip


def pairs(config: Config) -> Iterator[Pair]:
    with threadpool_limits(config.cores):
        for n in (64,) if config.quick else (256, 512, 1024):
            for kind in ("normal", "spread", "ReLU", "WᵀW - I"):
                for spec in (posit.bposit16, posit.bposit32):
                    if n < 1024 or kind in ("normal", "spread"):
                        yield _beside_float64(kind, n, spec, config)
        yield _beside_mtl5(16 if config.quick else MTL5, config)


def _data(kind: str, n: int, config: Config) -> tuple[Array, Array]:
    rng = config.rng()
    x, y = rng.standard_normal((2, n, n))
    if kind == "spread":
        x, y = (np.ldexp(v, rng.integers(-SPREAD, SPREAD + 1, (n, n))) for v in (x, y))
    elif kind == "ReLU":
        x = np.maximum(x, 0) * (rng.random((n, 1)) < 0.97)
    elif kind != "normal":
        y = np.linalg.qr(y)[0]
        x = y.T
    return x, y


def _beside_float64(kind: str, n: int, spec: PositSpec, config: Config) -> Pair:
    x, y = _data(kind, n, config)
    b = posit.encode(y, spec)
    a = b.T if x.base is y else posit.encode(x, spec)
    add = posit.encode(-np.eye(n), spec) if x.base is y else None
    u, v = np.ascontiguousarray(posit.decode(a, spec)), posit.decode(b, spec)
    out = np.empty((n, n))
    taken: dict[str, int] = {}
    product: Any = quire.matmul(a, b, spec, add=add, stats=taken, threads=config.cores)

    def check() -> str:
        at = sample(n * n, config.rng(), SAMPLE)
        one = spec.storage.type(spec.one)
        exact = []
        for i, j in zip(*np.divmod(at, n), strict=True):
            term = spec.storage.type(0) if add is None else add[i, j]
            q = quire.Quire(spec)
            q.fma(term, one)
            for p, r in zip(a[i].tolist(), b[:, j].tolist(), strict=True):
                q.fma(p, r)
            exact.append(q.round())
        agree(f"{spec} matmul", product.reshape(-1)[at], np.array(exact, spec.storage))
        routes = ", ".join(f"{count} by {route}" for route, count in taken.items() if count)
        return f"{at.size} elements = quire; {routes}"

    ours = Side(
        f"{spec.name}, {kind}, {n}³",
        lambda: quire.matmul(a, b, spec, add=add, threads=config.cores),
        n**3,
        3 * a.nbytes,
    )
    peer = Side(f"NumPy float64, {n}³", lambda: np.matmul(u, v, out=out), n**3, 3 * u.nbytes)
    target = None if config.quick else TARGETS.get((kind, n))
    return Pair(ours, peer, "multiply-adds", check, target)


def _beside_mtl5(n: int, config: Config) -> Pair:
    import mtl5

    spec = posit.standard(16)
    x, y = config.rng().standard_normal((2, n, n))
    a, b = posit.encode(x, spec), posit.encode(y, spec)
    p, q = (mtl5.convert(v, "posit16") for v in (x, y))
    ours = Side(f"{spec.name}, {n}³", lambda: quire.matmul(a, b, spec), n**3, 3 * a.nbytes)
    peer = Side(
        f"mtl5 posit16, rounding each step, {n}³", lambda: mtl5.matmul(p, q), n**3, 3 * a.nbytes
    )

    def check() -> str:
        theirs = posit.encode(np.asarray(mtl5.matmul(p, q).to_numpy()), spec)
        stepwise = np.zeros_like(a)
        for k in range(n):
            stepwise = posit.add(stepwise, posit.mul(a[:, k : k + 1], b[k : k + 1], spec), spec)
        agree("mtl5's, rounding each step", theirs, stepwise)
        same = np.count_nonzero(theirs == quire.matmul(a, b, spec))
        at = sample(n * n, config.rng(), SAMPLE)
        u, v = posit.decode(a, spec), posit.decode(b, spec)
        sums = [math.fsum(u[i // n] * v[:, i % n]) for i in at.tolist()]  # exact: see dot.py
        agree(f"{spec} matmul", np.ravel(quire.matmul(a, b, spec))[at], posit.encode(sums, spec))
        return f"{at.size} elements = exact sum by math.fsum; mtl5's is right in {same / n**2:.0%}"

    return Pair(ours, peer, "multiply-adds", check)
