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
from .attention import scaled_dot_product_attention
from .batchnorm import batch_norm
from .casts import decode, encode, fake_quant
from .composed import (
    celu,
    clamp,
    glu,
    hardsigmoid,
    hardswish,
    hardtanh,
    mish,
    prelu,
    relu6,
    selu,
    softsign,
    tanhshrink,
    threshold,
)
from .convolution import conv1d, conv2d
from .dropout import dropout, stream_key
from .element_losses import (
    binary_cross_entropy_with_logits,
    huber_loss,
    l1_loss,
    smooth_l1_loss,
)
from .elementwise import add, div, fma, mul, neg, per, sub
from .embedding import embedding
from .groupnorm import group_norm, instance_norm
from .losses import cross_entropy, mse_loss, nll_loss
from .norms import layer_norm, rms_norm
from .pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)
from .products import dot, linear, matmul, sum
from .reductions import mean, mean_square
from .softmax import log_softmax, softmax

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "add", "avg_pool1d", "avg_pool2d", "batch_norm", "binary_cross_entropy_with_logits", "celu",
    "clamp", "conv1d", "conv2d", "cross_entropy", "decode", "div", "dot", "dropout", "elu",
    "embedding", "encode", "erf", "exp", "fake_quant", "fma", "gelu", "glu", "group_norm",
    "hardsigmoid", "hardswish", "hardtanh", "huber_loss", "instance_norm", "l1_loss", "layer_norm",
    "leaky_relu", "linear", "log", "log_sigmoid", "log_softmax", "matmul", "max_pool1d",
    "max_pool2d", "mean", "mean_square", "mish", "mse_loss", "mul", "neg", "nll_loss", "per",
    "prelu", "relu", "relu6", "rms_norm", "scaled_dot_product_attention", "selu", "sigmoid", "silu",
    "smooth_l1_loss", "softmax", "softplus", "softsign", "sqrt", "stream_key", "sub", "sum", "tanh",
    "tanhshrink", "threshold", "unary",
]  # fmt: skip
