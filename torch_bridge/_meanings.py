"""Which operation of ``ops`` a torch function means, by name."""

from __future__ import annotations

from . import _recurrent, accumulate
from ._attention import cross_entropy, mha, sdpa, softmax, softmin
from ._handlers import (
    Handler,
    added,
    batch_norm,
    binary,
    clamp_max,
    clamp_min,
    div,
    dropout,
    in_place,
    power,
    reduce,
    same,
    unary,
)
from ._products import addcmul, conv, einsum, outer, with_term

__all__ = ["CASTS", "MEANS", "MOVES", "OTHERWISE"]

# Functions that make no new values: they move, choose, compare, or ask.
_MOVES = """
    abs adjoint alias all allclose amax amin any apply_ arange argmax argmin argsort as_strided
    as_tensor atleast_1d atleast_2d atleast_3d backward bool broadcast_tensors broadcast_to
    bucketize cat chunk clone column_stack concat concatenate contiguous copy_
    count_nonzero cpu cuda cummax cummin data_ptr detach detach_ diag diag_embed diagonal dim double
    dsplit dstack element_size empty_like eq equal expand expand_as fill_ fill_diagonal_ flatten
    flip fliplr flipud fmax fmin from_numpy full_like gather ge get_device grad gt hsplit hstack
    index_copy index_fill index_put index_put_ index_select int is_complex is_contiguous
    is_floating_point is_inference is_nonzero is_same_size is_signed is_sparse isclose isfinite isin
    isinf isnan isneginf isposinf item kthvalue le logical_and logical_not logical_or logical_xor
    long lt mT masked_fill masked_fill_ masked_scatter masked_select max maximum median meshgrid min
    minimum moveaxis movedim msort narrow ndimension ne neg negative nelement new_empty new_full
    new_ones new_tensor new_zeros nonzero numel numpy one_hot ones_like pad permute pixel_shuffle
    pixel_unshuffle positive ravel register_hook repeat repeat_interleave requires_grad_ reshape
    reshape_as resolve_conj resolve_neg result_type retain_grad roll rot90 scatter searchsorted
    select select_scatter sign signbit size slice_scatter sort split split_with_sizes squeeze
    squeeze_ stack storage_offset stride swapaxes swapdims t t_ take take_along_dim tensor_split
    tile tolist topk transpose transpose_ tril triu unbind unflatten unfold unique unsqueeze
    unsqueeze_ untyped_storage view view_as vsplit vstack where zero_ zeros_like __getitem__
    __setitem__ __len__ __bool__ __contains__ __repr__ __str__ __format__ __hash__ __iter__
    __array__ __dlpack__ __deepcopy__ __reduce_ex__ __getstate__ __setstate__ __eq__ __ne__ __lt__
    __le__ __gt__ __ge__ __neg__ __pos__ __abs__ __invert__ __float__ __int__ __index__
"""
MOVES = frozenset(_MOVES.split())
CASTS = frozenset(("to", "type", "type_as", "float", "half", "bfloat16"))
"""Between float dtypes they do nothing: posits stay posits."""

# Builtins whose arguments lie otherwise than those of the function of this name in nn.functional.
OTHERWISE = {
    f"torch.{name}"
    for name in ("batch_norm", "instance_norm", "embedding", "binary_cross_entropy_with_logits")
}


MEANS: dict[str, Handler] = {
    "add": added(), "__add__": added(), "__radd__": added(True),
    "sub": binary("sub"), "__sub__": binary("sub"), "__rsub__": binary("sub", True),
    "rsub": binary("sub", True), "subtract": binary("sub"),
    "mul": binary("mul"), "multiply": binary("mul"), "__mul__": binary("mul"),
    "__rmul__": binary("mul", True),
    **dict.fromkeys(("div", "divide", "true_divide", "__truediv__", "__div__"), div),
    "__rdiv__": binary("div", True), "__rtruediv__": binary("div", True),
    "pow": power, "__pow__": power,
    # "spmm" is another name of torch.mm, and the one that torch's own tables have
    **dict.fromkeys(("matmul", "__matmul__", "mm", "spmm", "bmm", "mv", "dot"), accumulate.matmul),
    "einsum": einsum, "outer": outer, "ger": outer, "addcmul": addcmul,
    "addmm": with_term, "addmv": with_term, "baddbmm": with_term,
    "linear": accumulate.linear,
    "conv1d": conv(1), "conv2d": conv(2),
    "sum": reduce("sum"), "mean": reduce("mean"),
    "softmax": softmax("softmax"), "log_softmax": softmax("log_softmax"), "softmin": softmin,
    "dropout": dropout(None), "dropout1d": dropout(1), "dropout2d": dropout(2),
    "batch_norm": batch_norm,
    "multi_head_attention_forward": mha, "scaled_dot_product_attention": sdpa,
    "cross_entropy": cross_entropy, "logsigmoid": same("log_sigmoid"), "clip": same("clamp"),
    "clamp_max": clamp_max, "clamp_min": clamp_min,
    # whether the fast path of nn.TransformerEncoder, in floats, would be possible
    "_nested_tensor_from_mask_left_aligned": lambda config, *tensors: False,
    **_recurrent.LAYERS, **_recurrent.CELLS,
}  # fmt: skip
_UNARY = {
    "sin": "sin", "cos": "cos", "sinh": "sin_h", "cosh": "cos_h", "atan": "arc_tan",
    "arctan": "arc_tan", "expm1": "exp_minus_1", "log1p": "log_plus_1", "rsqrt": "r_sqrt",
    "reciprocal": "reciprocal", "square": "square", "floor": "floor", "ceil": "ceil",
    "trunc": "trunc", "round": "nearest_int",
}  # fmt: skip
MEANS |= {name: unary(ours) for name, ours in _UNARY.items()}
MEANS |= {
    name: same(name)
    for name in (
        "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d",
        "avg_pool1d", "avg_pool2d", "binary_cross_entropy_with_logits", "celu", "clamp",
        "elu", "embedding", "erf", "exp", "gelu", "glu", "group_norm",
        "hardsigmoid", "hardswish", "hardtanh", "huber_loss", "instance_norm", "l1_loss",
        "layer_norm", "leaky_relu", "log", "max_pool1d", "max_pool2d", "mish", "mse_loss",
        "nll_loss", "prelu", "relu", "relu6", "rms_norm", "selu", "sigmoid", "silu",
        "smooth_l1_loss", "softplus", "softsign", "sqrt", "tanh", "tanhshrink", "threshold",
    )
}  # fmt: skip
_ELEMENTWISE = (
    *_UNARY, "add", "sub", "mul", "div", "pow", "celu", "clamp", "elu", "exp", "hardtanh",
    "leaky_relu", "log", "relu", "selu", "sigmoid", "sqrt", "tanh", "threshold", "erf",
)  # fmt: skip
MEANS |= {f"{name}_": in_place(MEANS[name]) for name in _ELEMENTWISE}
MEANS |= {f"__i{name}__": in_place(MEANS[name]) for name in ("add", "sub", "mul")}
MEANS["__itruediv__"] = in_place(MEANS["div"])
for _name in OTHERWISE:
    assert _name.removeprefix("torch.") in MEANS
