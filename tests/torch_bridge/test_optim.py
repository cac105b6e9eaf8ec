"""The optimizers against their definitions in fractions, and against torch's where digits allow."""

from __future__ import annotations

import doctest
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

import posit
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, reference, standard
from torch_bridge import gradients, optim, tensor
from torch_bridge.optim import PositAdamW, PositSGD, _formats, sgd

from ..formats import TINY

UPDATES = ["residue", "stochastic", "master", "nearest"]
PAIRS = [
    (bposit16, bposit32), (bposit16, bposit16), (bposit32, bposit16), (bposit8, bposit32),
    (bposit8, standard(16)), (standard(8), bposit16), (bposit32, bposit64),
]  # fmt: skip
pairs = pytest.mark.parametrize("pair", PAIRS, ids=lambda p: f"{p[0]}-{p[1]}")
updates = pytest.mark.parametrize("update", UPDATES)
COUNT = 6
STEPS = 4


def parameter(bits: Any, spec: PositSpec) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.from_numpy(np.asarray(posit.decode(bits, spec))))


def patterns(p: torch.Tensor, spec: PositSpec) -> list[int]:
    found: list[int] = posit.encode(p.detach().numpy(), spec).tolist()
    return found


def data(spec: PositSpec, seed: int) -> tuple[Any, Any]:
    """Weights, and a gradient for each step, some of them tiny and some 0."""
    rng = np.random.default_rng([seed, spec.n])
    w = posit.encode(rng.normal(size=COUNT), spec)
    g = rng.normal(size=(STEPS, COUNT)) * 2.0 ** rng.integers(-12, 3, (STEPS, COUNT))
    g[1, 2] = g[:, 4] = 0
    return w, g


class Definition:
    """One weight, updated in fractions and scalar posits, as the docstrings have it."""

    def __init__(self, pair: tuple[PositSpec, PositSpec], update: str, w: int, index: int) -> None:
        self.weight, self.state = pair
        self.f = _formats.formats(*pair)
        self.work = self.f.work
        self.update, self.index = update, index
        self.w = w
        self.residue = 0
        self.master = self.number(w, self.weight, self.state)
        self.memory: dict[str, int] = {}
        self.steps = 0

    def number(self, bits: int, of: PositSpec, to: PositSpec) -> int:
        return reference.encode(reference.decode(bits, of), to)

    def round(self, x: float | Fraction) -> int:
        return reference.encode(x, self.work)

    def current(self) -> int:
        if self.update == "master":
            return self.number(self.master, self.state, self.work)
        w = self.number(self.w, self.weight, self.work)
        if self.update != "residue":
            return w
        return reference.add(w, self.number(self.residue, self.state, self.work), self.work)

    def kept(self, name: str, bits: int) -> int:
        """What is in memory, in the working format."""
        self.memory[name] = self.number(bits, self.work, self.state)
        return self.remembered(name)

    def remembered(self, name: str) -> int:
        return self.number(self.memory.get(name, 0), self.state, self.work)

    def move(self, step: int, seed: int) -> None:
        exact = Fraction(reference.decode(step, self.work))
        weight = Fraction(reference.decode(self.w, self.weight))
        if self.update == "nearest":
            self.w = reference.encode(weight + exact, self.weight)
        elif self.update == "residue":
            total = weight + Fraction(reference.decode(self.residue, self.state)) + exact
            self.w = reference.encode(total, self.weight)
            lost = total - Fraction(reference.decode(self.w, self.weight))
            self.residue = reference.encode(lost, self.state)
        elif self.update == "master":
            total = Fraction(reference.decode(self.master, self.state)) + exact
            self.master = reference.encode(total, self.state)
            self.w = self.number(self.master, self.state, self.weight)
        else:
            f = self.f
            seen = reference.decode(reference.encode(weight + exact, f.wide), f.wide)
            key = reference.uniform64(seed, self.steps)
            self.w = reference.encode_stochastic(seen, self.weight, key, self.index)


SGD = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 0.05},
    {"momentum": 0.5, "dampening": 0.25, "maximize": True},
    {"weight_decay": 0.3, "lr": 0.7},
]


def sgd_step(d: Definition, g: int, o: dict[str, Any]) -> int:
    work, first = d.work, not d.memory
    if o.get("maximize"):
        g = -g
    if o.get("weight_decay"):
        g = reference.fma(d.round(o["weight_decay"]), d.current(), g, work)
    if o.get("momentum"):
        rate = d.round(o["momentum"])
        more = g
        if o.get("dampening") and not first:
            more = reference.mul(d.round(1 - Fraction(o["dampening"])), g, work)
        m = g if first else reference.fma(rate, d.remembered("momentum"), more, work)
        m = d.kept("momentum", m)
        g = reference.fma(rate, m, g, work) if o.get("nesterov") else m
    return reference.mul(d.round(-o.get("lr", 0.1)), g, work)


