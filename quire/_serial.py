"""Quires as bytes: little-endian, self-describing, checked."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

from posit import PositSpec

from ._core import INEXACT, NAR, Limbs
from .layout import Layout

__all__ = ["pack", "unpack"]

_MAGIC = b"bpquire\x01"
# magic; n, rs, es; lsb, top, guard; limbs per quire; number of quires
_HEADER = struct.Struct("<8s3i3iiq")


def pack(layout: Layout, limbs: Limbs, flags: npt.NDArray[np.int32]) -> bytes:
    """``limbs`` (count·layout.limbs of them) and ``flags`` (count) behind a header."""
    spec = layout.spec
    header = _HEADER.pack(
        _MAGIC, spec.n, spec.rs, spec.es, layout.lsb, layout.top, layout.guard,
        layout.limbs, flags.size,
    )  # fmt: skip
    body = header + flags.astype("<i4").tobytes() + limbs.astype("<u8").tobytes()
    return body + struct.pack("<I", zlib.crc32(body))


def unpack(data: bytes, count: int | None) -> tuple[Layout, Limbs, npt.NDArray[np.int32]]:
    """Undo :func:`pack`; ValueError if anything is not as it should be."""
    data = bytes(data)
    if len(data) < _HEADER.size + 4 or not data.startswith(_MAGIC):
        raise ValueError("not a saved quire (or one of another version, or truncated)")
    body, (checksum,) = data[:-4], struct.unpack("<I", data[-4:])
    if zlib.crc32(body) != checksum:
        raise ValueError("the saved quire is damaged or truncated: its checksum does not match")
    _, n, rs, es, lsb, top, guard, per_quire, found = _HEADER.unpack_from(body)
    layout = Layout(PositSpec(n, rs, es), lsb, top, guard)
    named = [Layout.exact(layout.spec)]
    if (rs, es) == (6, 5) and n > 12:
        named.append(Layout.paper800(layout.spec))
    if layout not in named or per_quire != layout.limbs:
        raise ValueError(f"the saved quire has an unknown layout: {layout}")
    if count is not None and found != count:
        raise ValueError(f"expected {count} quire(s), the data holds {found}")
    if found < 0 or len(body) != _HEADER.size + found * (4 + 8 * per_quire):
        raise ValueError("the saved quire is truncated or has trailing bytes")
    flags = np.frombuffer(body, "<i4", found, _HEADER.size).astype(np.int32)
    limbs = np.frombuffer(body, "<u8", found * per_quire, _HEADER.size + 4 * found)
    if flags.size and (flags & ~(NAR | INEXACT)).any():
        raise ValueError("the saved quire has unknown flags")
    return layout, limbs.astype(np.uint64), flags
