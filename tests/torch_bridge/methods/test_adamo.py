"""AdamO's step: Adam's bits without isometry, singular values towards 1 with it, posits exactly."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import posit
import torch_bridge as tb
from torch_bridge.methods.adamo import (
    AdamO,
    gram_deviation,
    isometric_groups,
    isometry_gradient,
    isometry_penalty,
    largest_step,
    singular_values,
)


def model(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4), nn.ReLU(), nn.Linear(4, 3))


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_without_isometry_it_has_the_bits_of_adamw() -> None:
    options: dict[str, Any] = {"lr": 3e-3, "betas": (0.8, 0.99), "eps": 1e-6}
    ours, theirs = model(), model()
    a = AdamO(ours.parameters(), iso=0.0, **options)
    b = torch.optim.AdamW(
        theirs.parameters(), weight_decay=0, foreach=False, fused=False, **options
    )
    for step in range(40):
        for net, opt in ((ours, a), (theirs, b)):
            opt.zero_grad()
            x = random(5, 6, seed=step, dtype=torch.float32)
            net(x).square().sum().backward()
            if step % 7 == 0:
                net[0].weight.grad = None  # a parameter that took no part
            opt.step()
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(p, q), step
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        for name in ("step", "exp_avg", "exp_avg_sq"):
            assert torch.equal(a.state[p][name], b.state[q][name])


def test_isometry_does_not_enter_the_moments() -> None:
    """The same gradients, with and without: the same moments, other weights."""
    made = []
    for iso in (0.0, 5.0):
        w = nn.Parameter(random(5, 4))
        opt = AdamO([w], lr=1e-2, iso=iso)
        for step in range(10):
            w.grad = random(5, 4, seed=step)
            opt.step()
        made.append((w.detach(), opt.state[w]))
    assert not torch.equal(made[0][0], made[1][0])
    for name in ("exp_avg", "exp_avg_sq"):
        assert torch.equal(made[0][1][name], made[1][1][name])


def test_the_step_is_the_articles() -> None:
    """θ - lr·sign(g) - lr·λ·4W(WᵀW - I), at the weight before the step: Adam's first one."""
    w = nn.Parameter(random(3, 2) / 2)
    before, g = w.detach().clone(), random(3, 2, seed=1)
    opt = AdamO([w], lr=1e-3, eps=0.0, iso=7.0)
    w.grad = g.clone()
    opt.step()
    push = 4 * before @ (before.T @ before - torch.eye(2, dtype=torch.float64))
    assert torch.allclose(w.detach(), before - 1e-3 * g.sign() - 7e-3 * push, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (6, 2, 3, 1)])
@pytest.mark.parametrize("target", [1.0, 2.0])
def test_the_gradient_is_that_of_the_penalty(shape: tuple[int, ...], target: float) -> None:
    w = random(*shape).requires_grad_()
    isometry_penalty(w, target).backward()
    assert w.grad is not None
    assert torch.allclose(isometry_gradient(w, target), w.grad, rtol=1e-10, atol=1e-12)


@given(
    st.integers(0, 2**31),
    st.sampled_from([(6, 3), (3, 6), (5, 5), (4, 2, 3)]),
    st.floats(0.01, 0.125),
)
def test_steps_towards_an_isometry(seed: int, shape: tuple[int, ...], size: float) -> None:
    """With c <= 1/8 every singular value below 1 grows towards 1 and does not pass it."""
    w = nn.Parameter(random(*shape, seed=seed))
    with torch.no_grad():
        w /= singular_values(w)[0]
    opt = AdamO([w], lr=size, iso=1.0)
    before = first = singular_values(w)
    for _ in range(60):
        opt.step()
        after = singular_values(w)
        assert (after >= before - 1e-12).all()
        assert (after <= 1 + 1e-12).all()
        before = after
    slow = first * (1 + 2 * size) ** 60  # while σ² <= 1/2 it grows by 1 + 2c a step at least
    assert (after >= torch.minimum(slow, torch.tensor(0.5**0.5)) - 1e-9).all()


