"""What a multivector is apart from its numbers: algebra, blades, format.

Everything that depends on these alone happens here, on texts, so that a compiled graph takes it as
constant: which blades a result has, whether it fits where it shall go, and what is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from typing import NamedTuple, ParamSpec, TypeVar

import torch

from ._blades import (
    BILINEAR,
    Signature,
    Support,
    dual,
    generated,
    grade,
    index_of,
    masks,
    name_of,
    reverse_sign,
    set_of,
)
from ._form import name_form, support_of

__all__ = [
    "Blade", "Move", "Nature", "Space", "added", "blades_of", "format_in", "graded", "grades_in",
    "in_format", "into", "moved", "multiplied", "nature", "place_in", "placed", "scalars",
    "signature_in", "space", "support_in",
]  # fmt: skip

Blade = int | str
"""A mask, or a name such as "e12"."""

P = ParamSpec("P")
T = TypeVar("T")


class Space(NamedTuple):
    """Where the coefficients of a multivector live; ``text`` of it and back.

    ``spec`` is the format as :func:`torch_bridge.ops` writes it, "" for floats.
    """

    signature: Signature
    support: Support
    spec: str

    @property
    def text(self) -> str:
        """The space as one word."""
        return f"{self.signature.text};{set_of(self.support):x};{self.spec}"

    @property
    def names(self) -> list[str]:
        """Of the blades."""
        return [name_of(m, self.signature) for m in self.support]

    def on(self, support: Iterable[int]) -> Space:
        """The same with other blades."""
        return Space(self.signature, tuple(sorted(set(support))), self.spec)

    def check_holds(self, needed: Iterable[int], what: str) -> None:
        """Raise ValueError unless all blades that a result needs are in the space."""
        missing = [m for m in needed if m not in set(self.support)]
        if missing:
            raise ValueError(
                f"{what} has {_list(missing, self.signature)}, which the declared blades"
                f" ({_list(self.support, self.signature)}) do not hold; declare these too, or"
                " project with grade()"
            )


def _constant(function: Callable[P, T]) -> Callable[P, T]:
    """Remembered, and taken as constant by compiled graphs; arguments are texts and tuples."""
    remembered = lru_cache(maxsize=4096)(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return remembered(*args, **kwargs)  # type: ignore[arg-type]

    constant: Callable[P, T] = torch.compiler.assume_constant_result(call)
    return constant


@lru_cache(maxsize=4096)
def space(text: str) -> Space:
    """The space of that text."""
    signature, support, spec = text.split(";")
    return Space(Signature.read(signature), masks(int(support, 16)), spec)


@_constant
def support_in(text: str) -> Support:
    """The space's blades."""
    return space(text).support


@_constant
def grades_in(text: str) -> tuple[int, ...]:
    """The grades of the space's blades, ascending."""
    return tuple(sorted({grade(m) for m in space(text).support}))


@_constant
def format_in(text: str) -> str:
    """The space's format, "" for floats."""
    return space(text).spec


@_constant
def signature_in(text: str) -> tuple[int, ...]:
    """The counts of the space's algebra."""
    return tuple(space(text).signature)


@_constant
def place_in(text: str, blade: str) -> int:
    """Where the blade of that name is; -1 where the space lacks it."""
    s = space(text)
    return index_of(s.support).get(_mask(blade, s.signature), -1)


@_constant
def scalars(text: str) -> str:
    """The scalars beside a space."""
    return space(text).on((0,)).text


@_constant
def in_format(text: str, spec: str) -> str:
    """The space in another format."""
    return Space(*space(text)[:2], spec).text


def _list(support: Iterable[int], signature: Signature) -> str:
    return ", ".join(name_of(m, signature) for m in support) or "none"


def _algebra(signature: Signature) -> str:
    return f"Cl{tuple(signature)}".replace(" ", "")


# ---- blades that a caller names
def _mask(blade: Blade, signature: Signature) -> int:
    if isinstance(blade, str):
        names = {name_of(m, signature): m for m in range(signature.whole + 1)}
        if blade not in names:
            raise ValueError(
                f"{_algebra(signature)} has no blade {blade!r}; its blades are {', '.join(names)}"
            )
        return names[blade]
    if not 0 <= blade <= signature.whole:
        raise ValueError(
            f"{blade} is no blade mask of {_algebra(signature)}: masks are 0 to {signature.whole}"
        )
    return blade


@_constant
def blades_of(
    counts: str,
    grades: tuple[int, ...] | None,
    blades: tuple[Blade, ...] | None,
) -> Support:
    """The masks of these grades or blades; all masks for neither."""
    found = Signature.read(counts)
    if grades is not None and blades is not None:
        raise ValueError("give grades or blades, not both")
    if blades is not None:
        named = [_mask(b, found) for b in blades]
        if len(set(named)) < len(named):
            raise ValueError(f"blades {blades}: one is named twice")
        return tuple(sorted(named))
    for k in grades or ():
        if not 0 <= k <= sum(found):
            raise ValueError(f"{_algebra(found)} has the grades 0 to {sum(found)}, not {k}")
    return tuple(m for m in range(found.whole + 1) if grades is None or grade(m) in grades)


@_constant
def placed(
    counts: str,
    grades: tuple[int, ...] | None,
    blades: tuple[Blade, ...] | None,
    spec: str,
) -> tuple[str, list[str]]:
    """The space of these blades, and their names."""
    made = Space(Signature.read(counts), blades_of(counts, grades, blades), spec)
    return made.text, made.names


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


@_constant
def moved(name: str, text: str) -> Move:
    """The involution, or dual, of that name."""
    return _MOVES[name](space(text))


def _taken(s: Space, support: Support) -> Move:
    at = index_of(s.support)
    places = [at.get(m, len(s.support)) for m in support]
    return Move(s.on(support).text, places, [1] * len(places))


@_constant
def graded(text: str, grades: tuple[int, ...]) -> Move:
    """The projection on grades."""
    s = space(text)
    kept = set(blades_of(s.signature.text, grades, None))
    return _taken(s, tuple(m for m in s.support if m in kept))


@_constant
def into(text: str, blades: tuple[Blade, ...]) -> Move:
    """The same multivector on blades that hold it."""
    s = space(text)
    wide = s.on(blades_of(s.signature.text, None, blades))
    wide.check_holds(s.support, "the multivector")
    return _taken(s, wide.support)


@_constant
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


@_constant
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
        raise TypeError(
            f"multivectors of {_algebra(s.signature)} and {_algebra(t.signature)} do not mix"
        )
    if s.spec != t.spec:
        kinds = [f"posits of <{x.spec}>" if x.spec else "floats" for x in (s, t)]
        raise TypeError(
            f"multivectors of {kinds[0]} and of {kinds[1]} do not mix; rounded(spec) or floats()"
            " makes them alike"
        )


@_constant
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
