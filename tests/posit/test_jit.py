"""posit.jit: the suites over one more backend, and what only jitted code has."""

from __future__ import annotations

import dataclasses
import os
import pickle
import re
import runpy
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import TypingError, njit, prange, vectorize
from numba.core.caching import NullCache

import posit
import posit.jit
import quire
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, reference, standard
from posit.jit import _limbs, _ops

from .. import checks, hard, oracle
from ..backends import ARITY, CORE, Backend
from ..conftest import Slice
from ..formats import EIGHT, SIXTEEN, TINY, WIDE, corners, every_spec, mixed
from .jitted import AT_RUN_TIME, JIT, mapped
from .test_elementwise import BINARY, UNARY, rows
from .test_vectors import FORMATS, OPERATIONS, bits, signed
from .test_vectors import rows as vectors

ROOT = Path(__file__).parents[2]
BULK = [
    bposit8, bposit16, bposit32, bposit64, standard(32), standard(64), PositSpec(3, 2, 0),
    PositSpec(17, 16, 8), PositSpec(33, 6, 5), PositSpec(34, 6, 5), PositSpec(63, 62, 5),
    PositSpec(64, 2, 0),
]  # fmt: skip
"""Specs that are compiled in as constants, at some cost; others are arguments of compiled code."""


# ---- the suites ---------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", TINY + EIGHT, ids=str)
@pytest.mark.parametrize("op", BINARY)
def test_every_pair(op: str, spec: PositSpec) -> None:
    p = oracle.all_patterns(spec)
    checks.table(JIT if spec in EIGHT else AT_RUN_TIME, op, spec, p[:, np.newaxis], p)


@pytest.mark.parametrize("spec", EIGHT + SIXTEEN, ids=str)
@pytest.mark.parametrize("op", UNARY)
def test_every_pattern(op: str, spec: PositSpec) -> None:
    """Against the core, which test_elementwise.py judges by the boundaries."""
    p = oracle.all_patterns(spec)
    checks.same(getattr(JIT, op)(p, spec), getattr(posit, op)(p, spec), spec, op, p)


@pytest.mark.parametrize("spec", EIGHT, ids=str)
def test_fma_of_every_pair(spec: PositSpec) -> None:
    p = oracle.all_patterns(spec)
    for c in np.array([0, 1, -spec.one, 77, spec.maxpos_pattern, spec.nar], spec.storage):
        checks.table(JIT, "fma", spec, p[:, np.newaxis], p, c)


@pytest.mark.parametrize("spec", SIXTEEN + WIDE, ids=str)
@pytest.mark.parametrize("op", [op for op in hard.HARD if op != "sub"])  # sub is add of -b
def test_hard_cases(op: str, spec: PositSpec) -> None:
    backend = JIT if spec in BULK else AT_RUN_TIME
    checks.scalars(backend, op, spec, *hard.operands(op, spec, 20, seed=2))


@pytest.mark.slow
@pytest.mark.parametrize("op", hard.HARD)
def test_hard_cases_of_every_format(op: str, part: Slice) -> None:
    for spec in part.take(every_spec()[:: 1 if part.of == 1 else 16]):
        checks.scalars(AT_RUN_TIME, op, spec, *hard.operands(op, spec, 12))


@pytest.mark.parametrize("op", hard.HARD)
@given(data=st.data())
def test_any_format(op: str, data: st.DataObject) -> None:
    spec, found = data.draw(rows(ARITY[op]))
    operands = [np.array(column, spec.storage) for column in zip(*found, strict=True)]
    checks.scalars(AT_RUN_TIME, op, spec, *operands)


@pytest.mark.parametrize("spec", BULK, ids=str)
def test_random_patterns_against_the_core(spec: PositSpec) -> None:
    rng = np.random.default_rng(spec.n)
    a, b, c = (mixed(spec, 100_000, rng) for _ in range(3))
    b[::5] = posit.neg(a[::5], spec) ^ rng.integers(0, 4, b[::5].size)  # sums that cancel
    for op, arity in ARITY.items():
        operands = (a, b, c)[:arity]
        want = getattr(posit, op)(*operands, spec)
        checks.same(getattr(JIT, op)(*operands, spec), want, spec, op, *operands)
    x = JIT.decode(a, spec)
    np.testing.assert_array_equal(x, posit.decode(a, spec))
    anything = rng.integers(-(1 << 63), 1 << 63, 100_000).view(np.float64)
    for y in (x, np.nextafter(x, rng.choice([-np.inf, np.inf], x.size)), anything):
        checks.same(JIT.encode(y, spec), posit.encode(y, spec), spec, "encode", y)


