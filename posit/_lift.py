"""Functions of patterns, made to take posits too: these know their format, and posits come back.

A function of patterns is called as ``f(operands…, spec, out=None)`` with a PositSpec. What the
decorators make of it is the public function: it reads any format (:data:`posit.spec.SpecLike`),
and rounds numbers beside posits as NumPy's promotion has it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol, overload

import numpy as np
import numpy.typing as npt

from ._arrays import Patterns, refuse_mask
from .scalar import Posit
from .spec import PositSpec, SpecLike

__all__ = ["Binary", "Relation", "Ternary", "Unary", "binary", "relation", "ternary", "unary"]

Array = npt.NDArray[Any]
Compared = npt.NDArray[np.bool_]
Operand = npt.ArrayLike | Posit


class Unary(Protocol):
    """The type of functions of one posit."""

    __name__: str

    @overload
    def __call__(
        self, x: npt.ArrayLike, /, spec: SpecLike, *, out: Patterns | None = None
    ) -> Patterns: ...
    @overload
    def __call__(self, x: Operand, /, spec: None = None, *, out: Array | None = None) -> Any: ...


class Binary(Protocol):
    """The type of functions of two posits, or of a posit and an integer."""

    __name__: str

    @overload
    def __call__(
        self, a: npt.ArrayLike, b: npt.ArrayLike, /, spec: SpecLike, *, out: Patterns | None = None
    ) -> Patterns: ...
    @overload
    def __call__(
        self, a: Operand, b: Operand, /, spec: None = None, *, out: Array | None = None
    ) -> Any: ...


class Ternary(Protocol):
    """The type of functions of three posits."""

    __name__: str

    @overload
    def __call__(
        self, a: npt.ArrayLike, b: npt.ArrayLike, c: npt.ArrayLike, /, spec: SpecLike,
        *, out: Patterns | None = None,
    ) -> Patterns: ...  # fmt: skip
    @overload
    def __call__(
        self, a: Operand, b: Operand, c: Operand, /, spec: None = None, *, out: Array | None = None
    ) -> Any: ...


class Relation(Protocol):
    """The type of comparisons."""

    __name__: str

    def __call__(
        self,
        a: Operand,
        b: Operand,
        /,
        spec: SpecLike | None = None,
        *,
        out: Compared | None = None,
    ) -> Compared:
        """Whether the relation holds for each pair."""


def unary(function: Callable[..., Patterns]) -> Unary:
    """The public function of one posit."""
    made: Unary = _lifted(function)
    return made


def binary(function: Callable[..., Patterns]) -> Binary:
    """The public function of two posits, or of a posit and an integer called ``k``."""
    made: Binary = _lifted(function)
    return made


def ternary(function: Callable[..., Patterns]) -> Ternary:
    """The public function of three posits."""
    made: Ternary = _lifted(function)
    return made


def relation(function: Callable[..., Compared]) -> Relation:
    """The public comparison of two posits."""
    made: Relation = _lifted(function)
    return made


def _lifted(function: Callable[..., Any]) -> Any:
    signature = inspect.signature(function)
    names = [p.name for p in signature.parameters.values() if p.name not in ("spec", "out")]
    count = len(names)

    @wraps(function)
    def lifted(*operands: Any, spec: SpecLike | None = None, out: Any = None) -> Any:
        if len(operands) == count + 1 and spec is None:
            *operands, spec = operands  # type: ignore[assignment]
        if len(operands) != count:
            raise TypeError(
                f"{function.__name__} takes {', '.join(names)} and, for patterns, their format;"
                f" got {len(operands)} arguments"
            )
        if spec is None or any(_is_posit(x) for x in operands):
            return _of_posits(function, names, operands, spec, out)
        return function(*operands, PositSpec.parse(spec), out=out)

    positional = inspect.Parameter.POSITIONAL_ONLY
    changed: dict[str, dict[str, Any]] = {
        name: {"kind": positional, "annotation": "Operand"} for name in names
    }
    changed["spec"] = {"default": None, "annotation": "SpecLike | None"}
    lifted.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[p.replace(**changed.get(p.name, {})) for p in signature.parameters.values()]
    )
    lifted.__doc__ = _described(function, names)
    return lifted


def _is_posit(x: object) -> bool:
    return isinstance(x, Posit) or (
        isinstance(x, np.ndarray) and getattr(x.dtype, "spec", None) is not None
    )


def _of_posits(
    function: Callable[..., Any],
    names: list[str],
    given: tuple[Any, ...],
    spec: SpecLike | None,
    out: Any,
) -> Any:
    numbers = {name: _seen(x, name) for name, x in zip(names, given, strict=True) if name != "k"}
    formats = {x.dtype for x in numbers.values() if _is_posit(x)}
    if not formats:
        raise TypeError(
            f"{function.__name__}: which format? Give it after patterns, such as posit.bposit16;"
            f" without one, {' or '.join(numbers)} must be a posit array or a Posit"
        )
    if spec is not None:
        wanted = PositSpec.parse(spec)
        if not all(_is_posit(x) and x.dtype.spec == wanted for x in numbers.values()):
            raise TypeError(
                f"{function.__name__}: with a format, here {wanted}, operands are patterns or"
                " posits of that format, not both; posits need none"
            )
    common = np.result_type(*(x.dtype if _is_posit(x) else x for x in numbers.values()))
    found = getattr(common, "spec", None)
    if found is None:
        raise TypeError(f"{function.__name__}: posits do not mix with what makes {common}")
    rounded = {name: _patterns(x, common, found) for name, x in numbers.items()}
    made = function(
        *(rounded.get(name, x) for name, x in zip(names, given, strict=True)),
        found,
        out=_bits(out, common),
    )
    if out is not None:
        return out
    if made.dtype == np.bool_:
        return made
    return made.view(common) if made.ndim else Posit.from_bits(int(made), found)


def _bits(out: Any, common: np.dtype[Any]) -> Any:
    """The patterns behind ``out``; the booleans of comparisons, and nothing, as they are."""
    found = getattr(out, "dtype", None)
    if out is None or found == np.bool_:
        return out
    if found != common or not isinstance(out, np.ndarray):
        raise TypeError(f"out: expected an array of {common!r}, got {found or type(out).__name__}")
    return out.view(common.spec.storage)  # type: ignore[attr-defined]


def _seen(x: Any, name: str) -> Any:
    """An operand as NumPy sees it; a number stays one, so that promotion knows it as such."""
    refuse_mask(x, name)
    return x if isinstance(x, (Posit, np.ndarray, np.generic, int, float)) else np.asarray(x)


def _patterns(x: Any, common: np.dtype[Any], spec: PositSpec) -> Any:
    if isinstance(x, Posit):
        return spec.storage.type(x.astype(spec).bits)
    return np.asarray(x).astype(common, copy=False).view(spec.storage)


def _described(function: Callable[..., Any], names: list[str]) -> str:
    """The docstring: what the function says of itself, and what all of them have in common."""
    operands = ", ".join(name for name in names if name != "k")
    compares = function.__annotations__.get("return") == "Compared"
    integer = "k : array_like of integers\n    Of any dtype whose elements int64 holds.\n"
    returned = "bool" if compares else "posits if posits came in, else patterns: ``spec.storage``"
    return f"""{inspect.cleandoc(function.__doc__ or "")}

Parameters
----------
{operands} : posit array, Posit, or array_like of patterns
    Of any shapes that broadcast. Beside posits, Python numbers, integers and booleans are rounded
    to their format, and formats of one <rs,es> family widen.
{integer if "k" in names else ""}spec : PositSpec, posit dtype or name, optional
    The format of patterns, which have dtype ``spec.storage`` or are Python integers. Posits know
    theirs.
out : array, optional
    Where to put the result, of its dtype and shape; may be, or overlap, an operand.

Returns
-------
{returned}
    An array of the shape to which the operands broadcast, one element where all are 0-d.

Raises
------
TypeError
    For float arrays beside posits, formats that do not mix, patterns without a format or of another
    dtype, or a wrong dtype of ``out``.
ValueError
    For an integer that is no pattern, shapes that do not broadcast, or a wrong shape of ``out``.
    Nothing is written then.

Source: Posit Standard (2022), section 5; docs/format.md, docs/functions.md.
"""
