"""compare, next, prior: the Posit Standard's total order on patterns."""

from __future__ import annotations

from ..spec import PositSpec
from .decode import check, decode

__all__ = ["compare", "next", "prior"]


def compare(a: int, b: int, spec: PositSpec) -> int:
    """-1, 0 or 1 as a is below, equal to or above b; NaR equals itself and is below everything."""
    x, y = decode(a, spec), decode(b, spec)
    if x is None or y is None:
        return int(x is not None) - int(y is not None)
    return int(x > y) - int(x < y)


def next(a: int, spec: PositSpec) -> int:
    """The pattern after ``a``, wrapping from maxpos to NaR (Posit Standard, 5.3)."""
    a = check(a, spec)
    return spec.nar if a == spec.maxpos_pattern else a + 1


def prior(a: int, spec: PositSpec) -> int:
    """The pattern before ``a``, wrapping from NaR to maxpos (Posit Standard, 5.3)."""
    a = check(a, spec)
    return spec.maxpos_pattern if a == spec.nar else a - 1
