"""Exact residuals, and linear systems solved to the last bit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import posit
from posit import PositSpec, bposit64
from posit.spec import SpecLike

from ._core import Patterns, patterns
from ._lift import format_of, lifted
from .certified import bound_factor
from .gradient import Accumulators
from .matmul import matmul

__all__ = ["Solution", "residual", "solve"]

Doubles = npt.NDArray[np.float64]

_STEPS = 60
_TINY = 2.0**-1000


class Solution(NamedTuple):
    """What :func:`solve` found."""

    x: Patterns
    """The solution, in the shape of the right-hand side."""
    certified: npt.NDArray[np.bool_]
    """Which elements are proven to be the exact solution's, correctly rounded."""
    steps: int
    """Refinements made."""


@lifted("a", "x", "b")
def residual(
    a: npt.ArrayLike, x: npt.ArrayLike, b: npt.ArrayLike, spec: SpecLike | None = None
) -> Patterns:
    """b - a·x, each element rounded once: what is left of b when all the digits cancel.

    ``a`` (M, K), ``x`` (K,) or (K, N), ``b`` (M,) or (M, N), of spec.storage. Raises as
    :func:`quire.matmul` does.
    """
    spec = format_of(spec)
    return matmul(a, posit.neg(patterns(x, spec, "x"), spec), spec, add=patterns(b, spec, "b"))


@lifted("a", "b")
def solve(a: npt.ArrayLike, b: npt.ArrayLike, spec: SpecLike | None = None) -> Solution:
    """The solution of a·x = b, correctly rounded where that can be proven, and it is said where.

    Iterative refinement with exact residuals: x is kept as an unevaluated sum of posits, to which
    each step adds R·(b - a·x) for a float64 inverse R. With E = I - R·a, the exact solution differs
    from x by at most |R·r| + ‖E‖/(1 - ‖E‖)·max|R·r| in every element, r the residual
    (docs/quire.md, "Linear systems"). An element is certified when both ends of that interval round
    to one pattern.

    Parameters
    ----------
    a : array_like of spec.storage, (n, n)
    b : array_like of spec.storage, (n,) or (n, m)

    Returns a :class:`Solution`. Nothing is certified where ‖E‖ >= 1: the matrix is singular, or too
    ill-conditioned for a float64 inverse (condition number beyond some 10^15/n).

    Raises ValueError if the shapes do not fit; numpy.linalg.LinAlgError if the elimination meets a
    zero pivot, or an operand is NaR.
    """
    spec = format_of(spec)
    m, right = patterns(a, spec, "a"), patterns(b, spec, "b")
    if m.ndim != 2 or m.shape[0] != m.shape[1] or right.ndim not in (1, 2):
        raise ValueError(f"solve needs (n, n) and (n,) or (n, m), got {m.shape} and {right.shape}")
    if right.shape[0] != m.shape[0]:
        raise ValueError(f"solve: {m.shape} and {right.shape} do not fit")
    if (m == spec.nar).any() or (right == spec.nar).any():
        raise np.linalg.LinAlgError("solve: an operand is NaR")
    if right.size == 0:
        return Solution(right.copy(), np.ones(right.shape, np.bool_), 0)
    columns = right.reshape(m.shape[0], -1)
    work = _wider(spec)
    wide, known = posit.convert(m, spec, work), posit.convert(columns, spec, work)
    inverse, error = _inverse(wide, work)
    found, certified, steps = _refine(wide, known, inverse, error, spec, work)
    return Solution(found.reshape(right.shape), certified.reshape(right.shape), steps)


def _wider(spec: PositSpec) -> PositSpec:
    """A 64-bit format that holds every value of ``spec``, with many bits everywhere if possible."""
    for work in (bposit64, PositSpec(64, 16, 8)):
        if spec.reach <= work.reach and spec.f_max <= work.f_min:
            return work
    return PositSpec(64, spec.rs, spec.es)


