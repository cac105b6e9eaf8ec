"""Arithmetic of the table: each operation exact, and rounded once, in posit and quire."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import kernels
from .table import Format, implements

_UNARY = {
    "abs": "abs", "neg": "negate", "sign": "sign", "sgn": "sign", "ceil": "ceil", "floor": "floor",
    "trunc": "trunc", "round": "nearest_int", "reciprocal": "reciprocal", "sqrt": "sqrt",
    "rsqrt": "r_sqrt", "exp": "exp", "exp2": "exp2", "expm1": "exp_minus_1", "log": "log",
    "log2": "log2", "log10": "log10", "log1p": "log_plus_1", "sin": "sin", "cos": "cos",
    "tan": "tan", "asin": "arc_sin", "acos": "arc_cos", "atan": "arc_tan", "sinh": "sin_h",
    "cosh": "cos_h", "tanh": "tan_h", "asinh": "arc_sin_h", "acosh": "arc_cos_h",
    "atanh": "arc_tan_h",
}  # fmt: skip
_BINARY = {
    "mul": "mul", "atan2": "arc_tan2", "hypot": "hypot", "pow": "pow", "copysign": "copysign",
    "floor_divide": "floor_divide", "remainder": "remainder", "nextafter": "nextafter",
}  # fmt: skip


def _enter_unary(name: str, function: str) -> None:
    @implements(name)
    def run(f: Format, x: Any) -> Any:
        return f.apply(function, x)


def _enter_binary(name: str, function: str) -> None:
    @implements(name)
    def run(f: Format, a: Any, b: Any) -> Any:
        return f.apply(function, a, b)


for _name, _function in _UNARY.items():
    _enter_unary(_name, _function)
for _name, _function in _BINARY.items():
    _enter_binary(_name, _function)


# ---- sums with a factor: every operation rounded
def _times(f: Format, x: Any, factor: Any) -> Any:
    return x if isinstance(factor, int | float) and factor == 1 else f.apply("mul", x, factor)


@implements("add")
def _add(f: Format, a: Any, b: Any, *, alpha: Any = 1) -> Any:
    return f.apply("add", a, _times(f, b, alpha))


@implements("sub", "subtract")
def _sub(f: Format, a: Any, b: Any, *, alpha: Any = 1) -> Any:
    return f.apply("sub", a, _times(f, b, alpha))


@implements("rsub")
def _rsub(f: Format, a: Any, b: Any, alpha: Any = 1) -> Any:
    return f.apply("sub", b, _times(f, a, alpha))


@implements("div")
def _div(f: Format, a: Any, b: Any, *, rounding_mode: str | None = None) -> Any:
    """Any whole number divides exactly, rounded once: a mean's derivative needs it."""
    if rounding_mode is not None:
        if rounding_mode != "floor":
            raise NotImplementedError(
                f"{f.op}: rounding_mode={rounding_mode!r}; 'floor' is possible"
            )
        return f.apply("floor_divide", a, b)
    if isinstance(b, int | torch.SymInt):
        return f.wrap(kernels.divide_whole(f.bits(a), int(b), f.text))
    return f.apply("div", a, b)


@implements("addcmul")
def _addcmul(f: Format, x: Any, a: Any, b: Any, *, value: Any = 1) -> Any:
    return f.apply("add", x, _times(f, f.apply("mul", a, b), value))


@implements("addcdiv")
def _addcdiv(f: Format, x: Any, a: Any, b: Any, *, value: Any = 1) -> Any:
    return f.apply("add", x, _times(f, f.apply("div", a, b), value))


@implements("lerp")
def _lerp(f: Format, start: Any, end: Any, weight: Any) -> Any:
    """start + w(end - start); for w ≥ 1/2 from the other end, as torch has it."""
    way = f.apply("sub", end, start)
    if isinstance(weight, Tensor) or abs(weight) < 0.5:
        return f.apply("add", start, f.apply("mul", way, weight))
    return f.apply("sub", end, f.apply("mul", way, 1 - weight))


# ---- derivatives that autograd has as operations
@implements("tanh_backward")
def _tanh_backward(f: Format, g: Any, y: Any) -> Any:
    return f.apply("mul", g, f.apply("sub", 1, f.apply("mul", y, y)))


@implements("threshold_backward")
def _threshold_backward(f: Format, g: Any, x: Any, threshold: Any) -> Any:
    bits = x._bits
    kept = (bits > f.pattern(threshold)) | (bits == f.spec.nar)
    return f.wrap(torch.where(kept, f.bits(g), 0))


# ---- reductions
def _axes(x: Any, dim: Any) -> list[int]:
    dims = [dim] if isinstance(dim, int) else dim
    return list(dims) if dims else list(range(x.dim()))


def _check_dtype(f: Format, dtype: torch.dtype | None) -> None:
    if dtype not in (None, torch.float64):
        raise TypeError(f"{f.op}: dtype={dtype}, but sums of posits are posits; use x.double()")


def _enter_reduction(name: str) -> None:
    @implements(name)
    def run(f: Format, x: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
        _check_dtype(f, dtype)
        return f.wrap(kernels.reduce(f.bits(x), _axes(x, dim), keepdim, name, f.text))


for _name in ("sum", "mean"):
    _enter_reduction(_name)


@implements("linalg_vector_norm")
def _norm(
    f: Format, x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    _check_dtype(f, dtype)
    if ord != 2:
        raise NotImplementedError(f"{f.op}: ord={ord}, but only the 2-norm is possible")
    return f.wrap(kernels.reduce(f.bits(x), _axes(x, dim), keepdim, "norm2", f.text))


# ---- products
def _product(f: Format, a: Any, b: Any, add: Any = None) -> Any:
    term = None if add is None else f.bits(add)
    return f.wrap(kernels.product(f.bits(a), f.bits(b), term, f.text))


@implements("mm", "bmm", "mv", "dot", "vdot")
def _mm(f: Format, a: Any, b: Any) -> Any:
    return _product(f, a, b)


@implements("addmm", "baddbmm", "addmv")
def _addmm(f: Format, x: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """x + a·b rounded once; with other factors, each operation rounded."""
    if beta == 1 and alpha == 1:
        return _product(f, a, b, x)
    made = _times(f, _product(f, a, b), alpha)
    return made if beta == 0 else f.apply("add", _times(f, x, beta), made)
