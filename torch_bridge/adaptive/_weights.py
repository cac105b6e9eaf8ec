"""The weights of a version: as arrays, what they are, and their hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

import posit
from posit import PositSpec

__all__ = [
    "Arrays", "State", "arrays_of", "digest", "format_of", "hash_of", "largest", "numbers_of",
    "text_of", "unfit",
]  # fmt: skip

State = nn.Module | Mapping[str, Tensor]
Arrays = dict[str, npt.NDArray[Any]]


def hash_of(state: State) -> str:
    """SHA-256 of weights, hexadecimal: of their names, numbers, shapes and elements alone.

    Over the tensors in the order of their names (by code point): a line of JSON, [name, numbers,
    shape], and then the patterns, or the elements of other dtypes, in C order, little-endian.
    """
    return digest(arrays_of(state))


def digest(arrays: Arrays) -> str:
    """:func:`hash_of` arrays."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        x = arrays[name]
        total.update(json.dumps([name, numbers_of(x), list(x.shape)]).encode() + b"\n")
        raw = posit.bits(x) if _spec(x) else x
        total.update(np.ascontiguousarray(raw, raw.dtype.newbyteorder("<")).data)
    return total.hexdigest()


def arrays_of(state: State) -> Arrays:
    """By name; posits have a posit dtype. Raises TypeError for what NumPy cannot hold."""
    found = state.state_dict() if isinstance(state, nn.Module) else state
    return {name: _array(name, x) for name, x in found.items()}


def _array(name: str, x: Tensor) -> npt.NDArray[Any]:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is no tensor, but {type(x).__name__}: only tensors are certified")
    try:
        made: npt.NDArray[Any] = x.detach().cpu().numpy()
    except TypeError:
        raise TypeError(
            f"{name} is {x.dtype}, which NumPy lacks: possible are posits and NumPy's dtypes"
        ) from None
    return made


def format_of(arrays: Arrays) -> PositSpec | None:
    """The one format that the posits have; None where there are none."""
    specs = {spec for x in arrays.values() if (spec := _spec(x))}
    if len(specs) > 1:
        raise ValueError(f"there are posits of {', '.join(sorted(map(str, specs)))}: say in which"
                         " format the model computes, format=…")  # fmt: skip
    return specs.pop() if specs else None


def largest(arrays: Arrays) -> int:
    """Elements of the largest tensor of posits."""
    return max((prod(x.shape) for x in arrays.values() if _spec(x)), default=0)


def unfit(x: npt.NDArray[Any]) -> str:
    """What there is among the elements that may not be among weights; "" if nothing."""
    spec = _spec(x)
    if spec is not None:
        return "NaR" if bool((posit.bits(x) == spec.nar).any()) else ""
    return "" if bool(np.isfinite(x).all()) else "numbers that are not finite"


def numbers_of(x: npt.NDArray[Any]) -> str:
    """What the elements are: ``n,rs,es``, or the name of the dtype."""
    return text_of(spec) if (spec := _spec(x)) else x.dtype.name


def text_of(spec: PositSpec) -> str:
    """As a certificate has it, ``n,rs,es``."""
    return f"{spec.n},{spec.rs},{spec.es}"


def _spec(x: npt.NDArray[Any]) -> PositSpec | None:
    return getattr(x.dtype, "spec", None)
