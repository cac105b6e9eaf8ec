"""A systolic array as registers that all change at a clock's edge: one tile at a time.

Slow and literal: operands are fed skewed at the edges, cells see only their neighbours' registers
of the cycle before, and results are collected at the bottom edge. Cells add one step with ``step``;
they know neither M, K nor N.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Step = Callable[[Any, Any, Any], Any]
"""(sum so far, a's operands, b's operands) to the next sum."""


def output_stationary(  # noqa: PLR0917
    rows: int, cols: int, latency: int, a: Sequence[Sequence[Any]], b: Sequence[Sequence[Any]],
    step: Step, zero: Any, done: Callable[[Any], Any],
) -> tuple[list[list[Any]], int]:  # fmt: skip
    """a: rows lines of T operands; b: T lines of cols operands, None where there is nothing.

    Returns the results of all cells, top row last out, and the number of cycles.
    """
    depth = len(b)
    right = [[None] * cols for _ in range(rows)]
    down = [[None] * cols for _ in range(rows)]
    sums = [[zero] * cols for _ in range(rows)]
    cycle = 0
    while cycle < depth + rows - 1 + cols - 1:  # until the last cell has seen its last operands
        for i in reversed(range(rows)):  # from the far corner: neighbours still hold the old cycle
            for j in reversed(range(cols)):
                k = cycle - i
                west = right[i][j - 1] if j else a[i][k] if 0 <= k < depth else None
                k = cycle - j
                north = down[i - 1][j] if i else b[k][j] if 0 <= k < depth else None
                if west is not None and north is not None:
                    sums[i][j] = step(sums[i][j], west, north)
                right[i][j], down[i][j] = west, north  # type: ignore[call-overload]
        cycle += 1
    collected: list[list[Any]] = []
    pipe: list[Any] = [None] * latency
    while len(collected) < rows:  # sums move down, and out through the pipe of the final rounding
        pipe.append([done(x) for x in sums[-1]] if any(row is not None for row in sums) else None)
        sums = [[None] * cols, *sums[:-1]]
        left = pipe.pop(0)
        if left is not None:
            collected.append(left)
        cycle += 1
    return collected[::-1], cycle


def weight_stationary(  # noqa: PLR0917
    rows: int, cols: int, latency: int, a: Sequence[Sequence[Any]], b: Sequence[Sequence[Any]],
    first: Sequence[Sequence[Any]], step: Step, done: Callable[[Any], Any],
) -> tuple[list[list[Any]], int]:  # fmt: skip
    """a: M lines of rows operands; b: rows lines of cols weights or None; first: M lines of sums.

    Returns M lines of cols results, and the number of cycles.
    """
    count = len(a)
    weights: list[list[Any]] = [[None] * cols for _ in range(rows)]
    cycle = 0
    for line in reversed(b):  # weights move down, the last row first
        weights = [list(line), *weights[:-1]]
        cycle += 1
    right = [[None] * cols for _ in range(rows)]
    down: list[list[Any]] = [[None] * cols for _ in range(rows)]
    columns: list[list[Any]] = [[] for _ in range(cols)]
    pipes: list[list[Any]] = [[None] * latency for _ in range(cols)]
    start = cycle
    while any(len(column) < count for column in columns):
        now = cycle - start
        for i in reversed(range(rows)):
            for j in reversed(range(cols)):
                m = now - i
                west = right[i][j - 1] if j else a[m][i] if 0 <= m < count else None
                m = now - j
                north = down[i - 1][j] if i else first[m][j] if 0 <= m < count else None
                if west is None:
                    assert north is None, "a partial sum arrived without its operand"
                right[i][j] = west  # type: ignore[call-overload]
                if west is None or weights[i][j] is None:
                    down[i][j] = north  # a cell without a weight only passes sums on
                else:
                    down[i][j] = step(north, west, weights[i][j])
        for j in range(cols):
            out = down[-1][j]
            pipes[j].append(None if out is None else done(out))
            left = pipes[j].pop(0)
            if left is not None:
                columns[j].append(left)
        cycle += 1
    return [list(line) for line in zip(*columns, strict=True)], cycle
