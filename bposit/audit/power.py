"""Signal, noise and their ratio: Σ x² without overflow, and dB of numbers of any size."""

from __future__ import annotations

from fractions import Fraction
from math import log10
from typing import Any

import numpy as np

from .formats import F8

__all__ = ["decibels", "power", "ratio"]


def power(x: F8) -> Fraction:
    """Σ x² of finite numbers: each block within 2^-45, relative; no overflow or underflow."""
    size = float(np.max(np.abs(x), initial=0.0))
    if not size:
        return Fraction(0)
    e = int(np.clip(np.frexp(size)[1], -1000, 1000))  # 2^±1000 and its inverse are normal
    part = x.reshape(-1) * 2.0**-e
    part *= part
    return Fraction(float(np.add.reduce(part))) * Fraction(4) ** e


def decibels(signal: Fraction, noise: Fraction) -> float:
    """10·log10(signal / noise) of positive numbers of any size."""
    ratio = signal / noise
    return 10 * (log10(ratio.numerator) - log10(ratio.denominator))


def ratio(x: F8, y: F8) -> dict[str, Any]:
    """``sqnr``, ``exact`` and ``failed`` of results y alone, by the rules of figures.Errors."""
    known = np.isfinite(x)
    kept = known & np.isfinite(y)
    if kept.all():
        signal, noise = power(x), power(y - x)
    else:
        signal, noise = power(x[kept]), power(y[kept] - x[kept])
    failed = not kept.any() or bool((known & ~kept).any()) or (noise > 0 and not signal)
    value = decibels(signal, noise) if noise and not failed else None
    return {"sqnr": value, "exact": not failed and not noise, "failed": failed}