@pytest.mark.parametrize("size", [0.01, 0.06, 0.125])
def test_values_above_1_come_down(size: float) -> None:
    w = nn.Parameter(random(6, 4))
    with torch.no_grad():
        w *= 1.7 / singular_values(w)[0]
    opt = AdamO([w], lr=size, iso=1.0)
    for _ in range(int(20 / size)):
        opt.step()
        assert singular_values(w)[0] < 1.7
    assert torch.allclose(singular_values(w), torch.ones(4, dtype=torch.float64), atol=1e-9)


def test_an_eighth_is_a_step_of_the_polar_decomposition() -> None:
    w = nn.Parameter(random(6, 4))
    with torch.no_grad():
        w *= 1.2 / singular_values(w)[0]
    before = singular_values(w)
    AdamO([w], lr=0.125, iso=1.0).step()
    assert torch.allclose(
        singular_values(w), (before * (3 - before**2) / 2).sort(descending=True)[0]
    )


def test_steps_that_are_too_large_are_refused() -> None:
    w = nn.Parameter(torch.eye(3))
    AdamO([w], lr=0.1, iso=2.49)
    with pytest.raises(ValueError, match=r"lr·iso = 0.25 \(of R\): it must be below 1/4"):
        AdamO([w], lr=0.1, iso=2.5)
    AdamO([w], lr=0.1, iso=4.9, convention="half")
    with pytest.raises(ValueError, match="below 1/4"):
        AdamO([w], lr=0.1, iso=0.1, iso_lr=2.5)
    opt = AdamO([w], lr=0.1, iso=1.0)
    opt.param_groups[0]["lr"] = 0.3  # by a schedule
    with pytest.raises(ValueError, match="below 1/4"):
        opt.step()
    wide = nn.Parameter(4 * torch.eye(3))
    assert largest_step(wide) == pytest.approx(0.5 / 15)
    assert largest_step(w / 2) == float("inf")
    with pytest.raises(ValueError, match=r"shape \(3, 3\): its largest .* at most 0.0333"):
        AdamO([wide], lr=0.1, iso=0.4).step()
    AdamO([wide], lr=0.1, iso=0.3).step()


def test_what_is_isometric_is_explicit() -> None:
    with pytest.raises(ValueError, match=r"shape \(9,\) has no isometry: .* iso=0"):
        AdamO(model().parameters(), iso=0.1)
    net = model()
    first, rest = isometric_groups(net, 0.5, skip=["4"])
    assert [p is q for p, q in zip(first["params"], (net[0].weight, net[2].weight), strict=True)]
    assert (first["iso"], rest["iso"], len(rest["params"])) == (0.5, 0.0, 4)
    with pytest.raises(ValueError, match=r"no module is called \['5'\]"):
        isometric_groups(net, 0.5, skip=["5"])
    with pytest.raises(ValueError, match="no linear or convolutional layer is left"):
        isometric_groups(nn.Sequential(nn.ReLU()), 0.5)
    opt = AdamO(isometric_groups(net, 0.5), lr=1e-3)
    with pytest.raises(ValueError, match="has no isometry"):
        opt.add_param_group({"params": [nn.Parameter(torch.ones(2))], "iso": 1.0})
    assert len(opt.param_groups) == 2


def test_both_conventions() -> None:
    """½R with twice λ is R with λ, bit for bit."""
    made = []
    for convention, iso in (("paper", 0.5), ("half", 1.0)):
        w = nn.Parameter(random(4, 3) / 2)
        opt = AdamO([w], lr=0.01, iso=iso, convention=convention)
        w.grad = torch.ones_like(w)
        opt.step()
        made.append(w.detach())
    assert torch.equal(*made)


