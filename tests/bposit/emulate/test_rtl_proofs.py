"""Decoders and encoders proved for every input by SAT, with Yosys; and that proofs can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from bposit.emulate import rtl, widths
from bposit.emulate.codec import FORMS, Form
from bposit.emulate.rtl.coding import REGIMES, Regime
from posit import PositSpec, bposit8, bposit16, bposit32, standard

from ...conftest import Slice
from . import rtl_tools as tools
from .test_rtl import mutated, passed

TINY = [PositSpec(3, 2, 0), PositSpec(5, 4, 2), PositSpec(6, 2, 3), PositSpec(12, 4, 8)]
SMALL = [bposit8, bposit16, standard(16), *TINY]
CASES: list[tuple[PositSpec, Regime, Form]] = [
    (spec, regime, form)
    for spec in SMALL
    for regime in REGIMES[1:]
    for form in FORMS
    if spec != standard(16) or regime == "count"
]
WIDE: list[tuple[PositSpec, Regime, Form]] = [
    (spec, regime, form)
    for spec, regime in ((bposit32, "mux"), (standard(32), "count"))
    for form in FORMS
]


def units(folder: Path, spec: PositSpec, regime: Regime, form: Form) -> Path:
    for unit in ("decoder", "encoder"):
        rtl.write(folder, unit, spec, regime=regime, form=form)
    return folder


def wires(spec: PositSpec, of: str = "") -> str:
    """Those of a decoder, and the decoder."""
    scale, fraction = widths(spec).scale, max(1, spec.f_max)
    return (
        f"wire nar{of}, zero{of}, sign{of}; wire [{scale - 1}:0] scale{of};"
        f" wire [{fraction - 1}:0] fraction{of};"
    )


def returns(folder: Path, spec: PositSpec, form: Form) -> bool:
    """enc(dec(p)) = p."""
    coder = rtl.top("decoder", spec, form=form), rtl.top("encoder", spec, form=form)
    top, top_bit = spec.n - 1, widths(spec).scale - 1
    return tools.proved(folder, "returns", f"""
module returns (input [{top}:0] p, output ok);
    {wires(spec)}
    wire [{top}:0] q;
    {coder[0]} decode (p, nar, zero, sign, scale, fraction);
    {coder[1]} encode (
        nar, zero, sign, {{scale[{top_bit}], scale}}, fraction, 1'b0, 1'b0, q);
    assign ok = q == p;
endmodule
""")  # fmt: skip


def decodes(folder: Path, spec: PositSpec, form: Form) -> bool:
    """The decoder is the naive decoder."""
    scale = widths(spec).scale
    (folder / "naive_decoder.v").write_text(tools.naive_decoder(spec, form))
    return tools.proved(folder, "decodes", f"""
module decodes (input [{spec.n - 1}:0] p, output ok);
    {wires(spec)}
    {wires(spec, "_0")}
    {rtl.top('decoder', spec, form=form)} decode (p, nar, zero, sign, scale, fraction);
    wire signed [15:0] wide;
    naive_decoder naive (p, nar_0, zero_0, sign_0, wide, fraction_0);
    assign scale_0 = wide[{scale - 1}:0];
    assign ok = {{nar, zero, sign, scale, fraction}}
        == {{nar_0, zero_0, sign_0, scale_0, fraction_0}} && wide == $signed(scale_0);
endmodule
""")  # fmt: skip


def encodes(folder: Path, spec: PositSpec, form: Form) -> bool:
    """The encoder, which rounds, is the naive one."""
    scale, fraction = widths(spec).scale + 1, max(1, spec.f_max)
    (folder / "naive_encoder.v").write_text(tools.naive_encoder(spec, form))
    return tools.proved(folder, "encodes", f"""
