"""Forward gradients in posits: one answer for any order of directions, and any split of a batch."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import posit
import torch_bridge as tb
from posit import PositSpec, bposit16
from quire import Accumulators
from torch_bridge.adaptive import _estimators, forward
from torch_bridge.adaptive._estimators import WORK, Derivatives
from torch_bridge.adaptive._layers import plan_of
from torch_bridge.adaptive._passes import leaf_tangent

from .forward_cases import Attention, Recurrent, batch, loss, one_thread, posit_loss, size

__all__ = ["one_thread"]
pytestmark = pytest.mark.usefixtures("one_thread")

SAMPLES = 7


def converted() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    torch.manual_seed(2)
    found = nn.Sequential(nn.Linear(5, 4), nn.GELU(), nn.LayerNorm(4), nn.Linear(4, 3))
    tb.convert_(found, "bposit16")
    return found, batch((5,), 3, SAMPLES)


def joined(made: forward.Estimate) -> Tensor:
    return torch.cat([x.reshape(-1) for x in made.tensors.values()])


def estimate(**how: Any) -> Tensor:
    found, data = converted()
    return joined(forward.gradient(found, posit_loss, data, **how))


@pytest.mark.parametrize("perturb", ["weights", "activations"])
@pytest.mark.parametrize("distribution", ["normal", "rademacher"])
def test_the_same_bits_for_any_order_and_split(perturb: str, distribution: str) -> None:
    seeds = [9, 4, 17, 2, 30]
    how = {"perturb": perturb, "distribution": distribution}
    first = estimate(tangents=seeds, **how)
    assert first.count_nonzero() > first.numel() // 2
    for order in (seeds[::-1], [2, 30, 9, 17, 4]):
        for micro_batch in (None, 1, 3, 100):
            again = estimate(tangents=order, micro_batch=micro_batch, **how)
            assert torch.equal(first, again), (order, micro_batch)


def test_the_projection_is_the_same_bits_too() -> None:
    first = estimate(tangents=[9, 4, 17], estimator="projected")
    for order in ([4, 9, 17], [17, 9, 4]):
        for micro_batch in (None, 2):
            again = estimate(tangents=order, estimator="projected", micro_batch=micro_batch)
            assert torch.equal(first, again)


def solutions(monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """For directions that are nearly one, more and more so: what each of three orders gives.

    That is the weights by seed, or an error; on the way from solutions that are certified to
    singular systems lie some that float64's rounding decides.
    """
    leaves = plan_of(nn.Linear(20, 20).double()).leaves
    drawn = leaf_tangent
    found = []
    for apart in np.geomspace(3e-8, 3e-9, 16).tolist():

        def tangent(leaf: Any, seed: int, distribution: Any, apart: float = apart) -> Any:
            main, rest = drawn(leaf, 1, distribution), drawn(leaf, seed, distribution)

            class Sum:
                count, rows = main.count, main.rows

                @staticmethod
                def block(i: int) -> Tensor:
                    return main.block(i) + apart * rest.block(i)

            return Sum

        monkeypatch.setattr(_estimators, "leaf_tangent", tangent)
        orders = ([3, 7, 5, 12], [12, 3, 5, 7], [5, 12, 7, 3])
        found.append([weights(order, leaves) for order in orders])
    return found


def weights(order: list[int], leaves: Any) -> dict[int, int] | str:
    sums = Derivatives(order)
    sums.add_losses(torch.ones(1))
    for seed in order:
        sums.add(seed, torch.tensor([1 / seed], dtype=torch.float64))
    try:
        made = _estimators.weights_of(sums, "projected", leaves, "normal")
    except ValueError as error:
        return str(error)
    return dict(zip(order, made.tolist(), strict=True))


def test_tangents_are_sorted_before_a_system_is_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(a == b == c for a, b, c in solutions(monkeypatch))


def test_a_projection_that_does_not_sort_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_estimators, "in_order", lambda seeds: np.arange(len(seeds)))
    assert any(not a == b == c for a, b, c in solutions(monkeypatch))


def test_a_system_is_solved_to_the_last_bits() -> None:
    """Although rounding VᵀV alone would cost as many digits as its condition number has."""
    rows = np.array([[1, 1 / 3, 0], [1, 1 / 3 + 1e-6, 1e-7], [1, 1 / 3, 1e-6]])
    v = np.asarray(posit.encode(rows, WORK))
    gram = Accumulators((3, 3), WORK).add_products(v, v.T)
    right = np.asarray(posit.encode(np.array([0.3, -0.2, 0.1]), WORK))
    table = [[Fraction(x) for x in row] for row in gram.values().tolist()]
    for row, b in zip(table, right.tolist(), strict=True):
        row.append(Fraction(posit.to_fraction(b, WORK)))  # type: ignore[arg-type]
    for i in range(3):  # Gauss and Jordan
        table[i] = [x / table[i][i] for x in table[i]]
        for j in range(3):
            if j != i:
                table[j] = [x - table[j][i] * y for x, y in zip(table[j], table[i], strict=True)]
    for got, (*_, exact) in zip(_estimators._solved(gram, right).tolist(), table, strict=True):
        found = Fraction(posit.to_fraction(got, WORK))  # type: ignore[arg-type]
        assert abs(found - exact) < abs(exact) * Fraction(1, 2**50)


def test_a_float_sum_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant that adds derivatives in float64: the order of the samples shows."""
    values = torch.tensor([1.0, 2.0**60, -(2.0**60), 2.0**-30], dtype=torch.float64)

    def mean(order: list[int]) -> Any:
        sums = Derivatives([0])
        for i in order:
            sums.add_losses(values[i : i + 1])
            sums.add(0, values[i : i + 1])
        return sums.means()

    orders = ([0, 1, 2, 3], [1, 0, 3, 2], [3, 2, 1, 0])
    exact = posit.from_fraction((1 + Fraction(1, 2**30)) / 4, WORK)
    assert all(mean(order) == exact for order in orders)

    def rounded(total: Any, x: Tensor) -> None:
        before = posit.decode(total.round(), WORK)
        for v in x.tolist():
            before = before + v
        total.clear().add(posit.encode(before, WORK))

    monkeypatch.setattr(_estimators, "_add", rounded)
    assert len({int(mean(order)[0]) for order in orders}) > 1


