"""STDP: the window is the formula, sums are exact in any order, weights bounded; and it learns."""

from __future__ import annotations

import doctest
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import gmpy2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import posit
import quire
from posit import PositSpec, bposit16, bposit32
from torch_bridge import gradients, ops, tensor
from torch_bridge.adaptive import spiking
from torch_bridge.adaptive._traces import _Exact
from torch_bridge.adaptive.spiking import (
    STDP,
    Eligibility,
    WinnerTakeAll,
    keep_within,
    name_neurons,
    rate_code,
    votes,
)
from torch_bridge.ops._kernels import bits_of
from torch_bridge.optim import PositAdamW, PositSGD

ROOT = Path(__file__).parents[3]
RULE = STDP(0.75, 0.5, 3.0, 7.0)
specs = pytest.mark.parametrize("spec", [bposit16, bposit32, PositSpec(12, 4, 5)], ids=str)


def formula(rule: STDP, lag: int) -> Fraction:
    """The pair rule to 200 bits."""
    with gmpy2.context(gmpy2.get_context(), precision=200):
        t = gmpy2.mpfr(lag)
        if lag > 0:
            value = gmpy2.mpfr(rule.rise) * gmpy2.exp(-t / gmpy2.mpfr(rule.tau_plus))
        elif lag < 0:
            value = -gmpy2.mpfr(rule.fall) * gmpy2.exp(t / gmpy2.mpfr(rule.tau_minus))
        else:
            return Fraction(0)
        numerator, denominator = value.as_integer_ratio()
        return Fraction(int(numerator), int(denominator))


def measured(rule: STDP, spec: PositSpec | None, reach: int = 40) -> tuple[Any, Tensor]:
    """What single pairs of spikes change: one neuron in the middle, each input at its time."""
    lags = torch.arange(-reach, reach + 1)
    pre = torch.zeros(1, 2 * reach + 1, len(lags), dtype=torch.bool)
    pre[0, reach - lags, torch.arange(len(lags))] = True
    post = torch.zeros(1, 2 * reach + 1, 1, dtype=torch.bool)
    post[0, reach, 0] = True
    weight = torch.zeros(1, len(lags), dtype=torch.float32 if spec is None else torch.float64)
    trace = Eligibility(weight, rule, spec=spec, exact=spec is not None)
    trace.add_spikes(pre, post)
    return lags.tolist(), trace.value[0]


def check_window(rule: STDP, stated: STDP, spec: PositSpec) -> None:
    lags, found = measured(rule, spec)
    want = posit.encode(np.array([formula(stated, lag) for lag in lags], object), spec)
    assert np.array_equal(bits_of(found, spec), want)


@specs
def test_window_is_the_formula(spec: PositSpec) -> None:
    check_window(RULE, RULE, spec)
    check_window(STDP(0.1, 0.3, 20.0, 33.3), STDP(0.1, 0.3, 20.0, 33.3), spec)


@pytest.mark.parametrize(
    "mutant", [STDP(0.5, 0.75, 3.0, 7.0), STDP(0.75, 0.5, 7.0, 3.0), STDP(0.75, -0.0, 3.0, 7.0)]
)
def test_another_window_is_seen(mutant: STDP) -> None:
    with pytest.raises(AssertionError):
        check_window(mutant, RULE, bposit16)


def test_window_in_floats() -> None:
    lags, found = measured(RULE, None)
    want = torch.tensor([float(formula(RULE, lag)) for lag in lags])
    torch.testing.assert_close(found, want, rtol=1e-6, atol=0)


def test_window_of_any_times() -> None:
    lag = torch.tensor([[0.25, -1.5], [0.0, 1e9]])
    found = RULE.window(lag)
    want = [[0.75 * np.exp(-0.25 / 3), -0.5 * np.exp(-1.5 / 7)], [0.0, 0.0]]
    torch.testing.assert_close(found, torch.tensor(want, dtype=torch.float64))
    assert RULE.window(lag, spec="bposit32").shape == (2, 2)


