"""Quires as bytes: little-endian, self-describing, checked."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

from posit import PositSpec

from ._core import INEXACT, NAR, Limbs, core_spec, is_known
from .layout import Layout

__all__ = ["pack", "pack_sums", "unpack", "unpack_sums"]

_MAGIC = b"bpquire\x01"
# magic; n, rs, es; lsb, top, guard; limbs per quire; number of quires
_HEADER = struct.Struct("<8s3i3iiq")


_SUMS_MAGIC = b"bpsums\x00\x01"
# magic; n, rs, es; log2 of the lowest digit's weight, digits per sum; number of sums
_SUMS_HEADER = struct.Struct("<8s3iiiq")


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
    body = _checked(data, _MAGIC, _HEADER.size)
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


def pack_sums(
    spec: PositSpec, low: int, digits: npt.NDArray[np.int64], nar: npt.NDArray[np.uint8]
) -> bytes:
    """Settled digits (planes, count) as two's complement of 32·planes bits behind a header."""
    planes, count = digits.shape
    header = _SUMS_HEADER.pack(_SUMS_MAGIC, spec.n, spec.rs, spec.es, low, planes, count)
    body = header + np.packbits(nar).tobytes() + digits.astype("<u4").tobytes()
    return body + struct.pack("<I", zlib.crc32(body))


def unpack_sums(
    data: bytes,
) -> tuple[PositSpec, int, npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Undo :func:`pack_sums`; ValueError if anything is not as it should be."""
    body = _checked(data, _SUMS_MAGIC, _SUMS_HEADER.size)
    _, n, rs, es, low, planes, count = _SUMS_HEADER.unpack_from(body)
    try:
        spec = PositSpec(n, rs, es)
        core_spec(spec)
        layout = Layout.exact(spec)
    except ValueError as wrong:
        raise ValueError(f"the saved sums have no possible format: {wrong}") from None
    high = low + 32 * planes
    inside = layout.lsb - 64 <= low <= high <= layout.lsb + layout.width + 64
    if planes < 0 or low % 32 or (planes and not inside):
        raise ValueError(f"the saved sums have a window that {spec} cannot lead to")
    bits = -(-count // 8)
    if count < 0 or len(body) != _SUMS_HEADER.size + bits + 4 * planes * count:
        raise ValueError("the saved sums are truncated or have trailing bytes")
    packed = np.frombuffer(body, np.uint8, bits, _SUMS_HEADER.size)
    digits = np.frombuffer(body, "<u4", planes * count, _SUMS_HEADER.size + bits)
    digits = digits.reshape(planes, count).astype(np.int64)
    if planes:
        digits[-1] -= (digits[-1] >> 31) << 32
    return spec, low, digits, np.unpackbits(packed, count=count)


def _checked(data: bytes, magic: bytes, header: int) -> bytes:
    """``data`` without its checksum, if it begins as it should and the checksum is right."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"a saved quire is bytes, got {type(data).__name__}")
    data = bytes(data)
    if len(data) < header + 4 or not data.startswith(magic):
        raise ValueError("not a saved quire (or one of another version, or truncated)")
    body, (checksum,) = data[:-4], struct.unpack("<I", data[-4:])
    if zlib.crc32(body) != checksum:
        raise ValueError("the saved quire is damaged or truncated: its checksum does not match")
    return body


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