ADAM = [
    {},
    {"betas": (0.5, 0.75), "eps": 0.01, "maximize": True},
    {"weight_decay": 0.0, "betas": (0.0, 0.999)},
]


def adam_step(d: Definition, g: int, o: dict[str, Any]) -> int:
    work, wide, t = d.work, bposit64, d.steps
    if o.get("maximize"):
        g = -g
    rates = [reference.encode(1 - Fraction(b), wide) for b in o.get("betas", (0.9, 0.999))]
    grown = []
    for rate in rates:
        power = (1 - Fraction(reference.decode(rate, wide))) ** t
        grown.append(reference.sub(wide.one, reference.encode(power, wide), wide))
    kept = []
    for name, target, rate in (
        ("mean", g, rates[0]), ("square", reference.mul(g, g, work), rates[1])
    ):  # fmt: skip
        old = d.remembered(name)
        way = reference.sub(target, old, work)
        kept.append(d.kept(name, reference.fma(d.number(rate, wide, work), way, old, work)))
    lr = reference.encode(o.get("lr", 0.1), wide)
    root = reference.sqrt(reference.div(kept[1], d.number(grown[1], wide, work), work), work)
    eps = d.number(reference.encode(o.get("eps", 1e-8), wide), wide, work)
    below = reference.add(root, eps, work)
    scale = d.number(reference.div(-lr, grown[0], wide), wide, work)
    step = reference.div(reference.mul(scale, kept[0], work), below, work)
    decay = o.get("weight_decay", 0.01)
    if decay:
        factor = reference.mul(-lr, reference.encode(decay, wide), wide)
        step = reference.fma(d.number(factor, wide, work), d.current(), step, work)
    return step


def check(pair: Any, update: str, kind: Any, one: Any, options: dict[str, Any]) -> None:
    spec, state_spec = pair
    bits, grads = data(spec, 1)
    p = parameter(bits, spec)
    if update == "master" and not _formats.holds(state_spec, spec):
        with pytest.raises(ValueError, match="does not hold them"):
            kind([p], spec=spec, state_spec=state_spec, update=update)
        return
    optimizer = kind(
        [p], **{"lr": 0.1, **options}, spec=spec, state_spec=state_spec, update=update, seed=9
    )
    singles = [Definition(pair, update, int(w), i) for i, w in enumerate(bits)]
    for row in grads:
        p.grad = torch.from_numpy(row.copy())
        optimizer.step()
        for d, g in zip(singles, row, strict=True):
            d.steps += 1
            d.move(one(d, d.round(float(g)), options), 9)
        assert patterns(p, spec) == [d.w for d in singles]
    state = optimizer.state[p]
    for name, found in state.items():
        if name != "step":
            assert found.numpy().dtype == state_spec.storage
            want = [getattr(d, name, d.memory.get(name)) for d in singles]
            assert found.tolist() == want
    assert ("residue" in state) == (update == "residue")
    assert ("master" in state) == (update == "master")


@pairs
@updates
@pytest.mark.parametrize("options", SGD, ids=str)
def test_sgd_is_its_definition(pair: Any, update: str, options: dict[str, Any]) -> None:
    check(pair, update, PositSGD, sgd_step, options)


@pairs
@updates
@pytest.mark.parametrize("options", ADAM, ids=str)
def test_adamw_is_its_definition(pair: Any, update: str, options: dict[str, Any]) -> None:
    check(pair, update, PositAdamW, adam_step, options)


# ---- against torch, in a format almost as fine as float64
FINE = PositSpec(60, 6, 5)


@updates
@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        *((PositSGD, torch.optim.SGD, o) for o in SGD),
        *((PositAdamW, torch.optim.AdamW, o) for o in ADAM),
    ],
    ids=str,
)
def test_near_torch(ours: Any, theirs: Any, options: dict[str, Any], update: str) -> None:
    bits, grads = data(FINE, 2)
    p, q = parameter(bits, FINE), parameter(bits, FINE)
    options = {"lr": 0.1, **options}
    mine = ours([p], **options, spec=FINE, state_spec=FINE, update=update)
    other = theirs([q], **options)
    for _ in range(5):
        for row in grads:
            p.grad, q.grad = torch.from_numpy(row.copy()), torch.from_numpy(row.copy())
            mine.step()
            other.step()
    torch.testing.assert_close(p, q, rtol=1e-11, atol=1e-11)


