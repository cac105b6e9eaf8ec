"""Posit: one number of any format, as a Python scalar and as the element of a posit array."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Self

import numpy as np

from . import _single, codec, reference
from ._template import EXACT, laid_out
from .spec import PositSpec

__all__ = ["NaR", "Posit"]

NaR = math.nan
"""Reads as NaR wherever a posit is made of it."""


class Posit:
    """An immutable posit.

    Parameters
    ----------
    value : number, str or Posit
        Rounded once to nearest.
    spec : PositSpec, str, optional
        May be left out where ``value`` is a Posit.

    Arithmetic with another Posit of the same ``<rs,es>`` family gives the wider format; any other
    number is rounded to this format first, as in NumPy. Comparisons round nothing: a Posit equals,
    precedes and follows Posits, int, float, Fraction, Decimal and NumPy's scalars by its exact
    value, and hashes as numbers equal to it do. (Posit arrays round Python numbers before they
    compare.) NaR equals itself and is below everything, also below -∞ (Posit Standard 2022,
    section 5.6); a NaN reads as NaR, but hashes by its identity, as it does in Python.
    """

    __slots__ = ("_bits", "_spec")
    _bits: int
    _spec: PositSpec

    def __new__(cls, value: Any = 0, spec: PositSpec | str | None = None) -> Self:
        if spec is None:
            if not isinstance(value, Posit):
                raise TypeError("Posit needs a format: Posit(1.5, posit.bposit16)")
            spec = value.spec
        found = PositSpec.parse(spec)
        if isinstance(value, Posit):
            bits = _single.convert(value.bits, value.spec, found)
        elif isinstance(value, str):
            bits = reference.from_string(value, found)
        else:
            bits = _rounded(value, found)
        return cls._of(bits, found)

    @classmethod
    def from_bits(cls, bits: int, spec: PositSpec) -> Self:
        """The posit of a signed pattern; ValueError if out of range, TypeError if no integer."""
        pattern = operator.index(bits)
        if not spec.nar <= pattern <= spec.maxpos_pattern:
            raise ValueError(f"{bits} is not a pattern of {spec}")
        return cls._of(pattern, spec)

    @classmethod
    def _of(cls, pattern: int, spec: PositSpec) -> Self:
        made = object.__new__(cls)
        object.__setattr__(made, "_bits", pattern)
        object.__setattr__(made, "_spec", spec)
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a Posit is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("a Posit is immutable")

    def __reduce__(self) -> tuple[Any, tuple[int, PositSpec]]:
        return Posit.from_bits, (self._bits, self._spec)

    @property
    def bits(self) -> int:
        """The pattern, a signed integer."""
        return self._bits

    @property
    def spec(self) -> PositSpec:
        """The format."""
        return self._spec

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype."""
        from ._dtype import dtype

        return dtype(self._spec)

    shape: tuple[()] = ()
    ndim = 0
    size = 1
    __array_priority__ = -1.0  # NumPy's scalars leave operators to us, its arrays do not
    __iter__ = None

    def __getitem__(self, index: Any) -> Any:
        """``x[()]`` and ``x[...]``, as NumPy's scalars have it."""
        return np.asarray(self)[index]

    @property
    def is_nar(self) -> bool:
        """Whether this is NaR."""
        return self._bits == self._spec.nar

    def astype(self, spec: Any) -> Posit:
        """This value rounded once to another format: a PositSpec, its name, or a posit dtype."""
        return Posit(self, getattr(spec, "spec", spec))

    def item(self) -> Posit:
        """This scalar, as ``ndarray.item`` gives it."""
        return self

    # ---- to other numbers
    def as_fraction(self) -> Fraction:
        """The exact value; ValueError for NaR."""
        value = reference.decode(self._bits, self._spec)
        if value is None:
            raise ValueError("NaR is not a number")
        return value

    def as_integer_ratio(self) -> tuple[int, int]:
        """Numerator and denominator of the exact value; ValueError for NaR."""
        return self.as_fraction().as_integer_ratio()

    def is_integer(self) -> bool:
        """Whether the value is a whole number."""
        return not self.is_nar and self.as_fraction().denominator == 1

    def __float__(self) -> float:
        return _single.to_float(self._bits, self._spec)

    def __complex__(self) -> complex:
        return complex(float(self))

    def __int__(self) -> int:
        return int(self.as_fraction())

    __trunc__ = __int__

    def __floor__(self) -> int:
        return math.floor(self.as_fraction())

    def __ceil__(self) -> int:
        return math.ceil(self.as_fraction())

    def __round__(self, ndigits: int | None = None) -> int | Posit:
        if ndigits is None:
            return round(self.as_fraction())
        return self if self.is_nar else Posit(round(self.as_fraction(), ndigits), self._spec)

    def __bool__(self) -> bool:
        return self._bits != 0

    def __hash__(self) -> int:
        """That of every number equal to the exact value; all NaR have one."""
        return hash("NaR") if self.is_nar else hash(self._number())

    def _number(self) -> float | Fraction:
        """The exact value, not NaR, as the number of Python that is quickest."""
        return float(self) if self._spec.fits_float64 else self.as_fraction()

    def _decimal(self) -> Decimal:
        """The exact value, not NaR."""
        top, bottom = self.as_integer_ratio()
        places = bottom.bit_length() - 1  # top/2^k = top·5^k/10^k
        return Decimal(top * 5**places).scaleb(-places, EXACT)

    @property
    def real(self) -> Posit:
        """This number."""
        return self

    @property
    def imag(self) -> Posit:
        """Zero."""
        return Posit.from_bits(0, self._spec)

    def conjugate(self) -> Posit:
        """This number."""
        return self

    # ---- text
    def __str__(self) -> str:
        """The shortest decimal that reads back."""
        return reference.to_string(self._bits, self._spec)

    def __repr__(self) -> str:
        """The shortest decimal, in quotes where it would not read back as a Python number."""
        text = str(self)
        if self.is_nar:
            return text
        number = float(text) if "." in text or "e" in text else int(text)
        return text if reference.encode(number, self._spec) == self._bits else repr(text)

    def __format__(self, template: str) -> str:
        """As for a float, but digits are those of the exact value, whatever the format.

        Where neither type nor precision is given, they are those of ``str``.
        """
        if not template or template[-1] == "s":
            return format(str(self), template)
        try:
            if self.is_nar:
                return format(math.nan, template).replace("nan", "NaR").replace("NAN", "NaR")
            return laid_out(self._decimal(), str(self), template)
        except ValueError as error:
            raise ValueError(str(error).replace("'float'", "'Posit'")) from None

    # ---- order
    def _compare(self, other: Any, test: Callable[[Any, Any], bool]) -> Any:
        if isinstance(other, Posit):
            a, b, _ = _common(self, other)
            return test(a, b)
        if not isinstance(other, _NUMBERS):
            return NotImplemented
        number = _plain(other)
        if isinstance(number, Decimal):
            nan = number.is_nan()
        else:
            nan = isinstance(number, float) and math.isnan(number)
        if nan or self.is_nar:
            return test(not self.is_nar, not nan)
        return test(self._decimal() if isinstance(number, Decimal) else self._number(), number)

    def __eq__(self, other: object) -> Any:
        if isinstance(other, Posit):  # of any format: a dict of both must not raise
            if self._spec == other._spec or self.is_nar or other.is_nar:
                return self.is_nar == other.is_nar and (self.is_nar or self._bits == other._bits)
            return self._number() == other._number()
        if isinstance(other, (complex, np.complexfloating)):
            return other.imag == 0 and self == other.real
        return self._compare(other, operator.eq)

    def __lt__(self, other: Any) -> Any:
        return self._compare(other, operator.lt)

    def __le__(self, other: Any) -> Any:
        return self._compare(other, operator.le)

    def __gt__(self, other: Any) -> Any:
        return self._compare(other, operator.gt)

    def __ge__(self, other: Any) -> Any:
        return self._compare(other, operator.ge)

    # ---- arithmetic
    def _binary(self, other: Any, function: Callable[..., Any], swap: bool = False) -> Any:
        if not isinstance(other, _OPERANDS):
            return NotImplemented
        a, b, spec = _common(self, other)
        return Posit._of(int(function(b, a, spec) if swap else function(a, b, spec)), spec)

    def _core(self, other: Any, op: int, swap: bool = False) -> Any:
        if not isinstance(other, _OPERANDS):
            return NotImplemented
        a, b, spec = _common(self, other)
        return Posit._of(
            _single.apply(op, b, a, spec) if swap else _single.apply(op, a, b, spec), spec
        )

    def __add__(self, other: Any) -> Any:
        return self._core(other, _single.ADD)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._core(other, _single.SUB)

    def __rsub__(self, other: Any) -> Any:
        return self._core(other, _single.SUB, swap=True)

    def __mul__(self, other: Any) -> Any:
        return self._core(other, _single.MUL)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self._core(other, _single.DIV)

    def __rtruediv__(self, other: Any) -> Any:
        return self._core(other, _single.DIV, swap=True)

    def __floordiv__(self, other: Any) -> Any:
        return self._binary(other, _function("floor_divide"))

    def __rfloordiv__(self, other: Any) -> Any:
        return self._binary(other, _function("floor_divide"), swap=True)

    def __mod__(self, other: Any) -> Any:
        return self._binary(other, _function("remainder"))

    def __rmod__(self, other: Any) -> Any:
        return self._binary(other, _function("remainder"), swap=True)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __pow__(self, other: Any) -> Any:
        return self._binary(other, _function("pow"))

    def __rpow__(self, other: Any) -> Any:
        return self._binary(other, _function("pow"), swap=True)

    def __neg__(self) -> Posit:
        return self if self.is_nar else Posit._of(-self._bits, self._spec)

    def __pos__(self) -> Posit:
        return self

    def __abs__(self) -> Posit:
        return -self if self._bits < 0 else self


