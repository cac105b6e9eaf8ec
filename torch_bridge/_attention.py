"""What attention and its masks mean: a posit has no -inf, so that hidden terms are skipped."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from . import accumulate, ops
from ._handlers import same, some
from .config import PositConfig
from .ops.attention import attend
from .streams import next_key, samples_of

__all__ = ["cross_entropy", "mha", "sdpa", "softmax", "softmin"]

_CROSS_ENTROPY = same("cross_entropy")


def _axis(x: Tensor, dim: int | None) -> int:
    """Where torch has no axis given: the first of 0, 1 and 3 axes, the second of others."""
    return dim if dim is not None else int(x.dim() not in (0, 1, 3))


def softmax(name: str) -> Any:
    """softmax or log_softmax as torch calls them; terms of -inf are skipped."""
    apply = getattr(ops, name)

    def handle(
        config: PositConfig, x: Tensor, dim: int | None = None, _stacklevel: int = 3,
        dtype: Any = None,
    ) -> Any:  # fmt: skip
        hidden = torch.isneginf(x)
        mask = hidden.logical_not() if some(hidden) else None
        return apply(x, _axis(x, dim), spec=config.activations, mask=mask)

    return handle


def softmin(config: PositConfig, x: Tensor, dim: int | None = None, **rest: Any) -> Any:
    assert config.activations is not None
    return ops.softmax(-x, _axis(x, dim), spec=config.activations)


def cross_entropy(config: PositConfig, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Classes of logit -inf are skipped."""
    hidden = torch.isneginf(x)
    if some(hidden):
        kwargs["mask"] = hidden.logical_not()
    return _CROSS_ENTROPY(config, x, *args, **kwargs)


def sdpa(  # noqa: PLR0917
    config: PositConfig, query: Tensor, key: Tensor, value: Tensor, attn_mask: Any = None,
    dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """F.scaled_dot_product_attention; a float mask of 0 and -inf means booleans."""
    if enable_gqa:
        raise NotImplementedError(
            "scaled_dot_product_attention with enable_gqa=True: repeat keys and values"
        )
    if is_causal:
        if attn_mask is not None:
            raise ValueError("attention: is_causal and attn_mask exclude each other")
        attn_mask = _causal(query, key)
    elif attn_mask is not None and attn_mask.dtype != torch.bool:
        hidden = torch.isneginf(attn_mask)
        if (hidden | (attn_mask == 0)).all():
            attn_mask = hidden.logical_not()
    return _attend(config, query, key, value, attn_mask, dropout_p, scale)[0]


def _attend(  # noqa: PLR0917
    config: PositConfig, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, p: float,
    scale: float | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    assert config.activations is not None
    drop = partial(_dropped, config, q, p) if p else None
    product = partial(accumulate.matmul, config)
    return attend(q, k, v, mask, drop, scale, spec=config.activations, product=product)


def _dropped(config: PositConfig, q: Tensor, p: float, shares: Tensor) -> Tensor:
    assert config.activations is not None
    return ops.dropout(shares, p, spec=config.activations, key=next_key(), samples=samples_of(q))


def _causal(q: Tensor, k: Tensor) -> Tensor:
    return torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).tril()


def mha(  # noqa: PLR0917
    config: PositConfig, query: Tensor, key: Tensor, value: Tensor, embed_dim: int, heads: int,
    in_weight: Any, in_bias: Any, bias_k: Any, bias_v: Any, add_zero_attn: bool, dropout_p: float,
    out_weight: Tensor, out_bias: Any, training: bool = True, key_padding_mask: Any = None,
    need_weights: bool = True, attn_mask: Any = None, use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None, k_proj_weight: Any = None, v_proj_weight: Any = None,
    static_k: Any = None, static_v: Any = None, average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """nn.MultiheadAttention: (L, N, E) in, projections, attention by heads, projection out.

    The weights are those of the attention, after dropout; their average over heads is one exact
    mean. A query that sees no key gets 0, not NaN.
    """
    unusual = {"bias_k": bias_k, "bias_v": bias_v, "static_k": static_k, "static_v": static_v}
    for name, given in (unusual | {"add_zero_attn": add_zero_attn or None}).items():
        if given is not None:
            raise NotImplementedError(f"MultiheadAttention with {name} has no posit form")
    batched, alike = query.dim() == 3, query is key and key is value
    rows = [x if batched else x.unsqueeze(1) for x in (query, key, value)]
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    q, k, v = (
        x.reshape(*x.shape[:2], heads, -1).permute(1, 2, 0, 3)
        for x in _projected(config, rows, alike, in_weight, in_bias, separate)
    )
    mask = _seen(attn_mask, key_padding_mask, q, k, is_causal)
    made, shares = _attend(config, q, k, v, mask, dropout_p if training else 0.0)
    joined = made.permute(2, 0, 1, 3).reshape(q.shape[2], q.shape[0], -1)
    out = accumulate.linear(config, joined, out_weight, out_bias)
    weights = None
    if need_weights:
        assert config.activations is not None
        weights = ops.mean(shares, 1, spec=config.activations) if average_attn_weights else shares
        weights = weights if batched else weights.squeeze(0)
    return (out if batched else out.squeeze(1)), weights


def _projected(  # noqa: PLR0917
    config: PositConfig, rows: list[Tensor], alike: bool, weight: Any, bias: Any, separate: Any
) -> Any:
    """Queries, keys and values before their heads are parted; of one tensor by one product."""
    if alike and separate is None:
        return accumulate.linear(config, rows[0], weight, bias).chunk(3, -1)
    weights = weight.chunk(3) if separate is None else separate
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    return [
        accumulate.linear(config, x, w, b) for x, w, b in zip(rows, weights, biases, strict=True)
    ]


def _seen(attn_mask: Any, padding: Any, q: Tensor, k: Tensor, is_causal: bool) -> Tensor | None:
    """True where a key is seen; torch's masks are True, or -inf, where it is not."""
    found: Tensor | None = None
    if attn_mask is None and is_causal:
        found = _causal(q, k)
    elif attn_mask is not None:
        found = _hidden("attn_mask", attn_mask).logical_not()
        size = (q.shape[2], k.shape[2])
        _check_shape("attn_mask", attn_mask, size, (q.shape[0] * q.shape[1], *size))
        if found.dim() == 3:
            found = found.reshape(*q.shape[:2], *size)
    if padding is not None:
        alone = [(k.shape[2],)] if k.shape[0] == 1 else []
        _check_shape("key_padding_mask", padding, (k.shape[0], k.shape[2]), *alone)
        rows = _hidden("key_padding_mask", padding).logical_not().reshape(-1, 1, 1, k.shape[2])
        found = rows if found is None else found & rows
    return found


def _check_shape(name: str, mask: Tensor, *possible: tuple[int, ...]) -> None:
    if tuple(mask.shape) not in possible:
        raise ValueError(
            f"MultiheadAttention: {name} has shape {tuple(mask.shape)}; possible are"
            f" {' and '.join(map(str, possible))}"
        )


def _hidden(name: str, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        return mask
    hidden = torch.isneginf(mask)
    if not (hidden | (mask == 0)).all():
        raise NotImplementedError(
            f"MultiheadAttention: {name} has other numbers than 0 and -inf; possible are booleans,"
            " True where a key is hidden, and floats of 0 and -inf that mean the same"
        )
    return hidden
