"""Exact reductions of posit arrays: any axes, each result rounded once.

NumPy's own ``np.sum`` and ``a @ b`` are exact where its machinery hands a whole sum to one loop;
these functions are exact always, and cover what NumPy rounds twice or refuses (docs/numpy.md).
All take arrays of a posit dtype and raise TypeError for others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from . import reference
from ._arrays import Patterns, check_range, core_spec, ffi, lib, pointer
from ._bounds import BLOCK, F8, SHORT, deviations, holds, means, variances
from ._dtype import bits, view
from .codec import decode, encode
from .scalar import Posit
from .spec import PositSpec

__all__ = ["dot", "einsum", "mean", "median", "std", "sum", "var"]

Axes = int | Sequence[int] | None
Array = npt.NDArray[Any]


def sum(a: Array, axis: Axes = None, *, keepdims: bool = False) -> Any:
    """Σ a over ``axis`` (default all), exact, rounded once; 0 where there is nothing."""
    lines, spec, finish = _lines(a, axis, keepdims)
    one = view(np.array(spec.one, dtype=spec.storage), spec)
    return finish(bits(np.vecdot(view(lines, spec), np.broadcast_to(one, lines.shape[-1:]))))


def mean(a: Array, axis: Axes = None, *, keepdims: bool = False) -> Any:
    """Σ a / n over ``axis``: the exact sum divided by the count, rounded once; NaR where n = 0."""
    lines, spec, finish = _lines(a, axis, keepdims)
    n = lines.shape[-1]

    def one(line: Patterns) -> Fraction | None:
        total = _exact_dot(line, None, spec)
        return None if total is None or n == 0 else total / n

    return finish(_decided(lines, spec, partial(means, f_max=spec.f_max), one))


def var(a: Array, axis: Axes = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    """(Σ a² - (Σ a)²/n)/(n - ddof): from two exact sums, rounded once; NaR where n <= ddof."""
    lines, spec, finish = _lines(a, axis, keepdims)
    fast = partial(variances, ddof=ddof)
    return finish(_decided(lines, spec, fast, lambda line: _variance(line, spec, ddof)))


def std(a: Array, axis: Axes = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    """The root of the exact variance, rounded once; NaR where n <= ddof."""
    lines, spec, finish = _lines(a, axis, keepdims)

    def one(line: Patterns) -> Fraction | None:
        exact = _variance(line, spec, ddof)
        return None if exact is None else reference.root(exact, 2 * spec.n)

    return finish(_decided(lines, spec, partial(deviations, ddof=ddof), one))


def median(a: Array, axis: Axes = None, *, keepdims: bool = False) -> Any:
    """The middle value, or the mean of the two middle ones rounded once; NaR if any is NaR."""
    lines, spec, finish = _lines(a, axis, keepdims)
    n = lines.shape[-1]
    if n == 0:
        return finish(np.full(lines.shape[:-1], spec.nar, spec.storage))
    ordered = np.sort(lines, axis=-1)  # NaR sorts first, so that it would shift the middle
    worst, low, high = ordered[..., 0], ordered[..., (n - 1) // 2], ordered[..., n // 2]
    if n % 2:
        return finish(np.where(worst == spec.nar, spec.storage.type(spec.nar), low))
    pairs = np.stack([low, high], axis=-1)

    def middle(pair: Patterns) -> Fraction | None:
        total = _exact_dot(pair, None, spec)
        return None if total is None else total / 2

    found = np.asarray(_decided(pairs, spec, partial(means, f_max=spec.f_max), middle))
    return finish(np.where(worst == spec.nar, found.dtype.type(spec.nar), found))


def dot(a: Array, b: Array) -> Any:
    """The dot product with NumPy's shape rules (``np.dot``), each element exact, rounded once."""
    x, y = _posits(a, "a"), _posits(b, "b")
    if x.ndim == 0 or y.ndim == 0:
        return np.multiply(x, y)
    if y.ndim <= 2:
        return np.matmul(x, y)
    rest = (*y.shape[:-2], y.shape[-1])
    flat = np.moveaxis(y, -2, 0).reshape(y.shape[-2], prod(rest))
    return np.matmul(x, flat).reshape(*x.shape[:-1], *rest)


def einsum(subscripts: str, *operands: Array) -> Any:
    """``np.einsum`` of one or two posit arrays, each element of the result exact, rounded once.

    Letters only; a letter may not repeat within one operand, and an ellipsis is not understood.
    Raises ValueError for other subscripts, and for three or more operands: a product of three
    posits does not fit a quire, so that it could not be rounded once.
    """
    arrays = [_posits(x, f"operand {i}") for i, x in enumerate(operands)]
    if len(arrays) not in (1, 2):
        raise ValueError(
            f"einsum of {len(arrays)} operands: a quire holds products of two posits; multiply"
            " pairs first, rounding in between"
        )
    inputs, output = _subscripts(subscripts, arrays)
    if len(arrays) == 1:
        kept = [inputs[0].index(c) for c in output]
        summed = tuple(i for i, c in enumerate(inputs[0]) if c not in output)
        x = arrays[0].transpose(*kept, *summed)
        result = sum(x, axis=tuple(range(len(kept), x.ndim))) if summed else x
        return result[()]  # no array without axes
    return _pair(arrays, inputs, output)


