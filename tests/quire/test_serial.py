"""Saved quires: the same bytes everywhere, and refused where anything is not as it should be."""

from __future__ import annotations

import pickle
import struct
import zlib

import numpy as np
import pytest

from posit import PositSpec, bposit16, bposit32, standard
from quire import Layout, Quire

from ..formats import mixed
from .cases import EXTREME, SPECS

every = pytest.mark.parametrize("spec", SPECS + EXTREME, ids=str)


def sealed(body: bytes) -> bytes:
    """With a right checksum, so that only what it seals can be wrong."""
    return body + struct.pack("<I", zlib.crc32(body))


def sample(spec: PositSpec = bposit16) -> Quire:
    return Quire(spec).fma(1, 3).sub(spec.maxpos_pattern).add(spec.one)


@every
def test_reads_back(spec: PositSpec) -> None:
    rng = np.random.default_rng(spec.n)
    found = [Quire(spec), sample(spec), Quire(spec).add(spec.nar)]
    found += [Quire(spec).fma(int(a), int(b)) for a, b in mixed(spec, (9, 2), rng)]
    for q in found:
        data = q.to_bytes()
        for made in (
            Quire.from_bytes(data),
            Quire.from_bytes(data, spec, Layout.exact(spec)),
            Quire.from_bytes(data, spec=spec, layout="exact"),
            *(pickle.loads(pickle.dumps(q, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)),
        ):
            assert made == q
            assert made.value == q.value
            assert made.to_bytes() == data
            assert made.add(1) == q.copy().add(1)


def test_other_layouts_read_back() -> None:
    q = Quire(bposit16, "paper800").fma(2, 2)
    made = Quire.from_bytes(q.to_bytes())
    assert made == q
    assert made.inexact
    assert made.layout == Layout.paper800(bposit16)
    q = Quire(standard(32), "standard").fma(5, 5)
    assert Quire.from_bytes(q.to_bytes(), layout="standard") == q


def test_the_bytes_are_these() -> None:
    """Little-endian on every machine: header, flags, limbs, checksum. To change it breaks files."""
    header = struct.pack("<8s3i3iiq", b"bpquire\x01", 8, 3, 2, -28, 24, 31, 2, 1)
    q = Quire(PositSpec(8, 3, 2)).add(PositSpec(8, 3, 2).one)
    assert q.value == 1
    assert q.to_bytes() == sealed(header + struct.pack("<iQQ", 0, 1 << 28, 0))
    q.negate()
    assert q.to_bytes() == sealed(header + struct.pack("<iQQ", 0, 2**64 - 2**28, 2**64 - 1))


@pytest.mark.parametrize("q", [sample(), Quire(bposit16), Quire(bposit16, "paper800").fma(1, 1)])
def test_every_damaged_byte_is_noticed(q: Quire) -> None:
    data = q.to_bytes()
    for i in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            bad = bytearray(data)
            bad[i] ^= flip
            with pytest.raises(ValueError, match="saved quire"):
                Quire.from_bytes(bytes(bad))


def test_every_truncation_is_noticed() -> None:
    data = sample().to_bytes()
    for size in range(len(data)):
        with pytest.raises(ValueError, match="saved quire"):
            Quire.from_bytes(data[:size])
    for more in (b"\0", data, b"\0" * 8):
        with pytest.raises(ValueError, match="saved quire"):
            Quire.from_bytes(data + more)


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (8, 2), (8, 65), (8, 17), (8, -16), (12, 1), (12, 16), (12, 5), (16, 9), (16, 4), (16, -1),
        (20, -391), (20, 0), (24, 383), (28, 30), (28, 1 << 30), (32, 12), (32, 14), (32, -1),
        (36, 0), (36, 2), (36, -1), (40, 1), (44, 4), (44, -1),
    ],
)  # fmt: skip
def test_a_wrong_header_with_a_right_checksum(offset: int, value: int) -> None:
    """Fields in order: n, rs, es, lsb, top, guard, limbs per quire, number of quires (two words),
    flags; that of n starts at byte 8."""
    body = bytearray(sample().to_bytes()[:-4])
    struct.pack_into("<i", body, offset, value)
    with pytest.raises(ValueError, match=r"saved quire|PositSpec|expected 1"):
        Quire.from_bytes(sealed(bytes(body)))


@pytest.mark.parametrize(
    "magic", [b"bpquire\x02", b"bpquire\x00", b"BPQUIRE\x01", b"\x93NUMPY\x01\x00"]
)
def test_another_version(magic: bytes) -> None:
    body = magic + sample().to_bytes()[8:-4]
    with pytest.raises(ValueError, match="version"):
        Quire.from_bytes(sealed(body))


def test_a_value_beyond_the_width_is_refused() -> None:
    """Limbs have spare bits above the width; a sum never leaves anything there."""
    data = sample().to_bytes()[:-4]
    layout = Layout.exact(bposit16)
    for top in (1 << ((layout.width - 1) % 64), (1 << 63)):
        body = data[:-8] + struct.pack("<Q", top)
        with pytest.raises(ValueError, match="saved quire"):
            Quire.from_bytes(sealed(body))


def test_impossible_flags_are_refused() -> None:
    """NaR with a value left in the limbs; and lost bits in a layout that loses none."""
    for flags in (1, 2, 3):
        body = bytearray(sample().to_bytes()[:-4])
        struct.pack_into("<i", body, 44, flags)
        with pytest.raises(ValueError, match="saved quire"):
            Quire.from_bytes(sealed(bytes(body)))


def test_another_format_or_layout_is_refused() -> None:
    data = sample().to_bytes()
    with pytest.raises(ValueError, match="32,6,5"):
        Quire.from_bytes(data, bposit32)
    with pytest.raises(ValueError, match="layout"):
        Quire.from_bytes(data, layout="paper800")
    with pytest.raises(ValueError, match="layout"):
        Quire.from_bytes(data, layout=Layout.exact(bposit32))
    with pytest.raises(ValueError, match="standard"):
        Quire.from_bytes(data, layout="standard")


@pytest.mark.parametrize("data", [b"", b"x", b"bpquire\x01", bytes(200)])
def test_what_is_no_quire(data: bytes) -> None:
    with pytest.raises(ValueError, match="saved quire"):
        Quire.from_bytes(data)


@pytest.mark.parametrize("data", ["bpquire", None, 3.5])
def test_what_are_no_bytes(data: object) -> None:
    with pytest.raises(TypeError):
        Quire.from_bytes(data)  # type: ignore[arg-type]
