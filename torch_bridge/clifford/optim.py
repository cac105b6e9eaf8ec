"""Optimizers of rotors: steps along their manifold.

[A] the weight update preserves grades. [ours] are the rules: the tangent bivector, the exponential
as retraction, renormalisation, one second moment for each rotor, and the stored generator.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from posit import PositSpec, bposit32
from posit.spec import SpecLike

from .. import gradients, ops
from .._parameter import PositParameter
from ..ops._define import spec_of, text_of
from ..ops._kernels import tensor_of
from ..optim._base import check_range
from ..optim._formats import formats
from ._blades import Signature
from ._rotors import bivectors_of, check_rotors, renormalized, stepped, tangent
from ._space import Blade, Space
from .algebra import Algebra
from .functions import defect, exp, log
from .multivector import Multivector

__all__ = ["RotorAdam", "RotorSGD"]

State = MutableMapping[str, Any]


class _RotorOptimizer(Optimizer):
    """Steps along rotors. Abstract; :class:`RotorSGD` documents the parameters."""

    defect = 0.0
    """The largest coefficient of R ~R - 1 of any rotor after the last step."""

    @abstractmethod
    def _step_of(self, group: dict[str, Any], slope: Multivector, state: State) -> Multivector:
        """The bivector to step along, of the tangent ``slope``; keeps moments in ``state``."""

    @abstractmethod
    def _check(self, group: dict[str, Any]) -> None:
        """Raise ValueError for hyperparameters that are not possible."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add rotors with options of their own.

        Raises TypeError or ValueError for impossible options, or what holds no rotors; nothing is
        added then.
        """
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            self._settle(group)
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise
        if group["spec"]:
            gradients.collect(group["params"])

    def _settle(self, group: dict[str, Any]) -> None:
        algebra = group["algebra"]
        if not isinstance(algebra, Algebra):
            algebra = Algebra(*algebra)
        blades = algebra.even if group["blades"] is None else algebra.blades(blades=group["blades"])
        for name in ("spec", "generator"):
            group[name] = text_of(group[name]) if group[name] else ""
        # what a checkpoint holds: numbers and text
        group["algebra"], group["blades"] = tuple(algebra.signature), tuple(blades)
        self._check(group)
        place = _place(group)
        bivectors_of(place)
        for i, p in enumerate(group["params"]):
            if p.shape[-1:] != (len(blades),):
                raise ValueError(
                    f"rotor {i} has shape {tuple(p.shape)} for {len(blades)} blades:"
                    f" {', '.join(place.names)}"
                )
            if p.dtype not in (torch.float32, torch.float64):
                raise TypeError(f"rotor {i} is {p.dtype}: possible are float32 and float64")
            if (group["spec"] or group["generator"]) and p.dtype != torch.float64:
                raise TypeError(f"rotor {i} is {p.dtype}: posits appear as torch.float64")
            if isinstance(p, PositParameter) and text_of(p.spec) != group["spec"]:
                raise TypeError(f"rotor {i} is a parameter of {p.spec}: give that as spec")
            check_rotors(Multivector(p.detach(), place._replace(spec="").text), f"rotor {i}")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every rotor that has a gradient, and measure :attr:`defect`.

        Raises FloatingPointError for NaN or NaR in a gradient or rotor, before any is moved; and
        where a step leads to no rotor.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        work = []
        for g, group in enumerate(self.param_groups):
            for i, p in enumerate(group["params"]):
                gradient = _gradient(p, group)
                if gradient is not None:
                    for x, what in ((gradient, "the gradient"), (p, "the rotor")):
                        if not bool(x.isfinite().all()):
                            raise FloatingPointError(
                                f"{what} of parameter {i} of group {g} has NaN or NaR; no rotor was"
                                " moved"
                            )
                    work.append((group, p, gradient))
        worst = [self._move(*w) for w in work]
        self.defect = max(worst, default=0.0)
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave.

        Raises ValueError if it is of another optimizer, or was saved with another algebra, other
        blades or formats; nothing is loaded then.
        """
        for i, (old, new) in enumerate(
            zip(state_dict["param_groups"], self.param_groups, strict=False)
        ):
            if missing := new.keys() - old.keys() - {"param_names"}:
                raise ValueError(f"parameter group {i} was saved without {min(missing)}")
            for name in ("algebra", "blades", "spec", "generator"):
                if old[name] != new[name]:
                    raise ValueError(
                        f"parameter group {i} was saved with {name}={old[name]!r}, this optimizer"
                        f" has {new[name]!r}: state does not carry over"
                    )
        super().load_state_dict(state_dict)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients: ``.grad``, and the exact sums."""
        super().zero_grad(set_to_none)
        gradients.clear(p for group in self.param_groups for p in group["params"])

    def _move(self, group: dict[str, Any], p: Tensor, gradient: Tensor) -> float:
        state: State = self.state[p]
        state.setdefault("step", 0)
        state["step"] += 1
        place = _place(group)
        r = Multivector(p.detach(), place.text)
        b = self._step_of(group, tangent(r, gradient), state)
        found = _regenerated if group["generator"] else _renewed
        made = found(r, b, group, state)
        if not bool(made.coefficients.isfinite().all()):
            raise FloatingPointError(
                f"step {state['step']} leads to no rotor, so a parameter was not moved: the step is"
                " too long for the format, or the rotor has no logarithm to store"
            )
        p.copy_(made.coefficients)
        deposits = gradients.find(p)
        if deposits is not None:
            deposits.close(f"was used by step {state['step']}")
        return float(defect(made).max()) if p.numel() else 0.0


class RotorSGD(_RotorOptimizer):
    """Gradient descent of rotors: R <- exp(-η M) R, with M <- μ M + B.

    B is the tangent bivector of the gradient, ⟨g ~R⟩₂ where the metric is Euclidean. A rotor stays
    one: it is renormalised by its exact norm and the correctly rounded reciprocal root of that.

    Parameters
    ----------
    params : iterable of Tensor (..., n), of (name, Tensor), or of groups (dict)
        Coefficients of rotors, one in each row: float32, float64, or posits in float64.
    lr, momentum : float
        η and μ.
    algebra : Algebra
    blades : optional
        The n blades; the even ones by default. They must be closed under products.
    spec : PositSpec, dtype or text, optional
        The format of the rotors. A step is computed in the wider of it and bposit32, every
        coefficient of a product one exact sum, rounded once, and the rotor is rounded once more to
        ``spec``, in its renormalisation. Parameters collect exact gradients, as those of
        :mod:`torch_bridge.optim` do. Without it all is computed in floats.
    generator : PositSpec, dtype or text, optional
        What is kept is log R in that format, and the rotor is its exponential, computed in float64
        and rounded to ``spec`` if there is one. What rounding takes from the logarithm is kept
        beside it, in bposit32 or wider. The rotors are float64 then.

    After a step, :attr:`defect` is the largest coefficient of R ~R - 1. A rotor in bposit16 has one
    of some 1e-3, whatever is done: its coefficients have 8 fraction bits. Rotors in bposit32, or
    with a stored generator, stay below 1e-6. docs/clifford.md shows it.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.0,
        *,
        algebra: Algebra,
        blades: Iterable[Blade] | None = None,
        spec: SpecLike | None = None,
        generator: SpecLike | None = None,
    ) -> None:
        options = {"lr": lr, "momentum": momentum, "algebra": algebra, "blades": blades}
        super().__init__(params, {**options, "spec": spec, "generator": generator})

    def _check(self, group: dict[str, Any]) -> None:
        check_range(group, "lr", 0.0)
        check_range(group, "momentum", 0.0)

    def _step_of(self, group: dict[str, Any], slope: Multivector, state: State) -> Multivector:
        if group["momentum"]:
            if "momentum" in state:
                slope = slope.replace(state["momentum"]) * float(group["momentum"]) + slope
            state["momentum"] = slope.coefficients
        return slope * -float(group["lr"])


