"""Which operation of ``ops`` a torch function means, by name.

A handler is called as (config, *args, **kwargs) with the arguments of the torch function.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import accumulate, ops
from .config import PositConfig

__all__ = ["MEANS", "MOVES"]

Handler = Callable[..., Any]

# Functions that make no new values: they move, choose, compare, or ask.
_MOVES = """
    __getitem__ __setitem__ __len__ __bool__ __contains__ __repr__ __str__ __format__ __hash__
    __iter__ __array__ __dlpack__ __deepcopy__ __reduce_ex__ __getstate__ __setstate__ abs alias
    all allclose amax amin any arange argmax argmin argsort as_tensor atleast_1d atleast_2d
    backward broadcast_tensors broadcast_to bool cat chunk clamp_min clone concat concatenate
    contiguous copy_ count_nonzero cpu cuda data_ptr detach detach_ diagonal dim double
    element_size empty_like eq equal expand expand_as fill_ flatten flip from_numpy full_like
    gather ge get_device gt hstack index_select is_complex is_contiguous is_floating_point
    is_nonzero is_same_size is_signed is_sparse isclose isfinite isinf isnan item le long lt
    masked_fill masked_fill_ masked_select max maximum min minimum mT movedim narrow ndimension ne neg
    negative nelement new_empty new_full new_ones new_tensor new_zeros nonzero numel numpy
    ones_like pad permute positive ravel register_hook repeat repeat_interleave requires_grad_
    reshape reshape_as retain_grad roll rot90 scatter select sign signbit size sort split
    split_with_sizes squeeze squeeze_ stack storage_offset stride swapaxes swapdims t take
    take_along_dim tensor_split tile to tolist topk transpose tril triu type type_as unbind
    unflatten unfold unique unsqueeze unsqueeze_ view view_as vstack where zero_ zeros_like
    __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __neg__ __pos__ __abs__ __invert__
"""
MOVES = frozenset(_MOVES.split())


def _tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else torch.tensor(x, dtype=torch.float64)


def _spec(config: PositConfig) -> Any:
    return config.activations


def _binary(name: str, swapped: bool = False) -> Handler:
    apply = getattr(ops, name)

    def handle(
        config: PositConfig, a: Any, b: Any, *, alpha: float = 1, out: None = None
    ) -> Tensor:
        x, y = _tensor(a), _tensor(b)
        if alpha != 1:
            y = ops.mul(y, _tensor(alpha), spec=_spec(config))
        if swapped:
            x, y = y, x
        found: Tensor = apply(x, y, spec=_spec(config))
        return found

    return handle


def _in_place(handle: Handler) -> Handler:
    def apply(config: PositConfig, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return x.copy_(handle(config, x, *args, **kwargs))

    return apply


# What torch takes beyond the operation's own arguments: places, and values that change nothing.
_PLACES = {
    "avg_pool1d": ("ceil_mode", "count_include_pad"),
    "avg_pool2d": ("ceil_mode", "count_include_pad", "divisor_override"),
    "max_pool1d": ("dilation", "ceil_mode", "return_indices"),
    "max_pool2d": ("dilation", "ceil_mode", "return_indices"),
    "embedding": ("max_norm", "norm_type", "scale_grad_by_freq", "sparse"),
}
_IDLE: dict[str, tuple[Any, ...]] = {
    "dilation": (1, (1,), (1, 1)), "count_include_pad": (True,), "norm_type": (2, 2.0),
    "inplace": (False, True), "enable_gqa": (False,),
}  # fmt: skip
_RENAMED = {"input": "x", "self": "x"}


def _same(name: str) -> Handler:
    """An operation with torch's own signature, and the format."""
    apply = getattr(ops, name)
    own = list(inspect.signature(apply).parameters)
    places = [p for p in own if p != "spec"]
    places = places[: _positional(apply)] + list(_PLACES.get(name, ()))

    def handle(config: PositConfig, *args: Any, **kwargs: Any) -> Any:
        given = dict(zip(places, args, strict=False))
        given |= {own[0] if k in _RENAMED else k: v for k, v in kwargs.items()}
        for key in [k for k in given if k not in own]:
            value = given.pop(key)
            if value is not None and value not in _IDLE.get(key, (False,)):
                raise NotImplementedError(f"{name} with {key}={value!r} has no posit form")
        return apply(**given, spec=_spec(config))

    return handle


