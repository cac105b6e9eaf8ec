"""`bposit rtl` as users call it: files, heads, and what it does not accept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bposit.emulate import rtl
from bposit.errors import BadInput
from posit import PositSpec, bposit8, bposit16, standard

from ...formats import EDGES, TINY, WIDE
from ..running import bad, good
from .test_rtl import CASES, IDS


def test_files_are_told_and_written(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "rtl"
    said = good("rtl", "multiplier", "--out", str(out), columns=300).splitlines()
    names = ["bposit16_decoder.v", "bposit16_product.v", "bposit16_encoder.v",
             "bposit16_multiplier.v"]  # fmt: skip
    assert said == [str(out / name) for name in names]
    assert sorted(p.name for p in out.iterdir()) == sorted(names)
    for path in out.iterdir():
        assert path.read_text() == rtl.generate("multiplier", "bposit16")[path.name]


def test_a_bench_comes_with_vectors(tmp_path: Path) -> None:
    good("rtl", "pe", "--dataflow", "ws", "--format", "posit16", "--testbench", "--count", "77",
         "--seed", "5", "--out", str(tmp_path))  # fmt: skip
    text = (tmp_path / "posit16_pe_ws_tb.v").read_text()
    assert "parameter N = 77;" in text
    assert 'parameter VECTORS = "posit16_pe_ws.hex";' in text
    vectors = (tmp_path / "posit16_pe_ws.hex").read_text()
    assert '"op": "quire", "format": "16,15,2", "style": "mixed", "seed": 5' in vectors
    assert len(re.findall(r"^[0-9a-f_]+$", vectors, re.MULTILINE)) == 77
    assert not list(tmp_path.glob("*.part"))


def test_small_benches_are_exhaustive(tmp_path: Path) -> None:
    for unit, inputs, count in (("decoder", bposit16, 65536), ("adder", bposit8, 65536)):
        rtl.write(tmp_path, unit, inputs, testbench=True)
        text = (tmp_path / f"{rtl.top(unit, inputs)}_tb.v").read_text()
        assert f"parameter N = {count};" in text


@pytest.mark.parametrize(("unit", "options"), CASES, ids=IDS)
def test_heads_and_names(unit: str, options: dict[str, str]) -> None:
    """One module a file, called as it is; no licence; no undeclared net; only ASCII."""
    for spec in (bposit16, standard(32), *TINY, *EDGES, *WIDE):
        files = rtl.generate(unit, spec, **options)  # type: ignore[arg-type]
        for name, text in files.items():
            assert text.isascii()
            module = name.removesuffix(".v")
            assert re.findall(r"^module (\w+)", text, re.MULTILINE) == [module]
            head = text[: text.index("module")]
            assert head.startswith(f"// {module}: ")
            assert "may be\n// used, copied and changed without condition" in head
            assert "`default_nettype none" in head
            assert text.rstrip().endswith("`default_nettype wire")
            assert "@{" not in text
            assert max(map(len, head.splitlines())) <= 120
            for instance in re.findall(rf"^ +({spec.name}_\w+) (?:#|\w+ \()", text, re.MULTILINE):
                assert f"{instance}.v" in files


def test_what_shakes_hands_says_how() -> None:
    for unit in ("multiplier", "adder", "quire-mac"):
        (*_, text) = rtl.generate(unit, "bposit16").values()
        head = " ".join(text[: text.index("module")].replace("//", " ").split())
        assert "two cycles after their operands" in head
        assert "rst is synchronous, and empties the unit" in head
    for unit in ("decoder", "encoder"):
        (*_, text) = rtl.generate(unit, "bposit16").values()
        assert "// Combinational." in text


def test_the_regime_is_told_as_asked() -> None:
    """A b-posit's by five inputs, an unbounded posit's by a count."""
    (text,) = rtl.generate("decoder", bposit16).values()
    assert len(re.findall(r"\{13\{", text)) == 5
    assert "multiplexer of its 5 sizes" in text
    assert len(rtl.generate("decoder", standard(16))) == 2
    assert "leading14" in next(iter(rtl.generate("decoder", standard(16))))
    assert len(rtl.generate("decoder", standard(16), regime="mux")) == 1
    assert len(rtl.generate("decoder", bposit16, regime="count")) == 2
    assert len(rtl.generate("decoder", PositSpec(40, 16, 2))) == 1
    assert len(rtl.generate("decoder", PositSpec(40, 17, 2))) == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["divider"], "decoder, encoder, multiplier, adder, quire-mac, pe"),
        (["decoder", "--format", "65,6,5"], "3 to 64 bits"),
        (["decoder", "--format", "half"], "unknown format"),
        (["decoder", "--form", "ones"], "sign-magnitude, twos"),
        (["adder", "--form", "twos"], "adder has sign-magnitude only"),
        (["decoder", "--dataflow", "ws"], "os only"),
        (["pe", "--dataflow", "is"], "os, ws"),
        (["decoder", "--regime", "lut"], "auto, mux, count"),
        (["decoder", "--count", "5"], "--testbench"),
        (["decoder", "--count", "0", "--testbench"], "at least 1"),
        (["decoder", "--seed", "-1", "--testbench"], "seed"),
    ],
)
def test_bad_input(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    out = tmp_path / "out"
    said = bad("rtl", *arguments, "--out", str(out))
    assert complaint in said
    assert not out.exists()


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    assert str(taken) in bad("rtl", "decoder", "--out", str(taken))
    assert str(taken) in bad("rtl", "decoder", "--testbench", "--out", str(taken / "x"))


def test_fewer_than_one_vector() -> None:
    with pytest.raises(BadInput, match="at least 1"):
        rtl.bench("adder", bposit8, 0)
    with pytest.raises(BadInput, match="possible are"):
        rtl.task("nothing", bposit8)
