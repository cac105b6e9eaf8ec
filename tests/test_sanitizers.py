"""The C core under AddressSanitizer and UBSan, and without warnings, in a small C driver.

The driver (core_driver.c, core_sums.c) runs every exported function in every kind of memory on the
cases written here and in core_sums.py. What it expects is what the core without sanitizers says,
which the rest of the suite holds against the definition.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import posit
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, standard
from quire import Layout, Quire

from . import hard
from .backends import ARITY
from .core_sums import addends, forms, intervals, products, slices, windows
from .formats import corners, mixed
from .quire.cases import KINDS

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "ctypes_src"
DRIVERS = [Path(__file__).with_name(name) for name in ("core_driver.c", "core_sums.c")]

SPECS = [
    bposit8, bposit16, bposit32, bposit64, standard(16), standard(32), PositSpec(3, 2, 0),
    PositSpec(3, 2, 8), PositSpec(5, 3, 1), PositSpec(13, 6, 5), PositSpec(17, 16, 8),
    PositSpec(24, 3, 0), PositSpec(33, 32, 0), PositSpec(34, 6, 5), PositSpec(64, 63, 2),
    PositSpec(64, 16, 8), PositSpec(64, 63, 6), PositSpec(64, 2, 0),
]  # fmt: skip
APPLY, F32, F64, I64, U64, STOCHASTIC, TO_F32, TO_F64, CONVERT, PARTS, QUIRE, *_ = range(19)
SUMS = {11: intervals, 12: windows, 13: slices, 14: products, 15: addends}
FORM, ROUND, END = 16, 17, 18
OPS = ["add", "sub", "mul", "div", "sqrt", "neg", "abs", "fma"]  # as bp_op numbers them

COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Werror"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def sources() -> list[str]:
    """The C files of the core, as the build names them."""
    for node in ast.parse((SOURCE / "build.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SOURCES":
            return [str(SOURCE / name) for name in ast.literal_eval(node.value)]
    raise AssertionError("build.py names no SOURCES")


class Cases:
    """The file that the driver reads: 64-bit integers."""

    def __init__(self) -> None:
        self._words = array("q")

    def write(self, *parts: int | PositSpec | npt.NDArray[Any] | Iterable[int]) -> None:
        for part in parts:
            if isinstance(part, PositSpec):
                self._words.extend((part.n, part.rs, part.es))
            elif isinstance(part, np.ndarray):
                self._words.frombytes(np.ascontiguousarray(part).astype(np.int64).tobytes())
            elif isinstance(part, Iterable):
                self._words.extend(part)
            else:
                self._words.append(part)

    def save(self, path: Path) -> None:
        self.write(END)
        path.write_bytes(self._words.tobytes())


def signed(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Floats and unsigned integers as the integers that their bits are."""
    return x.view(f"i{x.itemsize}")


def arithmetic(cases: Cases, spec: PositSpec) -> None:
    rng = np.random.default_rng([spec.n, spec.rs, spec.es])
    one = np.full(1, spec.one, spec.storage)
    for op, arity in ARITY.items():
        columns = [mixed(spec, (arity, size), rng) for size in (0, 1, 2, 513)]
        columns.append(np.repeat(mixed(spec, (arity, 1), rng), 700, axis=1))
        if op in hard.HARD:
            columns.append(np.array(hard.operands(op, spec, 8)))
        edge = np.array(corners(spec, 1), spec.storage)
        columns.append(np.array([edge, edge[::-1], np.roll(edge, 3)][:arity]))
        columns.append(np.array([edge, np.broadcast_to(one, edge.shape), edge][:arity]))
        for operands in columns:
            want = getattr(posit, op)(*operands, spec)
            cases.write(APPLY, spec, OPS.index(op), arity, want.size, *operands, want)


