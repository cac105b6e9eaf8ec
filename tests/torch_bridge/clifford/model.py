"""Geometric algebra over fractions, as one would on paper: blades are lists of vectors, sorted.

It shares nothing with torch_bridge.clifford but the order of the basis vectors: null ones first,
then those that square to +1, then those that square to -1.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import torch

import posit
from posit import PositSpec
from torch_bridge.clifford import Algebra, Multivector

Blade = tuple[int, ...]
Element = dict[Blade, Fraction]

ALGEBRAS = {
    "Cl(3)": Algebra(3), "Cl(0,2)": Algebra(0, 2), "Cl(1,1,1)": Algebra(1, 1, 1),
    "STA": Algebra(1, 3), "PGA3D": Algebra(3, 0, 1), "Cl(2,0,2)": Algebra(2, 0, 2),
    "CGA3D": Algebra(4, 1), "Cl(3,3)": Algebra(3, 3),
}  # fmt: skip


def squares(algebra: Algebra) -> list[int]:
    return [0] * algebra.r + [1] * algebra.p + [-1] * algebra.q


def sorted_blade(vectors: Blade, algebra: Algebra) -> tuple[int, Blade]:
    """Neighbours are swapped, each time with a change of sign; equal ones become their square."""
    sign, blade, i = 1, list(vectors), 0
    while i + 1 < len(blade):
        if blade[i] == blade[i + 1]:
            sign *= squares(algebra)[blade[i]]
            del blade[i : i + 2]
            i = max(i - 1, 0)
        elif blade[i] > blade[i + 1]:
            blade[i], blade[i + 1] = blade[i + 1], blade[i]
            sign, i = -sign, max(i - 1, 0)
        else:
            i += 1
    return sign, tuple(blade)


def product(
    x: Element, y: Element, algebra: Algebra, wanted: Callable[[int, int, int], bool]
) -> Element:
    """The parts of the geometric product for which wanted(grade, grade of x's, of y's)."""
    made: Element = {}
    for a, u in x.items():
        for b, v in y.items():
            sign, blade = sorted_blade(a + b, algebra)
            if sign and wanted(len(blade), len(a), len(b)):
                made[blade] = made.get(blade, Fraction(0)) + sign * u * v
    return made


def complement(x: Element, algebra: Algebra) -> Element:
    """Each blade b becomes c with b ∧ c = the pseudoscalar."""
    made: Element = {}
    for blade, u in x.items():
        other = tuple(i for i in range(algebra.dimension) if i not in blade)
        made[other] = u * sorted_blade(blade + other, algebra)[0]
    return made


def uncomplement(x: Element, algebra: Algebra) -> Element:
    made: Element = {}
    for blade, u in x.items():
        other = tuple(i for i in range(algebra.dimension) if i not in blade)
        made[other] = u * sorted_blade(other + blade, algebra)[0]
    return made


def regressive(x: Element, y: Element, algebra: Algebra) -> Element:
    duals = complement(x, algebra), complement(y, algebra)
    return uncomplement(product(*duals, algebra, lambda g, r, s: g == r + s), algebra)


PRODUCTS: dict[str, Callable[[Element, Element, Algebra], Element]] = {
    "geometric": lambda x, y, a: product(x, y, a, lambda g, r, s: True),
    "outer": lambda x, y, a: product(x, y, a, lambda g, r, s: g == r + s),
    "inner": lambda x, y, a: product(x, y, a, lambda g, r, s: g == abs(r - s)),
    "left_contraction": lambda x, y, a: product(x, y, a, lambda g, r, s: g == s - r),
    "right_contraction": lambda x, y, a: product(x, y, a, lambda g, r, s: g == r - s),
    "regressive": regressive,
}


def changed(x: Element, algebra: Algebra, *, reverse: bool, involute: bool) -> Element:
    """Vectors in reverse order, vectors negated."""
    made: Element = {}
    for blade, u in x.items():
        sign, same = sorted_blade(blade[::-1], algebra) if reverse else (1, blade)
        made[same] = u * sign * ((-1) ** len(blade) if involute else 1)
    return made


CHANGES: dict[str, Callable[[Element, Algebra], Element]] = {
    "reverse": lambda x, a: changed(x, a, reverse=True, involute=False),
    "involute": lambda x, a: changed(x, a, reverse=False, involute=True),
    "conjugate": lambda x, a: changed(x, a, reverse=True, involute=True),
    "dual": complement,
    "undual": uncomplement,
}


# ---- to and from tensors
def blade_of(mask: int) -> Blade:
    return tuple(i for i in range(6) if mask >> i & 1)


def mask_of(blade: Blade) -> int:
    return sum(1 << i for i in blade)


def element(x: Multivector) -> Element:
    """The exact numbers of a multivector without batch."""
    values = x.coefficients.tolist()
    return {blade_of(m): Fraction(v) for m, v in zip(x.blades, values, strict=True)}


def coefficients(x: Element, blades: tuple[int, ...]) -> list[Fraction]:
    """Of these blades; there are no others."""
    assert {mask_of(b) for b, u in x.items() if u} <= set(blades)
    return [x.get(blade_of(m), Fraction(0)) for m in blades]


def encoded(x: Element, blades: tuple[int, ...], spec: PositSpec) -> list[int]:
    """Each coefficient rounded once."""
    return [int(posit.from_fraction(u, spec)) for u in coefficients(x, blades)]


def bits(x: Multivector) -> list[int]:
    """The patterns of a multivector of posits."""
    assert x.spec is not None
    return [int(p) for p in posit.encode(x.coefficients.numpy(), x.spec)]


def mixed(size: int, rng: np.random.Generator) -> torch.Tensor:
    """float64 of all sizes, with zeros, ones and pairs that cancel."""
    x = np.ldexp(rng.standard_normal(size), rng.integers(-20, 21, size))
    x[rng.random(size) < 0.2] = 0.0
    x[rng.random(size) < 0.2] = 1.0
    if size > 2:
        x[-1] = -x[0]
    return torch.from_numpy(x)


def random_like(algebra: Algebra, blades: Any, rng: np.random.Generator, **how: Any) -> Multivector:
    """A multivector on these blades."""
    chosen = algebra.blades(blades=blades)
    return algebra.multivector(mixed(len(chosen), rng), blades=chosen, **how)