module encodes (input nar, zero, sign, input [{scale - 1}:0] scale,
                input [{fraction - 1}:0] fraction, input guard, sticky, output ok);
    wire [{spec.n - 1}:0] p, q;
    {rtl.top('encoder', spec, form=form)} encode (
        nar, zero, sign, scale, fraction, guard, sticky, p);
    naive_encoder naive (nar, zero, sign, scale, fraction, guard, sticky, q);
    assign ok = p == q;
endmodule
""")  # fmt: skip


@pytest.mark.parametrize(("spec", "regime", "form"), [*CASES, *WIDE], ids=str)
def test_every_pattern_returns(tmp_path: Path, spec: PositSpec, regime: Regime, form: Form) -> None:
    assert returns(units(tmp_path, spec, regime, form), spec, form)


@pytest.mark.parametrize(("spec", "regime", "form"), [*CASES, *WIDE], ids=str)
def test_the_decoder_is_the_naive_one(
    tmp_path: Path, spec: PositSpec, regime: Regime, form: Form
) -> None:
    assert decodes(units(tmp_path, spec, regime, form), spec, form)


@pytest.mark.parametrize(("spec", "regime", "form"), CASES, ids=str)
def test_the_rounding_encoder_is_the_naive_one(
    tmp_path: Path, spec: PositSpec, regime: Regime, form: Form
) -> None:
    """For every field, guard and sticky: matching errors would cancel in the round trip."""
    assert encodes(units(tmp_path, spec, regime, form), spec, form)


@pytest.mark.slow
def test_wide_encoders_are_the_naive_one(tmp_path: Path, part: Slice) -> None:
    for spec, regime, form in part.take(WIDE):
        folder = tmp_path / f"{spec.name}_{form}"
        assert encodes(units(folder, spec, regime, form), spec, form)


@pytest.mark.parametrize("spec", [bposit8, PositSpec(5, 4, 2), PositSpec(6, 2, 3)], ids=str)
@pytest.mark.parametrize("unit", ["decoder", "encoder"])
@pytest.mark.parametrize("form", FORMS)
def test_the_naive_ones_are_right(tmp_path: Path, form: Form, unit: str, spec: PositSpec) -> None:
    """For every input, in simulation against the golden vectors."""
    count = 1 << sum(c.bits for c in rtl.task(unit, spec, form=form).inputs)
    top = tools.files(tmp_path, unit, spec, form=form)
    name, path = f"naive_{unit}", tmp_path / f"{top}.v"
    naive = {"decoder": tools.naive_decoder(spec, form),
             "encoder": tools.naive_encoder(spec, form)}[unit]  # fmt: skip
    path.write_text(naive.replace(name, top))
    (tmp_path / f"{top}.hex").rename(tmp_path / "all.hex")
    bench = tmp_path / f"{top}_tb.v"
    bench.write_text(bench.read_text().replace(f"{top}.hex", "all.hex"))
    tools.run(tmp_path, "iverilog", "-g2001", "-y.", "-o", "sim.vvp", bench.name)
    assert passed(tools.run(tmp_path, "vvp", "-n", "sim.vvp"), count)


@pytest.mark.parametrize(
    ("module", "old", "new", "proof"),
    [
        ("decoder", "run[5])}} & {body[8:0]", "run[4])}} & {body[8:0]", decodes),
        ("decoder", "{~first, ", "{first, ", returns),
        ("encoder", "(cut[1] | below)", "below", encodes),
        ("encoder", "(cut[1] | below)", "1'b1", encodes),
        ("encoder", "| ~|body", "", encodes),
        ("encoder", "& ~&body", "", encodes),
        ("encoder", "first ^ ended", "first", returns),
    ],
)
def test_a_mutant_is_not_proved(
    tmp_path: Path, module: str, old: str, new: str, proof: object
) -> None:
    units(tmp_path, bposit16, "mux", FORMS[0])
    mutated(tmp_path, bposit16, module, old, new)
    assert callable(proof)
    assert not proof(tmp_path, bposit16, FORMS[0])
