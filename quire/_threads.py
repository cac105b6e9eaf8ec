"""A little work shared among threads; the C core releases the interpreter lock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from operator import index
from typing import Any

__all__ = ["check_threads", "run"]


def check_threads(threads: Any) -> int:
    """``threads`` as an integer; TypeError or ValueError unless it is a positive one."""
    if isinstance(threads, bool) or not hasattr(threads, "__index__"):
        raise TypeError(f"threads must be an integer, got {threads!r}")
    if index(threads) < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    return index(threads)


def run(work: Callable[[Any], None], items: Iterable[Any], threads: int) -> None:
    """Do ``work`` on each item, on at most ``threads`` threads; the first error is raised."""
    todo = list(items)
    if threads == 1 or len(todo) <= 1:
        for item in todo:
            work(item)
        return
    with ThreadPoolExecutor(min(threads, len(todo))) as pool:
        list(pool.map(work, todo))
