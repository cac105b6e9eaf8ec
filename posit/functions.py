"""The functions of the Posit Standard (2022), section 5, correctly rounded for every spec.

>>> import numpy as np
>>> import posit
>>> from posit import bposit16, functions
>>> a = np.array([0.5, 2, -1], dtype=posit.dtype(bposit16))
>>> functions.exp_minus_1(a)
array([0.648, 6.39, -0.633], dtype=posit.dtype(16, 6, 5))
>>> x = posit.encode([0.5, 2, -1], bposit16)
>>> posit.decode(functions.log(x, bposit16), bposit16)
array([-0.69335938,  0.69335938,         nan])

Every function takes posit arrays and Posits, and returns posits; or arrays of patterns (dtype
``spec.storage``; Python integers are taken too) and their format, and returns patterns. Operands
are broadcast, and each exact result is rounded once. NaR gives NaR, and so does every argument at
which the function is not real or has no single limit. ``out`` may be, or overlap, an input.

Names are Python's (``exp_minus_1``). The standard's own (``expMinus1``) are attributes of this
module too; :data:`STANDARD` lists them, and :data:`UFUNCS` NumPy's names. All of them are
attributes of :mod:`posit` as well.

Errors, in every function: TypeError for a dtype other than ``spec.storage``; ValueError for a
pattern outside the n-bit range, shapes that do not broadcast, or a wrong ``out``. Nothing is
written then.

How, how surely and how fast: docs/functions.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from ._arrays import Patterns
from ._functions.engine import apply
from ._functions.make import abscissa_first, binary, unary
from ._functions.order import (
    compare_equal,
    compare_greater,
    compare_greater_equal,
    compare_less,
    compare_less_equal,
    compare_not_equal,
    copysign,
    next,
    nextafter,
    prior,
    sign,
)
from ._functions.rows import ROWS
from ._lift import binary as _binary
from ._lift import ternary as _ternary
from ._lift import unary as _unary
from .arithmetic import abs, add, div, mul, sqrt, sub
from .arithmetic import neg as negate
from .spec import PositSpec

__all__ = [
    "STANDARD", "UFUNCS", "abs", "add", "arc_cos", "arc_cos_h", "arc_cos_pi", "arc_sin",
    "arc_sin_h", "arc_sin_pi", "arc_tan", "arc_tan2", "arc_tan2_pi", "arc_tan_h", "arc_tan_pi",
    "cbrt", "ceil", "compare_equal", "compare_greater", "compare_greater_equal", "compare_less",
    "compare_less_equal", "compare_not_equal", "compound", "copysign", "cos", "cos_h", "cos_pi",
    "div", "exp", "exp2", "exp2_minus_1", "exp10", "exp10_minus_1", "exp_minus_1", "f_mm", "floor",
    "floor_divide", "hypot", "log", "log2", "log2_plus_1", "log10", "log10_plus_1", "log_plus_1",
    "mul", "nearest_int", "negate", "next", "nextafter", "pow", "prior", "r_sqrt", "reciprocal",
    "remainder", "root_n", "sign", "sin", "sin_h", "sin_pi", "sqrt", "square", "sub", "tan",
    "tan_h", "tan_pi", "trunc",
]  # fmt: skip

nearest_int = unary("nearest_int")
ceil = unary("ceil")
floor = unary("floor")
trunc = unary("trunc")
r_sqrt = unary("r_sqrt")
cbrt = unary("cbrt")
exp = unary("exp")
exp_minus_1 = unary("exp_minus_1")
exp2 = unary("exp2")
exp2_minus_1 = unary("exp2_minus_1")
exp10 = unary("exp10")
exp10_minus_1 = unary("exp10_minus_1")
log = unary("log")
log_plus_1 = unary("log_plus_1")
log2 = unary("log2")
log2_plus_1 = unary("log2_plus_1")
log10 = unary("log10")
log10_plus_1 = unary("log10_plus_1")
sin = unary("sin")
sin_pi = unary("sin_pi")
cos = unary("cos")
cos_pi = unary("cos_pi")
tan = unary("tan")
tan_pi = unary("tan_pi")
arc_sin = unary("arc_sin")
arc_sin_pi = unary("arc_sin_pi")
arc_cos = unary("arc_cos")
arc_cos_pi = unary("arc_cos_pi")
arc_tan = unary("arc_tan")
arc_tan_pi = unary("arc_tan_pi")
sin_h = unary("sin_h")
cos_h = unary("cos_h")
tan_h = unary("tan_h")
arc_sin_h = unary("arc_sin_h")
arc_cos_h = unary("arc_cos_h")
arc_tan_h = unary("arc_tan_h")

hypot = binary("hypot")
pow = binary("pow")
floor_divide = binary("floor_divide")
remainder = binary("remainder")


@_binary
def arc_tan2(
    y: npt.ArrayLike, x: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None
) -> Patterns:
    """The angle of (x, y) from the x axis, in (-π, π], rounded once; NaR at (0, 0).

    The ordinate comes first, as in NumPy, C and Fortran. The standard's ``arcTan2(x, y)`` takes it
    second.
    """
    return apply(ROWS["arc_tan2"], spec, (y, x), out)


@_binary
def arc_tan2_pi(
    y: npt.ArrayLike, x: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None
) -> Patterns:
    """:func:`arc_tan2` over π, in (-1, 1], rounded once."""
    return apply(ROWS["arc_tan2_pi"], spec, (y, x), out)


@_ternary
def f_mm(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    c: npt.ArrayLike,
    spec: PositSpec,
    *,
    out: Patterns | None = None,
) -> Patterns:
    """a · b · c, rounded once."""
    return apply(ROWS["f_mm"], spec, (a, b, c), out)


@_binary
def compound(
    x: npt.ArrayLike, k: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None
) -> Patterns:
    """(1 + x)^k for integers k (int64), rounded once.

    1 for k = 0, also at x = -1; NaR at x = -1 for k < 0. 1 + x may be negative.
    """
    return apply(ROWS["compound"], spec, (x, k), out)


@_binary
def root_n(
    x: npt.ArrayLike, k: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None
) -> Patterns:
    """The k-th root of x for integers k (int64), rounded once.

    A negative k gives the reciprocal. NaR for k = 0, for x = 0 with k < 0, and for x < 0 with k
    even.
    """
    return apply(ROWS["root_n"], spec, (x, k), out)


@_unary
def square(x: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None) -> Patterns:
    """x², rounded once."""
    return mul(x, x, spec, out=out)


@_unary
def reciprocal(x: npt.ArrayLike, spec: PositSpec, *, out: Patterns | None = None) -> Patterns:
    """1/x, rounded once; NaR where x is 0."""
    return div(spec.one, x, spec, out=out)


STANDARD: dict[str, Callable[..., Any]] = {
    # basic functions, neighbours, comparisons
    "negate": negate, "abs": abs, "sign": sign,
    "nearestInt": nearest_int, "ceil": ceil, "floor": floor,
    "next": next, "prior": prior,
    "compareEqual": compare_equal, "compareNotEqual": compare_not_equal,
    "compareGreater": compare_greater, "compareGreaterEqual": compare_greater_equal,
    "compareLess": compare_less, "compareLessEqual": compare_less_equal,
    # arithmetic and elementary functions
    "addition": add, "subtraction": sub, "multiplication": mul, "division": div,
    "sqrt": sqrt, "rSqrt": r_sqrt,
    "exp": exp, "expMinus1": exp_minus_1, "exp2": exp2, "exp2Minus1": exp2_minus_1,
    "exp10": exp10, "exp10Minus1": exp10_minus_1,
    "log": log, "logPlus1": log_plus_1, "log2": log2, "log2Plus1": log2_plus_1,
    "log10": log10, "log10Plus1": log10_plus_1,
    "sin": sin, "sinPi": sin_pi, "cos": cos, "cosPi": cos_pi, "tan": tan, "tanPi": tan_pi,
    "arcSin": arc_sin, "arcSinPi": arc_sin_pi, "arcCos": arc_cos, "arcCosPi": arc_cos_pi,
    "arcTan": arc_tan, "arcTanPi": arc_tan_pi,
    "sinH": sin_h, "cosH": cos_h, "tanH": tan_h,
    "arcSinH": arc_sin_h, "arcCosH": arc_cos_h, "arcTanH": arc_tan_h,
    # two and three posits; a posit and an integer
    "hypot": hypot, "pow": pow,
    "arcTan2": abscissa_first(arc_tan2, "arcTan2"),
    "arcTan2Pi": abscissa_first(arc_tan2_pi, "arcTan2Pi"),
    "fMM": f_mm, "compound": compound, "rootN": root_n,
}  # fmt: skip
"""Functions by the Posit Standard's names."""

