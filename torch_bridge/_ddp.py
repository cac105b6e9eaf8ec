"""Refuses DistributedDataParallel where it would leave the ranks' gradients apart."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from ._registry import is_collecting

__all__ = ["check_ddp"]


def check_ddp(parameters: Iterable[Tensor]) -> None:
    """Called by the forward pass of a converted model.

    DistributedDataParallel averages ``.grad``, sees none of parameters that collect, and says
    nothing: the ranks' weights would drift apart. Raises RuntimeError where it has no hook that
    reduces their sums, and is not in ``no_sync()``.
    """
    active = DistributedDataParallel._get_active_ddp_module()
    if active is None or active._comm_hooks or not active.require_backward_grad_sync:
        return
    if torch.is_grad_enabled() and any(map(is_collecting, parameters)):
        raise RuntimeError(
            "DistributedDataParallel does not see the exact gradients of this model, and the ranks'"
            " weights would differ: make it by torch_bridge.distributed.ddp(model). If"
            " all_reduce_gradients is called instead, run the model in `with ddp.no_sync():`; to"
            " let DDP average rounded gradients, torch_bridge.gradients.release(parameters)"
        )
