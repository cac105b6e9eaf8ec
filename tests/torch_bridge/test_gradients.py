"""Exact gradients: whatever the split, the order and the budget, the bits of the exact sum."""

from __future__ import annotations

import copy
import gc
import io
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import posit
import quire
from posit import PositSpec, bposit8, bposit16, bposit32
from quire import Accumulators
from torch_bridge import gradients
from torch_bridge.gradients import GradientSum

from ..formats import mixed

SPECS = [bposit8, bposit16, bposit32, PositSpec(12, 4, 5)]
every = pytest.mark.parametrize("spec", SPECS, ids=str)
budgets = pytest.mark.parametrize("budget", [0, 300, 1 << 20])
BATCH = 13


def normal(spec: PositSpec, shape: tuple[int, ...], seed: int) -> Any:
    rng = np.random.default_rng([seed, spec.n])
    return posit.encode(rng.normal(size=shape) * 2.0 ** rng.integers(-9, 9, shape), spec)


def parts(count: int, rng: np.random.Generator) -> Iterator[Any]:
    """A batch in micro-batches, uneven, shuffled, one of them empty."""
    order = rng.permutation(count)
    cuts = np.sort(rng.integers(0, count, 4))
    yield from np.split(order, [0, *cuts])


Deposit = Callable[[GradientSum, Any], Any]


def linear(spec: PositSpec) -> tuple[tuple[int, ...], Deposit, Any]:
    x, g = normal(spec, (BATCH, 5), 1), normal(spec, (BATCH, 4), 2)
    want = Accumulators((4, 5), spec).add_products(g.T, x)
    return (4, 5), lambda s, k: s.add_products(g[k].T, x[k]), want


def conv(spec: PositSpec) -> tuple[tuple[int, ...], Deposit, Any]:
    """Two groups, a weight of (4, 3, 2): one product for each group."""
    x, g = normal(spec, (2, BATCH, 6), 3), normal(spec, (2, 2, BATCH), 4)
    want = [Accumulators((2, 6), spec).add_products(a, b) for a, b in zip(g, x, strict=True)]
    return (4, 3, 2), lambda s, k: s.add_products(g[:, :, k], x[:, k]), want


def bias(spec: PositSpec) -> tuple[tuple[int, ...], Deposit, Any]:
    g = normal(spec, (BATCH, 3, 4), 5)
    want = Accumulators(4, spec)
    for row in g.reshape(-1, 4):
        want.add(row)
    return (4,), lambda s, k: s.add(g[k]), want


def embedding(spec: PositSpec) -> tuple[tuple[int, ...], Deposit, Any]:
    g = normal(spec, (BATCH, 2, 4), 6)
    index = np.random.default_rng(7).integers(0, 5, (BATCH, 2))
    want = Accumulators((9, 4), spec)
    for i, row in zip(index.reshape(-1), g.reshape(-1, 4), strict=True):
        full = np.zeros((9, 4), spec.storage)
        full[i] = row
        want.add(full)
    return (9, 4), lambda s, k: s.add_rows(index[k], g[k]), want


def tied(spec: PositSpec) -> tuple[tuple[int, ...], Deposit, Any]:
    """One weight as an embedding, as a linear layer, and penalised."""
    shape, rows, want = embedding(spec)
    x, g, penalty = (normal(spec, s, 8) for s in ((BATCH, 4), (BATCH, 9), (BATCH, 9, 4)))
    want.add_products(g.T, x)
    for p in penalty:
        want.add(p)

    def deposit(s: GradientSum, k: Any) -> None:
        rows(s, k)
        s.add_products(g[k].T, x[k]).add(penalty[k])

    return shape, deposit, want


LAYERS = [linear, conv, bias, embedding, tied]
layers = pytest.mark.parametrize("layer", LAYERS, ids=lambda f: f.__name__)


def expected(want: Any, shape: tuple[int, ...], to: PositSpec) -> Any:
    if isinstance(want, list):
        return np.stack([w.round(to) for w in want]).reshape(shape)
    return want.round(to)


@every
@layers
@budgets
def test_any_split_gives_the_same_bits(layer: Any, spec: PositSpec, budget: int) -> None:
    shape, deposit, want = layer(spec)
    rng = np.random.default_rng(0)
    for _ in range(3):
        sums = GradientSum(shape, spec, budget=budget)
        assert sums.is_empty
        for k in parts(BATCH, rng):
            deposit(sums, k)
            if rng.random() < 0.2:
                sums.round()  # looking changes nothing
        for to in (spec, bposit32):
            made = sums.round(to)
            assert made.dtype == to.storage
            assert (made == expected(want, shape, to)).all()


