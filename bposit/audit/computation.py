"""A NumPy function run in every format and in 1024-bit arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any, Self

import gmpy2  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt

import posit

from ..errors import BadInput
from . import recommend, report
from .exponents import Exponents
from .figures import Block, Errors, ordered_distance
from .formats import F8, Float, Format, PositFormat, parse_all
from .power import decibels
from .sweep import DEFAULT_FORMATS

__all__ = ["expression"]

_BITS = 1024  # a sum of products of float64 within 2^±200 loses nothing in them
_CONTEXT = gmpy2.context(precision=_BITS, emax=1 << 24, emin=-(1 << 24))


class _Real:
    """An element of the reference: 1024 bits, and the methods by which NumPy finds functions."""

    __slots__ = ("value",)

    value: Any  # gmpy2.mpfr

    def __init__(self, value: Any) -> None:
        with gmpy2.context(_CONTEXT):
            self.value = gmpy2.mpfr(value.value if isinstance(value, _Real) else value)

    def _with(self, function: Callable[..., Any], *others: Any) -> Any:
        if not all(isinstance(x, (_Real, int, float, np.number)) for x in others):
            return NotImplemented
        with gmpy2.context(_CONTEXT):
            values = [x.value if isinstance(x, _Real) else gmpy2.mpfr(_plain(x)) for x in others]
            return _Real(function(self.value, *values))

    def __add__(self, other: Any) -> Any:
        return self._with(lambda a, b: a + b, other)

    def __sub__(self, other: Any) -> Any:
        return self._with(lambda a, b: a - b, other)

    def __rsub__(self, other: Any) -> Any:
        return self._with(lambda a, b: b - a, other)

    def __mul__(self, other: Any) -> Any:
        return self._with(lambda a, b: a * b, other)

    def __truediv__(self, other: Any) -> Any:
        return self._with(lambda a, b: a / b, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._with(lambda a, b: b / a, other)

    def __pow__(self, other: Any) -> Any:
        return self._with(lambda a, b: a**b, other)

    def __rpow__(self, other: Any) -> Any:
        return self._with(lambda a, b: b**a, other)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Any:
        return self._with(lambda a: -a)

    def __pos__(self) -> Self:
        return self

    def __abs__(self) -> Any:
        return self._with(abs)

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < _plain(other))

    def __le__(self, other: Any) -> bool:
        return bool(self.value <= _plain(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self.value > _plain(other))

    def __ge__(self, other: Any) -> bool:
        return bool(self.value >= _plain(other))

    def __eq__(self, other: object) -> bool:
        return bool(self.value == _plain(other))

    def __hash__(self) -> int:
        return hash(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __bool__(self) -> bool:
        return bool(self.value)

    def conjugate(self) -> Self:
        return self

    def __getattr__(self, name: str) -> Any:
        if name not in _FUNCTIONS:
            raise AttributeError(name)
        return lambda: self._with(_FUNCTIONS[name])


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sqrt": gmpy2.sqrt, "cbrt": gmpy2.cbrt, "exp": gmpy2.exp, "exp2": gmpy2.exp2,
    "expm1": gmpy2.expm1, "log": gmpy2.log, "log2": gmpy2.log2, "log10": gmpy2.log10,
    "log1p": gmpy2.log1p, "sin": gmpy2.sin, "cos": gmpy2.cos, "tan": gmpy2.tan,
    "arcsin": gmpy2.asin, "arccos": gmpy2.acos, "arctan": gmpy2.atan, "sinh": gmpy2.sinh,
    "cosh": gmpy2.cosh, "tanh": gmpy2.tanh, "square": gmpy2.square,
    "reciprocal": lambda x: 1 / x, "floor": gmpy2.floor, "ceil": gmpy2.ceil, "fabs": abs,
    "rint": gmpy2.rint, "trunc": gmpy2.trunc,
}  # fmt: skip


def _plain(x: Any) -> Any:
    if isinstance(x, _Real):
        return x.value
    return x.item() if isinstance(x, np.generic) else x


def _fraction(x: Any) -> Fraction | None:
    value = x.value if isinstance(x, _Real) else gmpy2.mpfr(_plain(x))
    if not gmpy2.is_finite(value):
        return None
    above, below = value.as_integer_ratio()
    return Fraction(int(above), int(below))


def expression(
    function: Callable[..., Any],
    *args: npt.ArrayLike,
    formats: str | Iterable[str | Format] = DEFAULT_FORMATS.replace("@amax", ""),
    name: str | None = None,
    bound: float = recommend.BOUND,
) -> dict[str, Any]:
    """What a computation gives in each format, beside the exact result.

    ``function(*args)`` is called once for each format with arrays of its dtype (a posit dtype, or
    one of NumPy or ml_dtypes), and once with object arrays of 1024-bit numbers. Every format starts
    from the same numbers, the arguments, which it rounds first. Sums and products of arrays of a
    posit dtype are exact and rounded once; other dtypes sum as NumPy does.

    Parameters
    ----------
    function : callable
        Array functions on its arguments: operators, NumPy's elementary functions, sums, ``@``. It
        returns an array or number.
    args : array_like of float64
    formats : str or sequence of str
        Scaled formats have no arithmetic, and are refused.

    Returns a report of kind "expression" with one layer. Raises BadInput where the reference
    cannot be computed, a format has no arithmetic, or NumPy left the format; what the function
    itself raises is passed on.
    """
    chosen = parse_all(formats)
    given = [np.asarray(a, np.float64) for a in args]
    exact = np.asarray(function(*(_reals(a) for a in given)), dtype=object)
    wanted = [_fraction(v) for v in exact.flat]
    if not wanted:
        raise BadInput("the expression gives no number")
    near = np.array([np.nan if v is None else float(v) for v in wanted])
    rows = []
    for form in chosen:
        found, exactly = _computed(function, given, form)
        if found.shape != near.shape:
            raise BadInput(f"{form.name}: the result has {found.size} elements, not {near.size}")
        rows.append(_row(near, wanted, found, exactly, form))
    start, counts = Exponents.of(near).bins
    layer = {
        "name": name or getattr(function, "__name__", "expression"), "kind": "expression",
        "call": 0, "step": 0, "depth": 0, "shape": list(exact.shape), "sample": near.size,
        "exponents": {"start": start, "counts": counts},
        "narrowest": recommend.narrowest(rows, chosen, bound), "rows": rows,
    }  # fmt: skip
    return report.build("expression", chosen, {"bound": bound}, layers=[layer])


def _reals(x: F8) -> npt.NDArray[Any]:
    made = np.empty(x.shape, dtype=object)
    made.reshape(-1)[:] = [_Real(v) for v in x.flat]
    return made


def _computed(
    function: Callable[..., Any], given: list[F8], form: Format
) -> tuple[F8, list[Fraction | None]]:
    """The result in float64, which bposit64 exceeds, and exactly; None for what is not finite."""
    if isinstance(form, PositFormat):
        spec = form.spec
        arrays = [posit.view(np.asarray(posit.encode(x, spec)), spec) for x in given]
        made = np.asarray(function(*arrays))
        if getattr(made.dtype, "spec", None) == spec:
            bits = posit.bits(made).reshape(-1)
            exactly = [posit.to_fraction(bit, spec) for bit in bits]
            return np.asarray(posit.decode(bits, spec)), exactly
        return _whole(_no_float(made, form))
    if not isinstance(form, Float):
        raise BadInput(f"{form.name} scales whole tensors: it has no arithmetic")
    with np.errstate(all="ignore"):
        made = np.asarray(function(*(form.nearest(x).astype(form.dtype) for x in given)))
        ours = made.dtype == form.dtype
        return _whole(made.astype(np.float64) if ours else _no_float(made, form))


def _whole(made: F8) -> tuple[F8, list[Fraction | None]]:
    flat = made.reshape(-1)
    return flat, [Fraction(v) if np.isfinite(v) else None for v in flat.tolist()]


def _no_float(made: npt.NDArray[Any], form: Format) -> F8:
    """A result of another type than the format's: integers are exact, floats are refused."""
    if made.dtype.kind not in "iub":
        raise BadInput(
            f"{form.name}: the result is {made.dtype}, so that it was not computed in the format;"
            " give constants its dtype: np.asarray(2.2, x.dtype)"
        )
    return made.astype(np.float64)


def _row(
    near: F8,
    wanted: list[Fraction | None],
    found: F8,
    exactly: list[Fraction | None],
    form: Format,
) -> dict[str, Any]:
    errors = Errors()
    errors.add(Block(near), found, form)
    row = errors.row()
    both = zip(wanted, exactly, strict=True)
    pairs = [(w, v) for w, v in both if w is not None and v is not None]
    signal = sum((w * w for w, _ in pairs), Fraction(0))
    noise = sum(((v - w) ** 2 for w, v in pairs), Fraction(0))
    row["exact"] = not row["failed"] and not noise
    row["sqnr"] = decibels(signal, noise) if signal and noise and not row["failed"] else None
    row["failed"] = row["failed"] or (noise > 0 and not signal)
    return {
        "format": form.name, "accumulate": None, "n": near.size,
        "zeros": int(near.size - np.count_nonzero(near)),
        "nonfinite": int(np.count_nonzero(~np.isfinite(near))), **row,
        "ulps": ordered_distance(found, near, form), "bytes": form.bytes_of(near.shape),
    }  # fmt: skip
