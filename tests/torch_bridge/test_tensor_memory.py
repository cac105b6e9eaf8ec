"""PositTensors have no memory but their patterns': what looks for it finds those, or is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import multiprocessing, nn

import torch_bridge as tb
from posit import bposit16

VALUES = [1.5, -2.0, float("nan")]


def test_shared_memory_is_of_the_patterns() -> None:
    x = tb.tensor(VALUES, spec=bposit16)
    bits = x.bits().clone()
    assert not x.is_shared()
    assert x.share_memory_() is x
    assert x.is_shared()
    assert x.bits().is_shared()
    assert torch.equal(x.bits(), bits)


def double(model: nn.Module) -> None:
    for p in model.parameters():
        p.data.mul_(2)


def test_another_process_writes_to_a_shared_model() -> None:
    model = nn.ParameterList([tb.tensor([1.5, -2.0], spec=bposit16)]).share_memory()
    process = multiprocessing.get_context("fork").Process(target=double, args=(model,))
    process.start()
    process.join(30)
    assert process.exitcode == 0
    assert model[0].tolist() == [3.0, -4.0]


def test_dlpack_is_refused() -> None:
    x = tb.tensor(VALUES, spec=bposit16)
    for read in (torch.utils.dlpack.from_dlpack, np.from_dlpack):
        with pytest.raises(BufferError, match=r"no posits; export x\.bits\(\)"):
            read(x)