@pytest.mark.parametrize("name", FORMATS)
def test_vectors(name: str) -> None:
    for op in OPERATIONS:
        spec, lines = vectors(name, op)
        *operands, want = (bits(list(column), spec) for column in zip(*lines, strict=True))
        checks.same(getattr(JIT, op)(*operands, spec), want, spec, op, *operands)
    checks.decoding(JIT, spec, bits([p for p, _ in vectors(name, "decode")[1]], spec))
    lines = vectors(name, "encode")[1]
    kept = [(v, p) for v, p in lines if Fraction(checks.to_float(Fraction(v))) == Fraction(v)]
    x = np.array([float(Fraction(v)) for v, _ in kept])
    checks.same(JIT.encode(x, spec), bits([p for _, p in kept], spec), spec, "encode", x)
    exact = posit.jit.ops(spec).quire()
    for left, right, result in vectors(name, "dot")[1]:
        q = exact.zeros()
        for a, b in zip(bits(left.split(), spec), bits(right.split(), spec), strict=True):
            exact.qma(q, a, b)
        assert exact.qround(q) == signed(result, spec)


@pytest.mark.parametrize("spec", EIGHT + SIXTEEN, ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
def test_encode_at_the_boundaries(spec: PositSpec, dtype: type) -> None:
    checks.boundaries(JIT, spec, dtype)


@pytest.mark.parametrize("spec", SIXTEEN + WIDE, ids=str)
def test_decode_at_the_corners(spec: PositSpec) -> None:
    decode_only = dataclasses.replace(AT_RUN_TIME, encode=CORE.encode)
    checks.decoding(decode_only, spec, np.array(corners(spec), spec.storage))


@pytest.mark.parametrize("spec", [bposit8, bposit64, PositSpec(17, 16, 8)], ids=str)
def test_encode_integers(spec: PositSpec) -> None:
    rng = np.random.default_rng(3)
    edge = np.array([0, 1, -1, (1 << 63) - 1, -(1 << 63), (1 << 53) + 1], np.int64)
    some = np.concatenate(
        [edge, rng.integers(-(1 << 63), 1 << 63, 500) >> rng.integers(0, 63, 500)]
    )
    for x in (some, some.view(np.uint64), some.astype(np.int8)):
        checks.same(JIT.encode(x, spec), posit.encode(x, spec), spec, "encode", x)


@pytest.mark.parametrize("given_spec", [bposit8, bposit32, bposit64, standard(64)], ids=str)
@pytest.mark.parametrize("wanted", [bposit16, standard(32), bposit64], ids=str)
def test_convert(given_spec: PositSpec, wanted: PositSpec) -> None:
    p = np.array(corners(given_spec), given_spec.storage)
    want = posit.convert(p, given_spec, wanted)
    checks.same(JIT.convert(p, given_spec, wanted), want, wanted, "convert", p)


@pytest.mark.parametrize("spec", [PositSpec(5, 3, 1), bposit16, bposit64], ids=str)
def test_order(spec: PositSpec) -> None:
    p = posit.jit.ops(spec)
    a = np.array(corners(spec), spec.storage)
    b = np.random.default_rng(1).permutation(a)
    order = np.array(
        [reference.compare(*ab, spec) for ab in zip(a.tolist(), b.tolist(), strict=True)]
    )
    for name, want in {
        "lt": order < 0, "le": order <= 0, "eq": order == 0,
        "ne": order != 0, "gt": order > 0, "ge": order >= 0,
    }.items():  # fmt: skip
        np.testing.assert_array_equal(mapped(getattr(p, name), bool, a, b), want)
    for step in ("next", "prior"):
        want = [getattr(reference, step)(v, spec) for v in a.tolist()]
        np.testing.assert_array_equal(mapped(getattr(p, step), np.int64, a), want)
    np.testing.assert_array_equal(mapped(p.is_nar, bool, a), a == spec.nar)
    values = [reference.decode(v, spec) for v in (p.nar, p.zero, p.one, p.minpos, p.maxpos)]
    assert values == [None, 0, 1, spec.minpos, spec.maxpos]


@pytest.mark.parametrize("op", ["add", "fma"])
def test_a_wrong_backend_is_caught(op: str) -> None:
    """A second rounding, through float64 without its sticky bit or proof."""

    def twice(*args: Any) -> Any:
        *operands, spec = args
        a, b, *c = (posit.decode(x, spec) for x in operands)
        return posit.encode(a * b + c[0] if c else a + b, spec)

    mutant: Backend = dataclasses.replace(JIT, **{op: twice})
    spec = bposit16 if op == "fma" else PositSpec(34, 6, 5)
    with pytest.raises(AssertionError, match="wrong at"):
        checks.scalars(mutant, op, spec, *hard.operands(op, spec, 200))


# ---- the quire ----------------------------------------------------------------------------------


def test_layout_is_that_of_quire() -> None:
    for spec in every_spec():
        want = quire.Layout.exact(spec)
        assert _limbs.layout(spec)[:3] == (want.lsb, want.width, want.limbs)


@pytest.mark.parametrize(
    "spec", [bposit8, bposit16, bposit64, standard(64), PositSpec(7, 3, 8), PositSpec(64, 2, 0)],
    ids=str,
)  # fmt: skip
def test_limb_by_limb(spec: PositSpec) -> None:
    exact = posit.jit.ops(spec).quire()
    rng = np.random.default_rng(5)
    q, r = exact.zeros(), exact.zeros()
    p, other = quire.Quire(spec), quire.Quire(spec)
    finite = [x for x in corners(spec) if x != spec.nar]
    for step in range(600):
        a, b = (spec.storage.type(x) for x in rng.choice(finite, 2))
        exact.qma(q, a, b)
        p.fma(a, b)
        exact.qadd(r, b)
        other.add(b)
        if step % 50 == 49:
            exact.qmerge(q, r)
            p.merge(other)
        np.testing.assert_array_equal(q, p._limbs)
        assert exact.qround(q) == p.round()
    np.testing.assert_array_equal(r, other._limbs)


@pytest.mark.parametrize("spec", [bposit8, bposit16, bposit64], ids=str)
@pytest.mark.parametrize("sign", [1, -1])
def test_overflow_at_the_width_is_nar(spec: PositSpec, sign: int) -> None:
    exact = posit.jit.ops(spec).quire()
    q, p = exact.zeros(), quire.Quire(spec)
    exact.qma(q, spec.maxpos_pattern, sign * spec.maxpos_pattern)
    p.fma(spec.storage.type(spec.maxpos_pattern), spec.storage.type(sign * spec.maxpos_pattern))
    doublings = 0
    while not p.is_nar:
        assert exact.qround(q) == p.round() != spec.nar
        exact.qmerge(q, q)
        p.merge(p.copy())
        doublings += 1
    assert exact.qround(q) == spec.nar
    assert doublings > 30


def test_nar_absorbs() -> None:
    exact = posit.jit.ops(bposit16).quire()
    nar, one = bposit16.nar, bposit16.one
    clean, bad = exact.zeros(), exact.zeros()
    exact.qadd(clean, one)
    exact.qadd(bad, nar)
    for q in (bad, clean.copy(), clean.copy(), clean.copy()):
        if q is not bad:
            assert exact.qround(q) == one
            exact.qma(q, nar, 0)
        assert exact.qround(q) == nar
        exact.qma(q, one, one)
        exact.qadd(q, -one)
        exact.qmerge(q, clean)
        assert exact.qround(q) == nar
        exact.qmerge(clean, q)
        assert exact.qround(clean) == nar
        exact.clear(clean)
        exact.qadd(clean, one)


@pytest.mark.parametrize("spec", [bposit16, bposit32, bposit64], ids=str)
def test_any_split_among_threads(spec: PositSpec) -> None:
    exact = posit.jit.ops(spec).quire()
    limbs = exact.limbs

    @njit(parallel=True)
    def dot(a: Any, b: Any, pieces: int) -> Any:
        parts = np.zeros((pieces, limbs), np.uint64)
        for t in prange(pieces):
            for i in range(t * a.size // pieces, (t + 1) * a.size // pieces):
                exact.qma(parts[t], a[i], b[i])
        for t in range(1, pieces):
            exact.qmerge(parts[0], parts[t])
        return exact.qround(parts[0])

    rng = np.random.default_rng(11)
    a, b = (rng.normal(size=5000) * np.exp(rng.normal(scale=20, size=5000)) for _ in range(2))
    a, b = posit.encode(np.append(a, -a), spec), posit.encode(np.append(b, b), spec)
    b[0] = posit.encode(1e-3, spec)  # all but the first products cancel
    want = quire.dot(a, b, spec)
    assert want not in (0, spec.nar)
    assert {dot(a, b, pieces) for pieces in (1, 2, 3, 8, 97)} == {want}


# ---- as a part of Numba -------------------------------------------------------------------------


def test_vectorize() -> None:
    p = posit.jit.ops(bposit32)

    @vectorize
    def hypotenuse(a: Any, b: Any) -> Any:
        return p.sqrt(p.fma(a, a, p.mul(b, b)))

    @vectorize(["int32(int32, int32)"])
    def stored(a: Any, b: Any) -> Any:
        return p.mul(a, b)

    a, b = posit.encode([[3.0], [5.0]], bposit32), posit.encode([4.0, 12.0], bposit32)
    sides = posit.decode(hypotenuse(a, b).astype(np.int32), bposit32)
    np.testing.assert_allclose(sides, [[5, np.sqrt(153)], [np.sqrt(41), 13]], rtol=1e-7)
    checks.same(stored(a, b), posit.mul(a, b, bposit32), bposit32, "mul", a, b)
    assert np.add.reduce(stored(a, b), axis=None).dtype == np.int64


def test_namespaces_are_one_and_frozen() -> None:
    p = posit.jit.ops(bposit16)
    assert p is posit.jit.ops(PositSpec(16, 6, 5))
    assert p.quire() is p.quire()
    assert pickle.loads(pickle.dumps([p, p.quire()])) == [p, p.quire()]
    with pytest.raises(AttributeError, match="frozen"):
        p.one = 3
    with pytest.raises(AttributeError, match="frozen"):
        del p.one
    assert p is posit.jit.ops("bposit16") is posit.jit.ops(posit.dtype(bposit16))
    convert = posit.jit.convert(bposit16, bposit32)
    assert convert is posit.jit.convert("bposit16", posit.dtype(bposit32))
    with pytest.raises(TypeError, match="expected a format: a PositSpec"):
        posit.jit.ops(16)  # type: ignore[arg-type]


def test_docstrings() -> None:
    p = posit.jit.ops(bposit16)
    found = [f for space in (p, p.quire()) for f in vars(space).values() if callable(f)]
    assert len(found) >= 25
    for f in (*found, posit.jit.convert(bposit16, bposit32)):
        assert f.__doc__, f


def test_posit_arrays_go_in_and_come_out() -> None:
    """By their patterns; what a ufunc of Numba returns is int64, which posit.view takes."""
    p = posit.jit.ops(bposit16)

    @vectorize
    def squared(a: Any) -> Any:
        return p.mul(a, a)

    @njit
    def double(x: Any) -> None:
        for i in range(x.size):
            x[i] = p.add(x[i], x[i])

    a = np.array([1.5, -3, 0.25], posit.dtype(bposit16))
    made = squared(posit.bits(a))
    assert made.dtype == np.int64
    np.testing.assert_array_equal(posit.view(made, bposit16), a * a)
    want = a + a
    double(posit.bits(a))
    np.testing.assert_array_equal(a, want)


def test_cached_code_knows_its_source() -> None:
    """Numba's cache does not see changes of the functions called; the digest that is closed over
    must."""
    p = posit.jit.ops(bposit16)
    found = [f for space in (p, p.quire()) for f in vars(space).values() if hasattr(f, "py_func")]
    cached = [f for f in found if not isinstance(f._cache, NullCache)]
    assert len(cached) >= 19
    for f in cached:
        cells = [cell.cell_contents for cell in f.py_func.__closure__]
        assert any(getattr(x, "edition", 0) == _ops._EDITION for x in cells), f


def test_users_may_cache(tmp_path: Path) -> None:
    text = """
import posit, posit.jit
from numba import njit
p = posit.jit.ops(posit.bposit64)
@njit(cache=True)
def f(a, b):
    return p.fma(a, b, p.one)
print(f(p.one, p.one) == p.encode(2), sum(f.stats.cache_hits.values()))
"""
    (tmp_path / "user.py").write_text(text)
    hits = [program(str(tmp_path / "user.py"), PYTHONPATH=str(ROOT)).stdout for _ in range(2)]
    assert [h.split() for h in hits] == [["True", "0"], ["True", "1"]]


def test_wrong_types_are_refused() -> None:
    p = posit.jit.ops(bposit16)
    exact = p.quire()
    with pytest.raises(TypingError, match="patterns are signed integers, got float64; encode"):
        p.add(p.one, 1.0)
    with pytest.raises(TypingError, match="patterns are signed integers, got uint16"):
        mapped(p.neg, np.int16, np.ones(3, np.uint16))
    with pytest.raises(TypingError, match="cannot read bool"):
        p.encode(True)
    with pytest.raises(TypingError, match="one-axis array of uint64"):
        exact.qadd(np.zeros(exact.limbs, np.int64), p.one)
    with pytest.raises(ValueError, match="limbs"):
        exact.qadd(np.zeros(exact.limbs - 1, np.uint64), p.one)


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}, check=False,
    )  # fmt: skip


