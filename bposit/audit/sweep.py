"""Every tensor in every format: streamed in blocks, shared among threads, joined in any order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import BadInput
from . import recommend
from .exponents import Exponents
from .figures import Block, Errors
from .formats import BLOCK, F8, Format, finite_amax, parse_all
from .source import MAX_BYTES, Source, Tensor

__all__ = ["DEFAULT_FORMATS", "Measured", "Stop", "files", "measure", "sweep", "tensor"]

T = TypeVar("T")
Progress = Callable[[int], None]

DEFAULT_FORMATS = "bposit16,posit16,bfloat16,float16,bposit8,float8_e4m3fn@amax"
_BLOCK = 1 << 16  # values: half a megabyte of float64, which stays in cache
_TASK = 1 << 21  # values a thread takes at a time
assert _BLOCK % BLOCK == 0  # so that shared scales never straddle two blocks


class Stop(Exception):
    """Interrupted; ``done`` are the tensors that are finished."""

    def __init__(self, done: list[Measured]) -> None:
        super().__init__("interrupted")
        self.done = done


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
    """Runs of blocks of about ``_TASK`` values."""
    run: list[tuple[slice, slice]] = []
    for block in _blocks(rows, columns):
        run.append(block)
        if len(run) * _BLOCK >= _TASK:
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


def _map(
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
            amax = max(_map(largest, runs, shared, 2 * threads))
        found: _Part | None = None
        work = lambda run: _measure_part(lines, run, forms, amax, tell)  # noqa: E731
        for more in _map(work, runs, shared, 2 * threads):
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


def sweep(
    sources: Sequence[Source],
    formats: Sequence[Format],
    *,
    bound: float = recommend.BOUND,
    best: int | None = None,
    threads: int | None = None,
    progress: Progress = lambda _: None,
) -> list[Measured]:
    """All tensors of all sources, in their order.

    Raises :class:`Stop` where it was interrupted, with what is finished.
    """
    count = threads or _available()
    done: list[Measured] = []
    pool = ThreadPoolExecutor(count, thread_name_prefix="audit") if count > 1 else None
    work = [(i, t) for i, source in enumerate(sources) for t in source.tensors]

    def small(item: tuple[int, Tensor]) -> Measured:
        return _one(item, formats, bound, best, None, 1, progress)

    try:
        while work:
            if work[0][1].size > _TASK:  # shared within
                done.append(_one(work.pop(0), formats, bound, best, pool, count, progress))
            else:  # shared among each other
                upto = next((k for k, (_, t) in enumerate(work) if t.size > _TASK), len(work))
                for made in _map(small, work[:upto], pool, 4 * count):
                    done.append(made)
                del work[:upto]
    except KeyboardInterrupt:
        raise Stop(done) from None
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)
    return done


def _one(  # noqa: PLR0917
    item: tuple[int, Tensor],
    formats: Sequence[Format],
    bound: float,
    best: int | None,
    pool: ThreadPoolExecutor | None,
    threads: int,
    progress: Progress,
) -> Measured:
    file, given = item
    try:
        made = measure(given.load(), formats, name=given.name, dtype=given.dtype, bound=bound,
                       best=best, pool=pool, threads=threads, progress=progress)  # fmt: skip
    except MemoryError:
        raise BadInput(f"{given.name[:80]}: {given.size} values do not fit in memory") from None
    made.file = file
    return made


def _available() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def tensor(
    x: npt.ArrayLike,
    formats: str | Iterable[str | Format] = DEFAULT_FORMATS,
    *,
    name: str = "x",
    bound: float = recommend.BOUND,
    best: int | None = None,
    threads: int | None = None,
) -> Measured:
    """What formats do to an array of floats, each value rounded once.

    Parameters
    ----------
    x : array_like of float16, float32, float64 or a float of ml_dtypes
        Any shape that is not empty. Its values are the exact reference.
    formats : str or sequence of str
        ``"bposit16,bfloat16,mxfp8"``; see ``bposit audit --help``.
    bound : float
        dB of SQNR that the recommended format must reach.
    best : int, optional
        Also search the best ``<n, rs, es>`` of this n.
    threads : int, optional
        Default as many as this process may use; the figures do not depend on it.

    Raises BadInput (a ValueError) for other dtypes, an empty array or an unknown format.
    """
    from .source import float_dtype

    array = np.asarray(x)
    if float_dtype(array.dtype.name) is None:
        raise BadInput(f"{name}: {array.dtype.name} is no floating type that is audited")
    if not array.size:
        raise BadInput(f"{name} is empty: its shape is {list(array.shape)}")
    source = Source(Path(name))
    source.add(name, array.dtype.name, array.shape, lambda: array)
    return sweep([source], parse_all(formats), bound=bound, best=best, threads=threads)[0]


def files(
    paths: Sequence[str | os.PathLike[str]],
    formats: str | Iterable[str | Format] = DEFAULT_FORMATS,
    **options: Any,
) -> list[Measured]:
    """What formats do to the tensors of files; options as of :func:`tensor`, and ``max_bytes``.

    Raises BadInput for a file that cannot be audited.
    """
    from .loaders import load

    limit = options.pop("max_bytes", MAX_BYTES)
    return sweep([load(Path(p), limit) for p in paths], parse_all(formats), **options)
