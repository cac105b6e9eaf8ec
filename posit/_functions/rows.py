"""The table of functions. A new one is a row here and a line in posit/functions.py."""

from __future__ import annotations

import numpy as np

from . import floats, floats_more, reals
from .floats import exactly, relative
from .reals import log_plus_1, near_log_plus_1, over_pi, via
from .row import Row

__all__ = ["ROWS"]

_1_PI, _1_LN2, _1_LN10 = float(1 / np.pi), float(1 / np.log(2)), float(1 / np.log(10))
_TWICE = 2 * floats.REL  # a constant factor adds two roundings to a relative error
_INSIDE = "NaR outside [-1, 1]."

_TABLE = [
    # ---- to integers: exact, then rounded once where the format lacks the integer
    Row("nearest_int", "Nearest integer, ties to even", exactly(np.rint), reals.nearest_int),
    Row("ceil", "Smallest integer >= x", exactly(np.ceil), via("rint_ceil")),
    Row("floor", "Largest integer <= x", exactly(np.floor), via("rint_floor")),
    Row("trunc", "x without its fraction", exactly(np.trunc), via("rint_trunc")),
    # ---- roots, exponentials, logarithms
    Row("r_sqrt", "1/√x", floats.r_sqrt, via("rec_sqrt"), note="NaR for x <= 0."),
    Row("cbrt", "Cube root of x", relative(np.cbrt), via("cbrt")),
    Row("exp", "e^x", floats.exp, via("exp")),
    Row("exp_minus_1", "e^x - 1", floats.exp_minus_1, via("expm1")),
    Row("exp2", "2^x", floats.exp2, via("exp2")),
    Row(
        "exp2_minus_1", "2^x - 1",
        floats.exp2_minus_1, reals.exp2_minus_1, reals.near_exp2_minus_1,
    ),
    Row("exp10", "10^x", floats.exp10, via("exp10")),
    Row(
        "exp10_minus_1", "10^x - 1",
        floats.exp10_minus_1, reals.exp10_minus_1, reals.near_exp10_minus_1,
    ),
    Row("log", "Natural logarithm of x", relative(np.log), via("log"), note="NaR for x <= 0."),
    Row(
        "log_plus_1", "Natural logarithm of 1 + x",
        relative(np.log1p), via("log1p"), note="NaR for x <= -1.",
    ),
    Row("log2", "Logarithm of x to base 2", relative(np.log2), via("log2"), note="NaR for x <= 0."),
    Row(
        "log2_plus_1", "Logarithm of 1 + x to base 2",
        relative(np.log1p, _TWICE, times=_1_LN2), log_plus_1("log2"), near_log_plus_1(2),
        note="NaR for x <= -1.",
    ),
    Row(
        "log10", "Logarithm of x to base 10",
        relative(np.log10), via("log10"), note="NaR for x <= 0.",
    ),
    Row(
        "log10_plus_1", "Logarithm of 1 + x to base 10",
        relative(np.log1p, _TWICE, times=_1_LN10), log_plus_1("log10"), near_log_plus_1(10),
        note="NaR for x <= -1.",
    ),
    # ---- circular
    Row("sin", "Sine of x", floats.sin, via("sin")),
    Row("sin_pi", "Sine of πx", floats.sin_pi, reals.sin_pi, reals.near_sin_pi),
    Row("cos", "Cosine of x", floats.cos, via("cos")),
    Row("cos_pi", "Cosine of πx", floats.cos_pi, reals.cos_pi, reals.near_cos_pi),
    Row("tan", "Tangent of x", floats.tan, via("tan")),
    Row(
        "tan_pi", "Tangent of πx",
        floats.tan_pi, reals.tan_pi, reals.near_tan_pi, note="NaR at half integers.",
    ),
    Row("arc_sin", "Arcsine of x", relative(np.arcsin), via("asin"), note=_INSIDE),
    Row(
        "arc_sin_pi", "Arcsine of x over π",
        relative(np.arcsin, _TWICE, times=_1_PI), reals.arc_sin_pi, over_pi("asin"), note=_INSIDE,
    ),
    Row("arc_cos", "Arccosine of x", relative(np.arccos), via("acos"), note=_INSIDE),
    Row(
        "arc_cos_pi", "Arccosine of x over π",
        relative(np.arccos, _TWICE, times=_1_PI), reals.arc_cos_pi, over_pi("acos"), note=_INSIDE,
    ),
    Row("arc_tan", "Arctangent of x", relative(np.arctan), via("atan")),
    Row(
        "arc_tan_pi", "Arctangent of x over π",
        relative(np.arctan, _TWICE, times=_1_PI), reals.arc_tan_pi, over_pi("atan"),
    ),
    # ---- hyperbolic
    Row("sin_h", "Hyperbolic sine of x", floats.sinh, via("sinh")),
    Row("cos_h", "Hyperbolic cosine of x", floats.cosh, via("cosh")),
    Row("tan_h", "Hyperbolic tangent of x", relative(np.tanh), via("tanh")),
    Row("arc_sin_h", "Inverse hyperbolic sine of x", relative(np.arcsinh), via("asinh")),
    Row(
        "arc_cos_h", "Inverse hyperbolic cosine of x",
        relative(np.arccosh), via("acosh"), note="NaR for x < 1.",
    ),
    Row(
        "arc_tan_h", "Inverse hyperbolic tangent of x",
        relative(np.arctanh), via("atanh"), note="NaR for x <= -1 and x >= 1.",
    ),
    # ---- several operands
    Row("hypot", "√(a² + b²)", relative(np.hypot), via("hypot"), operands=("a", "b")),
    Row(
        "pow", "a to the power b",
        floats_more.power, reals.power, operands=("a", "b"),
        note="NaR for a = 0 with b <= 0, and for a < 0 unless b is an integer.",
    ),
    Row(
        "arc_tan2", "Angle of the point (x, y) from the x axis, in (-π, π]",
        floats_more.arc_tan2, reals.arc_tan2, operands=("y", "x"),
        note="NaR at the origin. The ordinate comes first, as in NumPy; in arcTan2 second.",
    ),
    Row(
        "arc_tan2_pi", "Angle of the point (x, y) from the x axis over π, in (-1, 1]",
        floats_more.arc_tan2_pi, reals.arc_tan2_pi, over_pi("atan2"), operands=("y", "x"),
        note="NaR at the origin. The ordinate comes first, as in NumPy; in arcTan2Pi second.",
    ),
    Row(
        "f_mm", "a · b · c",
        floats_more.product3, reals.product3, operands=("a", "b", "c"), span=3,
    ),
    Row(
        "floor_divide", "Largest integer <= a/b",
        floats_more.floor_divide, reals.floor_divide, operands=("a", "b"), span=2,
        note="NaR for b = 0.",
    ),
    Row(
        "remainder", "a - b·floor(a/b), with the sign of b",
        floats_more.remainder, reals.remainder, operands=("a", "b"),
        note="NaR for b = 0.",
    ),
    Row(
        "compound", "(1 + x)^k for integers k",
        floats_more.compound, reals.compound, reals.near_compound, integer="k",
        note="1 for k = 0, also at x = -1; NaR at x = -1 for k < 0.",
    ),
    Row(
        "root_n", "k-th root of x for integers k",
        floats_more.root_n, reals.root_n, reals.near_root_n, integer="k",
        note="Negative k: the reciprocal. NaR for k = 0, for x = 0 with k < 0, and for x < 0 with"
        " k even.",
    ),
]  # fmt: skip

ROWS = {row.name: row for row in _TABLE}
"""Every function that is computed, by name; in ``posit.functions`` are those of patterns alone."""
