"""Torch's many ways to give arguments mean in a converted model what they mean in torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from posit import bposit32
from torch_bridge import ops
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


@pytest.mark.parametrize("axes", [[], (), None, [0], (1, 0)])
def test_no_axes_are_all_axes(axes: Any) -> None:
    agrees(lambda x: x.sum(axes), values(3, 4))
    agrees(lambda x: torch.mean(x, axes, keepdim=True), values(3, 4))


@pytest.mark.parametrize("given", [{"size_average": False}, {"reduce": False}, {"reduce": True}])
def test_reductions_of_old_are_refused(given: Any) -> None:
    with pytest.raises(NotImplementedError, match=r"cross_entropy with .*has no posit form"):
        run(lambda x: F.cross_entropy(x, torch.tensor([0, 1]), **given), values(2, 3))


NAMED: list[Function] = [
    lambda x: torch.sum(input=x, dim=1), lambda x: torch.softmax(input=x, dim=0),
    lambda x: torch.sin(input=x), lambda x: torch.add(input=x, other=x), lambda x: F.relu(input=x),
    lambda x: torch.clamp(input=x, min=0.25), lambda x: F.linear(input=x, weight=x),
    lambda x: torch.pow(input=x, exponent=2), lambda x: torch.mul(x, other=2),
    lambda x: torch.flip(input=x, dims=[0]), lambda x: torch.gather(input=x, dim=0, index=FIRST),
]  # fmt: skip
FIRST = torch.zeros(1, 4, dtype=torch.int64)


@pytest.mark.parametrize("case", range(len(NAMED)))
def test_the_first_argument_by_name(case: int) -> None:
    agrees(NAMED[case], values(3, 4))


def test_python_numbers() -> None:
    agrees(lambda x: x * float(x[0, 0]) + x[: int(x.abs().max()) + 1].sum(), values(3, 4))


def test_both_bounds_of_clamp_are_rounded() -> None:
    for function in (lambda x: x.clamp_min(0.3), lambda x: torch.clamp_max(x, -0.3)):
        found = run(function, values(3, 4))
        assert torch.equal(ops.fake_quant(found, bposit32), found)


def test_classes_of_minus_infinity_cannot_be() -> None:
    hidden = torch.tensor([[False, True, False], [True, False, True]])
    for target in (torch.tensor([2, 1]), torch.tensor([0, -100])):
        agrees(
            lambda x, t=target: F.cross_entropy(x.masked_fill(hidden, -torch.inf), t),
            values(2, 3),
        )
    x = values(2, 3).requires_grad_()
    run(lambda x: F.cross_entropy(x.masked_fill(hidden, -torch.inf), target), x).backward()
    assert x.grad is not None
    assert torch.equal(x.grad == 0, hidden | torch.tensor([[False], [True]]))
    x = values(2, 3, 4)
    found = run(lambda x: F.cross_entropy(x, torch.zeros(2, 4).long()), x)
    hidden = torch.zeros(2, 3, 4, dtype=torch.bool)
    masked = ops.cross_entropy(x, torch.zeros(2, 4).long(), mask=~hidden, spec=bposit32)
    assert torch.equal(found, masked)
    hidden[:, 1] = True
    agrees(lambda x: F.cross_entropy(torch.where(hidden, -torch.inf, x), ZEROS), x)
    for mask in (~hidden[:1], hidden.double()):
        with pytest.raises(ValueError, match=r"mask must be booleans \(2, 3, 4\)"):
            ops.cross_entropy(x, ZEROS, mask=mask, spec=bposit32)


ZEROS = torch.zeros(2, 4, dtype=torch.int64)
