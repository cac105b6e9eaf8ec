"""Functions of one tensor, element by element, each correctly rounded in every format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from posit import PositSpec, functions
from posit._functions.engine import apply
from posit.spec import SpecLike

from ._define import Op, Rule, define, spec_of, text_of
from ._kernels import Patterns, bits_of, empty, rounded, tensor_of, together
from ._rows import ROWS
from .elementwise import _div, _fma, _mul, _sub

__all__ = [
    "elu", "erf", "exp", "gelu", "leaky_relu", "log", "log_sigmoid", "relu", "sigmoid", "silu",
    "softplus", "sqrt", "tanh", "unary",
]  # fmt: skip


def _relu(x: Tensor, spec: PositSpec) -> Tensor:
    return rounded(x, spec).clamp_(min=0.0)


def _step(x: Tensor, spec: PositSpec) -> Tensor:
    """1 where the posit is positive, else 0; no number rounds to 0, and NaN and ±∞ are NaR."""
    return (x > 0).to(torch.float64).add_(x - x)


_CHOICES = {"relu": _relu, "step": _step}


def compute(name: str, bits: Patterns, spec: PositSpec) -> Patterns:
    """The function of that name of patterns."""
    if name in ROWS:
        return np.asarray(apply(ROWS[name], spec, (bits,), None), spec.storage)
    return np.asarray(getattr(functions, name)(bits, spec), spec.storage)


# ---- derivatives, from the argument and the value
Slope = Callable[[Tensor, Tensor, str], Tensor]


def _one() -> Tensor:
    return torch.ones((), dtype=torch.float64)


def _named(name: str, sign: float = 1.0) -> Slope:
    """Correctly rounded."""
    return lambda x, y, t: sign * _unary(x, name, t)


def _over(denominator: Slope) -> Slope:
    """1 over something that is rounded first."""
    return lambda x, y, t: _div(_one(), denominator(x, y, t), t)


_SLOPES: dict[str, Slope] = {
    "exp": lambda x, y, t: y,
    "exp_minus_1": _named("exp"),
    "log": _over(lambda x, y, t: x),
    "log_plus_1": _over(lambda x, y, t: _sub(x, -_one(), t)),
    "sqrt": _over(lambda x, y, t: _mul(y, 2 * _one(), t)),
    "reciprocal": lambda x, y, t: -_mul(y, y, t),
    "r_sqrt": lambda x, y, t: -_div(y, _mul(x, 2 * _one(), t), t),
    "square": lambda x, y, t: _mul(x, 2 * _one(), t),
    "sin": _named("cos"),
    "cos": _named("sin", -1.0),
    "sin_h": _named("cos_h"),
    "cos_h": _named("sin_h"),
    "tan_h": _named("tanh_slope"),
    "tanh_slope": lambda x, y, t: -2.0 * _mul(y, _unary(x, "tan_h", t), t),
    "arc_tan": _over(lambda x, y, t: _fma(x, x, _one(), t)),
    "abs": _named("sign"),
    "relu": _named("step"),
    "sigmoid": _named("sigmoid_slope"),
    "sigmoid_slope": lambda x, y, t: -_mul(y, _unary(0.5 * x, "tan_h", t), t),
    "softplus": _named("sigmoid"),
    "silu": _named("silu_slope"),
    "gelu": _named("gelu_slope"),
    "gelu_tanh": _named("gelu_tanh_slope"),
    "erf": _named("erf_slope"),
    "erf_slope": lambda x, y, t: -2.0 * _mul(y, x, t),
}
_FLAT = {"sign", "step", "ceil", "floor", "trunc", "nearest_int"}


def _slope(name: str, x: Tensor, y: Tensor, text: str) -> Tensor:
    if name in _FLAT:
        return torch.zeros_like(y)
    if name not in _SLOPES:
        raise NotImplementedError(
            f"bposit::unary: the derivative of {name} is not known; known are"
            f" {', '.join(sorted({*_SLOPES, *_FLAT}))}"
        )
    return _SLOPES[name](x, y, text)


def _kernel(x: Tensor, name: str, text: str) -> Tensor:
    spec = spec_of(text)
    if name in _CHOICES:
        return _CHOICES[name](x.detach(), spec)
    return tensor_of(compute(name, bits_of(x, spec), spec), spec)


def _times_slope(g: Tensor, inputs: tuple[Any, ...], out: Tensor) -> Tensor:
    x, name, text = inputs
    if name == "relu":
        return _gate(g, x, text)
    return _mul(g, _slope(name, x, out, text), text)


def _gate_kernel(g: Tensor, x: Tensor, text: str) -> Tensor:
    """g where x is positive, else 0: relu's slope times g. NaN where either is NaR."""
    spec = spec_of(text)
    return (rounded(g, spec) * _step(x.detach(), spec)).add_(0.0)  # -0 + 0 is 0