# ---- sums
def pairs(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return (
        torch.randint(3, (count,), generator=random),
        torch.randint(5, (count,), generator=random),
        torch.randint(-30, 30, (count,), generator=random),
    )


def in_two_orders(trace: Any, count: int = 4000) -> list[Tensor]:
    """The traces of the same pairs, in one call and shuffled in many."""
    found = []
    order = torch.randperm(count, generator=torch.Generator().manual_seed(1))
    for parts in ([torch.arange(count)], order.split([0, 1, 999, 1500, 1500])):
        trace.clear()
        for k in parts:
            trace.add_pairs(*(x[k] for x in pairs(count, 0)))
        found.append(trace.value)
    return found


@specs
def test_any_order_gives_the_same_bits(spec: PositSpec) -> None:
    a, b = in_two_orders(Eligibility(torch.zeros(3, 5).double(), RULE, spec=spec))
    assert torch.equal(a, b)


def test_floats_depend_on_the_order() -> None:
    a, b = in_two_orders(Eligibility(torch.zeros(3, 5), RULE, exact=False))
    assert not torch.equal(a, b)
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


class Lossy(_Exact):
    """A mutant: rounds at every call."""

    def add(self, synapses: Tensor, changes: Tensor) -> None:
        super().add(synapses, changes)
        rounded = self.sums.round()
        self.sums.clear().add(rounded)


def test_a_lossy_accumulator_is_seen() -> None:
    trace = Eligibility(torch.zeros(3, 5).double(), RULE, spec=bposit16)
    trace._sums = Lossy(15, bposit16)
    a, b = in_two_orders(trace)
    assert not torch.equal(a, b)


@specs
def test_sum_is_that_of_fractions(spec: PositSpec) -> None:
    trace = Eligibility(torch.zeros(3, 5).double(), RULE, spec=spec)
    post, pre, lag = pairs(500, 3)
    trace.add_pairs(post, pre, lag)
    want = np.full((3, 5), Fraction(0), object)
    for i, j, value in zip(post, pre, RULE.window(lag, spec=spec).tolist(), strict=True):
        want[i, j] += Fraction(value)
    assert np.array_equal(bits_of(trace.value, spec), posit.encode(want, spec))


def test_spikes_are_all_pairs_of_a_presentation() -> None:
    random = torch.Generator().manual_seed(5)
    pre = torch.rand(4, 9, 5, generator=random) < 0.4
    post = torch.rand(4, 9, 3, generator=random) < 0.3
    post[2] = False
    weight = torch.zeros(3, 5).double()
    one, other = (Eligibility(weight, RULE, spec=bposit32) for _ in range(2))
    one.add_spikes(pre, post)
    for b, t, i in post.nonzero().tolist():
        for s, j in pre[b].nonzero().tolist():
            other.add_pairs(torch.tensor([i]), torch.tensor([j]), torch.tensor([t - s]))
    assert torch.equal(one.value, other.value)
    assert one.value.count_nonzero() == 15


# ---- the interface of updates
def grid(*shape: int) -> Tensor:
    """Weights that are posits of every format here."""
    return torch.arange(float(np.prod(shape))).reshape(shape).double() / 16


def stepped(w: nn.Parameter, deposits: Any) -> Tensor:
    optimizer = PositSGD([w], lr=0.5, spec=bposit16)
    optimizer.zero_grad()
    deposits(w)
    optimizer.step()
    return w.detach().clone()


def test_an_optimizer_takes_the_step() -> None:
    post, pre, lag = pairs(50, 7)

    def deposits(w: nn.Parameter) -> None:
        trace = Eligibility(w, RULE, spec=bposit16)
        trace.add_pairs(post, pre, lag)
        trace.deposit()
        sums.append(trace.value)

    sums: list[Tensor] = []
    made = stepped(nn.Parameter(grid(3, 5)), deposits)
    exact = np.zeros((3, 5), object)
    for i, j, value in zip(post, pre, RULE.window(lag, spec=bposit16).tolist(), strict=True):
        exact[i, j] += Fraction(value)
    gradient = posit.decode(posit.encode(exact, bposit32), bposit32)  # rounded once, as it is used
    want = bits_of(grid(3, 5) + 0.5 * torch.from_numpy(gradient), bposit16)
    assert np.array_equal(bits_of(made, bposit16), want)
    assert (made - grid(3, 5)).abs().max() > 0.2


def test_micro_batches_and_other_gradients_add_up() -> None:
    post, pre, lag = pairs(60, 8)
    x = ops.fake_quant(torch.randn(4, 5, generator=torch.Generator().manual_seed(1)), bposit16)

    def loss(w: nn.Parameter) -> None:
        ops.linear(x, w, spec=bposit16).backward(torch.ones(4, 3).double())

    def whole(w: nn.Parameter) -> None:
        trace = Eligibility(w, RULE, spec=bposit16)
        trace.add_pairs(post, pre, lag)
        trace.deposit()
        loss(w)

    def parts(w: nn.Parameter) -> None:
        loss(w)
        for k in torch.arange(60).flip(0).split(17):
            trace = Eligibility(w, RULE, spec=bposit16)
            trace.add_pairs(post[k], pre[k], lag[k])
            trace.deposit()

    made = [stepped(nn.Parameter(grid(3, 5)), how) for how in (whole, parts)]
    assert torch.equal(*made)
    assert not torch.equal(made[0], stepped(nn.Parameter(grid(3, 5)), loss))


def test_float_weights_get_a_gradient() -> None:
    w = nn.Parameter(torch.zeros(3, 5))
    w.grad = torch.ones(3, 5)
    trace = Eligibility(w, RULE, exact=False)
    trace.add_pairs(*pairs(9, 0))
    trace.deposit(2.0)
    assert torch.equal(w.grad, 1 - 2 * trace.value)


def test_rewards_and_decay() -> None:
    w = torch.zeros(3, 5).double()
    trace = Eligibility(w, RULE, spec=bposit16)
    trace.add_pairs(*pairs(99, 0))
    held = trace.value
    trace.deposit(-0.375)
    bits = gradients.rounded(w, bposit32)
    assert bits is not None
    assert np.array_equal(bits, bits_of(0.375 * held, bposit32))  # a product of 9 bits each is one
    trace.decay(0.5)
    assert torch.equal(trace.value, ops.fake_quant(0.5 * held, bposit16))
    with pytest.raises(ValueError, match=r"0\.1 is no number of <16,6,5>"):
        trace.decay(0.1)
    gradients.clear([w])


def test_posit_tensors() -> None:
    w = nn.Parameter(tensor(grid(3, 5), spec=bposit16), requires_grad=False)
    optimizer = PositAdamW([w], lr=0.1)
    trace = Eligibility(w, RULE)
    trace.add_pull(torch.ones(1, 2, 3, dtype=torch.bool))
    assert torch.equal(trace.value, -2 * grid(3, 5))
    trace.deposit()
    optimizer.step()
    assert bool((w.double() <= grid(3, 5)).all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_no_exact_accumulator_raises(dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match="there is no exact accumulator of torch"):
        Eligibility(torch.zeros(2, 3, dtype=dtype), RULE)


def test_never_a_lossy_fallback() -> None:
    with pytest.raises(TypeError, match="no exact accumulator of weights"):
        Eligibility(torch.zeros(2, 3), RULE, spec=bposit16)
    with pytest.raises(TypeError, match="on meta"):
        Eligibility(torch.zeros(2, 3, device="meta").double(), RULE, spec=bposit16)
    with pytest.raises(TypeError, match="has an exact accumulator"):
        Eligibility(torch.zeros(2, 3).double(), RULE, spec=bposit16, exact=False)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda t: STDP(rise=-1.0), ValueError, "rise=-1.0"),
        (lambda t: STDP(tau_plus=0.0), ValueError, "tau_plus=0.0"),
        (lambda t: STDP(fall=float("nan")), ValueError, "fall=nan"),
        (lambda t: t.add_pairs(*[torch.tensor([0])] * 2, torch.tensor([torch.inf])), ValueError,
         "not finite"),
        (lambda t: t.add_pairs(torch.tensor([2]), *[torch.tensor([0])] * 2), IndexError,
         "post: possible are neurons 0 to 1"),
        (lambda t: t.add_pairs(torch.tensor([0]), torch.tensor([-1]), torch.tensor([0])),
         IndexError, "pre: possible"),
        (lambda t: t.add_pairs(torch.tensor([0.0]), *[torch.tensor([0])] * 2), TypeError,
         "indices are integers"),
        (lambda t: t.add_pairs(torch.tensor([0, 1]), *[torch.tensor([0])] * 2), ValueError,
         "one length"),
        (lambda t: t.add_spikes(torch.zeros(1, 2, 3), torch.zeros(1, 2, 2)), TypeError,
         "torch.bool"),
        (lambda t: t.add_spikes(torch.zeros(1, 2, 3), torch.zeros(1, 3, 2)), ValueError, "not"),
        (lambda t: t.add_pull(torch.ones(1, 2, 1, dtype=torch.bool)), ValueError, "T, 2"),
        (lambda t: t.add_pull(torch.ones(4, 2, dtype=torch.bool)), ValueError, "T, 2"),
        (lambda t: t.add_pull(torch.full((1, 1, 2), 3.0)), ValueError, "got torch.float32"),
        (lambda t: Eligibility(torch.zeros(3).double(), RULE, spec=bposit16), ValueError,
         "neurons, inputs"),
    ],
)  # fmt: skip
def test_bad_input(call: Any, error: type[Exception], words: str) -> None:
    trace = Eligibility(torch.ones(2, 3).double(), RULE, spec=bposit16)
    with pytest.raises(error, match=words):
        call(trace)
    assert not trace.value.any()


