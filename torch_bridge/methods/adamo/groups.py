"""Which weights of a model are isometric."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

__all__ = ["isometric_groups"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def isometric_groups(
    model: nn.Module, iso: float, skip: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """Groups for :class:`AdamO`: weights of linear and convolution layers get ``iso``, the rest 0.

    Grouped convolutions (depthwise ones too) and transposed ones are of the rest: their kernels, as
    (output channels) × (all else), are not the maps that the layers apply.

    Parameters
    ----------
    model : Module
    iso : float
        λ.
    skip : iterable of str
        Modules, as ``model.named_modules()`` calls them, that stay free with all that they hold:
        usually the last layer, whose scale is the logits'. A weight that is tied to another module
        stays free if one of the two does.

    Raises TypeError for ``skip`` in one string; ValueError for a name that is not there, or if no
    weight is left.
    """
    if isinstance(skip, str):
        raise TypeError(f"skip={skip!r}: give a list of names, such as [{skip!r}]")
    modules = dict(model.named_modules(remove_duplicate=False))
    names = set(skip)
    if names - set(modules):
        raise ValueError(f"skip: no module is called {sorted(names - set(modules))}")
    free = {id(p) for name in names for p in modules[name].parameters()}
    chosen = {
        id(m.weight): m.weight
        for m in modules.values()
        if isinstance(m, nn.Linear) or (isinstance(m, _CONVOLUTIONS) and m.groups == 1)
        if id(m.weight) not in free
    }
    if not chosen:
        raise ValueError("no linear or convolutional layer is left to be isometric")
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return [{"params": list(chosen.values()), "iso": iso}, {"params": rest, "iso": 0.0}]
