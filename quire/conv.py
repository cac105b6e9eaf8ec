"""Convolution by unfolding: every output is one exact sum, rounded once."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from operator import index

import numpy as np
import numpy.typing as npt

from posit.spec import SpecLike

from ._core import Patterns, patterns
from ._lift import format_of, lifted
from .matmul import matmul

__all__ = ["conv"]

Sizes = int | Sequence[int]


@lifted("x", "w", "bias")
def conv(
    x: npt.ArrayLike,
    w: npt.ArrayLike,
    spec: SpecLike | None = None,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    bias: npt.ArrayLike | None = None,
    threads: int | None = None,
    stats: MutableMapping[str, int] | None = None,
) -> Patterns:
    """Cross-correlation as deep-learning frameworks define it, in any number of dimensions.

    Parameters
    ----------
    x : array_like of spec.storage, (N, C, *spatial)
    w : array_like of spec.storage, (O, C/groups, *kernel)
    stride, padding, dilation : int, or one int for each spatial axis
        ``padding`` zeros are put on both sides.
    groups : int
        Outputs o of group g see the channels of group g alone.
    bias : array_like of spec.storage, (O,), optional
        Added before the one rounding.
    threads, stats
        As in :func:`quire.matmul`.

    Returns patterns (N, O, *spatial out). Memory: the unfolded input, kernel-size times the input.
    Raises ValueError where shapes do not fit or a kernel is larger than the padded input.
    """
    spec = format_of(spec)
    a, k = patterns(x, spec, "x"), patterns(w, spec, "w")
    axes = a.ndim - 2
    if axes < 1 or k.ndim != a.ndim:
        raise ValueError(f"conv: x must be (N, C, ...) and w (O, C, ...), got {a.shape}, {k.shape}")
    steps = _sizes(stride, axes, "stride", 1)
    zeros = _sizes(padding, axes, "padding", 0)
    gaps = _sizes(dilation, axes, "dilation", 1)
    (count, channels), outputs = a.shape[:2], k.shape[0]
    (groups,) = _sizes(groups, 1, "groups", 1)
    if channels != groups * k.shape[1] or outputs % groups:
        raise ValueError(f"conv: {groups} groups of {a.shape} and {k.shape} do not fit")
    reach = tuple((n - 1) * gap + 1 for n, gap in zip(k.shape[2:], gaps, strict=True))
    padded = np.pad(a, [(0, 0), (0, 0), *((p, p) for p in zeros)])
    if min(k.shape[2:]) < 1 or any(n < r for n, r in zip(padded.shape[2:], reach, strict=True)):
        raise ValueError(f"conv: a kernel of {k.shape[2:]} does not fit into {padded.shape[2:]}")
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, tuple(range(2, a.ndim)))
    picked = tuple(slice(None, None, s) for s in steps) + tuple(slice(None, None, g) for g in gaps)
    windows = windows[(slice(None), slice(None), *picked)]
    spatial = windows.shape[2 : 2 + axes]
    # (groups, N·spatial, C/groups·kernel) times (groups, C/groups·kernel, O/groups)
    split = windows.reshape(count, groups, k.shape[1], *windows.shape[2:])
    order = (1, 0, *range(3, 3 + axes), 2, *range(3 + axes, 3 + 2 * axes))
    inner = int(np.prod(k.shape[1:]))
    lines = split.transpose(order).reshape(groups, count * int(np.prod(spatial)), inner)
    kernels = np.swapaxes(k.reshape(groups, outputs // groups, inner), 1, 2)
    add = None if bias is None else patterns(bias, spec, "bias")
    if add is not None:
        if add.shape != (outputs,):
            raise ValueError(f"conv: bias must be ({outputs},), one for each output: {add.shape}")
        add = add.reshape(groups, 1, outputs // groups)
    product = np.asarray(matmul(lines, kernels, spec, add=add, threads=threads, stats=stats))
    made = product.reshape(groups, count, *spatial, outputs // groups)
    made = np.moveaxis(made, -1, 1)  # (groups, O/groups, N, *spatial)
    return np.ascontiguousarray(np.moveaxis(made.reshape(outputs, count, *spatial), 0, 1))


def _sizes(value: Sizes, axes: int, name: str, least: int) -> tuple[int, ...]:
    found = tuple(map(index, value)) if isinstance(value, Sequence) else (index(value),) * axes
    if len(found) != axes or min(found) < least:
        raise ValueError(f"conv: {name} must be {axes} integers of at least {least}, got {value}")
    return found
