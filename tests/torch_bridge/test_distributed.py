"""Exact sums over ranks: every world size, every uneven split, gives the bits of one process."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import posit
from posit import bposit8, bposit16, bposit32
from quire import Accumulators
from torch_bridge import convert_, distributed, gradients, tensor
from torch_bridge.optim import PositAdamW, clip_grad_norm_

from ..formats import mixed
from .ranks import run_ranks

WORLDS = [1, 2, 3]
worlds = pytest.mark.parametrize("world", WORLDS)
BATCH = 10


def shares(world: int, rank: int) -> Any:
    """Uneven and shuffled; with three ranks, the last has nothing."""
    order = np.random.default_rng(world).permutation(BATCH)
    return np.split(order, {1: [], 2: [7], 3: [3, BATCH]}[world])[rank]


# ---- sums
def operands(spec: Any) -> Any:
    rng = np.random.default_rng(spec.n)
    a, b, c = (mixed(spec, s, rng) for s in ((4, BATCH), (BATCH, 5), (BATCH, 7)))
    for x in (a, b, c):
        x[x == spec.nar] = 3
    c[2, 6] = spec.nar
    return a, b, c


def summed(k: Any) -> list[Accumulators]:
    """Of two formats, with NaR, never touched, and of no elements."""
    made = []
    for spec in (bposit8, bposit16, bposit32):
        a, b, c = operands(spec)
        made.append(Accumulators((4, 5), spec).add_products(a[:, k], b[k]))
        line = Accumulators(7, spec)
        for row in c[k]:
            line.add(row)
        made += [line, Accumulators(3, spec), Accumulators((0, 2), spec)]
    return made


def sum_on(rank: int, world: int) -> Any:
    sums = summed(shares(world, rank))
    scattered = [distributed.reduce_scatter(s) for s in sums]
    distributed._BUCKET = 11  # pieces end inside of sums
    distributed.all_reduce(sums)
    return sums, scattered


@worlds
def test_sums(world: int) -> None:
    want = summed(np.arange(BATCH))
    made = run_ranks(sum_on, world)
    for sums, _ in made:
        assert sums == want
    for i, whole in enumerate(want):
        parts = [scattered[i] for _, scattered in made]
        share = -(-whole.round().size // world)
        assert all(p.round().size <= share for p in parts)
        assert np.concatenate([p.round() for p in parts]).tolist() == whole.round().ravel().tolist()
        values = [v for p in parts for v in p.values()]
        assert values == whole.values().ravel().tolist()


# ---- gradients and a step
def model() -> dict[str, torch.nn.Parameter]:
    rng = np.random.default_rng(0)
    shapes = {"weight": (4, 6), "bias": (4,), "table": (9, 6), "unused": (2,)}
    return {
        name: torch.nn.Parameter(
            torch.from_numpy(posit.decode(posit.encode(rng.normal(size=s), bposit16), bposit16))
        )
        for name, s in shapes.items()
    }


def deposit(p: dict[str, torch.nn.Parameter], seed: int, k: Any) -> None:
    """The table is a linear layer's weight too; it sees nothing of the first samples."""
    rng = np.random.default_rng(seed)
    x, g, h = (posit.encode(rng.normal(size=(BATCH, n)) ** 9, bposit16) for n in (6, 4, 9))
    index = rng.integers(0, 9, BATCH)
    for i in k:
        gradients.of(p["weight"], bposit16).add_products(g[[i]].T, x[[i]])
        gradients.of(p["bias"], bposit16).add(g[[i]])
        gradients.of(p["table"], bposit16).add_rows(index[[i]], x[[i]])
        gradients.of(p["table"], bposit16).add_products(h[[i]].T, x[[i]])


def train(rank: int, world: int) -> Any:
    p = model()
    optimizer = PositAdamW(p.values(), lr=0.1, spec=bposit16, update="stochastic", seed=4)
    norms = []
    for step in range(4):
        deposit(p, step, shares(world, rank))
        if dist.is_initialized():
            distributed.all_reduce_gradients(p.values())
        norms.append(float(clip_grad_norm_(p.values(), 1e6)))
        optimizer.step()
        optimizer.zero_grad()
    bits = {n: posit.encode(q.detach().numpy(), bposit16).tolist() for n, q in p.items()}
    state = [{k: v.tolist() for k, v in s.items()} for s in optimizer.state.values()]
    return bits, state, norms


@cache
def alone() -> Any:
    return train(0, 1)


@worlds
def test_training(world: int) -> None:
    bits, state, norms = alone()
    start = {n: posit.encode(q.detach().numpy(), bposit16).tolist() for n, q in model().items()}
    assert all((bits[n] != start[n]) == (n != "unused") for n in bits)
    assert min(norms) < 1e6 < max(norms)
    for made in run_ranks(train, world):
        assert made == (bits, state, norms)


