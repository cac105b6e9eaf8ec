"""`bposit image` and `bposit accumulator`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bposit.emulate import images
from posit import bposit16, encode

from ..running import bad, good

rng = np.random.default_rng(4)
X, W = rng.standard_normal((5, 20)), rng.standard_normal((20, 6))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    np.save("w.npy", W)
    np.save("line.npy", W[:, 0])
    np.save("nar.npy", np.full((20, 1), np.nan))
    return tmp_path


def test_an_image_of_weights(folder: Path) -> None:
    want = encode(W, bposit16).reshape(-1)
    assert good("image", "w.npy", "--out", "w.mem") == "w.mem: 120 patterns of bposit16\n"
    assert np.array_equal(images.read("w.mem", bposit16, 120), want)
    good("image", "w.npy", "--out", "w.bin", "--kind", "mif", "--pack", "2", "--depth", "64")
    assert np.array_equal(images.read("w.bin", bposit16, 120, kind="mif", pack=2), want)


def test_an_upset_image(folder: Path) -> None:
    said = good("image", "w.npy", "--flip", "0.01", "--seed", "3", "--out", "w.coe")
    got = images.read("w.coe", bposit16, 120)
    struck = int((got != encode(W, bposit16).reshape(-1)).sum())
    assert 0 < struck < 60
    assert said == f"w.coe: 120 patterns of bposit16, {struck} of them upset\n"


def test_how_wide(folder: Path) -> None:
    text = good("accumulator", "x.npy", "w.npy", "--plot", "widths.svg", columns=120)
    assert text.startswith("exact in this order: ")
    last = text.strip().splitlines()[-1].split()
    assert int(last[0]) == int(text.split()[4])  # the last row is the exact window's
    assert last[1:4] == ["0", "0", "%"]
    assert "window error" in text
    assert (folder / "widths.svg").stat().st_size > 1000


@pytest.mark.parametrize(("args", "said"), [
    (["image", "w.npy", "--out", "w.bin"], "mem, coe, mif"),
    (["image", "w.npy", "--out", "no/w.mem"], "No such file"),
    (["image", "no.npy", "--out", "w.mem"], "No such file"),
    (["image", "w.npy", "--depth", "3", "--out", "w.mem"], "fill 120 words"),
    (["image", "w.npy", "--seed", "-1", "--out", "w.mem"], "--seed"),
    (["image", "w.npy", "--flip", "2", "--out", "w.mem"], "rate = 2"),
    (["accumulator", "x.npy", "x.npy"], "shapes"), (["accumulator", "x.npy", "nar.npy"], "NaR"),
    (["accumulator", "x.npy", "w.npy", "--group", "0"], "group"),
    (["accumulator", "x.npy", "w.npy", "--plot", "w.xyz"], "xyz"),
])  # fmt: skip
def test_bad_input(args: list[str], said: str, folder: Path) -> None:
    before = {*folder.iterdir()}
    assert said in bad(*args)
    assert {*folder.iterdir()} == before
