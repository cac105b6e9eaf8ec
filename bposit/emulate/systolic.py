"""SystolicArray: matrix products as a grid of multiply-accumulate cells computes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from posit import PositSpec, bposit16
from posit._arrays import Patterns, patterns
from posit.spec import SpecLike

from .accumulator import check_kinds
from .mac import Mac, Result

__all__ = ["Plan", "SystolicArray"]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a product (M, K)·(K, N) is cut into tiles, and what that takes.

    Parameters
    ----------
    tiles : (int, int)
        Output-stationary: tiles along M and along N. Weight-stationary: along K and along N.
    cycles : int
        Of all tiles, one after the other.
    utilisation : float
        Products of the matrix product, by those that all lanes of all cells could have made.
    mapping : float
        Share of cells that have work, averaged over the tiles.
    """

    tiles: tuple[int, int]
    cycles: int
    utilisation: float
    mapping: float


@dataclass(frozen=True)
class SystolicArray:
    """A grid of rows × cols cells, each a :class:`Mac`; operands enter at the left and the top.

    Output-stationary (``"os"``): cell (i, j) keeps the sum of one result, a's rows stream in from
    the left and b's columns from the top, one step of k a cycle; then results move down and out.
    Weight-stationary (``"ws"``): cell (k, j) keeps b[k, j], which takes ``rows`` cycles to load, a
    streams in from the left, one row of it a cycle, and partial sums move down; cells without a
    weight pass them on. Either way a result
    adds its products in the order of k, ``mac.accumulator.lanes`` of them in a cell at once.

    Parameters
    ----------
    rows, cols : int
        At least 1.
    dataflow : {"os", "ws"}
    mac : Mac
        Upsets in its accumulators strike here too.
    latency : int
        Cycles that a result takes from the last row out: registers of the final rounding.
    spill : {"exact", "format"}
        Where K is cut into tiles (weight-stationary), partial sums wait in memory as the
        accumulators hold them, or rounded to ``mac.out_spec``.

    Cycles of a tile: 2·rows + cols + T - 2 + latency, T being ⌈K/lanes⌉ for output-stationary and M
    for weight-stationary; edge tiles take as long. Source: SCALE-Sim (Samajdar et al. 2020), and
    a model of registers clocked cycle by cycle, in the tests.

    Raises ValueError for what is out of range, TypeError for what is no integer or no Mac.
    """

    rows: int
    cols: int
    dataflow: Literal["os", "ws"] = "os"
    mac: Mac = field(default_factory=lambda: Mac(bposit16))
    latency: int = 0
    spill: Literal["exact", "format"] = "exact"

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_kinds(self, ("rows", "cols", "latency"))
        if not isinstance(self.mac, Mac):
            raise TypeError(
                f"SystolicArray: mac={self.mac!r}: Mac(format, accumulator=…) is needed"
            )
        for name, least in (("rows", 1), ("cols", 1), ("latency", 0)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"SystolicArray: {name} = {getattr(self, name)}, at least {least} is possible"
                )
        for name, known in (("dataflow", ("os", "ws")), ("spill", ("exact", "format"))):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"SystolicArray: {name}={getattr(self, name)!r}: possible are {known[0]!r} and"
                    f" {known[1]!r}"
                )

    def __str__(self) -> str:
        kind = "output" if self.dataflow == "os" else "weight"
        return f"{self.rows}×{self.cols} {kind}-stationary cells of {self.mac}"

    @property
    def depth(self) -> int:
        """Products of one sum that a weight-stationary tile holds: rows · lanes."""
        return self.rows * self.mac.accumulator.lanes

    def plan(self, m: int, k: int, n: int) -> Plan:
        """Tiles, cycles and utilisation of a product (m, k)·(k, n); ValueError if one is negative.

        Without work there are no tiles, no cycles, and both shares are 0.
        """
        if min(m, k, n) < 0:
            raise ValueError(f"plan({m}, {k}, {n}): sizes are not negative")
        if not m * k * n:
            return Plan((0, 0), 0, 0.0, 0.0)
        lanes = self.mac.accumulator.lanes
        steps = -(-k // lanes)
        if self.dataflow == "os":
            along, stream = m, steps
        else:
            along, stream = steps, m
        tiles = -(-along // self.rows), -(-n // self.cols)
        count = tiles[0] * tiles[1]
        cycles = count * (2 * self.rows + self.cols + stream - 2 + self.latency)
        cells = self.rows * self.cols
        return Plan(
            tiles, cycles, m * k * n / (cells * lanes * cycles), along * n / (cells * count)
        )

    def run(self, a: npt.ArrayLike, b: npt.ArrayLike) -> Result:
        """The product of (..., M, K) and (..., K, N) patterns, and its flags."""
        return self._product(a, b, flags=True)

    def matmul(self, a: Patterns, b: Patterns, spec: SpecLike | None = None) -> Patterns:
        """The patterns alone, which is what ``torch_bridge.PositConfig(accumulate=…)`` calls.

        Raises ValueError where ``spec`` is not the format of both operands and results.
        """
        if spec is not None:
            wanted = PositSpec.parse(spec)
            if not self.mac.in_spec == self.mac.out == wanted:
                raise ValueError(
                    f"the array computes in {self.mac.in_spec.name} to {self.mac.out.name}, but"
                    f" {wanted.name} is wanted both ways: give it Mac({wanted.name!r}, …)"
                )
        return self._product(a, b, flags=False).bits

    def _product(self, a: npt.ArrayLike, b: npt.ArrayLike, flags: bool) -> Result:
        a, b = patterns(a, self.mac.in_spec, "a"), patterns(b, self.mac.in_spec, "b")
        inner = a.shape[-1] if min(a.ndim, b.ndim) > 1 else 0
        if self.dataflow == "os" or self.spill == "exact" or inner <= self.depth:
            return self.mac.matmul(a, b, flags=flags)
        found, said = None, np.uint8(0)
        for k in range(0, inner, self.depth):
            part = slice(k, k + self.depth)
            start = None if found is None else found.bits
            found = self.mac.matmul(a[..., part], b[..., part, :], start, flags=flags)
            said = said | found.flags  # type: ignore[assignment]
        assert found is not None
        return Result(found.bits, np.asarray(said), found.spec)
