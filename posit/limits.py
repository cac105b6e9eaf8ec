"""The limits of a posit format, under the names of ``numpy.finfo``.

>>> import posit
>>> from posit.limits import finfo
>>> finfo("bposit16")
finfo(resolution=0.01, min=-6e+57, max=6e+57, dtype=posit.dtype(16, 6, 5))
>>> finfo(posit.bposit32).eps
5.9604645e-08

``numpy.finfo`` itself takes only dtypes whose scalars derive from ``numpy.inexact``.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import floor, log10
from typing import Any

import numpy as np

from . import reference
from ._dtype import dtype as dtype_of
from .scalar import Posit
from .spec import PositSpec

__all__ = ["Limits", "finfo"]


@dataclass(frozen=True, repr=False, slots=True, kw_only=True)
class Limits:
    """What :func:`finfo` returns. Values are Posits of the format, whole numbers are int.

    Precision tapers: the names of NumPy tell what holds around 1, where it is best. A posit has no
    subnormal numbers and no infinity.

    Attributes
    ----------
    bits : width of a pattern
    dtype, spec : the format
    eps : next value above 1, less 1; epsneg : 1 less the next value below it. Rounded, exact in
        every named format; some others do not hold them, and ``spec.epsilon`` is always exact
    machep, negep : floor(log2) of the exact eps and epsneg
    nmant, f_max : fraction bits around 1, the most there are
    f_min : fraction bits at both ends of the range, the fewest; negative where the exponent is cut
        short
    precision : decimal digits that hold around 1; resolution : 10^-precision, rounded
    minpos : smallest positive value; tiny, smallest_normal, smallest_subnormal : the same
    maxpos, max : largest value; min : -max
    minexp : floor(log2 minpos); maxexp : floor(log2 maxpos) + 1
    """

    bits: int
    dtype: np.dtype[Any]
    spec: PositSpec
    eps: Posit
    epsneg: Posit
    machep: int
    negep: int
    nmant: int
    f_min: int
    precision: int
    resolution: Posit
    minpos: Posit
    maxpos: Posit
    minexp: int
    maxexp: int

    @property
    def f_max(self) -> int:
        """Most fraction bits."""
        return self.nmant

    @property
    def max(self) -> Posit:
        """Largest value."""
        return self.maxpos

    @property
    def min(self) -> Posit:
        """Least value, -max."""
        return -self.maxpos

    @property
    def tiny(self) -> Posit:
        """Smallest positive value."""
        return self.minpos

    smallest_normal = tiny
    smallest_subnormal = tiny

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution}, min={self.min}, max={self.max},"
            f" dtype={self.dtype!r})"
        )

    def __str__(self) -> str:
        return "\n".join(
            [
                f"Limits of {self.spec}, {self.bits} bits",
                f"precision = {self.precision:4}   resolution = {self.resolution}",
                f"machep    = {self.machep:4}   eps        = {self.eps}",
                f"negep     = {self.negep:4}   epsneg     = {self.epsneg}",
                f"minexp    = {self.minexp:4}   minpos     = {self.minpos}",
                f"maxexp    = {self.maxexp:4}   maxpos     = {self.maxpos}",
                f"fraction bits: {self.nmant} around 1, {self.f_min} at the ends of the range",
            ]
        )


def finfo(of: Any) -> Limits:
    """The limits of a PositSpec, the name of a format, a posit dtype, a posit array or a Posit.

    Raises TypeError for anything else, ValueError for an unknown name.
    """
    spec = of
    if isinstance(of, str):
        spec = PositSpec.parse(of)
    elif not isinstance(of, PositSpec):
        spec = getattr(getattr(of, "dtype", of), "spec", None)
    if not isinstance(spec, PositSpec):
        raise TypeError(f"finfo: expected a posit format, dtype, array or scalar, got {of!r}")
    return _limits(spec)


@cache
def _limits(spec: PositSpec) -> Limits:
    below = reference.decode(spec.one - 1, spec)
    assert below is not None
    epsneg = 1 - below
    precision = max(0, floor(-log10(spec.epsilon)))
    return Limits(
        bits=spec.n,
        dtype=dtype_of(spec),
        spec=spec,
        eps=Posit(spec.epsilon, spec),
        epsneg=Posit(epsneg, spec),
        machep=_floor_log2(spec.epsilon),
        negep=_floor_log2(epsneg),
        nmant=spec.f_max,
        f_min=spec.f_min,
        precision=precision,
        resolution=Posit(Fraction(1, 10**precision), spec),
        minpos=Posit.from_bits(1, spec),
        maxpos=Posit.from_bits(spec.maxpos_pattern, spec),
        minexp=spec.min_scale,
        maxexp=spec.max_scale + 1,
    )


def constant(spec: PositSpec, which: int) -> int | None:
    """What the slot ``NPY_DT_get_constant`` of the dtype answers: a pattern, or a whole number.

    None where NumPy asks for something that posits do not have.
    """
    limits = _limits(spec)
    whole = 1 << 16
    return {
        1: 0,
        2: spec.one,
        4: spec.maxpos_pattern,
        5: -spec.maxpos_pattern,
        8: spec.nar,
        9: reference.encode(Fraction(2), spec),
        10: limits.eps.bits,
        11: 1,
        12: 1,
        whole: limits.nmant,
        whole + 1: limits.minexp,
        whole + 2: limits.maxexp,
        whole + 3: limits.precision,
    }.get(which)


def _floor_log2(x: Fraction) -> int:
    scale = x.numerator.bit_length() - x.denominator.bit_length()
    return scale - (x < Fraction(2) ** scale)