def _pair(arrays: list[Array], inputs: list[str], output: str) -> Any:
    """Two operands as one batched matrix product: (batch, left, K)·(batch, K, right)."""
    sizes: dict[str, int] = {}
    for x, names in zip(arrays, inputs, strict=True):
        for c, n in zip(names, x.shape, strict=True):
            if sizes.setdefault(c, n) != n:
                raise ValueError(f"einsum: {c!r} is {sizes[c]} in one operand and {n} in the other")
    first, second = inputs
    batch = [c for c in output if c in first and c in second]
    left = [c for c in output if c in first and c not in second]
    right = [c for c in output if c in second and c not in first]
    inner = [c for c in dict.fromkeys(first + second) if c not in output]

    def arranged(x: Array, names: str, order: list[str]) -> Array:
        present = [c for c in order if c in names]
        x = x.transpose([names.index(c) for c in present])
        x = x[tuple(slice(None) if c in names else np.newaxis for c in order)]
        return np.broadcast_to(x, [sizes[c] for c in order])

    def size(names: list[str]) -> int:
        return prod(sizes[c] for c in names)

    x = arranged(arrays[0], first, batch + left + inner)
    y = arranged(arrays[1], second, batch + inner + right)
    product = np.matmul(
        x.reshape(size(batch), size(left), size(inner)),
        y.reshape(size(batch), size(inner), size(right)),
    ).reshape([sizes[c] for c in batch + left + right])
    order = batch + left + right
    return product.transpose([order.index(c) for c in output])[()]  # no array without axes


def _subscripts(text: str, arrays: list[Array]) -> tuple[list[str], str]:
    """The letters of each operand and of the output (NumPy's rule where it is left out)."""
    left, arrow, output = text.replace(" ", "").partition("->")
    inputs = left.split(",")
    letters = "".join(inputs) + output
    if not all(c.isascii() and c.isalpha() for c in letters) or len(inputs) != len(arrays):
        raise ValueError(f"einsum: {text!r} does not fit {len(arrays)} operand(s)")
    for names, x in zip(inputs, arrays, strict=True):
        if len(set(names)) != len(names) or len(names) != x.ndim:
            raise ValueError(f"einsum: {names!r} does not name the {x.ndim} axes of an operand")
    if not arrow:
        joined = "".join(inputs)
        output = "".join(sorted(c for c in set(joined) if joined.count(c) == 1))
    if len(set(output)) != len(output) or not set(output) <= set("".join(inputs)):
        raise ValueError(f"einsum: output {output!r} repeats a letter or names a new one")
    return inputs, output


def _posits(a: Any, name: str) -> Array:
    array = np.asarray(a)
    if not isinstance(getattr(array.dtype, "spec", None), PositSpec):
        raise TypeError(f"{name}: expected an array of a posit dtype, got {array.dtype}")
    return array


def _lines(
    a: Array, axis: Axes, keepdims: bool
) -> tuple[Patterns, PositSpec, Callable[[Any], Any]]:
    """Patterns with the reduced axes joined into the last, the spec, and how to shape results."""
    array = _posits(a, "a")
    spec: PositSpec = array.dtype.spec  # type: ignore[attr-defined]  # _posits has checked
    axes = (
        tuple(range(array.ndim))
        if axis is None
        else np.lib.array_utils.normalize_axis_tuple(axis, array.ndim)
    )
    kept = [i for i in range(array.ndim) if i not in axes]
    shape = [array.shape[i] for i in kept]
    length = prod(array.shape[i] for i in axes)
    check_range(bits(array), spec, "a")
    lines = bits(array).transpose(*kept, *axes).reshape(*shape, length)

    def finish(found: Any) -> Any:
        result = np.asarray(found, dtype=spec.storage)
        if keepdims:
            result = result.reshape([1 if i in axes else n for i, n in enumerate(array.shape)])
        return view(result, spec) if result.ndim else Posit.from_bits(int(result), spec)

    return lines, spec, finish


def _decided(
    lines: Patterns,
    spec: PositSpec,
    fast: Callable[[F8], tuple[F8, F8]],
    one: Callable[[Patterns], Fraction | None],
) -> Patterns:
    """Each row reduced: in float64 where both ends of its interval round alike, else exactly."""
    out = np.empty(lines.shape[:-1], dtype=spec.storage)
    n = lines.shape[-1]
    if not holds(spec) or not 0 < n <= SHORT:
        for index in np.ndindex(out.shape):
            out[index] = reference.encode(one(lines[index]), spec)
        return out
    rows, flat = lines.reshape(-1, n), out.reshape(-1)
    step = max(1, BLOCK // n)
    for at in range(0, len(rows), step):
        part = rows[at : at + step]
        with np.errstate(all="ignore"):
            value, error = fast(decode(part, spec))
            low, high = encode(value - error, spec), encode(value + error, spec)
        for i in np.flatnonzero(low != high):
            low[i] = reference.encode(one(part[i]), spec)
        flat[at : at + step] = low
    return out


def _exact_dot(a: Patterns, b: Patterns | None, spec: PositSpec) -> Fraction | None:
    """Σ a·b (Σ a where b is None) as a fraction; None for NaR."""
    layout = lib.bp_exact_layout(core_spec(spec))
    limbs = np.zeros(layout.limbs, dtype=np.uint64)
    flags = ffi.new("int32_t *")
    state = (core_spec(spec), layout, ffi.from_buffer("uint64_t[]", limbs), flags, a.size)
    if b is None:
        lib.bp_quire_sum(*state, pointer(a), a.strides[0])
    else:
        lib.bp_quire_dot(*state, pointer(a), a.strides[0], pointer(b), b.strides[0])
    if flags[0] & lib.BP_NAR:
        return None
    whole = int.from_bytes(limbs.astype("<u8").tobytes(), "little", signed=True)
    lsb: int = layout.lsb
    return whole * Fraction(2) ** lsb


def _variance(line: Patterns, spec: PositSpec, ddof: float) -> Fraction | None:
    n = line.size
    total, squares = _exact_dot(line, None, spec), _exact_dot(line, line, spec)
    if total is None or squares is None or n <= ddof:
        return None
    return (squares - total * total / n) / (n - Fraction(float(ddof)))
