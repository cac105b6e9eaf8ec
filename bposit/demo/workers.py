"""Do pieces of work in several processes, each with the threads it asks for."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, Self, TypeVar

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

__all__ = ["Workers", "limited"]

Job = TypeVar("Job")
Made = TypeVar("Made")
Step = Callable[[], None]


class Workers:
    """Processes that stay until the ``with`` block ends; with one, this process works itself.

    Parameters
    ----------
    count : int
        How many, at least 1.
    """

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._ticks = context.SimpleQueue()
        self._stop = context.Event()
        self._pool = None
        if count > 1:
            os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads leave processors
            places = context.SimpleQueue()
            for place in range(count):
                places.put(place)
            self._pool = ProcessPoolExecutor(
                count, context, _enter, (places, self._ticks, self._stop)
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(
        self, work: Callable[[Job, Step], Made], jobs: Sequence[Job], steps: Callable[[Job], Step]
    ) -> list[Made]:
        """What ``work`` makes of each job, in their order; they begin in it, too.

        ``work`` is a function of a module; its second argument is to be called after each step,
        and calls here, in this process, what ``steps`` gives for the job.

        Raises what ``work`` raised first, and concurrent.futures.process.BrokenProcessPool if a
        process died.
        """
        if self._pool is None:
            return [work(job, steps(job)) for job in jobs]
        listener = threading.Thread(target=self._listen, args=([steps(job) for job in jobs],))
        listener.start()
        try:
            made = [self._pool.submit(_work, work, i, job) for i, job in enumerate(jobs)]
            return [future.result() for future in made]
        finally:
            self._ticks.put(None)
            listener.join()

    def _listen(self, steps: Sequence[Step]) -> None:
        while (i := self._ticks.get()) is not None:
            steps[i]()


class _Stopped(Exception):
    """The work is not wanted any more."""


_worker: Any = None  # in a worker: its place, its way to tell of steps, and whether to stop


def _enter(places: Any, ticks: Any, stop: Any) -> None:
    global _worker  # noqa: PLW0603
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and sets stop
    _worker = places.get(), ticks, stop
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _work(work: Callable[[Job, Step], Made], i: int, job: Job) -> Made:
    _, ticks, stop = _worker

    def step() -> None:
        if stop.is_set():
            raise _Stopped
        ticks.put(i)

    return work(job, step)


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Let torch, BLAS and the quire use so many threads, at most one for each processor.

    The quire takes as many as this process may use processors; where a system does not let that be
    set, it takes all.
    """
    before = torch.get_num_threads()
    own = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    first = _worker[0] if _worker else 0
    with threadpool_limits(threads):
        torch.set_num_threads(threads)
        if own:
            os.sched_setaffinity(0, {own[(first + i) % len(own)] for i in range(threads)})
        try:
            yield
        finally:
            torch.set_num_threads(before)
            if own:
                os.sched_setaffinity(0, own)