@every
@layers
def test_merged_in_any_way(layer: Any, spec: PositSpec) -> None:
    shape, deposit, want = layer(spec)
    rng = np.random.default_rng(1)
    ranks = [GradientSum(shape, spec, budget=b) for b in (0, 1 << 20) * 3]
    for rank, k in zip(ranks, parts(BATCH, rng), strict=True):
        deposit(rank, k)
    before = ranks[1].round()
    total = GradientSum(shape, spec)
    for i, rank in enumerate(ranks):
        total.merge(rank if i % 2 else rank.to_accumulators())
    assert (total.round() == expected(want, shape, spec)).all()
    assert (ranks[1].round() == before).all()
    twice = ranks[0].merge(ranks[0]).to_accumulators()
    one = GradientSum(shape, spec).merge(ranks[0]).to_accumulators()
    assert twice == one


def test_merging_with_itself_doubles() -> None:
    one = np.full(3, bposit16.one, np.int16)
    sums = GradientSum((3,), bposit16).add(one)
    sums.to_accumulators()
    sums.add(one).merge(sums)
    assert posit.decode(sums.round(), bposit16).tolist() == [4.0] * 3


@every
def test_nothing_is_rounded_between_micro_batches(spec: PositSpec) -> None:
    """A small term survives a large one that comes and goes."""
    big, small = spec.maxpos_pattern, 1
    for budget in (0, 1 << 20):
        sums = GradientSum((1, 1), spec, budget=budget)
        for v in (big, small, -big):
            sums.add_products(*(np.array([[p]], spec.storage) for p in (v, spec.one)))
        assert sums.round()[0, 0] == small


@every
@layers
def test_nar_reaches_its_own_elements(layer: Any, spec: PositSpec) -> None:
    shape, deposit, want = layer(spec)
    sums = GradientSum(shape, spec)
    deposit(sums, np.arange(BATCH))
    stain = np.zeros(shape, spec.storage)
    stain.reshape(-1)[1] = spec.nar
    made = sums.add(stain).round()
    clean = np.arange(made.size) != 1
    assert made.reshape(-1)[1] == spec.nar
    assert (made.reshape(-1)[clean] == expected(want, shape, spec).reshape(-1)[clean]).all()


def test_rows_of_any_number_and_with_nar() -> None:
    """Rows are summed piece by piece; the piece's end falls inside a row's terms."""
    rng = np.random.default_rng(3)
    values = mixed(bposit16, (70_000, 8), rng)
    values[values == bposit16.nar] = 1
    values[5, 2] = bposit16.nar
    index = rng.integers(0, 3, 70_000) * 2
    made = GradientSum((6, 8), bposit16).add_rows(index, values).round()
    for row in range(6):
        want = quire.sum(values[index == row], bposit16, axis=0)
        assert (made[row] == want).all()
    assert made[index[5], 2] == bposit16.nar


def test_budget_bounds_memory() -> None:
    x = normal(bposit16, (100, 40), 1)
    sums = GradientSum((40, 40), bposit16, budget=50_000)
    most = 0
    for _ in range(20):
        sums.add_products(x.T, x)
        most = max(most, sums.nbytes)
    assert most < 50_000 + 16_000 + 40 * 40 * (8 * 6 + 1)
    assert sums.clear().nbytes == 0
    assert sums.is_empty
    assert not sums.round().any()


@pytest.mark.parametrize("shape", [(), (0,), (3, 0)], ids=str)
def test_small_shapes(shape: tuple[int, ...]) -> None:
    one = np.full((5, *shape), bposit16.one, np.int16)
    for budget in (0, 1 << 20):
        made = GradientSum(shape, bposit16, budget=budget).add(one).round(bposit32)
        assert made.shape == shape
        assert (posit.decode(made, bposit32) == 5.0).all()


def test_an_empty_batch_gives_zeros() -> None:
    none = np.zeros((0, 3), np.int16)
    for budget in (-1, 1 << 20):
        sums = GradientSum((3, 3), bposit16, budget=budget).add_products(none.T, none)
        assert not sums.is_empty
        assert not sums.round().any()
        assert not sums.add_rows(np.zeros(0, np.int64), none).round().any()


# ---- parameters
def parameter(*shape: int) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64))


def test_a_parameter_has_one_sum() -> None:
    p, q = parameter(2, 3), parameter(2, 3)
    assert gradients.find(p) is None
    sums = gradients.of(p, "bposit16")
    assert gradients.of(p, bposit16) is sums is gradients.find(p)
    assert gradients.of(q, bposit16) is not sums
    assert gradients.of(p, bposit32).spec == bposit32  # nothing had been added
    gradients.of(p, bposit32).add(np.zeros((2, 3), np.int32))
    with pytest.raises(ValueError, match="summed in <32,6,5>"):
        gradients.of(p, bposit16)