def test_numba_is_imported_only_when_asked_for() -> None:
    done = program("-c", "import posit, quire, sys; sys.exit('numba' in sys.modules)")
    assert done.returncode == 0, done.stderr
    done = program("-c", "import sys; sys.modules['numba'] = None; import posit.jit")
    assert done.stderr.strip().endswith("pip install 'bposit[numba]'"), done.stderr


def test_cuda_simulator() -> None:
    arguments = ("-m", "tests.posit.cuda_jit", "run", "bposit16", "bposit64")
    done = program(*arguments, NUMBA_ENABLE_CUDASIM="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["bposit16", "done", "bposit64", "done"]


@pytest.mark.gpu
def test_cuda_device() -> None:
    done = program("-m", "tests.posit.cuda_jit", "run", "bposit16", "posit32", "bposit64")
    if "CudaSupportError" in done.stderr:
        pytest.skip("needs a CUDA device")
    assert done.returncode == 0, done.stderr


def test_cuda_compiles() -> None:
    done = program("-m", "tests.posit.cuda_jit", "compile", "bposit16", "posit32", "bposit64")
    if "NvvmSupportError" in done.stderr:
        pytest.skip("needs NVVM of the CUDA toolkit")
    assert done.returncode == 0, done.stderr


def test_example(capsys: pytest.CaptureFixture[str]) -> None:
    found = runpy.run_path(str(ROOT / "examples" / "jacobi_bposit32.py"), run_name="__main__")
    assert capsys.readouterr().out.startswith("settled after 11 steps, largest error 3.1e-08")
    exact = posit.encode([[4.0, -1.0], [-1.0, 4.0]], bposit32)
    x, _ = found["jacobi"](exact, posit.encode([2.0, 7.0], bposit32), 60)
    assert posit.decode(x, bposit32).tolist() == [1.0, 2.0]


def test_docs() -> None:
    """They show the example as it is, and their code runs; the kernel in the simulator."""
    text = (ROOT / "docs" / "jit.md").read_text()
    source = (ROOT / "examples" / "jacobi_bposit32.py").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    blocks.remove(source)
    assert len(blocks) == 5
    done = program("-W", "error", "-c", "\n".join(blocks), NUMBA_ENABLE_CUDASIM="1")
    assert done.returncode == 0, done.stderr
