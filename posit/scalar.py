"""Posit: one number of any format, as a Python scalar and as the element of a posit array."""

from __future__ import annotations

import math
import numbers
import operator
import re
from collections.abc import Callable
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import Any, Self

import numpy as np

from . import codec, reference
from .spec import PositSpec

__all__ = ["NaR", "Posit"]

NaR = math.nan
"""Reads as NaR wherever a posit is made of it."""


# 2^±4096 has at most 4,200 digits; a small e in exponents, as str has it
_EXACT = Context(prec=20_000, Emax=10**6, Emin=-(10**6), capitals=0)

_ROUNDING = re.compile(r"\.\d|[a-zA-Z%]$")
"""Finds the precision or the type in a format template."""


class Posit:
    """An immutable posit.

    Parameters
    ----------
    value : number, str or Posit
        Rounded once to nearest.
    spec : PositSpec, str, optional
        May be left out where ``value`` is a Posit.

    With another Posit of the same ``<rs,es>`` family the wider format results; a Python number is
    rounded to this format first, as in NumPy. NaR equals itself and is below everything (Posit
    Standard 2022, section 5.6).
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
            bits = int(codec.convert(value.bits, value.spec, found))
        elif isinstance(value, str):
            bits = reference.from_string(value, found)
        else:
            bits = int(codec.encode(_plain(value), found))
        return cls.from_bits(bits, found)

    @classmethod
    def from_bits(cls, bits: int, spec: PositSpec) -> Self:
        """The posit of a signed pattern; ValueError if out of range, TypeError if no integer."""
        pattern = operator.index(bits)
        if not spec.nar <= pattern <= spec.maxpos_pattern:
            raise ValueError(f"{bits} is not a pattern of {spec}")
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
        return float(codec.decode(self._bits, self._spec))

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
        return hash("NaR") if self.is_nar else hash(self.as_fraction())

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
        """As for Decimal: the exact value where type or precision is given, else the shortest."""
        if not template or template[-1] == "s":
            return format(str(self), template)
        with localcontext(_EXACT):
            if self.is_nar:
                return format(Decimal("NaN"), template).replace("NaN", "NaR", 1)
            if not _ROUNDING.search(template):
                return format(Decimal(str(self)), template)
            top, bottom = self.as_integer_ratio()
            places = bottom.bit_length() - 1  # top/2^k = top·5^k/10^k: exact
            return format(Decimal(top * 5**places).scaleb(-places), template)

    # ---- order
    def _compare(self, other: Any, test: Callable[[int, int], bool]) -> Any:
        pair = _common(self, other)
        return NotImplemented if pair is None else test(pair[0], pair[1])

    def __eq__(self, other: object) -> Any:
        if isinstance(other, Posit):  # of any format: a dict of both must not raise
            same = self._bits == other._bits and self._spec == other._spec
            return same or reference.decode(self._bits, self._spec) == reference.decode(
                other._bits, other._spec
            )
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
        pair = _common(self, other)
        if pair is None:
            return NotImplemented
        a, b, spec = pair
        return Posit.from_bits(int(function(b, a, spec) if swap else function(a, b, spec)), spec)

    def __add__(self, other: Any) -> Any:
        return self._binary(other, reference.add)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._binary(other, reference.sub)

    def __rsub__(self, other: Any) -> Any:
        return self._binary(other, reference.sub, swap=True)

    def __mul__(self, other: Any) -> Any:
        return self._binary(other, reference.mul)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self._binary(other, reference.div)

    def __rtruediv__(self, other: Any) -> Any:
        return self._binary(other, reference.div, swap=True)

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
        return self if self.is_nar else Posit.from_bits(-self._bits, self._spec)

    def __pos__(self) -> Posit:
        return self

    def __abs__(self) -> Posit:
        return -self if self._bits < 0 else self


numbers.Real.register(Posit)


def _function(name: str) -> Callable[..., Any]:
    from . import functions

    return getattr(functions, name)  # type: ignore[no-any-return]


def _common(a: Posit, b: Any) -> tuple[int, int, PositSpec] | None:
    """Both patterns in one format, or None where ``b`` is no number that mixes with posits."""
    spec = a.spec
    if isinstance(b, Posit):
        if b.spec == spec:
            return a.bits, b.bits, spec
        if (b.spec.rs, b.spec.es) != (spec.rs, spec.es):
            raise TypeError(
                f"cannot mix posits of {spec} and {b.spec}: only widening within one <rs,es>"
                " family is implicit; convert one with .astype"
            )
        wide = max(spec, b.spec, key=lambda s: s.n)
        return a.astype(wide).bits, b.astype(wide).bits, wide
    if isinstance(b, (int, float, Fraction, Decimal, np.integer, np.floating, np.bool_)):
        return a.bits, int(codec.encode(_plain(b), spec)), spec
    return None


def _plain(value: Any) -> Any:
    """Booleans as the integers that they are."""
    return int(value) if isinstance(value, (bool, np.bool_)) else value
