"""How quires meet the C core."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from posit import PositSpec
from posit._arrays import Patterns, core_spec, ffi, lib, patterns, pointer

from .layout import Layout

__all__ = [
    "INEXACT",
    "NAR",
    "Limbs",
    "Patterns",
    "core_layout",
    "core_spec",
    "ffi",
    "is_known",
    "is_transpose",
    "lib",
    "patterns",
    "pointer",
    "resolve",
]

Limbs = npt.NDArray[np.uint64]
NAR, INEXACT = int(lib.BP_NAR), int(lib.BP_INEXACT)


def core_layout(layout: Layout) -> Any:
    """The layout as the C core takes it."""
    return (layout.lsb, layout.width, layout.limbs, int(layout.is_exact))


def resolve(spec: PositSpec, layout: Layout | str | None) -> Layout:
    """The layout meant: None and "exact" are the exact one, "paper800" and "standard" by name.

    Raises ValueError for another name, or a layout of another spec.
    """
    core_spec(spec)
    if layout is None:
        return Layout.exact(spec)
    if isinstance(layout, str):
        named = {"exact": Layout.exact, "paper800": Layout.paper800, "standard": Layout.standard}
        if layout not in named:
            raise ValueError(f"unknown layout {layout!r}: possible are {', '.join(named)}")
        return named[layout](spec)
    if not isinstance(layout, Layout):
        raise TypeError(f"layout must be a quire.Layout or its name, got {type(layout).__name__}")
    if layout.spec != spec:
        raise ValueError(f"the layout is of {layout.spec}, the quire of {spec}")
    if not is_known(layout):
        raise ValueError(f"no known layout: {layout}; possible are exact, paper800 and standard")
    return layout


def is_known(layout: Layout) -> bool:
    """Whether it is one of the layouts that Layout's constructors derive."""
    spec = layout.spec
    paper = (spec.rs, spec.es) == (6, 5) and spec.n > 12
    return layout == Layout.exact(spec) or (paper and layout == Layout.paper800(spec))


def is_transpose(a: Patterns, b: Patterns) -> bool:
    """Whether b is a.T, in the same memory."""
    same_memory = a.ctypes.data == b.ctypes.data and a.strides == b.strides[::-1]
    return same_memory and a.shape == b.shape[::-1]
