"""Bayesian distillation: Fisher sums, prior and loss are their formulas, and a student learns."""

from __future__ import annotations

import copy
import doctest
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.func import functional_call, jacrev, vmap
from torch.nn import functional

import posit
import torch_bridge as tb
from posit import PositSpec, bposit16, bposit32
from torch_bridge import ops
from torch_bridge.adaptive import distill
from torch_bridge.adaptive.distill import Admissible, Distillation, Prior, fisher
from torch_bridge.clifford import GradePreserving
from torch_bridge.gradients import GradientSum
from torch_bridge.ops._kernels import bits_of
from torch_bridge.optim import PositAdamW


def network(seed: int = 0, sizes: tuple[int, ...] = (6, 5, 3)) -> nn.Sequential:
    torch.manual_seed(seed)
    first, hidden, classes = sizes
    return nn.Sequential(nn.Linear(first, hidden), nn.Tanh(), nn.Linear(hidden, classes))


def inputs(count: int = 11, seed: int = 0) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))


# ---- Fisher information
def fisher_by_definition(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Σ_x Σ_y p(y|x)·(∂ log p(y|x)/∂w)²/n, one derivative at a time, in float64."""
    names = [name for name, _ in model.named_parameters()]
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for row in x:
        logs = torch.log_softmax(model(row.unsqueeze(0))[0], -1)
        for y in range(len(logs)):
            slopes = torch.autograd.grad(logs[y], list(model.parameters()), retain_graph=True)
            for name, g in zip(names, slopes, strict=True):
                total[name] += logs[y].exp().detach() * g * g / len(x)
    return total


def test_fisher_is_its_definition() -> None:
    model, x = network().double(), inputs().double()
    found, want = fisher(model, x), fisher_by_definition(model, x)
    for name, f in want.items():
        torch.testing.assert_close(found[name], f, rtol=1e-7, atol=1e-12)
        assert f.min() > 0


def test_fisher_of_one_layer() -> None:
    """Of a softmax of W·x it is the mean of p·(1 - p)·x², class by class."""
    model, x = nn.Linear(6, 3).double(), inputs().double()
    p = torch.softmax(model(x), -1)
    want = torch.einsum("nc,nj->cj", p * (1 - p), x * x) / len(x)
    torch.testing.assert_close(fisher(model, x)["weight"], want, rtol=1e-7, atol=1e-12)


def derivatives(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """∂ 2√p(y|x)/∂w, (samples·classes, *shape)."""
    weights = {name: p.detach() for name, p in model.named_parameters()}

    def root(w: dict[str, Tensor], row: Tensor) -> Tensor:
        return 2 * torch.softmax(functional_call(model, w, (row[None],))[0].double(), -1).sqrt()

    made = vmap(jacrev(root), (None, 0))(weights, x)
    return {name: h.flatten(0, 1) for name, h in made.items()}


@pytest.mark.parametrize("spec", [bposit16, bposit32, PositSpec(12, 4, 5)], ids=str)
def test_fisher_is_rounded_once_and_divided(spec: PositSpec) -> None:
    model, x = nn.Linear(6, 3).double(), inputs(8).double()
    h = posit.decode(bits_of(derivatives(model, x)["weight"], spec), spec)
    squares = np.vectorize(lambda v: Fraction(float(v)) ** 2)(h).sum(0)
    want = posit.div(posit.encode(squares, spec), posit.encode(8.0, spec), spec)
    found = bits_of(fisher(model, x, spec=spec)["weight"], spec)
    apart = np.abs(found.astype(int) - want.astype(int))  # h is computed by another formula here
    assert apart.max() <= 1
    assert (apart == 0).mean() > 0.8


def in_other_orders(sum_of: Any) -> list[dict[str, Tensor]]:
    model, x = network(), inputs(23)
    tb.convert_(model, "bposit16")
    order = torch.randperm(23, generator=torch.Generator().manual_seed(4))
    return [sum_of(model, x, 23), sum_of(model, x[order], 5), sum_of(model, x.flip(0), 1)]


@pytest.mark.parametrize("spec", [bposit16, bposit32], ids=str)
def test_fisher_of_any_order_and_batch(spec: PositSpec) -> None:
    def exact(model: nn.Module, x: Tensor, batch: int) -> dict[str, Tensor]:
        return fisher(model, x, spec=spec, batch=batch)

    first, *others = in_other_orders(exact)
    for other in others:
        assert all(torch.equal(first[name], other[name]) for name in first)


class Lossy(GradientSum):
    """A mutant: rounds after every batch."""

    def add_dots(self, a: Any, b: Any) -> Any:
        super().add_dots(a, b)
        rounded = self.round()
        return self.clear().add(rounded)


def test_a_lossy_sum_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distill, "GradientSum", Lossy)
    with pytest.raises(AssertionError):
        test_fisher_of_any_order_and_batch(bposit32)


def test_fisher_leaves_the_model_alone() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    fisher(model, inputs())
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


# ---- the prior
def information(teacher: nn.Module) -> dict[str, Tensor]:
    return fisher(teacher, inputs().to(next(teacher.parameters()).dtype))


def prior_of(teacher: nn.Module, **options: Any) -> Prior:
    return Prior(teacher, information(teacher), strength=7.0, damping=0.25, **options)


def test_prior_is_the_gaussian() -> None:
    teacher, one, other = (network(seed).double() for seed in range(3))
    prior = prior_of(teacher)
    f = information(teacher)

    def log_density(model: nn.Module) -> Tensor:
        found = torch.zeros(()).double()
        for name, w in model.named_parameters():
            mean, deviation = teacher.get_parameter(name), (7.0 * (f[name] + 0.25)) ** -0.5
            found = found + Normal(mean, deviation).log_prob(w).sum()
        return found.detach()

    want = log_density(other) - log_density(one)  # the constant falls out
    torch.testing.assert_close((prior.neg_log(one) - prior.neg_log(other)).detach(), want)
    assert prior.neg_log(teacher) == 0
    for name, w in one.named_parameters():
        (slope,) = torch.autograd.grad(prior.neg_log(one), w)
        away = w - teacher.get_parameter(name)
        torch.testing.assert_close(slope, prior.precision[name] * away)


MASK = torch.tensor([True, False, True, True, False, True])


def test_the_mean_is_admissible() -> None:
    teacher = network()
    allowed = Admissible({"0.weight": MASK}, "bposit16")
    prior = prior_of(teacher, admissible=allowed)
    assert not allowed.objections(prior.mean)
    assert prior.neg_log(prior.mean) == 0
    assert not prior.mean["0.weight"][:, ~MASK].any()
    assert prior.mean["0.weight"][:, MASK].all()
    want = ops.fake_quant(teacher[2].weight, bposit16)
    assert torch.equal(prior.mean["2.weight"], want)
    # the teacher itself is not: a prior that forgets to project, or to cut, is seen
    assert prior.neg_log(teacher) == torch.inf
    assert len(allowed.objections(dict(teacher.named_parameters()))) == 4


def test_outside_the_density_is_zero() -> None:
    prior = prior_of(network(), admissible=Admissible({"0.weight": MASK}))
    student = network()
    student.load_state_dict(prior.mean)
    assert prior.neg_log(student) == 0
    with torch.no_grad():
        student[0].weight[2, 1] = 1e-30
    assert prior.neg_log(student) == torch.inf
    assert prior.admissible.objections(dict(student.named_parameters())) == [
        "0.weight: 1 of 30 elements are not admissible"
    ]
    with torch.no_grad():
        student[0].weight[2, 1] = torch.nan
    assert prior.neg_log(student).isnan()


def trained(wrapped: bool) -> tuple[Prior, nn.Module]:
    """A student in bposit16 with forbidden coefficients, after steps that push at these too."""
    teacher = network()
    prior = prior_of(teacher, admissible=Admissible({"0.weight": MASK}, "bposit16"))
    student = copy.deepcopy(teacher)
    student.load_state_dict(prior.mean)
    tb.convert_(student, "bposit16")
    loss = Distillation(teacher, inputs(), prior, samples=11)
    optimizer: Any = PositAdamW(student.parameters(), lr=0.01)
    if wrapped:
        optimizer = GradePreserving(optimizer, {student[0].weight: MASK.expand(5, 6)})
    y = torch.arange(11) % 3
    for _ in range(5):
        optimizer.zero_grad()
        (functional.cross_entropy(student(inputs()).double(), y) + loss(student)).backward()
        optimizer.step()
    return prior, student


def test_students_stay_admissible() -> None:
    prior, student = trained(wrapped=True)
    assert 0 < prior.neg_log(student) < torch.inf
    prior, student = trained(wrapped=False)  # an optimizer that ignores grades
    assert prior.neg_log(student) == torch.inf


# ---- the loss
def loss_by_definition(teacher: nn.Module, student: nn.Module, prior: Prior, **o: Any) -> Tensor:
    t = o.get("temperature", 1.0)
    p = torch.softmax(teacher(inputs().double()) / t, -1)
    q = torch.softmax(student(inputs().double()) / t, -1)
    kl = (p * (p / q).log()).sum(-1).mean()
    return o.get("share", 1.0) * t * t * kl + prior.neg_log(student) / 40


@pytest.mark.parametrize("options", [{}, {"share": 0.3}, {"temperature": 2.5}, {"share": 0.0}])
def test_loss_is_its_definition(options: Any) -> None:
    teacher, student = network(0).double(), network(1).double()
    prior = prior_of(teacher)
    loss = Distillation(teacher, inputs().double(), prior, samples=40, **options)
    torch.testing.assert_close(
        loss(student), loss_by_definition(teacher, student, prior, **options)
    )
    # the other direction of KL is another number
    if options.get("share", 1.0):
        other = Distillation(student, inputs().double(), prior, samples=40, **options)
        there = other(teacher) + prior.neg_log(student) / 40
        assert abs((there - loss(student)).item()) > 1e-4


def test_the_teacher_is_its_minimum() -> None:
    teacher = network().double()
    loss = Distillation(teacher, inputs().double(), prior_of(teacher), samples=1)
    student = copy.deepcopy(teacher)
    loss(student).backward()
    assert loss(student) == 0
    for p in student.parameters():
        assert p.grad is not None
        assert p.grad.abs().max() < 1e-12


def test_rows_of_probes() -> None:
    teacher, student = network(0).double(), network(1).double()
    loss = Distillation(teacher, inputs(12).double(), prior_of(teacher), samples=3)
    parts = [loss(student, rows) for rows in torch.arange(12).split(3)]
    torch.testing.assert_close(torch.stack(parts).mean(), loss(student))


# ---- bad input
def one_class_more() -> nn.Module:
    return network(sizes=(6, 5, 4))


def spoilt(model: nn.Module) -> dict[str, Tensor]:
    weights = {name: w.detach().clone() for name, w in model.named_parameters()}
    weights["0.weight"][1, 2] = torch.nan
    return weights


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t, p: Distillation(t, inputs(0), p, samples=1), "an empty set of probes"),
        (lambda t, p: Distillation(t, inputs() * torch.nan, p, samples=1), "probes have NaN"),
        (lambda t, p: Distillation(lambda x: t(x) / 0, inputs(), p, samples=1), "not finite"),
        (lambda t, p: Distillation(t, inputs(), p, samples=0), "samples=0"),
        (lambda t, p: Distillation(t, inputs(), p, samples=1, share=-1.0), "share=-1"),
        (lambda t, p: Distillation(t, inputs(), p, samples=1, temperature=0.0), "temperature=0"),
        (lambda t, p: Distillation(t, inputs(), p, samples=1)(t, torch.arange(0)), "an empty set"),
        (lambda t, p: Distillation(t, inputs(), p, samples=1)(one_class_more()), "answers"),
        (lambda t, p: fisher(t, inputs(0)), "an empty set of inputs"),
        (lambda t, p: fisher(nn.Sequential(t, nn.Dropout()), inputs()), "model.eval"),
        (lambda t, p: fisher(t, inputs(), batch=0), "batch=0"),
        (lambda t, p: Distillation(nn.Sequential(t, nn.Dropout()), inputs(), p, samples=1), "eval"),
        (lambda t, p: Prior(spoilt(t), p.precision, strength=1.0), "teacher's 0.weight has NaN"),
        (lambda t, p: Prior(t, {}, strength=1.0), "0.bias"),
        (lambda t, p: Prior(t, p.precision, strength=-1.0), "strength=-1"),
        (lambda t, p: Prior(t, p.precision, strength=1.0, damping=float("inf")), "damping=inf"),
        (lambda t, p: Prior(t, {n: -f for n, f in p.precision.items()}, strength=1.0), "negative"),
        (lambda t, p: Prior({}, {}, strength=1.0), "no parameters"),
        (lambda t, p: prior_of(t, admissible=Admissible({"w": MASK})), "a mask for 'w'"),
        (lambda t, p: p.neg_log(one_class_more()), "2.bias"),
        (lambda t, p: p.neg_log({"0.weight": torch.zeros(1)}), "0.bias"),
    ],
)
def test_bad_input(call: Any, words: str) -> None:
    teacher = network()
    with pytest.raises(ValueError, match=words):
        call(teacher, prior_of(teacher))


def test_derivatives_that_are_not_finite() -> None:
    model = network()
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nan
    with pytest.raises(FloatingPointError, match=r"derivatives by 0\.weight have NaN or NaR"):
        fisher(model, inputs())


# ---- real data
def digits() -> tuple[Tensor, Tensor, Tensor]:
    """Digits blurred to the left, as the teacher knows them; as they are; and labels."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = torch.from_numpy(images / 16.0).float().reshape(-1, 8, 8)
    blurred = (x + functional.pad(x, (0, 1))[:, :, 1:]) / 2
    return blurred.reshape(-1, 64), x.reshape(-1, 64), torch.from_numpy(labels)


def fitted(model: nn.Module, steps: int, x: Tensor, y: Tensor, extra: Any = None) -> nn.Module:
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        (loss if extra is None else loss + extra(model)).backward()
        optimizer.step()
    return model


def test_a_teacher_is_worth_labels() -> None:
    there, here, y = digits()
    teacher = fitted(network(sizes=(64, 32, 10)), 150, there[:900], y[:900])
    known = torch.cat([(y[:900] == c).nonzero()[:2, 0] for c in range(10)])
    test = slice(1200, None)

    def right(model: nn.Module, x: Tensor) -> float:
        return float((model(x[test]).argmax(1) == y[test]).double().mean())

    prior = Prior(teacher, fisher(teacher, there[:100]), strength=10.0, damping=1e-3)
    extra = Distillation(teacher, here[900:1200], prior, samples=20, share=0.05)
    student = fitted(copy.deepcopy(teacher), 100, here[known], y[known], extra)
    scratch = fitted(network(9, (64, 32, 10)), 100, here[known], y[known])
    plain = fitted(copy.deepcopy(teacher), 100, here[known], y[known])
    assert right(student, here) > right(scratch, here) + 0.08
    assert right(student, here) > right(teacher, here) + 0.04
    assert right(student, here) > right(plain, here)
    assert right(student, there) > right(plain, there) + 0.02  # and it forgets less


def test_the_page_has_the_committed_results() -> None:
    from bench.distill import tables

    root = Path(__file__).parents[3]
    read = json.loads((root / "bench/results/distill.json").read_text())["accuracies"]
    found = {arm: {int(n): points for n, points in of.items()} for arm, of in read.items()}
    made = "\n".join(tables(found))
    assert (root / "bench/results/distill.md").read_text().endswith(made + "\n")
    page = (root / "docs/distill.md").read_text()
    _, accuracies, _, here, there = made.split("\n## ")
    rows = [line for line in accuracies.splitlines() if " ± " in line]
    pairs = zip(here.splitlines(), there.splitlines(), strict=True)
    rows += [a + b.split("|", 2)[2] for a, b in pairs if " ± " in a]
    assert len(rows) == 15
    for row in rows:
        assert row in page


def test_examples() -> None:
    found = doctest.testmod(distill)
    assert found.attempted
    assert not found.failed