def test_a_saved_optimizer_goes_on_with_the_same_bits() -> None:
    made = []
    for interrupt in (False, True):
        w = nn.Parameter(random(4, 3) / 2)
        opt = AdamO([{"params": [w], "iso": 0.5}], lr=0.01)
        for step in range(6):
            if interrupt and step == 3:
                kept = opt.state_dict()
                opt = AdamO([{"params": [w]}], lr=9.0, iso=0.0)
                opt.load_state_dict(kept)
            w.grad = random(4, 3, seed=step)
            opt.step()
        made.append(w.detach())
    assert torch.equal(*made)


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (4, 4)])
@pytest.mark.parametrize("to", [None, "bposit32"])
def test_the_deviation_is_rounded_once(shape: tuple[int, int], to: str | None) -> None:
    """Against fractions, near an isometry, where all that is left is what rounding W left."""
    q = torch.linalg.qr(random(7, 7))[0][: shape[0], : shape[1]]
    q = torch.linalg.qr(q if shape[0] >= shape[1] else q.mT)[0]
    w = (q if shape[0] >= shape[1] else q.mT).contiguous()
    w = tb.ops.fake_quant(w, "bposit16")
    a = (w.mT if shape[0] >= shape[1] else w).tolist()
    found = gram_deviation(w, spec="bposit16", to=to)
    out = posit.PositSpec.parse(to or "bposit16")
    for i, row in enumerate(a):
        for j, other in enumerate(a):
            exact = sum(Fraction(x) * Fraction(y) for x, y in zip(row, other, strict=True))
            pattern = posit.from_fraction(exact - (i == j), out)
            assert found[i, j].item() == float(posit.decode(pattern, out))
    assert found.abs().max() < 0.02


def converted(update: str, iso: float = 0.5, **options: Any) -> tuple[nn.Sequential, AdamO]:
    net = model()
    tb.convert_(net, "bposit16")
    return net, AdamO(isometric_groups(net, iso, skip=["4"]), update=update, **options)


def test_posits_stay_posits_and_lose_nothing() -> None:
    """A thousand steps of 10⁻⁵: lost by rounding to nearest, kept as a residue."""
    ends = {}
    for update in ("nearest", "residue"):
        net, opt = converted(update, lr=1e-5, eps=1e-12)
        start = net[4].weight.detach().clone()
        for p in net.parameters():
            p.grad = torch.ones_like(p)
        for _ in range(300):
            opt.step()
        for p in net.parameters():
            assert torch.equal(p, tb.ops.fake_quant(p, "bposit16"))
        ends[update] = (net[4].weight.detach() - start, opt)
    moved, opt = ends["residue"]
    rest = opt.state[opt.param_groups[1]["params"][-2]]["residue"]
    assert rest.shape == moved.shape
    assert torch.allclose(moved + rest, torch.full_like(moved, -3e-3), rtol=1e-3)
    assert opt.lost == 0
    still, opt = ends["nearest"]
    big = still == 0
    assert big.double().mean() > 0.5
    assert opt.lost > 0.5 * opt.moved > 0


def test_on_posits_it_is_nearly_the_same_step() -> None:
    """bposit32 beside float64: the same steps to some 10⁻⁶."""
    ends = []
    for spec in (None, "bposit32"):
        net = model().double()
        if spec:
            tb.convert_(net, spec)
        opt = AdamO(isometric_groups(net, 0.5, skip=["4"]), lr=1e-2)
        for step in range(20):
            for i, p in enumerate(net.parameters()):
                p.grad = random(*p.shape, seed=100 * step + i)
            opt.step()
        ends.append([p.detach() for p in net.parameters()])
    for p, q in zip(*ends, strict=True):
        assert (p - q).abs().max() < 1e-5


def test_a_converted_model_learns_with_isometry() -> None:
    net, opt = converted("residue", iso=8.0, lr=1e-2)
    x, y = random(32, 6), torch.arange(32) % 3
    losses = []
    for _ in range(40):
        opt.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        opt.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert np.abs(singular_values(net[0].weight).numpy() - 1).max() < 0.1