# ---- what residues are for
def walk(update: str, **options: Any) -> tuple[float, Any]:
    """1000 steps of 1e-3 from 1.0."""
    p = parameter([bposit16.one], bposit16)
    optimizer = PositSGD([p], lr=1e-3, spec="bposit16", update=update, **options)
    p.grad = torch.ones_like(p)
    for _ in range(1000):
        optimizer.step()
    return p.item(), optimizer.state[p]


def test_a_thousand_small_steps() -> None:
    assert walk("nearest")[0] == -0.2275390625  # to nearest, every step errs to the same side
    for update in ("residue", "master"):
        assert abs(walk(update)[0]) < 1e-4
    assert abs(walk("residue", state_spec="bposit16")[0]) < 2e-3
    ends = [walk("stochastic", seed=s)[0] for s in range(8)]
    assert len(set(ends)) > 4
    assert abs(np.mean(ends)) < 0.03


def test_weight_and_residue_are_the_exact_sum() -> None:
    """Where the residue has digits enough, nothing is ever lost."""
    end, state = walk("residue")
    step = Fraction(reference.decode(reference.encode(-1e-3, bposit32), bposit32))
    residue = Fraction(reference.decode(int(state["residue"]), bposit32))
    assert Fraction(end) + residue == 1 + 1000 * step


def test_the_docstring() -> None:
    made = doctest.testmod(sgd)
    assert made.attempted > 0
    assert not made.failed


# ---- formats
def values(spec: PositSpec) -> set[Fraction]:
    decoded = (reference.decode(p, spec) for p in range(spec.nar + 1, spec.maxpos_pattern + 1))
    return {Fraction(v) for v in decoded if v is not None}


def test_holds_is_true_of_values() -> None:
    small = [*TINY, bposit8, standard(8), standard(9), PositSpec(9, 4, 1), PositSpec(10, 3, 2)]
    found = {spec: values(spec) for spec in small}
    yes = 0
    for wide in small:
        for narrow in small:
            if _formats.holds(wide, narrow):
                yes += wide != narrow
                assert found[narrow] <= found[wide]
    assert yes > 5


@pairs
def test_the_working_format_holds_both(pair: Any) -> None:
    f = _formats.formats(*pair)
    assert _formats.holds(f.work, f.weight)
    assert _formats.holds(f.work, f.state)
    assert f.wide.fits_float64
    assert f.wide.f_max == 52


# ---- PositTensor, and exact gradients
@updates
@pytest.mark.parametrize("kind", [PositSGD, PositAdamW])
def test_posit_tensors_are_updated_alike(kind: Any, update: str) -> None:
    bits, grads = data(bposit16, 3)
    plain, p = parameter(bits, bposit16), posit.decode(bits, bposit16)
    wrapped = torch.nn.Parameter(tensor(p, spec=bposit16))
    first = kind([plain], lr=0.1, spec=bposit16, update=update)
    second = kind([wrapped], lr=0.1, update=update)
    for row in grads:
        row = posit.decode(posit.encode(row, bposit16), bposit16)
        plain.grad = torch.from_numpy(row)
        wrapped.grad = tensor(row, spec=bposit16)
        first.step()
        second.step()
    assert patterns(plain, bposit16) == wrapped.detach().bits().tolist()


def test_deposits_are_rounded_once_and_cleared() -> None:
    p = parameter([bposit16.one] * 3, bposit16)
    optimizer = PositSGD([p], lr=1.0, spec=bposit16, update="nearest")
    big, small = bposit16.maxpos_pattern, int(posit.encode(0.5, bposit16))
    for v in (big, small, -big):
        gradients.of(p, bposit16).add(np.full(3, v, np.int16))
    optimizer.step()
    want = reference.sub(bposit16.one, small, bposit16)
    assert patterns(p, bposit16) == [want] * 3
    with pytest.raises(RuntimeError, match="used by step 1"):
        gradients.of(p, bposit16).add(np.zeros(3, np.int16))
    optimizer.step()  # the same gradient again, as torch has it
    assert patterns(p, bposit16) != [want] * 3
    optimizer.zero_grad()
    assert gradients.rounded(p, bposit16) is None
    before = patterns(p, bposit16)
    optimizer.step()
    assert patterns(p, bposit16) == before


def test_what_is_public() -> None:
    assert set(optim.__all__) == {"PositAdamW", "PositSGD", "clip_grad_norm_"}