# ---- bounds
def wandering(bounded: bool, update: str) -> Tensor:
    """Weights under strong rules that pull all ways."""
    w = nn.Parameter(torch.full((3, 5), 0.5).double())
    optimizer = PositSGD([w], lr=1.0, spec=bposit16, update=update)
    if bounded:
        keep_within(optimizer, [w], 0.0, 1.0)
    seen = []
    for k in range(30):
        optimizer.zero_grad()
        trace = Eligibility(w, STDP(0.75, 0.75, 7.0, 7.0), spec=bposit16)
        trace.add_pairs(*pairs(20, k))
        trace.deposit()
        optimizer.step()
        seen.append(w.detach().clone())
    return torch.stack(seen)


@pytest.mark.parametrize("update", ["residue", "stochastic", "nearest"])
def test_weights_are_bounded(update: str) -> None:
    found = wandering(True, update)
    assert found.min() == 0
    assert found.max() == 1
    free = wandering(False, update)  # without bounds they would not be
    assert free.min() < 0
    assert free.max() > 1


def test_bounds_that_cannot_be() -> None:
    w = nn.Parameter(torch.zeros(1, 1).double())
    optimizer = PositSGD([w], spec=bposit16)
    with pytest.raises(ValueError, match="no weight is from 1"):
        keep_within(optimizer, [w], 1.0, 0.0)
    with pytest.raises(ValueError, match="not both numbers of"):
        keep_within(optimizer, [w], 0.0, 0.1)
    with pytest.raises(ValueError, match="not one of the optimizer's"):
        keep_within(optimizer, [torch.zeros(1)], 0.0, 1.0)
    with pytest.raises(ValueError, match="update='master'"):
        keep_within(PositSGD([w], spec=bposit16, update="master"), [w], 0.0, 1.0)


