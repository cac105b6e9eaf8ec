"""Whether a saved state fits an optimizer: looked at before anything is loaded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from posit import PositSpec

from ..ops.casts import storage

__all__ = ["check_saved"]

_FIXED = ("spec", "state_spec", "update", "offset")  # what state in memory depends on
Group = dict[str, Any]


def check_saved(saved: dict[str, Any], groups: list[Group]) -> None:
    """Raise ValueError for a ``state_dict`` that is not of such groups.

    Of other formats or another ``update``; or with state of a wrong shape or dtype, or without it,
    over which a step would stumble when some weights have moved.
    """
    for i, (old, new) in enumerate(zip(saved["param_groups"], groups, strict=False)):
        for name in _FIXED:
            if old.get(name) != new[name]:
                raise ValueError(
                    f"parameter group {i} was saved with {name}={old.get(name)!r}, this"
                    f" optimizer has {new[name]!r}: state does not carry over"
                )
        for k, p in zip(old["params"], new["params"], strict=False):
            if k in saved["state"]:
                _check_state(f"the saved state of parameter {k}", saved["state"][k], p, new)


def _check_state(what: str, state: dict[str, Any], p: Tensor, group: Group) -> None:
    patterns = tuple(p.shape), storage(PositSpec.parse(group["state_spec"]))
    missing = {"step", *({"residue", "master"} & {group["update"]})} - {*state}
    if missing:
        raise ValueError(f"{what} has no {', '.join(sorted(missing))}")
    for name, x in state.items():
        want = ((), torch.int64) if name == "step" else patterns
        if not isinstance(x, Tensor) or (tuple(x.shape), x.dtype) != want:
            raise ValueError(f"{what}: {name} must be {want[1]} of shape {want[0]}")