class RotorAdam(_RotorOptimizer):
    """Adam of rotors, with one second moment for each rotor.

    A moment for each coefficient would depend on the axes: rotated data would not give the rotated
    result. So with B the tangent bivector of step t::

        M <- β₁ M + (1 - β₁) B
        v <- β₂ v + (1 - β₂) |B|²
        R <- exp(-η M/(1 - β₁^t) / (√(v/(1 - β₂^t)) + eps)) R

    |B|² is the sum of the squares of B's coefficients, in floats: v is of the rotors' dtype, and
    what follows from it is float64.

    Parameters
    ----------
    lr, betas, eps : float
        η, (β₁, β₂), eps.
    params, algebra, blades, spec, generator
        As in :class:`RotorSGD`.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        *,
        algebra: Algebra,
        blades: Iterable[Blade] | None = None,
        spec: SpecLike | None = None,
        generator: SpecLike | None = None,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "algebra": algebra, "blades": blades}
        super().__init__(params, {**options, "spec": spec, "generator": generator})

    def _check(self, group: dict[str, Any]) -> None:
        check_range(group, "lr", 0.0)
        for i, beta in enumerate(group["betas"]):
            check_range({f"betas[{i}]": beta}, f"betas[{i}]", 0.0, 1.0)
        check_range(group, "eps", 0.0)

    def _step_of(self, group: dict[str, Any], slope: Multivector, state: State) -> Multivector:
        (beta1, beta2), x, t = map(float, group["betas"]), slope.coefficients, state["step"]
        if "mean" not in state:
            state["mean"], state["square"] = torch.zeros_like(x), x.new_zeros(x.shape[:-1])
        mean = slope.replace(state["mean"]) * beta1 + slope * (1 - beta1)
        square = beta2 * state["square"] + (1 - beta2) * (x * x).sum(-1)
        state["mean"], state["square"] = mean.coefficients, square
        below = (square.double() / (1 - beta2**t)).sqrt() + float(group["eps"])
        rate = -float(group["lr"]) / (1 - beta1**t) / below
        step: Multivector = mean * rate.to(x.dtype)
        return step


def _work(spec: str) -> PositSpec:
    """The format of a step: the wider of the rotors' and bposit32."""
    return formats(spec_of(spec), bposit32).work