# ---- the layer
def fired_by_definition(layer: WinnerTakeAll, spikes: Tensor, spec: PositSpec) -> Tensor:
    """One neuron and step at a time."""
    weight, threshold, leak = (
        bits_of(x, spec) for x in (layer.weight, layer.threshold, layer.leak)
    )
    made = torch.zeros(*spikes.shape[:2], len(weight), dtype=torch.bool)
    for b, presentation in enumerate(spikes):
        v = np.zeros(len(weight), spec.storage)
        for t, row in enumerate(bits_of(presentation.double(), spec)):
            v = np.array([
                posit.fma(leak, v[i], quire.dot(weight[i], row, spec), spec) for i in range(len(v))
            ], spec.storage)  # fmt: skip
            over = posit.decode(posit.sub(v, threshold, spec), spec)
            if over.max() >= 0:
                made[b, t, int(over.argmax())] = True
                v[:] = 0
    return made


@pytest.mark.parametrize("spec", [bposit16, bposit32], ids=str)
def test_the_layer_is_its_definition(spec: PositSpec) -> None:
    random = torch.Generator().manual_seed(2)
    layer = WinnerTakeAll(12, 4, threshold=3.0, spec=spec, generator=random)
    spikes = torch.rand(5, 10, 12, generator=random) < 0.4
    fired = layer(spikes)
    assert torch.equal(fired, fired_by_definition(layer, spikes, spec))
    assert fired.sum() > 10
    assert fired.sum(2).max() == 1
    # equal neurons: the first fires
    same = WinnerTakeAll(12, 4, threshold=3.0, spec=spec, weights=(0.3, 0.3))
    assert same(spikes).sum((0, 1)).tolist()[1:] == [0, 0, 0]