def _positional(apply: Callable[..., Any]) -> int:
    kinds = [p.kind for p in inspect.signature(apply).parameters.values()]
    return kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _power(config: PositConfig, x: Any, exponent: Any) -> Tensor:
    if exponent == 2:
        return ops.mul(x, x, spec=_spec(config))
    if exponent == 0.5:
        return ops.sqrt(x, spec=_spec(config))
    if exponent == -1:
        return ops.div(_tensor(1.0), x, spec=_spec(config))
    raise NotImplementedError(f"pow with exponent {exponent}: only 2, 0.5 and -1 are here")


def _softmax(name: str) -> Handler:
    apply = getattr(ops, name)

    def handle(
        config: PositConfig, x: Tensor, dim: int | None = None, _stacklevel: int = 3,
        dtype: Any = None,
    ) -> Any:  # fmt: skip
        return apply(x, -1 if dim is None else dim, spec=_spec(config))

    return handle


def _dropout(config: PositConfig, x: Tensor, p: float = 0.5, training: bool = True,
             inplace: bool = False) -> Tensor:  # fmt: skip
    if not training or p == 0:
        return ops.fake_quant(x, _spec(config))
    from .streams import next_key, samples_of

    return ops.dropout(x, p, spec=_spec(config), key=next_key(), samples=samples_of(x))


def _reduce(name: str) -> Handler:
    apply = getattr(ops, name)

    def handle(
        config: PositConfig, x: Tensor, dim: Any = None, keepdim: bool = False, *,
        dtype: Any = None,
    ) -> Any:  # fmt: skip
        return apply(x, dim, keepdim=keepdim, spec=_spec(config))

    return handle


def _mha(  # noqa: PLR0917
    config: PositConfig, query: Tensor, key: Tensor, value: Tensor, embed_dim: int, heads: int,
    in_weight: Any, in_bias: Any, bias_k: Any, bias_v: Any, add_zero_attn: bool, dropout_p: float,
    out_weight: Tensor, out_bias: Any, training: bool = True, key_padding_mask: Any = None,
    need_weights: bool = True, attn_mask: Any = None, use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None, k_proj_weight: Any = None, v_proj_weight: Any = None,
    static_k: Any = None, static_v: Any = None, average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, None]:  # fmt: skip
    """nn.MultiheadAttention: (L, N, E) in, projections, attention by heads, projection out."""
    unusual = {"bias_k": bias_k, "bias_v": bias_v, "static_k": static_k, "static_v": static_v}
    for name, given in unusual.items():
        if given is not None:
            raise NotImplementedError(f"MultiheadAttention with {name} is not supported")
    if need_weights or add_zero_attn:
        raise NotImplementedError("MultiheadAttention: call it with need_weights=False")
    spec = _spec(config)
    parts = (q_proj_weight, k_proj_weight, v_proj_weight)
    weights = parts if use_separate_proj_weight else in_weight.chunk(3)
    biases = (None,) * 3 if in_bias is None else in_bias.chunk(3)
    batched = query.dim() == 3
    rows = [x if batched else x.unsqueeze(1) for x in (query, key, value)]

    def split(x: Tensor, w: Tensor, b: Any) -> Tensor:
        made = accumulate.linear(config, x, w, b)
        return made.reshape(x.shape[0], x.shape[1], heads, -1).permute(1, 2, 0, 3)

    q, k, v = (split(x, w, b) for x, w, b in zip(rows, weights, biases, strict=True))
    mask = _seen(attn_mask, key_padding_mask, q, k, is_causal)
    drop = dropout_p if training else 0.0
    options: dict[str, Any] = {}
    if drop:
        from .streams import next_key, samples_of

        options = {"dropout_key": next_key(), "samples": samples_of(q)}
    seen = ops.scaled_dot_product_attention(q, k, v, mask, drop, spec=spec, **options)
    joined = seen.permute(2, 0, 1, 3).reshape(q.shape[2], q.shape[0], -1)
    made = accumulate.linear(config, joined, out_weight, out_bias)
    return (made if batched else made.squeeze(1)), None


