"""Bits that flip: in stored words, and in accumulators at work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from posit import PositSpec
from posit._arrays import Patterns, patterns
from posit.spec import SpecLike

from .integers import Whole, wrapped

__all__ = ["Flip", "Upsets", "flip", "sensitivity"]


def flip(
    bits: npt.ArrayLike,
    spec: SpecLike,
    *,
    rate: float,
    seed: int,
    positions: Sequence[int] | None = None,
) -> tuple[Patterns, npt.NDArray[np.uint64]]:
    """Stored words after upsets: each bit flips with probability ``rate``, by itself.

    Parameters
    ----------
    bits : patterns of ``spec``, any shape
    spec : PositSpec, posit dtype or name
    rate : float
        0 to 1.
    seed : int
        The same seed flips the same bits.
    positions : sequence of int, optional
        The bits that may flip, 0 being the lowest; default all n.

    Returns the patterns, and the masks of what flipped. Raises ValueError for another rate or
    position.
    """
    spec = PositSpec.parse(spec)
    array = patterns(bits, spec)
    mask = _mask(array.shape, spec.n, rate, positions, np.random.default_rng(seed))
    return applied(array, mask, spec), mask


def applied(array: Patterns, mask: npt.NDArray[np.uint64], spec: PositSpec) -> Patterns:
    """Patterns with the bits of a mask flipped."""
    turned = array.astype(np.int64) ^ mask.view(np.int64)
    if spec.n < 64:
        turned = wrapped(turned, spec.n)
    return np.asarray(turned.astype(spec.storage))


def _mask(
    shape: tuple[int, ...],
    width: int,
    rate: float,
    positions: Sequence[int] | None,
    rng: np.random.Generator,
) -> npt.NDArray[np.uint64]:
    """Masks of at most 64 bits."""
    mask = np.zeros(shape, np.uint64)
    where, bits = _drawn(mask.size, width, rate, positions, rng)
    np.bitwise_or.at(mask.reshape(-1), where, np.uint64(1) << bits.astype(np.uint64))
    return mask


def _drawn(
    count: int,
    width: int,
    rate: float,
    positions: Sequence[int] | None,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Which words are struck, and in which bits; in time of how many there are."""
    _check(rate, positions, width)
    places = np.array(range(width) if positions is None else sorted(set(positions)), np.int64)
    total = count * len(places)
    some = rng.choice(total, rng.binomial(total, rate), replace=False, shuffle=False)
    which, where = np.divmod(some, max(1, count))
    return where, places[which]


def _check(rate: float, positions: Sequence[int] | None, width: int) -> None:
    if not 0 <= rate <= 1:
        raise ValueError(f"rate = {rate}: a probability is possible, 0 to 1")
    wrong = [k for k in positions or () if not 0 <= k < width]
    if wrong:
        raise ValueError(f"position {wrong[0]}: a word of {width} bits has 0 to {width - 1}")


@dataclass(frozen=True, slots=True)
class Flip:
    """One bit of every accumulator, once; for ``Mac(…, upset=Flip(step, bit))``.

    Parameters
    ----------
    step : int
        After which step: k, or the group's number where a step has several products.
    bit : int
        0 is the lowest of a window's register, or of an accumulator that is a posit.
    """

    step: int
    bit: int

    def __call__(self, step: int, part: int, shape: tuple[int, ...], width: int) -> Whole | None:
        if step != self.step:
            return None
        _check(0.0, [self.bit], width)
        return np.full(shape, 1 << self.bit, object)


@dataclass(frozen=True, slots=True)
class Upsets:
    """Random upsets of accumulators; for ``Mac(…, upset=Upsets(rate, seed))``.

    Parameters
    ----------
    rate : float
        Probability that a bit flips after a step.
    seed : int
        The same seed flips the same bits of the same product.
    positions : sequence of int, optional
        The bits that may flip; default all.
    """

    rate: float
    seed: int
    positions: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check the rate."""
        _check(self.rate, None, 1)

    def __call__(self, step: int, part: int, shape: tuple[int, ...], width: int) -> Whole | None:
        rng = np.random.default_rng([self.seed, part, step + 1])
        mask = np.zeros(shape, object)
        where, bits = _drawn(mask.size, width, self.rate, self.positions, rng)
        for i, bit in zip(where.tolist(), bits.tolist(), strict=True):
            mask.reshape(-1)[i] |= 1 << bit
        return mask if len(where) else None


def sensitivity(
    evaluate: Callable[[dict[str, Patterns]], float],
    words: Mapping[str, npt.ArrayLike],
    spec: SpecLike,
    *,
    rate: float,
    seed: int = 0,
    trials: int = 1,
) -> dict[int, list[float]]:
    """What a model scores when one bit position of its stored words is upset.

    Parameters
    ----------
    evaluate : callable
        Named arrays of patterns to a score, such as accuracy.
    words : mapping
        Names to patterns of ``spec``: weights, say.
    spec : PositSpec, posit dtype or name
    rate : float
        Share of words in which the bit flips.
    seed, trials : int
        Every position is tried ``trials`` times, with seeds that differ.

    Returns the scores of each position, 0 being the lowest bit.
    """
    spec = PositSpec.parse(spec)
    given = {name: patterns(x, spec, name) for name, x in words.items()}
    scores: dict[int, list[float]] = {}
    for k in range(spec.n):
        scores[k] = []
        for trial in range(trials):
            rng = np.random.default_rng([seed, k, trial])
            upset = {
                name: applied(x, _mask(x.shape, spec.n, rate, [k], rng), spec)
                for name, x in given.items()
            }
            scores[k].append(float(evaluate(upset)))
    return scores
