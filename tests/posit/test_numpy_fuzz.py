"""Random calls of NumPy's API crash nothing: as built, and under AddressSanitizer and UBSan.

Two seeds at a time: one fixed, one that the slice chooses. With --full, ten times as many calls.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ..conftest import Slice

ROOT = Path(__file__).parents[2]
NEEDED = ["setup.py", "pyproject.toml", "README.md", "LICENSE", "ctypes_src", "posit", "quire",
          "tests"]  # fmt: skip

SANITIZE = "-fsanitize=address,undefined"
CFLAGS = f"{SANITIZE} -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1 -g1"
LIBASAN = ""
if shutil.which("gcc"):
    LIBASAN = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=False
    ).stdout.strip()
needs_asan = pytest.mark.skipif(
    not Path(LIBASAN).is_absolute(), reason="NO GCC WITH LIBASAN: the dtype was not sanitized"
)

SABOTAGE = """
import faulthandler, runpy
import numpy as np
def rot90(*args, **options): {}
np.rot90 = rot90
runpy.run_module("tests.posit.numpy_fuzz", run_name="__main__")
"""


@dataclass(frozen=True)
class Tree:
    """A source tree with its extensions, and what Python needs in order to load them."""

    root: Path = ROOT
    settings: dict[str, str] = field(default_factory=dict)

    def fuzz(
        self, seeds: Sequence[int], calls: int, logs: Path, program: str | None = None
    ) -> Counter[str]:
        """The first calls of each seed, all seeds at once; how many of each name gave a result."""
        driver = ["-c", program] if program else ["-m", "tests.posit.numpy_fuzz"]
        running: dict[Path, subprocess.Popen[str]] = {}
        for seed in seeds:
            log = logs / f"{seed}.log"
            running[log] = subprocess.Popen(
                [sys.executable, *driver, str(seed), "0", str(calls), str(log)],
                cwd=self.root,
                env={**os.environ, **self.settings},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        said = {log: process.communicate() for log, process in running.items()}
        results: Counter[str] = Counter()
        for log, (out, messages) in said.items():
            bad = running[log].returncode or "Traceback" in messages
            assert not bad, f"died at {log.read_text().strip()}\n{messages[-20000:]}"
            results += Counter(json.loads(out.splitlines()[-1]))
        return results

    def build(self) -> None:
        """The extensions with sanitizers, in place."""
        done = subprocess.run(
            [sys.executable, "setup.py", "-q", "build_clib", "build_ext", "-j2", "--inplace"],
            cwd=self.root,
            env={**os.environ, "CC": "gcc", "BPOSIT_CFLAGS": f"{CFLAGS} -DBP_ONE_TARGET",
                 "BPOSIT_LDFLAGS": SANITIZE},
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def seeds(part: Slice) -> list[int]:
    return [0, 1 + part.index]


def not_vacuous(results: Counter[str], calls: int) -> None:
    """Half of the calls fit together, and they are of all kinds."""
    assert results.total() > 0.45 * calls
    assert len(results) > 300
    assert all(results[name] > 5 for name in ("setitem", "cast", "text", "pickle", "posit.sum"))


def test_nothing_crashes(part: Slice, tmp_path: Path) -> None:
    calls = 6000 if part.of > 1 else 60000
    not_vacuous(Tree().fuzz(seeds(part), calls, tmp_path), 2 * calls)


@pytest.mark.parametrize(
    ("deed", "sign"),
    [
        ("faulthandler._sigsegv()", "Segmentation fault"),
        ("raise SystemError('an error set, and a result')", "an error set, and a result"),
    ],
)
def test_a_crash_names_its_culprit(deed: str, sign: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=rf"died at 0 \d+: rot90 <(.|\n)*{sign}"):
        Tree().fuzz([0], 6000, tmp_path, SABOTAGE.format(deed))


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A copy of the sources, with sanitizers in both extensions."""
    root = tmp_path_factory.mktemp("sanitized")
    for name in NEEDED:
        if (ROOT / name).is_dir():
            skip = shutil.ignore_patterns("*.so", "__pycache__", "_core.c", "vectors")
            shutil.copytree(ROOT / name, root / name, ignore=skip)
        else:
            shutil.copy2(ROOT / name, root)
    settings = {
        "LD_PRELOAD": LIBASAN,
        "PYTHONMALLOC": "malloc",  # or small objects hide in larger blocks
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    tree = Tree(root, settings)
    tree.build()
    return tree


@needs_asan
def test_nothing_crashes_under_sanitizers(part: Slice, sanitized: Tree, tmp_path: Path) -> None:
    calls = 2500 if part.of > 1 else 25000
    not_vacuous(sanitized.fuzz(seeds(part), calls, tmp_path), 2 * calls)


MUTANTS = {  # file, what it says, what it then says
    r"AddressSanitizer: \S+-overflow": ("dtype.h", "memcpy(&d, p, 8)", "memcpy(&d, p + 8, 8)"),
    "shift exponent": ("ufuncs.c", "(int64_t)1 << (s.n - 2)", "(int64_t)1 << (s.n + 62)"),
}


@needs_asan
@pytest.mark.parametrize("sign", MUTANTS)
def test_sanitizers_see_mutants(sign: str, sanitized: Tree, tmp_path: Path) -> None:
    mutant = Tree(tmp_path / "mutant", sanitized.settings)
    shutil.copytree(sanitized.root, mutant.root)
    name, right, wrong = MUTANTS[sign]
    path = mutant.root / "posit" / "_dtype" / name
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong))
    mutant.build()
    with pytest.raises(AssertionError, match=rf"died at 0 \d+: (.|\n)*{sign}"):
        mutant.fuzz([0], 2500, tmp_path)
