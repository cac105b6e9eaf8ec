"""Element-wise sums of a few arrays, exact and rounded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ._arrays import core_spec, ffi, launch_all, lib, patterns
from .codec import round_to
from .spec import PositSpec, SpecLike

__all__ = ["sum_and_rest", "sum_of"]

_TERMS = ffi.typeof("bp_addend[]")
_VALUES = np.dtype(np.float64)
Formats = SpecLike | Sequence[SpecLike]
Array = npt.NDArray[Any]


def sum_of(
    *terms: npt.ArrayLike,
    spec: Formats,
    to: SpecLike | None = None,
    factors: Sequence[float] | None = None,
    out: Array | None = None,
) -> Array:
    """The sum of the terms element by element, rounded once.

    >>> import posit
    >>> one, tiny = posit.encode([1.0, 2.0**-30], posit.bposit16)
    >>> posit.decode(posit.sum_of(one, tiny, -one, spec="bposit16"), posit.bposit16)
    np.float64(9.313225746154785e-10)

    Parameters
    ----------
    *terms : array_like of patterns, or float64 arrays
        One or more, fewer than 2^20, of any shapes that broadcast. The numbers of a float64 array
        are rounded to the term's format first.
    spec : PositSpec, posit dtype or name, or a sequence of them
        The format of all terms, or of each.
    to : PositSpec, posit dtype or name, optional
        The format of the sum; by default that of the first term.
    factors : sequence of float, optional
        One for each term, rounded to its format; products of term and factor are rounded to it too.
        Other factors than 1 need a format that ``float64_decides``.
    out : ndarray of ``to.storage`` or float64, optional
        Where to put the sum, its patterns or its values; may be, or overlap, a term.

    Returns
    -------
    ndarray of ``to.storage``; a NumPy scalar where all terms are 0-d. NaR where a term is.

    Raises TypeError for a wrong dtype, or float64 and a format that does not fit it; ValueError for
    a pattern out of range, a wrong number of formats, shapes that do not broadcast, or a wrong
    shape of ``out``; nothing is written then.

    Source: Posit Standard (2022), 5.11 (qAddP, qToP).
    """
    formats = _formats(spec, len(terms))
    results = (formats[0] if to is None else PositSpec.parse(to),)
    return _summed(terms, formats, results, (out,), factors)[0]


def sum_and_rest(
    *terms: npt.ArrayLike,
    spec: Formats,
    to: SpecLike,
    rest: SpecLike,
    factors: Sequence[float] | None = None,
    out: tuple[Array | None, Array | None] = (None, None),
) -> tuple[Array, Array]:
    """The sum of the terms rounded once to ``to``, and sum minus that, rounded once to ``rest``.

    With the rest as a term of the next sum nothing is forgotten but what ``rest`` cannot hold: the
    compensation of Kahan's, with two roundings instead of four.

    >>> import posit
    >>> total, rest, step = posit.bposit16.one, 0, posit.encode(2.0**-12, posit.bposit16)
    >>> for _ in range(4096):
    ...     total, rest = posit.sum_and_rest(
    ...         total, rest, step, spec="bposit16", to="bposit16", rest="bposit16")
    >>> posit.decode(total, posit.bposit16)
    np.float64(2.0)

    Parameters and errors are those of :func:`sum_of`; ``out`` has two places, which must not
    overlap. Both results are NaR where a term is.
    """
    results = PositSpec.parse(to), PositSpec.parse(rest)
    made = _summed(terms, _formats(spec, len(terms)), results, tuple(out), factors)
    return made[0], made[1]


def _formats(spec: Formats, count: int) -> tuple[PositSpec, ...]:
    if not 0 < count < 1 << 20:
        raise ValueError(f"a sum of {count} terms: possible are 1 to 2^20 - 1")
    if not isinstance(spec, (list, tuple)):
        return (PositSpec.parse(spec),) * count  # type: ignore[arg-type]
    if len(spec) != count:
        raise ValueError(f"{len(spec)} formats for {count} terms: give one, or one for each")
    return tuple([PositSpec.parse(x) for x in spec])


def _summed(
    terms: Sequence[npt.ArrayLike],
    formats: tuple[PositSpec, ...],
    to: tuple[PositSpec, ...],
    outs: tuple[Array | None, ...],
    factors: Sequence[float] | None,
) -> tuple[Array, ...]:
    count = len(terms)
    scales = [1.0] * count if factors is None else _scales(factors, formats)
    arrays = tuple([_term(x, f) for x, f in zip(terms, formats, strict=True)])
    dtypes = tuple([_place(out, f) for out, f in zip(outs, to, strict=True)])
    kinds = [int(d is _VALUES) for d in (*[x.dtype for x in arrays], *dtypes)]
    specs = [core_spec(f) for f in (*formats, *to)]

    def call(size: int, *places: Any) -> None:
        lines = list(zip(specs, kinds, places[::2], places[1::2], strict=True))
        given = [(s, k, x, *p) for (s, k, *p), x in zip(lines, scales, strict=False)]
        nothing = specs[-1], 0, ffi.NULL, 0
        lib.bp_sum_of(count, ffi.new(_TERMS, given), size, *[*lines[count:], nothing][:2])

    return launch_all(call, arrays, dtypes, outs)


def _scales(factors: Sequence[float], formats: tuple[PositSpec, ...]) -> list[float]:
    if len(factors) != len(formats):
        raise ValueError(f"{len(factors)} factors for {len(formats)} terms: give one for each")
    made = []
    for x, spec in zip(factors, formats, strict=True):
        if x != 1 and not spec.float64_decides:
            raise TypeError(
                f"a factor of {x} for {spec}: float64 does not round its products right"
            )
        made.append(float(round_to(x, spec)) if x != 1 else 1.0)
    return made


def _term(x: npt.ArrayLike, spec: PositSpec) -> Array:
    """Patterns; or numbers, of the one dtype object that is ``_VALUES``."""
    if not isinstance(x, np.ndarray) or x.dtype != _VALUES:
        return patterns(x, spec, "a term")
    _must_fit(spec)
    return x.view(_VALUES) if x.dtype is not _VALUES else x


def _place(out: Array | None, spec: PositSpec) -> np.dtype[Any]:
    if not isinstance(out, np.ndarray) or out.dtype is not _VALUES:
        return spec.storage
    _must_fit(spec)
    return _VALUES


def _must_fit(spec: PositSpec) -> None:
    if not spec.fits_float64:
        raise TypeError(f"{spec} does not fit float64: give patterns")
