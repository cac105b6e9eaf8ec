"""The optimizers as torch uses them: groups, schedulers, checkpoints, shards, clipping, errors."""

from __future__ import annotations

import copy
import io
import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

import posit
from posit import PositSpec, bposit8, bposit16, bposit32, reference
from torch_bridge import gradients
from torch_bridge.optim import PositAdamW, PositSGD, clip_grad_norm_

KINDS = [PositSGD, PositAdamW]
UPDATES = ["residue", "stochastic", "master", "nearest"]
kinds = pytest.mark.parametrize("kind", KINDS)
updates = pytest.mark.parametrize("update", UPDATES)


def parameter(*shape: int, seed: int = 0) -> torch.nn.Parameter:
    bits = posit.encode(np.random.default_rng(seed).normal(size=shape), bposit16)
    return torch.nn.Parameter(torch.from_numpy(np.asarray(posit.decode(bits, bposit16))))


def push(optimizer: torch.optim.Optimizer, seed: int) -> None:
    """A step with gradients that depend on the seed alone."""
    rng = np.random.default_rng(seed)
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = torch.from_numpy(rng.normal(size=tuple(p.shape)))
    optimizer.step()


def bits(*parameters: torch.Tensor) -> list[Any]:
    return [posit.encode(p.detach().numpy(), bposit16).tolist() for p in parameters]


OPTIONS: dict[Any, dict[str, Any]] = {
    PositSGD: {"lr": 0.1, "momentum": 0.9, "spec": bposit16},
    PositAdamW: {"lr": 0.1, "spec": "16,6,5"},
}


# ---- checkpoints
@kinds
@updates
def test_training_goes_on_from_a_checkpoint(kind: Any, update: str) -> None:
    ours = [parameter(3, 2), parameter(4, seed=1)]
    optimizer = kind(ours, **OPTIONS[kind], update=update, seed=3)
    for seed in range(3):
        push(optimizer, seed)
    file = io.BytesIO()
    torch.save([optimizer.state_dict(), [p.detach() for p in ours]], file)
    file.seek(0)
    saved, weights = torch.load(file, weights_only=True)
    theirs = [torch.nn.Parameter(w.clone()) for w in weights]
    other = kind(theirs, **{**OPTIONS[kind], "lr": 55.0}, update=update)
    other.load_state_dict(saved)
    for p, q in zip(ours, theirs, strict=True):
        for name, found in other.state[q].items():
            assert found.dtype == optimizer.state[p][name].dtype
            assert torch.equal(found, optimizer.state[p][name])
    for o in (optimizer, other):
        for seed in range(3, 6):
            push(o, seed)
    assert bits(*ours) == bits(*theirs)


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")  # says that one process saves
@kinds
def test_distributed_checkpoints_keep_the_bits(kind: Any, tmp_path: Path) -> None:
    def fresh() -> tuple[torch.nn.Module, Any]:
        layer = torch.nn.Module()
        layer.register_parameter("weight", parameter(3, 2))
        return layer, kind(layer.parameters(), **OPTIONS[kind])

    (first, one), (second, two) = fresh(), fresh()
    push(one, 0)
    saved = get_state_dict(first, one)
    checkpoint.save({"model": saved[0], "state": saved[1]}, checkpoint_id=tmp_path)
    model, state = get_state_dict(second, two)
    read = {"model": model, "state": state}
    checkpoint.load(read, checkpoint_id=tmp_path)
    set_state_dict(second, two, model_state_dict=read["model"], optim_state_dict=read["state"])
    for o in (one, two):
        push(o, 1)
    assert bits(*first.parameters()) == bits(*second.parameters())


def test_loading_shares_no_memory() -> None:
    p, q = parameter(3), parameter(3)
    first, second = (PositSGD([x], spec=bposit16) for x in (p, q))
    push(first, 0)
    second.load_state_dict(first.state_dict())
    before = second.state[q]["residue"].tolist()
    push(first, 1)
    assert second.state[q]["residue"].tolist() == before


@kinds
def test_copies_go_on_alike(kind: Any) -> None:
    p = parameter(3)
    optimizer = kind([p], **OPTIONS[kind])
    push(optimizer, 0)
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        (q,) = other.param_groups[0]["params"]
        push(other, 1)
        mine = copy.deepcopy(optimizer)
        push(mine, 1)
        assert bits(q) == bits(mine.param_groups[0]["params"][0])


