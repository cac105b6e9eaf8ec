"""Saved sums: equal sums are equal bytes, and what is not as it should be is refused."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import pytest

from posit import PositSpec, bposit16, bposit32
from quire import Accumulators, Quire

from ..formats import mixed
from .cases import EXTREME, SPECS, finite
from .test_serial import sealed

every = pytest.mark.parametrize("spec", SPECS + EXTREME, ids=str)


def sample() -> Accumulators:
    one = bposit16.one
    return Accumulators((2, 3), bposit16).add([[one, 1, -one], [bposit16.nar, 0, 0x1234]])


@every
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 9)], ids=str)
def test_reads_back(spec: PositSpec, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(spec.n)
    sums = Accumulators(shape, spec)
    for values in (np.zeros(shape, spec.storage), *mixed(spec, (3, *shape), rng)):
        sums.add(values)
        data = sums.to_bytes()
        made = Accumulators.from_bytes(data, shape)
        assert made == sums
        assert made.to_bytes() == data
        assert (made.round() == sums.round()).all()
        assert (made.is_nar == sums.is_nar).all()
        assert made.add(values) == sums.copy().add(values)
        assert Accumulators.from_bytes(memoryview(bytearray(data)), shape) == sums


@every
def test_whatever_led_to_a_sum_its_bytes_are_the_same(spec: PositSpec) -> None:
    """Order, carries, a window that was wider for a while, and negative sums."""
    rng = np.random.default_rng(spec.n)
    terms = finite(spec, (30, 7), rng)
    want = Accumulators(7, spec)
    for x in terms:
        want.add(x)
    other = Accumulators(7, spec)
    top, tiny = spec.storage.type(spec.maxpos_pattern), spec.storage.type(1)
    for x in (top, tiny, *rng.permutation(terms), -tiny, -top):
        other.add(x)
        other._carry()
    assert other.to_bytes() == want.to_bytes()
    halves = [Accumulators(7, spec) for _ in range(2)]
    for i, x in enumerate(terms):
        halves[i % 2].add(x)
    assert halves[0].merge(halves[1]).to_bytes() == want.to_bytes()
    for x in terms:
        other.add(-x)
    assert other.to_bytes() == Accumulators(7, spec).to_bytes()


def test_the_bytes_are_these() -> None:
    """Little-endian on every machine: header, NaR bits, digits, checksum. A change breaks files."""
    spec = PositSpec(8, 3, 2)
    sums = Accumulators(9, spec).add(spec.one)
    sums.add(np.array([0, 0, spec.nar, 0, 0, 0, 0, -spec.one, 1], np.int8))
    header = struct.pack("<8s3iiiq", b"bpsums\x00\x01", 8, 3, 2, -32, 2, 9)
    minpos = int(spec.minpos * 2**32)
    low = struct.pack("<9I", *[0] * 8, minpos)
    high = struct.pack("<9I", 1, 1, 0, 1, 1, 1, 1, 0, 1)
    assert sums.to_bytes() == sealed(header + b"\x20\x00" + low + high)
    sums = Accumulators(1, spec).add(-1)
    header = struct.pack("<8s3iiiq", b"bpsums\x00\x01", 8, 3, 2, -32, 1, 1)
    assert sums.to_bytes() == sealed(header + b"\x00" + struct.pack("<i", -minpos))


def test_damage_is_noticed() -> None:
    data = sample().to_bytes()
    for i in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            bad = bytearray(data)
            bad[i] ^= flip
            with pytest.raises(ValueError, match="saved"):
                Accumulators.from_bytes(bytes(bad), (2, 3))
    for bad in (*(data[:size] for size in range(len(data))), data + b"\0", data + data, b"x" * 99):
        with pytest.raises(ValueError, match="saved"):
            Accumulators.from_bytes(bytes(bad), (2, 3))


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (8, 2), (8, 65), (8, -16), (12, 1), (12, 16), (16, 9), (16, -1), (16, 2),
        (20, -385), (20, -32 * 40), (20, 32 * 40), (24, -1), (24, 1000), (24, 0), (24, 1 << 30),
        (28, 5), (28, 7), (28, -1), (32, 1), (32, -1),
    ],
)  # fmt: skip
def test_a_wrong_header_with_a_right_checksum(offset: int, value: int) -> None:
    """Fields in order: n, rs, es, low, planes, number of sums (two words); n starts at byte 8."""
    body = bytearray(sample().to_bytes()[:-4])
    struct.pack_into("<i", body, offset, value)
    with pytest.raises(ValueError, match=r"saved|holds"):
        Accumulators.from_bytes(sealed(bytes(body)), (2, 3))


@pytest.mark.parametrize("shape", [(), 5, 7, (3, 3), (6, 0)])
def test_another_number_of_sums(shape: Any) -> None:
    with pytest.raises(ValueError, match="6 sums"):
        Accumulators.from_bytes(sample().to_bytes(), shape)
    assert Accumulators.from_bytes(sample().to_bytes(), 6).shape == (6,)


def test_quires_and_sums_are_not_taken_for_each_other() -> None:
    with pytest.raises(ValueError, match="saved quire"):
        Quire.from_bytes(sample().to_bytes())
    with pytest.raises(ValueError, match="saved"):
        Accumulators.from_bytes(Quire(bposit32).to_bytes(), 1)
    for data in ("bpsums", None, 3.5):
        with pytest.raises(TypeError):
            Accumulators.from_bytes(data, 1)  # type: ignore[arg-type]


def test_the_checksum_is_crc32() -> None:
    data = sample().to_bytes()
    assert struct.unpack("<I", data[-4:])[0] == zlib.crc32(data[:-4])
