"""How arrays meet the C core: checked patterns, strides, aliasing, and where results go."""

from __future__ import annotations

from array import array as buffer_array
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core
from .spec import PositSpec

__all__ = [
    "Patterns",
    "check_range",
    "core_spec",
    "deliver",
    "is_array",
    "launch",
    "launch_all",
    "narrowed",
    "patterns",
    "pointer",
    "scalar",
]

Patterns = npt.NDArray[np.signedinteger[Any]]

lib, ffi = _core.lib, _core.ffi


_VOID = ffi.typeof("void *")


def core_spec(spec: PositSpec) -> Any:
    """The spec as the C core takes it."""
    if not isinstance(spec, PositSpec):
        raise TypeError(
            f"spec must be a PositSpec such as posit.bposit16, got {type(spec).__name__};"
            " PositSpec.parse reads names, n,rs,es and posit dtypes"
        )
    return (spec.n, spec.rs, spec.es)


def patterns(bits: npt.ArrayLike, spec: PositSpec, name: str = "bits") -> Patterns:
    """Check that ``bits`` holds patterns of ``spec``; returns it as an array, uncopied if it can.

    Arrays must have ``spec.storage`` as dtype; Python integers and lists of them are taken too.
    Raises TypeError for another dtype, ValueError for an integer outside the n-bit range.
    """
    core_spec(spec)
    if type(bits) is np.ndarray and bits.dtype is spec.storage:
        check_range(bits, spec, name)
        return bits
    refuse_mask(bits, name)
    if is_array(bits):
        array = np.asarray(bits)
        if array.dtype != spec.storage or not array.dtype.isnative:
            raise TypeError(_wrong_dtype(array.dtype, spec, name))
        check_range(array, spec, name)
        return array
    array = np.asarray(bits, dtype=object)
    for v in array.flat:
        if isinstance(v, (bool, np.bool_)) or not isinstance(v, (int, np.integer)):
            raise TypeError(
                f"{name}: patterns of {spec} are integers, got {v!r} ({type(v).__name__});"
                " posit.encode turns numbers into patterns"
            )
    check_range(array, spec, name)
    return array.astype(spec.storage)


def narrowed(bits: npt.ArrayLike, spec: PositSpec, name: str) -> npt.ArrayLike:
    """Signed integers wider than ``spec.storage`` as such, in a copy; all else unchanged.

    Raises ValueError for an integer outside the n-bit range.
    """
    if not isinstance(bits, (np.ndarray, np.signedinteger)) or bits.dtype.kind != "i":
        return bits
    if bits.dtype.itemsize <= spec.storage.itemsize or isinstance(bits, np.ma.MaskedArray):
        return bits
    check_range(np.asarray(bits), spec, name)
    return bits.astype(spec.storage)


def is_array(x: object) -> bool:
    """Whether ``x`` brings a dtype of its own, unlike Python numbers and lists of them."""
    return hasattr(x, "__array__") or isinstance(x, (memoryview, buffer_array))


def refuse_mask(x: object, name: str) -> None:
    """Raise TypeError for a masked array: a mask would be ignored silently."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name}: masks are not understood; fill it first, say with spec.nar")


def named(dtype: np.dtype[Any]) -> str:
    """The name of a dtype, and its byte order where that is not this machine's."""
    return dtype.name if dtype.isnative else f"{dtype.name} of the other byte order"


def _wrong_dtype(found: np.dtype[Any], spec: PositSpec, name: str) -> str:
    text = f"{name}: patterns of {spec} are {spec.storage.name}, got {named(found)}"
    if not found.isnative:
        return f"{text}; use .astype({spec.storage.name!r})"
    if found.kind == "f":
        return f"{text}; posit.encode turns numbers into patterns"
    if found.kind == "u" and found.itemsize == spec.storage.itemsize:
        return f"{text}; reinterpret unsigned patterns with .view({spec.storage.name!r})"
    if getattr(found, "spec", None) is not None:
        return f"{text}; posit.bits gives the patterns of a posit array"
    return text


def check_range(array: npt.NDArray[Any], spec: PositSpec, name: str) -> None:
    """Raise ValueError unless every element is a signed n-bit integer."""
    if array.size == 0 or (spec.n == 8 * array.itemsize and array.dtype == spec.storage):
        return
    low, high = int(array.min()), int(array.max())
    if low < spec.nar or high > spec.maxpos_pattern:
        bad = low if low < spec.nar else high
        raise ValueError(
            f"{name}: {bad} is not a pattern of {spec}: signed patterns run from"
            f" {spec.nar} to {spec.maxpos_pattern}"
        )


