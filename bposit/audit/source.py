"""What a file holds: named tensors that are read when they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import BadInput

__all__ = ["MAX_BYTES", "Source", "Tensor", "float_dtype", "hashed", "shown"]

MAX_BYTES = 1 << 33  # that one input may take in memory; memory-mapped files take none
_PLAIN = ("float16", "float32", "float64")


@dataclass(frozen=True)
class Tensor:
    """One tensor; ``load`` returns it, memory-mapped where the file allows it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    load: Callable[[], npt.NDArray[Any]]

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass
class Source:
    """A file: the tensors of floats in it, and why others were left out.

    ``beside`` are more files with data of it.
    """

    path: Path
    sha256: str = ""
    bytes: int = 0
    tensors: list[Tensor] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    beside: dict[Path, tuple[str, int]] = field(default_factory=dict)  # SHA-256, bytes

    def add(
        self, name: str, dtype: str, shape: tuple[int, ...], load: Callable[[], npt.NDArray[Any]]
    ) -> None:
        """Take a tensor, or note why it is none to audit."""
        if float_dtype(dtype) is None:
            self.skipped.append((name, f"{dtype} is no floating type that is audited"))
        elif not prod(shape):
            self.skipped.append((name, f"empty: its shape is {list(shape)}"))
        else:
            self.tensors.append(Tensor(name, dtype, shape, load))


def float_dtype(name: str) -> np.dtype[Any] | None:
    """The dtype that NumPy or ml_dtypes calls so; None if it is no float of at most 64 bits.

    Raises BadInput where it is one of ml_dtypes', which is not installed.
    """
    if name in _PLAIN:
        return np.dtype(name)
    if not name.startswith(("bfloat", "float8", "float6", "float4")):
        return None
    try:
        import ml_dtypes
    except ImportError:
        raise BadInput(f"{name} tensors need ml_dtypes: install bposit[audit]") from None
    kind = getattr(ml_dtypes, name, None)
    return None if kind is None else np.dtype(kind)


def hashed(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shown(name: str) -> str:
    """A name as one line of visible characters: everything else as its escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name) or "(no name)"
