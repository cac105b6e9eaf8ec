"""Functions of patterns, made to take posits too: these know their format, and posits come back."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np

from posit import Posit, PositSpec, bits, view
from posit.spec import SpecLike

__all__ = ["format_of", "lifted"]

F = TypeVar("F", bound=Callable[..., Any])


def format_of(spec: SpecLike | None) -> PositSpec:
    """The format of patterns; TypeError where none is given."""
    if spec is None:
        raise TypeError(
            "which format? Give it after patterns, such as posit.bposit16; posit arrays need none"
        )
    return PositSpec.parse(spec)


def lifted(*operands: str) -> Callable[[F], F]:
    """Let the parameters ``operands`` be posit arrays, Posits or lists of them, not only patterns.

    Then ``spec`` may be left out, formats of one <rs,es> family widen, Python numbers and integer
    arrays are rounded to the format as in NumPy's arithmetic, and results are posits.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if not any(map(_holds_posits, args)) and not any(map(_holds_posits, kwargs.values())):
                return function(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            given = {k: v for k, v in bound.arguments.items() if k in operands and v is not None}
            posits = [x.dtype for v in given.values() for x in _each(v) if _is_posit(x)]
            if not posits:
                return function(*args, **kwargs)
            dtype = np.result_type(*posits)
            spec = dtype.spec  # type: ignore[attr-defined]
            asked = bound.arguments.get("spec")
            if asked is not None and PositSpec.parse(asked) != spec:
                raise TypeError(
                    f"{function.__name__}: operands are posits of {spec}, the format given is"
                    f" {PositSpec.parse(asked)}; posits need none"
                )
            bound.arguments["spec"] = spec
            for name, value in given.items():
                many = isinstance(value, (list, tuple)) and any(np.ndim(x) for x in value)
                many = many and _holds_posits(value)
                made = [_patterns(x, dtype) for x in value] if many else _patterns(value, dtype)
                bound.arguments[name] = made
            return _posits(function(*bound.args, **bound.kwargs), spec)

        return cast(F, call)

    return decorate


def _is_posit(x: Any) -> bool:
    return isinstance(getattr(getattr(x, "dtype", None), "spec", None), PositSpec) and isinstance(
        x, (np.ndarray, Posit)
    )


def _each(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else (value,)


def _holds_posits(value: Any) -> bool:
    return (
        any(_is_posit(x) for x in value) if isinstance(value, (list, tuple)) else _is_posit(value)
    )


def _patterns(x: Any, dtype: Any) -> Any:
    array = np.asarray(x)
    if not _is_posit(x) and array.dtype.kind not in "biu" and not isinstance(x, float):
        raise TypeError(
            f"posits and {array.dtype} arrays do not mix: write np.array(x, {dtype!r}) to round"
        )
    return bits(array.astype(dtype, copy=False))


def _posits(result: Any, spec: PositSpec) -> Any:
    if isinstance(result, tuple):  # a Solution
        return result._replace(x=_posits(result[0], spec))  # type: ignore[attr-defined]
    if np.ndim(result) == 0:
        return Posit.from_bits(int(result), spec)
    return view(result, spec)
