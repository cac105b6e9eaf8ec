"""safetensors, from its bytes: NumPy's own reader knows neither BF16 nor F8.

Layout: 8 bytes, the length of the header, little-endian; the header, a JSON object of name to
dtype, shape and data_offsets; the data, without holes. Source: huggingface/safetensors, README.
"""

from __future__ import annotations

import json
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import BadInput
from ..source import Source, float_dtype

__all__ = ["mapped", "read"]

_MOST_HEADER = 100_000_000  # bytes: the limit of the reference implementation
_MOST_AXES = 64
_DTYPES = {
    "F64": ("float64", 8), "F32": ("float32", 4), "F16": ("float16", 2), "BF16": ("bfloat16", 2),
    "F8_E4M3": ("float8_e4m3fn", 1), "F8_E5M2": ("float8_e5m2", 1), "F8_E8M0": ("scales", 1),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 1), "F8_E5M2FNUZ": ("float8_e5m2fnuz", 1),
    "I64": ("int64", 8), "U64": ("uint64", 8), "I32": ("int32", 4), "U32": ("uint32", 4),
    "I16": ("int16", 2), "U16": ("uint16", 2), "I8": ("int8", 1), "U8": ("uint8", 1),
    "BOOL": ("bool", 1), "C64": ("complex64", 8),
}  # fmt: skip


def read(source: Source, max_bytes: int) -> None:
    """Fill a source; ``max_bytes`` is unused, since the data are mapped into memory."""
    path = source.path
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        room = source.bytes - 8
        if not 0 < size <= min(room, _MOST_HEADER):
            raise BadInput(
                f"{path}: no safetensors file, or truncated: its header would have {size} bytes,"
                f" {max(room, 0)} follow (at most {_MOST_HEADER} are read)"
            )
        text = file.read(size)
    try:
        header = json.loads(text.decode(), object_pairs_hook=_without_twins)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: its safetensors header cannot be read: {error}") from None
    if not isinstance(header, dict):
        raise BadInput(f"{path}: its safetensors header is no JSON object")
    header.pop("__metadata__", None)
    found = [_entry(path, name, entry) for name, entry in header.items()]
    end = 0
    for name, _, _, start, stop in sorted(found, key=lambda e: (e[3], e[4])):
        if start != end:
            raise BadInput(f"{path}: {name[:60]!r} starts at byte {start} of the data, not {end}")
        end = stop
    if end != room - size:
        raise BadInput(f"{path}: its tensors have {end} bytes, but {room - size} follow the header")
    for name, dtype, shape, start, _ in found:
        source.add(name, dtype, shape, partial(mapped, path, dtype, shape, 8 + size + start))


def mapped(path: Path, dtype: str, shape: tuple[int, ...], offset: int) -> npt.NDArray[Any]:
    """Elements of a file where they lie, which is checked to be within it; little-endian."""
    kind = float_dtype(dtype)
    assert kind is not None
    raw = np.memmap(path, np.uint8, "r", offset, (prod(shape) * kind.itemsize,))
    little = kind.newbyteorder("<") if kind.isbuiltin == 1 else kind
    return raw.view(little).reshape(shape)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name occurs twice")
    return made


def _entry(path: Path, name: str, entry: Any) -> tuple[str, str, tuple[int, ...], int, int]:
    where = f"{path}: {name[:60]!r}"
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise BadInput(f"{where} has no dtype, shape and data_offsets")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _counts(shape) or len(shape) > _MOST_AXES:
        raise BadInput(f"{where} has an impossible shape")
    if not _counts(offsets) or len(offsets) != 2:
        raise BadInput(f"{where} has impossible data_offsets")
    kind = entry["dtype"]
    if not isinstance(kind, str) or kind not in _DTYPES:
        raise BadInput(f"{where} has the unknown dtype {str(kind)[:40]!r}")
    dtype, itemsize = _DTYPES[kind]
    start, stop = offsets
    if stop - start != prod(shape) * itemsize:
        raise BadInput(f"{where}: {kind} of shape {shape[:8]} does not take {stop - start} bytes")
    return name, dtype, tuple(shape), start, stop


def _counts(x: Any) -> bool:
    return isinstance(x, list) and all(type(i) is int and 0 <= i < 1 << 62 for i in x)
