"""Converted models in use: dtypes, hooks, functional calls, shared modules, in-place, BatchNorm."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils.checkpoint import checkpoint

import torch_bridge as tb
from posit import bposit16, bposit32
from torch_bridge import ops
from torch_bridge.streams import stream

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


def made(*layers: nn.Module, spec: Any = bposit16) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(*(layers or (nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 3))))
    tb.convert_(model, spec)
    return model


# ---- dtypes and devices
CASTS = [
    lambda m: m.half(), lambda m: m.bfloat16(), lambda m: m.float(), lambda m: m.to(torch.float16),
    lambda m: m.to("cpu", torch.bfloat16), lambda m: m.type(torch.float32), lambda m: m[0].half(),
    lambda m: nn.Sequential(m).half(),
]  # fmt: skip


@pytest.mark.parametrize("cast", CASTS)
def test_dtypes_stay(cast: Any) -> None:
    """Trap 1: the bits of posits under another dtype."""
    model = made()
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(TypeError, match=r"cannot become torch\.\w*float"):
        cast(model)
    for p, old in zip(model.parameters(), before, strict=True):
        assert p.dtype == torch.float64
        assert torch.equal(p, old)
        assert p.spec == bposit16  # type: ignore[attr-defined]


def test_moves_that_keep_them() -> None:
    model = made()
    want = model(X)
    kept = [id(p) for p in model.parameters()]
    assert model.double().to("cpu").to("cpu", torch.float64).cpu().train().eval() is model
    assert [id(p) for p in model.parameters()] == kept
    assert torch.equal(model(X), want)
    assert not model.requires_grad_(False)(X).requires_grad


def test_modules_left_out_compute_as_they_were() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3))
    tb.convert_(model, overrides={"1": None})
    out = model(X)
    assert torch.equal(ops.fake_quant(out, bposit16), out)
    inner = model[0](X)
    want = F.linear(inner.float(), model[1].weight, model[1].bias)
    assert torch.equal(model[1](inner), want)
    assert want.dtype == torch.float32
    out.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


# ---- torch.func
def test_functional_calls_and_torch_func() -> None:
    model = made()
    weights = dict(model.named_parameters())
    assert torch.equal(functional_call(model, weights, X), model(X))
    assert torch.equal(functional_call(model, model.state_dict(), X), model(X))

    def loss(ps: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(model, ps, x).square().sum()

    found = grad(loss)({k: p.detach() for k, p in weights.items()}, X)
    loss(weights, X).backward()
    each = vmap(grad(loss), (None, 0))({k: p.detach() for k, p in weights.items()}, X)
    for name, p in weights.items():
        assert torch.equal(found[name], p.grad)  # type: ignore[arg-type]
        alone = grad(loss)({k: q.detach() for k, q in weights.items()}, X[2])
        assert torch.equal(each[name][2], alone[name])


def test_posit_tensors_enter() -> None:
    model = made()
    x = tb.tensor(X, spec=bposit16)
    assert torch.equal(model(x), model(X))  # the first operation rounds to it anyway


# ---- hooks and forwards
def test_hooks_of_modules() -> None:
    model = made()
    plain = model(X)
    seen: list[str] = []
    handles = [
        model[1].register_forward_pre_hook(lambda m, a: seen.append("before")),
        model[1].register_forward_hook(lambda m, a, out: -out),
        model[1].register_full_backward_hook(lambda m, g_in, g_out: seen.append("back")),
    ]
    x = X.clone().requires_grad_()
    hooked = model(x)
    assert not torch.equal(hooked, plain)
    hooked.sum().backward()
    assert seen == ["before", "back"]
    for handle in handles:
        handle.remove()
    assert torch.equal(model(X), plain)


def test_a_forward_put_in_place_of_the_class_s() -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    layer = model[0]
    own = lambda x: F.linear(x, layer.weight) * 2  # noqa: E731
    layer.forward = own  # type: ignore[method-assign]
    tb.convert_(model, bposit32)
    out = model(X)
    assert torch.equal(ops.fake_quant(out, bposit32), out)
    torch.testing.assert_close(out, own(X.double()), atol=1e-6, rtol=0)
    tb.unconvert_(model)
    assert layer.forward is own
    assert torch.equal(model(X), own(X))


def test_inplace_is_in_place() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv1d(2, 2, 3, padding=1), nn.BatchNorm1d(2)
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            y = self.norm(self.conv(x))
            y += x
            y *= 0.5
            self.relu(y)  # what it returns is not looked at
            return y

    torch.manual_seed(0)
    model = Residual().double()
    twin = copy.deepcopy(model)
    tb.convert_(model, bposit32)
    xs = [torch.linspace(-2, 2, 24).double().reshape(3, 2, 4).requires_grad_() for _ in "ab"]
    outs = [m(x) for m, x in zip((model, twin), xs, strict=True)]
    torch.testing.assert_close(*outs, atol=1e-6, rtol=1e-6)
    for out in outs:
        out.square().sum().backward()
    pairs = zip((xs[0], *model.parameters()), (xs[1], *twin.parameters()), strict=True)
    for p, q in pairs:
        torch.testing.assert_close(p.grad, q.grad, atol=1e-6, rtol=1e-5)


# ---- shared, tied
def test_modules_registered_twice() -> None:
    shared = nn.Linear(4, 4)
    model = nn.ModuleDict(
        {"a": shared, "b": nn.Sequential(shared, nn.ReLU()), "c": nn.Linear(4, 4)}
    )
    report = tb.convert_(model, overrides={"re:a|b.0": bposit32})
    assert model["a"] is model["b"][0]  # type: ignore[index]
    assert list(report.converted) == ["", "a", "b", "b.1", "c"]
    assert model["a"].weight.spec == bposit32
    assert torch.equal(model["b"](X), ops.relu(model["a"](X), spec=bposit16))
    fresh = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    fresh["b"] = fresh["a"]
    with pytest.raises(ValueError, match="'a' and 'b' are one module, and are given two"):
        tb.convert_(fresh, overrides={"b": None})


def test_tied_parameters_take_one_format() -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    model["b"].weight = model["a"].weight
    for given in (None, bposit32):
        with pytest.raises(ValueError, match=r"'a\.weight' and 'b\.weight' are one parameter"):
            tb.convert_(model, overrides={"b": given})
    assert type(model["a"].weight) is nn.Parameter
    tb.convert_(model)
    assert model["b"].weight is model["a"].weight
    tb.unconvert_(model)
    assert model["b"].weight is model["a"].weight


class Stubborn(nn.Linear):
    """Whose weight can be set once."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "weight" and "weight" in self.__dict__.get("_parameters", {}):
            raise AttributeError("no")
        super().__setattr__(name, value)


