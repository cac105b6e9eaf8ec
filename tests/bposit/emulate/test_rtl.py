"""`bposit rtl`: every unit simulated against golden vectors, linted, and wrong ones seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bposit.emulate import rtl
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, standard
from quire import Layout

from ...conftest import Slice
from . import rtl_tools as tools

FORMATS = [bposit8, bposit16, bposit32, standard(16), standard(32)]
ODD = [
    PositSpec(3, 2, 0), PositSpec(3, 2, 8), PositSpec(4, 2, 1), PositSpec(5, 3, 1),
    PositSpec(5, 4, 2), PositSpec(6, 2, 3), PositSpec(6, 5, 0), PositSpec(7, 3, 8),
    PositSpec(12, 4, 8), PositSpec(13, 6, 5), PositSpec(24, 16, 1), PositSpec(33, 17, 2),
    PositSpec(64, 2, 0), bposit64, standard(64),
]  # fmt: skip
"""No exponent, no fraction, cut exponents, both ends of n, rs and es, more than 15 regimes."""

CASES: list[tuple[str, dict[str, Any]]] = [
    *((unit, {"form": form, "regime": regime})
      for unit in ("decoder", "encoder")
      for form in ("sign-magnitude", "twos")
      for regime in ("mux", "count")),
    ("multiplier", {}), ("adder", {}), ("quire-mac", {}),
    ("pe", {"dataflow": "os"}), ("pe", {"dataflow": "ws"}),
]  # fmt: skip
IDS = [" ".join([unit, *options.values()]) for unit, options in CASES]


def counted(unit: str, spec: PositSpec) -> int | None:
    """Vectors for the simulators; None: all."""
    if unit in ("quire-mac", "pe"):
        return 120
    operands = {"decoder": 1, "encoder": 2}.get(unit, 2)
    return None if operands * spec.n <= 16 else 1500


def passed(said: str, count: int) -> bool:
    return tools.verdict(said) == [f"PASS {count}"]


def failed(said: str) -> bool:
    lines = tools.verdict(said)
    return bool(lines) and all(line.startswith("FAIL") for line in lines)


def count_of(folder: Path, top: str) -> int:
    text = (folder / f"{top}.hex").read_text()
    return sum(not line.startswith("//") for line in text.splitlines())


@pytest.mark.parametrize(("unit", "options"), CASES, ids=IDS)
@pytest.mark.parametrize("spec", FORMATS, ids=str)
def test_icarus_agrees(tmp_path: Path, spec: PositSpec, unit: str, options: dict[str, Any]) -> None:
    top = tools.files(tmp_path, unit, spec, counted(unit, spec), **options)
    count = count_of(tmp_path, top)
    assert count >= 120
    assert passed(tools.icarus(tmp_path, f"{top}_tb"), count)


@pytest.mark.parametrize("spec", ODD, ids=str)
def test_odd_formats(tmp_path: Path, spec: PositSpec) -> None:
    """All units of formats at the ends of what there is."""
    for i, (unit, options) in enumerate(CASES):
        folder = tmp_path / str(i)
        wide = unit in ("quire-mac", "pe")  # which simulate slowly
        count = 4 + 8000 // Layout.exact(spec).width if wide else 200
        top = tools.files(folder, unit, spec, count, **options)
        assert passed(tools.icarus(folder, f"{top}_tb"), count), (unit, options)


@pytest.mark.parametrize("spec", [*FORMATS, *ODD, PositSpec(40, 20, 7)], ids=str)
def test_verilator_has_no_complaints(tmp_path: Path, spec: PositSpec) -> None:
    """Of any unit and its bench; the last format's sum has more bits than Verilator can print."""
    for i, (unit, options) in enumerate(CASES):
        if spec not in FORMATS and options.get("form") == "sign-magnitude":
            continue  # they are parts of the others
        folder = tmp_path / str(i)
        top = tools.files(folder, unit, spec, 3, **options)
        assert "%Warning" not in tools.lint(folder, f"{top}_tb")