numbers.Real.register(Posit)


def _function(name: str) -> Callable[..., Any]:
    from . import functions

    return getattr(functions, name)  # type: ignore[no-any-return]


_NUMBERS = (int, float, Fraction, Decimal, np.integer, np.floating, np.bool_)
_OPERANDS = (Posit, *_NUMBERS)


def _common(a: Posit, b: Any) -> tuple[int, int, PositSpec]:
    """Both patterns in one format; TypeError for two formats that do not mix."""
    spec = a._spec
    if not isinstance(b, Posit):
        return a._bits, _rounded(b, spec), spec
    if b._spec == spec:
        return a._bits, b._bits, spec
    if (b._spec.rs, b._spec.es) != (spec.rs, spec.es):
        raise TypeError(
            f"cannot mix posits of {spec} and {b.spec}: only widening within one <rs,es>"
            " family is implicit; convert one with .astype"
        )
    wide = max(spec, b._spec, key=lambda s: s.n)
    return _single.convert(a._bits, spec, wide), _single.convert(b._bits, b._spec, wide), wide


def _rounded(value: Any, spec: PositSpec) -> int:
    """The pattern of any real number, rounded once."""
    if isinstance(value, float):
        return _single.from_float(value, spec)
    if type(value) is int and -(1 << 63) <= value < 1 << 63:
        return _single.from_int(value, spec)
    return int(codec.encode(int(value) if isinstance(value, (bool, np.bool_)) else value, spec))


def _plain(value: Any) -> Any:
    """A real number as one of Python's own: equal to it, and comparable to any of them."""
    if isinstance(value, (np.bool_, np.integer)):
        return int(value)
    if isinstance(value, np.longdouble) and np.isfinite(value):
        return Fraction(*value.as_integer_ratio())
    if isinstance(value, (float, np.floating)):
        return float(value)
    return value