UFUNCS: dict[str, Callable[..., Any]] = {
    "negative": negate, "absolute": abs, "sign": sign,
    "rint": nearest_int, "ceil": ceil, "floor": floor, "trunc": trunc,
    "add": add, "subtract": sub, "multiply": mul, "divide": div,
    "floor_divide": floor_divide, "remainder": remainder, "power": pow,
    "square": square, "reciprocal": reciprocal, "sqrt": sqrt, "cbrt": cbrt,
    "exp": exp, "expm1": exp_minus_1, "exp2": exp2,
    "log": log, "log1p": log_plus_1, "log2": log2, "log10": log10,
    "sin": sin, "cos": cos, "tan": tan, "arcsin": arc_sin, "arccos": arc_cos, "arctan": arc_tan,
    "sinh": sin_h, "cosh": cos_h, "tanh": tan_h,
    "arcsinh": arc_sin_h, "arccosh": arc_cos_h, "arctanh": arc_tan_h,
    "hypot": hypot, "arctan2": arc_tan2, "copysign": copysign, "nextafter": nextafter,
    "equal": compare_equal, "not_equal": compare_not_equal,
    "greater": compare_greater, "greater_equal": compare_greater_equal,
    "less": compare_less, "less_equal": compare_less_equal,
}  # fmt: skip
"""Functions by the names of NumPy's ufuncs."""


def __getattr__(name: str) -> Any:
    try:
        return STANDARD[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
