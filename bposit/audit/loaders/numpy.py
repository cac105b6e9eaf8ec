"""``.npy``, memory-mapped, and ``.npz``: headers are read and believed only if the sizes agree."""

from __future__ import annotations

import warnings
import zipfile
import zlib
from functools import partial
from io import BytesIO
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from ...errors import BadInput
from ..source import Source

__all__ = ["read"]

_STEP = 1 << 20  # bytes at a time: memory grows with what is there, not with what is claimed
_HEAD = 1 << 16  # bytes: NumPy's own headers are below 10 000 characters
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

Header = tuple[tuple[int, ...], bool, np.dtype[Any], int]


def read(source: Source, max_bytes: int) -> None:
    """Fill a source from either kind, which the first bytes tell."""
    with source.path.open("rb") as file:
        start = file.read(6)
        file.seek(0)
        if start[:2] == b"PK":
            _archive(source, file, max_bytes)
            return
        head = file.read(_HEAD)
    shape, fortran, dtype, offset = header(head, str(source.path))
    wanted = offset + prod(shape) * dtype.itemsize
    if source.bytes < wanted:
        raise BadInput(
            f"{source.path}: truncated: shape {shape} of {dtype} takes {wanted} bytes,"
            f" the file has {source.bytes}"
        )
    name = source.path.stem
    source.add(
        name, _named(dtype), shape, partial(_map, source.path, dtype, shape, fortran, offset)
    )


def header(head: bytes, where: str) -> Header:
    """Shape, whether in Fortran order, dtype, and where the elements start."""
    stream = BytesIO(head)
    try:
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version[0]}.{version[1]}; 1.0 and 2.0 are read")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's advice to write files of Python 2 anew
            if version == (1, 0):
                shape, fortran, dtype = npy.read_array_header_1_0(stream)
            else:
                shape, fortran, dtype = npy.read_array_header_2_0(stream)
    except (ValueError, SyntaxError, TokenError, TypeError, RecursionError, MemoryError) as error:
        raise BadInput(f"{where}: no array in .npy format can be read: {error}") from None
    if dtype.hasobject:
        raise BadInput(f"{where}: it holds pickled objects, which are never loaded")
    if any(type(n) is not int or not 0 <= n < 1 << 62 for n in shape):
        raise BadInput(f"{where}: its shape {str(shape)[:60]} is not possible")
    return shape, fortran, dtype, stream.tell()


def _named(dtype: np.dtype[Any]) -> str:
    return dtype.name


def _map(
    path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], fortran: bool, offset: int
) -> npt.NDArray[Any]:
    order = "F" if fortran else "C"
    found = np.memmap(path, dtype, "r", offset, shape or (1,), order)  # type: ignore[call-overload]
    return np.asarray(found.reshape(shape))


def _archive(source: Source, file: IO[bytes], max_bytes: int) -> None:
    path = source.path
    try:
        archive = zipfile.ZipFile(file)
        members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise BadInput(f"{path}: no .npz archive: {error}") from None
    total = sum(info.file_size for info in members)
    if total > max_bytes:
        raise BadInput(f"{path}: it inflates to {total} bytes; --max-bytes {max_bytes} allows less")
    seen: set[str] = set()
    for info in members:
        name = info.filename.removesuffix(".npy")
        where = f"{path}: {info.filename[:60]!r}"
        if name == info.filename or name in seen:
            raise BadInput(f"{where} is no .npy array, or a second one of its name")
        seen.add(name)
        if info.flag_bits & 1 or info.compress_type not in _METHODS:
            raise BadInput(f"{where} is encrypted, or compressed in a way that is not read")
        try:
            with archive.open(info) as member:
                shape, fortran, dtype, offset = header(member.read(_HEAD), where)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise BadInput(f"{where} is damaged: {error}") from None
        size = prod(shape) * dtype.itemsize
        if offset + size != info.file_size:
            raise BadInput(
                f"{where}: shape {shape} of {dtype} takes {size} bytes, but it has"
                f" {info.file_size - offset}"
            )
        source.add(name, _named(dtype), shape, partial(_inflate, path, info, shape, fortran, dtype))


def _inflate(
    path: Path,
    info: zipfile.ZipInfo,
    shape: tuple[int, ...],
    fortran: bool,
    dtype: np.dtype[Any],
) -> npt.NDArray[Any]:
    data = bytearray()
    try:
        with zipfile.ZipFile(path) as archive, archive.open(info) as member:
            while step := member.read(_STEP):  # the last one verifies the checksum
                data += step
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise BadInput(f"{path}: {info.filename[:60]!r} is damaged: {error}") from None
    if len(data) != info.file_size:
        raise BadInput(f"{path}: {info.filename[:60]!r} is truncated")
    start = len(data) - prod(shape) * dtype.itemsize
    return np.ndarray(shape, dtype, data, start, order="F" if fortran else "C")
