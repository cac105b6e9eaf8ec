"""Refuses what would make gradients depend on how a batch is split into micro-batches.

Where ``stream`` names samples that may be a part of a batch, two things would:

- A tensor that is computed from parameters alone, when it meets samples: its gradient is a sum over
  these samples, rounded before it reaches the parameters. Parameters themselves, and views of them,
  collect exact sums; so does a copy for each sample.
- A mean over the samples that are here.

What each torch function in a converted model gives is noted: made with samples, or of parameters
alone. What ``torch_bridge.ops`` gives where it is called directly is taken to be made with samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from ._deposit import leaf_of
from .streams import part_size

__all__ = ["watch"]

_noted: Any = WeakTensorKeyDictionary()  # what tensors were made of
_MEANS = frozenset((
    "mean", "cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss",
    "binary_cross_entropy_with_logits", "binary_cross_entropy", "kl_div",
))  # fmt: skip


def watch(name: str, copies: bool, operands: Any, found: Any) -> None:
    """Note what a function gave, or refuse it.

    Parameters
    ----------
    name : str
        Of the function.
    copies : bool
        Whether it is one that puts elements in several places, such as ``expand``.
    operands, found
        Tensors, or tuples and lists of what may be some.

    Raises RuntimeError as the module says.
    """
    rows = part_size()
    if rows is None or not torch.is_grad_enabled():
        return
    given = list(_tensors(operands))
    results = given[:1] if found is None else list(_tensors(found))  # __setitem__ gives None
    kinds = [_kind(x, rows) for x in given]
    differentiable = any(x.requires_grad for x in results)
    if differentiable and {"samples", "shared"} <= set(kinds):
        _refuse(name, given[kinds.index("shared")])
    if differentiable and "samples" in kinds and name in _MEANS and results[0].dim() == 0:
        raise RuntimeError(
            f"{name}: the mean over {rows} samples of a part of a batch is not a part of the mean."
            " Compute the loss outside of the model, by torch_bridge.ops, whose losses divide by"
            " count=, the number of terms of the whole batch"
        )
    for x in results:
        if "samples" in kinds:
            if not x.requires_grad:  # else it is taken to be made with samples
                _noted[x] = "samples"
        elif x.requires_grad and leaf_of(x) is None:
            each = copies and "shared" not in kinds and x.dim() > 0 and x.shape[0] == rows
            if not each:
                _noted[x] = "shared"


def _kind(x: Tensor, rows: int) -> str:
    """What it is made of: samples; "shared", parameters alone; or "", a parameter or constant."""
    noted: str | None = _noted.get(x)
    if noted is not None:
        return noted
    if x.requires_grad and isinstance(leaf_of(x), torch.nn.Parameter):
        return ""
    return "samples" if x.dim() > 0 and (x.requires_grad or x.shape[0] == rows) else ""


def _refuse(name: str, x: Tensor) -> None:
    raise RuntimeError(
        f"{name} brings together samples and a tensor of shape {tuple(x.shape)} that was computed"
        " from parameters alone. Its gradient, a sum over the samples of this micro-batch, would be"
        " rounded before the next is added. Use parameters as they are, or compute this for each"
        " sample: of positions, embedding(torch.arange(T).expand(N, T))"
    )


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, (tuple, list)):
        for x in value:
            yield from _tensors(x)
    elif isinstance(value, Tensor):
        yield value
