"""Random directions that are made again from their seed whenever they are needed, and never kept.

[A] Training takes about twice the memory of inference, at any depth. [ours] So there must be no
second set of weights: a direction is a function of (seed, number of the parameter, element), a
block at a time, and each use of it makes it anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from posit import PositSpec
from posit.reference import uniform64

from ..ops import fake_quant

__all__ = ["BLOCK", "Distribution", "Tangent", "seeds_of"]

BLOCK = 1 << 13
"""Elements of a block, as far as whole rows allow; part of what a seed means."""

Distribution = Literal["normal", "rademacher"]


@dataclass(frozen=True)
class Tangent:
    """The part of a random direction that belongs to one tensor: independent, E v = 0, E v² = 1.

    Parameters
    ----------
    seed : int
        Of the direction, below 2^64.
    index : int
        Of the tensor among all that the direction has a part for, below 2^64.
    shape : tuple of int
        ``()`` counts as ``(1,)``.
    dtype : torch.dtype
    spec : PositSpec or None
        Elements are rounded to it: E v stays 0 by symmetry, E v² changes by about 2^-2f where
        numbers near 1 have f fraction bits, and ±1 stay ±1.
    distribution : {"normal", "rademacher"}
        N(0, 1), or ±1.

    Source: Philox-4x64-10 (Salmon et al., 2011) of NumPy, keyed by (seed, index), its counter by
    the block. Normal numbers may change with NumPy's version.
    """

    seed: int
    index: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    spec: PositSpec | None = None
    distribution: Distribution = "normal"

    @property
    def height(self) -> int:
        """Rows of a block."""
        return max(1, BLOCK // max(1, prod(self.shape[1:])))

    @property
    def count(self) -> int:
        """Blocks."""
        rows = self.shape[0] if self.shape else 1
        return -(-rows // self.height) if prod(self.shape) else 0

    def rows(self, block: int) -> slice:
        """What rows of the tensor a block is."""
        rows = self.shape[0] if self.shape else 1
        return slice(block * self.height, min(rows, (block + 1) * self.height))

    def block(self, block: int) -> Tensor:
        """(rows, *shape[1:]) on the CPU."""
        rows = self.rows(block)
        return self._drawn(block, (rows.stop - rows.start, *self.shape[1:]))

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """All blocks with their rows."""
        for i in range(self.count):
            yield self.rows(i), self.block(i)

    def whole(self) -> Tensor:
        """All of it, of ``shape``."""
        made = torch.empty(self.shape or (1,), dtype=self.dtype)
        for rows, part in self.blocks():
            made[rows] = part
        return made.reshape(self.shape)

    def samples(self, start: int, stop: int) -> Tensor:
        """Rows ``start`` to ``stop``, of a tensor with as many rows as one likes.

        A row is the same whatever other rows are asked for: the noise of a sample does not depend
        on the micro-batch.
        """
        made = torch.empty((stop - start, *self.shape[1:]), dtype=self.dtype)
        for i in range(start // self.height, -(-stop // self.height)):
            first = i * self.height
            part = self._drawn(i, (self.height, *self.shape[1:]))
            low, high = max(start, first), min(stop, first + self.height)
            made[low - start : high - start] = part[low - first : high - first]
        return made

    def _drawn(self, block: int, shape: tuple[int, ...]) -> Tensor:
        key, counter = np.array([self.seed, self.index], np.uint64), np.zeros(4, np.uint64)
        counter[3] = block
        source = np.random.Generator(np.random.Philox(key=key, counter=counter))
        single = self.spec is None and self.dtype != torch.float64
        made = torch.empty(shape, dtype=torch.float32 if single else torch.float64)
        if self.distribution == "normal":
            source.standard_normal(dtype=np.float32 if single else np.float64, out=made.numpy())
        else:
            made.numpy()[...] = source.integers(0, 2, shape, np.int8)
            made.mul_(2).sub_(1)
        if self.spec is not None:
            made = fake_quant(made, self.spec)
        return made.to(self.dtype)


def seeds_of(tangents: int | list[int], seed: int, step: int) -> list[int]:
    """The seeds of so many directions, a function of ``seed`` and ``step``; or those given.

    Raises ValueError for none, for one that occurs twice, or for numbers outside of 64 bits.
    """
    for name, value in (("seed", seed), ("step", step)):
        _check_word(name, value)
    if isinstance(tangents, int):
        key = uniform64(seed, step)
        found = [uniform64(key, k) for k in range(tangents)]
    else:
        found = list(tangents)
    if not found:
        raise ValueError(f"tangents={tangents!r}: at least one direction is needed")
    for value in found:
        _check_word("a tangent's seed", value)
    if len(set(found)) < len(found):
        raise ValueError("tangents: a seed is named twice, and would count one direction twice")
    return found


def _check_word(name: str, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 64:
        raise ValueError(f"{name}={value!r}: possible are integers from 0 to 2^64-1")
