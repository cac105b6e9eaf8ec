"""`bposit vectors`: files, exit codes, one line for what is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ..running import bad, good, run


def test_generate_and_verify(tmp_path: Path) -> None:
    file = str(tmp_path / "fma.hex")
    said = good("vectors", "gen", "--op", "fma", "--style", "ties", "--count", "500",
                "--seed", "7", "--layout", "csv", "--out", file)  # fmt: skip
    assert said.split(": ")[-1] == "500 vectors of fma of bposit16\n"
    assert good("vectors", "verify", file) == "all 500 vectors of fma of bposit16 are right\n"
    found = json.loads(good("vectors", "verify", "--op", "fma", "--json", file))
    assert (found["count"], found["wrong"]) == (500, 0)


def test_a_wrong_answer_is_exit_code_1(tmp_path: Path) -> None:
    file = tmp_path / "add.hex"
    good("vectors", "gen", "--op", "add", "--out", str(file))
    file.write_text(file.read_text().replace("\n4000_", "\n4001_", 1))
    lines = file.read_text().splitlines()
    lines[9] = lines[9][:-1] + ("0" if lines[9][-1] != "0" else "1")
    file.write_text("\n".join(lines))
    found = run("vectors", "verify", "--show", "1", str(file))
    assert found.exit_code == 1
    assert "of 1000 vectors of add of bposit16 are wrong" in found.stdout
    assert "first wrong step: " in found.stdout
    assert found.stderr.startswith("bposit: warning: ")
    assert json.loads(run("vectors", "verify", "--json", str(file)).stdout)["wrong"] >= 1


def test_to_a_pipe_and_without_a_header(tmp_path: Path) -> None:
    text = good("vectors", "gen", "--op", "decode", "--form", "twos", "--format", "posit16",
                "--count", "20", "--out", "-")  # fmt: skip
    rows = [line for line in text.splitlines() if not line.startswith("//")]
    assert len(rows) == 20
    (tmp_path / "dut.txt").write_text("\n".join(rows))
    file = str(tmp_path / "dut.txt")
    asked = ["--op", "decode", "--format", "posit16"]
    assert "all 20" in good("vectors", "verify", *asked, "--form", "twos", file)
    assert run("vectors", "verify", *asked, file).exit_code == 1
    assert "no header" in bad("vectors", "verify", file)


def test_a_bench_s_answers_beside_what_it_was_given(tmp_path: Path) -> None:
    golden, answers = tmp_path / "mac.csv", tmp_path / "answers.csv"
    good("vectors", "gen", "--op", "mac", "--accumulator", "Aligned(10)", "--to", "bposit32",
         "--count", "50", "--layout", "csv", "--out", str(golden))  # fmt: skip
    rows = golden.read_text().splitlines()[2:-1]
    answers.write_text("\n".join(rows))
    verify = ["vectors", "verify", str(answers), "--like", str(golden)]
    assert "all 50 vectors" in good(*verify)
    answers.write_text("\n".join(rows[:-1]))
    assert "there should be 50 vectors, but it has 49" in bad(*verify)
    answers.write_text("\n".join([rows[0][:-1] + "z", *rows[1:-1]]))
    found = run(*verify)
    assert found.exit_code == 1
    assert "there should be 50" in found.stderr
    assert "No such file" in bad(*verify[:-1], str(tmp_path / "no"))
    assert "its header says op mac, not add" in bad("vectors", "verify", str(golden), "--op", "add")
    answers.write_text("nothing of the kind")
    assert "has no header" in bad(*verify[:-1], str(answers))


def test_options_reach_the_operation(tmp_path: Path) -> None:
    text = good("vectors", "gen", "--op", "dot", "--terms", "2", "--count", "1", "--layout", "csv",
                "--out", "-")  # fmt: skip
    assert text.splitlines()[1] == "a0,a1,b0,b1,flags,result"
    text = good("vectors", "gen", "--op", "convert", "--format", "posit32", "--to", "bposit16",
                "--count", "1", "--out", "-")  # fmt: skip
    assert '"to": "16,6,5"' in text
    assert "quire" in good("vectors", "list")


def test_what_is_no_file_stays_what_it_is(tmp_path: Path) -> None:
    """A link points where it did; a pipe is written to, not replaced."""
    gen = ["vectors", "gen", "--op", "add", "--count", "3", "--out"]
    link, target, pipe = (tmp_path / name for name in ("link", "target", "pipe"))
    target.write_text("old")
    link.symlink_to(target)
    good(*gen, str(link))
    assert link.is_symlink()
    assert "all 3" in good("vectors", "verify", str(target))
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # the pipe holds so few rows
    good(*gen, str(pipe))
    assert pipe.is_fifo()
    assert os.read(reader, 1 << 16) == target.read_bytes()
    os.close(reader)
    assert len([*tmp_path.iterdir()]) == 3


@pytest.mark.parametrize(("args", "said"), [
    (["gen", "--out", "x"], "--op is needed: one of decode"),
    (["gen", "--op", "cube", "--out", "x"], "unknown operation 'cube'"),
    (["gen", "--op", "sqrt", "--style", "ties", "--out", "x"], "sqrt has no ties"),
    (["gen", "--op", "add", "--style", "exhaustive", "--out", "x"], "2^32"),
    (["gen", "--op", "add", "--format", "16,6", "--out", "x"], "16,6"),
    (["gen", "--op", "add", "--out", "missing/x"], "No such file"),
    (["gen", "--op", "add", "--layout", "vhdl", "--out", "x"], "layout 'vhdl'"),
    (["gen", "--op", "div", "--format", "bposit8", "--style", "ties", "--out", "x"], "none found"),
    (["gen", "--op", "mac", "--accumulator", "Quire('paper800')", "--format", "bposit8", "--out",
      "x"], "paper800 is the layout of <n,6,5>"), (["verify", "--show", "-1", "x"], "--show"),
    (["gen", "--op", "add", "--form", "twos", "--out", "x"], "--form belongs to decode and encode"),
    (["gen", "--op", "add", "--terms", "3", "--out", "x"], "--terms belongs to dot and mac"),
    (["gen", "--op", "mac", "--accumulator", "Window(0.5, 7.5)", "--out", "x"], "possible are Qui"),
    (["gen", "--op", "mac", "--accumulator", f"Window(-{10**20}, {1 - 10**20})", "--out", "x"],
     "-65536 to 65536"), (["gen", "--op", "add"], "--out"), (["verify", "missing"], "No such file"),
    (["verify", "."], "directory"), (["frob"], "frob"),
])  # fmt: skip
def test_bad_input_is_exit_code_2(
    args: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in bad("vectors", *args)
    assert not [*tmp_path.iterdir()]  # nothing half written
