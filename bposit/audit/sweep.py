"""Every tensor of every file in every format, on all threads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import BadInput
from . import recommend
from .formats import Format, parse_all
from .measure import TASK, Measured, Progress, in_order, measure
from .source import MAX_BYTES, Source, Tensor

__all__ = ["DEFAULT_FORMATS", "Stop", "files", "sweep", "tensor"]

DEFAULT_FORMATS = "bposit16,posit16,bfloat16,float16,bposit8,float8_e4m3fn,float8_e4m3fn@amax"


class Stop(Exception):
    """Interrupted; ``done`` are the tensors that are finished."""

    def __init__(self, done: list[Measured]) -> None:
        super().__init__("interrupted")
        self.done = done


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
            if work[0][1].size > TASK:  # shared within
                done.append(_one(work.pop(0), formats, bound, best, pool, count, progress))
            else:  # shared among each other
                upto = next((k for k, (_, t) in enumerate(work) if t.size > TASK), len(work))
                for made in in_order(small, work[:upto], pool, 4 * count):
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
    except OSError as error:  # of mapping a file, where the address space is bounded or it is gone
        raise BadInput(f"{given.name[:80]}: {error.strerror or error}") from None
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
