"""What happens to a format's weights over steps: updates that are lost, drift, rotors that grow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

import posit

from .formats import F8, Format, PositFormat
from .power import decibels, power

__all__ = ["Weights", "added", "versor_defect"]


def added(v: F8, u: F8, form: Format) -> F8:
    """v + u of a format's numbers v and any u, as the format holds it.

    Posits are added exactly and rounded once. Other formats add in float64 first.
    """
    if not isinstance(form, PositFormat):
        return form.round(v + u)
    patterns = posit.sum_of(
        posit.encode(v, form.spec), posit.encode(u, posit.bposit64),
        spec=(form.spec, posit.bposit64), to=form.spec,
    )  # fmt: skip
    return np.asarray(posit.decode(patterns, form.spec))


Key = tuple[str, str]  # a unit's name and a parameter's


@dataclass
class _Trail:
    """A parameter as a format would have it: rounded once at first, then after every update."""

    values: F8
    lost: int = 0  # updates since these were last told
    moved: int = 0

    def follow(self, u: F8, form: Format) -> None:
        wanted = (u != 0) & np.isfinite(u)
        if wanted.any():
            after = added(self.values, u, form)
            self.moved += int(np.count_nonzero(wanted))
            self.lost += int(np.count_nonzero((after == self.values) & wanted))
            self.values = after


class Weights:
    """A model's parameters from step to step, and beside each what every format makes of it.

    From the second step on, one float64 array is kept for each parameter and format.
    """

    def __init__(self, formats: Iterable[Format]) -> None:
        self._formats = tuple(formats)
        self._now: dict[Key, F8] = {}
        self._trails: dict[tuple[Key, str], _Trail] = {}

    def step(self, parameters: Mapping[Key, F8]) -> None:
        """Take the parameters as they are now, which must stay so.

        One that is new or of another shape starts, the others follow their updates.
        """
        before, self._now = self._now, dict(parameters)
        for key, w in parameters.items():
            old = before.get(key)
            for form in self._formats:
                if old is None or old.shape != w.shape:
                    self._trails.pop((key, form.name), None)
                    continue
                trail = self._trails.get((key, form.name)) or _Trail(form.round(old))
                trail.follow(w - old, form)
                self._trails[key, form.name] = trail

    def begin(self) -> None:
        """Count updates from here on."""
        for trail in self._trails.values():
            trail.lost = trail.moved = 0

    def row(self, unit: str, form: Format) -> dict[str, Any]:
        """``stagnation`` and ``drift_sqnr`` of a unit's own parameters; none before two steps."""
        kept = {k: self._trails[k, form.name] for k in self._now
                if k[0] == unit and (k, form.name) in self._trails}  # fmt: skip
        moved = sum(t.moved for t in kept.values())
        found: dict[str, Any] = {
            "stagnation": sum(t.lost for t in kept.values()) / moved if moved else None,
            "drift_sqnr": None, "drift_exact": False, "drift_failed": False,
        }  # fmt: skip
        if not kept:
            return found
        exact = [self._now[k] for k in kept]
        wrong = [t.values - w for t, w in zip(kept.values(), exact, strict=True)]
        if not all(np.isfinite(x).all() for x in (*exact, *wrong)):
            return {**found, "drift_failed": True}
        signal = sum((power(w) for w in exact), Fraction(0))
        noise = sum((power(x) for x in wrong), Fraction(0))
        found["drift_exact"], found["drift_failed"] = not noise, bool(noise and not signal)
        if noise and signal:
            found["drift_sqnr"] = decibels(signal, noise)
        return found


def versor_defect(unit: Any, form: Format) -> float | None:
    """The largest |R·R̃ - 1| of a unit's rotors as the format holds them; None where it has none.

    A unit has them where its ``rotor()`` gives a multivector of :mod:`torch_bridge.clifford`, as
    that of a RotorLayer does.
    """
    give = getattr(unit, "rotor", None)
    if not callable(give):
        return None
    import torch

    from torch_bridge.clifford import defect

    rotor = give().floats(torch.float64)
    held = torch.from_numpy(form.round(rotor.coefficients.detach().numpy()))
    return float(defect(rotor.replace(held)).max())
