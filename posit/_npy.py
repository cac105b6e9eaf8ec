"""One array as two ``.npy`` records: its patterns, and the seal that says what they mean.

The first record is version 1.0, little-endian, C or Fortran order. The second is a 0-d byte string
such as ``bposit 1 <16,6,5> crc32 0f3a9c21 5b1d77e0``: the version, the format (or ``plain`` for an
array of NumPy's own numbers), and two CRC-32, of every byte of the first record and the text before
them, and of the same without the elements, which a memory map can check without reading these.
"""

from __future__ import annotations

import io
import math
import re
import zlib
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from ._arrays import check_range
from ._dtype import bits, dtype
from .spec import PositSpec

__all__ = ["PLAIN", "Array", "mapped", "posits", "read", "sealed", "spec_of"]

Array = npt.NDArray[Any]

PLAIN = "biufcSUmM"  # kinds of NumPy dtype that may lie beside posits
_VERSION = 1
_SEAL = re.compile(
    rb"(?P<text>bposit (?P<version>\d+) (?:<(?P<spec>\d+,\d+,\d+)>|plain))"
    rb" crc32 (?P<crc>[0-9a-f]{8}) (?P<head>[0-9a-f]{8})"
)
_CHUNK = 1 << 20  # bytes at a time: memory grows with the file, not with what it claims to hold


def spec_of(array: Array) -> PositSpec | None:
    """The format of an array of a posit dtype, None for others."""
    return getattr(array.dtype, "spec", None)


def posits(patterns: Array, spec: PositSpec) -> Array:
    """Patterns from a file as posits, uncopied; ValueError where they cannot be of ``spec``."""
    if patterns.dtype != spec.storage:
        raise ValueError(f"it holds {patterns.dtype}, but {spec} is stored as {spec.storage}")
    check_range(patterns, spec, "patterns")
    return patterns.view(dtype(spec))


# ---- writing
def sealed(given: npt.ArrayLike, name: str, plain: str = "") -> list[Any]:
    """Both records as buffers; the elements are copied only where they are not contiguous.

    ``plain`` has the kinds of NumPy dtype allowed beside posits; TypeError for others.
    """
    array = np.asarray(given)
    spec = spec_of(array)
    if spec is not None:
        array = bits(array)
    elif array.dtype.kind not in plain:
        hint = "" if plain else "; numpy.save writes other arrays"
        raise TypeError(f"{name}: expected an array of a posit dtype, got {array.dtype}{hint}")
    described = npy.header_data_from_array_1_0(array)
    head, tail = io.BytesIO(), io.BytesIO()
    npy.write_array_header_1_0(head, described)
    body = np.asarray(array.T if described["fortran_order"] else array, order="C")
    data = body.reshape(-1).view(np.uint8).data if body.nbytes else b""
    text = f"bposit {_VERSION} {spec or 'plain'}".encode()
    start = zlib.crc32(head.getvalue())
    sums = zlib.crc32(text, zlib.crc32(data, start)), zlib.crc32(text, start)
    npy.write_array(tail, np.array(text + b" crc32 %08x %08x" % sums), version=(1, 0))
    return [head.getvalue(), data, tail.getvalue()]


# ---- reading; every error is a ValueError, or whatever NumPy's header reader raises on nonsense
class _Summed:
    """A stream that keeps the CRC-32 of what was read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.crc = 0

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.crc = zlib.crc32(data, self.crc)
        return data

    def exactly(self, size: int) -> bytearray:
        data = bytearray()
        while len(data) < size:
            chunk = self.read(min(_CHUNK, size - len(data)))
            if not chunk:
                raise ValueError(f"it is truncated: {size - len(data)} bytes are missing")
            data += chunk
        return data


def _header(stream: Any) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype[Any], int]:
    """Shape, order and dtype of the record that starts here, and the bytes of its elements."""
    version = npy.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"its .npy version is {version[0]}.{version[1]}, not 1.0")
    shape, fortran, found = npy.read_array_header_1_0(stream)
    if found.kind not in PLAIN:
        raise ValueError(f"it holds {found}, and posits are stored as integers")
    if any(n < 0 for n in shape):
        raise ValueError(f"its shape {shape} is not possible")
    return shape, "F" if fortran else "C", found, math.prod(shape) * found.itemsize


def _record(stream: IO[bytes]) -> tuple[Array, int, int]:
    """One record, writeable, and the checksums of its header and of all of it."""
    summed = _Summed(stream)
    shape, order, found, size = _header(summed)
    head = summed.crc
    return np.ndarray(shape, found, summed.exactly(size), order=order), head, summed.crc


def _seal(stream: IO[bytes], head: int, crc: int | None) -> PositSpec | None:
    """The format in the seal that starts here, None for plain; ``crc`` may be left unchecked."""
    try:
        text = _record(stream)[0]
    except Exception as error:
        raise ValueError(
            "no posit format follows the array: it is truncated, or of plain NumPy"
            " (posit.view(numpy.load(file), spec) makes posits of patterns)"
        ) from error
    match = _SEAL.fullmatch(text.item()) if text.dtype.kind == "S" and text.ndim == 0 else None
    if match is None:
        raise ValueError("what follows the array is no posit format")
    if int(match["version"]) != _VERSION:
        raise ValueError(f"it is of version {int(match['version'])}; this is {_VERSION}")
    kept = [(head, "head")] if crc is None else [(head, "head"), (crc, "crc")]
    if any(zlib.crc32(match["text"], found) != int(match[name], 16) for found, name in kept):
        raise ValueError("it is damaged: the checksum does not match")
    return PositSpec.parse(match["spec"].decode()) if match["spec"] else None


def _ended(stream: IO[bytes]) -> None:
    if stream.read(1):
        raise ValueError("more bytes follow the array")


def read(stream: IO[bytes], whole: bool) -> Array:
    """The array that starts here, checked; ``whole`` where nothing may follow it."""
    array, head, crc = _record(stream)
    spec = _seal(stream, head, crc)
    if whole:
        _ended(stream)
    return array if spec is None else posits(array, spec)


def mapped(stream: IO[bytes], mode: Literal["r", "c"]) -> Array:
    """The array of a file as a memory map; the checksum of its elements is not verified."""
    summed = _Summed(stream)
    shape, order, found, size = _header(summed)
    offset = stream.tell()
    stream.seek(offset + size)
    spec = _seal(stream, summed.crc, None)
    _ended(stream)
    if size == 0:  # which no system can map
        array: Array = np.empty(shape, found, order)
    else:
        array = np.memmap(stream, found, mode, offset, shape, order)
    return array if spec is None else posits(array, spec)