def test_a_failure_half_way_undoes_all() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), Stubborn(4, 3))
    before = [*model.parameters(), *model.buffers()]
    with pytest.raises(AttributeError, match="no"):
        tb.convert_(model)
    after = [*model.parameters(), *model.buffers()]
    assert all(a is b for a, b in zip(before, after, strict=True))
    assert model(X).dtype == torch.float32
    assert not any("forward" in m.__dict__ or m._state_dict_hooks for m in model.modules())


# ---- BatchNorm, checkpointing
def test_batch_norm_and_parts_of_a_batch() -> None:
    model = made(nn.BatchNorm1d(4))
    whole = model(X)
    for options in ({}, {"batch": 6}, {"samples": torch.arange(6), "batch": 6}):
        with stream(0, 0, **options):  # type: ignore[arg-type]
            assert torch.equal(model(X), whole)
    before = model[0].running_mean.clone()
    for options in ({"batch": 12}, {"samples": torch.arange(6)},
                    {"samples": torch.arange(6, 12), "batch": 12}):  # fmt: skip
        with stream(0, 0, **options), pytest.raises(RuntimeError, match="whole batch, and stream"):  # type: ignore[arg-type]
            model(X)
    assert torch.equal(model[0].running_mean, before)
    with stream(0, 0, torch.arange(6)):
        model.eval()(X)


def test_samples_must_be_numbers_of_a_batch() -> None:
    for samples, match in (
        (torch.tensor([0, 6]), "samples 0 to 6 do not lie in a batch of 6"),
        (torch.tensor([-1, 2]), "samples -1 to 2"), (torch.tensor([1, 1]), "named twice"),
        (torch.tensor([0.5]), "must be integers"), (torch.zeros(2, 2).long(), "in one axis"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=match), stream(0, 0, samples, 6):
            pass


def test_checkpointing_is_exact_or_refused() -> None:
    model = made()
    model(X).sum().backward()
    want = [p.grad.clone() for p in model.parameters()]  # type: ignore[union-attr]
    model.zero_grad()
    checkpoint(model, X, use_reentrant=False).sum().backward()
    for p, g in zip(model.parameters(), want, strict=True):
        assert torch.equal(p.grad, g)  # type: ignore[arg-type]
    drop = made(nn.Linear(4, 4), nn.Dropout(0.5))
    with stream(0, 0):
        out = checkpoint(drop, X, use_reentrant=False)
        with pytest.raises(RuntimeError, match="checkpoint"):
            out.sum().backward()
