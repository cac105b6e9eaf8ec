"""Where operands come from: random patterns, strata, corners, and values halfway between posits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

import posit
from posit import PositSpec
from posit._arrays import Patterns

from ...errors import BadInput
from ..integers import from_parts, parts

__all__ = [
    "Halfway",
    "corners",
    "fill",
    "flipped",
    "halfway",
    "powers",
    "signed",
    "stratified",
    "uniform",
]

Rng = np.random.Generator
Bits = npt.NDArray[np.int64]
_TRIES = 50


def uniform(spec: PositSpec, rng: Rng, count: int) -> Patterns:
    """Any pattern, each as likely."""
    return rng.integers(spec.nar, spec.maxpos_pattern, count, spec.storage.type, endpoint=True)


def stratified(spec: PositSpec, rng: Rng, count: int) -> Patterns:
    """Each regime as likely, other bits random; one in 64 is zero or NaR."""
    r = rng.integers(-spec.rs, spec.rs, count)
    body = _regimes(spec)[r + spec.rs]
    free = spec.n - 1 - _sizes(spec)[r + spec.rs]
    body |= rng.integers(0, 1 << 62, count, endpoint=True) & ((np.int64(1) << free) - 1)
    bits = np.where(rng.integers(0, 2, count) == 1, -body, body)
    special = rng.integers(0, 128, count)
    bits[special == 0] = 0
    bits[special == 1] = spec.nar
    return bits.astype(spec.storage)


@cache
def _sizes(spec: PositSpec) -> Bits:
    r = np.arange(-spec.rs, spec.rs)
    run = np.where(r < 0, -r, r + 1)
    return np.asarray(np.minimum(run + 1, spec.rs), np.int64)


@cache
def _regimes(spec: PositSpec) -> Bits:
    """Bodies of each regime value, other bits 0, at their place in n-1 bits."""
    found = []
    for r in range(-spec.rs, spec.rs):
        run = -r if r < 0 else r + 1
        size = min(run + 1, spec.rs)
        ones = ((1 << run) - 1) << (size - run) if r >= 0 else size - run
        found.append(ones << (spec.n - 1 - size))
    return np.array(found, np.int64)


@cache
def _corners(spec: PositSpec) -> Patterns:
    marks = {0, spec.nar, spec.one, spec.maxpos_pattern, 1, *_regimes(spec).tolist()}
    near = {m + d for m in marks for d in (-1, 0, 1)}
    both = {s * m for m in near for s in (1, -1)}
    inside = sorted(p for p in both if spec.nar <= p <= spec.maxpos_pattern)
    return np.array(inside, spec.storage)


def corners(spec: PositSpec, rng: Rng, count: int) -> Patterns:
    """Zero, NaR, ±1, ±minpos, ±maxpos, both ends of every regime, and their neighbours."""
    return rng.choice(_corners(spec), count)


def signed(bits: Patterns, spec: PositSpec, rng: Rng) -> Patterns:
    """With random signs."""
    return flipped(bits, rng.integers(0, 2, bits.shape) == 1, spec)


def flipped(bits: Patterns, where: npt.NDArray[np.bool_], spec: PositSpec) -> Patterns:
    """Negated where it says so; NaR stays."""
    return np.where(where, posit.neg(bits, spec), bits)


def powers(scale: Bits, spec: PositSpec) -> tuple[Patterns, npt.NDArray[np.bool_]]:
    """Patterns of 2^scale, and whether those are its values."""
    return made(np.full(scale.shape, 1 << 63, np.uint64), scale, spec)


def made(
    sig: npt.NDArray[np.uint64], scale: Bits, spec: PositSpec
) -> tuple[Patterns, npt.NDArray[np.bool_]]:
    """Positive patterns nearest to sig/2^63 · 2^scale, and whether that is their value."""
    bits = from_parts(np.zeros(sig.shape, bool), sig, scale, spec)
    own, its = parts(bits, spec)
    return bits, (own == sig) & (its == scale)


@dataclass(frozen=True, slots=True)
class Halfway:
    """Values halfway between a positive posit and the next: sig/2^63 · 2^scale.

    Parameters
    ----------
    below : patterns
        The posit below, which is halfway minus half a unit.
    sig : uint64
        Bit 63 set; ``fraction`` + 1 bits below that, the last of which is set.
    scale : int64
    fraction : int64
        Fraction bits that posits have there.
    """

    below: Patterns
    sig: npt.NDArray[np.uint64]
    scale: Bits
    fraction: Bits

    @property
    def unit(self) -> Bits:
        """log2 of half a unit."""
        return self.scale - self.fraction - 1


def halfway(spec: PositSpec, rng: Rng, count: int) -> Halfway:
    """Each regime as likely; only where the posits have all their exponent bits.

    Where they have not, neighbours differ by powers of two, and what rounding decides is no tie of
    values. Raises BadInput for formats that have no other.
    """
    r = np.arange(-spec.rs, spec.rs)[spec.n - 1 - _sizes(spec) >= spec.es]
    if not len(r):
        raise BadInput(f"{spec.name} has no ties: its posits have no complete exponents")
    r = rng.choice(r, count)
    free = spec.n - 1 - _sizes(spec)[r + spec.rs]
    body = _regimes(spec)[r + spec.rs]
    body |= rng.integers(0, 1 << 62, count, endpoint=True) & ((np.int64(1) << free) - 1)
    body = np.clip(body, 1, spec.maxpos_pattern - 1)  # of the same regime
    below = body.astype(spec.storage)
    sig, scale = parts(below, spec)
    f = free - spec.es
    return Halfway(below, sig | np.uint64(1) << (62 - f).astype(np.uint64), scale, f)


def fill(
    what: str, make: Callable[[int], dict[str, Any]], count: int
) -> dict[str, npt.NDArray[Any]]:
    """``count`` rows of what ``make(some)`` gives: columns, and "keep" to say which are wanted.

    Raises BadInput where there are none to be found.
    """
    parts_of: list[dict[str, Any]] = []
    have = tries = 0
    while have < count:
        found = make(2 * (count - have) + 64)
        keep = np.flatnonzero(found.pop("keep"))[: count - have]
        parts_of.append({name: x[keep] for name, x in found.items()})
        have += len(keep)
        tries += 1
        if tries >= _TRIES and have * _TRIES < count:
            raise BadInput(f"{what}: none found")
    return {name: np.concatenate([p[name] for p in parts_of]) for name in parts_of[0]}