def codecs(cases: Cases, spec: PositSpec) -> None:
    rng = np.random.default_rng([9, spec.n, spec.rs, spec.es])
    for size in (0, 1, 515):
        words = rng.integers(0, 1 << 64, size, dtype=np.uint64)
        words[: size // 4] >>= rng.integers(0, 64, size // 4, dtype=np.uint64)
        values = np.concatenate([posit.decode(mixed(spec, size, rng), spec),
                                 rng.standard_normal(size), [0.0, -0.0, np.inf, np.nan][:size],
                                 [5e-324, -1e-310, 1.7e308, -np.inf][:size]])  # fmt: skip
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            single = np.concatenate(
                [values.astype(np.float32), (words >> 32).astype(np.uint32).view(np.float32)]
            )
        double = np.concatenate([values, words.view(np.float64)])
        whole = words.view(np.int64)
        for kind, x in ((F32, single), (F64, double), (I64, whole), (U64, words)):
            cases.write(kind, spec, x.size, signed(x), posit.encode(x, spec))
        if spec.fits_float64:
            cases.write(
                ROUND, spec, double.size, signed(double), signed(posit.round_to(double, spec))
            )
        random = posit.encode(double, spec, rounding="stochastic", key=5, start=(1 << 63) - 9)
        cases.write(STOCHASTIC, spec, 5, (1 << 63) - 9, double.size, signed(double), random)
        bits = np.concatenate([mixed(spec, size, rng), np.array(corners(spec, 1), spec.storage)])
        bits = bits[: max(size, 3)]
        with np.errstate(over="ignore"):
            floats = posit.decode(bits, spec, np.float32)
        cases.write(TO_F32, spec, bits.size, bits, signed(floats))
        cases.write(TO_F64, spec, 0, bits.size, bits, signed(posit.decode(bits, spec)))
        if spec.fits_float64:
            cases.write(TO_F64, spec, 1, bits.size, bits, signed(posit.decode(bits, spec)))
        for to in SPECS:
            cases.write(CONVERT, spec, to, bits.size, bits, posit.convert(bits, spec, to))
        finite = np.where(bits == spec.nar, 0, bits)  # parts hold no sign, and no NaR
        cases.write(PARTS, spec, bits.size, bits, np.abs(finite))


def reductions(cases: Cases, spec: PositSpec) -> None:
    rng = np.random.default_rng([5, spec.n, spec.rs, spec.es])
    layouts = [Layout.exact(spec)]
    if (spec.rs, spec.es) == (6, 5):
        layouts.append(Layout.paper800(spec))
    for layout in layouts:
        for kind in KINDS.values():
            for size in (0, 1, 40, 530):
                a, b = kind(spec, size, rng)
                write_sum(cases, spec, layout, a, b)
        a, b = mixed(spec, (2, 300), rng)
        a[7] = spec.nar
        write_sum(cases, spec, layout, a, b)
        write_sum(cases, spec, layout, np.full_like(a, spec.maxpos_pattern), b)


def write_sum(cases: Cases, spec: PositSpec, layout: Layout, a: Any, b: Any) -> None:
    products, terms = Quire(spec, layout), Quire(spec, layout)
    for x, y in zip(a, b, strict=True):
        products.fma(x, y)
        terms.add(x)
    cases.write(
        QUIRE, spec, layout.lsb, layout.width, layout.limbs, int(layout.is_exact), a.size, a, b
    )
    cases.write(limbs(products), flags(products), int(products.round()), limbs(terms), flags(terms))


def limbs(q: Quire) -> npt.NDArray[np.int64]:
    """The limbs as to_bytes writes them, behind the header and before the checksum."""
    return np.frombuffer(q.to_bytes()[48:-4], "<i8")


def flags(q: Quire) -> int:
    return int(q.is_nar) | 2 * int(q.inexact)


def test_every_exported_function_is_driven() -> None:
    header = re.sub(r"/\*.*?\*/", "", (SOURCE / "bposit.h").read_text(), flags=re.S)
    exported = set(re.findall(r"\b(bp_\w+)\(", header))
    assert len(exported) > 20
    driven = {name for path in DRIVERS for name in re.findall(r"\b(bp_\w+)\(", path.read_text())}
    assert exported == driven


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("core") / "cases"
    made = Cases()
    for spec in SPECS:
        arithmetic(made, spec)
        codecs(made, spec)
        reductions(made, spec)
        for kind, records in SUMS.items():
            for record in records(spec):
                made.write(kind, *record)
    for record in forms():
        made.write(FORM, *record)
    made.save(path)
    return path


@pytest.mark.skipif(not COMPILERS, reason="NO C COMPILER: the core did not run under sanitizers")
@pytest.mark.parametrize("compiler", COMPILERS)
def test_core_under_sanitizers(compiler: str, cases: Path, tmp_path: Path) -> None:
    options = [*WARNINGS, *SANITIZE, "-O1", "-g1", "-ffp-contract=off", "-DBP_ONE_TARGET"]
    compiling = [
        subprocess.Popen(
            [compiler, *options, f"-I{SOURCE}", "-c", source, "-o", str(tmp_path / f"{i}.o")],
            stderr=subprocess.PIPE,
            text=True,
        )
        for i, source in enumerate([*map(str, DRIVERS), *sources()])
    ]
    messages = [process.communicate()[1] for process in compiling]
    assert not any(process.returncode for process in compiling), "".join(messages)
    objects = [str(tmp_path / f"{i}.o") for i in range(len(compiling))]
    run([compiler, *SANITIZE, *objects, "-lm", "-o", str(tmp_path / "driver")])
    said = run([str(tmp_path / "driver"), str(cases)])
    assert re.fullmatch(r"\d{4,} records, \d{6,} checks\n", said)


@pytest.mark.skipif(not COMPILERS, reason="NO C COMPILER: warnings of the core were not looked for")
@pytest.mark.parametrize("compiler", COMPILERS)
def test_core_has_no_warnings_as_it_is_built(compiler: str) -> None:
    """With every instruction set, which the sanitizers do without."""
    run([compiler, *WARNINGS, "-fsyntax-only", f"-I{SOURCE}", *sources()])


def run(command: list[str]) -> str:
    """What it prints; its messages are the failure's."""
    # Leaks are not looked for: the core allocates nothing, and the search fails in containers.
    settings = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **settings}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
