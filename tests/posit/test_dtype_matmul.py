"""``@`` and its kin on posit arrays: exact, whoever computes them, in every kind of memory."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import posit
import quire
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64
from posit._dtype import _ext
from quire.matmul import fill_product

from ..quire.cases import exact_product
from .dtype_arrays import SPECS, layouts, made, random, spec_of

Array = npt.NDArray[Any]

LARGE = (17, 18), (18, 19)
"""More multiply-adds than it takes for quire to be asked."""
SMALL = (3, 5), (5, 4)
specs = pytest.mark.parametrize("spec", SPECS, ids=str)


def product(a: Array, b: Array) -> Array:
    """The exact product of stacks of matrices."""
    spec = spec_of(a)
    return posit.view(exact_product(posit.bits(a), posit.bits(b), spec), spec)


def same(got: Any, want: Array) -> None:
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    wrong = np.argwhere(posit.bits(np.asarray(got)) != posit.bits(want))
    assert not len(wrong), f"{len(wrong)} wrong, first at {wrong[0]}"


@pytest.fixture
def slot() -> Iterator[None]:
    yield
    _ext.set_product(fill_product)


@pytest.fixture
def asked(slot: None) -> list[tuple[PositSpec, tuple[int, ...], tuple[int, ...]]]:
    """What quire has been asked to multiply."""
    seen: list[tuple[PositSpec, tuple[int, ...], tuple[int, ...]]] = []

    def note(spec: PositSpec, a: Array, b: Array, out: Array) -> None:
        seen.append((spec, a.shape, b.shape))
        fill_product(spec, a, b, out)

    _ext.set_product(note)
    return seen


# ---- exact


@specs
@pytest.mark.parametrize("nar", [False, True])
@pytest.mark.parametrize("shapes", [LARGE, SMALL], ids=["large", "small"])
def test_products(
    shapes: tuple[tuple[int, int], tuple[int, int]], nar: bool, spec: PositSpec, asked: list[Any]
) -> None:
    a, b = random(spec, shapes[0], 1, nar=False), random(spec, shapes[1], 2, nar=False)
    if nar:
        a[1, 2] = np.nan
    want = product(a, b)
    for got in (a @ b, np.matmul(a, b), np.linalg.matmul(a, b)):
        same(got, want)
    assert asked == ([(spec, a.shape, b.shape)] * 3 if shapes == LARGE else [])


BEFORE = """
import sys
import numpy as np, posit
a, b = (posit.view(np.load(f), posit.PositSpec.parse(sys.argv[1])) for f in sys.argv[2:4])
made = posit.bits(a @ b)
assert "quire" not in sys.modules
import quire
assert (posit.bits(a @ b) == made).all()
np.save(sys.argv[4], made)
"""


@pytest.mark.parametrize("spec", [bposit16, PositSpec(34, 6, 5)], ids=str)
def test_before_quire_is_imported(spec: PositSpec, tmp_path: Any) -> None:
    a, b = random(spec, (30, 20), 1), random(spec, (20, 70), 2, nar=False)
    files = [str(tmp_path / f"{name}.npy") for name in "abc"]
    np.save(files[0], posit.bits(a))
    np.save(files[1], posit.bits(b))
    subprocess.run([sys.executable, "-c", BEFORE, spec.name, *files], check=True)
    same(posit.view(np.load(files[2]), spec), product(a, b))


@specs
def test_vectors(spec: PositSpec) -> None:
    """vecdot, matvec, vecmat, and operands of one axis; the last axes above 64 results."""
    a, m = random(spec, (3, 70), 1, nar=False), random(spec, (70, 80), 2, nar=False)
    m[:, 3] = np.nan
    rows = product(a, m)
    assert (posit.bits(rows[:, 3]) == spec.nar).all()
    same(a @ m, rows)
    same(a[0] @ m, rows[0])
    same(m.T @ a[0], rows[0])
    same(np.vecmat(a, m), rows)
    same(np.matvec(m.T, a), rows)
    dots = product(a[:, np.newaxis], a[:, :, np.newaxis])[:, 0, 0]
    same(np.vecdot(a, a), dots)
    along: Any = np.vecdot  # whose stub knows no axis
    same(along(a.T, a.T, axis=0), dots)
    same(np.asarray(a[0] @ a[0]), dots[0])


@pytest.mark.parametrize("spec", [bposit8, PositSpec(13, 6, 5), bposit32, bposit64], ids=str)
@pytest.mark.parametrize("shapes", [LARGE, SMALL], ids=["large", "small"])
def test_any_memory(
    shapes: tuple[tuple[int, int], tuple[int, int]], spec: PositSpec, asked: list[Any]
) -> None:
    a, b = random(spec, shapes[0], 1, nar=False), random(spec, shapes[1], 2, nar=False)
    want = product(a, b)
    count = 0
    for left, x in layouts(a):
        for right, y in layouts(b):
            got = x @ y
            assert (posit.bits(got) == posit.bits(want)).all(), (left, right)
            count += 1
    same((b.T @ a.T).T, want)
    same(np.broadcast_to(a[:1], a.shape) @ b, np.broadcast_to(want[:1], want.shape))
    assert len(asked) == (count + 2 if shapes == LARGE else 0)
    gram = a @ a.T
    assert (posit.bits(gram) == posit.bits(gram.T)).all()
    same(gram, product(a, a.T))


@pytest.mark.parametrize("shapes", [LARGE, SMALL], ids=["large", "small"])
def test_out(shapes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    """Results into any memory, the operands' own too; nothing around it is touched."""
    for spec in (bposit8, bposit16, PositSpec(34, 6, 5)):
        a, b = random(spec, shapes[0], 1, nar=False), random(spec, shapes[1], 2, nar=False)
        want = product(a, b)
        for _, out in layouts(np.zeros_like(want)):
            if out.flags.writeable:
                assert np.matmul(a, b, out=out) is out
                same(out, want)
        around = np.ones((want.shape[0], 3, want.shape[1]), want.dtype)
        np.matmul(a, b, out=around[:, 1])
        same(around[:, 1], want)
        assert (around[:, ::2] == 1).all()
        square = random(spec, (18, 18), 3, nar=False)
        for turned in (False, True):
            own = square.copy()
            np.matmul(own, own.T if turned else own, out=own)
            same(own, product(square, square.T if turned else square))
        own = square.copy()
        own @= square
        same(own, product(square, square))
        shifted = np.zeros((19, 18), square.dtype)
        shifted[:18] = square
        np.matmul(shifted[:18], square, out=shifted[1:])
        same(shifted[1:], product(square, square))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((4, 17, 18), (18, 19)), ((17, 18), (3, 18, 19)), ((2, 1, 17, 18), (3, 18, 19)),
        ((3, 2, 3), (3, 3, 2)), ((0, 17, 18), (18, 19)), ((2, 17, 0), (2, 0, 19)),
        ((0, 5), (5, 0)), ((3, 0), (0, 4)), ((0, 0), (0, 0)), ((2, 0, 3), (3, 4)),
        ((1, 5000), (5000, 1)), ((1, 90), (90, 90)), ((90, 90), (90, 1)),
    ],
)  # fmt: skip
def test_batches_and_edges(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    for spec in (bposit16, PositSpec(24, 3, 0)):
        a, b = random(spec, left, 1, nar=False), random(spec, right, 2, nar=False)
        same(a @ b, product(a, b))
    assert not posit.bits(a @ b).any() or min(*left, *right) > 0


def test_mixed_operands() -> None:
    """Other numbers and formats become the common format first; as for every ufunc."""
    a, b = random(bposit16, LARGE[0], 1, nar=False), random(bposit32, LARGE[1], 2, nar=False)
    same(a @ b, product(a.astype(b.dtype), b))
    same(a.astype(b.dtype) @ b, a @ b)


# ---- errors


def test_shapes_must_fit() -> None:
    a = made(np.ones((17, 18)))
    for b in (np.ones((17, 18)), np.ones(17), np.ones((2, 17, 18)), np.float64(1)):
        with pytest.raises(ValueError, match="matmul"):
            a @ made(b)
    with pytest.raises(ValueError, match="Output"):
        np.matmul(a, a.T, out=made(np.ones((17, 18))))


@pytest.mark.parametrize("shapes", [LARGE, SMALL], ids=["large", "small"])
def test_patterns_out_of_range(shapes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    """Memory that is not the dtype's: n = 13 in 16 bits."""
    spec = PositSpec(13, 6, 5)
    good = [np.zeros(shape, np.int16) for shape in shapes]
    for which in (0, 1):
        raw = [x.copy() for x in good]
        raw[which][2, 3] = 1 << 12
        a, b = (x.view(posit.dtype(spec)) for x in raw)
        with pytest.raises(ValueError, match="4096"):
            a @ b


def test_errors_of_the_slot(slot: None) -> None:
    """Whatever is raised arrives, of every thread its own; and the next product is right."""
    a, b = random(bposit16, LARGE[0], 1, nar=False), random(bposit16, LARGE[1], 2, nar=False)

    def fail(spec: PositSpec, x: Array, y: Array, out: Array) -> None:
        raise RuntimeError(f"in {threading.current_thread().name}")

    def tried() -> bool:
        with pytest.raises(RuntimeError) as caught:
            a @ b
        return str(caught.value) == f"in {threading.current_thread().name}"

    _ext.set_product(fail)
    assert tried()
    with pytest.raises(RuntimeError):
        np.matmul(np.stack([a, a]), b)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: tried(), range(40)))
    small = a[:3, :5] @ b[:5, :3]  # is not asked
    same(small, product(a[:3, :5], b[:5, :3]))
    _ext.set_product(lambda spec, x, y: None)
    with pytest.raises(TypeError, match="argument"):
        a @ b
    _ext.set_product(fill_product)
    same(a @ b, product(a, b))


