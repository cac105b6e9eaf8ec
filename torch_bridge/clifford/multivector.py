"""Multivectors: coefficients packed by blade, and the operations of geometric algebra."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from posit import PositSpec
from posit.spec import SpecLike

from .. import ops
from ._blades import Support
from ._product import multiply
from ._space import (
    Blade,
    Move,
    added,
    format_in,
    graded,
    grades_in,
    in_format,
    into,
    moved,
    multiplied,
    place_in,
    scalars,
    signature_in,
    space,
    support_in,
)

if TYPE_CHECKING:
    from .algebra import Algebra

__all__ = ["Multivector"]


_WITH_TENSORS: dict[Any, str] = {
    Tensor.add: "add", Tensor.sub: "sub", Tensor.mul: "mul", Tensor.div: "truediv",
}  # fmt: skip


class Multivector:
    """A multivector, or a batch of them; :class:`Algebra` makes them.

    >>> import torch
    >>> from torch_bridge.clifford import Cl3
    >>> a, b = Cl3.vector([1.0, 0, 0]), Cl3.vector([0.5, 2, 0])
    >>> a * b
    0.5 + 2·e12
    >>> (a ^ b).blades, (a ^ b).coefficients
    ((3, 5, 6), tensor([2., 0., 0.]))

    Only the blades that a product can have are there: which they are follows from the operands'
    blades, never from numbers. Where a result must live on given blades (``into=``), those that do
    not hold it are an error.

    Operators: ``*`` geometric, ``^`` outer, ``|`` inner, ``<<`` and ``>>`` left and right
    contraction, ``&`` regressive product, ``~`` reverse; ``+``, ``-``, and ``*``, ``/`` by numbers
    and by tensors of the batch's shape.

    On posits every coefficient of a product, sum or scaled multivector is the exact one, rounded
    once. The functions of this package (sandwich, exp, log, inverse, norm) say how they round.

    Attributes
    ----------
    coefficients : Tensor (..., n)
        Of the n blades, ascending by mask.
    """

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

    def replace(self, coefficients: Tensor) -> Multivector:
        """The same blades with other coefficients, which a format's are posits of already."""
        if coefficients.shape[-1] != self.coefficients.shape[-1]:
            raise ValueError(
                f"{coefficients.shape[-1]} coefficients for {self.coefficients.shape[-1]} blades"
            )
        return Multivector(coefficients, self._space)

    def floats(self, dtype: torch.dtype | None = None) -> Multivector:
        """The same numbers as floats, of no format."""
        x = self.coefficients
        return Multivector(x if dtype is None else x.to(dtype), in_format(self._space, ""))

    def rounded(self, spec: SpecLike) -> Multivector:
        """Coefficients rounded to posits of a format."""
        text = ops._define.text_of(spec)
        return Multivector(ops.fake_quant(self.coefficients, text), in_format(self._space, text))

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
    def _moved(self, move: Move) -> Multivector:
        x, n = self.coefficients, self.coefficients.shape[-1]
        if n in move.places:
            x = torch.cat([x, x.new_zeros(*x.shape[:-1], 1)], -1)
        if move.places != [*range(n)]:
            x = x[..., move.places]
        if -1 in move.signs:
            x = x * x.new_tensor(move.signs)
        return Multivector(x, move.space)

    def grade(self, *grades: int) -> Multivector:
        """The projection on grades: other blades are left out."""
        return self._moved(graded(self._space, grades))

    def into(self, blades: Iterable[Blade]) -> Multivector:
        """The same multivector on these blades, zero where it has none.

        Raises ValueError if it has a blade that is not among them.
        """
        return self._moved(into(self._space, tuple(blades)))

    def reverse(self) -> Multivector:
        """The vectors of each blade in reverse order; also ``~x``. Exact."""
        return self._moved(moved("reverse", self._space))

    def involute(self) -> Multivector:
        """Grade involution: odd blades negated. Exact."""
        return self._moved(moved("involute", self._space))

    def conjugate(self) -> Multivector:
        """Clifford conjugation: reverse and involution. Exact."""
        return self._moved(moved("conjugate", self._space))

    def dual(self) -> Multivector:
        """The complement: each blade b becomes the one with b ∧ dual(b) = pseudoscalar. Exact.

        It asks for no metric, so that null vectors are nothing special.
        """
        return self._moved(moved("dual", self._space))

    def undual(self) -> Multivector:
        """The inverse of :meth:`dual`."""
        return self._moved(moved("undual", self._space))

    # ---- sums and multiples
    def __neg__(self) -> Multivector:
        return self.replace(-self.coefficients)

    def __add__(self, other: Any) -> Multivector:
        x = self._like(other)
        if x is None:
            return NotImplemented
        place, support = added(self._space, x._space)
        a, b = self.into(support).coefficients, x.into(support).coefficients
        spec = format_in(place)
        return Multivector(ops.add(a, b, spec=spec) if spec else a + b, place)

    def __sub__(self, other: Any) -> Multivector:
        x = self._like(other)
        return NotImplemented if x is None else self + -x

    def __radd__(self, other: Any) -> Multivector:
        return self.__add__(other)

    def __rsub__(self, other: Any) -> Multivector:
        return (-self).__add__(other)

    def __rtruediv__(self, other: Any) -> Multivector:
        return NotImplemented

    def _like(self, other: Any) -> Multivector | None:
        """A multivector; numbers and tensors of the batch's shape are scalars. None for others."""
        if isinstance(other, Multivector):
            return other
        factor = self._factor(other)
        if factor is None:
            return None
        spec = format_in(self._space)
        return Multivector(ops.fake_quant(factor, spec) if spec else factor, scalars(self._space))

    def _factor(self, other: Any) -> Tensor | None:
        x = self.coefficients
        if isinstance(other, (int, float)):
            return x.new_full((1,), other)
        return other.unsqueeze(-1) if isinstance(other, Tensor) else None

    def _scaled(self, factor: Tensor) -> Multivector:
        spec, x = format_in(self._space), self.coefficients
        return Multivector(ops.mul(x, factor, spec=spec) if spec else x * factor, self._space)

    # ---- products
    def _product(
        self,
        kind: str,
        other: Multivector,
        grades: Iterable[int] | None = None,
        into: Iterable[Blade] | None = None,
    ) -> Multivector:
        if not isinstance(other, Multivector):
            raise TypeError(
                f"the {kind} product is of two multivectors; got {type(other).__name__}. Algebra's"
                " scalar, vector, … make them"
            )
        form, place = multiplied(
            kind,
            self._space,
            other._space,
            None if grades is None else tuple(grades),
            None if into is None else tuple(into),
        )
        made = multiply(self.coefficients, other.coefficients, form, format_in(place))
        return Multivector(made, place)

    def geometric(
        self,
        other: Multivector,
        *,
        grades: Iterable[int] | None = None,
        into: Iterable[Blade] | None = None,
    ) -> Multivector:
        """The geometric product; also ``a * b``.

        Parameters
        ----------
        grades : optional
            Only this part of it, and no more, is computed: ⟨ab⟩ of these grades.
        into : optional
            The blades of the result. All products take it.

        Raises
        ------
        TypeError
            For multivectors of two algebras, formats or dtypes.
        ValueError
            If the result can have a blade that is not in ``into``.
        """
        return self._product("geometric", other, grades, into)

    def outer(self, other: Multivector, *, into: Iterable[Blade] | None = None) -> Multivector:
        """The parts whose grades add up; also ``a ^ b``."""
        return self._product("outer", other, None, into)

    def inner(self, other: Multivector, *, into: Iterable[Blade] | None = None) -> Multivector:
        """The parts of grade |r - s|, scalars included; also ``a | b``."""
        return self._product("inner", other, None, into)

    def left_contraction(
        self, other: Multivector, *, into: Iterable[Blade] | None = None
    ) -> Multivector:
        """The parts of grade s - r; also ``a << b``."""
        return self._product("left", other, None, into)

    def right_contraction(
        self, other: Multivector, *, into: Iterable[Blade] | None = None
    ) -> Multivector:
        """The parts of grade r - s; also ``a >> b``."""
        return self._product("right", other, None, into)

    def regressive(self, other: Multivector, *, into: Iterable[Blade] | None = None) -> Multivector:
        """undual(dual a ∧ dual b), rounded once; also ``a & b``."""
        return self._product("regressive", other, None, into)

    def scalar_product(self, other: Multivector) -> Tensor:
        """⟨ab⟩₀, of the batch's shape."""
        return self._product("scalar", other, None, (0,)).coefficients[..., 0]

    def __mul__(self, other: Any) -> Multivector:
        if isinstance(other, Multivector):
            return self._product("geometric", other)
        factor = self._factor(other)
        return NotImplemented if factor is None else self._scaled(factor)

    def __rmul__(self, other: Any) -> Multivector:
        return self.__mul__(other)

    def __truediv__(self, other: Any) -> Multivector:
        factor = self._factor(other)
        if factor is None:
            return NotImplemented
        spec, x = format_in(self._space), self.coefficients
        return Multivector(ops.div(x, factor, spec=spec) if spec else x / factor, self._space)

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Tensors on the left of an operator, and in compiled code on either side."""
        if len(args) != 2 or kwargs:
            return NotImplemented
        one, other = args
        # torch.compile writes m - t and m / t so; and finds no such function in a dict
        if function is Tensor.__rsub__:
            return other.__sub__(one)
        if function is Tensor.__rtruediv__:
            return other.__truediv__(one)
        if function not in _WITH_TENSORS:
            return NotImplemented
        name = _WITH_TENSORS[function]
        if isinstance(one, Multivector):
            return getattr(one, f"__{name}__")(other)
        return getattr(other, f"__r{name}__")(one)

    __xor__ = outer
    __or__ = inner
    __lshift__ = left_contraction
    __rshift__ = right_contraction
    __and__ = regressive
    __invert__ = reverse


def _children(x: Multivector) -> tuple[list[Any], str]:
    return [x.coefficients], x._space


# so that torch.func takes and gives multivectors
pytree.register_pytree_node(
    Multivector,
    _children,
    lambda parts, place: Multivector(next(iter(parts)), place),
    serialized_type_name="torch_bridge.clifford.Multivector",
    to_dumpable_context=str,
    from_dumpable_context=str,
)
