"""Work shared among threads: all of it once, errors told, forks survived."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import quire
from posit import bposit16
from quire import _threads

COUNTS = [1, 2, 3, 64]


@pytest.fixture(params=[1, 2, 8])
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """As on a machine with so many cores: more threads than cores get a pool of their own."""
    monkeypatch.setattr(_threads, "_available", lambda: request.param)
    monkeypatch.setattr(_threads, "_pool", None)
    yield request.param
    if _threads._pool is not None:
        _threads._pool.shutdown()


@pytest.mark.parametrize("threads", COUNTS)
@pytest.mark.parametrize("items", [0, 1, 2, 3, 500])
def test_everything_is_done_once(items: int, threads: int, cores: int) -> None:
    done: list[int] = []
    _threads.run(done.append, range(items), threads)
    assert Counter(done) == Counter(range(items))
    _threads.run(done.append, iter(range(items)), threads)
    assert Counter(done) == Counter([*range(items), *range(items)])


@pytest.mark.parametrize("threads", COUNTS)
def test_that_many_threads_and_no_more(threads: int, cores: int) -> None:
    """Each waits for the others, which only works if all run at once."""
    together = threading.Barrier(threads)
    seen: set[int] = set()

    def work(item: int) -> None:
        seen.add(threading.get_ident())
        together.wait(timeout=20)

    _threads.run(work, range(threads), threads)
    assert len(seen) == threads
    assert threading.get_ident() in seen
    seen.clear()
    _threads.run(lambda i: seen.add(threading.get_ident()), range(300), threads)
    assert len(seen) <= threads


@pytest.mark.parametrize("threads", COUNTS)
@pytest.mark.parametrize("where", ["here", "elsewhere", "everywhere"])
def test_errors_are_raised(where: str, threads: int, cores: int) -> None:
    """Whichever thread they happen in, and when no thread is working any more."""
    here = threading.get_ident()
    raised = threading.Event()
    running: set[int] = set()

    def work(item: int) -> None:
        me = threading.get_ident()
        running.add(me)
        try:
            if where == "everywhere" or (me == here) == (where == "here"):
                raised.set()
                raise LookupError(f"item {item}")
            assert raised.wait(20)
        finally:
            running.remove(me)

    if threads == 1 and where == "elsewhere":
        where = "here"
    with pytest.raises(LookupError, match="item"):
        _threads.run(work, range(200), threads)
    assert not running
    done: list[int] = []
    _threads.run(done.append, range(50), threads)  # and the pool goes on
    assert sorted(done) == list(range(50))


def test_callers_on_many_threads(cores: int) -> None:
    """All share one pool, and none waits for a place in it."""
    x = np.arange(-8000, 8000, dtype=np.int16).reshape(100, 160)
    want = quire.matmul(x, x.T, bposit16, threads=1)
    with ThreadPoolExecutor(12) as pool:
        found = list(
            pool.map(lambda n: quire.matmul(x, x.T, bposit16, threads=n), [1, 2, 3, 9] * 6)
        )
    assert all((got == want).all() for got in found)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_has_threads_of_its_own() -> None:
    """The parent's do not exist in it; a child that waited for them would never end."""
    x = np.arange(-8000, 8000, dtype=np.int16).reshape(100, 160)
    want = quire.matmul(x, x.T, bposit16, threads=2)
    done: list[int] = []
    _threads.run(done.append, range(100), 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(30)
            done.clear()
            _threads.run(done.append, range(100), 2)
            same = (quire.matmul(x, x.T, bposit16, threads=2) == want).all()
            status = 0 if sorted(done) == list(range(100)) and same else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (quire.matmul(x, x.T, bposit16, threads=2) == want).all()


def test_how_many() -> None:
    assert _threads.check_threads(None) == _threads._available() >= 1
    assert _threads.check_threads(np.int8(3)) == 3
    for wrong in (0, -1, np.int64(0)):
        with pytest.raises(ValueError, match="at least 1"):
            _threads.check_threads(wrong)
    for wrong in (True, 2.0, "2"):
        with pytest.raises(TypeError, match="integer"):
            _threads.check_threads(wrong)
