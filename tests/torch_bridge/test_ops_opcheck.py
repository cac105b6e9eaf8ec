"""torch.library's own checks of every custom op, in a wide and in a narrow format."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.library import opcheck

from posit import bposit16
from torch_bridge import ops
from torch_bridge.ops._define import holds_posits

FOLDER = Path(ops.__file__).parent


def real(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def plain(*shape: int) -> Tensor:
    return real(*shape).detach()


MASK = torch.tensor([[True, False, True, True, True], [False, True, True, False, True]])
PLACES = torch.tensor([[1, 2], [1, 4]])

ARGUMENTS: list[tuple[str, tuple[Any, ...]]] = [
    ("add", (real(3, 1), real(4))),
    ("sub", (real(3, 1), real(4))),
    ("mul", (real(3, 1), real(4))),
    ("div", (real(3, 1), real(4))),
    ("fma", (real(3, 1), real(4), real(3, 4))),
    ("per", (real(3, 1), torch.arange(1, 5), 2)),
    ("sum", (real(2, 3, 4), [0, 2])),
    ("dot", (real(2, 3), real(2, 3), [1])),
    ("matmul", (real(2, 3, 4), real(4, 5), real(5))),
    ("matmul", (real(3, 4), real(2, 4, 5), None)),
    ("mean", (real(2, 5), MASK, [1], 0)),
    ("mean", (real(2, 5), None, [0, 1], 12)),
    ("mean_square", (real(2, 5), [0], 0)),
    ("fake_quant", (real(7),)),
    ("fake_quant_stochastic", (real(7), "123", 5)),
    ("unary", (real(7), "gelu")),
    ("unary", (real(7), "relu")),
    ("unary", (real(7), "tan_h")),
    ("gate", (real(3, 1), real(4))),
    ("conv", (real(2, 4, 7), real(6, 2, 3), real(6), [2], [1], [2], 2)),
    ("conv", (real(2, 3, 5, 5), real(2, 3, 3, 3), None, [1, 1], [1, 1], [1, 1], 1)),
    ("embedding", (real(5, 3), PLACES)),
    ("index_sum", (real(2, 2, 3), PLACES, 6)),
    ("avg_pool", (real(2, 3, 7, 6), [3, 2], [2, 2], [1, 1])),
    ("pool_argmax", (plain(2, 3, 7, 6), [3, 2], [2, 2], [1, 1])),
    ("softmax", (real(2, 5), MASK)),
    ("log_softmax", (real(3, 5), None)),
    ("finite_bias", (real(3, 5),)),
    ("centre", (real(3, 5), [1])),
    ("reciprocal_deviation", (real(3, 5), [1], True, 1e-5)),
    ("normalize", (real(3, 5, 2), [0, 2], True, 1e-5)),
    ("normalize", (real(3, 5), [1], False, 1e-5)),
    ("repeat", (real(3, 2), 4)),
    ("variance", (plain(3, 5), [0])),
    ("encode", (plain(7),)),
]
WITHOUT_SPEC = [("dropout_mask", (torch.arange(3), 4, 0.5, "7"))]


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS)
@pytest.mark.parametrize("text", ["32,6,5", "16,6,5"])
def test_opcheck(name: str, arguments: tuple[Any, ...], text: str) -> None:
    opcheck(getattr(torch.ops.bposit, name).default, (*arguments, text))


@pytest.mark.parametrize(("name", "arguments"), WITHOUT_SPEC)
def test_opcheck_without_a_format(name: str, arguments: tuple[Any, ...]) -> None:
    opcheck(getattr(torch.ops.bposit, name).default, arguments)


def test_decode_passes_opcheck() -> None:
    bits = torch.tensor([0, 1, -5, 32767], dtype=torch.int16)
    opcheck(torch.ops.bposit.decode.default, (bits, "16,6,5"))


def functions() -> dict[str, Any]:
    """What _define.define made, by name."""
    modules = [import_module(f"torch_bridge.ops.{p.stem}") for p in FOLDER.glob("*.py")]
    found = [x for m in modules for x in vars(m).values() if hasattr(x, "__closure__")]
    return {x.__name__: x for x in found if x.__module__ == "torch_bridge.ops._define"}


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS)
def test_results_are_the_posits_they_are_taken_for(name: str, arguments: tuple[Any, ...]) -> None:
    """accumulate.linear does not round them again."""
    if name in ("encode", "pool_argmax", "variance"):  # bare ops, and not marked
        return
    out = functions()[name](*arguments, "16,6,5")
    assert holds_posits(out, "16,6,5")
    assert not holds_posits(out, "32,6,5")
    assert torch.equal(out, ops.fake_quant(out, bposit16))
    assert not holds_posits(out.clone(), "16,6,5")
    with torch.no_grad():
        out.add_(1e-3)
    assert not holds_posits(out, "16,6,5")


def test_no_op_is_forgotten() -> None:
    """Every op that the modules of ops define is above."""
    text = "".join(path.read_text() for path in FOLDER.glob("*.py"))
    named = re.findall(r'(?:Rule\(|_elementwise\(|_rule\()\s*"(\w+)"|"bposit::(\w+)"', text)
    checked = {name for name, _ in ARGUMENTS + WITHOUT_SPEC} | {"decode"}
    assert {a or b for a, b in named} == checked
