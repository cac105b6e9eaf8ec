"""Models and tensors in safetensors files: patterns as integers, formats as metadata.

The format is that of :func:`posit.save_safetensors`; other readers see the integers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

import posit
from posit.io import Name

from ._tensor import PositTensor, from_numpy

__all__ = ["load_safetensors", "save_safetensors"]


def save_safetensors(
    state: torch.nn.Module | Mapping[str, Tensor],
    file: Name,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a model's ``state_dict()``, or tensors by name (extra ``safetensors``).

    Parameters
    ----------
    state : Module or dict of tensors
        PositTensors, and ordinary tensors of a dtype that NumPy has, may lie side by side.
        Parameters that share memory are stored one by one.
    file : path
        Replaced at once and whole, or left as it was.
    metadata : dict of str, optional
        As in :func:`posit.save_safetensors`.

    Raises TypeError for what is no tensor, or has a dtype that NumPy lacks (bfloat16).
    """
    found = state.state_dict() if isinstance(state, torch.nn.Module) else state
    posit.save_safetensors(file, {name: _array(name, x) for name, x in found.items()}, metadata)


def load_safetensors(file: Name, model: torch.nn.Module | None = None) -> dict[str, Tensor]:
    """Read tensors by name; those stored as posits become PositTensors.

    Parameters
    ----------
    file : path
        Of :func:`save_safetensors`, or of any program.
    model : Module, optional
        Filled too, by ``load_state_dict``, after all names, shapes and formats were found to
        agree; otherwise it is left as it was.

    Raises ValueError for a damaged file, or one whose tensors are not those of the model.
    """
    loaded = {
        name: from_numpy(array) if hasattr(array.dtype, "spec") else torch.from_numpy(array)
        for name, array in posit.load_safetensors(file).items()
    }
    if model is not None:
        _check(loaded, model.state_dict(), file)
        model.load_state_dict(loaded)
    return loaded


def _array(name: str, x: object) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(x).__name__}")
    kept = x.detach().cpu()
    try:
        return kept.numpy()
    except TypeError:
        raise TypeError(
            f"{name}: NumPy has no {x.dtype}, so it cannot be stored beside posits; convert it"
            " to float32"
        ) from None


def _check(loaded: Mapping[str, Tensor], own: Mapping[str, Tensor], file: Name) -> None:
    wrong = [f"no {name!r} in the file" for name in own.keys() - loaded.keys()]
    wrong += [f"no {name!r} in the model" for name in loaded.keys() - own.keys()]
    for name in own.keys() & loaded.keys():
        here, there = _kind(own[name]), _kind(loaded[name])
        if here != there:
            wrong.append(f"{name!r} is {here} in the model, {there} in the file")
    if wrong:
        raise ValueError(f"{file} does not fit the model: " + "; ".join(sorted(wrong)))


def _kind(x: Tensor) -> str:
    return f"{x.spec if isinstance(x, PositTensor) else x.dtype} of shape {tuple(x.shape)}"
