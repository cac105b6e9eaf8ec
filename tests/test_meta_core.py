"""The suite can fail: each mutant of the C core has one plausible mistake, and a test finds it.

The core is compiled with the mistake, and the tests named beside it run on that instead.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "ctypes_src"

pytestmark = pytest.mark.skipif(
    not shutil.which("cc"), reason="NO C COMPILER: no mutants were made"
)

# Runs tests on a core that is not the installed one.
LOADER = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("posit._core", sys.argv[1])
sys.modules["posit._core"] = core = importlib.util.module_from_spec(spec)
spec.loader.exec_module(core)
import pytest
sys.exit(pytest.main(sys.argv[2:]))
"""


@dataclass(frozen=True)
class Mutant:
    """``old`` in one file of the core becomes ``new``; ``tests`` of ``suite`` fail."""

    name: str
    file: str
    old: str
    new: str
    suite: str
    tests: str

    def __str__(self) -> str:
        return self.name


MUTANTS = [
    Mutant(
        "the bound of a dot product counts too few roundings", "certify.c",
        "const double h = 1 + DEPTH + 2 * LANES + 4;", "const double h = DEPTH / 4;",
        "quire/test_certified.py", "dots_near",
    ),
    Mutant(
        "blocks are summed in plain float64", "certify.c",
        "c->low[l] += (a - (t - part)) + (sum[l] - part);", "c->low[l] += 0 * part;",
        "quire/test_certified.py", "blocks",
    ),
    Mutant(
        "the rounding of a preload is forgotten", "certify.c",
        "fabs(t) * 0x1p-51", "fabs(t) * 0", "quire/test_certified.py", "preload",
    ),
    Mutant(
        "the bound by norms is a hundred times too small", "certify.c",
        "error.value[k] = p.row[i] * p.col[j + k];",
        "error.value[k] = p.row[i] * p.col[j + k] * 0.01;", "quire/test_certified.py", "near",
    ),
    Mutant(
        "the bound by magnitudes is a hundred times too small", "certify.c",
        "error.value[k] = p.row[i] * m[k];", "error.value[k] = p.row[i] * m[k] * 0.01;",
        "quire/test_certified.py", "near",
    ),
    Mutant(
        "the lowest digits of a sum do not count when it is rounded", "window.c",
        "for (int32_t k = top - 3; k >= 0; k--) sticky |= digit[k];", "",
        "quire/test_accumulators.py", "digits_are",
    ),
    Mutant(
        "a sum in two doubles is rounded to nearest before it is rounded", "sums.c",
        "odd[i] = bp_to_odd(sum);", "odd[i] = sum.high;", "posit/test_sums.py", "boundaries",
    ),
    Mutant(
        "bits that two doubles cannot hold are not missed", "sums.c",
        "lost |= bp_bits_f64(error.low) << 1;", "", "posit/test_sums.py", "hard_element",
    ),
    Mutant(
        "formats of 51 and 52 fraction bits are rounded twice", "sums.c",
        "lost |= bp_odd_rounds(to.spec) ? 0 : inexact;", "", "posit/test_sums.py", "boundaries",
    ),
    Mutant(
        "bits below 128 are not missed", "sums.c",
        "(second & ~near) | (below", "(below", "posit/test_sums.py", "any_formats",
    ),
    Mutant(
        "a sum of 128 bits forgets those below 64 when it is rounded", "sums.c",
        " | bp_some64(rest << up)", "", "posit/test_sums.py", "boundaries",
    ),
    Mutant(
        "the last double of a block is not rounded", "cast.c",
        "bp_nearest_block(s, n,", "bp_nearest_block(s, n - 1,",
        "posit/test_codec.py", "boundaries and values",
    ),
    Mutant(
        "a sum goes to where numbers belong without being rounded", "sums.c",
        "else bp_round_f64(r.spec, count, x, 8, to, r.stride);",
        "else bp_copy(to, r.stride, (const char *)x, 8, count, 8);",
        "posit/test_sums.py", "numbers",
    ),
    Mutant(
        "the product of a term and its factor is not rounded", "sums.c",
        "bp_round_f64(t.spec, count, x, 8, x, 8);", "", "posit/test_sums.py", "factors",
    ),
    Mutant(
        "a fused multiply-add rounds twice", "elementwise.c",
        "bp_to_odd(bp_two_sum(a * b, c))", "a * b + c",
        "posit/test_elementwise.py", "(hard_cases and fma and not format)",
    ),
    Mutant(
        "an addition of wide posits rounds twice", "elementwise.c",
        "bp_via_f64(s) ? a + b : bp_to_odd(bp_two_sum(a, b))", "a + b",
        "posit/test_elementwise.py", "(hard_cases and add and not format)",
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The core and its binding compiled without a mistake, one object for each file."""
    made = tmp_path_factory.mktemp("core")
    binding = made / "_core.c"
    script = "import sys; from ctypes_src.build import ffi; ffi.emit_c_code(sys.argv[1])"
    run([sys.executable, "-c", script, str(binding)])
    for source in (binding, *SOURCE.glob("*.c")):
        compile_to(made / f"{source.stem}.o", source)
    return made


def compile_to(to: Path, source: Path) -> None:
    include = [f"-I{SOURCE}", f"-I{sysconfig.get_path('include')}"]
    options = ["-std=gnu11", "-O1", "-fPIC", "-ffp-contract=off", "-DBP_ONE_TARGET"]
    run(["cc", *options, *include, "-c", str(source), "-o", str(to)])


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def judged(objects: Path, folder: Path, suite: str, tests: str) -> subprocess.CompletedProcess[str]:
    """The suite's tests on the core linked from ``objects``, those in ``folder`` instead."""
    core = folder / "_core.so"
    chosen = [folder / x.name if (folder / x.name).exists() else x for x in objects.glob("*.o")]
    run(["cc", "-shared", *map(str, chosen), "-lm", "-o", str(core)])
    options = ["-q", "-x", "-p", "no:cacheprovider", "-k", tests]
    return subprocess.run(
        [sys.executable, "-c", LOADER, str(core), f"tests/{suite}", *options],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip


def test_the_scaffold_is_right(objects: Path, tmp_path: Path) -> None:
    """Without a mistake the tests pass: it is not the way of compiling that is caught."""
    for suite in sorted({m.suite for m in MUTANTS}):
        names = " or ".join(sorted({m.tests for m in MUTANTS if m.suite == suite}))
        done = judged(objects, tmp_path, suite, names)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_mistake_is_found(mutant: Mutant, objects: Path, tmp_path: Path) -> None:
    text = (SOURCE / mutant.file).read_text()
    assert text.count(mutant.old) == 1, f"{mutant.file} has no such line any more: {mutant.old}"
    source = tmp_path / mutant.file
    source.write_text(text.replace(mutant.old, mutant.new))
    compile_to(source.with_suffix(".o"), source)
    done = judged(objects, tmp_path, mutant.suite, mutant.tests)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