@pytest.mark.parametrize(
    "change",
    [{"spec": bposit32}, {"state_spec": "bposit16"}, {"update": "master"}, {"offset": 5}],
    ids=str,
)
def test_a_checkpoint_of_another_kind_is_refused(change: dict[str, Any]) -> None:
    saved = PositSGD([parameter(3)], spec=bposit16)
    push(saved, 0)
    p = parameter(3)
    other = PositSGD([p], **{"spec": bposit16, "lr": 0.5, **change})
    (name,) = change
    with pytest.raises(ValueError, match=f"was saved with {name}="):
        other.load_state_dict(saved.state_dict())
    assert other.param_groups[0]["lr"] == 0.5
    assert not other.state


@pytest.mark.parametrize(
    ("name", "made", "text"),
    [
        ("residue", torch.zeros(4, dtype=torch.int32), "residue must be torch.int32 of shape"),
        ("residue", torch.zeros(3), "residue must be torch.int32"),
        ("residue", None, "has no residue"),
        ("step", torch.tensor(1.5), "step must be torch.int64"),
        ("momentum", "text", "momentum must be torch.int32"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(name: str, made: Any, text: str) -> None:
    optimizer = PositSGD([parameter(3)], spec=bposit16, momentum=0.5)
    push(optimizer, 0)
    saved = optimizer.state_dict()
    state = {**saved["state"][0], name: made}
    saved["state"] = {0: {k: v for k, v in state.items() if v is not None}}
    other = PositSGD([parameter(3)], spec=bposit16, momentum=0.5)
    with pytest.raises(ValueError, match=text):
        other.load_state_dict(saved)
    assert not other.state


# ---- groups, schedulers, closures
def test_groups_have_their_own_options() -> None:
    p, q = parameter(3), parameter(3)
    still = bits(q)
    optimizer = PositSGD([{"params": [p]}, {"params": [q], "lr": 0.0}], lr=0.1, spec=bposit16)
    push(optimizer, 0)
    assert bits(q) == still != bits(p)
    optimizer.add_param_group({"params": [r := parameter(2)], "spec": "bposit8"})
    push(optimizer, 1)
    assert all(v in posit.decode(posit.encode(v, bposit8), bposit8) for v in [r.detach().numpy()])


def test_the_order_of_parameters_does_not_matter_but_to_stochastic_rounding() -> None:
    for update in UPDATES:
        made = []
        for order in (slice(None), slice(None, None, -1)):
            ours = [parameter(5, seed=s) for s in range(3)]
            optimizer = PositSGD(ours[order], lr=0.1, spec=bposit16, update=update)
            for s, p in enumerate(ours):
                p.grad = parameter(5, seed=s + 10).detach()
            optimizer.step()
            made.append(bits(*ours))
        assert (made[0] == made[1]) == (update != "stochastic")


def test_schedulers() -> None:
    p = parameter(1)
    optimizer = PositSGD([p], lr=1.0, spec=bposit16, update="nearest")
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    moved = []
    for _ in range(3):
        with torch.no_grad():
            p.zero_()
        p.grad = torch.ones_like(p)
        optimizer.step()
        scheduler.step()
        moved.append(p.item())
    assert moved == [-1.0, -0.5, -0.25]


def test_a_one_cycle_scheduler_and_a_tensor_as_rate() -> None:
    optimizer = PositAdamW([parameter(2)], lr=torch.tensor(0.5), spec=bposit16)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=5)
    for seed in range(4):
        push(optimizer, seed)
        scheduler.step()
    assert optimizer.param_groups[0]["betas"][0] != 0.9


def test_closure() -> None:
    p = parameter(2)
    optimizer = PositSGD([p], lr=0.25, spec=bposit16)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    losses = [optimizer.step(closure).item() for _ in range(5)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] / 100


def test_parameters_without_gradients_stay() -> None:
    p, q = parameter(3), parameter(3)
    optimizer = PositAdamW([p, q], spec=bposit16)
    before = bits(q)
    p.grad = torch.ones_like(p)
    optimizer.step()
    assert bits(q) == before
    assert q not in optimizer.state


@pytest.mark.parametrize("shape", [(), (0,), (2, 0)], ids=str)
@kinds
@updates
def test_small_shapes(kind: Any, update: str, shape: tuple[int, ...]) -> None:
    p = torch.nn.Parameter(torch.ones(shape, dtype=torch.float64))
    optimizer = kind([p], **OPTIONS[kind], update=update)
    push(optimizer, 0)
    push(optimizer, 1)
    assert p.shape == shape


# ---- stochastic rounding is keyed by element, step and seed
def test_shards_round_as_the_whole_does() -> None:
    whole = parameter(10)
    start = whole.detach().clone()
    optimizer = PositSGD([parameter(7), whole], lr=0.01, spec=bposit16, update="stochastic", seed=5)
    grads = torch.from_numpy(np.random.default_rng(1).normal(size=(3, 10)))
    for g in grads:
        whole.grad = g
        optimizer.step()
    joined = []
    for low, high in ((0, 4), (4, 4), (4, 10)):
        shard = torch.nn.Parameter(start[low:high].clone())
        part = PositSGD(
            [shard], lr=0.01, spec=bposit16, update="stochastic", seed=5, offset=7 + low
        )
        for g in grads:
            shard.grad = g[low:high]
            part.step()
        joined += bits(shard)[0]
    assert joined == bits(whole)[0]


def stochastic(seed: int, steps: int = 1, offset: int | None = None) -> list[float]:
    p = torch.nn.Parameter(torch.ones(4000, dtype=torch.float64))
    optimizer = PositSGD([p], lr=1.0, spec=bposit16, update="stochastic", seed=seed, offset=offset)
    for step in range(steps):
        if step == steps - 1:
            with torch.no_grad():
                p.fill_(1.0)
        p.grad = torch.full_like(p, -(2.0**-10))  # a quarter of the gap above 1
        optimizer.step()
    found: list[float] = p.tolist()
    return found


def test_stochastic_rounding_is_unbiased_and_keyed() -> None:
    first = stochastic(0)
    assert set(first) == {1.0, 1 + 2.0**-8}
    assert abs(np.mean(first) - (1 + 2.0**-10)) < 4 * 2.0**-8 * (3 / 16 / 4000) ** 0.5
    assert stochastic(0) == first
    for other in (stochastic(1), stochastic(0, steps=2)):
        agree = np.mean(np.array(other) == np.array(first))
        assert abs(agree - (1 / 16 + 9 / 16)) < 0.04
    assert stochastic(0, offset=1000)[:3000] == first[1000:]


# ---- clipping
def clipped(grads: list[Any], limit: float, spec: PositSpec) -> tuple[int, list[list[int]]]:
    """The definition, in fractions."""
    rounded = [[reference.encode(float(g), spec) for g in row] for row in grads]
    square = sum(Fraction(reference.decode(b, spec)) ** 2 for row in rounded for b in row)
    norm = reference.encode(reference.root(Fraction(square), 200), spec)
    most = reference.encode(limit, spec)
    if norm <= most:
        return norm, rounded
    factor = reference.div(most, norm, spec)
    return norm, [[reference.mul(factor, b, spec) for b in row] for row in rounded]


@pytest.mark.parametrize("spec", [bposit8, bposit16, bposit32], ids=str)
@pytest.mark.parametrize("limit", [0.01, 1.0, 1e3])
def test_clipping_is_its_definition(spec: PositSpec, limit: float) -> None:
    ours = [parameter(4), parameter(3, seed=1), parameter(2)]
    rng = np.random.default_rng(2)
    grads = [rng.normal(size=len(p)) * 2.0 ** rng.integers(-9, 9, len(p)) for p in ours[:2]]
    for p, g in zip(ours, grads, strict=False):
        p.grad = torch.from_numpy(g)
    norm, want = clipped(grads, limit, spec)
    found = clip_grad_norm_(ours, limit, spec=spec)
    assert found.dtype == torch.float64
    assert posit.encode(found.item(), spec) == norm
    for p, row in zip(ours, want, strict=False):
        made = gradients.rounded(p, spec)
        assert made is not None
        assert made.tolist() == row
    assert ours[2].grad is None


def test_clipping_takes_deposits() -> None:
    p = parameter(2)
    gradients.of(p, bposit16).add(posit.encode([[3.0, 2.0], [0.0, 2.0]], bposit16))
    assert clip_grad_norm_(p, 5.0).item() == 5.0
    assert p.grad is None
    assert clip_grad_norm_(iter([p]), 2.5).item() == 5.0
    assert p.grad is not None
    assert p.grad.tolist() == [1.5, 2.0]
    assert gradients.rounded(p, bposit16).tolist() == posit.encode([1.5, 2.0], bposit16).tolist()


def test_clipping_nothing_and_nar() -> None:
    p = parameter(2)
    assert clip_grad_norm_([p], 1.0).item() == 0.0
    p.grad = torch.tensor([np.nan, 9.0], dtype=torch.float64)
    with pytest.raises(FloatingPointError, match="is NaR"):
        clip_grad_norm_([p], 1.0)
    assert np.isnan(clip_grad_norm_([p], 1.0, error_if_nonfinite=False).item())
    assert p.grad[1] == 9.0
    for bad in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="positive numbers"):
            clip_grad_norm_([p], bad)


# ---- NaR
@kinds
def test_nar_changes_nothing_and_names_parameter_and_step(kind: Any) -> None:
    layer = torch.nn.Linear(3, 2).double()
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.from_numpy(posit.decode(posit.encode(p.numpy(), bposit16), bposit16)))
    optimizer = kind(layer.named_parameters(), **OPTIONS[kind])
    push(optimizer, 0)
    before = bits(*layer.parameters()), copy.deepcopy(optimizer.state_dict()["state"])
    layer.weight.grad = torch.ones_like(layer.weight)
    layer.bias.grad = torch.tensor([1.0, np.inf], dtype=torch.float64)
    with pytest.raises(
        FloatingPointError, match="step 2: the gradient of parameter 'bias' is NaR in 1"
    ):
        optimizer.step()
    assert bits(*layer.parameters()) == before[0]
    assert str(optimizer.state_dict()["state"]) == str(before[1])


