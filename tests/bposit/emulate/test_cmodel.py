"""`bposit cmodel`: the header compiled as C99, and every function beside the library's."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import posit
import quire
from bposit.emulate import cmodel, fields
from bposit.emulate.cmodel import joined
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, reference, standard

from ... import hard
from ...formats import corners, mixed
from ..running import bad, good

ROOT = Path(__file__).parents[3]
COMPILER = shutil.which("gcc") or shutil.which("clang")
FLAGS = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC"]
FORMATS = [bposit8, bposit16, bposit32, bposit64, standard(16), standard(32), PositSpec(13, 6, 5)]

pytestmark = pytest.mark.skipif(COMPILER is None, reason="NOT RUN: there is no C compiler")

LOOPS = """
#define MAP1(op) void run_##op(size_t n, const T *a, T *out) {{ \\
    for (size_t i = 0; i < n; i++) out[i] = P(op)(a[i]); }}
#define MAP2(op) void run_##op(size_t n, const T *a, const T *b, T *out) {{ \\
    for (size_t i = 0; i < n; i++) out[i] = P(op)(a[i], b[i]); }}
#define P(op) {name}_##op
typedef {name}_t T;
MAP1(sqrt) MAP1(neg) MAP1(abs) MAP2(add) MAP2(sub) MAP2(mul) MAP2(div) MAP2(compare)
void run_fma(size_t n, const T *a, const T *b, const T *c, T *out) {{
    for (size_t i = 0; i < n; i++) out[i] = P(fma)(a[i], b[i], c[i]);
}}
void run_from_double(size_t n, const double *x, T *out) {{
    for (size_t i = 0; i < n; i++) out[i] = P(from_double)(x[i]);
}}
void run_from_float(size_t n, const float *x, T *out) {{
    for (size_t i = 0; i < n; i++) out[i] = P(from_float)(x[i]);
}}
void run_to_double(size_t n, const T *a, double *out) {{
    for (size_t i = 0; i < n; i++) out[i] = P(to_double)(a[i]);
}}
void run_to_float(size_t n, const T *a, float *out) {{
    for (size_t i = 0; i < n; i++) out[i] = P(to_float)(a[i]);
}}
void run_fields(size_t n, const T *a, int32_t *scale, uint64_t *fraction, int8_t *flags) {{
    for (size_t i = 0; i < n; i++) {{
        {name}_fields f = P(decode)(a[i]);
        scale[i] = f.scale, fraction[i] = f.fraction;
        flags[i] = (int8_t)(f.sign | f.zero << 1 | f.nar << 2);
    }}
}}
void run_dot(size_t n, const T *a, const T *b, T *out) {{ /* out[i]: of the first i + 1 */
    {name}_quire q;
    P(quire_clear)(&q);
    for (size_t i = 0; i < n; i++) {{
        if (i % 3 == 2) P(quire_fms)(&q, a[i], b[i]);
        else P(quire_fma)(&q, a[i], b[i]);
        if (i % 7 == 6) P(quire_add)(&q, a[i]);
        out[i] = P(quire_round)(&q);
    }}
}}
const int64_t constants[4] = {{{upper}_NAR, {upper}_ONE, {upper}_MINPOS, {upper}_MAXPOS}};
"""


def compiled(source: Path, *more: str) -> ctypes.CDLL:
    library = source.with_suffix(".so")
    assert COMPILER is not None
    done = subprocess.run(
        [COMPILER, *FLAGS, *more, "-o", library, source, "-lm"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[:2000]
    return ctypes.CDLL(str(library))


@pytest.fixture(scope="module", params=FORMATS, ids=str)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    spec = request.param
    folder = tmp_path_factory.mktemp(spec.name)
    (folder / "model.h").write_text(cmodel.header(spec))
    source = folder / "loops.c"
    text = LOOPS.format(name=spec.name, upper=spec.name.upper())
    source.write_text('#include "model.h"\n' + text)
    return spec, compiled(source)


def run(model: Any, name: str, out: np.dtype[Any], *operands: Any) -> Any:
    _, library = model
    arrays = [np.ascontiguousarray(x) for x in operands]
    result = np.zeros(len(arrays[0]), out)
    pointers = [ctypes.c_void_p(x.ctypes.data) for x in (*arrays, result)]
    getattr(library, f"run_{name}")(ctypes.c_size_t(len(result)), *pointers)
    return result


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div", "sqrt", "fma"])
def test_arithmetic(model: Any, op: str) -> None:
    spec = model[0]
    operands = hard.operands(op, spec, count=60)
    got = run(model, op, spec.storage, *operands)
    np.testing.assert_array_equal(got, getattr(posit, op)(*operands, spec))


def test_order_and_signs(model: Any) -> None:
    spec = model[0]
    edge = np.array(corners(spec), spec.storage)
    for op in ("neg", "abs"):
        got = run(model, op, spec.storage, edge)
        np.testing.assert_array_equal(got, getattr(posit, op)(edge, spec))
    rng = np.random.default_rng(1)
    a, b = np.concatenate([edge, rng.choice(edge, 1000)]), rng.choice(edge, len(edge) + 1000)
    b[: len(edge)] = edge
    got = run(model, "compare", spec.storage, a, b)
    assert got.tolist() == [reference.compare(int(x), int(y), spec)
                            for x, y in zip(a, b, strict=True)]  # fmt: skip


def test_conversions(model: Any) -> None:
    spec = model[0]
    bits = np.array([*corners(spec), *mixed(spec, 500, np.random.default_rng(0))], spec.storage)
    with np.errstate(over="ignore", under="ignore"):
        for kind, to in (("double", np.float64), ("float", np.float32)):
            want = posit.decode(bits, spec, to)
            np.testing.assert_array_equal(run(model, f"to_{kind}", np.dtype(to), bits), want)
            x = np.concatenate([want * to(1.001), [0.0, -0.0, np.inf, np.nan, 1e-45]]).astype(to)
            got = run(model, f"from_{kind}", spec.storage, x)
            np.testing.assert_array_equal(got, posit.encode(x, spec))


def test_fields(model: Any) -> None:
    spec, library = model
    bits = np.array([*corners(spec), *mixed(spec, 500, np.random.default_rng(0))], spec.storage)
    found = fields(bits, spec)
    scale, fraction = np.zeros(len(bits), np.int32), np.zeros(len(bits), np.uint64)
    flags = np.zeros(len(bits), np.int8)
    pointers = [ctypes.c_void_p(x.ctypes.data) for x in (bits, scale, fraction, flags)]
    library.run_fields(ctypes.c_size_t(len(bits)), *pointers)
    np.testing.assert_array_equal(scale, found.scale)
    np.testing.assert_array_equal(fraction, found.fraction)
    np.testing.assert_array_equal(flags, found.sign | found.zero << 1 | found.nar << 2)


def test_the_quire(model: Any) -> None:
    spec = model[0]
    rng = np.random.default_rng(2)
    a, b = mixed(spec, 100, rng), mixed(spec, 100, rng)
    a[a == spec.nar], b[b == spec.nar] = 1, -3
    a[-1] = spec.nar
    got = run(model, "dot", spec.storage, a, b)
    q = quire.Quire(spec)
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        (q.fms if i % 3 == 2 else q.fma)(x, y)
        if i % 7 == 6:
            q.add(x)
        assert got[i] == q.round(), i
    assert got[-1] == spec.nar


def test_constants(model: Any) -> None:
    spec, library = model
    found = list((ctypes.c_int64 * 4).in_dll(library, "constants"))
    assert found == [spec.nar, spec.one, 1, spec.maxpos_pattern]


def test_a_changed_header_is_seen(tmp_path: Path) -> None:
    """The comparison can fail: ties always down."""
    text = cmodel.header(bposit16)
    (tmp_path / "model.h").write_text(text.replace("(x.body & 1)", "(x.body & 0)"))
    assert (tmp_path / "model.h").read_text() != text
    source = tmp_path / "loops.c"
    source.write_text('#include "model.h"\n' + LOOPS.format(name="bposit16", upper="BPOSIT16"))
    operands = hard.operands("mul", bposit16, count=60)
    got = run((bposit16, compiled(source)), "mul", bposit16.storage, *operands)
    assert (got != posit.mul(*operands, bposit16)).any()


def test_two_formats_in_one_program(tmp_path: Path) -> None:
    for spec in (bposit16, standard(32)):
        (tmp_path / f"{spec.name}.h").write_text(cmodel.header(spec))
    source = tmp_path / "both.c"
    source.write_text(
        '#include "bposit16.h"\n#include "posit32.h"\n#include "bposit16.h"\n'
        "int widen(int a) { return posit32_from_double(bposit16_to_double((bposit16_t)a)); }\n"
    )
    library = compiled(source)
    third = posit.encode(Fraction(1, 3), bposit16)
    assert library.widen(int(third)) == posit.convert(third, bposit16, standard(32))


@pytest.mark.parametrize("spec", [bposit8, bposit16, bposit64], ids=str)
def test_the_dpi_functions(spec: PositSpec, tmp_path: Path) -> None:
    (tmp_path / "model.h").write_text(cmodel.header(spec))
    source = tmp_path / "dpi.c"
    source.write_text(cmodel.dpi(spec, "model.h"))
    library = compiled(source, "-Wno-missing-prototypes")
    kind = {8: ctypes.c_int8, 16: ctypes.c_int16, 64: ctypes.c_int64}[spec.n]

    def call(name: str, *operands: Any, result: Any = kind) -> Any:
        function: Callable[..., Any] = getattr(library, f"{spec.name}_dpi_{name}")
        function.restype = result  # type: ignore[attr-defined]
        return function(*operands)

    two, three = (int(posit.encode(x, spec)) for x in (2.0, 3.0))
    assert call("mul", kind(two), kind(three)) == posit.encode(6.0, spec)
    assert call("fma", kind(two), kind(three), kind(two)) == posit.encode(8.0, spec)
    assert call("from_real", ctypes.c_double(-2.0)) == posit.encode(-2.0, spec)
    assert call("to_real", kind(three), result=ctypes.c_double) == 3.0
    q = ctypes.c_void_p(call("quire_new", result=ctypes.c_void_p))
    for _ in range(3):
        call("quire_fma", q, kind(two), kind(two), result=None)
    assert call("quire_round", q) == posit.encode(12.0, spec)
    call("quire_clear", q, result=None)
    assert call("quire_round", q) == 0
    call("quire_free", q, result=None)


def test_the_package_imports_what_there_is() -> None:
    for spec in (bposit8, bposit32):
        package, source = cmodel.package(spec), cmodel.dpi(spec, "model.h")
        kind = {8: "byte", 32: "int"}[spec.n]
        imported = [line for line in package.splitlines() if "import" in line]
        assert len(imported) == 15
        for line in imported:
            name = line.split("(")[0].split()[-1]
            assert f"{name}(" in source
        assert (
            f'    import "DPI-C" function {kind} {spec.name}_dpi_add(input {kind} a, input'
            in package
        )
        assert package.rstrip().endswith("endpackage")


@pytest.mark.skipif(shutil.which("verilator") is None, reason="NOT RUN: there is no Verilator")
def test_verilator_accepts_the_package(tmp_path: Path) -> None:
    path, top = tmp_path / "bposit16_pkg.sv", tmp_path / "top.sv"
    path.write_text(cmodel.package(bposit16))
    call = "bposit16_pkg::bposit16_dpi_fma(16'sd1, 16'sd2, 16'sd3)"
    for kind, accepted in (("shortint", True), ("byte", False)):
        top.write_text(f"module top; {kind} x; initial begin x = {call};"
                       ' $display("%0d", x); end endmodule\n')  # fmt: skip
        done = subprocess.run(["verilator", "--lint-only", "-Wall", path, top], text=True,
                              capture_output=True, check=False, timeout=60)  # fmt: skip
        assert (done.returncode == 0) == accepted, done.stderr


def test_the_joined_core_is_the_core() -> None:
    """`python -m bposit.emulate.cmodel.joined` makes it anew."""
    folder = Path(joined.__file__).parent
    assert joined.join(ROOT / "ctypes_src") == (folder / "core.h").read_text(encoding="utf-8")


def test_the_command(tmp_path: Path) -> None:
    out = tmp_path / "posit16.h"
    said = good("cmodel", "--format", "posit16", "--dpi", "--out", str(out), columns=200)
    assert [Path(line.split(": ")[0]).name for line in said.splitlines()] == [
        "posit16.h", "posit16_dpi.c", "posit16_pkg.sv"
    ]  # fmt: skip
    assert out.read_text() == cmodel.header("posit16")
    assert good("cmodel", "--out", "-") == cmodel.header(bposit16)
    assert "needs a name" in bad("cmodel", "--dpi", "--out", "-")
    assert "No such file" in bad("cmodel", "--out", str(tmp_path / "no" / "x.h"))
    assert "16,6" in bad("cmodel", "--format", "16,6", "--out", str(out))
