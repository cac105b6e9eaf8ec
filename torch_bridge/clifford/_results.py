"""Where results live: which blades they have, whether these fit, and what is an error.

[A] the sparsity of the Cayley table stays. [ours] the blades of a result follow from the operands'
blades alone, and declared blades that do not hold them are an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ._blades import (
    BILINEAR,
    Signature,
    Support,
    dual,
    generated,
    grade,
    index_of,
    reverse_sign,
)
from ._form import name_form, support_of
from ._space import Blade, Space, blades_of, constant, space

__all__ = ["Move", "Nature", "added", "graded", "into", "moved", "multiplied", "nature"]


# ---- linear maps of one multivector that move coefficients and change signs
class Move(NamedTuple):
    """Coefficient i of the result is signs[i] times the operand's places[i]; n is a zero."""

    space: str
    places: list[int]
    signs: list[int]


def _changed(signs: Callable[[int], int]) -> Callable[[Space], Move]:
    return lambda s: Move(s.text, [*range(len(s.support))], [signs(m) for m in s.support])


def _dual(s: Space, back: bool) -> Move:
    """dual: m goes to (sign, other); undual: what dual brought to m."""
    whole = s.signature.whole
    at, new = index_of(s.support), s.on(whole ^ m for m in s.support)
    signs = [dual(m if back else whole ^ m, s.signature)[0] for m in new.support]
    return Move(new.text, [at[whole ^ m] for m in new.support], signs)


_MOVES: dict[str, Callable[[Space], Move]] = {
    "reverse": _changed(reverse_sign),
    "involute": _changed(lambda m: -1 if grade(m) & 1 else 1),
    "conjugate": _changed(lambda m: reverse_sign(m) * (-1 if grade(m) & 1 else 1)),
    "dual": lambda s: _dual(s, False),
    "undual": lambda s: _dual(s, True),
}


@constant
def moved(name: str, text: str) -> Move:
    """The involution, or dual, of that name."""
    return _MOVES[name](space(text))


def _taken(s: Space, support: Support) -> Move:
    at = index_of(s.support)
    places = [at.get(m, len(s.support)) for m in support]
    return Move(s.on(support).text, places, [1] * len(places))


@constant
def graded(text: str, grades: tuple[int, ...]) -> Move:
    """The projection on grades."""
    s = space(text)
    kept = set(blades_of(s.signature.text, grades, None))
    return _taken(s, tuple(m for m in s.support if m in kept))


@constant
def into(text: str, blades: tuple[Blade, ...]) -> Move:
    """The same multivector on blades that hold it."""
    s = space(text)
    wide = s.on(blades_of(s.signature.text, None, blades))
    wide.check_holds(s.support, "the multivector")
    return _taken(s, wide.support)


@constant
def added(a: str, b: str) -> tuple[str, Support]:
    """Where a sum lives."""
    s, t = space(a), space(b)
    _check_alike(s, t)
    both = s.on(s.support + t.support)
    return both.text, both.support


class Nature(NamedTuple):
    """What the blades alone say about all multivectors on them.

    Parameters
    ----------
    closure : str
        The space of all products of them: theirs is a subalgebra.
    by_itself : str
        The form that multiplies one by an element of the closure.
    even, odd : bool
        Whether all blades are of even, of odd grade.
    simple : bool
        Bivectors whose square is a scalar.
    scalar_norm : bool
        x ~x is a scalar.
    """

    closure: str
    by_itself: str
    even: bool
    odd: bool
    simple: bool
    scalar_norm: bool


@constant
def nature(text: str) -> Nature:
    """What a space says about its multivectors."""
    s = space(text)
    closed, parities = s.on(generated(s.support)), {grade(m) & 1 for m in s.support}
    square = support_of(s.signature, "outer", s.support, s.support)
    return Nature(
        closed.text,
        name_form(s.signature, "geometric", (s.support, closed.support, closed.support)),
        1 not in parities,
        0 not in parities,
        not square and all(grade(m) == 2 for m in s.support),
        all(_cancel(s.signature, a, b) for a in s.support for b in s.support if a < b),
    )


def _cancel(signature: Signature, a: int, b: int) -> bool:
    """Whether a ~b + b ~a = 0 for two blades."""
    left, right = (BILINEAR["geometric"](signature, x, y)[0] for x, y in ((a, b), (b, a)))
    return left * reverse_sign(b) + right * reverse_sign(a) == 0


# ---- products
def _check_alike(s: Space, t: Space) -> None:
    if s.signature != t.signature:
        raise TypeError(f"multivectors of {s.signature} and {t.signature} do not mix")
    if s.spec != t.spec:
        kinds = [f"posits of <{x.spec}>" if x.spec else "floats" for x in (s, t)]
        raise TypeError(
            f"multivectors of {kinds[0]} and of {kinds[1]} do not mix; rounded(spec) or floats()"
            " makes them alike"
        )


@constant
def multiplied(
    kind: str,
    a: str,
    b: str,
    grades: tuple[int, ...] | None = None,
    blades: tuple[Blade, ...] | None = None,
) -> tuple[str, str]:
    """(form, space) of a product, of its part of ``grades``, on ``blades`` if they hold it."""
    s, t = space(a), space(b)
    _check_alike(s, t)
    found = support_of(s.signature, kind, s.support, t.support)
    if grades is not None:
        kept = set(blades_of(s.signature.text, grades, None))
        found = tuple(m for m in found if m in kept)
    made = s.on(found)
    if blades is not None:
        made = s.on(blades_of(s.signature.text, None, blades))
        made.check_holds(found, f"the {kind} product")
    return name_form(s.signature, kind, (s.support, t.support, made.support)), made.text
