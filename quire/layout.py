"""Where the bits of an exact accumulator lie, derived from the format."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index

from posit import PositSpec

__all__ = ["Layout"]

_MAX_WIDTH = 64 * 264 - 1  # bits: what the C core's working space holds (BP_MAX_LIMBS)
_CARRY_GUARD = 31  # bits: sums of up to 2^31 - 1 products of any size fit


def _check(spec: PositSpec) -> None:
    if not isinstance(spec, PositSpec):
        raise TypeError(f"expected a PositSpec such as posit.bposit16, got {spec!r}")


@dataclass(frozen=True, slots=True)
class Layout:
    """The place of every bit of a quire; read the three constructors as its derivation.

    A quire is a two's-complement integer of ``width`` bits times 2^``lsb``::

        sign | 31 carry-guard bits | span: product bits from 2^(top-1) down to 2^lsb

    Parameters
    ----------
    spec : PositSpec
        The format whose products are accumulated.
    lsb : int
        log2 of the weight of bit 0.
    top : int
        log2 of a bound on one product: below 2^top, or at most 2^top where f_min < 0.
    guard : int
        Carry-guard bits.
    """

    spec: PositSpec
    lsb: int
    top: int
    guard: int = _CARRY_GUARD

    def __post_init__(self) -> None:
        _check(self.spec)
        for name in ("lsb", "top", "guard"):
            object.__setattr__(self, name, index(getattr(self, name)))
        bound = 2 * (self.spec.max_scale + (self.spec.f_min >= 0))  # log2 of a bound on products
        if self.top < bound or self.lsb > self.top:
            raise ValueError(
                f"Layout: products of {self.spec} reach 2^{bound}, so top must be at least {bound}"
                f" and lsb at most top; got lsb = {self.lsb}, top = {self.top}"
            )
        if not 0 <= self.guard <= 64 or self.width > _MAX_WIDTH:
            raise ValueError(
                f"Layout: 0 to 64 guard bits and a width of at most {_MAX_WIDTH} are possible;"
                f" got guard = {self.guard}, width = {self.width}"
            )

    @classmethod
    def exact(cls, spec: PositSpec) -> Layout:
        """Hold every product exactly: lsb is the square of minpos's last bit.

        f_min >= 0: minpos = (1 + 2^-f_min)·2^-reach, so its last bit weighs 2^(-reach-f_min), and
        maxpos < 2^reach. f_min < 0: minpos = 2^-(reach - 2^-f_min) = 1/maxpos is its own last bit.
        Source: docs/quire.md, "How wide".
        """
        _check(spec)
        if spec.f_min >= 0:
            return cls(spec, lsb=2 * (-spec.reach - spec.f_min), top=2 * spec.reach)
        edge = spec.reach - (1 << -spec.f_min)  # log2(maxpos) = -log2(minpos)
        return cls(spec, lsb=-2 * edge, top=2 * edge)

    @classmethod
    def paper800(cls, spec: PositSpec) -> Layout:
        """The 800 bits of arXiv 2603.01615 for ``<n,6,5>``: 1 + 31 + 384 + 384.

        Bit 0 weighs 2^-384, so a product of two values of the outermost regime can have 2(n-12)
        bits below it. Those are dropped from its magnitude before it is added, and the quire's
        ``inexact`` flag is set if one was 1. The paper does not say what happens to them; this is
        this project's choice. Nothing is lost while every operand is 0 or at least 2^(n-204) in
        magnitude: its last bit then weighs at least 2^-192.

        Raises ValueError unless the format is ``<n,6,5>`` with n > 12.
        """
        _check(spec)
        if (spec.rs, spec.es) != (6, 5) or spec.n <= 12:
            raise ValueError(f"paper800 is the layout of <n,6,5> with n > 12, not of {spec}")
        return cls(spec, lsb=-2 * spec.reach, top=2 * spec.reach)

    @classmethod
    def standard(cls, spec: PositSpec) -> Layout:
        """The Posit Standard's (2022) quire, 16n bits from 2^(16-8n) up; equal to ``exact``.

        Raises ValueError unless the format is ``standard(n)``.
        """
        _check(spec)
        if not spec.is_standard:
            raise ValueError(
                f"Layout.standard is for the Posit Standard's formats <n,n-1,2>, not {spec};"
                " Layout.exact serves every format"
            )
        return cls(spec, lsb=16 - 8 * spec.n, top=8 * spec.n - 16)

    @property
    def span(self) -> int:
        """Bits that products need, top - lsb."""
        return self.top - self.lsb

    @property
    def width(self) -> int:
        """Bits with sign and carry guard, 1 + guard + span; a value beyond them becomes NaR."""
        return 1 + self.guard + self.span

    @property
    def limbs(self) -> int:
        """64-bit limbs in memory: ``width`` and at least one spare bit, so that no sum wraps."""
        return self.width // 64 + 1

    @property
    def capacity(self) -> int:
        """Products that can be summed whatever their size: 2^guard - 1."""
        return (1 << self.guard) - 1

    @property
    def is_exact(self) -> bool:
        """Whether no product can lose a bit."""
        return self.lsb <= Layout.exact(self.spec).lsb

    def __str__(self) -> str:
        return (
            f"quire of {self.spec}: {self.width} bits ="
            f" 1 sign + {self.guard} guard + {self.span} span, 2^{self.lsb} to 2^{self.top},"
            f" {self.limbs} limbs{'' if self.is_exact else ', drops product bits below'}"
        )
