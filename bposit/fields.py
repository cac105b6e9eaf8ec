"""The bit fields of one pattern (docs/format.md, "Decoding")."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from posit import PositSpec, to_fraction

__all__ = ["Fields", "split"]


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a finite non-zero pattern: (1 + f) · 2^(r·2^es + e), negated if sign is "1".

    ``regime``, ``exponent`` and ``fraction`` are strings of bits, high to low; of a negative
    pattern they are those of its two's complement, which is what decoding reads. Any of the last
    two may be shorter than its nominal width, or empty, where the pattern ends first.
    """

    sign: str
    regime: str
    exponent: str
    fraction: str
    r: int
    e: int
    f: Fraction
    cut: int  # exponent bits beyond the end of the pattern, read as 0

    @property
    def run(self) -> int:
        """Length of the regime's run of equal bits."""
        return self.r + 1 if self.r >= 0 else -self.r

    @property
    def bounded(self) -> bool:
        """Whether the run reached rs, so that no opposite bit ends it."""
        return len(self.regime) == self.run


def split(pattern: int, spec: PositSpec) -> Fields | None:
    """Cut a signed n-bit pattern into its fields; None for zero and NaR, which have none."""
    value = to_fraction(pattern, spec)
    if not value:
        return None
    # value is m/2^k with odd m or k = 0, so the bit lengths give floor(log2 |value|) exactly
    scale = value.numerator.bit_length() - value.denominator.bit_length()
    r, e = scale >> spec.es, scale & ((1 << spec.es) - 1)
    run = r + 1 if r >= 0 else -r
    regime = min(run + 1, spec.rs)
    body = f"{abs(pattern):0{spec.n - 1}b}"
    exponent = body[regime : regime + spec.es]
    return Fields(
        sign="1" if pattern < 0 else "0",
        regime=body[:regime],
        exponent=exponent,
        fraction=body[regime + spec.es :],
        r=r,
        e=e,
        f=abs(value) / Fraction(2) ** scale - 1,
        cut=spec.es - len(exponent),
    )
