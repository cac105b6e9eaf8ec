"""Multivectors: coefficients packed by blade, and the operations of geometric algebra."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from .. import ops
from ._packed import Packed
from ._product import multiply
from ._results import added, multiplied
from ._space import Blade, format_in, scalars

__all__ = ["Multivector"]

_WITH_TENSORS: dict[Any, str] = {
    Tensor.add: "add", Tensor.sub: "sub", Tensor.mul: "mul", Tensor.div: "truediv",
}  # fmt: skip


class Multivector(Packed):
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
    once; numbers and tensors beside it are rounded to its format first. The functions of this
    package (sandwich, exp, log, inverse, norm) say how they round.

    Attributes
    ----------
    coefficients : Tensor (..., n)
        Of the n blades, ascending by mask.
    """

    __slots__ = ()

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
        if not isinstance(other, Tensor):
            return None
        if other.is_complex():
            raise TypeError(f"coefficients are real; got a tensor of {other.dtype}")
        return other.unsqueeze(-1)

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
