"""Accumulators as text: what a command line and a file's header say."""

from __future__ import annotations

import ast

from .accumulator import Accumulator
from .aligned import Aligned
from .chain import FusedChain, RoundEachStep
from .window import Quire, Window

__all__ = ["read_accumulator"]

_KINDS: dict[str, type[Accumulator]] = {
    kind.__name__: kind for kind in (Quire, Window, Aligned, FusedChain, RoundEachStep)
}


def read_accumulator(text: str) -> Accumulator:
    """Read what ``repr`` of an accumulator writes, or ``Window(-16, 15)``, or ``FusedChain``.

    >>> read_accumulator("Aligned(14, group=4)")
    Aligned(width=14, group=4, twos=False)

    Nothing is evaluated but literals. Raises ValueError for anything else.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        call = tree if isinstance(tree, ast.Call) else ast.Call(tree, [], [])
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        given = [ast.literal_eval(x) for x in call.args]
        named = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError):
        name, given, named = "", [], {}
    if name in _KINDS:
        try:
            return _KINDS[name](*given, **named)
        except TypeError:  # too few, too many, or of other names
            pass
    raise ValueError(
        f"accumulator {text[:80]!r}: possible are Quire(), Window(lsb, msb, overflow='wrap',"
        " low='trunc', sticky=False), Aligned(width, group=4, twos=False), FusedChain() and"
        " RoundEachStep()"
    )
