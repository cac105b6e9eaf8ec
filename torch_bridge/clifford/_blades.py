"""Blades as bit masks: signs, grades, names, and what products of two blades are.

Bit i of a mask stands for basis vector i; the vectors stand in ascending order. Null vectors come
first, then those that square to +1, then those that square to -1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

__all__ = [
    "BILINEAR", "MOST", "Signature", "Support", "dual", "generated", "grade", "index_of", "masks",
    "name_of", "reverse_sign", "set_of",
]  # fmt: skip

Support = tuple[int, ...]
"""Blade masks, ascending."""

MOST = 6
"""The largest dimension: 64 blades, as many as one word has bits."""


class Signature(NamedTuple):
    """How many basis vectors square to +1, to -1, and to 0."""

    p: int
    q: int
    r: int

    def __str__(self) -> str:
        return f"Cl({self.text})"

    @property
    def text(self) -> str:
        """The counts with commas; :meth:`read` reads it."""
        return f"{self.p},{self.q},{self.r}"

    @classmethod
    def read(cls, text: str) -> Signature:
        """The signature of that text."""
        return cls(*map(int, text.split(",")))

    @property
    def squares(self) -> tuple[int, ...]:
        """Of the basis vectors, in order."""
        return (0,) * self.r + (1,) * self.p + (-1,) * self.q

    @property
    def whole(self) -> int:
        """The pseudoscalar's mask."""
        return (1 << sum(self)) - 1

    @property
    def first(self) -> int:
        """The number in the first vector's name: a single null vector is e0, others begin at e1."""
        return 0 if self.r == 1 else 1


def grade(mask: int) -> int:
    """How many basis vectors a blade has."""
    return mask.bit_count()


def reordered(a: int, b: int) -> int:
    """The sign of sorting the vectors of blade a followed by those of b."""
    swaps = 0
    while a := a >> 1:
        swaps += (a & b).bit_count()
    return -1 if swaps & 1 else 1


def reverse_sign(mask: int) -> int:
    """The sign of a blade's vectors in reverse order."""
    k = grade(mask)
    return -1 if k * (k - 1) // 2 & 1 else 1


def dual(mask: int, signature: Signature) -> tuple[int, int]:
    """(sign, other) with mask ∧ sign·other = the pseudoscalar: the complement, in any metric."""
    other = signature.whole ^ mask
    return reordered(mask, other), other


# ---- products: (signature, a, b) to (sign, mask), sign 0 where the product vanishes
Bilinear = Callable[[Signature, int, int], tuple[int, int]]


def _geometric(signature: Signature, a: int, b: int) -> tuple[int, int]:
    sign, common = reordered(a, b), a & b
    for i, square in enumerate(signature.squares):
        if common >> i & 1:
            sign *= square
    return sign, a ^ b


def _of_grade(wanted: Callable[[int, int], int]) -> Bilinear:
    """The part of the geometric product of that grade, of the operands' grades."""

    def product(signature: Signature, a: int, b: int) -> tuple[int, int]:
        sign, mask = _geometric(signature, a, b)
        return sign if grade(mask) == wanted(grade(a), grade(b)) else 0, mask

    return product


_outer = _of_grade(lambda a, b: a + b)


def _regressive(signature: Signature, a: int, b: int) -> tuple[int, int]:
    """undual(dual a ∧ dual b)."""
    (s, x), (t, y) = dual(a, signature), dual(b, signature)
    sign, mask = _outer(signature, x, y)
    other = signature.whole ^ mask
    return s * t * sign * dual(other, signature)[0], other


BILINEAR: dict[str, Bilinear] = {
    "geometric": _geometric,
    "outer": _outer,
    "inner": _of_grade(lambda a, b: abs(a - b)),
    "left": _of_grade(lambda a, b: b - a),
    "right": _of_grade(lambda a, b: a - b),
    "scalar": _of_grade(lambda a, b: 0),
    "regressive": _regressive,
}


def generated(support: Iterable[int]) -> Support:
    """The masks of all products of these blades: with the scalar, closed under products."""
    made = {0}
    for mask in support:
        made |= {mask ^ other for other in made}
    return tuple(sorted(made))


# ---- sets of blades as one number: bit m for mask m
def set_of(support: Iterable[int]) -> int:
    """The set as a number."""
    return sum(1 << mask for mask in support)


def masks(number: int) -> Support:
    """The masks in a set."""
    return tuple(m for m in range(number.bit_length()) if number >> m & 1)


def index_of(support: Support) -> dict[int, int]:
    """Mask to place."""
    return {mask: i for i, mask in enumerate(support)}


# ---- names
def name_of(mask: int, signature: Signature) -> str:
    """Such as e12; "1" for the scalar."""
    numbers = (str(i + signature.first) for i in range(sum(signature)) if mask >> i & 1)
    return "e" + "".join(numbers) if mask else "1"
