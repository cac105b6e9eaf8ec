"""Torch's many ways to give arguments mean in a converted model what they mean in torch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from posit import bposit32
from torch_bridge.config import PositConfig
from torch_bridge.mode import Rounding

Function = Callable[[Tensor], Tensor]


def values(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def run(function: Function, x: Tensor) -> Tensor:
    with Rounding(PositConfig.training(bposit32)):
        return function(x)


def agrees(function: Function, x: Tensor) -> None:
    torch.testing.assert_close(run(function, x), function(x), atol=1e-6, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
@pytest.mark.parametrize("axes", range(1, 6))
@pytest.mark.parametrize("function", [F.softmax, F.log_softmax, F.softmin, torch.nn.Softmax()])
def test_softmax_without_an_axis_takes_torchs(function: Function, axes: int) -> None:
    agrees(function, values(2, 3, 4, 5, 2)[(0,) * (5 - axes)])