def test_verilator_agrees(tmp_path: Path) -> None:
    """One build, of all modules but the adder; then without vectors, and with too few."""
    top = tools.files(tmp_path, "quire-mac", bposit16, 500)
    program = str(tools.built(tmp_path, f"{top}_tb"))
    assert passed(tools.run(tmp_path, program), 500)
    vectors = tmp_path / f"{top}.hex"
    text = vectors.read_text()
    vectors.write_text("".join(text.splitlines(keepends=True)[:400]))
    assert failed(tools.run(tmp_path, program))
    vectors.unlink()
    assert failed(tools.run(tmp_path, program))
    vectors.write_text(text)
    assert passed(tools.run(tmp_path, program), 500)


def test_verilator_agrees_for_all_formats(tmp_path: Path) -> None:
    """In one build, for a build takes long: benches say once what they have to, and wait."""
    tops = [
        tools.files(tmp_path, unit, spec, 300)
        for spec in FORMATS
        for unit in ("multiplier", "adder")
    ]
    for top in tops:
        bench = tmp_path / f"{top}_tb.v"
        bench.write_text(bench.read_text().replace("$finish;", "came <= N + 1;"))
    inside = "\n".join(f"    {top}_tb {top} ();" for top in tops)
    (tmp_path / "all.v").write_text(
        f"module all;\n{inside}\n    initial #9000 $finish;\nendmodule\n"
    )
    said = tools.run(tmp_path, str(tools.built(tmp_path, "all")))
    assert tools.verdict(said) == ["PASS 300"] * len(tops)


@pytest.mark.slow
def test_verilator_agrees_for_every_format(tmp_path: Path, part: Slice) -> None:
    builds = [
        (unit, options, spec)
        for spec in FORMATS
        for unit, options in CASES
        if options.get("form") != "twos"
    ]
    for unit, options, spec in part.take(builds):
        folder = tmp_path / f"{unit}{len(list(tmp_path.iterdir()))}"
        top = tools.files(folder, unit, spec, 2000, **options)
        said = tools.run(folder, str(tools.built(folder, f"{top}_tb")))
        assert passed(said, 2000), (unit, spec)


MUTANTS = [
    ("decoder", "decoder", "{~first, ", "{first, "),
    ("decoder", "decoder", "special & ~a[15]", "special"),
    ("decoder", "decoder", "assign sign = ~special & a[15];", ""),  # z
    ("encoder", "encoder", "(cut[1] | below)", "below"),  # ties always down
    ("encoder", "encoder", "| ~|body", ""),  # minpos becomes zero
    ("encoder", "encoder", "more[2:0] > 3'd5", "more[2:0] > 3'd6"),
    ("multiplier", "multiplier", ".guard(normal[8])", ".guard(1'b0)"),
    *(
        ("multiplier", "multiplier", "|normal[7:0]", f"|(normal[7:0] & 8'd{255 - (1 << k)})")
        for k in range(8)
    ),  # a sticky bit that forgets one of those that it gathers
    ("multiplier", "multiplier", "held_sign <= sign", "held_sign <= 1'b0"),
    ("multiplier", "multiplier", "assign in_ready = ~held | move", "assign in_ready = 1'b1"),
    ("multiplier", "multiplier", "assign in_ready = ~held | move", "assign in_ready = 1'b0"),
    ("adder", "adder", "|wide[8:0]", "1'b0"),
    ("adder", "adder", "sign_b ^ subtract :", "sign_b :"),
    ("multiplier", "multiplier", "if (move) out_valid", "out_valid"),  # lost where nobody waits
    ("quire-mac", "quire_mac", "if (move) out_valid", "out_valid"),
    ("quire-mac", "accumulate", "{808'b0, sign}", "{808'b0, 1'b0}"),
    ("quire-mac", "accumulate", "sum_nar & ~clear", "1'b0"),
    ("quire-mac", "leading808", "counts[5*from_below", "counts[5*index"),
    ("quire-mac", "quire_round", "-sum : sum", "~sum : sum"),
    ("pe", "pe_os", "a <= a_in", "a <= b_in"),
    ("pe", "pe_os", "if (move)", "if (1'b0)"),
    ("pe", "pe_os", "sum <= sum_in", "sum <= 808'b0"),
    ("pe", "pe_os", "nar <= nar_in", "nar <= 1'b0"),
    ("pe", "pe_os", "if (a_in_valid & b_in_valid)", "if (a_in_valid)"),
    ("pe", "pe_os", "if (a_in_valid & b_in_valid)", "if (b_in_valid)"),
]


