"""What the optimizers share: groups, gradients, order, checkpoints. Subclasses give the step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import isfinite
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

import posit
from posit import PositSpec
from posit.spec import SpecLike
from quire._threads import run

from .. import gradients
from .._patterns import Held, Patterns, held, is_numbers, write
from ..ops._define import text_of
from ._formats import Formats, formats, holds
from ._saved import check_saved
from ._update import UPDATES, Place, State, Step

__all__ = ["PositOptimizer", "check_range", "scalar"]


@dataclass(frozen=True)
class _Work:
    """One parameter of a step."""

    name: str
    parameter: Tensor
    group: dict[str, Any]
    formats: Formats
    start: int
    gradient: Held


@lru_cache(maxsize=1024)
def scalar(x: float | Fraction, spec: PositSpec) -> Patterns:
    """A hyperparameter as a 0-d array of one pattern, rounded once; read-only."""
    made = np.asarray(posit.encode(np.array(x, object), spec), spec.storage)
    made.flags.writeable = False
    return made


class PositOptimizer(Optimizer):
    """An optimizer whose every operation is one of posits, in one order, on the CPU.

    Abstract; :class:`PositSGD` and :class:`PositAdamW` document the parameters.
    """

    skipped = 0
    """Steps not made because of NaR in a gradient, with ``on_nar="skip"``."""

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        super().__init__(params, defaults)

    @abstractmethod
    def _step_of(
        self,
        group: dict[str, Any],
        gradient: Held,
        weight: Callable[[], Patterns],
        state: State,
        f: Formats,
    ) -> Step:
        """What to add to the weight; keeps moments in ``state``. All are work patterns.

        Where :meth:`_takes_numbers`, the gradient may be float64 numbers, not yet rounded.
        """

    def _takes_numbers(self, group: dict[str, Any], f: Formats) -> bool:
        """Whether :meth:`_step_of` leaves the gradient as it is."""
        return False

    @abstractmethod
    def _check(self, group: dict[str, Any]) -> None:
        """Raise ValueError for hyperparameters that are not possible."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own, as in torch.

        Raises
        ------
        TypeError
            For parameters that are not float64, or on another device than the CPU.
        ValueError
            For impossible options; nothing is added then.
        """
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            self._check_group(group)
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise
        gradients.collect(group["params"])

    def _check_group(self, group: dict[str, Any]) -> None:
        for name, possible in (("update", list(UPDATES)), ("on_nar", ["raise", "skip"])):
            if group[name] not in possible:
                raise ValueError(f"{name}={group[name]!r}: possible are {', '.join(possible)}")
        for name in ("seed", "offset"):
            value = group[name]
            if name == "offset" and value is None:
                continue
            if not isinstance(value, int) or not 0 <= value < 1 << 64:
                raise ValueError(f"{name}={value!r}: possible are integers from 0 to 2^64-1")
        self._check(group)
        group["state_spec"] = _text(group["state_spec"])
        if group["spec"] is not None:
            group["spec"] = text_of(group["spec"])
        for i, p in enumerate(group["params"]):
            name = self._name(len(self.param_groups) - 1, i)
            if p.dtype != torch.float64 or p.device.type != "cpu":
                raise TypeError(
                    f"{name} is {p.dtype} on {p.device}: posits appear as torch.float64, and are"
                    " updated on the CPU"
                )
            f = _formats_of(group, p, name)
            if group["update"] == "master" and not holds(f.state, f.weight):
                raise ValueError(
                    f"{name}: update='master' keeps weights of {f.weight} in {f.state}, which does"
                    " not hold them; give a wider state_spec"
                )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        A gradient is the sum of what layers deposited (:mod:`torch_bridge.gradients`) and of
        ``.grad``, rounded once. Gradients are left as they are, and closed to further deposits
        until :meth:`zero_grad`.

        Raises FloatingPointError for NaR in a gradient, before any parameter is changed.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        work = self._gather()
        if work is None:
            self.skipped += 1
            return loss
        for w in work:
            self.state[w.parameter]  # in the parameters' order
        run(self._move, work, torch.get_num_threads())
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients: ``.grad``, and the exact sums."""
        super().zero_grad(set_to_none)
        gradients.clear(p for group in self.param_groups for p in group["params"])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave; state keeps its bits.

        Raises ValueError if it was saved with other formats or another ``update``, or does not fit.
        """
        seen: dict[str, Any] = {}

        def look(_: Optimizer, saved: dict[str, Any]) -> None:
            check_saved(saved, self.param_groups)
            seen.update(saved)

        handle = self.register_load_state_dict_pre_hook(look)  # the last: it sees what others made
        try:
            super().load_state_dict(state_dict)
        finally:
            handle.remove()
        # torch has cast the patterns to the parameters' dtype
        for saved, group in zip(seen["param_groups"], self.param_groups, strict=True):
            for i, p in zip(saved["params"], group["params"], strict=True):
                if i in seen["state"]:
                    self.state[p] = {
                        k: v.clone() if isinstance(v, Tensor) else v
                        for k, v in seen["state"][i].items()
                    }

    def _gather(self) -> list[_Work] | None:
        """The parameters with gradients, all rounded; None to skip the step."""
        made, start, skip = [], 0, False
        for g, group in enumerate(self.param_groups):
            self._check(group)  # schedulers write to it
            start = start if group["offset"] is None else group["offset"]
            for i, p in enumerate(group["params"]):
                name = self._name(g, i)
                f = _formats_of(group, p, name)
                gradient = self._gradient(group, p, f)
                if gradient is not None:
                    if _has_nar(gradient, f.work):
                        if group["on_nar"] == "raise":
                            raise FloatingPointError(self._nar_text(name, p, gradient, f))
                        skip = True
                    made.append(_Work(name, p, group, f, start, gradient))
                start += p.numel()
        return None if skip else made

    def _gradient(self, group: dict[str, Any], p: Tensor, f: Formats) -> Held | None:
        deposits, dense = gradients.find(p), p.grad
        alone = deposits is None or deposits.is_empty
        if alone and self._takes_numbers(group, f) and _is_plain(dense):
            numbers: Held = dense.detach().numpy()
            return numbers
        return gradients.rounded(p, f.work)

    def _nar_text(self, name: str, p: Tensor, gradient: Held, f: Formats) -> str:
        is_nar = ~np.isfinite(gradient) if is_numbers(gradient) else gradient == f.work.nar
        count = int(np.count_nonzero(is_nar))
        step = int(self.state[p].get("step", 0)) + 1
        return (
            f"step {step}: the gradient of {name} is NaR in {count} of {gradient.size} elements;"
            " no parameter was changed (on_nar='skip' passes over such steps)"
        )

    @torch.no_grad()  # also on the threads that share the work
    def _move(self, w: _Work) -> None:
        state, f = self.state[w.parameter], w.formats
        update = UPDATES[w.group["update"]]
        if "step" not in state:
            state["step"] = torch.zeros((), dtype=torch.int64)
        state["step"] += 1
        weight = held(w.parameter, f.weight)
        gradient = w.gradient
        if w.group["maximize"]:
            gradient = -gradient if is_numbers(gradient) else posit.neg(gradient, f.work)
            gradient = np.asarray(gradient)
        step = self._step_of(w.group, gradient, lambda: update.current(weight, state, f), state, f)
        place = Place(w.group["seed"], int(state["step"]), w.start)
        made = update.moved(weight, step, state, f, place)
        write(w.parameter, made, f.weight)
        deposits = gradients.find(w.parameter)
        if deposits is not None:
            deposits.close(f"was used by step {place.step}")

    def _name(self, group: int, i: int) -> str:
        names = self.param_groups[group].get("param_names")
        return f"parameter {i} of group {group}" if names is None else f"parameter {names[i]!r}"


def _is_plain(x: Tensor | None) -> TypeGuard[Tensor]:
    return type(x) is Tensor and x.dtype == torch.float64 and x.layout == torch.strided


def _has_nar(x: Held, spec: PositSpec) -> bool:
    """NaR is below all other patterns; a sum of numbers is not finite if one of them is not."""
    if not is_numbers(x):
        return x.size > 0 and bool(x.min() == spec.nar)
    with np.errstate(over="ignore", invalid="ignore"):
        finite = bool(np.isfinite(x.sum()))
    return not finite and not bool(np.isfinite(x).all())


def _text(spec: SpecLike) -> str:
    found = PositSpec.parse(spec)
    return f"{found.n},{found.rs},{found.es}"


def _formats_of(group: dict[str, Any], parameter: Tensor, name: str) -> Formats:
    spec = group["spec"]
    if spec is None:
        spec = getattr(parameter, "spec", None)
    if spec is None:
        raise ValueError(f"{name} does not say what format its posits are of: give spec=")
    return formats(_parsed(spec), _parsed(group["state_spec"]))


_parsed = lru_cache(maxsize=64)(PositSpec.parse)


def check_range(group: dict[str, Any], name: str, low: float, high: float = float("inf")) -> None:
    """Raise ValueError unless low <= group[name] < high."""
    value = float(group[name])
    if not (isfinite(value) and low <= value < high):
        raise ValueError(f"{name}={value}: possible are numbers from {low} to below {high}")
