"""Attention, of exact products and softmax."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor

from posit.spec import SpecLike

from ._define import Op, Rule, define, spec_of, text_of
from ._kernels import bits_of, empty, tensor_of
from .dropout import dropout
from .elementwise import _add, _mul
from .products import _matmul
from .softmax import _softmax

__all__ = ["attend", "scaled_dot_product_attention"]

Product = Callable[[Tensor, Tensor], Tensor]


def _finite(mask: Tensor, text: str) -> Tensor:
    if not bool(torch.isfinite(mask).all()):
        raise ValueError(
            "attention: the float mask has an infinity or NaN, but a posit has no -inf; give a"
            " boolean mask, True where a key is seen"
        )
    spec = spec_of(text)
    return tensor_of(bits_of(mask, spec), spec)


_bias: Op = define(
    Rule(
        "finite_bias",
        "(Tensor mask, str spec) -> Tensor",
        _finite,
        lambda mask, text: empty(mask, mask.shape),
        lambda i, out, g: (lambda: g,),
        lambda i, out, t: _bias(t[0], i[1]),
        lambda f, i, dims, size: f(i[0].movedim(dims[0], 0), i[1]),
    )
)


def scaled_dot_product_attention(  # noqa: PLR0917
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    *,
    spec: SpecLike,
    dropout_key: int | None = None,
    samples: Tensor | None = None,
) -> Tensor:
    """softmax(scale·query·keyᵀ)·value.

    Rounded are the exact products, the scale and its multiples, what :func:`softmax` rounds, and
    the exact products with the values; with a float mask, the sum with it.

    Parameters
    ----------
    query : Tensor, (..., L, E)
    key : Tensor, (..., S, E)
    value : Tensor, (..., S, V)
    attn_mask : Tensor, optional
        It broadcasts to (..., L, S). Booleans: True where a key is seen; a query that sees none
        gives 0. Floats are added, and must be finite: a posit has no -inf.
    dropout_p, dropout_key, samples
        Shares are dropped as :func:`dropout` does, by ``key=dropout_key``.
    is_causal : bool
        Query i sees the keys up to i; not together with a mask.
    scale : float, optional
        By default 1/√E.

    Raises ValueError for a float mask with infinities, a mask together with ``is_causal``, or
    dropout without a key.
    """
    if is_causal:
        if attn_mask is not None:
            raise ValueError("attention: is_causal and attn_mask exclude each other")
        shape = (query.shape[-2], key.shape[-2])
        attn_mask = torch.ones(shape, dtype=torch.bool, device=query.device).tril()

    def drop(shares: Tensor) -> Tensor:
        return dropout(shares, dropout_p, spec=spec, key=dropout_key, samples=samples)

    text = text_of(spec)
    return attend(
        query, key, value, attn_mask, drop if dropout_p else None, scale,
        spec=spec, product=lambda a, b: _matmul(a, b, None, text),
    )[0]  # fmt: skip


def attend(  # noqa: PLR0917
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    drop: Callable[[Tensor], Tensor] | None,
    scale: float | None,
    *,
    spec: SpecLike,
    product: Product,
) -> tuple[Tensor, Tensor]:
    """:func:`scaled_dot_product_attention` by any product of matrices, and the shares it used."""
    text = text_of(spec)
    seen = mask if mask is not None and mask.dtype == torch.bool else None
    share = 1 / sqrt(query.shape[-1]) if scale is None else scale
    factor = torch.full((), share, dtype=torch.float64, device=query.device)
    scores = _mul(product(query, key.mT), factor, text)
    if mask is not None and seen is None:
        scores = _add(scores, _bias(mask, text), text)
    shares = _softmax(scores, None if seen is None else seen.expand(scores.shape), text)
    if drop is not None:
        shares = drop(shares)
    return product(shares, value), shares
