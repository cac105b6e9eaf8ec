"""Train every arithmetic from every seed, then sum the same gradients in other ways."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .arithmetic import Arithmetic
from .training import Data, Plan, Trained, Way, train

__all__ = ["WAYS", "Bars", "Found", "Score", "Study"]

WAYS = (
    Way("whole"),
    Way("2 parts", parts=2),
    Way("7 parts", parts=7),
    Way("shuffled", shuffled=True),
    Way("7 shuffled, 2 threads", parts=7, shuffled=True, threads=2),
)

# Makes a progress bar from its label and number of steps; gives what advances it by one.
Bars = Callable[[str, int], Callable[[], None]]


@dataclass(frozen=True, slots=True)
class Score:
    """One training run, of one seed."""

    seed: int
    train_accuracy: float
    test_accuracy: float
    updates_lost: float  # share of the non-zero updates
    seconds: float
    weights_sha256: str


@dataclass(slots=True)
class Found:
    """What one arithmetic gave."""

    note: str
    bytes_per_parameter: int
    scores: list[Score] = field(default_factory=list)  # one a seed
    hashes: list[str] = field(default_factory=list)  # of the first seed, one a way of summing

    @property
    def distinct(self) -> int:
        """How many different weights the ways of summing gave."""
        return len(set(self.hashes))


@dataclass(slots=True)
class Study:
    """All that was done and found. The first arithmetic is the one that claims to be exact."""

    arms: Sequence[Arithmetic]
    data: Data
    plan: Plan
    seeds: Sequence[int]
    ways: Sequence[Way] = WAYS
    found: dict[str, Found] = field(default_factory=dict)  # by name of the arithmetic

    @property
    def proven(self) -> bool:
        """Whether the exact arithmetic gave the same weights for all ways of summing."""
        return self.found[self.arms[0].name].distinct == 1

    def train(self, bars: Bars) -> Trained:
        """Train every arithmetic from every seed; the exact one's first run is returned."""
        kept: list[Trained] = []
        for arm in self.arms:
            step = bars(arm.name, self.plan.epochs * len(self.seeds))
            scores = []
            for seed in self.seeds:
                start = time.perf_counter()
                made = train(arm, self.data, self.plan, seed, self.ways[0], progress=step)
                scores.append(_score(made, self.data, seed, time.perf_counter() - start))
                kept.append(made)
            size = kept[-1].layers[0].dtype.itemsize
            self.found[arm.name] = Found(arm.note, size, scores, [scores[0].weights_sha256])
        return kept[0]

    def sum_otherwise(self, bars: Bars) -> None:
        """Train from the first seed again, once for each other way of summing."""
        others = self.ways[1:]
        for arm in self.arms:
            step = bars(arm.name, self.plan.epochs * len(others))
            for way in others:
                made = train(arm, self.data, self.plan, self.seeds[0], way, progress=step)
                self.found[arm.name].hashes.append(made.hash)


def _score(made: Trained, data: Data, seed: int, seconds: float) -> Score:
    return Score(
        seed,
        made.accuracy(data.train_x, data.train_y),
        made.accuracy(data.test_x, data.test_y),
        made.lost / made.tried,
        round(seconds, 3),
        made.hash,
    )
