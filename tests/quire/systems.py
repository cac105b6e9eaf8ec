"""Linear systems, their exact solutions, and whether what is certified is right."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import quire
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, reference, standard

__all__ = ["SPECS", "bits", "certified_wrongly", "every", "fractions", "rounded"]

Bits = npt.NDArray[np.signedinteger[Any]]
SPECS = [
    bposit8, PositSpec(13, 6, 5), bposit16, PositSpec(20, 6, 5), bposit32, PositSpec(48, 6, 5),
    bposit64, standard(16), standard(32), standard(64), PositSpec(24, 8, 7), PositSpec(64, 63, 3),
]  # fmt: skip
"""The last two reach beyond 2^±192, one of them with more bits than any wider format has there."""

every = pytest.mark.parametrize("spec", SPECS, ids=str)


def fractions(x: Bits, spec: PositSpec) -> list[list[Fraction]]:
    rows = [[reference.decode(p, spec) for p in row] for row in x.tolist()]
    return [[v for v in row if v is not None] for row in rows]


def eliminated(a: Bits, b: Bits, spec: PositSpec) -> list[list[Fraction]]:
    """a⁻¹·b for two-axis b, by Gauss and Jordan."""
    pairs = zip(fractions(a, spec), fractions(b, spec), strict=True)
    rows = [left + right for left, right in pairs]
    for i in range(len(rows)):
        pivot = next(k for k in range(i, len(rows)) if rows[k][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [v / rows[i][i] for v in rows[i]]
        for k, row in enumerate(rows):
            if k != i and row[i]:
                rows[k] = [u - row[i] * v for u, v in zip(row, rows[i], strict=True)]
    return [row[len(rows) :] for row in rows]


def rounded(rows: list[list[Fraction]], spec: PositSpec) -> Bits:
    return np.array([[reference.encode(v, spec) for v in row] for row in rows], spec.storage)


def certified_wrongly(a: Bits, b: Bits, spec: PositSpec) -> tuple[int, int]:
    """How many elements are certified, and how many of them are wrong."""
    found = quire.solve(a, b, spec)
    assert found.x.shape == found.certified.shape == b.shape
    assert found.x.dtype == spec.storage
    right = found.x == rounded(eliminated(a, b, spec), spec)
    return int(found.certified.sum()), int((found.certified & ~right).sum())


def bits(values: Any, spec: PositSpec) -> Bits:
    """Patterns of exact values, which must be the format's."""
    given = np.array(values, object)
    made = np.array([reference.encode(Fraction(v), spec) for v in given.flat], spec.storage)
    assert [reference.decode(p, spec) for p in made.tolist()] == given.reshape(-1).tolist()
    return made.reshape(given.shape)
