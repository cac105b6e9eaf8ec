"""How a pair is timed: A B A B …, one ratio for each round, the median of the ratios.

A machine that slows down or is shared changes both sides of a round, and the ratio hardly; a
single disturbed round does not move the median.
"""

from __future__ import annotations

import gc
import importlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import ceil
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "Config",
    "Mismatch",
    "Pair",
    "Result",
    "Side",
    "Unavailable",
    "agree",
    "measure",
    "pairs_of",
    "sample",
]


class Mismatch(Exception):
    """An operation to be timed gave a wrong result: its speed means nothing."""


class Unavailable(Exception):
    """A peer cannot be had here; the text says why."""


@dataclass(frozen=True)
class Config:
    """How much to measure.

    Parameters
    ----------
    quick : bool
        Small arrays and few rounds: checks results, does not judge speed.
    seed : int
        Of all the data.
    cores : int
        Threads that both sides may use. With one, CPU time is measured, else time on the wall.
    """

    quick: bool = False
    seed: int = 20260301
    cores: int = 1

    @property
    def rounds(self) -> int:
        """Ratios a pair gets, unless it runs out of time."""
        return 3 if self.quick else 15

    @property
    def sample(self) -> float:
        """Least time of one sample, in seconds: fast calls are repeated."""
        return 0.001 if self.quick else 0.02

    @property
    def budget(self) -> float:
        """Time for the rounds of one pair, in seconds; three rounds are always run."""
        return 0.3 if self.quick else 6.0

    def size(self, full: int) -> int:
        """Elements: ``full``, or 2^16 at most when quick."""
        return min(full, 1 << 16) if self.quick else full

    def rng(self) -> np.random.Generator:
        """A fresh generator from the seed."""
        return np.random.default_rng(self.seed)


@dataclass(frozen=True)
class Side:
    """One of two things compared.

    Parameters
    ----------
    name : str
    call : callable
        Does the work once; arrays are made before, results go to ``out`` where that is possible.
    work : int
        Elements (or multiply-adds) of one call.
    moved : int
        Bytes of array that one call reads and writes at least; temporaries are not counted.
    """

    name: str
    call: Callable[[], object]
    work: int
    moved: int


@dataclass(frozen=True)
class Pair:
    """A question: how fast is ``ours`` beside ``peer``?

    ``check`` raises Mismatch for a wrong result and says what it compared with; ``target`` is the
    least ratio wanted, None where there is no such wish.
    """

    ours: Side
    peer: Side
    unit: str
    check: Callable[[], str]
    target: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Result:
    """What was measured: CPU seconds and page faults of one call of each side, for each round."""

    suite: str
    pair: Pair
    checked: str
    seconds: tuple[list[float], list[float]]
    faults: tuple[float, float]
    share: float
    ratios: list[float] = field(init=False)

    def __post_init__(self) -> None:
        """Derive the ratios: peer's time for one unit of work over ours, so 2 is twice as fast."""
        scale = self.pair.ours.work / self.pair.peer.work
        object.__setattr__(
            self, "ratios", [scale * b / a for a, b in zip(*self.seconds, strict=True)]
        )

    @property
    def ratio(self) -> float:
        """Median of the ratios."""
        return median(self.ratios)

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the target; None without one."""
        return None if self.pair.target is None else self.ratio >= self.pair.target

    def rate(self, side: int) -> float:
        """Units of work a second; side 0 is ours, 1 the peer."""
        return (self.pair.ours, self.pair.peer)[side].work / median(self.seconds[side])

    def bandwidth(self, side: int) -> float:
        """Bytes of array moved a second."""
        return (self.pair.ours, self.pair.peer)[side].moved / median(self.seconds[side])


def _faults() -> int:
    """Page faults of this process so far; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def _timed(call: Callable[[], object], repeats: int) -> tuple[float, float, int]:
    """CPU seconds of this thread, wall seconds, and page faults, of ``repeats`` calls."""
    before, wall, cpu = _faults(), time.perf_counter(), time.thread_time()
    for _ in range(repeats):
        call()
    return time.thread_time() - cpu, time.perf_counter() - wall, _faults() - before


def measure(suite: str, pair: Pair, config: Config) -> Result:
    """Check the results of a pair, then time it.

    On one core the time is this thread's CPU time: turns that the system gives to other processes
    do not count. ``share`` of the result is CPU time over wall time; well below 1 the machine was
    busy.
    """
    checked = pair.check()
    calls = (pair.ours.call, pair.peer.call)
    repeats = []
    for call in calls:
        call()  # the first touches the pages of preallocated results
        taken = _timed(call, 1)[config.cores > 1]
        repeats.append(max(1, ceil(config.sample / max(taken, 1e-7))))
    seconds: tuple[list[float], list[float]] = ([], [])
    faults, total_cpu, total_wall = [0, 0], 0.0, 0.0
    collecting = gc.isenabled()
    gc.disable()
    try:
        while len(seconds[0]) < config.rounds:
            for side, call in enumerate(calls):
                cpu, wall, faulted = _timed(call, repeats[side])
                seconds[side].append((wall if config.cores > 1 else cpu) / repeats[side])
                faults[side] += faulted
                total_cpu, total_wall = total_cpu + cpu, total_wall + wall
            if len(seconds[0]) >= 3 and total_wall > config.budget:
                break
    finally:
        if collecting:
            gc.enable()
    rounds = len(seconds[0])
    per_call = (faults[0] / (rounds * repeats[0]), faults[1] / (rounds * repeats[1]))
    return Result(suite, pair, checked, seconds, per_call, total_cpu / total_wall)


def pairs_of(suite: str, config: Config) -> Iterator[Pair]:
    """The pairs of ``bench/<suite>.py``, one at a time, so that their arrays do not pile up."""
    found: Iterator[Pair] = importlib.import_module(f"bench.{suite}").pairs(config)
    return found


def sample(size: int, rng: np.random.Generator, count: int = 512) -> npt.NDArray[np.intp]:
    """Up to ``count`` indices below ``size``, the first and last among them."""
    return np.unique(np.append(rng.integers(0, size, count - 2), [0, size - 1]))


def agree(what: str, got: Any, wanted: Any) -> None:
    """Raise Mismatch unless two arrays of one dtype are equal; no benchmark here has NaN."""
    x, y = np.atleast_1d(got), np.atleast_1d(wanted)
    if x.shape != y.shape or x.dtype != y.dtype:
        raise Mismatch(f"{what}: got {x.dtype} {x.shape}, expected {y.dtype} {y.shape}")
    wrong = np.flatnonzero(x != y)
    if wrong.size:
        i = int(wrong[0])
        first = f"first [{i}]: {x.flat[i]!r}, not {y.flat[i]!r}"
        raise Mismatch(f"{what}: {wrong.size} of {x.size} differ, {first}")