def _precise(work: PositSpec) -> float:
    """t such that values of magnitude t to 1/t are rounded to 2^-20 of themselves, others are not.

    The regime of scale -m·2^es has m + 1 bits, that of the scales below m·2^es too, and 20 fraction
    bits leave n - 21 - es. What is below minpos becomes minpos. Beyond 2^±900 float64 ends.
    """
    short = work.n - 1 - 20 - work.es - 1
    cut = 2.0 ** -min(short << work.es, 1000) if work.f_min < 20 else 0.0
    return max(2.0**-900, cut, float(2 * work.minpos))


def _inverse(a: Patterns, spec: PositSpec) -> tuple[Doubles, float]:
    """A float64 inverse R, and a bound on ‖I - R·a‖∞ (infinite where none is known).

    The float64 matrix is off by u|a|, its product with R by γ|R||a|, and the sum of a row by γ of
    itself; the factor has room for all three. What underflows is below 2^-1000.
    """
    doubles = posit.decode(a, spec)
    with np.errstate(all="ignore"):
        inverse = np.linalg.inv(doubles)
        off = np.abs(np.eye(len(a)) - inverse @ doubles)
        off += bound_factor(2 * len(a) + 8) * (np.abs(inverse) @ (np.abs(doubles) + _TINY) + 1)
        error = float(off.sum(axis=1).max() * (1 + bound_factor(len(a))))
    return inverse, error if np.isfinite(error) else np.inf


def _refine(  # noqa: PLR0917
    a: Patterns, b: Patterns, inverse: Doubles, error: float, spec: PositSpec, work: PositSpec
) -> tuple[Patterns, npt.NDArray[np.bool_], int]:
    """Add corrections until all elements are decided, or the bound stops shrinking."""
    left = b
    x = Accumulators(b.shape, work)
    size, steps = np.inf, 0
    parts: list[Patterns] = []
    magnitudes, least = np.abs(inverse), _precise(work)
    while True:
        r = posit.decode(left, work)
        # Values of at least `least` are rounded to 2^-20 of themselves, smaller ones stay smaller;
        # γ is the product's, and _TINY what underflows in it. So the exact R·r lies within `spread`
        # of zero.
        rough = np.abs(r) * (2.0**-20 + bound_factor(len(a)))
        rough += np.where((left != 0) & (np.abs(r) < least), 2 * least, 0)
        with np.errstate(all="ignore"):
            step = inverse @ r
            spread = np.abs(step) + magnitudes @ rough * (1 + 2.0**-20)
        spread += np.where((left != 0).any(axis=0), _TINY, 0)
        if not np.isfinite(spread).all():
            return x.round(spec), np.zeros(b.shape, np.bool_), steps
        worst = spread.max(axis=0)
        certified = np.zeros(b.shape, np.bool_)
        if error < 1 and (np.abs(r) < 1 / least).all():
            bound = (spread + error / (1 - error) * worst) * (1 + 2.0**-20)
            low, high = _ends(x, bound, spec, work)
            certified = low == high
        if certified.all() or steps == _STEPS or not worst.max() < size:
            return x.round(spec), certified, steps
        size, steps = float(worst.max()), steps + 1
        parts.append(posit.encode(step, work))
        x.add(parts[-1])
        left = residual(np.tile(a, len(parts)), np.concatenate(parts), b, work).reshape(b.shape)


def _ends(
    x: Accumulators, bound: Doubles, spec: PositSpec, work: PositSpec
) -> tuple[Patterns, Patterns]:
    """x - bound and x + bound, rounded once; the bound is itself rounded up."""
    above = posit.encode(bound, work)
    above = np.where((above == 0) | (above == work.maxpos_pattern), above, above + 1)
    low, high = x.copy().add(posit.neg(above, work)).round(spec), x.copy().add(above).round(spec)
    return low, np.where(above == work.maxpos_pattern, ~low, high)  # no bound: never certified