def test_sums_stay_out_of_copies_and_checkpoints_and_go_with_the_parameter() -> None:
    p = parameter(3)
    gradients.of(p, bposit16).add(np.full(3, bposit16.one, np.int16))
    assert gradients.find(copy.deepcopy(p)) is None
    file = io.BytesIO()
    torch.save(p, file)
    file.seek(0)
    assert gradients.find(torch.load(file, weights_only=True)) is None
    kept = weakref.ref(gradients.of(p, bposit16))
    del p
    gc.collect()
    assert kept() is None


def test_rounded_takes_both() -> None:
    p = parameter(2)
    assert gradients.rounded(p, bposit16) is None
    p.grad = torch.tensor([1.0, -3.0], dtype=torch.float64)
    assert posit.decode(gradients.rounded(p, bposit16), bposit16).tolist() == [1.0, -3.0]
    tiny = posit.encode([2.0**-60, 3.0], bposit16)
    gradients.of(p, bposit16).add(tiny)
    assert gradients.rounded(p, bposit16).tolist() == [bposit16.one, 0]
    p.grad = None
    assert gradients.rounded(p, bposit16).tolist() == tiny.tolist()
    gradients.clear([p, parameter(1)])
    assert gradients.rounded(p, bposit16) is None


def test_write_moves_the_sum_to_grad() -> None:
    p, q = parameter(2), parameter(1)
    gradients.of(p, bposit16).add(posit.encode([1.5, 2.5], bposit16))
    gradients.write([p, q])
    assert p.grad is not None
    assert p.grad.tolist() == [1.5, 2.5]
    assert q.grad is None
    gradients.of(p, bposit16).add(posit.encode([1.0, 1.0], bposit16))
    gradients.write([p], bposit32)
    assert p.grad.tolist() == [2.5, 3.5]


def test_sparse_gradients_are_refused() -> None:
    p = parameter(3, 2)
    p.grad = torch.zeros(3, 2, dtype=torch.float64).to_sparse()
    with pytest.raises(TypeError, match="only dense"):
        gradients.rounded(p, bposit16)


def test_what_a_step_has_used_cannot_be_added_to() -> None:
    sums = GradientSum((2,), bposit16).add(np.zeros(2, np.int16))
    sums.close("was used by step 3")
    for add in (
        lambda: sums.add(np.zeros(2, np.int16)),
        lambda: sums.add_products(np.zeros((2, 1), np.int16), np.zeros((1, 1), np.int16)),
        lambda: sums.add_rows(np.zeros(1, np.int64), np.zeros(1, np.int16)),
        lambda: sums.merge(GradientSum((2,), bposit16)),
    ):
        with pytest.raises(RuntimeError, match=r"was used by step 3.*model\.zero_grad"):
            add()
    sums.clear().add(np.zeros(2, np.int16))


def bits(*shape: int) -> Any:
    return np.zeros(shape, np.int16)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda s: s.add(np.zeros((2, 3))), TypeError, "patterns of <16,6,5>.*float64"),
        (lambda s: s.add([[1, 2, 3]]), TypeError, "got list"),
        (lambda s: s.add(bits(3, 2)), ValueError, r"are not \(\.\.\., \*\(2, 3\)\)"),
        (lambda s: s.add(bits(3)), ValueError, "are not"),
        (lambda s: s.add_products(bits(2, 4), bits(5, 3)), ValueError, "is not a gradient"),
        (lambda s: s.add_products(bits(2, 4), bits(4, 2)), ValueError, "is not a gradient"),
        (lambda s: s.add_products(bits(2, 4), bits(4)), ValueError, "cannot multiply"),
        (lambda s: s.add_rows(np.array([0, 2]), bits(2, 3)), IndexError, "rows 0 to 2"),
        (lambda s: s.add_rows(np.array([-1]), bits(1, 3)), IndexError, "rows -1"),
        (lambda s: s.add_rows(np.array([0]), bits(2, 3)), ValueError, "do not fit rows"),
        (lambda s: s.add_rows(np.array([0.0]), bits(1, 3)), ValueError, "index float64"),
        (lambda s: s.merge(GradientSum((2, 3), bposit32)), ValueError, "cannot merge"),
        (lambda s: s.merge(GradientSum((3, 2), bposit16)), ValueError, "cannot merge"),
        (lambda s: s.replace(Accumulators((3, 2), bposit16)), ValueError, "cannot replace"),
    ],
)
def test_errors_leave_the_sum_alone(call: Any, error: type[Exception], text: str) -> None:
    sums = GradientSum((2, 3), bposit16)
    with pytest.raises(error, match=text):
        call(sums)
    assert sums.is_empty
