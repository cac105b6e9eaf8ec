"""What happens to a format's weights over steps: updates that are lost, rotors that drift."""

from __future__ import annotations

from typing import Any

import numpy as np

import posit

from .formats import F8, Format, PositFormat, finite_amax

__all__ = ["stagnation", "versor_defect"]


def stagnation(w: F8, u: F8, form: Format) -> tuple[int, int]:
    """How many updates u of the format's weights Q(w) change nothing, and how many are not zero.

    Posits are added exactly and rounded once. Other formats add in float64, and keep the scales
    that w has.
    """
    moved = (u != 0) & np.isfinite(u)
    if not moved.any():
        return 0, 0
    if isinstance(form, PositFormat):
        held = posit.encode(w, form.spec)
        step = posit.encode(u, posit.bposit64)
        after = posit.sum_of(held, step, spec=(form.spec, posit.bposit64), to=form.spec)
        same = np.asarray(after) == held
    else:
        lines = w.reshape(-1, w.shape[-1]) if w.ndim > 1 else w.reshape(1, -1)
        scale = form.scales(lines, finite_amax(w))
        start = form.nearest(lines / scale) * scale
        end = form.nearest((start + u.reshape(lines.shape)) / scale) * scale
        same = (end == start).reshape(w.shape)
    return int(np.count_nonzero(same & moved)), int(np.count_nonzero(moved))


def versor_defect(unit: Any, form: Format) -> float | None:
    """The largest |R·R̃ - 1| of a unit's rotors as the format holds them; None where it has none.

    A unit has them where its ``rotor()`` gives a multivector of :mod:`torch_bridge.clifford`, as
    that of a RotorLayer does.
    """
    give = getattr(unit, "rotor", None)
    if not callable(give):
        return None
    import torch
    from torch_bridge.clifford import defect  # type: ignore[import-not-found,unused-ignore]

    rotor = give().floats(torch.float64)
    held = torch.from_numpy(form.round(rotor.coefficients.detach().numpy()))
    return float(defect(rotor.replace(held)).max())
