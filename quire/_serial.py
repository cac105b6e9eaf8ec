"""Quires as bytes: little-endian, self-describing, checked."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

from posit import PositSpec

from ._core import INEXACT, NAR, Limbs, is_known
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
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"a saved quire is bytes, got {type(data).__name__}")
    data = bytes(data)
    if len(data) < _HEADER.size + 4 or not data.startswith(_MAGIC):
        raise ValueError("not a saved quire (or one of another version, or truncated)")
    body, (checksum,) = data[:-4], struct.unpack("<I", data[-4:])
    if zlib.crc32(body) != checksum:
        raise ValueError("the saved quire is damaged or truncated: its checksum does not match")
    _, n, rs, es, lsb, top, guard, per_quire, found = _HEADER.unpack_from(body)
    try:
        layout = Layout(PositSpec(n, rs, es), lsb, top, guard)
    except ValueError as wrong:
        raise ValueError(f"the saved quire has no possible layout: {wrong}") from None
    if not is_known(layout) or per_quire != layout.limbs:
        raise ValueError(f"the saved quire has an unknown layout: {layout}, {per_quire} limbs")
    if count is not None and found != count:
        raise ValueError(f"expected {count} quire(s), the data holds {found}")
    if found < 0 or len(body) != _HEADER.size + found * (4 + 8 * per_quire):
        raise ValueError("the saved quire is truncated or has trailing bytes")
    flags = np.frombuffer(body, "<i4", found, _HEADER.size).astype(np.int32)
    limbs = np.frombuffer(body, "<u8", found * per_quire, _HEADER.size + 4 * found)
    _check_states(layout, limbs.reshape(found, per_quire), flags)
    return layout, limbs.astype(np.uint64), flags


def _check_states(layout: Layout, limbs: Limbs, flags: npt.NDArray[np.int32]) -> None:
    """ValueError unless every quire is in a state that operations can lead to."""
    known = NAR if layout.is_exact else NAR | INEXACT
    if (flags & ~known).any():
        raise ValueError("the saved quire has flags that its layout cannot have")
    if limbs[(flags & NAR) != 0].any():
        raise ValueError("the saved quire is NaR but has a value")
    at, shift = divmod(layout.width - 1, 64)
    sign = limbs[:, at].astype(np.uint64).view(np.int64) >> np.int64(shift)
    beyond = limbs[:, at + 1 :].astype(np.uint64).view(np.int64)
    if not (np.isin(sign, (0, -1)).all() and (beyond == sign[:, np.newaxis]).all()):
        raise ValueError("the saved quire has a value beyond its layout's width")
