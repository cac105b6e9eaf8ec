"""PositTensor: what is inside, how it is made, how values leave, and what it looks like."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

import posit
import torch_bridge as tb
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64
from posit.spec import standard

from ..formats import mixed

SPECS = [bposit8, bposit16, bposit32, PositSpec(10, 4, 2), standard(16)]
specs = pytest.mark.parametrize("spec", SPECS, ids=str)


def sample(spec: PositSpec, *shape: int) -> tb.PositTensor:
    bits = mixed(spec, shape, np.random.default_rng(spec.n))
    return tb.from_bits(torch.from_numpy(bits), spec)


@specs
def test_tensor_rounds_as_posit_does(spec: PositSpec) -> None:
    x = torch.linspace(-5, 5, 33, dtype=torch.float64) ** 7
    x[3], x[4] = math.nan, math.inf
    want = posit.encode(x.numpy(), spec)
    for given in (x, x.numpy(), x.tolist(), tb.tensor(x, spec=spec)):
        made = tb.tensor(given, spec=spec)
        assert made.spec == spec
        assert made.dtype == torch.float64
        assert np.array_equal(made.bits().numpy(), want)
    small = x.to(torch.bfloat16)
    want = posit.encode(small.double().numpy(), spec)
    assert np.array_equal(tb.tensor(small, spec=spec).bits().numpy(), want)
    whole = torch.tensor([3, -7, 1000])
    want = posit.encode(whole.double().numpy(), spec)
    assert np.array_equal(tb.tensor(whole, spec=spec).bits().numpy(), want)
    assert np.array_equal(tb.tensor(True, spec=spec).bits().numpy(), spec.one)


@specs
def test_numpy_both_ways_shares_memory(spec: PositSpec) -> None:
    array = posit.view(mixed(spec, (3, 4), np.random.default_rng(0)), spec)
    x = tb.from_numpy(array)
    assert x.spec == spec
    for back in (x.to_numpy(), x.numpy(), x.t().to_numpy()):
        assert back.dtype == array.dtype
        assert np.shares_memory(back, array)
    assert np.array_equal(posit.bits(x.t()[1].to_numpy()), posit.bits(array[:, 1]))
    x[0, 0] = 1
    assert array[0, 0] == 1
    assert x.bits().data_ptr() == array.ctypes.data
    assert np.asarray(x).dtype == array.dtype


def test_patterns_are_checked() -> None:
    with pytest.raises(TypeError, match=r"<16,6,5> are torch.int16, got a tensor of torch.int32"):
        tb.from_bits(torch.zeros(2, dtype=torch.int32), bposit16)
    with pytest.raises(ValueError, match="512 is no pattern of <10,4,2>: -512 to 511"):
        tb.from_bits(torch.tensor([0, 512], dtype=torch.int16), "10,4,2")
    with pytest.raises(ValueError, match="-513 is no pattern"):
        tb.from_bits(torch.tensor([0, -513], dtype=torch.int16), "10,4,2")
    with pytest.raises(TypeError, match="expected a posit array, got float64"):
        tb.from_numpy(np.ones(2))
    with pytest.raises(TypeError, match="complex64 has no posits"):
        tb.tensor(torch.ones(2, dtype=torch.complex64), spec=bposit16)
    with pytest.raises(ValueError, match="unknown format 'float9'"):
        tb.tensor([1.0], spec="float9")


@specs
def test_exits(spec: PositSpec) -> None:
    x = sample(spec, 200)
    values = posit.decode(x.bits().numpy(), spec)
    assert type(x.double()) is torch.Tensor
    assert np.array_equal(x.double().numpy(), values, equal_nan=True)
    assert x.float().dtype == torch.float32
    with np.errstate(over="ignore"):
        assert np.array_equal(x.float().numpy(), values.astype(np.float32), equal_nan=True)
    assert np.array_equal(x.tolist(), values, equal_nan=True)


def test_exits_of_one_number() -> None:
    x = tb.tensor(1 / 3, spec=bposit16)
    third = float(posit.Posit(1 / 3, bposit16))
    assert x.shape == ()
    assert x.item() == float(x) == x.tolist() == x.double().item() == third
    assert f"{x:.2f}" == "0.33"
    assert bool(x)
    assert int(tb.tensor(-7.5, spec=bposit16)) == -7
    assert math.isnan(tb.tensor(math.nan, spec=bposit16).item())


def test_numpy_and_tolist_of_what_requires_grad() -> None:
    """Trap 5: torch refuses both for every subclass."""
    x = tb.tensor([1.0, 2.0], spec=bposit16, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"write x\.detach\(\)"):
        x.numpy()
    assert np.shares_memory(x.numpy(force=True), x.bits().numpy())
    assert x.tolist() == [1, 2]


def test_what_it_says_of_itself() -> None:
    x = tb.tensor([[1.5, -2], [math.nan, 0]], spec=bposit16)
    assert repr(x) == "PositTensor([[1.5, -2],\n [NaR, 0]], spec=<16,6,5>)"
    assert repr(x[0, 0].requires_grad_()) == "PositTensor(1.5, spec=<16,6,5>, requires_grad=True)"
    assert x.is_floating_point()
    assert isinstance(torch.nn.Parameter(x), torch.nn.Parameter)
    assert isinstance(torch.nn.Parameter(x), tb.PositTensor)


def test_sixty_four_bits_stay_integers() -> None:
    """float64 does not hold <64,6,5>: arithmetic works, exits refuse."""
    x = tb.tensor([1.0, 3.0], spec=bposit64)
    third = tb.tensor(1.0, spec=bposit64) / x
    assert posit.bits(posit.Posit(1, bposit64) / 3) == third.bits()[1]
    for leave in (tb.PositTensor.tolist, tb.PositTensor.double, lambda t: t[1].item()):
        with pytest.raises(TypeError, match="<64,6,5> does not fit float64"):
            leave(third)


@specs
def test_to_another_format_is_rounded_once(spec: PositSpec) -> None:
    x = sample(bposit32, 300)
    made = x.to_spec(spec)
    assert made.spec == spec
    want = posit.convert(x.bits().numpy(), bposit32, spec)
    assert np.array_equal(made.bits().numpy(), want)
    with pytest.raises(TypeError, match="expected a format"):
        x.to_spec(3)  # type: ignore[arg-type]


def test_copies_are_copies() -> None:
    x = tb.tensor([1.0, 2.0], spec=bposit16, requires_grad=True)
    for made in (x.clone().detach(), copy.deepcopy(x), copy.deepcopy(torch.nn.Parameter(x))):
        assert isinstance(made, tb.PositTensor)
        assert made.tolist() == [1, 2]
        with torch.no_grad():
            made[0] = 5
        assert x.tolist() == [1, 2]
    assert copy.deepcopy(x).requires_grad
    assert isinstance(copy.deepcopy(torch.nn.Parameter(x)), torch.nn.Parameter)


def test_new_memory_holds_patterns() -> None:
    """torch.empty_like may not: below 16 bits, not every int16 is a pattern of <10,4,2>."""
    x = sample(PositSpec(10, 4, 2), 50)
    for made in (torch.empty_like(x), x.new_empty(7, 9), torch.zeros_like(x)):
        assert isinstance(made, tb.PositTensor)
        assert made.spec == x.spec
        assert not made.bits().any()
    ones = (torch.ones_like(x), x.new_ones(3), torch.full_like(x, 1.0), x.new_full((2,), 1))
    for made in ones:
        assert isinstance(made, tb.PositTensor)
        assert set(made.tolist()) == {1}
    assert type(torch.zeros_like(x, dtype=torch.int64)) is torch.Tensor
    assert type(torch.ones_like(x, dtype=torch.bool)) is torch.Tensor