def _seen(attn_mask: Any, padding: Any, q: Tensor, k: Tensor, is_causal: bool) -> Tensor | None:
    """True where a key is seen; torch's masks are True, or -inf, where it is not."""
    found: Tensor | None = None
    if attn_mask is None and is_causal:
        found = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril()
    elif attn_mask is not None:
        found = _hidden(attn_mask).logical_not()
        if found.dim() == 3:
            found = found.reshape(q.shape[0], -1, *found.shape[1:])
    if padding is not None:
        rows = _hidden(padding).logical_not().reshape(-1, 1, 1, k.shape[2])
        found = rows if found is None else found & rows
    return found


def _hidden(mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        return mask
    if not ((mask == 0) | (mask == -torch.inf)).all():
        raise NotImplementedError("a float attention mask of other numbers than 0 and -inf")
    return mask == -torch.inf


MEANS: dict[str, Handler] = {
    "add": _binary("add"), "__add__": _binary("add"), "__radd__": _binary("add", True),
    "sub": _binary("sub"), "__sub__": _binary("sub"), "__rsub__": _binary("sub", True),
    "rsub": _binary("sub", True), "subtract": _binary("sub"),
    "mul": _binary("mul"), "multiply": _binary("mul"), "__mul__": _binary("mul"),
    "__rmul__": _binary("mul", True),
    "div": _binary("div"), "divide": _binary("div"), "true_divide": _binary("div"),
    "__truediv__": _binary("div"), "__div__": _binary("div"), "__rdiv__": _binary("div", True),
    "__rtruediv__": _binary("div", True),
    "pow": _power, "__pow__": _power, "square": lambda c, x: _power(c, x, 2),
    "matmul": accumulate.matmul, "__matmul__": accumulate.matmul, "mm": accumulate.matmul,
    "bmm": accumulate.matmul, "mv": accumulate.matmul, "linear": accumulate.linear,
    "conv1d": accumulate.conv(1), "conv2d": accumulate.conv(2),
    "sum": _reduce("sum"), "mean": _reduce("mean"),
    "softmax": _softmax("softmax"), "log_softmax": _softmax("log_softmax"),
    "dropout": _dropout, "multi_head_attention_forward": _mha,
    "sigmoid_": _in_place(_same("sigmoid")), "tanh_": _in_place(_same("tanh")),
    "relu_": _in_place(_same("relu")),
    "logsigmoid": _same("log_sigmoid"),
}  # fmt: skip
MEANS |= {
    name: _same(name)
    for name in (
        "adaptive_avg_pool2d", "avg_pool1d", "avg_pool2d", "batch_norm",
        "cross_entropy", "elu", "embedding", "erf", "exp", "gelu", "layer_norm", "leaky_relu",
        "log", "max_pool1d", "max_pool2d", "mse_loss", "nll_loss", "relu", "rms_norm",
        "scaled_dot_product_attention", "sigmoid", "silu", "softplus", "sqrt", "tanh",
    )
}  # fmt: skip
MEANS |= {f"{name}_": _in_place(MEANS[name]) for name in ("add", "sub", "mul", "div")}
MEANS |= {f"__i{name}__": _in_place(MEANS[name]) for name in ("add", "sub", "mul")}
MEANS["__itruediv__"] = _in_place(MEANS["div"])
