"""Rounding decided by MPFR, for any format: one evaluation, or intervals until their ends agree."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import Patterns, core_spec, ffi, lib, pointer
from ..spec import PositSpec
from .reals import SLACK
from .row import Row

__all__ = ["exact"]

Number = tuple[int, int, int, bool]  # sign, sig, scale: ±sig/2^63·2^scale; and whether it is NaR

_FIRST = 128  # bits of precision of the first interval: it then has 44 bits more than any boundary
_LAST = 1 << 17  # bits; 2·reach + 2n < 2^14 separate the results that lie nearest to a boundary
_FAR = 1 << 40  # |scale| beyond every format: saturates
_ZERO: Number = (1, 0, 0, False)
_NAR: Number = (1, 0, 0, True)


def exact(row: Row, spec: PositSpec, operands: Sequence[npt.NDArray[Any]]) -> Patterns:
    """The function of one-dimensional operands: patterns, then int64 where the row takes them."""
    import gmpy2  # type: ignore[import-untyped, unused-ignore]

    reals = operands[: len(row.operands)]
    nar = np.logical_or.reduce([x == spec.nar for x in reals])
    made = np.full(nar.shape, spec.nar, spec.storage)
    with gmpy2.context(precision=64, round=gmpy2.RoundToZero) as m:  # nothing of the caller's
        columns = [_numbers(x[~nar], spec, gmpy2) for x in reals]
        columns += [x[~nar].tolist() for x in operands[len(reals) :]]
        rows = list(zip(*columns, strict=True))
        found = [row.direct(m, *x) for x in rows]
    open_ = [i for i, v in enumerate(found) if v is None]
    sure = _rounded([_NAR if v is None else _number(v) for v in found], spec)
    precision = _FIRST
    while open_:
        if precision > _LAST or row.near is None:
            raise ArithmeticError(
                f"{row.name} of {[str(x) for x in rows[open_[0]]]} at {spec}: {precision} bits do"
                " not tell how it rounds; please report this"
            )
        with gmpy2.context(precision=precision, round=gmpy2.RoundToZero) as m:
            ends = [_interval(row.near(m, *rows[i])) for i in open_]
        low, high = (_rounded(list(side), spec) for side in zip(*ends, strict=True))
        sure[open_] = low
        open_ = [open_[i] for i in np.flatnonzero(low != high)]
        precision *= 2
    made[~nar] = sure
    return made


def _numbers(bits: Patterns, spec: PositSpec, gmpy2: Any) -> list[Any]:
    """Patterns as mpfr, exact: no significand has more than 62 bits."""
    packed = np.ascontiguousarray(bits)
    sig, scale = np.empty(bits.size, np.uint64), np.empty(bits.size, np.int64)
    lib.bp_to_parts(core_spec(spec), bits.size, pointer(packed), *_pointers(sig, scale))
    return [
        gmpy2.set_exp(gmpy2.mpfr(-s if p < 0 else s, 64), e + 1) if s else gmpy2.mpfr(0)
        for p, s, e in zip(packed.tolist(), sig.tolist(), scale.tolist(), strict=True)
    ]


def _pointers(sig: npt.NDArray[np.uint64], scale: npt.NDArray[np.int64]) -> tuple[Any, Any]:
    return ffi.from_buffer("uint64_t[]", sig), ffi.from_buffer("int64_t[]", scale)


def _rounded(numbers: list[Number], spec: PositSpec) -> Patterns:
    """Patterns of numbers that are exact, or rounded to odd at 64 bits."""
    if not numbers:
        return np.empty(0, spec.storage)
    signs, sigs, scales, nars = zip(*numbers, strict=True)
    sig, scale = np.array(sigs, np.uint64), np.array(scales, np.int64)
    made = np.empty(sig.size, spec.storage)
    lib.bp_from_parts(core_spec(spec), sig.size, *_pointers(sig, scale), pointer(made))
    made *= np.array(signs, spec.storage)
    made[np.array(nars)] = spec.nar
    return made


def _odd(sign: int, size: int, exponent: int, more: bool) -> Number:
    """sign·(size + something in (0, 1) if ``more``)·2^exponent, rounded to odd at 64 bits."""
    cut = size.bit_length() - 64
    if cut > 0:
        sig = size >> cut
        more = more or size & ((1 << cut) - 1) != 0
    else:
        sig = size << -cut
    return sign, sig | more, exponent + cut + 63, False


def _number(v: Any) -> Number:
    """What a ``direct`` route has returned."""
    if isinstance(v, (int, Fraction)):
        return _rational(Fraction(v))
    if isinstance(v, float) or not v.is_finite():
        return _NAR  # infinity is a pole: truncation never overflows to it
    sign = -1 if v.is_signed() else 1
    if v == 0:
        return (sign, 1 << 63, -_FAR, False) if v.rc else _ZERO
    size, exponent = v.as_mantissa_exp()
    return _odd(sign, abs(int(size)), int(exponent), v.rc != 0)


def _rational(v: Fraction) -> Number:
    if v == 0:
        return _ZERO
    top, bottom = abs(v.numerator), v.denominator
    shift = max(0, 66 - top.bit_length() + bottom.bit_length())  # the quotient has 65 bits or more
    size, rest = divmod(top << shift, bottom)
    return _odd(-1 if v < 0 else 1, size, -shift, rest != 0)


def _interval(v: Any) -> tuple[Number, Number]:
    """Both ends of what a ``near`` route's result stands for; a 0 has underflowed."""
    sign = -1 if v.is_signed() else 1
    if v == 0 or not v.is_finite():
        return ((sign, 1 << 63, -_FAR, False) if v == 0 else _NAR,) * 2
    size, exponent = v.as_mantissa_exp()
    size, exponent = abs(int(size)), int(exponent)
    ends = (size - (1 << SLACK), size + (1 << SLACK))
    low, high = (_odd(sign, end, exponent, False) for end in ends)
    return low, high
