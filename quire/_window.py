"""Sums as integers in planes of 32-bit digits: the storage of Accumulators."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from posit import PositSpec

from ._core import Patterns, core_spec, ffi, lib, pointer
from .layout import Layout

__all__ = ["Window"]

_CARRY_DUE = 1 << 30  # additions, each below 2^32 in a 64-bit digit


class Window:
    """A line of sums Σ_k digits[k]·2^(low + 32·k): 64-bit digits of 32 bits, and room for carries.

    All sums share one window of digits, which grows to what is added. Between two carries a digit
    takes ``_CARRY_DUE`` additions at most, so that its magnitude stays below 2^63 - 2^32.

    Parameters
    ----------
    count : int
    spec : PositSpec
    """

    __slots__ = ("_added", "_digits", "_layout", "_low", "_nar", "_spec")

    def __init__(self, count: int, spec: PositSpec) -> None:
        core_spec(spec)
        self._spec = spec
        self._layout = Layout.exact(spec)
        self._nar = np.zeros(count, np.uint8)
        self.clear()

    @property
    def window(self) -> tuple[int, int]:
        """(low, high): the sums are multiples of 2^low, and digits up to 2^high are in memory."""
        return self._low, self._low + 32 * len(self._digits)

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return self._digits.nbytes + self._nar.nbytes

    def clear(self) -> Self:
        """Set every sum to zero and free the window."""
        self._low, self._added = 0, 0
        self._digits = np.zeros((0, self._nar.size), np.int64)
        self._nar[:] = 0
        return self

    def settle(self) -> Self:
        """Carry, and cut the window to the digits in use: equal sums then have equal windows."""
        self._digits[:, self._nar != 0] = 0
        self._carry()
        digits = self._digits
        while len(digits) and not digits[0].any():
            digits, self._low = digits[1:], self._low + 32
        while len(digits) > 1 and _is_sign(digits[-1], digits[-2]):
            digits = digits[:-1].copy()
            digits[-1] -= (digits[-1] >> 31) << 32
        self._digits = np.ascontiguousarray(digits)
        if not len(digits):
            self._low = 0
        return self

    def _window(self) -> Any:
        """For the core; valid until the window moves."""
        digits, nar = self._digits, self._nar
        return ffi.new(
            "bp_window *",
            (nar.size, self._low, len(digits), ffi.cast("int64_t *", digits.ctypes.data),
             ffi.cast("uint8_t *", nar.ctypes.data)),
        )  # fmt: skip

    def _allow(self, additions: int) -> None:
        """Make room for so many more additions to a digit."""
        if self._added + additions > _CARRY_DUE:
            self._carry()
        self._added += additions

    def _carry(self) -> None:
        """All digits but the topmost into 0 … 2^32-1, the topmost below 2^31 in magnitude."""
        while len(self._digits) and lib.bp_window_carry(self._window()[0]) >= 1 << 31:
            self._widen(self._low, self.window[1] + 32)
        self._added = 1

    def _widen(self, low: int, high: int) -> None:
        """See to it that 2^low ... 2^high lie inside the window."""
        low = low // 32 * 32
        if len(self._digits) == 0:
            self._low = low
        bottom = min(low, self._low)
        top = max(self.window[1], bottom + -(-(high - bottom) // 32) * 32)
        if (bottom, top) == self.window:
            return
        if top > self._layout.lsb + self._layout.width + 64:
            raise OverflowError(f"sums beyond 2^{top - 32} do not fit the window of {self._spec}")
        wide = self._zeros((top - bottom) // 32)
        at = (self._low - bottom) // 32
        wide[at : at + len(self._digits)] = self._digits
        self._low, self._digits = bottom, wide

    def _zeros(self, planes: int) -> npt.NDArray[np.int64]:
        return np.zeros((planes, self._nar.size), np.int64)

    def _add_row(
        self, first: int, step: int, values: Patterns, by: int
    ) -> tuple[int, tuple[int, int] | None]:
        """sums[first + i·step] += values[i]·by; how many are done, and the window to go on."""
        need = ffi.new("int32_t[2]")
        stride = values.strides[0] if values.size else 0
        done = lib.bp_window_add(
            core_spec(self._spec), self._window()[0], first, step, values.size, pointer(values),
            stride, int(by), need,
        )  # fmt: skip
        return done, None if done == values.size else (need[0], need[1])


def _is_sign(top: npt.NDArray[np.int64], below: npt.NDArray[np.int64]) -> bool:
    """Whether the topmost digits only repeat the sign bits of those below."""
    return bool(np.array_equal(top, -(below >> 31)))
