"""A little work shared among threads; the C core releases the interpreter lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from operator import index
from typing import Any

__all__ = ["check_threads", "run"]

_pool: ThreadPoolExecutor | None = None  # kept: starting threads costs as much as a small product


def check_threads(threads: Any) -> int:
    """``threads`` as an integer; None is as many as this process may use.

    Raises TypeError or ValueError unless it is a positive integer.
    """
    if threads is None:
        return _available()
    if isinstance(threads, bool) or not hasattr(threads, "__index__"):
        raise TypeError(f"threads must be an integer, got {threads!r}")
    if index(threads) < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    return index(threads)


def run(work: Callable[[Any], None], items: Iterable[Any], threads: int) -> None:
    """Do ``work`` on each item, on at most ``threads`` threads; the first error is raised.

    This thread takes part. Work may not call ``run``.
    """
    todo = list(items)
    others = min(threads, len(todo)) - 1
    if others < 1:
        for item in todo:
            work(item)
        return
    queue = iter(todo)

    def take() -> None:
        for item in queue:  # a list's iterator hands out each item once
            work(item)

    if others < _available():
        futures = [_shared().submit(take) for _ in range(others)]
    else:
        pool = ThreadPoolExecutor(others)
        futures = [pool.submit(take) for _ in range(others)]
        pool.shutdown(wait=False)
    try:
        take()
    finally:
        errors = [future.exception() for future in futures]
    for error in errors:
        if error is not None:
            raise error


def _available() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _shared() -> ThreadPoolExecutor:
    global _pool  # noqa: PLW0603
    if _pool is None:
        _pool = ThreadPoolExecutor(_available(), thread_name_prefix="quire")
    return _pool


def _forget() -> None:
    global _pool  # noqa: PLW0603
    _pool = None  # a forked child has none of its parent's threads


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
