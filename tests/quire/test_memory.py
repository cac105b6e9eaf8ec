"""Kept memory and the pool of threads: whoever comes in between gets its own, and what an exception
leaves behind is not used again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import posit
import quire
from posit import bposit16, bposit32
from quire import _memory, _threads, _window, certified, products

from .routes import force

Patterns = Any


def operands(seed: int, n: int = 40) -> tuple[Patterns, Patterns]:
    a, b = posit.encode(np.random.default_rng(seed).standard_normal((2, n, n)), bposit32)
    return a, b


@pytest.mark.parametrize("route", ["norms", "slices alone"])
@pytest.mark.parametrize("where", ["certified.Product.by_norms", "products._add_line", "lib"])
def test_a_product_in_the_middle_of_another(
    route: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a signal handler or a finalizer would make it."""
    a, b = operands(1)
    c, d = operands(2, 50)
    want, other = quire.matmul(a, b, bposit32), quire.matmul(c, d, bposit32)
    if route != "norms":
        force(monkeypatch, route)
    depth = 0

    def between(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal depth
            if depth == 0:
                depth += 1
                assert np.array_equal(quire.matmul(c, d, bposit32, threads=2), other)
                depth -= 1
            return function(*args, **kwargs)

        return call

    if where == "lib":
        monkeypatch.setattr(np, "matmul", between(np.matmul))
    elif where.startswith("certified"):
        monkeypatch.setattr(certified.Product, "by_norms", between(certified.Product.by_norms))
    else:
        monkeypatch.setattr(products, "_slices", between(products._slices))
    assert np.array_equal(quire.matmul(a, b, bposit32, threads=2), want)


def test_what_an_exception_leaves_is_not_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = operands(3)
    quire.matmul(a, b, bposit32)
    taken: list[Any] = []
    with monkeypatch.context() as patch:

        def stop(self: Any) -> Any:
            taken.append(self._room)
            raise KeyboardInterrupt

        patch.setattr(certified.Product, "by_norms", stop)
        with pytest.raises(KeyboardInterrupt):
            quire.matmul(a, b, bposit32)
    again = [_memory.take(taken[0].size) for _ in range(8)]
    assert not any(np.shares_memory(taken[0], x) for x in again)


def test_buffers_are_kept_and_bounded() -> None:
    first = _memory.take(1000)
    _memory.give(first)
    assert np.shares_memory(_memory.take(900), first)
    for _ in range(20):
        _memory.give(np.empty(10))
    _memory.give(None)
    assert len(_memory._memory.kept) <= _memory._KEPT


def test_run_inside_run() -> None:
    found: list[tuple[int, int]] = []

    def work(i: int) -> None:
        _threads.run(lambda j: found.append((i, j)), range(3), 2)

    _threads.run(work, range(4), 2)
    assert sorted(found) == [(i, j) for i in range(4) for j in range(3)]


def test_an_index_error_of_the_work_is_raised() -> None:
    def work(i: int) -> None:
        [][i]

    for threads in (1, 2, 5):
        with pytest.raises(IndexError):
            _threads.run(work, range(4), threads)


def test_too_many_terms() -> None:
    line = np.broadcast_to(np.int16(bposit16.one), (1, 1 << 31))
    for call in (
        lambda: quire.matmul(line, line.T, bposit16),
        lambda: quire.dot(line, line, bposit16),
        lambda: quire.sum(line, bposit16),
    ):
        with pytest.raises(ValueError, match="at most 2\\^31 - 1"):
            call()


def test_few_elements_of_many_terms_take_no_slices() -> None:
    a = np.resize(operands(5)[0], (2, 1 << 15))
    taken: dict[str, int] = {}
    found = quire.matmul(a, -a.T, bposit32, stats=taken)
    assert "slices" not in taken
    assert found[0, 1] == quire.dot(a[0], -a[1], bposit32)


@pytest.mark.parametrize("cost", [1e-9, 1e9])
def test_a_carry_that_moves_the_window_before_products(
    cost: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for more additions is made first: a wider window lies elsewhere in memory."""
    monkeypatch.setattr(products, "QUIRE", cost)
    one = np.full((1, 1), bposit16.one, np.int16)
    sums = quire.Accumulators((1, 1), bposit16).add_products(one, one)
    sums._digits[-1] += 1 << 40  # as very many additions leave it
    sums._added = _window._CARRY_DUE
    before = sums.copy().values()[0, 0]
    _, high = sums.window
    sums.add_products(one, one)
    assert sums.window[1] > high
    assert sums.values()[0, 0] == before + 1
