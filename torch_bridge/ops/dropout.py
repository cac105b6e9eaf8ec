"""Dropout by counter: which elements stay depends on a key and their places alone."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

import posit
from posit.reference import uniform64
from posit.spec import SpecLike

from ._define import Inputs, text_of
from ._device import anywhere
from .casts import check_word
from .elementwise import _div

__all__ = ["dropout", "stream_key"]

_COIN = posit.PositSpec(3, 2, 0)  # 1 and 2 are neighbours in it
_HEADS = posit.encode(2.0, _COIN)


def stream_key(seed: int, *places: int) -> int:
    """A key for each combination of a seed and places, such as step and layer: 0 to 2^64-1."""
    key = seed
    check_word("stream_key: seed", seed)
    for place in places:
        check_word("stream_key: place", place)
        key = uniform64(key, place)
    return key


@torch.library.custom_op("bposit::dropout_mask", mutates_args=())
@anywhere("dropout_mask")
def _mask(samples: Tensor, each: int, keep: float, key: str) -> Tensor:
    """(samples, each) booleans, True with probability ``keep``.

    1 + keep lies between two neighbours, so that stochastic rounding gives the upper one with that
    probability; element e of sample s uses word s·each + e of the stream.
    """
    at = samples.numpy().astype(np.int64)
    runs = np.split(at, np.flatnonzero(np.diff(at) != 1) + 1)  # of samples that follow each other
    made = [
        posit.encode(
            np.full((run.size, each), 1.0 + keep), _COIN,
            rounding="stochastic", key=int(key), start=int(run[0]) * each,
        )
        for run in runs if run.size
    ]  # fmt: skip
    return torch.from_numpy(np.concatenate([np.empty((0, each), _COIN.storage), *made]) == _HEADS)


@_mask.register_fake
def _(samples: Tensor, each: int, keep: float, key: str) -> Tensor:
    return samples.new_empty((samples.shape[0], each), dtype=torch.bool)


@_mask.register_vmap
def _(info: Any, dims: Inputs, samples: Tensor, *how: Any) -> tuple[Tensor, int]:
    at = samples.movedim(dims[0], 0)
    made = torch.ops.bposit.dropout_mask(at.reshape(-1), *how)
    return made.reshape(*at.shape, how[0]), 0


def dropout(
    x: Tensor,
    p: float = 0.5,
    *,
    spec: SpecLike,
    key: int | None,
    samples: Tensor | None = None,
) -> Tensor:
    """x with each element 0 with probability ``p``, the others over the rounded 1 - p.

    Parameters
    ----------
    x : Tensor, (N, ...)
    p : float, 0 to 1
    key : int
        What the choice depends on: :func:`stream_key` of seed, step and layer. Never torch's
        generators.
    samples : integer Tensor, (N,), optional
        The numbers of the samples in the whole batch, by default 0 … N-1. The choice for a sample
        does not depend on which others are here.

    The quotient is rounded once, and so is that of a derivative. Raises ValueError without a key.
    """
    check_word("dropout: key", key)
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p is a probability, got {p}")
    if x.dim() == 0:
        raise ValueError("dropout: x needs an axis of samples")
    if samples is None:
        samples = torch.arange(x.shape[0], device=x.device)
    if samples.shape != x.shape[:1] or samples.is_floating_point():
        raise ValueError(f"dropout: samples must be {x.shape[0]} integers, got {samples.shape}")
    if p == 1:
        return torch.zeros_like(x, dtype=torch.float64)
    each = prod(x.shape[1:])
    mask = torch.ops.bposit.dropout_mask(samples, each, 1.0 - p, str(key)).reshape(x.shape)
    scaled = _div(x, torch.full((), 1.0 - p, dtype=torch.float64, device=x.device), text_of(spec))
    return torch.where(mask, scaled, 0.0)
