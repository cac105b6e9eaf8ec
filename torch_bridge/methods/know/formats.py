"""The same predictions in several arithmetics: what storage and rounding cost.

Two kinds of prediction, in each: sums with fixed coefficients, and the network KNOWN.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

import posit
import torch_bridge as tb
from posit import PositSpec
from posit.spec import SpecLike

from .known import Nowcaster
from .networks import Kind, State
from .predictors import Coefficients, combine
from .storage import DeltaStore, Patterns, dots

__all__ = ["ARITHMETICS", "Arithmetic"]

Sum = Callable[[Coefficients, Sequence[State]], State]


@dataclass(frozen=True)
class Arithmetic:
    """A way to store stages and to predict from them.

    Parameters
    ----------
    combine : callable
        Σ_k c_k·θ_k of stages, from coefficients (S,) and S states to a state in float64.
    store : callable
        float64 tensors to those that the format keeps of them.
    place : callable
        A network to one that computes in this arithmetic, in place.
    deltas : bool
        Whether stages are stored as differences from the stored θ_0.
    bits : int
        Of one stored number.
    """

    combine: Sum
    store: Callable[[Tensor], Tensor]
    place: Callable[[nn.Module], object]
    deltas: bool = False
    bits: int = 16

    def known(
        self, nowcaster: Nowcaster, stages: Sequence[State], kind_of: Mapping[str, Kind], ahead: int
    ) -> State:
        """KNOWN's prediction after ``ahead`` recursions, everything stored and computed here."""
        if nowcaster.scaled:
            raise ValueError("scaled histories: not in these arithmetics")
        networks = {kind: copy.deepcopy(net) for kind, net in nowcaster.networks.items()}
        for network in networks.values():
            self.place(network)
        made: State = {}
        for name, kind in kind_of.items():
            window = torch.stack([s[name].double().reshape(-1) for s in stages], dim=1)
            base = self.store(window[:, -1:]) if self.deltas else torch.zeros_like(window[:, -1:])
            window = self.store(window - base)
            for _ in range(ahead):
                # each a difference or sum of two stored numbers, rounded once
                w, d = self.store(base + window), self.store(window.diff(dim=1))
                dtype = next(networks[kind].parameters()).dtype
                with torch.no_grad():
                    step = networks[kind](w.to(dtype), d.to(dtype)).double()
                after = self.store(window[:, -1] + step)
                window = torch.cat((window[:, 1:], after[:, None]), dim=1)
            made[name] = (base + window)[:, -1].reshape(stages[-1][name].shape)
        return made


def _fused(spec: PositSpec) -> Sum:
    """Stages stored as posits; accumulated exactly and rounded once."""

    def sum_of(coefficients: Coefficients, stages: Sequence[State]) -> State:
        return {
            name: _decoded(
                dots(coefficients, [_encoded(s[name], spec) for s in stages], spec), spec
            )
            for name in stages[-1]
        }

    return sum_of


def _each_op(spec: PositSpec) -> Sum:
    """Each coefficient, product and sum is rounded, in the order of k."""

    def sum_of(coefficients: Coefficients, stages: Sequence[State]) -> State:
        c = posit.encode(coefficients, spec)
        made: State = {}
        for name, like in stages[-1].items():
            total = np.zeros(tuple(like.shape), spec.storage)
            for k, s in enumerate(stages):
                total = posit.add(total, posit.mul(_encoded(s[name], spec), c[k], spec), spec)
            made[name] = _decoded(total, spec)
        return made

    return sum_of


def _in_torch(dtype: torch.dtype) -> Sum:
    """As ``_each_op``, in a dtype of torch's."""

    def sum_of(coefficients: Coefficients, stages: Sequence[State]) -> State:
        c = torch.from_numpy(coefficients).to(dtype)
        made: State = {}
        for name in stages[-1]:
            total = torch.zeros((), dtype=dtype)
            for k, s in enumerate(stages):
                total = total + c[k] * s[name].to(dtype)
            made[name] = total.double()
        return made

    return sum_of


def _float(dtype: torch.dtype, sums: Sum | None = None) -> Arithmetic:
    bits = torch.finfo(dtype).bits
    return Arithmetic(
        sums or _in_torch(dtype), lambda x: x.to(dtype).double(), lambda m: m.to(dtype), bits=bits
    )


def _posit(given: SpecLike, accumulate: str, sums: Sum | None = None) -> Arithmetic:
    spec = PositSpec.parse(given)
    config = tb.PositConfig.emulate_hardware(spec, accumulate)
    chosen = sums or (_fused(spec) if accumulate == "quire" else _each_op(spec))
    return Arithmetic(
        chosen, lambda x: _decoded(_encoded(x, spec), spec), lambda m: tb.convert_(m, config),
        deltas=sums is not None, bits=spec.n,
    )  # fmt: skip


def _encoded(x: Tensor, spec: PositSpec) -> Patterns:
    return posit.encode(x.double().numpy(), spec)


def _decoded(bits: Patterns, spec: PositSpec) -> Tensor:
    return torch.from_numpy(posit.decode(bits, spec))


ARITHMETICS = {
    "float64": _float(torch.float64, combine),
    "float32": _float(torch.float32),
    "bfloat16": _float(torch.bfloat16),
    "bposit16": _posit("bposit16", "each_op"),
    "bposit16 + quire": _posit("bposit16", "quire"),
    "bposit16 deltas + quire": _posit(
        "bposit16", "quire", lambda c, stages: DeltaStore(stages).combine(c)
    ),
    "bposit32": _posit("bposit32", "quire"),
}
"""By arm. "bposit16" rounds after each operation; "deltas" stores differences from θ_0."""
