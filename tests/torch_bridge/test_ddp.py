"""DistributedDataParallel around converted models: what it does not see does not drift apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from posit import bposit16
from torch_bridge import convert_, distributed, gradients
from torch_bridge.optim import PositAdamW

from .ranks import run_ranks


def without_the_hook(rank: int, world: int) -> Any:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2))
    convert_(model, bposit16)
    optimizer = PositAdamW(model.parameters(), lr=0.1)
    wrapped = DistributedDataParallel(model)
    x = torch.randn(world, 5, 3)[rank]
    with pytest.raises(RuntimeError, match="does not see the exact gradients"):
        wrapped(x)
    with torch.no_grad():
        assert not wrapped(x).requires_grad
    with wrapped.no_sync():
        wrapped(x).sum().backward()
    distributed.all_reduce_gradients(model.parameters())
    optimizer.step()
    optimizer.zero_grad()
    gradients.release(model.parameters())
    wrapped(x).sum().backward()
    optimizer.step()
    return [p.tolist() for p in model.parameters()]


def test_without_a_hook_ranks_do_not_drift_apart() -> None:
    one, other = run_ranks(without_the_hook, 2)
    assert one == other
