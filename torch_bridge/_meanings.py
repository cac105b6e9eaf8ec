"""Which operation of ``ops`` a torch function means, by name.

A handler is called as (config, *args, **kwargs) with the arguments of the torch function.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import _recurrent, accumulate, ops
from ._attention import mha, sdpa, softmax
from .config import PositConfig
from .streams import check_whole_batch, next_key, samples_of

__all__ = ["CASTS", "MEANS", "MOVES"]

Handler = Callable[..., Any]

# Functions that make no new values: they move, choose, compare, or ask.
_MOVES = """
    __getitem__ __setitem__ __len__ __bool__ __contains__ __repr__ __str__ __format__ __hash__
    __iter__ __array__ __dlpack__ __deepcopy__ __reduce_ex__ __getstate__ __setstate__ abs adjoint
    alias all allclose amax amin any apply_ arange argmax argmin argsort as_strided as_tensor
    atleast_1d atleast_2d atleast_3d backward bool broadcast_tensors broadcast_to cat chunk
    clamp_min clone column_stack concat concatenate contiguous copy_ count_nonzero cpu cuda cummax
    cummin data_ptr detach detach_ diag diag_embed diagonal dim double dsplit dstack element_size
    empty_like eq equal expand expand_as fill_ fill_diagonal_ flatten flip fliplr flipud fmax fmin
    from_numpy full_like gather ge get_device gt hsplit hstack index_copy index_fill index_put
    index_put_ index_select int is_complex is_contiguous is_floating_point is_inference is_nonzero
    is_same_size is_signed is_sparse isclose isfinite isinf isnan isneginf isposinf item kthvalue le
    long lt masked_fill masked_fill_ masked_scatter masked_select max maximum median meshgrid min
    minimum mT movedim moveaxis msort narrow ndimension ne neg negative nelement new_empty new_full
    new_ones new_tensor new_zeros nonzero numel numpy one_hot ones_like pad permute pixel_shuffle
    pixel_unshuffle positive ravel register_hook repeat repeat_interleave requires_grad_ reshape
    reshape_as resolve_conj resolve_neg retain_grad roll rot90 scatter select select_scatter sign
    signbit size slice_scatter sort split split_with_sizes squeeze squeeze_ stack storage_offset
    stride swapaxes swapdims t t_ take take_along_dim tensor_split tile tolist topk transpose
    transpose_ tril triu unbind unflatten unfold unique unsqueeze unsqueeze_ untyped_storage view
    view_as vsplit vstack where zero_ zeros_like __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __neg__
    __pos__ __abs__ __invert__