_gate: Op = define(
    Rule(
        "gate",
        "(Tensor g, Tensor x, str spec) -> Tensor",
        _gate_kernel,
        lambda g, x, text: empty(g, torch.broadcast_shapes(g.shape, x.shape)),
        lambda i, out, g: (lambda: _gate(g, *i[1:]), None),
        lambda i, out, t: torch.zeros_like(out) if t[0] is None else _gate(t[0], *i[1:]),
        lambda f, i, dims, size: f(*together(i[:2], dims[:2]), i[2]),
    )
)
_unary: Op = define(
    Rule(
        "unary",
        "(Tensor x, str name, str spec) -> Tensor",
        _kernel,
        lambda x, name, text: empty(x, x.shape),
        lambda i, out, g: (lambda: _times_slope(g, i, out),),
        lambda i, out, t: _times_slope(t[0], i, out),
        lambda f, i, dims, size: f(i[0].movedim(dims[0], 0), *i[1:]),
        uses_output=True,
    )
)


def unary(x: Tensor, name: str, *, spec: SpecLike) -> Tensor:
    """A function by name, correctly rounded: of ``posit.functions``, or of this module.

    A derivative rounds the slope, correctly where it is a function by itself (of sigmoid, SiLU,
    GELU, tanh, erf, softplus, sin, cos, sinh, cosh, exp, expm1), and then its product with the
    gradient; for log, log1p, sqrt, 1/√x, arctan and squares the slope is a quotient or product
    of a rounded term. Raises ValueError for an unknown name.
    """
    of_two = {"hypot", "pow", "compound", "root_n", "f_mm", "add", "sub", "mul", "div"}
    if name not in {*ROWS, *_CHOICES, *functions.__all__} - of_two:
        raise ValueError(f"{name!r} is no function of one posit; see posit.functions")
    return _unary(x, name, text_of(spec))


def exp(x: Tensor, *, spec: SpecLike) -> Tensor:
    """e^x."""
    return unary(x, "exp", spec=spec)


def log(x: Tensor, *, spec: SpecLike) -> Tensor:
    """The natural logarithm; NaN for x <= 0."""
    return unary(x, "log", spec=spec)


def sqrt(x: Tensor, *, spec: SpecLike) -> Tensor:
    """√x; NaN for x < 0."""
    return unary(x, "sqrt", spec=spec)


def tanh(x: Tensor, *, spec: SpecLike) -> Tensor:
    """The hyperbolic tangent."""
    return unary(x, "tan_h", spec=spec)


def sigmoid(x: Tensor, *, spec: SpecLike) -> Tensor:
    """1/(1 + e^-x)."""
    return unary(x, "sigmoid", spec=spec)


def log_sigmoid(x: Tensor, *, spec: SpecLike) -> Tensor:
    """log(1/(1 + e^-x)) = -softplus(-x)."""
    return -unary(-x, "softplus", spec=spec)


def silu(x: Tensor, *, spec: SpecLike) -> Tensor:
    """x/(1 + e^-x)."""
    return unary(x, "silu", spec=spec)


def gelu(x: Tensor, approximate: Literal["none", "tanh"] = "none", *, spec: SpecLike) -> Tensor:
    """x·Φ(x), or for ``approximate="tanh"`` the form x·(1 + tanh √(2/π)(x + 0.044715 x³))/2."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate is 'none' or 'tanh', got {approximate!r}")
    return unary(x, "gelu" if approximate == "none" else "gelu_tanh", spec=spec)


def erf(x: Tensor, *, spec: SpecLike) -> Tensor:
    """The error function."""
    return unary(x, "erf", spec=spec)


def softplus(x: Tensor, beta: float = 1.0, *, spec: SpecLike) -> Tensor:
    """log(1 + e^(βx))/β; for β other than 1 the product, the logarithm and the quotient round."""
    if beta == 1:
        return unary(x, "softplus", spec=spec)
    text, b = text_of(spec), beta * _one()
    return _div(_unary(_mul(x, b, text), "softplus", text), b, text)


def relu(x: Tensor, *, spec: SpecLike) -> Tensor:
    """max(x, 0), of the rounded x; exact. Its derivative at 0 is 0."""
    return unary(x, "relu", spec=spec)


def leaky_relu(x: Tensor, negative_slope: float = 0.01, *, spec: SpecLike) -> Tensor:
    """x where it is positive, else x times the rounded slope, rounded once."""
    text = text_of(spec)
    return torch.where(x > 0, _mul(x, _one(), text), _mul(x, negative_slope * _one(), text))


def elu(x: Tensor, alpha: float = 1.0, *, spec: SpecLike) -> Tensor:
    """x where it is positive, else α·(e^x - 1): the difference rounds, then the product."""
    text = text_of(spec)
    below = _unary(torch.clamp(x, max=0.0), "exp_minus_1", text)
    return torch.where(x > 0, _mul(x, _one(), text), _mul(below, alpha * _one(), text))
