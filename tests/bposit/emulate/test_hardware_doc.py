"""Every command in docs/hardware.md, run section by section: among them a user's whole path.

A designer's decoder with a defect is simulated, found wrong with the reason, mended, and right. The
Python of the page is run with that of all others (tests/test_docs.py).
"""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bposit.emulate import cost

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "hardware.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
END = "-- end of command --"
START = f"""
bposit() {{ "{sys.executable}" -m bposit "$@"; }}
python() {{ "{sys.executable}" "$@"; }}
exec 2>&1
"""


@dataclass
class Command:
    """What is typed, with its further lines, and what is printed under it."""

    text: str
    output: str = ""


def commands(section: str) -> list[Command]:
    found: list[Command] = []
    for block in BLOCK.findall(section):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Command(line[2:]))
            elif line.startswith("> "):
                found[-1].text += f"\n{line[2:]}"
            else:
                found[-1].output += f"{line}\n"
    return found


SECTIONS = {
    part.splitlines()[0]: commands(part) for part in PAGE.split("\n## ")[1:] if BLOCK.search(part)
}


def outputs(typed: list[Command], folder: Path) -> list[str]:
    """What one shell prints for each command; an exit code is the next one's ``$?``."""
    (folder / "examples").symlink_to(ROOT / "examples")
    script = START + "".join(
        f"{c.text}\nrc=$?\necho\necho '{END}'\n(exit $rc)\n" for c in typed
    )  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, text=True,
                          capture_output=True, check=False, timeout=300)  # fmt: skip
    return done.stdout.split(f"\n{END}\n")[:-1]


def differences(typed: list[Command], printed: list[str]) -> list[str]:
    checker = doctest.OutputChecker()
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert len(printed) == len(typed)
    return [
        f"$ {c.text}\n{got}\nis not\n{c.output}" for c, got in zip(typed, printed, strict=True)
        if not checker.check_output(c.output, got if got.strip() else "", flags)
    ]  # fmt: skip


@pytest.mark.parametrize("name", SECTIONS)
def test_sections(name: str, tmp_path: Path) -> None:
    typed = SECTIONS[name]
    if any("iverilog" in c.text for c in typed) and shutil.which("iverilog") is None:
        pytest.skip("NOT RUN: there is no Icarus Verilog (iverilog)")
    wrong = differences(typed, outputs(typed, tmp_path))
    assert not wrong, "\n\n".join(wrong)


def test_the_path_is_among_them() -> None:
    path = [c.text for c in SECTIONS["Your decoder, judged"]]
    verify = [i for i, text in enumerate(path) if "vectors verify" in text]
    (mend,) = (i for i, text in enumerate(path) if text.startswith("sed "))
    assert verify[0] < mend < verify[1]
    assert len([text for text in path if text.startswith("iverilog")]) == 2


def test_a_wrong_output_is_seen(tmp_path: Path) -> None:
    typed = commands("```console\n$ echo 1\n1\n$ false\n$ echo $?\n0\n```\n")
    assert [c.output for c in typed] == ["1\n", "", "0\n"]
    (wrong,) = differences(typed, outputs(typed, tmp_path))
    assert "$ echo $?\n1\n" in wrong


ROW = re.compile(r"^\| ([a-z ]+) \| (posit|float) \| (.*?) \| (.*?) \| (.*?) \|", re.M)


@pytest.mark.parametrize("unit", ["decoder", "decoder of magnitudes"])
def test_the_costs_are_what_is_measured(unit: str) -> None:
    """With the version that the page names, which only some machines have."""
    if shutil.which("yosys") is None:
        pytest.skip("NOT RUN: there is no Yosys")
    yosys = cost.Yosys.find()
    if f"({yosys.version}," not in PAGE:
        pytest.skip(f"NOT RUN: the page was measured with another version than {yosys.version}")
    rows = {(name, other): cells for name, other, *cells in ROW.findall(PAGE)}
    assert len(rows) == 6
    for i, n in enumerate((16, 32)):
        found = cost.compare(f"bposit{n}", yosys, unit)
        for m in found.others:
            other = "float" if m.name.startswith("IEEE") else "posit"
            if m.name.startswith("bposit") or (unit, other) not in rows:
                continue
            ratios = [found.ratios(m)[x] or 0 for x in ("area", "depth")]
            said = ", ".join(f"{100 * (x - 1):+.0f} %".replace("-", "−") for x in ratios)
            assert rows[unit, other][i].split(" (")[0] == said, (unit, m.name)