def _place(group: dict[str, Any]) -> Space:
    """Where the rotors live while a step is computed."""
    work = text_of(_work(group["spec"])) if group["spec"] else ""
    return Space(Signature(*group["algebra"]), tuple(group["blades"]), work)


def _gradient(p: Tensor, group: dict[str, Any]) -> Tensor | None:
    """The gradient, of the step's format: for posits the exact sum, rounded once."""
    if not group["spec"]:
        return p.grad
    work = _work(group["spec"])
    bits = gradients.rounded(p, work)
    return None if bits is None else tensor_of(bits, work)


def _renewed(r: Multivector, b: Multivector, group: dict[str, Any], state: State) -> Multivector:
    """The rotor itself takes the step."""
    spec = spec_of(group["spec"]) if group["spec"] else None
    return renormalized(stepped(r, b), spec)


def _regenerated(
    r: Multivector, b: Multivector, group: dict[str, Any], state: State
) -> Multivector:
    """The logarithm takes the step; the rotor is its exponential.

    What rounding takes from the generator stays in the state.
    """
    small, residue_spec = spec_of(group["generator"]), text_of(_work(group["generator"]))
    x = r.floats()
    if "generator" in state:
        bivectors = bivectors_of(_place(group))._replace(spec="").text
        whole = state["generator"] + state["residue"]
        x = exp(Multivector(whole, bivectors)).into(x.blades)
    turned = renormalized(stepped(x, b.floats()))
    sign = torch.where(turned["1"] < 0, -1.0, 1.0)  # -R turns as R does, and has a shorter log
    exact = log(turned * sign)
    made = exact.rounded(small)
    state["generator"] = made.coefficients
    state["residue"] = ops.fake_quant(exact.coefficients - made.coefficients, residue_spec)
    back = exp(made.floats()).into(x.blades)
    return back.rounded(group["spec"]) if group["spec"] else back
