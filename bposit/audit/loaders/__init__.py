"""Files of weights as tensors. Nothing in a file is run; whatever it claims is checked first."""

from __future__ import annotations

from pathlib import Path

from ...errors import BadInput
from ..source import MAX_BYTES, Source, hashed, shown

__all__ = ["load"]

SUFFIXES = (".safetensors", ".npy", ".npz", ".pt", ".pth", ".bin", ".onnx")


def load(path: Path, max_bytes: int = MAX_BYTES) -> Source:
    """The tensors of a file, by its suffix.

    ``max_bytes`` bounds what is taken into memory for one file; what can be memory-mapped (.npy,
    .safetensors, .pt) takes none. Raises BadInput, naming the file and the reason, for anything
    that cannot be read whole or holds no tensor of floats.
    """
    try:
        if not path.is_file():
            why = "No such file" if not path.exists() else "it is no regular file"
            raise BadInput(f"{path}: {why}")
        source = Source(path, bytes=path.stat().st_size)
        suffix = path.suffix.lower()
        if suffix == ".safetensors":
            from .safetensors import read
        elif suffix in (".npy", ".npz"):
            from .numpy import read
        elif suffix in (".pt", ".pth", ".bin"):
            from .torch import read
        elif suffix == ".onnx":
            from .onnx import read
        else:
            raise BadInput(
                f"{path}: {path.suffix or 'a file without a suffix'} is not read; possible are"
                f" {', '.join(SUFFIXES)}, and script.py:factory"
            )
        read(source, max_bytes)
        source.sha256 = hashed(path)
        for more in source.beside:
            source.beside[more] = hashed(more), more.stat().st_size
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from None
    except MemoryError:
        raise BadInput(f"{path}: it does not fit in memory") from None
    if not source.tensors:
        first = source.skipped[0] if source.skipped else None
        held = f" ({shown(first[0])[:60]}: {first[1]})" if first else ""
        raise BadInput(f"{path}: no tensor of floats to audit{held}")
    return source
