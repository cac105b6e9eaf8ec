"""BatchNorm: each channel of a batch normalised by the batch, or by running statistics."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from posit.spec import SpecLike

from ._define import spec_of, text_of
from ._device import anywhere
from ._kernels import as_rows, bits_of, empty, reduced_shape, tensor_of
from .activations import _unary
from .elementwise import _add, _mul, _sub
from .norms import _affine, _normalize
from .products import _dot
from .reductions import mean, statistic

__all__ = ["batch_norm"]


def batch_norm(  # noqa: PLR0917
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    spec: SpecLike,
) -> Tensor:
    """Normalise each channel of (N, C, ...) by the batch, or by the running statistics.

    In training, roundings are those of :func:`layer_norm`, and the running statistics (float64
    tensors, or they would be rounded again) become, in place, (1 - momentum)·old + momentum·new:
    one rounding of the exact sum of two products with rounded factors, ``new`` being the mean, or
    the variance over n - 1, rounded once. Otherwise x - mean, variance + eps, its reciprocal root
    and their product are rounded. The statistics are those of this very tensor: the result depends
    on how a batch is split.
    """
    text = text_of(spec)
    if x.dim() < 2:
        raise ValueError(f"batch_norm: x must be (N, C, ...), got {tuple(x.shape)}")
    dims = [0, *range(2, x.dim())]

    def channels(v: Tensor | None) -> Tensor | None:
        return None if v is None else v.reshape(-1, *[1] * (x.dim() - 2))

    if training:
        if prod([x.shape[d] for d in dims]) < 2:
            raise ValueError(f"batch_norm: one value for each channel in {tuple(x.shape)}")
        z = _normalize(x, dims, True, eps, text)
        if running_mean is not None:
            _update(running_mean, mean(x.detach(), dims, spec=spec), momentum, text)
        if running_var is not None:
            _update(running_var, _variance(x.detach(), dims, text), momentum, text)
    elif running_mean is None or running_var is None:
        raise ValueError("batch_norm: without training it needs running_mean and running_var")
    else:
        small = torch.full((), eps, dtype=torch.float64, device=x.device)
        wide = _add(running_var, small, text)
        root = channels(_unary(wide, "r_sqrt", text))
        z = _mul(_sub(x, channels(running_mean), text), root, text)
    return _affine(z, channels(weight), channels(bias), text)


@torch.library.custom_op("bposit::variance", mutates_args=())
@anywhere("variance")
def _variance(x: Tensor, dims: list[int], spec: str) -> Tensor:
    format_ = spec_of(spec)
    rows = as_rows(bits_of(x, format_), dims)
    return tensor_of(statistic("var", rows, format_, ddof=1), format_)


@_variance.register_fake
def _(x: Tensor, dims: list[int], spec: str) -> Tensor:
    return empty(x, reduced_shape(x, dims))


def _update(running: Tensor, new: Tensor, momentum: float, text: str) -> None:
    factors = new.new_tensor([1 - momentum, momentum]).reshape(2, *[1] * new.dim())
    both = torch.stack([running.detach().double(), new])
    running.copy_(_dot(both, factors.expand_as(both), [0], text))
