"""Arrays of patterns to and from floats, integers, exact fractions, text and other specs."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from . import reference
from ._arrays import (
    Patterns,
    core_spec,
    deliver,
    is_array,
    launch,
    lib,
    patterns,
    refuse_mask,
    scalar,
)
from .spec import PositSpec, SpecLike

__all__ = [
    "convert",
    "decode",
    "encode",
    "from_fraction",
    "from_string",
    "round_to",
    "to_fraction",
    "to_string",
]

_EXACT_INT = 1 << 53  # below it every integer is a float64


def encode(
    x: npt.ArrayLike | Fraction | Decimal | np.generic,
    spec: SpecLike,
    *,
    rounding: Literal["nearest", "stochastic"] = "nearest",
    key: int | None = None,
    start: int = 0,
    out: Patterns | None = None,
) -> Patterns:
    """Round numbers to patterns of ``spec``, once.

    Parameters
    ----------
    x : array_like
        float16/32/64, integers of any width, or Python numbers: int of any size, float,
        ``Fraction``, ``Decimal`` (as an object array where an array holds them). Any shape.
    spec : PositSpec, posit dtype or name
    rounding : {"nearest", "stochastic"}
        "nearest": ties to the even pattern (Posit Standard 2022, 4.1). "stochastic": to one of
        the two neighbours, the upper one with probability linear in the value between them.
    key : int
        For "stochastic": the seed, 0 to 2^64-1. Element i of x (in C order) uses word
        ``start + i`` of the stream that ``key`` seeds, so that the result does not depend on how
        an array is split.
    start : int
        For "stochastic": the index of the first element in the stream.
    out : ndarray of spec.storage, optional
        Where to put the result.

    Returns
    -------
    ndarray of ``spec.storage`` of x's shape; a NumPy scalar where x is 0-d.

    Both roundings saturate: a non-zero finite value never becomes 0 or NaR. NaN and ±∞ become
    NaR, -0 becomes 0.

    Raises
    ------
    TypeError
        For input that is not a real number (complex, text, booleans), or a wrong ``out`` dtype.
    ValueError
        For an unknown rounding, or a key or start where they do not belong.
    """
    spec = PositSpec.parse(spec)
    s = core_spec(spec)
    source = _numbers(x)
    storage = np.dtype(spec.storage)
    if rounding == "stochastic":
        word, first = _stream(key, start)
        if source.dtype.kind == "O" or _too_wide(source):
            return _each(
                source,
                lambda v, i: reference.encode_stochastic(v, spec, word, first + i),
                storage,
                out,
            )
        return launch(
            lambda *a: lib.bp_encode_stochastic(s, *a, word, first),
            (_as_float64(source),),
            storage,
            out,
        )
    if rounding != "nearest":
        raise ValueError(f"rounding {rounding!r}: possible are 'nearest' and 'stochastic'")
    if key is not None or start != 0:
        raise ValueError("key and start belong to rounding='stochastic'")
    if source.dtype.kind == "O":
        return _each(source, lambda v, _: reference.encode(v, spec), storage, out)
    function = {
        "f4": lib.bp_encode_f32,
        "f8": lib.bp_encode_f64,
        "i8": lib.bp_encode_i64,
        "u8": lib.bp_encode_u64,
    }[source.dtype.str[1:]]
    return launch(lambda *a: function(s, *a), (source,), storage, out)


def _numbers(x: Any) -> npt.NDArray[Any]:
    """x as float32, float64, int64, uint64 or object, with the same values."""
    refuse_mask(x, "x")
    if is_array(x):
        source = np.asarray(x)
    else:
        source = np.asarray(x, dtype=object)  # NumPy would join integers and floats in float64
        if all(type(v) is float for v in source.flat):
            source = source.astype(np.float64)
    if source.dtype.kind == "O" and any(v is None for v in source.flat):
        raise TypeError("encode: cannot read None as a real number; NaR is float('nan')")
    kind, size = source.dtype.kind, source.dtype.itemsize
    if kind == "O":
        return source
    if kind == "f" and size <= 8:
        return source.astype(np.float32 if size <= 4 else np.float64, copy=False)
    if kind == "f":  # extended precision: through exact fractions
        return source.astype(object)
    if kind == "i":
        return source.astype(np.int64, copy=False)
    if kind == "u":
        return source.astype(np.uint64, copy=False)
    if source.dtype.name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):  # ml_dtypes, exact
        return source.astype(np.float32)
    raise TypeError(
        f"encode: cannot read {source.dtype.name}; possible are float16/32/64, integers and"
        " Python numbers (posit.from_string reads text)"
    )


def _as_float64(source: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # signalling NaNs are NaNs
        return source.astype(np.float64, copy=False)


def _too_wide(source: npt.NDArray[Any]) -> bool:
    """Whether an integer in it may not be exactly a float64."""
    if source.dtype.kind == "f" or source.size == 0:
        return False
    return int(source.max()) > _EXACT_INT or int(source.min()) < -_EXACT_INT


def _stream(key: int | None, start: int) -> tuple[int, int]:
    for name, value in (("key", key), ("start", start)):
        if not isinstance(value, (int, np.integer)) or not 0 <= value < 1 << 64:
            raise ValueError(
                f"rounding='stochastic' needs {name}, an integer from 0 to 2^64-1; got {value!r}"
            )
    assert key is not None
    return int(key), int(start)


def _each(
    source: npt.NDArray[Any],
    function: Callable[[Any, int], int],
    dtype: np.dtype[Any],
    out: Patterns | None,
) -> Patterns:
    """function(element, index) over any array, with the reference implementation inside."""
    made = np.array([function(v, i) for i, v in enumerate(source.flat)], dtype=dtype)
    return deliver(made.reshape(source.shape), out)


def decode(
    bits: npt.ArrayLike,
    spec: SpecLike,
    dtype: npt.DTypeLike = np.float64,
    *,
    out: npt.NDArray[Any] | None = None,
) -> npt.NDArray[Any]:
    """Values of patterns as floats of ``dtype``, rounded once.

    Parameters
    ----------
    bits : array_like of spec.storage, any shape
    spec : PositSpec, posit dtype or name
    dtype : float64 (default), float32 or float16
        float64 holds every value of a spec exactly if ``spec.fits_float64``, as it does for
        bposit8, bposit16 and bposit32. Otherwise (bposit64 has up to 57 significand bits) the
        value is rounded to nearest, ties to even, by IEEE rules; so is any value that a narrower
        dtype cannot hold: bposit16 reaches 2^±192, so float32 may overflow to ±∞.
    out : ndarray of dtype, optional

    NaR becomes a quiet NaN. Use :func:`to_fraction` for exact values of any spec.

    Raises TypeError for a wrong dtype of ``bits``, ``dtype`` or ``out``; ValueError for a pattern
    out of range.
    """
    spec = PositSpec.parse(spec)
    array = patterns(bits, spec)
    s = core_spec(spec)
    wanted = np.dtype(dtype).newbyteorder("=")
    if wanted == np.float32:
        return launch(lambda *a: lib.bp_decode_f32(s, *a), (array,), wanted, out)
    if wanted == np.float64:
        return launch(lambda *a: lib.bp_decode_f64(s, *a, 0), (array,), wanted, out)
    if wanted == np.float16:  # rounded to odd first, so that the second rounding is the only one
        wide = np.asarray(
            launch(lambda *a: lib.bp_decode_f64(s, *a, 1), (array,), np.dtype(np.float64), None)
        )
        with np.errstate(over="ignore", under="ignore"):
            narrow = wide.astype(np.float16)
        return deliver(narrow, out)
    raise TypeError(f"decode: dtype {wanted.name}: possible are float64, float32 and float16")


def convert(
    bits: npt.ArrayLike,
    from_spec: SpecLike,
    to_spec: SpecLike,
    *,
    out: Patterns | None = None,
) -> Patterns:
    """Patterns of ``to_spec`` nearest to the values of patterns of ``from_spec``, rounded once.

    Widening at the same rs and es is exact: it appends zero bits.

    Parameters
    ----------
    bits : array_like of ``from_spec.storage``, any shape
    from_spec, to_spec : PositSpec, posit dtype or name
    out : ndarray of ``to_spec.storage``, optional

    Returns
    -------
    ndarray of ``to_spec.storage`` of the shape of bits; a NumPy scalar where that is 0-d.

    Raises TypeError for a wrong dtype of ``bits`` or ``out``, ValueError for a pattern out of
    range.
    """
    from_spec, to_spec = PositSpec.parse(from_spec), PositSpec.parse(to_spec)
    array = patterns(bits, from_spec)
    f, t = core_spec(from_spec), core_spec(to_spec)
    return launch(lambda *a: lib.bp_convert(f, t, *a), (array,), np.dtype(to_spec.storage), out)


def _scalar(bit: Any, spec: PositSpec) -> int:
    array = patterns(bit, spec)
    if array.ndim:
        raise TypeError(f"expected one pattern, got an array of shape {array.shape}")
    return int(array)


def round_to(
    x: npt.ArrayLike, spec: SpecLike, *, out: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.float64]:
    """The values of the posits nearest to numbers: ``decode(encode(x))``, in one pass.

    >>> import posit
    >>> posit.round_to([0.1, 1e300], posit.bposit16).tolist()
    [0.10009765625, 6.080942306155847e+57]

    Parameters
    ----------
    x : array_like
        What :func:`encode` takes. Any shape.
    spec : PositSpec, posit dtype or name
        A format whose values are float64 numbers.
    out : ndarray of float64, optional
        Where to put the result; may be x.

    NaN stands for NaR. Raises TypeError for a format that float64 does not hold, and for input that
    is not a real number.
    """
    spec = PositSpec.parse(spec)
    if not spec.fits_float64:
        raise TypeError(f"{spec} does not fit float64: use encode, and to_fraction")
    source = _numbers(x)
    if source.dtype.kind != "f":
        return decode(encode(source, spec), spec, out=out)
    s = core_spec(spec)
    numbers = _as_float64(source)
    return launch(lambda *a: lib.bp_round_f64(s, *a), (numbers,), np.dtype(np.float64), out)


def to_fraction(bit: Any, spec: SpecLike) -> Fraction | None:
    """The exact value of one pattern (an integer, or a 0-d array), or None for NaR.

    Raises TypeError for anything else, ValueError for a pattern out of range.
    """
    spec = PositSpec.parse(spec)
    return reference.decode(_scalar(bit, spec), spec)


def from_fraction(q: Fraction | int | float | None, spec: SpecLike) -> np.signedinteger[Any]:
    """The pattern nearest to an exact value (None is NaR), as a scalar of ``spec.storage``.

    Raises TypeError where ``q`` is no real number.
    """
    spec = PositSpec.parse(spec)
    return spec.storage.type(reference.encode(q, spec))


def to_string(bits: npt.ArrayLike, spec: SpecLike) -> Any:
    """The shortest decimal that reads back as the pattern: ``str``, or an object array of them.

    Among the shortest it is the one nearest to the value; NaR is ``"NaR"``. ``bits`` has dtype
    ``spec.storage`` and any shape. Raises TypeError for another dtype, ValueError for a pattern out
    of range.
    """
    spec = PositSpec.parse(spec)
    array = patterns(bits, spec)
    if array.ndim == 0:
        return reference.to_string(int(array), spec)
    texts = np.empty(array.shape, dtype=object)
    texts.reshape(-1)[:] = [reference.to_string(int(p), spec) for p in array.flat]
    return texts


def from_string(text: Any, spec: SpecLike) -> Patterns:
    """Read decimals (``"-1.5e3"``), fractions (``"1/3"``) and ``"NaR"``, rounding once.

    ``text`` is a string or an array of strings; the patterns have its shape and ``spec.storage``.
    Raises ValueError for anything else in a string, TypeError for what is no text.
    """
    spec = PositSpec.parse(spec)
    if isinstance(text, str):
        return spec.storage.type(reference.from_string(text, spec))  # type: ignore[return-value]
    array = np.asarray(text, dtype=object)
    for t in array.flat:
        if not isinstance(t, str):
            raise TypeError(f"from_string: expected text, got {t!r} ({type(t).__name__})")
    found = [reference.from_string(t, spec) for t in array.flat]
    return scalar(np.array(found, dtype=spec.storage).reshape(array.shape))
