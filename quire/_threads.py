"""A little work shared among threads; the C core releases the interpreter lock."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from operator import index
from typing import Any

__all__ = ["check_threads", "run"]

_here = threading.local()
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

    This thread takes part. Where it is already at it (a signal handler or a finalizer has come in
    between) it works alone: the pool's locks may be held.
    """
    todo = deque(items)
    others = 0 if getattr(_here, "busy", False) else min(threads, len(todo)) - 1

    def do_some() -> None:
        while True:
            try:
                item = todo.popleft()  # each item once
            except IndexError:
                return
            work(item)

    if others < 1:
        do_some()
        return
    temporary = None if others < _available() else ThreadPoolExecutor(others)
    futures: list[Future[None]] = []
    _here.busy = True
    try:
        for _ in range(others):
            futures.append((temporary or _shared()).submit(do_some))
        do_some()
    except BaseException:
        todo.clear()  # the others end with what they have begun
        raise
    finally:
        try:
            wait(futures)
        finally:
            _here.busy = False
            if temporary is not None:
                temporary.shutdown(wait=False)
    for future in futures:
        future.result()


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