def test_nar_can_be_skipped() -> None:
    p, q = parameter(2), parameter(2)
    optimizer = PositSGD([p, q], lr=0.1, spec=bposit16, on_nar="skip")
    before = bits(p, q)
    p.grad, q.grad = torch.ones_like(p), torch.full_like(q, np.nan)
    optimizer.step()
    assert (optimizer.skipped, bits(p, q)) == (1, before)
    q.grad = torch.ones_like(q)
    optimizer.step()
    assert optimizer.skipped == 1
    assert bits(p, q) != before


def test_unnamed_parameters_are_counted() -> None:
    p, q = parameter(2), parameter(2)
    optimizer = PositSGD([p, q], spec=bposit16)
    q.grad = torch.full_like(q, np.nan)
    with pytest.raises(FloatingPointError, match="step 1: the gradient of parameter 1 of group 0"):
        optimizer.step()


# ---- bad input
@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"spec": None}, ValueError, "give spec="),
        ({"spec": "bposit64"}, TypeError, "does not fit float64"),
        ({"update": "best"}, ValueError, "possible are nearest, residue, stochastic, master"),
        ({"on_nar": "warn"}, ValueError, "possible are raise, skip"),
        ({"update": "master", "state_spec": "bposit8"}, ValueError, "does not hold them"),
        ({"state_spec": "64,16,8"}, ValueError, "no format holds both"),
        ({"seed": -1}, ValueError, "seed=-1"),
        ({"seed": 1.5}, ValueError, "seed=1.5"),
        ({"offset": 1 << 64}, ValueError, "offset=18446744073709551616"),
        ({"lr": -1.0}, ValueError, "lr=-1.0"),
        ({"lr": float("nan")}, ValueError, "lr=nan"),
        ({"weight_decay": float("inf")}, ValueError, "weight_decay=inf"),
        ({"foreach": True}, TypeError, "foreach"),
    ],
    ids=str,
)
@kinds
def test_impossible_options(
    kind: Any, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        kind([parameter(2)], **{"spec": bposit16, **options})


@pytest.mark.parametrize(
    ("kind", "options", "text"),
    [
        (PositSGD, {"momentum": -0.1}, "momentum=-0.1"),
        (PositSGD, {"nesterov": True}, "needs a momentum"),
        (PositSGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "dampening of 0"),
        (PositAdamW, {"betas": (1.0, 0.9)}, r"betas\[0\]=1.0"),
        (PositAdamW, {"betas": (0.9, -0.1)}, r"betas\[1\]=-0.1"),
        (PositAdamW, {"eps": 0.0}, "0/0 is NaR"),
    ],
    ids=str,
)
def test_impossible_numbers(kind: Any, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        kind([parameter(2)], spec=bposit16, **options)


def test_a_wrong_group_is_not_added() -> None:
    optimizer = PositSGD([parameter(2)], spec=bposit16)
    narrow = torch.nn.Parameter(torch.zeros(2))
    with pytest.raises(TypeError, match=r"parameter 0 of group 1 is torch\.float32 on cpu"):
        optimizer.add_param_group({"params": [narrow]})
    assert len(optimizer.param_groups) == 1


def test_a_rate_that_a_scheduler_spoils() -> None:
    p = parameter(2)
    optimizer = PositSGD([p], spec=bposit16)
    optimizer.param_groups[0]["lr"] = float("nan")
    p.grad = torch.ones_like(p)
    before = bits(p)
    with pytest.raises(ValueError, match="lr=nan"):
        optimizer.step()
    assert bits(p) == before
