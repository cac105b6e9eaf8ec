"""The example of examples/own_decoder under cocotb: fails with the reason, passes once mended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .simulation import needs_icarus

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "examples" / "own_decoder"


@needs_icarus
def test_the_scoreboard_judges_a_simulated_decoder(tmp_path: Path) -> None:
    pytest.importorskip("cocotb", "2", reason="NOT RUN: cocotb >= 2 is not installed")
    wrong = FOLDER / "decoder.v"
    mended = tmp_path / "mended.v"
    mended.write_text(wrong.read_text().replace("{body[7:0], 5'b0}", "{body[8:0], 4'b0}"))
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}

    def run(source: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, FOLDER / "cocotb_decoder.py", source]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True,
                              text=True, check=False, timeout=120)  # fmt: skip

    done = run(wrong)
    assert done.returncode == 1, done.stderr
    assert "of 1000 right" in done.stdout + done.stderr
    assert "first wrong step: exponent: 18 instead of 9" in done.stdout + done.stderr
    done = run(mended)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL=0" in done.stdout + done.stderr