def clip_shards(rank: int, world: int) -> Any:
    """Each rank has a stretch of one gradient; the norm is of all of it."""
    whole = np.random.default_rng(6).normal(size=BATCH)
    mine = np.split(whole, {1: [], 2: [7], 3: [3, BATCH]}[world])[rank]
    p = torch.nn.Parameter(torch.zeros(mine.size, dtype=torch.float64))
    p.grad = torch.from_numpy(mine)
    norm = clip_grad_norm_(p, 0.5, sharded=True)
    return norm.item(), p.grad.tolist()


def test_shards_are_clipped_as_the_whole_is() -> None:
    ((norm, want),) = run_ranks(clip_shards, 1)
    for world in (2, 3):
        made = run_ranks(clip_shards, world)
        assert [n for n, _ in made] == [norm] * world
        assert [g for _, part in made for g in part] == want


# ---- DistributedDataParallel
class Deposit(torch.autograd.Function):
    """x·wᵀ of posits, whose backward pass deposits."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        ctx.x, ctx.w = x, w
        return x @ w.T

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> Any:  # type: ignore[override]
        bits = [posit.encode(t.detach().numpy(), bposit16) for t in (g, ctx.x)]
        gradients.of(ctx.w, bposit16).add_products(bits[0].T, bits[1])
        return g @ ctx.w, None


class Layer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2, 3, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return Deposit.apply(x, self.weight)  # type: ignore[no-any-return]


class Rounded(Layer):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.T


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(5)
    x, c = (
        posit.decode(posit.encode(rng.normal(size=(BATCH, n)), bposit16), bposit16) for n in (3, 2)
    )
    return torch.from_numpy(x), torch.from_numpy(c)


def under_ddp(rank: int, world: int) -> Any:
    """One synchronised step after an unsynchronised one, twice."""
    layer = Layer()
    wrapped = DistributedDataParallel(layer)
    wrapped.register_comm_hook(None, distributed.ddp_hook)
    x, c = inputs()
    made = []
    for _ in range(2):
        k = shares(world, rank)
        with wrapped.no_sync():
            (wrapped(x[k[:2]]) * c[k[:2]]).sum().backward()
        (wrapped(x[k[2:]]) * c[k[2:]]).sum().backward()
        bits = gradients.rounded(layer.weight, bposit32)
        assert bits is not None
        made.append(bits.tolist())
        layer.zero_grad()
        gradients.clear([layer.weight])
    return made


@worlds
def test_ddp_reduces_the_exact_sums(world: int) -> None:
    x, c = (posit.encode(t.numpy(), bposit16) for t in inputs())
    want = Accumulators((2, 3), bposit16).add_products(c.T, x).round(bposit32).tolist()
    assert run_ranks(under_ddp, world) == [[want, want]] * world


def converted_under_ddp(rank: int, world: int) -> Any:
    """Two steps of a converted model, whose layers deposit and hand autograd nothing."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 2))
    convert_(model, bposit16)
    optimizer = PositAdamW(model.parameters(), lr=0.1)
    wrapped = DistributedDataParallel(model)
    wrapped.register_comm_hook(None, distributed.ddp_hook)
    x, c = inputs()
    for _ in range(2):
        optimizer.zero_grad()
        k = shares(world, rank)
        wrapped(x[k]).backward(c[k])
        optimizer.step()
    return [p.tolist() for p in model.parameters()]


def test_ddp_trains_a_converted_model_alike_on_any_number_of_ranks() -> None:
    (alone,) = run_ranks(converted_under_ddp, 1)
    for world in (2, 3):
        assert run_ranks(converted_under_ddp, world) == [alone] * world


def rounded_under_ddp(rank: int, world: int) -> Any:
    wrapped = DistributedDataParallel(Rounded())
    wrapped.register_comm_hook(None, distributed.ddp_hook)
    wrapped(inputs()[0]).sum().backward()


class OfPosits(torch.nn.Module):
    """Parameters that are PositTensors of two formats, and one that is not trained."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)

        def parameter(shape: tuple[int, ...], spec: posit.PositSpec, train: bool) -> nn.Parameter:
            return nn.Parameter(tensor(rng.normal(size=shape), spec=spec), requires_grad=train)

        self.first = parameter((3, 4), bposit16, True)
        self.second = parameter((4, 2), bposit32, True)
        self.still = parameter((), bposit8, False)
        self.register_buffer("seed", torch.tensor(seed))

    def forward(self, x: torch.Tensor) -> Any:
        inner: Any = tensor(x, spec=bposit16) @ self.first
        return inner.to_spec(bposit32) @ self.second


def posits_under_ddp(rank: int, world: int) -> Any:
    """A step after an unsynchronised one; and each rank's own gradients beside them."""
    model, alone = OfPosits(rank), OfPosits(0)
    wrapped = distributed.ddp(model)
    x, _ = inputs()
    k = shares(world, rank)
    for part in (k[:2], k[2:]):
        alone(x[part]).sum().backward()
    with wrapped.no_sync():
        wrapped(x[k[:2]]).sum().backward()
    wrapped(x[k[2:]]).sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.25).step()
    grads = [[p.grad.bits().tolist() for p in (m.first, m.second)] for m in (model, alone)]  # type: ignore[union-attr]
    return [p.bits().tolist() for p in model.parameters()], int(model.seed), *grads