def test_parts_merge() -> None:
    found, (x, y) = converted()
    whole = forward.derivatives(found, posit_loss, (x, y), tangents=3, seed=6)
    parts = [
        forward.derivatives(found, posit_loss, (x[s], y[s]), tangents=whole.seeds[::-1])
        for s in (slice(5, 7), slice(0, 5))
    ]
    parts[0].merge(parts[1])
    assert parts[0].samples == whole.samples == SAMPLES
    assert parts[0].loss() == whole.loss()
    assert np.array_equal(parts[0].means()[::-1], whole.means())
    with pytest.raises(ValueError, match="are not"):
        whole.merge(forward.derivatives(found, posit_loss, (x, y), tangents=1))


def test_the_average_is_rounded_once() -> None:
    """Each element is the posit nearest to Σ_k c_k·v_k, where c_k is the rounded mean over K."""
    found, data = converted()
    seeds = [5, 6, 7]
    sums = forward.derivatives(found, posit_loss, data, tangents=seeds)
    c = [posit.to_fraction(bits, WORK) for bits in sums.means(3).tolist()]
    for seed, total in sums.sums.items():
        exact = Fraction(total.values()[0]) / (3 * SAMPLES)
        assert posit.from_fraction(exact, WORK) == sums.means(3)[seeds.index(seed)]
    made = forward.gradient(found, posit_loss, data, tangents=seeds)
    for leaf in plan_of(found).leaves:
        v = [leaf_tangent(leaf, seed, "normal").whole().reshape(-1).tolist() for seed in seeds]
        for i, got in enumerate(made.tensors[leaf.name].reshape(-1).tolist()):
            exact = sum((a * Fraction(x[i]) for a, x in zip(c, v, strict=True)), Fraction(0))
            assert posit.encode(got, bposit16) == posit.from_fraction(exact, bposit16)


def test_tangents_and_estimates_are_posits() -> None:
    found, data = converted()
    for leaf in plan_of(found).leaves:
        v = leaf_tangent(leaf, 3, "normal").whole()
        assert torch.equal(v, tb.ops.fake_quant(v, bposit16))
    for perturb in ("weights", "activations"):
        g = joined(forward.gradient(found, posit_loss, data, perturb=perturb))  # type: ignore[arg-type]
        assert torch.equal(g, tb.ops.fake_quant(g, bposit16))


@pytest.mark.parametrize("make", [Attention, Recurrent, lambda: nn.Sequential(
    nn.Conv1d(1, 2, 2), nn.SiLU(), nn.Flatten(), nn.Linear(6, 2))])  # fmt: skip
def test_converted_layers_have_the_derivative_of_float_ones(make: Any) -> None:
    """In bposit32 a derivative is that of the float64 model, to some 2^-20 an operation."""
    torch.manual_seed(4)
    found = make()
    shape = (1, 4) if isinstance(found, nn.Sequential) else (4,)
    tb.convert_(found, "bposit32")
    data = tuple(t if t.dtype == torch.int64 else tb.ops.fake_quant(t, "bposit32")
                 for t in batch(shape))  # fmt: skip
    seeds = list(range(6))
    exact = []
    weights = {n: p.detach().clone() for n, p in found.named_parameters()}
    posits = forward.derivatives(
        found, lambda o, t: tb.ops.cross_entropy(o, t, reduction="none", spec="bposit32"), data,
        tangents=seeds, distribution="rademacher",
    )  # fmt: skip
    plain = make().double()
    plain.load_state_dict(weights)
    exact = forward.derivatives(plain, loss, data, tangents=seeds, distribution="rademacher")
    a, b = (posit.decode(d.means(), WORK) for d in (posits, exact))
    assert np.linalg.norm(a - b) < 1e-4 * np.linalg.norm(b)
    assert posits.loss() == pytest.approx(exact.loss(), rel=1e-5)


def test_as_many_tangents_as_parameters_in_posits() -> None:
    """In bposit32 the projected estimate is as near to the gradient as rounding passes lets it."""
    torch.manual_seed(5)
    found = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))
    tb.convert_(found, PositSpec(32, 6, 5))
    x, y = batch((3,), 2)
    tb.ops.cross_entropy(found(x), y, spec="bposit32").backward()
    exact = torch.cat([p.grad.reshape(-1) for p in found.parameters() if p.grad is not None])

    def each(output: Tensor, target: Tensor) -> Tensor:
        return tb.ops.cross_entropy(output, target, reduction="none", spec="bposit32")

    made = forward.gradient(found, each, (x, y), tangents=size(found), estimator="projected")
    assert (joined(made) - exact).norm() < 1e-3 * exact.norm()
