"""What forward gradients refuse, and that the model is untouched then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import torch_bridge as tb
from torch_bridge.adaptive import forward

from .forward_cases import Attention, Residual, batch, loss, model, one_thread, posit_loss

__all__ = ["one_thread"]
pytestmark = pytest.mark.usefixtures("one_thread")


class Tied(nn.Module):
    """Reads a parameter of a module that it does not call."""

    def __init__(self, *, call: bool) -> None:
        super().__init__()
        self.inner, self.call = nn.Linear(4, 4), call

    def forward(self, x: Tensor) -> Tensor:
        x = self.inner(x) if self.call else x
        return functional.linear(x, self.inner.weight)


class Opaque(nn.Module):
    """Loses the tangent, as a bare custom op does."""

    def forward(self, x: Tensor) -> Tensor:
        return x.detach().clone() if not torch.is_grad_enabled() else x


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.spare = nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.used(x)
        return found


def chain() -> nn.Module:
    return model("chain")[0]


def run(found: nn.Module, **how: Any) -> Any:
    given = {"loss": loss, "batch": batch((4,))} | how
    return forward.gradient(found.double(), given.pop("loss"), given.pop("batch"), **given)


REFUSED: dict[str, tuple[Callable[[], nn.Module], dict[str, Any], type[Exception], str]] = {
    "no tangents": (chain, {"tangents": 0}, ValueError, "at least one"),
    "a seed twice": (chain, {"tangents": [1, 2, 1]}, ValueError, "named twice"),
    "a seed of 65 bits": (chain, {"tangents": [1 << 64]}, ValueError, "0 to 2\\^64-1"),
    "a negative seed": (chain, {"seed": -1}, ValueError, "seed=-1"),
    "perturb": (chain, {"perturb": "bias"}, ValueError, "possible are weights, activations"),
    "estimator": (chain, {"estimator": "mean"}, ValueError, "averaged, projected"),
    "distribution": (chain, {"distribution": "cauchy"}, ValueError, "normal, rademacher"),
    "both": (chain, {"perturb": "activations", "estimator": "projected"}, ValueError, "for each"),
    "too many": (chain, {"tangents": 999, "estimator": "projected"}, ValueError, "at most"),
    "dependent": (
        lambda: nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 2, bias=False)),
        {"batch": batch((1,)), "tangents": [1, 2, 3], "estimator": "projected",
         "distribution": "rademacher"}, ValueError, "dependent",
    ),
    "micro_batch": (chain, {"micro_batch": 0}, ValueError, "from 1"),
    "no samples": (chain, {"batch": (torch.zeros(0, 4), torch.zeros(0))}, ValueError, "without"),
    "no pair": (chain, {"batch": torch.zeros(3, 4)}, TypeError, "\\(inputs, targets\\)"),
    "sizes": (
        chain, {"batch": ((torch.zeros(3, 4), torch.zeros(2)), torch.zeros(3))}, ValueError,
        "one first axis",
    ),
    "a mean": (chain, {"loss": functional.cross_entropy}, ValueError, "reduction='none'"),
    "a number": (chain, {"loss": lambda o, t: 1.0}, ValueError, "float"),
    "nothing trainable": (nn.ReLU, {}, ValueError, "no parameter"),
    "lost": (
        lambda: nn.Sequential(nn.Linear(4, 2), Opaque()), {}, RuntimeError, "no forward-mode"
    ),
    "unused": (Unused, {}, ValueError, "spare.weight, spare.bias"),
    "read elsewhere": (lambda: Tied(call=True), {}, RuntimeError, "inner.weight is read outside"),
    "never called": (lambda: Tied(call=False), {}, RuntimeError, "inner.weight is read outside"),
    "a list": (lambda: nn.ParameterList([torch.zeros(2)]), {}, TypeError, "list of parameters"),
    "nested": (
        lambda: nn.Sequential(nn.Linear(4, 3), Residual()), {"perturb": "activations"},
        ValueError, "'1.twice' inside",
    ),
    "batch": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), {"perturb": "activations"},
        ValueError, "1 normalises over the batch: a sample's noise in activations reaches",
    ),
    "a tuple": (
        lambda: nn.Sequential(nn.GRU(4, 2)), {"perturb": "activations"}, TypeError,
        "0 returns a tuple",
    ),
    "samples": (
        lambda: nn.Sequential(nn.Linear(4, 2), nn.Flatten(0), nn.Unflatten(0, (1, -1)),
                              nn.Linear(12, 2)),
        {"perturb": "activations"}, ValueError, "3 makes \\(1, 2\\) of 6 samples",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_say_what_is_possible(case: str) -> None:
    make, how, kind, text = REFUSED[case]
    found = make()
    names = [n for n, _ in found.named_parameters()]
    before = [p.clone() for p in found.double().parameters()]
    with pytest.raises(kind, match=text):
        run(found, **how)
    assert [n for n, _ in found.named_parameters()] == names
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), before, strict=True))
    assert all("forward" not in m.__dict__ for m in found.modules())
    assert not torch.autograd.forward_ad._current_level + 1


def test_whole_names_what_reads_its_modules_parameters() -> None:
    found = Tied(call=True).double()
    made = run(found, whole=(Tied,), tangents=20, estimator="projected", batch=batch((4,), 4))
    x, y = batch((4,), 4)
    exact = torch.autograd.grad(loss(found(x), y).mean(), list(found.parameters()))
    for g, e in zip(made.tensors.values(), exact, strict=True):
        torch.testing.assert_close(g, e, rtol=1e-9, atol=1e-10)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, of its own code
def test_compiled_and_scripted_models_are_refused() -> None:
    found = nn.Sequential(nn.Linear(4, 2))
    with pytest.raises(TypeError, match="compiled or scripted"):
        run(torch.compile(found))  # type: ignore[arg-type]
    traced = found.double()
    traced.compile()
    with pytest.raises(TypeError, match="compiled or scripted"):
        run(traced)


def test_parameters_that_have_no_tangent_are_refused() -> None:
    found = nn.Linear(4, 2)
    found.weight = nn.Parameter(tb.tensor([[1.0] * 4] * 2, spec="bposit16"))
    with pytest.raises(TypeError, match="weight is a PositTensor"):
        forward.gradient(found, loss, batch((4,)))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_derivative_that_is_no_number_changes_nothing(bad: float) -> None:
    found = chain()
    x, y = batch((4,))
    x[3, 1] = bad
    before = [p.clone() for p in found.parameters()]
    trainer = forward.Trainer(found, loss, lr=0.1)
    with pytest.raises(FloatingPointError, match="no parameter was changed"):
        trainer.step((x, y))
    assert trainer.steps == 0
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), before, strict=True))
    with pytest.raises(FloatingPointError, match="no parameter"):
        run(found, batch=(x, y), perturb="activations")
    assert all(p.grad is None for p in found.parameters())


def test_nar_in_a_converted_model_too() -> None:
    found = nn.Sequential(nn.Linear(4, 2))
    tb.convert_(found, "bposit16")
    x, y = batch((4,))
    x[0, 0] = float("nan")
    for perturb in ("weights", "activations"):
        with pytest.raises(FloatingPointError):
            forward.gradient(found, posit_loss, (x, y), perturb=perturb)  # type: ignore[arg-type]


def test_a_trainer_refuses_what_it_cannot_do() -> None:
    for how, text in (
        ({"update": "residue"}, "stochastic and nearest"),
        ({"tangents": [1, 2]}, "their number"),
        ({"tangents": 0}, "at least one"),
        ({"estimator": "best"}, "averaged, projected"),
    ):
        with pytest.raises((TypeError, ValueError), match=text):
            forward.Trainer(chain(), loss, lr=0.1, **how)  # type: ignore[arg-type]
    trainer = forward.Trainer(chain(), loss, lr=float("nan"))
    with pytest.raises(ValueError, match="lr=nan"):
        trainer.step(batch((4,)))


def test_gradients_of_others_are_left_alone() -> None:
    found = Attention().double()
    found.norm.bias.grad = torch.ones(2, dtype=torch.float64)
    run(found)
    assert found.norm.bias.grad is not None
    posits = nn.Sequential(nn.Linear(4, 2))
    tb.convert_(posits, "bposit16")
    x, y = batch((4,))
    tb.gradients.collect(posits.parameters())
    posit_loss(posits(x), y).sum().backward()
    with pytest.raises(RuntimeError, match="zero_grad"):
        forward.gradient(posits, posit_loss, (x, y), perturb="activations")
    tb.gradients.clear(posits.parameters())
    forward.gradient(posits, posit_loss, (x, y), perturb="activations")
    assert all(p.grad is None and tb.gradients.find(p).is_empty for p in posits.parameters())  # type: ignore[union-attr]
