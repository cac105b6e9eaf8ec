"""What a multivector is apart from its numbers: algebra, blades, format.

All of it is one text, and what follows from that alone is a function of texts, remembered, so that
a compiled graph takes it as constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from typing import NamedTuple, ParamSpec, TypeVar

import torch

from ._blades import Signature, Support, grade, index_of, masks, name_of, set_of

__all__ = [
    "Blade", "Space", "blades_of", "constant", "format_in", "grades_in", "in_format", "place_in",
    "placed", "scalars", "signature_in", "space", "support_in",
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


def constant(function: Callable[P, T]) -> Callable[P, T]:
    """Remembered, and taken as constant by compiled graphs; arguments are texts and tuples."""
    remembered = lru_cache(maxsize=4096)(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return remembered(*args, **kwargs)  # type: ignore[arg-type]

    found: Callable[P, T] = torch.compiler.assume_constant_result(call)
    return found


@lru_cache(maxsize=4096)
def space(text: str) -> Space:
    """The space of that text."""
    signature, support, spec = text.split(";")
    return Space(Signature.read(signature), masks(int(support, 16)), spec)


@constant
def support_in(text: str) -> Support:
    """The space's blades."""
    return space(text).support


@constant
def grades_in(text: str) -> tuple[int, ...]:
    """The grades of the space's blades, ascending."""
    return tuple(sorted({grade(m) for m in space(text).support}))


@constant
def format_in(text: str) -> str:
    """The space's format, "" for floats."""
    return space(text).spec


@constant
def signature_in(text: str) -> tuple[int, ...]:
    """The counts of the space's algebra."""
    return tuple(space(text).signature)


@constant
def place_in(text: str, blade: str) -> int:
    """Where the blade of that name is; -1 where the space lacks it."""
    s = space(text)
    return index_of(s.support).get(_mask(blade, s.signature), -1)


@constant
def scalars(text: str) -> str:
    """The scalars beside a space."""
    return space(text).on((0,)).text


@constant
def in_format(text: str, spec: str) -> str:
    """The space in another format."""
    return Space(*space(text)[:2], spec).text


def _list(support: Iterable[int], signature: Signature) -> str:
    return ", ".join(name_of(m, signature) for m in support) or "none"


# ---- blades that a caller names
def _mask(blade: Blade, signature: Signature) -> int:
    if isinstance(blade, str):
        names = {name_of(m, signature): m for m in range(signature.whole + 1)}
        if blade not in names:
            raise ValueError(
                f"{signature} has no blade {blade!r}; its blades are {', '.join(names)}"
            )
        return names[blade]
    if not 0 <= blade <= signature.whole:
        raise ValueError(
            f"{blade} is no blade mask of {signature}: masks are 0 to {signature.whole}"
        )
    return blade


@constant
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
            raise ValueError(f"{found} has the grades 0 to {sum(found)}, not {k}")
    return tuple(m for m in range(found.whole + 1) if grades is None or grade(m) in grades)


@constant
def placed(
    counts: str,
    grades: tuple[int, ...] | None,
    blades: tuple[Blade, ...] | None,
    spec: str,
) -> tuple[str, list[str]]:
    """The space of these blades, and their names."""
    made = Space(Signature.read(counts), blades_of(counts, grades, blades), spec)
    return made.text, made.names
