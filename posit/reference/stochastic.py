"""encode_stochastic: unbiased rounding with a counter-based generator."""

from __future__ import annotations

from fractions import Fraction

from ..spec import PositSpec
from .decode import magnitude
from .encode import encode, floor_body
from .number import exact

__all__ = ["encode_stochastic", "uniform64"]

_MASK = (1 << 64) - 1


def encode_stochastic(value: Fraction | int | float, spec: PositSpec, key: int, index: int) -> int:
    """Round to one of the two neighbours, the upper with probability linear in the value.

    With lo <= |value| < hi, hi is taken iff uniform64(key, index) < 2^64·(|value|-lo)/(hi-lo).
    Values outside [minpos, maxpos] saturate; 0, NaN and ±∞ are as in :func:`encode`.
    """
    number = exact(value)
    if number is None:
        return spec.nar
    size = abs(number)
    if not spec.minpos <= size < spec.maxpos:
        return encode(number, spec)
    body, _, _ = floor_body(size, spec)
    lo = magnitude(body, spec.n, spec.rs, spec.es)
    hi = magnitude(body + 1, spec.n, spec.rs, spec.es)
    body += uniform64(key, index) * (hi - lo) < (size - lo) * (1 << 64)
    return -body if number < 0 else body


def uniform64(key: int, index: int) -> int:
    """The 64-bit word at ``index`` of the SplitMix64 stream that ``key`` seeds.

    A function of (key, index) alone, so a stream can be split at any place. Source: Steele, Lea
    and Flood, "Fast Splittable Pseudorandom Number Generators" (2014); the seed is mixed first
    so that neighbouring keys give unrelated streams.
    """
    return _mix(_mix(key & _MASK) + (index + 1) * 0x9E3779B97F4A7C15 & _MASK)


def _mix(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
    return z ^ (z >> 31)
