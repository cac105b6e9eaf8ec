"""Arithmetic of pandas arrays of posits: NumPy's, once the other operand is what NumPy takes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from numbers import Number
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd  # type: ignore[import-untyped, unused-ignore]

from .scalar import NaR, Posit
from .spec import PositSpec

__all__ = ["Operators", "element", "is_missing", "is_number"]

_FRAMES = (pd.Series, pd.DataFrame, pd.Index)


def element(value: Any) -> Any:
    """As pandas shows one element: its own test for a missing scalar knows NaN, and no NaR."""
    return NaR if isinstance(value, Posit) and value.is_nar else value


def is_missing(value: Any) -> bool:
    """Whether a scalar is NaR or what pandas calls missing."""
    if isinstance(value, Posit):
        return value.is_nar
    return not pd.api.types.is_list_like(value) and bool(pd.isna(value))


def is_number(value: Any) -> bool:
    """Whether a scalar is a real number, of Python or NumPy."""
    return isinstance(value, (Number, np.bool_)) and not isinstance(value, complex)


def _comparable(other: Any) -> bool:
    return pd.api.types.is_list_like(other) or is_missing(other) or is_number(other)


class Operators:
    """What :class:`posit.pandas.PositArray` inherits its operators from."""

    _data: npt.NDArray[Any]
    _from_sequence: Callable[..., Self]

    def _operand(self, other: Any) -> Any:
        """The other operand as NumPy takes it; a number is rounded to this format, as there."""
        spec: PositSpec = self._data.dtype.spec  # type: ignore[attr-defined]
        if isinstance(other, Operators):
            other = other._data
        elif pd.api.types.is_list_like(other):
            other = np.asarray(other)
            if other.dtype == object:
                posits = any(isinstance(v, Posit) for v in other)
                other = self._from_sequence(other, dtype=None if posits else f"posit[{spec}]")._data
        elif is_missing(other):
            other = Posit(NaR, spec)
        elif is_number(other) and not isinstance(other, Posit):
            other = Posit(other, spec)
        if isinstance(other, np.ndarray) and other.ndim and other.shape != self._data.shape:
            raise ValueError(f"Lengths must match: {self._data.size} and {other.shape}")
        return other

    def _boxed(self, result: Any) -> Any:
        if isinstance(result, tuple):
            return tuple(self._boxed(x) for x in result)
        is_posit = isinstance(result, np.ndarray) and hasattr(result.dtype, "spec")
        return self._from_sequence(result) if is_posit else result

    def _apply(self, function: Callable[..., Any], other: Any, swapped: bool) -> Any:
        if isinstance(other, _FRAMES):
            return NotImplemented  # they take themselves apart and come back
        if function in (operator.eq, operator.ne) and not _comparable(other):
            return np.full(self._data.shape, function is operator.ne)
        operands = (self._data, self._operand(other))
        return self._boxed(function(*reversed(operands) if swapped else operands))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwds: Any) -> Any:
        if any(isinstance(x, _FRAMES) for x in inputs):
            return NotImplemented
        if method != "__call__" or "out" in kwds:
            return super().__array_ufunc__(ufunc, method, *inputs, **kwds)  # type: ignore[misc]
        return self._boxed(ufunc(*(self._operand(x) for x in inputs), **kwds))

    def __neg__(self) -> Self:
        return self._from_sequence(-self._data)

    def __pos__(self) -> Self:
        return self._from_sequence(+self._data)

    def __abs__(self) -> Self:
        return self._from_sequence(np.abs(self._data))


def _operator(function: Callable[..., Any], swapped: bool) -> Callable[[Operators, Any], Any]:
    def apply(self: Operators, other: Any) -> Any:
        return self._apply(function, other, swapped)

    return apply


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    setattr(Operators, f"__{_name}__", _operator(getattr(operator, _name), swapped=False))
    setattr(Operators, f"__r{_name}__", _operator(getattr(operator, _name), swapped=True))
setattr(Operators, "__divmod__", _operator(divmod, swapped=False))  # noqa: B010
setattr(Operators, "__rdivmod__", _operator(divmod, swapped=True))  # noqa: B010
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Operators, f"__{_name}__", _operator(getattr(operator, _name), swapped=False))
