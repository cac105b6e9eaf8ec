"""GroupNorm and InstanceNorm: each sample normalised by itself, so that batches may be split."""

from __future__ import annotations

from math import prod

from torch import Tensor

from posit.spec import SpecLike

from ._define import text_of
from .batchnorm import batch_norm
from .norms import _affine, _normalize

__all__ = ["group_norm", "instance_norm"]


def group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *,
    spec: SpecLike,
) -> Tensor:
    """Normalise each group of channels of each sample of (N, C, ...), then scale each channel.

    Roundings, forward and backward, are those of :func:`layer_norm`.
    """
    text = text_of(spec)
    if x.dim() < 2 or num_groups < 1 or x.shape[1] % num_groups:
        raise ValueError(f"group_norm: {tuple(x.shape)} has no {num_groups} groups of channels")
    each = x.shape[1] // num_groups * prod(x.shape[2:])
    z = _normalize(x.reshape(x.shape[0], num_groups, each), [2], True, eps, text).reshape(x.shape)
    last = [1] * (x.dim() - 2)
    scale, shift = (None if v is None else v.reshape(-1, *last) for v in (weight, bias))
    return _affine(z, scale, shift, text)


def instance_norm(  # noqa: PLR0917
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    spec: SpecLike,
) -> Tensor:
    """Normalise each channel of each sample by itself, or by running statistics.

    Roundings are those of :func:`group_norm` and, with running statistics, :func:`batch_norm`.
    Raises NotImplementedError where running statistics are to be updated.
    """
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, eps=eps, spec=spec)
    if running_mean is not None or running_var is not None:
        raise NotImplementedError(
            "instance_norm: training with track_running_stats=True has no posit form; use"
            " track_running_stats=False"
        )
    if x.dim() < 3 or prod(x.shape[2:]) < 2:
        raise ValueError(f"instance_norm: one value for each channel in {tuple(x.shape)}")
    return group_norm(x, x.shape[1], weight, bias, eps, spec=spec)
