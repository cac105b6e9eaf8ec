"""What PositTensor refuses, with the words that say what to write; and what emulate() allows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.distributed import _functional_collectives as functional
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import posit
import torch_bridge as tb
from posit import bposit16, bposit32


def values(*shape: int) -> tb.PositTensor:
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    return tb.tensor(made, spec=bposit16)


# ---- operations
UNKNOWN: dict[str, Callable[[Any], Any]] = {
    "aten.sigmoid.default": torch.sigmoid,
    "aten.cumsum.default": lambda x: x.cumsum(0),
    "aten._softmax.default": lambda x: x.softmax(0),
    "aten.sigmoid_.default": torch.sigmoid_,
    "aten.erfinv.out": lambda x: torch.erfinv(x, out=x.clone()),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_operation_names_itself(name: str) -> None:
    with pytest.raises(NotImplementedError, match=f"{name} is not in PositTensor's table"):
        UNKNOWN[name](values(5))


@pytest.mark.parametrize("name", UNKNOWN)
def test_emulation_decodes_operates_and_rounds_once(name: str) -> None:
    x = values(5)
    want = posit.encode(UNKNOWN[name](x.double()).numpy(), bposit16)
    with tb.emulate():
        made = UNKNOWN[name](x)
    assert isinstance(made, tb.PositTensor)
    assert np.array_equal(made.bits().numpy(), want)
    assert np.array_equal(x.bits().numpy(), want) == name.endswith("_.default")


def test_emulation_of_several_results() -> None:
    x = values(4, 3)
    with tb.emulate():
        spread, mean = torch.var_mean(x, 0)
        assert spread.spec == mean.spec == bposit16
        index = torch.searchsorted(x.sort(0).values.mT.contiguous(), x.mT.contiguous())
    want = torch.var_mean(x.double(), 0)
    assert torch.equal(spread.bits(), tb.tensor(want[0], spec=bposit16).bits())
    assert type(index) is torch.Tensor
    assert index.dtype == torch.int64


def test_emulation_ends_with_its_block_and_is_the_threads_own() -> None:
    x, found = values(2), []

    def other() -> None:
        try:
            torch.sigmoid(x)
        except NotImplementedError as error:
            found.append(error)

    def fail() -> None:
        with tb.emulate():
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert len(found) == 1
    with pytest.raises(NotImplementedError):
        torch.sigmoid(x)


@pytest.mark.parametrize("change", ["unsqueeze_", "squeeze_", "t_"])
def test_the_shape_does_not_change_in_place(change: str) -> None:
    x = values(2, 3)
    args = (0,) if change == "unsqueeze_" else ()
    with tb.emulate(), pytest.raises(NotImplementedError, match=f"aten.{change}.default: .*shape"):
        getattr(x, change)(*args)
    assert x.shape == x.bits().shape == (2, 3)


# ---- mixing
MIXED: dict[str, Callable[[Any, Any], Any]] = {
    "aten.mul.Tensor": lambda x, y: x * y,
    "aten.add.Tensor": lambda x, y: y + x,
    "aten.div.Tensor": lambda x, y: y / x,
    "aten.mm.default": lambda x, y: x @ y,
    "aten.cat.default": lambda x, y: torch.cat([x, y]),
    "aten.stack.default": lambda x, y: torch.stack([y, x]),
    "aten.gt.Tensor": lambda x, y: x > y,
    "aten.where.self": lambda x, y: torch.where(x > 0, y, x),
    "aten.add_.Tensor": lambda x, y: x.add_(y),
    "aten.copy_.default": lambda x, y: x.copy_(y),
    "aten.index_put_.default": lambda x, y: x.__setitem__(x > 0, y[x.bits() > 0]),
    "aten.equal.default": lambda x, y: torch.tensor(torch.equal(y, x)),
}


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_float_tensors_do_not_mix(name: str, dtype: torch.dtype) -> None:
    x, y = values(3, 3), torch.full((3, 3), 2).to(dtype)
    before, start = x.clone(), x.clone()
    match = (
        rf"{name}: a PositTensor of <16,6,5> and a tensor of {dtype} do not mix.*tensor\(y, spec"
    )
    with pytest.raises(RuntimeError, match=match):
        MIXED[name](x, y)
    assert torch.equal(x.bits(), before.bits())
    with tb.emulate():
        made = MIXED[name](x, y)
        want = MIXED[name](before, tb.tensor(y, spec=bposit16))
    assert torch.equal(x, before)
    if made is None or name.split(".")[1].endswith("_"):
        assert not torch.equal(x, start)
    else:
        assert torch.equal(made, want)


@pytest.mark.parametrize("name", MIXED)
def test_formats_do_not_mix(name: str) -> None:
    other = values(3, 3).to_spec(bposit32)
    for block in (tb.emulate(), pytest.MonkeyPatch.context()):
        with block, pytest.raises(RuntimeError, match="<16,6,5> and of <32,6,5> do not mix"):
            MIXED[name](values(3, 3), other)


def test_numbers_must_be_posits() -> None:
    x = values(3)
    match = r"aten.mul.Tensor: 0.1 is no posit of <16,6,5>, the nearest is 0.10009765625\. Write"
    with pytest.raises(ValueError, match=match):
        x * 0.1
    for apply in (
        lambda: x + 1001, lambda: x > 0.1, lambda: x.fill_(0.3), lambda: x.clamp(0.1, 1),
        lambda: torch.where(x > 0, x, 0.1), lambda: x.__setitem__(0, 0.7), lambda: 0.1 / x,
        lambda: x * torch.tensor(0.1), lambda: x.add(x, alpha=0.1), lambda: x ** 0.3,
        lambda: torch.full_like(x, 0.1), lambda: 1e300 * x,
    ):  # fmt: skip
        with pytest.raises(ValueError, match="is no posit of <16,6,5>"):
            apply()
    assert (x * tb.tensor(0.1, spec=bposit16) == x * 0.10009765625).all()
    assert torch.equal(x * torch.tensor(0.5), x * 0.5)
    with tb.emulate():
        assert torch.equal(x * 0.1, x * 0.10009765625)
    with pytest.raises(TypeError):
        x * 1j


def test_bool_tensors_are_zeros_and_ones() -> None:
    x = tb.tensor([1.0, 2.0, 3.0], spec=bposit16)
    assert (x * torch.tensor([True, False, True])).tolist() == [1, 0, 3]


@pytest.mark.parametrize("infinity", [float("inf"), float("-inf")])
def test_there_is_no_infinity(infinity: float) -> None:
    """−∞ masks would become NaR, or saturate, and poison what they should hide."""
    x = values(4)
    for block in (tb.emulate(), pytest.MonkeyPatch.context()):
        with (
            block,
            pytest.raises(ValueError, match=r"masked_fill.*posits have no infinity; use mask"),
        ):
            x.masked_fill(x > 0, infinity)


# ---- dtypes (trap 1) and silent exits (trap 6)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.int32])
def test_another_dtype_is_refused(dtype: torch.dtype) -> None:
    x = values(2)
    match = f"PositTensor of <16,6,5> cannot become {dtype} in place of its format"
    for apply in (lambda: x.to(dtype), lambda: x.type(dtype), lambda: x.to("cpu", dtype)):
        with pytest.raises(TypeError, match=match):
            apply()
    for name in ("half", "bfloat16", "int", "bool"):
        with pytest.raises(TypeError, match="Leave posits first"):
            getattr(x, name)()


def linear() -> torch.nn.Linear:
    made = torch.nn.Linear(3, 2)
    for name, p in list(made.named_parameters()):
        setattr(made, name, torch.nn.Parameter(tb.tensor(p, spec=bposit16, requires_grad=False)))
    return made


def test_modules_keep_their_posits() -> None:
    module = linear()
    before = {name: p.bits().clone() for name, p in module.named_parameters()}
    for change in ("bfloat16", "half"):
        with pytest.raises(TypeError, match="cannot become torch"):
            getattr(module, change)()
    for change in ("double", "float"):
        with pytest.raises(RuntimeError, match=r"its data cannot become ordinary torch\.float"):
            getattr(module, change)()
    module.to(torch.float64).cpu().to("cpu")
    for name, p in module.named_parameters():
        assert isinstance(p, tb.PositTensor)
        assert isinstance(p, torch.nn.Parameter)
        assert torch.equal(p.bits(), before[name])


def test_data_takes_posits_of_the_format_alone() -> None:
    p = torch.nn.Parameter(tb.tensor([1.0, 2.0], spec=bposit16))
    for wrong in (torch.ones(2), torch.ones(2).double(), tb.tensor([3.0, 4.0], spec=bposit32)):
        with pytest.raises(RuntimeError, match="holds posits of <16,6,5>; its data cannot become"):
            p.data = wrong
    assert p.tolist() == [1, 2]
    p.data = tb.tensor([3.0, 4.0, 5.0], spec=bposit16)
    assert p.tolist() == [3, 4, 5]
    assert p.shape == (3,)
    assert (p * 2).tolist() == [6, 8, 10]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_posits_are_not_written_into_floats(dtype: torch.dtype) -> None:
    y, x = torch.ones(3, dtype=dtype), values(3)
    for apply in (
        lambda: y.copy_(x), lambda: y.add_(x), lambda: torch.add(x, x, out=y),
        lambda: y.__setitem__(0, x[0]), lambda: y.__setitem__(slice(2), x[:2]),
    ):  # fmt: skip
        for block in (tb.emulate(), pytest.MonkeyPatch.context()):
            with block, pytest.raises(RuntimeError, match="silently leave the format"):
                apply()
    assert torch.equal(y, torch.ones(3, dtype=dtype))


# ---- collectives (traps 9 and 10)
@pytest.fixture
def group() -> Iterator[Any]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield dist.group.WORLD
    dist.destroy_process_group()


def test_sums_over_ranks_name_the_exact_ones(group: Any) -> None:
    x = values(4)
    before = x.clone()
    for apply in (
        lambda: dist.all_reduce(x), lambda: dist.reduce(x, 0),
        lambda: functional.all_reduce(x, "sum", group),
    ):  # fmt: skip
        for block in (tb.emulate(), pytest.MonkeyPatch.context()):
            with (
                block,
                pytest.raises(RuntimeError, match=r"Use torch_bridge.distributed.all_reduce,"),
            ):
                apply()
    with pytest.raises(RuntimeError, match=r"Use torch_bridge.distributed.reduce_scatter,"):
        dist.reduce_scatter(x, [x.clone()])
    for apply in (lambda: dist.broadcast(x, 0), lambda: dist.all_gather([x.clone()], x)):
        with pytest.raises(RuntimeError, match=r"send its patterns, x\.bits\(\)"):
            apply()
    assert torch.equal(x, before)


def test_wrappers_that_would_round_at_every_rank(group: Any) -> None:
    with pytest.raises(NotImplementedError, match="fully_shard does not support PositTensor"):
        fully_shard(linear(), mesh=init_device_mesh("cpu", (1,)))
    with pytest.raises(RuntimeError, match="no message"):
        DistributedDataParallel(linear())
