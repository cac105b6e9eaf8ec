"""The quire: one exact accumulator."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from posit import PositSpec
from posit.spec import SpecLike

from . import _serial
from ._core import INEXACT, NAR, Limbs, core_layout, core_spec, ffi, lib, patterns, resolve
from .layout import Layout

__all__ = ["Quire"]


class Quire:
    """An exact sum of posits and of products of two posits, rounded only when asked.

    >>> import posit, quire
    >>> q = quire.Quire(posit.bposit16)
    >>> big, tiny = posit.encode([1e30, 1e-30], posit.bposit16)
    >>> bool(q.add(big).fma(tiny, tiny).sub(big).round() == posit.mul(tiny, tiny, posit.bposit16))
    True

    Parameters
    ----------
    spec : PositSpec
        The format of what is accumulated and of the rounded result.
    layout : Layout or {"exact", "paper800", "standard"}, optional
        Default exact: no bit is ever lost. See :class:`quire.Layout`.

    NaR is absorbing. A value that does not fit ``layout.width`` bits becomes NaR, never a wrapped
    number; 2^31 - 1 products of any size always fit. The operands are single patterns; for arrays
    use :func:`quire.dot` and :func:`quire.sum`. Operations return the quire itself.

    Posit Standard (2022), section 5.11: ``pToQ`` is ``clear().add(p)``, ``qNegate`` is ``negate``,
    ``qAddP``/``qSubP`` are ``add``/``sub``, ``qAddQ`` is ``merge``, ``qMulAdd``/``qMulSub`` are
    ``fma``/``fms``, ``qToP`` is ``round``.

    One object is for one thread at a time; give each thread its own and merge them.
    """

    __slots__ = ("_flags", "_layout", "_limbs", "_spec")

    def __init__(self, spec: SpecLike, layout: Layout | str | None = None) -> None:
        self._spec = PositSpec.parse(spec)
        self._layout = resolve(self._spec, layout)
        self._limbs: Limbs = np.zeros(self._layout.limbs, dtype=np.uint64)
        self._flags: npt.NDArray[np.int32] = np.zeros(1, dtype=np.int32)

    @property
    def spec(self) -> PositSpec:
        """The format accumulated."""
        return self._spec

    @property
    def layout(self) -> Layout:
        """Where the bits lie."""
        return self._layout

    @property
    def is_nar(self) -> bool:
        """Whether a NaR was added, or the value overflowed the layout."""
        return bool(self._flags[0] & NAR)

    @property
    def inexact(self) -> bool:
        """Whether a product lost bits below the layout's lsb; never with an exact layout."""
        return bool(self._flags[0] & INEXACT)

    @property
    def value(self) -> Fraction | None:
        """The exact value accumulated, or None for NaR."""
        if self.is_nar:
            return None
        whole = int.from_bytes(self._limbs.astype("<u8").tobytes(), "little", signed=True)
        return whole * Fraction(2) ** self._layout.lsb

    def add(self, p: Any) -> Self:
        """Add the pattern ``p``."""
        return self._accumulate(lib.bp_quire_add, (p,), 0)

    def sub(self, p: Any) -> Self:
        """Subtract the pattern ``p``."""
        return self._accumulate(lib.bp_quire_add, (p,), 1)

    def fma(self, a: Any, b: Any) -> Self:
        """Add the product of the patterns ``a`` and ``b``."""
        return self._accumulate(lib.bp_quire_fma, (a, b), 0)

    def fms(self, a: Any, b: Any) -> Self:
        """Subtract the product of the patterns ``a`` and ``b``."""
        return self._accumulate(lib.bp_quire_fma, (a, b), 1)

    def merge(self, other: Quire) -> Self:
        """Add the value of another quire of the same spec and layout."""
        if not isinstance(other, Quire):
            raise TypeError(f"can only merge a Quire, got {type(other).__name__}")
        self._same_kind(other)
        lib.bp_quire_merge(
            core_layout(self._layout), *self._state(), other._state()[0], int(other._flags[0])
        )
        return self

    def negate(self) -> Self:
        """Change the sign."""
        lib.bp_quire_negate(core_layout(self._layout), *self._state())
        return self

    def clear(self) -> Self:
        """Set to zero and forget the flags."""
        self._limbs[:] = 0
        self._flags[:] = 0
        return self

    def round(self) -> np.signedinteger[Any]:
        """The pattern nearest to the value, ties to even: the only rounding there is."""
        bits = lib.bp_quire_round(
            core_spec(self._spec),
            core_layout(self._layout),
            self._state()[0],
            int(self._flags[0]),
        )
        return self._spec.storage.type(bits)

    def to_bytes(self) -> bytes:
        """Header with spec and layout, flags, limbs and a checksum; the same on every machine."""
        return _serial.pack(self._layout, self._limbs, self._flags)

    @classmethod
    def from_bytes(
        cls, data: bytes, spec: PositSpec | None = None, layout: Layout | str | None = None
    ) -> Quire:
        """Read what :meth:`to_bytes` wrote.

        Raises ValueError if the data is damaged or truncated, or if ``spec`` or ``layout`` is
        given and the data is of another.
        """
        found, limbs, flags = _serial.unpack(data, 1)
        if spec is not None and found.spec != spec:
            raise ValueError(f"the data is a quire of {found.spec}, expected {spec}")
        if layout is not None and resolve(found.spec, layout) != found:
            raise ValueError(f"the data has another layout: {found}")
        made = cls(found.spec, found)
        made._limbs[:], made._flags[:] = limbs, flags
        return made

    def copy(self) -> Quire:
        """An independent quire of the same value."""
        made = type(self)(self._spec, self._layout)
        made._limbs[:], made._flags[:] = self._limbs, self._flags
        return made

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Quire:
        return self.copy()

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return type(self).from_bytes, (self.to_bytes(),)

    def __eq__(self, other: object) -> bool:
        """Same spec, layout, value and flags; NaR equals NaR, as for posits."""
        if not isinstance(other, Quire):
            return NotImplemented
        return (
            self._layout == other._layout
            and bool(np.array_equal(self._limbs, other._limbs))
            and int(self._flags[0]) == int(other._flags[0])
        )

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        value = "NaR" if self.is_nar else f"{_approximate(self.value)}"
        lost = ", inexact" if self.inexact else ""
        return f"Quire({self._spec}, {value}{lost}, {self._layout.width} bits)"

    def _state(self) -> tuple[Any, Any]:
        return (
            ffi.from_buffer("uint64_t[]", self._limbs),
            ffi.from_buffer("int32_t[]", self._flags),
        )

    def _same_kind(self, other: Quire) -> None:
        if self._layout != other._layout:
            raise ValueError(f"cannot merge a {other._layout} into a {self._layout}")

    def _accumulate(self, function: Any, operands: tuple[Any, ...], negate: int) -> Self:
        found = [patterns(p, self._spec, "pattern") for p in operands]
        if any(p.ndim for p in found):
            raise TypeError("Quire takes single patterns; quire.dot and quire.sum take arrays")
        function(
            core_spec(self._spec),
            core_layout(self._layout),
            *self._state(),
            *(int(p) for p in found),
            negate,
        )
        return self


def _approximate(value: Fraction | None) -> str:
    try:
        return f"≈ {float(value or 0)!r}"
    except OverflowError:
        return "beyond float64"
