"""Memory images: written, read back, and read in other tools' spelling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bposit.emulate import images
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64

from ...formats import mixed

BITS = np.array([1, -1, bposit16.nar, 0x1234], np.int16)


@pytest.mark.parametrize("kind", images.KINDS)
@pytest.mark.parametrize("spec", [bposit8, bposit16, PositSpec(13, 6, 5), bposit32, bposit64],
                         ids=str)  # fmt: skip
def test_there_and_back(spec: PositSpec, kind: str, tmp_path: Path) -> None:
    bits = mixed(spec, (7, 5), np.random.default_rng(1))
    for pack, depth in ((1, None), (1, 100), (4, None), (3, 16)):
        path = tmp_path / f"w.{kind}"
        images.write(bits, spec, path, pack=pack, depth=depth)
        back = images.read(path, spec, 35, pack=pack)
        assert back.dtype == spec.storage
        assert np.array_equal(back.reshape(7, 5), bits)
    if depth:
        assert images.read(path, spec, 48, pack=3)[35:].tolist() == [0] * 13


def test_the_text(tmp_path: Path) -> None:
    want = {
        "mem": "// bposit16 <16,6,5>, 1 a word\n0001\nffff\n8000\n1234\n0000\n",
        "coe": "; bposit16 <16,6,5>, 1 a word\nmemory_initialization_radix=16;\n"
               "memory_initialization_vector=\n0001,\nffff,\n8000,\n1234,\n0000;\n",
        "mif": "-- bposit16 <16,6,5>, 1 a word\nWIDTH=16;\nDEPTH=5;\nADDRESS_RADIX=HEX;\n"
               "DATA_RADIX=HEX;\nCONTENT BEGIN\n0 : 0001;\n1 : ffff;\n2 : 8000;\n3 : 1234;\n"
               "[4..4] : 0000;\nEND;\n",
    }  # fmt: skip
    for kind, text in want.items():
        images.write(BITS, bposit16, tmp_path / "w", kind=kind, depth=5)
        assert (tmp_path / "w").read_text() == text
    images.write(BITS, bposit16, tmp_path / "w.hex", pack=2)
    assert (tmp_path / "w.hex").read_text().splitlines()[1:] == ["ffff0001", "12348000"]


OTHERS = [
    ("mem", "@0 0001 ffff /* two\nlines */ 8000 // last\n@3\n12_34\n"),
    ("coe", "MEMORY_INITIALIZATION_RADIX = 16 ;\n"
            "memory_initialization_vector = 1, FFFF 8000\n1234 ;"),
    ("mif", "DEPTH = 4; % a memory %\nWIDTH=16;\nADDRESS_RADIX = HEX;\nDATA_RADIX = HEX;\n"
            "CONTENT\nBEGIN\n0 : 0001 ffff;\n[2..2] : 8000;\n3 : 1234;\nEND;\n"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), OTHERS)
def test_other_tools_spelling(kind: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / f"w.{kind}"
    path.write_text(text)
    assert np.array_equal(images.read(path, bposit16, 4), BITS)


def test_a_mem_file_with_an_address_skips(tmp_path: Path) -> None:
    path = tmp_path / "w.mem"
    path.write_text("1\n@3\n2\n")
    assert images.read(path, bposit16, 4).tolist() == [1, 0, 0, 2]


@pytest.mark.parametrize(("kind", "text", "said"), [
    ("mem", "12g4\n", "'12g4' is not hexadecimal"), ("mem", "12345\n", "more than 16 bits"),
    ("mem", "1234\n", "has 1 words, not 4 patterns"), ("coe", "1234\n", "radix=16"),
    ("mif", "WIDTH=16;\n", "BEGIN"), ("mif", "ADDRESS_RADIX=DEC;DATA_RADIX=HEX;CONTENT BEGIN END;",
                                      "ADDRESS_RADIX=HEX"),
    ("mif", "ADDRESS_RADIX=HEX;DATA_RADIX=HEX;CONTENT BEGIN 0 :;END;", "no address and words"),
])  # fmt: skip
def test_malformed_images_are_refused(kind: str, text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / f"w.{kind}"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        images.read(path, bposit16, 4)


@pytest.mark.parametrize(("options", "said"), [
    ({"kind": "bin"}, "mem, coe, mif"), ({"pack": 0}, "pack = 0"), ({"depth": 3}, "fill 4 words"),
    ({}, "possible are"),
])  # fmt: skip
def test_impossible_images_are_refused(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    name = "w.bin" if not options else "w.mem"
    with pytest.raises(ValueError, match=said):
        images.write(BITS, bposit16, tmp_path / name, **options)
    assert not [*tmp_path.iterdir()]