"""
MOVES = frozenset(_MOVES.split())
CASTS = frozenset("to type type_as float half bfloat16".split())
"""Between float dtypes they do nothing: posits stay posits."""

# Builtins whose arguments lie otherwise than those of the function of this name in nn.functional.
_OTHERWISE = {
    f"torch.{name}"
    for name in ("batch_norm", "instance_norm", "embedding", "binary_cross_entropy_with_logits")
}


def _tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else torch.tensor(x, dtype=torch.float64)


def _spec(config: PositConfig) -> Any:
    return config.activations


def _binary(name: str, swapped: bool = False) -> Handler:
    apply = getattr(ops, name)

    def handle(
        config: PositConfig, a: Any, b: Any, *, alpha: float = 1, rounding_mode: Any = None
    ) -> Tensor:
        if rounding_mode is not None:
            raise NotImplementedError(f"{name} with rounding_mode={rounding_mode!r} is not here")
        x, y = _tensor(a), _tensor(b)
        if alpha != 1:
            y = ops.mul(y, _tensor(alpha), spec=_spec(config))
        if swapped:
            x, y = y, x
        found: Tensor = apply(x, y, spec=_spec(config))
        return found

    return handle


def _added(swapped: bool = False) -> Handler:
    """A sum; -inf, of a mask, stays what :func:`softmax` skips."""
    plain = _binary("add", swapped)

    def handle(config: PositConfig, a: Any, b: Any, **kwargs: Any) -> Tensor:
        x, y = _tensor(a), _tensor(b)
        hidden = [torch.isneginf(v) for v in (x, y)]
        if not any(bool(h.any()) for h in hidden):
            return plain(config, x, y, **kwargs)  # type: ignore[no-any-return]
        seen = [torch.where(h, 0.0, v) for h, v in zip(hidden, (x, y), strict=True)]
        return torch.where(hidden[0] | hidden[1], -torch.inf, plain(config, *seen, **kwargs))

    return handle


def _in_place(handle: Handler) -> Handler:
    def apply(config: PositConfig, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        kwargs.pop("inplace", None)
        return x.copy_(handle(config, x.clone(), *args, **kwargs))

    return apply


# What torch takes beyond the operation's own arguments: places, and values that change nothing.
_PLACES = {
    "avg_pool1d": ("ceil_mode", "count_include_pad"),
    "avg_pool2d": ("ceil_mode", "count_include_pad", "divisor_override"),
    "max_pool1d": ("dilation", "ceil_mode", "return_indices"),
    "max_pool2d": ("dilation", "ceil_mode", "return_indices"),
    "adaptive_max_pool1d": ("return_indices",),
    "adaptive_max_pool2d": ("return_indices",),
    "embedding": ("max_norm", "norm_type", "scale_grad_by_freq", "sparse"),
    "layer_norm": ("cudnn_enable",),
    "group_norm": ("cudnn_enabled",),
}
_IDLE: dict[str, tuple[Any, ...]] = {
    "dilation": (1, (1,), (1, 1)), "count_include_pad": (True,), "norm_type": (2, 2.0),
    "cudnn_enable": (False, True), "cudnn_enabled": (False, True),
}  # fmt: skip
_RENAMED = {"input": "x", "self": "x"}


def _same(name: str) -> Handler:
    """An operation with torch's own signature, and the format."""
    apply = getattr(ops, name)
    parameters = inspect.signature(apply).parameters.values()
    own = [p.name for p in parameters if p.name != "spec"]
    places = [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    places += _PLACES.get(name, ())

    def handle(config: PositConfig, *args: Any, **kwargs: Any) -> Any:
        if kwargs.pop("inplace", False):
            return _in_place(handle)(config, *args, **kwargs)
        if len(args) > len(places):
            raise TypeError(f"{name} takes {', '.join(places)}; {len(args)} arguments were given")
        given = dict(zip(places, args, strict=False))
        given |= {own[0] if k in _RENAMED else k: v for k, v in kwargs.items()}
        for key in [k for k in given if k not in own]:
            value = given.pop(key)
            idle = _IDLE.get(key, (False,))
            if value is not None and (isinstance(value, Tensor) or value not in idle):
                raise NotImplementedError(f"{name} with {key}={value!r} has no posit form")
        return apply(**given, spec=_spec(config))

    return handle


def _unary(name: str) -> Handler:
    return lambda config, x: ops.unary(x, name, spec=_spec(config))


def _power(config: PositConfig, x: Any, exponent: Any) -> Tensor:
    if exponent in (2, 3):
        squared = ops.mul(x, x, spec=_spec(config))
        return squared if exponent == 2 else ops.mul(squared, x, spec=_spec(config))
    names = {0.5: "sqrt", -0.5: "r_sqrt", -1: "reciprocal"}
    if isinstance(exponent, Tensor) or exponent not in names:
        raise NotImplementedError(f"pow with exponent {exponent}: only 2, 3, 0.5, -0.5 and -1")
    return ops.unary(_tensor(x), names[exponent], spec=_spec(config))


def _softmin(config: PositConfig, x: Tensor, dim: int | None = None, **rest: Any) -> Any:
    return ops.softmax(-x, -1 if dim is None else dim, spec=_spec(config))


def _dropout(channels: int | None) -> Handler:
    """Of elements; or of all channels, which have so many axes each."""

    def handle(
        config: PositConfig, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if inplace:
            return _in_place(handle)(config, x, p, training)  # type: ignore[no-any-return]
        if not training or p == 0:
            return ops.fake_quant(x, _spec(config))
        how = {"spec": _spec(config), "key": next_key(), "samples": samples_of(x)}
        if channels is None:
            return ops.dropout(x, p, **how)
        if x.dim() != channels + 2:
            raise ValueError(f"dropout{channels}d: x must be (N, C, ...), got {tuple(x.shape)}")
        kept = ops.dropout(x.new_ones(x.shape[:2]), p, **how) != 0
        whole = ops.div(x, _tensor(1.0 - p), spec=_spec(config)) if p < 1 else x
        return torch.where(kept.reshape(*kept.shape, *[1] * channels), whole, 0.0)

    return handle


def _reduce(name: str) -> Handler:
    apply = getattr(ops, name)

    def handle(
        config: PositConfig, x: Tensor, dim: Any = None, keepdim: bool = False, *,
        dtype: Any = None,
    ) -> Any:  # fmt: skip
        return apply(x, dim, keepdim=keepdim, spec=_spec(config))

    return handle


def _batch_norm(  # noqa: PLR0917
    config: PositConfig, x: Tensor, running_mean: Any, running_var: Any, weight: Any = None,
    bias: Any = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    if training:
        check_whole_batch("BatchNorm in train() mode", x.shape[0])
    state = (running_mean, running_var, weight, bias)
    return ops.batch_norm(x, *state, training, momentum, eps, spec=_spec(config))


def _with_term(
    config: PositConfig, term: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """addmm and its like: one exact sum where products are exact."""
    if beta != 1 or alpha != 1:
        raise NotImplementedError(f"addmm with beta={beta}, alpha={alpha}: only 1 is here")
    if config.accumulate == "quire":
        return ops.matmul(a, b, term, spec=_spec(config))
    return ops.add(accumulate.matmul(config, a, b), term, spec=_spec(config))


MEANS: dict[str, Handler] = {
    "add": _added(), "__add__": _added(), "__radd__": _added(True),
    "sub": _binary("sub"), "__sub__": _binary("sub"), "__rsub__": _binary("sub", True),
    "rsub": _binary("sub", True), "subtract": _binary("sub"),
    "mul": _binary("mul"), "multiply": _binary("mul"), "__mul__": _binary("mul"),
    "__rmul__": _binary("mul", True),
    "div": _binary("div"), "divide": _binary("div"), "true_divide": _binary("div"),
    "__truediv__": _binary("div"), "__div__": _binary("div"), "__rdiv__": _binary("div", True),
    "__rtruediv__": _binary("div", True),
    "pow": _power, "__pow__": _power,
    **{name: accumulate.matmul for name in ("matmul", "__matmul__", "mm", "bmm", "mv", "dot")},
    "addmm": _with_term, "addmv": _with_term, "baddbmm": _with_term,
    "linear": accumulate.linear,
    "conv1d": accumulate.conv(1), "conv2d": accumulate.conv(2),
    "sum": _reduce("sum"), "mean": _reduce("mean"),
    "softmax": softmax("softmax"), "log_softmax": softmax("log_softmax"), "softmin": _softmin,
    "dropout": _dropout(None), "dropout1d": _dropout(1), "dropout2d": _dropout(2),
    "batch_norm": _batch_norm,
    "multi_head_attention_forward": mha, "scaled_dot_product_attention": sdpa,
    "logsigmoid": _same("log_sigmoid"), "clip": _same("clamp"), "clamp_max":
        lambda config, x, max: ops.clamp(x, None, max, spec=_spec(config)),
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
MEANS |= {name: _unary(ours) for name, ours in _UNARY.items()}
MEANS |= {
    name: _same(name)
    for name in (
        "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d",
        "avg_pool1d", "avg_pool2d", "binary_cross_entropy_with_logits", "celu", "clamp",
        "cross_entropy", "elu", "embedding", "erf", "exp", "gelu", "glu", "group_norm",
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
MEANS |= {f"{name}_": _in_place(MEANS[name]) for name in _ELEMENTWISE}
MEANS |= {f"__i{name}__": _in_place(MEANS[name]) for name in ("add", "sub", "mul")}
MEANS["__itruediv__"] = _in_place(MEANS["div"])
for _name in _OTHERWISE:
    assert _name.removeprefix("torch.") in MEANS