def test_homeostasis() -> None:
    layer = WinnerTakeAll(4, 3, spec=bposit16, target=1.5)
    post = torch.zeros(2, 5, 3, dtype=torch.bool)
    post[0, :3, 0] = True
    layer.deposit(torch.zeros(2, 5, 4, dtype=torch.bool), post)
    assert layer.threshold.grad is not None
    assert layer.threshold.grad.tolist() == [-2.0, 1.0, 1.0]  # a share of 1, and 3 spikes
    pull = gradients.rounded(layer.weight, bposit16)
    assert pull is not None
    assert np.array_equal(pull[0], bits_of(3 * layer.weight[0], bposit16))
    assert not pull[1:].any()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_nar_does_not_spike(bad: float) -> None:
    layer = WinnerTakeAll(4, 3, spec=bposit16)
    with torch.no_grad():
        layer.weight[1, 2] = bad
    with pytest.raises(FloatingPointError, match="weight of the layer has NaN or NaR"):
        layer(torch.zeros(1, 2, 4, dtype=torch.bool))


def test_codes_names_and_votes() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.tensor([[0.0, 0.25, 1.0]])
    spikes = rate_code(x, 4000, generator=random)
    assert spikes.shape == (1, 4000, 6)
    want = torch.tensor([0, 0.125, 0.5, 0.5, 0.375, 0])
    torch.testing.assert_close(spikes[0].float().mean(0), want, rtol=0, atol=0.03)
    counts = torch.tensor([[3, 0, 1], [2, 0, 1], [0, 2, 4]])
    names = name_neurons(counts, torch.tensor([0, 0, 1]), 2)
    assert names.tolist() == [0, 1, 1]
    answers = votes(torch.cat([counts, torch.zeros(1, 3).long()]), names, 2)
    assert answers.tolist() == [0, 0, 1, -1]
    with pytest.raises(ValueError, match="from 0 to 1; some are not"):
        rate_code(torch.tensor([[1.5]]), 3)
    with pytest.raises(ValueError, match="0 steps"):
        rate_code(x, 0)
    with pytest.raises(ValueError, match="every one of 3 classes"):
        name_neurons(counts, torch.tensor([0, 0, 1]), 3)
    with pytest.raises(ValueError, match="spikes are bool"):
        WinnerTakeAll(4, 3)(torch.zeros(1, 2, 4))


def knows(spec: PositSpec | None, batches: int) -> float:
    """Share of 200 digits, 0 to 4, that 15 neurons know; the labels of others named them."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(n_class=5, return_X_y=True)
    x, y = torch.from_numpy(images / 16.0), torch.from_numpy(labels)
    random = torch.Generator().manual_seed(0)
    layer = WinnerTakeAll(
        128, 15, rule=STDP(1.0, 0.025, 2.0, 8.0), threshold=60.0, target=1.5, spec=spec,
        generator=random,
    )  # fmt: skip
    groups = [{"params": [layer.weight], "lr": 0.04}, {"params": [layer.threshold], "lr": 1.0}]
    optimizer: Any = torch.optim.SGD(groups) if spec is None else PositSGD(groups)
    keep_within(optimizer, [layer.weight], 0.0, 1.0)
    for k in range(batches):
        rows = torch.randint(200, 901, (16,), generator=random)
        spikes = rate_code(x[rows], 16, generator=random)
        optimizer.zero_grad()
        layer.deposit(spikes, layer(spikes))
        optimizer.step()
        assert 0 <= float(layer.weight.min()) <= float(layer.weight.max()) <= 1, k
    counts = layer(rate_code(x, 16, generator=random)).sum(1)
    names = name_neurons(counts[200:], y[200:], 5)
    return float((votes(counts[:200], names, 5) == y[:200]).double().mean())


@pytest.mark.parametrize("spec", [None, bposit16], ids=str)
def test_it_learns_digits(spec: PositSpec | None) -> None:
    assert knows(spec, 90) > 0.8


def test_it_does_not_know_them_before() -> None:
    assert knows(None, 0) < 0.6


def test_the_page_has_the_committed_results() -> None:
    from bench.spiking import ARMS, _row

    found = json.loads((ROOT / "bench/results/spiking.json").read_text())
    results = (ROOT / "bench/results/spiking.md").read_text()
    page = (ROOT / "docs/spiking.md").read_text()
    for arm in ("k-means", *ARMS):
        assert _row(found, arm) in results
        shown = _row(found, arm).split("|")[2:4]
        assert f" |{'|'.join(shown)}|" in page


def test_examples() -> None:
    found = doctest.testmod(spiking)
    assert found.attempted
    assert not found.failed
