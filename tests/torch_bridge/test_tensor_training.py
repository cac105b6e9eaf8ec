"""Parameters, torch.optim's optimizers in posit arithmetic, and data loading."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import posit
import torch_bridge as tb
from posit import bposit16, bposit32, functions

aten = torch.ops.aten
Optimizer = Callable[..., torch.optim.Optimizer]

OPTIMIZERS: dict[str, Optimizer] = {
    "SGD": lambda p, **k: torch.optim.SGD(p, lr=0.1, **k),
    "momentum": lambda p, **k: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01, **k),
    "Nesterov": lambda p, **k: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, **k),
    "maximize": lambda p, **k: torch.optim.SGD(p, lr=0.1, momentum=0.5, maximize=True, **k),
    "Adam": lambda p, **k: torch.optim.Adam(p, lr=0.1, **k),
    "AMSGrad": lambda p, **k: torch.optim.Adam(p, lr=0.1, amsgrad=True, weight_decay=0.1, **k),
    "AdamW": lambda p, **k: torch.optim.AdamW(p, lr=0.1, **k),
}
WAYS: dict[str, dict[str, bool]] = {
    "loop": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}


def trained(name: str, way: str, spec: Any, steps: int = 8) -> list[torch.Tensor]:
    rng = np.random.default_rng(0)
    ps = [torch.nn.Parameter(tb.tensor(rng.normal(size=s), spec=spec)) for s in ((5, 3), (7,))]
    optimizer = OPTIMIZERS[name](ps, **WAYS[way])
    for _ in range(steps):
        for p in ps:
            p.grad = tb.tensor(rng.normal(size=p.shape), spec=spec)
        with tb.emulate():
            optimizer.step()
    for p in ps:
        assert isinstance(p, tb.PositTensor)
        for state in optimizer.state[p].values():
            assert isinstance(state, tb.PositTensor) or state.dim() == 0
    return [p.detach() for p in ps]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("spec", [bposit16, bposit32], ids=str)
def test_loop_foreach_and_fused_are_one_arithmetic(name: str, spec: Any) -> None:
    loop, *others = (trained(name, way, spec) for way in WAYS)
    for other in others:
        for a, b in zip(loop, other, strict=True):
            assert torch.equal(a.bits(), b.bits())  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_they_do_what_they_do_in_float64(name: str) -> None:
    rng = np.random.default_rng(0)
    start = [rng.normal(size=s) for s in ((5, 3), (7,))]
    ps = [torch.nn.Parameter(torch.tensor(x)) for x in start]
    optimizer = OPTIMIZERS[name](ps)
    for _ in range(8):
        for p in ps:
            p.grad = torch.from_numpy(rng.normal(size=p.shape))
        optimizer.step()
    for p, made in zip(ps, trained(name, "loop", bposit32), strict=True):
        np.testing.assert_allclose(made.double().numpy(), p.detach().numpy(), rtol=1e-4, atol=1e-5)
        assert not np.allclose(p.detach().numpy(), start[0] if p.dim() == 2 else start[1])


def test_a_step_rounds_every_operation() -> None:
    """p - lr·g: lr rounded, the product rounded, the sum rounded."""
    p, g = (posit.encode(np.linspace(a, 3, 50), bposit16) for a in (-3, 0.1))
    rate = posit.encode(-0.1, bposit16)
    want = functions.add(p, functions.mul(g, rate, bposit16), bposit16)
    made = torch.nn.Parameter(tb.from_bits(torch.from_numpy(p.copy()), bposit16))
    made.grad = tb.from_bits(torch.from_numpy(g), bposit16)
    optimizer = torch.optim.SGD([made], lr=0.1)
    with pytest.raises(
        ValueError, match=r"-0\.1 is no posit.*steps of torch\.optim's optimizers do"
    ):
        optimizer.step()
    with tb.emulate():
        optimizer.step()
    assert np.array_equal(made.detach().numpy().view(np.int16), want)


def test_rounded_steps_stall() -> None:
    """Trap 12: 1.0 after 1000 steps of 1e-3 is not 0; torch_bridge.optim has the remedies."""
    p = torch.nn.Parameter(tb.tensor([1.0], spec=bposit16))
    p.grad = tb.tensor([1.0], spec=bposit16)
    optimizer = torch.optim.SGD([p], lr=1e-3)
    with tb.emulate():
        for _ in range(1000):
            optimizer.step()
    assert abs(p.item()) > 0.1


IN_PLACE: dict[str, Callable[[Any], Any]] = {
    "_foreach_add_.List": lambda x: (x, x),
    "_foreach_add_.Scalar": lambda x: (x, 2),
    "_foreach_mul_.ScalarList": lambda x: (x, [2, 4]),
    "_foreach_sqrt_.default": lambda x: (x,),
    "_foreach_addcdiv_.ScalarList": lambda x: (x, x, x, [1, 2]),
    "_foreach_addcmul_.Scalar": lambda x: (x, x, x, 2),
    "_foreach_lerp_.Scalar": lambda x: (x, x, 0.5),
    "_foreach_copy_.default": lambda x: (x, [2 * t for t in x]),
    "_foreach_zero_.default": lambda x: (x,),
    "_foreach_maximum_.List": lambda x: (x, [2 * t for t in x]),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_operations_on_lists_give_none(name: str) -> None:
    """Trap 4. And those that are not in place give the same, leaving their operands."""
    packet, _, overload = name.partition(".")
    floats = [torch.tensor([4.0, 1.0]), torch.tensor([[0.25]])]
    xs = [tb.tensor(x, spec=bposit16) for x in floats]
    plain = getattr(getattr(aten, packet.rstrip("_")), overload)
    if plain._schema.returns:
        kept = plain(*IN_PLACE[name](xs))
        assert [x.tolist() for x in xs] == [x.tolist() for x in floats]
    op = getattr(getattr(aten, packet), overload)
    assert op(*IN_PLACE[name](xs)) is None
    op(*IN_PLACE[name](floats))
    assert [x.tolist() for x in xs] == [x.tolist() for x in floats]
    assert [x.tolist() for x in kept] == [x.tolist() for x in floats]


def test_gradient_clipping() -> None:
    ps = [torch.nn.Parameter(tb.tensor([3.0, 4.0], spec=bposit32)) for _ in range(2)]
    for p in ps:
        p.grad = tb.tensor([3.0, 4.0], spec=bposit32)
    with tb.emulate():
        norm = torch.nn.utils.clip_grad_norm_(ps, 1.0)
    assert isinstance(norm, tb.PositTensor)
    np.testing.assert_allclose(norm.item(), 50**0.5, rtol=1e-6)
    np.testing.assert_allclose(ps[0].grad.tolist(), [3 / 50**0.5, 4 / 50**0.5], rtol=1e-5)


class Net(torch.nn.Module):
    def __init__(self, spec: Any = bposit16) -> None:
        super().__init__()
        made = torch.randn(4, 3, generator=torch.Generator().manual_seed(3))
        self.w = torch.nn.Parameter(tb.tensor(made, spec=spec, requires_grad=False))
        self.b = torch.nn.Parameter(tb.tensor(torch.zeros(4), spec=spec))
        self.register_buffer("scale", tb.tensor(2.0, spec=spec))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(torch.nn.functional.linear(x, self.w, self.b)) * self.scale


def test_a_model_learns() -> None:
    net = Net(bposit32)
    x = tb.tensor(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), spec=bposit32)
    target = Net(bposit32)(x).detach() * 0.5
    optimizer = torch.optim.Adam(net.parameters(), lr=2**-5)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = ((net(x) - target) ** 2).mean()
        loss.backward()
        with tb.emulate():
            optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


# ---- state
def test_state_goes_to_models_of_the_same_format() -> None:
    source, target = Net(), Net()
    with torch.no_grad():
        source.w.mul_(2)
    target.load_state_dict(source.state_dict())
    assert torch.equal(target.w.bits(), source.w.bits())  # type: ignore[operator]
    assert target.w.bits().data_ptr() != source.w.bits().data_ptr()  # type: ignore[operator]
    clone = copy.deepcopy(source)
    assert torch.equal(clone.w, source.w)
    assert isinstance(clone.w, torch.nn.Parameter)
    assert isinstance(clone.scale, tb.PositTensor)


def test_state_of_another_format_is_refused() -> None:
    target = Net()
    before = target.w.bits().clone()  # type: ignore[operator]
    with pytest.raises(RuntimeError, match="posits of <16,6,5> and of <32,6,5> do not mix"):
        target.load_state_dict(Net(bposit32).state_dict())
    floats = {k: v.double() for k, v in target.state_dict().items()}
    floats["w"] += 1
    with pytest.raises(RuntimeError, match=r"a tensor of torch\.float64 do not mix"):
        target.load_state_dict(floats)
    assert torch.equal(target.w.bits(), before)  # type: ignore[operator]


def test_a_plain_model_does_not_swallow_posits() -> None:
    """Trap 6: torch would copy values, and nobody would know that the format was lost."""
    plain = torch.nn.Linear(3, 4)
    state = {"weight": Net().w, "bias": Net().b}
    before = plain.weight.clone()
    with pytest.raises(RuntimeError, match="silently leave the format"):
        plain.load_state_dict(state)
    assert torch.equal(plain.weight, before)
    plain.load_state_dict(state, assign=True)
    assert isinstance(plain.weight, tb.PositTensor)
    assert isinstance(plain(tb.tensor([1.0, 2.0, 3.0], spec=bposit16)), tb.PositTensor)


def test_optimizers_state_comes_back() -> None:
    def run(interrupt: bool) -> Any:
        net = Net()
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
        for i in range(6):
            if interrupt and i == 3:
                weights, state = net.state_dict(), copy.deepcopy(optimizer.state_dict())
                net = Net()
                net.load_state_dict(weights)
                optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
                optimizer.load_state_dict(state)
            optimizer.zero_grad()
            net(tb.tensor([[i, 0.5, -1.0]], spec=bposit16)).sum().backward()
            with tb.emulate():
                optimizer.step()
        return net.w.bits()  # type: ignore[operator]

    assert torch.equal(run(False), run(True))


# ---- data
class Rows(Dataset[Any]):
    def __len__(self) -> int:
        return 5

    def __getitem__(self, i: int) -> Any:
        return {"x": tb.tensor([i, 0.5], spec=bposit16), "y": i}


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_are_posits(workers: int) -> None:
    batches = list(DataLoader(Rows(), batch_size=2, num_workers=workers))
    assert [b["x"].tolist() for b in batches] == [
        [[0, 0.5], [1, 0.5]], [[2, 0.5], [3, 0.5]], [[4, 0.5]],
    ]  # fmt: skip
    for batch in batches:
        assert isinstance(batch["x"], tb.PositTensor)
        assert batch["x"].spec == bposit16
        assert isinstance(batch["y"], torch.Tensor)
