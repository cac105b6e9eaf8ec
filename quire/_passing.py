"""Accumulators in memory that is kept between calls."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from posit.spec import SpecLike

from ._memory import give, take
from .gradient import Accumulators

__all__ = ["Passing"]


class Passing(Accumulators):
    """Sums that are soon closed: their digits use memory that is kept between calls."""

    __slots__ = ("_rooms",)

    def __init__(self, shape: int | tuple[int, ...], spec: SpecLike) -> None:
        self._rooms: list[npt.NDArray[np.float64]] = []
        super().__init__(shape, spec)

    def _zeros(self, planes: int) -> npt.NDArray[np.int64]:
        size = planes * self._nar.size
        room = take(size)
        self._rooms.append(room)
        digits = room[:size].view(np.int64).reshape(planes, -1)
        digits[:] = 0
        return digits

    def close(self) -> None:
        """Give the memory back; the sums are gone."""
        while self._rooms:
            give(self._rooms.pop())
        self.clear()
