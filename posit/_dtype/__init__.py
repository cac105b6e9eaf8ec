"""Posits as a NumPy dtype: ``posit.dtype(16, 6, 5)``.

The extension module does the work; here it meets the Python side once: the scalar class, numbers
and text in both directions, and the functions behind the ufuncs that C has no loop for.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache, lru_cache
from traceback import clear_frames
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import codec, functions, reference
from .._arrays import Patterns, narrowed, patterns
from ..scalar import Posit
from ..spec import PositSpec, SpecLike
from . import _ext as _ext

__all__ = ["bits", "dtype", "view"]


def _to_bits(value: Any, spec: PositSpec) -> int:
    """Any number or text as a pattern of ``spec``, rounded once."""
    if isinstance(value, Posit):
        return value.bits if value.spec == spec else int(value.astype(spec).bits)
    if isinstance(value, (bool, np.bool_)):
        return spec.one if value else 0
    if isinstance(value, bytes):
        value = value.decode("ascii")
    if isinstance(value, str):
        return reference.from_string(value, spec)
    if isinstance(value, (complex, np.complexfloating)):
        raise TypeError(f"cannot store the complex number {value!r} as a posit; take .real first")
    return int(codec.encode(value, spec))


def _to_number(value: Any) -> tuple[int, int, int]:
    """Any number or text as (sig, scale, kind): rounded to odd at 64 bits; see dtype.h."""
    exact = _exact(value)
    if exact is None:
        return 0, 0, 2
    size = abs(exact)
    if size == 0:
        return 0, 0, 0
    scale = size.numerator.bit_length() - size.denominator.bit_length()
    scale -= size < Fraction(2) ** scale
    scaled = size * Fraction(2) ** (63 - scale)
    sig = scaled.numerator // scaled.denominator
    sig |= sig != scaled
    scale = min(max(scale, -(1 << 20)), 1 << 20)  # every format saturates long before
    return sig, scale, int(exact < 0)


def _exact(value: Any) -> Fraction | None:
    """The exact value of any number or text, None for NaR."""
    if isinstance(value, Posit):
        return None if value.is_nar else value.as_fraction()
    if isinstance(value, (bool, np.bool_)):
        return Fraction(int(value))
    if isinstance(value, (str, bytes)):
        return reference.parse(value.decode("ascii") if isinstance(value, bytes) else value)
    return reference.exact(value)


def _divmod(a: Patterns, b: Patterns, spec: PositSpec, q: Patterns, *, out: Patterns) -> None:
    quotient = functions.floor_divide(a, b, spec)
    functions.remainder(a, b, spec, out=out)
    q[...] = quotient


def _fmod(a: Patterns, b: Patterns, spec: PositSpec, *, out: Patterns) -> None:
    """The remainder of the quotient rounded towards zero: that of the magnitudes, signed as a."""
    size = functions.remainder(functions.abs(a, spec), functions.abs(b, spec), spec)
    functions.copysign(size, a, spec, out=out)


_SPECIAL: dict[str, Callable[..., Any]] = {
    "divmod": _divmod,
    "fmod": _fmod,
    "float_power": functions.pow,
}


@cache
def _function(name: str) -> Callable[..., Any]:
    """The function behind the ufunc ``name``: called as f(*inputs, spec, *outputs)."""
    if name == "constant":
        from ..limits import constant

        return constant
    function = _SPECIAL.get(name) or functions.UFUNCS[name]

    def call(*operands: Any) -> None:
        try:
            function(*operands[:-1], out=operands[-1])
        except BaseException as error:
            # Views of memory that NumPy frees soon, and that a traceback would keep.
            operands = ()
            clear_frames(error.__traceback__)
            raise

    return call


_to_text = lru_cache(1 << 16)(reference.to_string)  # each takes 40 µs and more

_ext.setup(PositSpec, Posit, Posit.from_bits, _to_bits, _to_number, _to_text, _function)


@cache
def _dtype_of(spec: PositSpec) -> np.dtype[Any]:
    made: np.dtype[Any] = _ext.PositDType(spec)
    # NumPy takes for granted that np.dtype(str(made)) is made: as_strided, np.load of records
    np.sctypeDict[str(made)] = made  # type: ignore[assignment]
    return made


def dtype(n: int | SpecLike, rs: int | None = None, es: int | None = None) -> np.dtype[Any]:
    """The NumPy dtype of a posit format: ``dtype(16, 6, 5)``, ``dtype(spec)`` or ``dtype(name)``.

    Parameters
    ----------
    n, rs, es : int
        As in :class:`posit.PositSpec`.
    n : PositSpec, name or posit dtype
        In place of the three.

    The dtype has the format as its attribute ``spec``; the same format gives the same object.
    Raises TypeError or ValueError as :class:`posit.PositSpec` does.
    """
    if not isinstance(n, (int, float, np.number)):
        if rs is not None or es is not None:
            raise TypeError("dtype takes either a format or n, rs, es")
        return _dtype_of(PositSpec.parse(n))
    if rs is None or es is None:
        raise TypeError("dtype needs n, rs and es (or a PositSpec, or a name)")
    return _dtype_of(PositSpec(n, rs, es))


def bits(a: npt.NDArray[Any] | Posit) -> Patterns:
    """The patterns of a posit array as signed integers: a view, no copy.

    Parameters
    ----------
    a : array of a posit dtype, or Posit

    Returns
    -------
    array of ``a.dtype.spec.storage`` (int8, int16, int32 or int64) that shares the memory of ``a``
    and has its shape; a NumPy integer for a Posit. The integers order as the values.

    Raises TypeError for anything else.
    """
    if isinstance(a, Posit):
        return a.spec.storage.type(a.bits)  # type: ignore[return-value]
    spec = getattr(getattr(a, "dtype", None), "spec", None)
    if spec is None:
        kind = getattr(a, "dtype", type(a).__name__)
        raise TypeError(f"bits: expected a posit array, got {kind}")
    return a.view(spec.storage)


def view(bits: npt.ArrayLike, spec: SpecLike) -> npt.NDArray[Any]:
    """Patterns as a posit array: a view, no copy, where their dtype is ``spec.storage``.

    Parameters
    ----------
    bits : array_like of patterns
        Wider signed integers (Numba's ufuncs give int64) are narrowed, which copies.
    spec : PositSpec, posit dtype or name

    Raises
    ------
    TypeError
        For another dtype: floats are rounded by ``np.array(x, posit.dtype(spec))``.
    ValueError
        For an integer outside the n-bit range.
    """
    found = PositSpec.parse(spec)
    return patterns(narrowed(bits, found, "bits"), found).view(_dtype_of(found))
