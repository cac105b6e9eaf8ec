"""Tensors that are not on the CPU: operations take them, and answer where they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from posit import bposit16
from torch_bridge import ops
from torch_bridge.ops import _device

from . import op_cases
from .elsewhere import NAME, Elsewhere
from .op_cases import CASES, Case


@pytest.fixture
def elsewhere() -> Iterator[None]:
    with Elsewhere():
        yield


def constants(case: Case) -> Iterator[dict[str, Any]]:
    """Where a case keeps its tensors that are no operands."""
    yield vars(op_cases)
    cells = (cell.cell_contents for cell in case.ours.__closure__ or ())
    for kept in (*(case.ours.__defaults__ or ()), *cells):
        if isinstance(kept, dict):
            yield kept


def results(case: Case, device: str) -> list[Tensor | None]:
    """The value and the gradients, on the CPU, and whether they were on the device."""
    xs = [x.to(device).requires_grad_() for x in case.tensors(3)]
    with pytest.MonkeyPatch.context() as patch:
        for kept in constants(case):
            for name, value in list(kept.items()):
                if isinstance(value, Tensor):
                    patch.setitem(kept, name, value.to(device))
        out = case.ours(*xs)
        gradient = torch.linspace(0.5, 1, out.numel(), dtype=torch.float64).reshape(out.shape)
        grads = torch.autograd.grad(out, xs, gradient.to(device), allow_unused=True)
    found = [out.detach(), *grads]
    assert all(x is None or x.device.type == device for x in found)
    return [None if x is None else x.cpu() for x in found]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_same_bits_there(case: Case) -> None:
    here = results(case, "cpu")
    with Elsewhere():
        there = results(case, NAME)
    for x, y in zip(here, there, strict=True):
        assert (x is None) == (y is None)
        assert x is None or y is None or torch.equal(x, y)


@pytest.mark.usefixtures("elsewhere")
def test_the_stand_in_is_no_cpu() -> None:
    x = torch.ones(2).to(NAME)
    with pytest.raises((RuntimeError, TypeError)):
        x.numpy()
    with pytest.raises(AssertionError, match="on the CPU and elsewhere"):
        x + torch.ones(2)


@pytest.mark.usefixtures("elsewhere")
def test_casts() -> None:
    x = torch.randn(3, 4)
    bits = ops.encode(x.to(NAME), bposit16)
    assert bits.device.type == NAME
    assert torch.equal(bits.cpu(), ops.encode(x, bposit16))
    assert torch.equal(ops.decode(bits, bposit16).cpu(), ops.fake_quant(x, bposit16))


@pytest.mark.usefixtures("elsewhere")
def test_operands_in_two_places() -> None:
    x = torch.ones(2, 2)
    with pytest.raises(RuntimeError, match=r"bposit::matmul: operands on cpu and meta; move them"):
        ops.matmul(x.to(NAME), x, spec=bposit16)
    doubled = ops.mul(torch.tensor(2.0), x.to(NAME), spec=bposit16)  # without axes, as in torch
    assert doubled.cpu().tolist() == [[2, 2], [2, 2]]


@pytest.mark.usefixtures("elsewhere")
def test_kernels_of_a_device_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they leave, and what they do not have, goes through the CPU."""
    seen = []

    def kernel(x: Tensor, text: str) -> Tensor | None:
        seen.append(text)
        return None if x.dim() == 1 else torch.full(x.shape, 7.0).to(NAME)

    monkeypatch.setattr(_device, "_OF_TRITON", NAME)
    monkeypatch.setattr(_device, "_triton_kernels", lambda: {"fake_quant": kernel})
    x = torch.full((2, 2), 1.3)
    assert ops.fake_quant(x.to(NAME), bposit16).cpu().tolist() == [[7, 7], [7, 7]]
    rounded = ops.fake_quant(x[0], bposit16)
    assert torch.equal(ops.fake_quant(x[0].to(NAME), bposit16).cpu(), rounded)
    assert seen == ["16,6,5", "16,6,5"]
    assert torch.equal(ops.exp(x.to(NAME), spec=bposit16).cpu(), ops.exp(x, spec=bposit16))


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_same_bits_on_a_gpu(case: Case) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    for x, y in zip(results(case, "cpu"), results(case, "cuda"), strict=True):
        assert (x is None) == (y is None)
        assert x is None or y is None or torch.equal(x, y)
