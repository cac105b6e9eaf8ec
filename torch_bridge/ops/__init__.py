"""Posit functions of float tensors, each rounded once, with derivatives.

Operands are tensors of any float dtype. Each is first rounded to the format, which changes nothing
where it already holds posits; the result is a float64 tensor of posit values, NaN standing for NaR.
float64 is how posits *look*; one in which they do not fit (n = 64) is refused here.

Gradients are those of the exact function at the rounded operands, and are themselves posits: every
product of a backward pass is exact and rounded once. Forward mode and ``torch.vmap`` work in eager
mode; a compiled forward-mode derivative is refused, because Dynamo would drop it silently.
"""

from .activations import (
    elu,
    erf,
    exp,
    gelu,
    leaky_relu,
    log,
    log_sigmoid,
    relu,
    sigmoid,
    silu,
    softplus,
    sqrt,
    tanh,
    unary,
)
from .casts import decode, encode, fake_quant
from .elementwise import add, div, fma, mul, neg, per, sub
from .products import dot, linear, matmul, sum
from .reductions import mean, mean_square

__all__ = [
    "add", "decode", "div", "dot", "elu", "encode", "erf", "exp", "fake_quant", "fma", "gelu",
    "leaky_relu", "linear", "log", "log_sigmoid", "matmul", "mean", "mean_square", "mul", "neg",
    "per", "relu", "sigmoid", "silu", "softplus", "sqrt", "sub", "sum", "tanh", "unary",
]  # fmt: skip
