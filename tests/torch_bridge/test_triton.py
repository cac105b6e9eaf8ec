"""Triton's kernels: under its interpreter anywhere, compiled where there is a GPU.

triton_cases.py has the tests. They run in processes of their own, because an environment variable
chooses the interpreter when Triton is imported.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
CASES = "tests/torch_bridge/triton_cases.py"

pytestmark = pytest.mark.skipif(
    find_spec("triton") is None, reason="needs Triton: pip install 'bposit[triton]'"
)


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}, check=False,
    )  # fmt: skip


def cases(**environment: str) -> None:
    done = program("pytest", "-p", "no:cacheprovider", CASES, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"^(\d+) passed", done.stdout, re.M)
    assert found, done.stdout
    assert int(found[1]) > 50
    assert "skipped" not in done.stdout


def test_interpreted() -> None:
    """Bit for bit against posit, quire and the definition; mutants are caught."""
    cases(TRITON_INTERPRET="1", CUDA_VISIBLE_DEVICES="")


@pytest.mark.gpu
def test_compiled() -> None:
    """The same, at real sizes."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    cases(TRITON_INTERPRET="0")


def test_compiles(tmp_path: Path) -> None:
    """Every kernel, for the GPUs sm_80 and sm_90, which need not be there."""
    done = program("tests.torch_bridge.triton_compile", TRITON_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "28 kernels"


def test_the_benchmark_needs_a_gpu() -> None:
    done = program("bench.gpu", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert done.stderr.strip() == "bench.gpu needs a CUDA device; torch finds none"
