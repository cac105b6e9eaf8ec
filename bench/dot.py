"""How fast is an exact dot product?

Beside SoftPosit's own C quire (its posit16 is <16,15,1>, its posit32 <32,31,2>; the same formats
are timed here too, where both must give the same bits) and beside NumPy's inexact float64 dot.
Data: normal numbers, and numbers whose exponents spread evenly over 2^±60.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

import posit
import quire
from posit import PositSpec

from ._harness import Config, Pair, Side, agree
from ._softposit import SoftPosit, softposit

Array = npt.NDArray[Any]

FULL = 1 << 20
SPREAD = 60
# Least ratios wanted: beside SoftPosit, and beside float64 on normal data
TARGETS = {posit.bposit16: (15.0, 0.15), posit.bposit32: (8.0, 0.05)}
PEER_FORMATS = {16: PositSpec(16, 15, 1), 32: posit.standard(32)}
# For products of 2^36 and more, q16_fdp_add shifts by 64 or reads a word that it has not set (its
# quire16_fdp_add.c, shiftRight <= 0), so such sums are not compared with ours.
Q16_REACH = 36


def pairs(config: Config) -> Iterator[Pair]:
    size = config.size(FULL)
    data = {"normal": _normal(size, config), f"2^±{SPREAD}": _spread(size, config)}
    for kind, (x, y) in data.items():
        for spec in (posit.bposit16, posit.bposit32):
            yield _beside_float64(kind, spec, x, y)
    with softposit() as library:
        for kind, (x, y) in data.items():
            for spec in (posit.bposit16, posit.bposit32, *PEER_FORMATS.values()):
                yield _beside_softposit(kind, spec, x, y, library)


def _normal(size: int, config: Config) -> Array:
    x: Array = config.rng().standard_normal((2, size))
    return x


def _spread(size: int, config: Config) -> Array:
    rng = config.rng()
    signed = rng.uniform(1, 2, (2, size)) * rng.choice([-1.0, 1.0], (2, size))
    x: Array = np.ldexp(signed, rng.integers(-SPREAD, SPREAD + 1, (2, size)))
    return x


def _ours(kind: str, spec: PositSpec, a: Array, b: Array) -> Side:
    label = repr(spec) if spec == PEER_FORMATS[16] else spec.name
    moved = a.nbytes + b.nbytes
    return Side(f"{label}, {kind}", lambda: quire.dot(a, b, spec, threads=1), a.size, moved)


def _exact_dot(a: Array, b: Array, spec: PositSpec) -> Any:
    """The exact sum of the products, rounded, without a quire.

    A product of two values of at most 26 significand bits is exact in float64, and fsum adds
    exactly; its rounding to 53 bits is innocuous unless it lands on a rounding boundary of spec.
    """
    assert spec.f_max <= 25
    assert 2 * spec.reach < 1022
    products = posit.decode(a, spec) * posit.decode(b, spec)
    return posit.encode(math.fsum(products.tolist()), spec)


def _beside_softposit(kind: str, spec: PositSpec, x: Array, y: Array, library: SoftPosit) -> Pair:
    peer_spec = PEER_FORMATS[spec.n]
    a, b = posit.encode(x, spec), posit.encode(y, spec)
    few = slice(library.limit)
    c, d = posit.encode(x[few], peer_spec), posit.encode(y[few], peer_spec)
    ours = _ours(kind, spec, a, b)
    name = f"SoftPosit posit{spec.n}, {kind}"
    peer = Side(name, lambda: library.dot(c, d), c.size, c.nbytes + d.nbytes)
    largest = [float(np.abs(posit.decode(v, peer_spec)).max()) for v in (c, d)]
    comparable = spec.n != 16 or math.prod(largest) < 2.0**Q16_REACH

    def check() -> str:
        done = "ours = exact sum by math.fsum" if spec.f_max <= 25 else ""
        if done:
            agree(f"{spec} dot", quire.dot(a, b, spec), _exact_dot(a, b, spec))
        if not comparable:
            return "; ".join(filter(None, (done, "SoftPosit beyond its range: not compared")))
        agree(f"{peer_spec} dot, ours and SoftPosit", quire.dot(c, d, peer_spec), library.dot(c, d))
        return "; ".join(filter(None, (done, f"SoftPosit = quire.dot in {peer_spec}")))

    wanted = TARGETS.get(spec, (None,))[0] if library.in_c and kind == "normal" else None
    note = f"SoftPosit: {library.how}; in posit16, <16,15,1>, 2^±{SPREAD} saturates at 2^±28"
    return Pair(ours, peer, "multiply-adds", check, wanted, note)


def _beside_float64(kind: str, spec: PositSpec, x: Array, y: Array) -> Pair:
    a, b = posit.encode(x, spec), posit.encode(y, spec)
    u, v = posit.decode(a, spec), posit.decode(b, spec)
    peer = Side(f"NumPy float64, {kind}", lambda: np.dot(u, v), x.size, u.nbytes + v.nbytes)

    def check() -> str:
        agree(f"{spec} dot", quire.dot(a, b, spec), _exact_dot(a, b, spec))
        return "ours = exact sum by math.fsum"

    wanted = TARGETS[spec][1] if kind == "normal" else None
    return Pair(_ours(kind, spec, a, b), peer, "multiply-adds", check, wanted)