def pointer(array: npt.NDArray[Any]) -> Any:
    """The address of the first element, for the C core."""
    if array.flags.c_contiguous and array.dtype.kind in "bif":
        return ffi.cast(_VOID, ffi.from_buffer(array))  # a fifth of the time
    return ffi.cast(_VOID, array.__array_interface__["data"][0])


def _line(array: npt.NDArray[Any], shape: tuple[int, ...]) -> tuple[npt.NDArray[Any], int]:
    """Elements of the array broadcast to ``shape``, apart by one stride in bytes; a copy where
    they do not lie so."""
    if array.flags.c_contiguous and array.shape == shape:
        return array, array.itemsize
    wide = array if array.ndim == 0 else np.broadcast_to(array, shape)
    if wide.size and not any(wide.strides):
        return array, 0
    flat = wide.reshape(-1)
    return flat, flat.strides[0]


def launch(
    function: Any,
    inputs: tuple[npt.NDArray[Any], ...],
    dtype: np.dtype[Any],
    out: npt.NDArray[Any] | None,
) -> npt.NDArray[Any]:
    """Call ``function(count, pointer, stride, …, pointer, stride)`` over broadcast inputs.

    Returns ``out``, or a new array; a NumPy scalar where every input is 0-d and ``out`` is None.
    Nothing is written unless all arguments are right; ``out`` may overlap an input.
    """
    return launch_all(function, inputs, (dtype,), (out,))[0]


def launch_all(
    function: Any,
    inputs: tuple[npt.NDArray[Any], ...],
    dtypes: tuple[np.dtype[Any], ...],
    outs: tuple[npt.NDArray[Any] | None, ...],
) -> tuple[npt.NDArray[Any], ...]:
    """The same for a function of several results, whose places must not overlap."""
    shape = _common_shape(inputs)
    results = [
        np.empty(shape, dtype) if out is None else _checked_out(out, shape, dtype)
        for dtype, out in zip(dtypes, outs, strict=True)
    ]
    if len(results) > 1 and any(np.may_share_memory(x, y) for x, y in combinations(results, 2)):
        raise ValueError("results overlap: each needs an array of its own as out")
    targets = [
        x if out is None or _is_direct(x, inputs) else np.empty(shape, x.dtype)
        for x, out in zip(results, outs, strict=True)
    ]
    lines = [_line(x, shape) for x in (*inputs, *targets)]  # a target has one: no copy
    if targets[0].size:
        function(targets[0].size, *[a for x, stride in lines for a in (pointer(x), stride)])
    for result, target in zip(results, targets, strict=True):
        if target is not result:
            result[...] = target
    pairs = zip(results, outs, strict=True)
    return tuple(scalar(result) if out is None else result for result, out in pairs)


def _common_shape(inputs: tuple[npt.NDArray[Any], ...]) -> tuple[int, ...]:
    shapes = {x.shape for x in inputs if x.ndim}
    if len(shapes) <= 1:
        return shapes.pop() if shapes else ()
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        text = ", ".join(str(x.shape) for x in inputs)
        raise ValueError(f"shapes {text} do not broadcast together") from None


def _is_direct(result: npt.NDArray[Any], inputs: tuple[npt.NDArray[Any], ...]) -> bool:
    """Whether the core may write there: one line of memory, an input's own or no input's."""
    if not result.flags.c_contiguous and result.ndim != 1:
        return False
    for x in inputs:
        if np.may_share_memory(x, result):
            same = x.shape == result.shape and x.strides == result.strides
            if not same or pointer(x) != pointer(result):
                return False
    return True


def scalar(made: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A 0-d result as a NumPy scalar, as ufuncs give it; others unchanged."""
    return made[()]


def deliver(made: npt.NDArray[Any], out: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
    """A finished result as ``out`` wants it: copied there, or returned (a scalar where 0-d)."""
    if out is None:
        return scalar(made)
    _checked_out(out, made.shape, made.dtype)[...] = made
    return out


def _checked_out(
    out: npt.NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array, got {type(out).__name__}")
    if out.dtype != dtype:
        raise TypeError(f"out has dtype {named(out.dtype)}, but the result is {named(dtype)}")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}, but the result has shape {shape}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    return out
