"""One tensor in every format, in blocks that threads may share, joined in any order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from . import recommend
from .exponents import Exponents
from .figures import Block, Errors
from .formats import BLOCK, F8, Format, finite_amax

__all__ = ["TASK", "Measured", "Progress", "in_order", "measure"]

T = TypeVar("T")
Progress = Callable[[int], None]

_BLOCK = 1 << 16  # values: half a megabyte of float64, which stays in cache
TASK = 1 << 21  # values a thread takes at a time
assert _BLOCK % BLOCK == 0  # so that shared scales never straddle two blocks


@dataclass
class Measured:
    """A tensor's figures: ``rows`` has a dict for each format, as in report.json."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    zeros: int = 0
    nonfinite: int = 0
    amax: float = 0.0
    amin: float = 0.0
    exponents: Exponents = field(default_factory=Exponents)
    rows: list[dict[str, Any]] = field(default_factory=list)
    narrowest: str | None = None
    best: list[dict[str, Any]] = field(default_factory=list)
    file: int = 0

    @property
    def n(self) -> int:
        return prod(self.shape)


@dataclass
class _Part:
    """What one task found."""

    zeros: int
    nonfinite: int
    low: float
    high: float
    exponents: Exponents
    errors: list[Errors]
    scaled: list[Exponents]

    def join(self, other: _Part) -> None:
        self.zeros += other.zeros
        self.nonfinite += other.nonfinite
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.exponents += other.exponents
        for i, errors in enumerate(other.errors):
            self.errors[i] += errors
        for i, exponents in enumerate(other.scaled):
            self.scaled[i] += exponents


def _blocks(rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Whole rows, or parts of one row whose length is a multiple of 32 but for the last."""
    if columns >= _BLOCK:
        for row in range(rows):
            for start in range(0, columns, _BLOCK):
                yield slice(row, row + 1), slice(start, start + _BLOCK)
    else:
        step = _BLOCK // columns
        for row in range(0, rows, step):
            yield slice(row, row + step), slice(0, columns)


def _tasks(rows: int, columns: int) -> Iterator[list[tuple[slice, slice]]]:
    """Runs of blocks of about ``TASK`` values."""
    run: list[tuple[slice, slice]] = []
    for block in _blocks(rows, columns):
        run.append(block)
        if len(run) * _BLOCK >= TASK:
            yield run
            run = []
    if run:
        yield run


def _float64(part: npt.NDArray[Any]) -> F8:
    with np.errstate(invalid="ignore"):  # signalling NaN
        return np.ascontiguousarray(part, np.float64)


def _measure_part(
    lines: npt.NDArray[Any],
    run: Iterable[tuple[slice, slice]],
    formats: Sequence[Format],
    amax: float,
    progress: Progress,
) -> _Part:
    part = _Part(0, 0, np.inf, 0.0, Exponents(), [Errors() for _ in formats],
                 [Exponents() for f in formats if f.is_scaled])  # fmt: skip
    for where in run:
        block = Block(_float64(lines[where]))
        part.zeros += block.zeros
        part.nonfinite += block.nonfinite
        part.low, part.high = min(part.low, block.range[0]), max(part.high, block.range[1])
        part.exponents += block.exponents
        scaled = iter(part.scaled)
        for form, errors in zip(formats, part.errors, strict=True):
            if form.is_scaled:
                scale = form.scales(block.x, amax)
                z = Block(block.x / scale, scale)
                exponents = next(scaled)
                exponents += z.exponents
                errors.add(block, form.nearest(z.x) * scale, form, z)
            else:
                errors.add(block, form.nearest(block.x), form)
        progress(block.x.size)
    return part


def in_order(
    function: Callable[[Any], T], items: Iterable[Any], pool: ThreadPoolExecutor | None, ahead: int
) -> Iterator[T]:
    """function(item) in the order of the items, a bounded number of them ahead of the reader."""
    if pool is None:
        yield from map(function, items)
        return
    waiting: deque[Future[T]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def measure(
    array: npt.NDArray[Any],
    formats: Sequence[Format],
    *,
    name: str = "x",
    dtype: str = "",
    bound: float = recommend.BOUND,
    best: int | None = None,
    pool: ThreadPoolExecutor | None = None,
    threads: int = 1,
    progress: Progress = lambda _: None,
) -> Measured:
    """One tensor; ``progress`` is told of values done, for every format at once."""
    lines = array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array.reshape(1, -1)
    runs = list(_tasks(*lines.shape))
    shared = pool if len(runs) > 1 else None

    def largest(run: list[tuple[slice, slice]]) -> float:
        return max(finite_amax(_float64(lines[where])) for where in run)

    def part(forms: Sequence[Format], tell: Progress) -> _Part:
        amax = 0.0
        if any(f.needs_amax for f in forms):
            amax = max(in_order(largest, runs, shared, 2 * threads))
        found: _Part | None = None
        work = lambda run: _measure_part(lines, run, forms, amax, tell)  # noqa: E731
        for more in in_order(work, runs, shared, 2 * threads):
            if found is None:
                found = more
            else:
                found.join(more)
        assert found is not None
        return found

    whole = part(formats, progress)
    made = Measured(
        name, dtype or array.dtype.name, array.shape, whole.zeros, whole.nonfinite,
        whole.high, whole.low if whole.high else 0.0, whole.exponents,
    )  # fmt: skip
    made.rows = _rows(made, formats, whole)
    made.narrowest = recommend.narrowest(made.rows, formats, bound)
    if best is not None:
        candidates = recommend.candidates(best, whole.exponents, array.dtype)
        tried = part(candidates, lambda _: None)
        made.best = recommend.ranked(_rows(made, candidates, tried), made.n * array.itemsize)
    return made


def _rows(made: Measured, formats: Sequence[Format], part: _Part) -> list[dict[str, Any]]:
    scaled = iter(part.scaled)
    rows = []
    for form, errors in zip(formats, part.errors, strict=True):
        exponents = next(scaled) if form.is_scaled else part.exponents
        bits = exponents.fraction_bits(form)
        count = sum(bits.values())
        rows.append(
            {
                "format": form.name,
                "n": made.n,
                "zeros": made.zeros,
                "nonfinite": made.nonfinite,
                **errors.row(),
                "bytes": form.bytes_of(made.shape),
                "fovea": bits.get(form.most_fraction_bits, 0) / count if count else None,
                "fraction_bits": bits,
            }
        )
    return rows
