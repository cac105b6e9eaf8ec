"""Files for the loaders, written by hand so that they can lie."""

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["npy", "npz", "safetensors", "safetensors_bytes"]

Array = npt.NDArray[Any]
KINDS = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int32": "I32",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip


def safetensors_bytes(header: Any, data: bytes, size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def safetensors(path: Path, arrays: Mapping[str, Array]) -> Path:
    header: dict[str, Any] = {"__metadata__": {"made": "here"}}
    data = b""
    for name, x in arrays.items():
        offsets = [len(data), len(data) + x.nbytes]
        header[name] = {"dtype": KINDS[x.dtype.name], "shape": list(x.shape),
                        "data_offsets": offsets}  # fmt: skip
        data += x.tobytes()
    path.write_bytes(safetensors_bytes(header, data))
    return path


def npy(x: Array, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, x, **options)
    return stream.getvalue()


def npz(path: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path
