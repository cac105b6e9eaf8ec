"""exact: what a Python or NumPy number means, as a fraction."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from numbers import Rational
from typing import Any

import numpy as np

__all__ = ["DECIMAL_REACH", "exact"]

DECIMAL_REACH = 1300  # 2^±4096 lies within 10^±1234: beyond this every format saturates


def exact(v: Any) -> Fraction | None:
    """The exact value of one real number, or None for NaR (None, NaN and ±∞).

    int, float, Fraction, Decimal and NumPy's scalars; a Decimal beyond 10^±1300, where every format
    saturates, is cut to that. Raises TypeError for booleans, complex numbers and everything else.
    """
    if isinstance(v, (bool, np.bool_)):
        raise TypeError("booleans are not numbers here; use int(...)")
    if v is None:
        return None
    if isinstance(v, (float, np.floating)):
        return Fraction(*v.as_integer_ratio()) if np.isfinite(v) else None
    if isinstance(v, np.integer):
        return Fraction(int(v))
    if isinstance(v, Decimal):
        return _from_decimal(v)
    if isinstance(v, Rational):
        return Fraction(v)
    raise TypeError(f"cannot read {v!r} ({type(v).__name__}) as a real number")


def _from_decimal(v: Decimal) -> Fraction | None:
    if not v.is_finite():
        return None
    if v and abs(v.adjusted()) > DECIMAL_REACH:
        limit = Fraction(10) ** int(math.copysign(DECIMAL_REACH, v.adjusted()))
        return -limit if v < 0 else limit
    return Fraction(v)