def mutated(folder: Path, spec: PositSpec, module: str, old: str, new: str) -> None:
    path = folder / f"{spec.name}_{module}.v"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(("unit", "module", "old", "new"), MUTANTS)
def test_a_mutant_fails(tmp_path: Path, unit: str, module: str, old: str, new: str) -> None:
    """Also one that never takes an operand, and one that takes too many."""
    count = 1000 if module == "accumulate" or "nar" in old else 400
    count = 8000 if "normal[7:0]" in old else count
    top = tools.files(tmp_path, unit, bposit16, None if unit == "decoder" else count)
    mutated(tmp_path, bposit16, module, old, new)
    said = tools.icarus(tmp_path, f"{top}_tb")
    assert failed(said)


@pytest.mark.parametrize(("old", "new"), [
    ("if (load) b <=", "b <="), ("if (load) b_valid", "b_valid"), ("if (a_in_valid)", "if (1'b1)"),
])  # fmt: skip
def test_a_weight_is_loaded_once(tmp_path: Path, old: str, new: str) -> None:
    top = tools.files(tmp_path, "pe", bposit16, 100, dataflow="ws")
    mutated(tmp_path, bposit16, "pe_ws", old, new)
    assert failed(tools.icarus(tmp_path, f"{top}_tb"))


def test_a_mutant_in_verilator(tmp_path: Path) -> None:
    top = tools.files(tmp_path, "decoder", bposit8)
    mutated(tmp_path, bposit8, "decoder", "{~first, ", "{first, ")
    said = tools.run(tmp_path, str(tools.built(tmp_path, f"{top}_tb")))
    assert failed(said)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("wire first = body[14]", "wire [1:0] first = body[14]", "WIDTH"),
        ("assign zero = special", "assign zero = specia1", "specia1"),
        ("assign sign = ~special & a[15];", "", "UNDRIVEN"),
    ],
)
def test_a_mutant_is_linted(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    top = tools.files(tmp_path, "decoder", bposit16, 8)
    mutated(tmp_path, bposit16, "decoder", old, new)
    assert complaint in tools.lint(tmp_path, top, fails=True)


@pytest.mark.parametrize("unit", ["decoder", "multiplier", "pe"])
def test_vectors_that_are_not_there(tmp_path: Path, unit: str) -> None:
    """Of every kind of bench: no file, one too short, one with an x, and another number."""
    top = tools.files(tmp_path, unit, bposit8, 50)
    vectors, bench = tmp_path / f"{top}.hex", f"{top}_tb"
    text = vectors.read_text()
    assert passed(tools.icarus(tmp_path, bench), 50)
    assert passed(tools.icarus(tmp_path, bench, f"-P{bench}.N=20"), 20)
    assert failed(tools.icarus(tmp_path, bench, f"-P{bench}.N=51"))
    lines = text.splitlines(keepends=True)
    lines[9] = "x" + lines[9][1:]
    for wrong in (None, "", "".join(lines[:30]), "".join(lines)):
        if wrong is None:
            vectors.unlink()
        else:
            vectors.write_text(wrong)
        said = tools.icarus(tmp_path, bench)
        assert failed(said)
    vectors.write_text(text)
    assert passed(tools.icarus(tmp_path, bench), 50)


def test_a_file_of_the_vectors_command_serves(tmp_path: Path) -> None:
    """Another style and seed than the bench's own."""
    from bposit.emulate import vectors

    top = tools.files(tmp_path, "adder", bposit32, 8)
    task = rtl.task("adder", bposit32)
    for style in ("ties", "cancellation", "saturation"):
        with (tmp_path / f"{top}.hex").open("wb") as file:
            vectors.write(file, task, style=style, count=2000, seed=7)
        said = tools.icarus(tmp_path, f"{top}_tb", f"-P{top}_tb.N=2000")
        assert passed(said, 2000)