@worlds
def test_ddp_adds_the_gradients_of_posit_tensors_exactly(world: int) -> None:
    made = run_ranks(posits_under_ddp, world)
    assert all(m[:3] == made[0][:3] for m in made)
    assert made[0][1] == 0  # rank 0's buffers
    for i, spec in enumerate((bposit16, bposit32)):
        total = Accumulators(np.shape(made[0][2][i]), spec)
        for m in made:
            total.add(np.array(m[3][i], spec.storage))
        assert made[0][2][i] == total.round(spec).tolist()
    assert len({str(m[3]) for m in made}) == world  # each rank had others


def unlike_under_ddp(rank: int, world: int) -> Any:
    distributed.ddp(nn.Linear(3, 2 + rank))


def averaged_under_ddp(rank: int, world: int) -> Any:
    wrapped = DistributedDataParallel(OfPosits(0), init_sync=False)
    wrapped(inputs()[0]).sum().backward()


@pytest.mark.parametrize(
    ("case", "text"),
    [
        (unlike_under_ddp, "the ranks' parameters or buffers differ"),
        (averaged_under_ddp, r"make it by torch_bridge\.distributed\.ddp, which adds exactly"),
    ],
)
def test_ddp_refuses(case: Any, text: str) -> None:
    for made in run_ranks(case, 2):
        with pytest.raises((ValueError, RuntimeError), match=text):
            raise made


# ---- errors reach every rank, and none hangs
def mistaken(rank: int, world: int, kind: str) -> Any:
    zeros = torch.zeros(2 + (kind == "shape") * rank, dtype=torch.float64)
    p = torch.nn.Parameter(tensor(zeros, spec=bposit16) if kind == "posits" else zeros)
    spec = bposit32 if kind == "format" and rank else bposit16
    gradients.of(p, spec).add(np.zeros(p.shape, spec.storage))
    if kind in ("rounded", "posits") and rank:
        p.grad = torch.ones_like(p)
    elif kind == "twice" and rank:
        gradients.of(p, spec).close("was used")
    distributed.all_reduce_gradients([p] * (1 + (kind == "count") * rank))


@pytest.mark.parametrize(
    ("kind", "error", "text"),
    [
        ("rounded", ValueError, r"a rank has a rounded \.grad"),
        ("posits", ValueError, r"a rank has a rounded \.grad"),
        ("twice", RuntimeError, "were reduced, or used by a step"),
        ("format", ValueError, "different formats"),
        ("shape", ValueError, "2 to 3 elements"),
        ("count", ValueError, "1 to 2 sums"),
    ],
)
def test_errors(kind: str, error: type[Exception], text: str) -> None:
    for made in run_ranks(mistaken, 2, kind):
        assert type(made) is error
        with pytest.raises(error, match=text):
            raise made


def test_ddp_refuses_rounded_gradients() -> None:
    for made in run_ranks(rounded_under_ddp, 2):
        with pytest.raises((ValueError, RuntimeError), match=r"a rank has a rounded \.grad"):
            raise made


def nothing(rank: int, world: int) -> Any:
    distributed.all_reduce([])
    distributed.all_reduce_gradients([])
    return True


def test_nothing_to_reduce() -> None:
    assert run_ranks(nothing, 2) == [True, True]


# ---- what gloo can do, which decides how digits travel
def collectives(rank: int, world: int) -> Any:
    made = {}
    for dtype in (torch.int16, torch.int32, torch.int64, torch.uint8):
        for name in ("SUM", "MAX"):
            x = torch.full((3,), rank + 1, dtype=dtype)
            try:
                dist.all_reduce(x, getattr(dist.ReduceOp, name))
                made[f"{dtype} {name}"] = x.tolist()
            except (RuntimeError, ValueError):
                made[f"{dtype} {name}"] = None
    return made


def test_gloo_adds_int64_and_not_int16() -> None:
    for made in run_ranks(collectives, 2):
        assert made["torch.int64 SUM"] == [3, 3, 3]
        assert made["torch.int64 MAX"] == made["torch.uint8 MAX"] == [2, 2, 2]
        assert made["torch.int16 SUM"] is None
