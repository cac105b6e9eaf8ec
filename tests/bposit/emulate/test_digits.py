"""An array in place of torch_bridge's products: forward, backward, and the example."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import torch_bridge as tb
from bposit.emulate import Aligned, Mac, Quire, RoundEachStep, SystolicArray, Window
from posit import bposit16

EXAMPLE = Path(__file__).parents[3] / "examples" / "accelerator_digits.py"


def made(accumulate: Any, *layers: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(*(layers or (nn.Linear(9, 7, bias=False), nn.Linear(7, 3, bias=False))))
    for p in model.parameters():
        torch.nn.init.normal_(p, generator=torch.Generator().manual_seed(p.numel()))
    tb.convert_(model, tb.PositConfig.emulate_hardware(bposit16, accumulate=accumulate))
    return model


def test_convert_takes_the_array_itself() -> None:
    array = SystolicArray(4, 4, "ws", Mac(bposit16, accumulator=Aligned(6)))
    model = nn.Sequential(nn.Linear(9, 7, bias=False), nn.Linear(7, 3, bias=False))
    for p in model.parameters():
        torch.nn.init.normal_(p, generator=torch.Generator().manual_seed(p.numel()))
    report = tb.convert_(model, "bposit16", accumulate=array)
    assert [config.accumulate for config in report.converted.values()] == [array] * 3
    for got, want in zip(both_ways(model), both_ways(made(array)), strict=True):
        assert torch.equal(got, want)
    assert not torch.equal(both_ways(model)[0], both_ways(made("quire"))[0])
    plain = nn.Linear(2, 2)
    for config, accumulate, error in (
        (tb.PositConfig.weight_only("bposit16"), array, ValueError), ("bposit16", 3, TypeError),
        ("bposit16", "exactly", ValueError),
    ):  # fmt: skip
        with pytest.raises(error, match="accumulate"):
            tb.convert_(plain, config, accumulate=accumulate)
        assert plain.weight.dtype == torch.float32


def both_ways(model: nn.Module, shape: tuple[int, ...] = (5, 9)) -> list[torch.Tensor]:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(1), requires_grad=True)
    out = model(x)
    out.sum().backward()
    assert x.grad is not None
    return [out.detach(), x.grad, *(p.grad for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize("dataflow", ["os", "ws"])
def test_an_exact_array_is_the_quire(dataflow: Any) -> None:
    array = SystolicArray(4, 4, dataflow, Mac(bposit16))
    for got, want in zip(both_ways(made(array)), both_ways(made("quire")), strict=True):
        assert torch.equal(got, want)


def test_rounding_each_step_is_each_op() -> None:
    array = SystolicArray(4, 4, "os", Mac(bposit16, accumulator=RoundEachStep()))
    for got, want in zip(both_ways(made(array)), both_ways(made("each_op")), strict=True):
        assert torch.equal(got, want)


@pytest.mark.parametrize("accumulator", [Aligned(8, 2), Window(-6, 6, "saturate")], ids=str)
def test_both_directions_are_the_array_s(accumulator: Any) -> None:
    array = SystolicArray(3, 2, "ws", Mac(bposit16, accumulator=accumulator), spill="format")
    model = made(array, nn.Linear(9, 4, bias=False))
    x = torch.randn(5, 9, generator=torch.Generator().manual_seed(1), requires_grad=True)
    out = model(x)
    g = torch.randn(5, 4, generator=torch.Generator().manual_seed(2)).double()
    out.backward(g)
    (w,) = model.parameters()
    bits = [tb.ops.encode(t.detach(), bposit16).numpy() for t in (x, w, g)]
    a, b, c = (np.ascontiguousarray(v) for v in bits)
    for got, want in ((out, array.matmul(a, b.T)), (x.grad, array.matmul(c, b)),
                      (w.grad, array.matmul(c.T.copy(), a))):  # fmt: skip
        assert got is not None
        assert torch.equal(got.double(), tb.ops.decode(torch.from_numpy(want), bposit16))


def test_convolutions_run_on_it_too() -> None:
    def found(accumulate: Any) -> torch.Tensor:
        return both_ways(made(accumulate, nn.Conv2d(2, 3, 3, padding=1, bias=False)), (2, 2, 6, 5))[
            0
        ]

    exact, narrow = (SystolicArray(4, 4, "os", Mac(bposit16, accumulator=accumulator))
                     for accumulator in (Quire(), Aligned(4)))  # fmt: skip
    assert torch.equal(found(exact), found("quire"))
    assert not torch.equal(found(narrow), found("quire"))


def test_an_array_of_another_format_is_refused() -> None:
    model = made(SystolicArray(4, 4, "os", Mac("bposit8")))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="computes in bposit8 to bposit8, but bposit16"):
        model(torch.zeros(1, 9))


@pytest.fixture(scope="module")
def example() -> ModuleType:
    found = importlib.util.spec_from_file_location("accelerator_digits", EXAMPLE)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_example(example: ModuleType) -> None:
    options = argparse.Namespace(format="bposit16", rows=16, cols=16, dataflow="ws", epochs=3,
                                 flips=0.02)  # fmt: skip
    found = example.run(options)
    on, upset = found["on"], found["upset"]
    assert on["quire"] == found["exact"] > 80
    assert on["window of 24 bits"] > found["exact"] - 1
    assert on["aligned to 6 bits"] < found["exact"] - 1
    assert found["trained on it"] > on["aligned to 6 bits"]
    assert found["struck"]["low"] > found["exact"] - 2 > found["struck"]["high"]
    assert min(upset[15], upset[14]) < 60  # NaR and the regime
    assert max(abs(upset[k] - found["exact"]) for k in range(5)) < 2  # the fraction
    assert found["cycles"]["quire"] == 4 * 2 * (2 * 16 + 16 + 1 - 2)
    assert found["cycles"]["aligned to 6 bits"] == 2 * (2 * 16 + 16 + 1 - 2)
