"""Coefficients packed by blade: what moves, drops, negates and prints them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from posit import PositSpec
from posit.spec import SpecLike

from .. import ops
from ..ops._define import text_of
from ._blades import Support
from ._results import Move, graded, into, moved
from ._space import (
    Blade,
    format_in,
    grades_in,
    in_format,
    place_in,
    signature_in,
    space,
    support_in,
)

if TYPE_CHECKING:
    from .algebra import Algebra

__all__ = ["Packed"]


class Packed:
    """The part of :class:`Multivector` that asks for no arithmetic."""

    __slots__ = ("_space", "coefficients")

    def __init__(self, coefficients: Tensor, place: str) -> None:
        self.coefficients = coefficients
        self._space = place

    # ---- what it is
    @property
    def algebra(self) -> Algebra:
        """Its algebra."""
        from .algebra import Algebra

        return Algebra(*signature_in(self._space))

    @property
    def blades(self) -> Support:
        """The masks of its blades, ascending."""
        return support_in(self._space)

    @property
    def grades(self) -> tuple[int, ...]:
        """The grades of its blades, ascending."""
        return grades_in(self._space)

    @property
    def spec(self) -> PositSpec | None:
        """The format of its coefficients; None for floats."""
        text = format_in(self._space)
        return PositSpec.parse(text) if text else None

    @property
    def shape(self) -> torch.Size:
        """Of the batch."""
        return self.coefficients.shape[:-1]

    def replace(self, coefficients: Tensor) -> Self:
        """The same blades with other coefficients, which a format's are posits of already."""
        if coefficients.shape[-1] != self.coefficients.shape[-1]:
            raise ValueError(
                f"{coefficients.shape[-1]} coefficients for {self.coefficients.shape[-1]} blades"
            )
        return type(self)(coefficients, self._space)

    def floats(self, dtype: torch.dtype | None = None) -> Self:
        """The same numbers as floats, of no format."""
        x = self.coefficients
        return type(self)(x if dtype is None else x.to(dtype), in_format(self._space, ""))

    def rounded(self, spec: SpecLike) -> Self:
        """Coefficients rounded to posits of a format."""
        text = text_of(spec)
        return type(self)(ops.fake_quant(self.coefficients, text), in_format(self._space, text))

    def __getitem__(self, index: Any) -> Any:
        """A blade's coefficient by its name (zero if it lacks it); else a part of the batch."""
        if isinstance(index, str):
            place, x = place_in(self._space, index), self.coefficients
            return x.new_zeros(x.shape[:-1]) if place < 0 else x[..., place]
        parts = index if isinstance(index, tuple) else (index,)
        if not any(part is Ellipsis for part in parts):
            parts = (*parts, Ellipsis)
        return self.replace(self.coefficients[(*parts, slice(None))])

    def __repr__(self) -> str:
        names = space(self._space).names
        if self.shape:
            kind = self.spec or str(self.coefficients.dtype).removeprefix("torch.")
            return (
                f"Multivector of {self.algebra}, {kind}, batch {tuple(self.shape)}:"
                f" {' '.join(names)}"
            )
        terms = [
            f"{x:.6g}" if name == "1" else f"{x:.6g}·{name}"
            for x, name in zip(self.coefficients.tolist(), names, strict=True)
            if x
        ]
        return " + ".join(terms) or "0"

    # ---- blades
    def _moved(self, move: Move) -> Self:
        x, n = self.coefficients, self.coefficients.shape[-1]
        if n in move.places:
            x = torch.cat([x, x.new_zeros(*x.shape[:-1], 1)], -1)
        if move.places != [*range(n)]:
            x = x[..., move.places]
        if -1 in move.signs:
            x = x * x.new_tensor(move.signs)
        return type(self)(x, move.space)

    def grade(self, *grades: int) -> Self:
        """The projection on grades: other blades are left out."""
        return self._moved(graded(self._space, grades))

    def into(self, blades: Iterable[Blade]) -> Self:
        """The same multivector on these blades, zero where it has none.

        Raises ValueError if it has a blade that is not among them.
        """
        return self._moved(into(self._space, tuple(blades)))

    def reverse(self) -> Self:
        """The vectors of each blade in reverse order; also ``~x``. Exact."""
        return self._moved(moved("reverse", self._space))

    __invert__ = reverse

    def involute(self) -> Self:
        """Grade involution: odd blades negated. Exact."""
        return self._moved(moved("involute", self._space))

    def conjugate(self) -> Self:
        """Clifford conjugation: reverse and involution. Exact."""
        return self._moved(moved("conjugate", self._space))

    def dual(self) -> Self:
        """The complement: each blade b becomes the one with b ∧ dual(b) = pseudoscalar. Exact.

        It asks for no metric, so that null vectors are nothing special.
        """
        return self._moved(moved("dual", self._space))

    def undual(self) -> Self:
        """The inverse of :meth:`dual`."""
        return self._moved(moved("undual", self._space))