def test_the_slot_keeps_nothing(slot: None) -> None:
    """Neither what it was, nor the operands."""
    before = sys.getrefcount(fill_product)
    for _ in range(10):
        _ext.set_product(fill_product)
    assert sys.getrefcount(fill_product) == before
    a, b = random(bposit16, LARGE[0], 1), random(bposit16, LARGE[1], 2)
    kept: list[int] = []
    for _ in range(3):
        a @ b
        kept.append(sys.getrefcount(bposit16) + sys.getrefcount(a) + sys.getrefcount(b))
    assert kept[1] == kept[2]


def test_threads() -> None:
    """At once, on the same operands and on their own."""
    a, b = random(bposit16, (40, 50), 1), random(bposit16, (50, 45), 2)
    want = product(a, b)
    with ThreadPoolExecutor(6) as pool:
        for got in pool.map(lambda _: a @ b, range(30)):
            same(got, want)
        parts = pool.map(lambda i: (i, a[i : i + 8] @ b), range(0, 40, 8))
        for i, got in parts:
            same(got, want[i : i + 8])


def test_as_quire_does() -> None:
    a, b = random(bposit32, (64, 300), 1), random(bposit32, (300, 70), 2)
    want = quire.matmul(posit.bits(a), posit.bits(b), bposit32)
    same(a @ b, posit.view(want, bposit32))
