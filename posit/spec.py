"""The one description of a posit format, and the registry of named formats.

Source: docs/format.md; arXiv 2603.01615 (bounded posits); the Posit Standard (2022).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

__all__ = [
    "NAMED",
    "PositSpec",
    "SpecLike",
    "bposit8",
    "bposit16",
    "bposit32",
    "bposit64",
    "standard",
]

_MAX_REACH = 4096  # bits: bounds rs·2^es, so that values and quires stay of sane size
_STORAGE = tuple(np.dtype(f"int{width}") for width in (8, 16, 32, 64))


@dataclass(frozen=True, repr=False, slots=True)
class PositSpec:
    """A bounded posit format ``<n, rs, es>``; every other number about it is derived.

    Parameters
    ----------
    n : int
        Width of a pattern in bits, 3 to 64.
    rs : int
        Largest size of the regime field in bits, 2 to n-1. ``rs = n-1`` is an unbounded posit.
    es : int
        Width of the exponent field in bits, 0 to 8, with ``rs * 2**es <= 4096``.

    Raises
    ------
    TypeError
        If a parameter is not an integer.
    ValueError
        If a parameter is out of range; the text says which and what is possible.
    """

    n: int
    rs: int
    es: int

    def __post_init__(self) -> None:
        for name in ("n", "rs", "es"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise TypeError(f"PositSpec: {name} must be an integer, got {value!r}")
            object.__setattr__(self, name, int(value))
        if not 3 <= self.n <= 64:
            raise ValueError(f"PositSpec: n = {self.n}, but a pattern has 3 to 64 bits")
        if not 2 <= self.rs <= self.n - 1:
            raise ValueError(
                f"PositSpec: rs = {self.rs}, but the regime of an n = {self.n} pattern"
                f" can be bounded at 2 to {self.n - 1} bits"
            )
        if not 0 <= self.es <= 8:
            raise ValueError(f"PositSpec: es = {self.es}, but the exponent field has 0 to 8 bits")
        if self.reach > _MAX_REACH:
            raise ValueError(
                f"PositSpec: rs·2^es = {self.reach}, but at most {_MAX_REACH} is possible"
                " (it is the binary logarithm of the largest value)"
            )

    @classmethod
    def parse(cls, given: SpecLike) -> PositSpec:
        """The format that is meant by whatever the package's functions take as one.

        Parameters
        ----------
        given : PositSpec, str, or posit dtype
            Text is ``"16,6,5"``, ``"<16,6,5>"``, ``"n16_rs6_es5"`` or a name: ``bposit8/16/32/64``
            and, for any width n, ``positN`` or ``standard(N)``. A dtype of NumPy or pandas gives
            the format of its elements, a PositSpec itself.

        Raises
        ------
        TypeError
            For anything else; other dtypes are no format.
        ValueError
            If the text is no format; the message lists what is possible.
        """
        if isinstance(given, PositSpec):
            return given
        if not isinstance(given, str):
            of_dtype = getattr(given, "spec", None)
            if isinstance(of_dtype, PositSpec):
                return of_dtype
            kind = given if isinstance(given, (np.dtype, type)) else type(given).__name__
            raise TypeError(
                "expected a format: a PositSpec such as posit.bposit16, a posit dtype, or text such"
                f" as 'bposit16' or '16,6,5'; got {kind}"
            )
        key = re.sub(r"\s+", "", given).lower()
        if key in NAMED:
            return NAMED[key]
        if m := re.fullmatch(r"(?:posit(\d{1,3})|standard\(?(\d{1,3})\)?)", key):
            return standard(int(m[1] or m[2]))
        triple = re.fullmatch(r"<(\d{1,6}),(\d{1,6}),(\d{1,6})>", key) or re.fullmatch(
            r"(\d{1,6}),(\d{1,6}),(\d{1,6})|n(\d{1,6})_rs(\d{1,6})_es(\d{1,6})", key
        )
        if triple:
            return cls(*(int(g) for g in triple.groups() if g is not None))
        raise ValueError(
            f"unknown format {given!r}: give n,rs,es (such as 16,6,5 or n16_rs6_es5), one of"
            f" {', '.join(NAMED)}, or positN for the Posit Standard's format of N bits"
        )

    def __repr__(self) -> str:
        return f"<{self.n},{self.rs},{self.es}>"

    @property
    def name(self) -> str:
        """Registered name (``bposit16``, ``posit16``), or ``n16_rs6_es5`` where there is none."""
        for name, spec in NAMED.items():
            if spec == self:
                return name
        if self.is_standard:
            return f"posit{self.n}"
        return f"n{self.n}_rs{self.rs}_es{self.es}"

    @property
    def is_standard(self) -> bool:
        """Whether this is the Posit Standard's (2022) format of its width, ``<n, n-1, 2>``."""
        return self.rs == self.n - 1 and self.es == 2

    @property
    def reach(self) -> int:
        """rs·2^es: every finite non-zero magnitude lies in (2^-reach, 2^reach); in bits."""
        return self.rs << self.es

    @property
    def f_min(self) -> int:
        """Fewest fraction bits, n-1-rs-es; negative where the exponent field is cut short."""
        return self.n - 1 - self.rs - self.es

    @property
    def f_max(self) -> int:
        """Most fraction bits, max(0, n-3-es); magnitudes around 1 have them."""
        return max(0, self.n - 3 - self.es)

    @property
    def minpos(self) -> Fraction:
        """Smallest positive value, exact."""
        if self.f_min >= 0:
            return (1 + Fraction(1, 1 << self.f_min)) * Fraction(1, 1 << self.reach)
        return Fraction(1, 1 << (self.reach - (1 << -self.f_min)))

    @property
    def maxpos(self) -> Fraction:
        """Largest finite value, exact."""
        if self.f_min >= 0:
            return (2 - Fraction(1, 1 << self.f_min)) * (1 << (self.reach - 1))
        return Fraction(1 << (self.reach - (1 << -self.f_min)))

    @property
    def min_scale(self) -> int:
        """floor(log2(minpos)): the smallest power of two of any value, in bits."""
        return -self.reach if self.f_min > 0 else -self.reach + (1 << -self.f_min)

    @property
    def max_scale(self) -> int:
        """floor(log2(maxpos)): the largest power of two of any value, in bits."""
        return self.reach - (1 if self.f_min >= 0 else 1 << -self.f_min)

    @property
    def epsilon(self) -> Fraction:
        """Gap between 1 and the next larger value, exact."""
        cut = 3 + self.es - self.n  # low exponent bits that do not fit beside the shortest regime
        if cut <= 0:
            return Fraction(1, 1 << self.f_max)
        # The neighbour above 1 has the next exponent whose low `cut` bits are 0; at n = 3 no
        # exponent bit fits (cut = es) and it is the first value of regime 1: the same power.
        return Fraction((1 << (1 << cut)) - 1)

    @property
    def nar(self) -> int:
        """The pattern of NaR (not a real), -2^(n-1): the most negative n-bit integer."""
        return -(1 << (self.n - 1))

    @property
    def maxpos_pattern(self) -> int:
        """The pattern of maxpos, 2^(n-1)-1: the largest n-bit integer."""
        return (1 << (self.n - 1)) - 1

    @property
    def one(self) -> int:
        """The pattern of 1, 2^(n-2)."""
        return 1 << (self.n - 2)

    @property
    def storage(self) -> np.dtype[np.signedinteger]:
        """Smallest NumPy signed integer dtype that holds a pattern, sign-extended."""
        return _STORAGE[(self.n > 8) + (self.n > 16) + (self.n > 32)]

    @property
    def fits_float64(self) -> bool:
        """Whether every value is exactly a normal float64 (f_max <= 52 and reach <= 1022)."""
        return self.f_max <= 52 and self.reach <= 1022

    @property
    def float64_decides(self) -> bool:
        """Whether +, -, ·, / and √ computed in float64 and then rounded are rounded right.

        f_max <= 24 and reach <= 448; ctypes_src/codec.h has the proof.
        """
        return self.f_max <= 24 and self.reach <= 448


def standard(n: int) -> PositSpec:
    """Return the Posit Standard's (2022) format of width n bits, ``<n, n-1, 2>``.

    Raises ValueError unless 3 <= n <= 64.
    """
    if isinstance(n, (int, np.integer)) and not 3 <= n <= 64:
        raise ValueError(f"standard({n}): a pattern has 3 to 64 bits")
    return PositSpec(n, n - 1, 2)


bposit8 = PositSpec(8, 3, 2)
bposit16 = PositSpec(16, 6, 5)
bposit32 = PositSpec(32, 6, 5)
bposit64 = PositSpec(64, 6, 5)

SpecLike: TypeAlias = PositSpec | str | np.dtype[Any]
"""What the functions of the package take as a format; :meth:`PositSpec.parse` reads it."""

NAMED: dict[str, PositSpec] = {
    "bposit8": bposit8,
    "bposit16": bposit16,
    "bposit32": bposit32,
    "bposit64": bposit64,
}
"""Named formats. ``bposit8`` is this project's choice: the paper claims nothing for n <= 12."""
