"""Icarus Verilog, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

__all__ = ["needs_icarus", "simulated"]

needs_icarus = pytest.mark.skipif(
    shutil.which("iverilog") is None, reason="NOT RUN: there is no Icarus Verilog (iverilog)"
)


def simulated(folder: Path, texts: Mapping[str, str]) -> str:
    """What a simulation of these files prints; they are Verilog-2001."""
    for name, text in texts.items():
        (folder / name).write_text(text)
    steps = (["iverilog", "-g2001", "-Wall", "-o", "sim", *texts], ["vvp", "-n", "sim"])
    for step in steps:
        done = subprocess.run(step, cwd=folder, capture_output=True, text=True, check=False,
                              timeout=60)  # fmt: skip
        assert done.returncode == 0, done.stderr
    return done.stdout
