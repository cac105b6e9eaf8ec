"""Arrays of posits as NumPy moves them: indexing, joining, records, maps, threads, and text.

What moves posits must move their bits. Each operation is done to the posits and to the patterns as
NumPy's integers; the bits of the two results are the same.
"""

from __future__ import annotations

import copy
import io
import threading
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import posit
from posit import NaR, Posit, PositSpec, bposit16, bposit32, bposit64, standard

from ..formats import EDGES, TINY, corners
from .dtype_arrays import SPECS, fractions, layouts, made, random

Array = npt.NDArray[Any]
specs = pytest.mark.parametrize("spec", SPECS, ids=str)
D16 = posit.dtype(bposit16)


def bits_of(found: Any) -> Any:
    """The patterns where there are posits, in whatever structure."""
    if isinstance(found, (list, tuple)):
        return [bits_of(x) for x in found]
    if isinstance(found, Posit):
        return posit.bits(found)  # type: ignore[arg-type]
    return posit.bits(found) if hasattr(getattr(found, "dtype", None), "spec") else found


def agree(got: Any, want: Any, what: str) -> None:
    """Equal bits, dtypes and shapes."""
    if isinstance(want, list):
        assert len(got) == len(want), what
        for g, w in zip(got, want, strict=True):
            agree(g, w, what)
    else:
        assert np.asarray(got).dtype == np.asarray(want).dtype, what
        assert np.array_equal(got, want), what


MASK = np.arange(12).reshape(3, 4) % 3 == 1

READS: dict[str, Callable[[Array], Any]] = {
    "element": lambda a: a[1, 2], "row": lambda a: a[-1], "slices": lambda a: a[::2, ::-1],
    "new axis": lambda a: a[None, ..., 0], "mask": lambda a: a[MASK], "all": lambda a: a[...],
    "rows": lambda a: a[[2, 0, 2]], "pairs": lambda a: a[[0, 1], [3, 0]], "none": lambda a: a[:0],
    "grid": lambda a: a[np.ix_([0, 2], [1, 3])], "rows of a mask": lambda a: a[MASK[:, 0]],
    "take": lambda a: [a.take([1, 5, -1]), a.take([[3], [0]], 1), np.take(a, 99, mode="wrap")],
    "take_along_axis": lambda a: np.take_along_axis(a, np.array([[3, 0]] * 3), 1),
    "choose": lambda a: np.choose([2, 0, 1, 1], list(a)),
    "compress": lambda a: a.compress([1, 0, 1], 0),
    "extract": lambda a: np.extract(MASK, a), "diagonal": lambda a: [a.diagonal(), np.diag(a, 1)],
    "transpose": lambda a: [a.T, a.swapaxes(0, 1), np.rot90(a)], "flip": lambda a: np.flip(a, 1),
    "roll": lambda a: np.roll(a, 2),
    "reshape": lambda a: [a.reshape(2, -1), a.ravel("F"), a.flatten()],
    "repeat": lambda a: [a.repeat(2), np.repeat(a, [1, 0, 2], 0)],
    "tile": lambda a: np.tile(a, (2, 2)),
    "concatenate": lambda a: [np.concatenate([a, a[:1]]), np.concatenate([a, a], axis=None)],
    "stack": lambda a: [np.stack([a, a], 1), np.vstack([a, a]), np.hstack([a, a]), np.dstack([a])],
    "split": lambda a: [*np.split(a, 2, 1), *np.array_split(a, 2)],
    "where": lambda a: [np.where(MASK, a, a[::-1]), np.where(a == a[0], a, a)],
    "select": lambda a: np.select([MASK, ~MASK], [a, a[::-1]]),
    "broadcast": lambda a: [np.broadcast_to(a[0], (2, 4)), *np.broadcast_arrays(a, a[:, :1])],
    "pad": lambda a: [np.pad(a, 1, "edge"), np.pad(a, ((0, 1), (2, 0)), "reflect")],
    "insert": lambda a: np.insert(a, 1, a[0], 0), "delete": lambda a: np.delete(a, [1, 3], 1),
    "resize": lambda a: np.resize(a, (2, 9)), "byteswap": lambda a: a.byteswap(),
    "copies": lambda a: [a.copy("F"), copy.deepcopy(a), a.astype(a.dtype)],
    "windows": lambda a: np.lib.stride_tricks.sliding_window_view(a, 2, 1),
    "as_strided": lambda a: np.lib.stride_tricks.as_strided(a.copy(), (2, 2), (a.itemsize,) * 2),
    "iteration": lambda a: [*a[0], *a.flat, a.flat[7], a.flat[::5], list(np.nditer(a))[3][()]],
    "trim_zeros": lambda a: np.trim_zeros(a[0]),
    "piecewise": lambda a: np.piecewise(a, [MASK], [a[0, 0], a[1, 1]]),
    "bytes": lambda a: [np.frombuffer(a.tobytes(order), a.dtype) for order in ("C", "F")],
    "tolist": lambda a: [*chain(*a.tolist())] if hasattr(a.dtype, "spec") else [*a.flat],
}  # fmt: skip


@pytest.mark.parametrize("name", READS)
@specs
def test_reading(spec: PositSpec, name: str) -> None:
    a = random(spec, (3, 4), 1)
    for what, x in layouts(a):
        agree(bits_of(READS[name](x)), READS[name](posit.bits(x)), what)


def put(function: Callable[..., Any], *places: Any) -> Callable[[Array, Array], Any]:
    return lambda a, v: function(a, *places, v)


WRITES: dict[str, Callable[[Array, Array], Any]] = {
    "element": lambda a, v: a.__setitem__((1, 2), v[0]), "row": lambda a, v: a.__setitem__(0, v),
    "all": lambda a, v: a.__setitem__(..., v), "mask": lambda a, v: a.__setitem__(MASK, v),
    "slices": lambda a, v: a.__setitem__((slice(None, None, 2), slice(None, None, -1)), v),
    "rows": lambda a, v: a.__setitem__([2, 0], v),
    "twice": lambda a, v: a.__setitem__(([0, 0], 0), v[:2]),
    "itself": lambda a, v: a.__setitem__(slice(1, None), a[:-1].copy()),
    "fill": lambda a, v: a.fill(v[3]),
    "flat": lambda a, v: a.flat.__setitem__(slice(3, 7), v), "put": put(np.put, [0, 5, -1, 2]),
    "place": put(np.place, MASK), "putmask": put(np.putmask, MASK), "copyto": put(np.copyto),
    "put_along_axis": lambda a, v: np.put_along_axis(a, np.array([[3], [0], [1]]), v[:3, None], 1),
    "copyto where": lambda a, v: np.copyto(a, v, where=MASK), "sort": lambda a, v: a.sort(0),
    "put wrapped": lambda a, v: np.put(a, [99, -77], v[0], mode="wrap"),
    "fill_diagonal": lambda a, v: np.fill_diagonal(a, v[1]),
    "byteswap": lambda a, v: a.byteswap(True),
    "swap": lambda a, v: a.__setitem__([0, 1], a[[1, 0]]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITES)
@specs
def test_writing(spec: PositSpec, name: str) -> None:
    a, values = random(spec, (3, 4), 1), random(spec, 4, 2)
    want = posit.bits(a).copy()
    WRITES[name](want, posit.bits(values))
    for what, x in layouts(a):
        if x.flags.writeable:
            WRITES[name](x, values)
            assert np.array_equal(posit.bits(x), want), what
        else:
            with pytest.raises(ValueError, match="read-only"):
                WRITES[name](x, values)
            assert np.array_equal(posit.bits(x), posit.bits(a))


def test_what_is_written_is_rounded_once() -> None:
    a = np.zeros(8, D16)
    a[0], a[1], a[2], a[3] = 0.1, "1/3", Posit("0.1", bposit64), NaR
    a[4:6] = np.array([0.1, 1e300])
    a[6:] = [10**400, True]
    np.put(a, [5], [0.3])
    np.place(a, [0] * 7 + [1], [0.7])
    want = made([0.1, "1/3", 0.1, NaR, 0.1, 0.3, 10**400, 0.7])
    assert np.array_equal(a, want)
    a[:] = random(bposit32, 8, 3)
    assert np.array_equal(a, random(bposit32, 8, 3).astype(D16))
    with pytest.raises(IndexError):
        a[8] = 1
    with pytest.raises(ValueError, match="broadcast"):
        a[:] = [1, 2]


# ---- records, objects
@specs
def test_records(spec: PositSpec) -> None:
    d, a, b = posit.dtype(spec), random(spec, 6, 1), random(spec, (6, 2), 2)
    r = np.zeros(6, [("i", "i1"), ("x", d), ("v", d, (2,)), ("s", "U3")])
    r["x"], r["v"], r["i"], r["s"] = a, b, range(6), "abc"
    for t in (r, r.copy(), r[::-1][::-1], np.concatenate([r[:2], r[2:]]), r.astype(r.dtype),
              np.frombuffer(b"." + r.tobytes(), r.dtype, offset=1)):  # fmt: skip
        assert np.array_equal(t["x"], a)
        assert np.array_equal(t["v"], b)
        assert t["i"].tolist() == list(range(6))
    assert r[1]["x"] == r[["x", "s"]][1][0] == a[1]
    assert type(r[1]["x"]) is Posit
    assert np.array_equal(np.sort(r, order="x")["x"], np.sort(a))
    r[2] = (7, 0.5, (1, 2), "z")
    assert (r[2]["x"], r["v"][2].tolist()) == (0.5, [1, 2])
    r["x"] += 1
    assert np.array_equal(r["x"][3:], a[3:] + 1)
    assert len(repr(r)) > 100
    wide = r.astype([("i", "f4"), ("x", object), ("v", d, (2,)), ("s", "S3")])
    assert wide["x"].tolist() == r["x"].tolist()
    assert (r == r.copy()).all()


def test_records_in_files(tmp_path: Path) -> None:
    r = np.zeros(4, [("i", "i4"), ("x", D16), ("y", posit.dtype(standard(19)))])
    r["x"], r["y"] = random(bposit16, 4), random(standard(19), 4)
    np.save(tmp_path / "r.npy", r)
    found = np.load(tmp_path / "r.npy")
    assert found.dtype == r.dtype
    assert found.tobytes() == r.tobytes()


def test_objects() -> None:
    a, b = random(bposit16, 30, 1), random(bposit16, 30, 2)
    x, y = a.astype(object), b.astype(object)
    for ufunc in (np.add, np.multiply, np.less, np.maximum):
        want = ufunc(a, b)
        if ufunc is np.maximum:  # of objects: Python's order, in which NaR is the least
            want = np.where(a > b, a, b)
        assert np.array_equal(ufunc(x, y).astype(want.dtype), want)
    assert np.array_equal(np.sort(x).astype(D16), np.sort(a))
    mixed = np.array([a[0], None, "x", a[1]], object)
    assert mixed[[0, 3]].astype(D16).tolist() == [a[0], a[1]]


# ---- maps and threads
@specs
def test_memory_maps(spec: PositSpec, tmp_path: Path) -> None:
    d, a = posit.dtype(spec), random(spec, (5, 7), 1)
    m = np.memmap(tmp_path / "a", d, "w+", 3, (5, 7))  # misaligned in the file
    m[...] = a
    m[0] += 1
    m.flush()
    again = np.memmap(tmp_path / "a", d, "r", 3, (5, 7))
    assert np.array_equal(again[1:], a[1:])
    assert np.array_equal(again[0], a[0] + 1)
    assert posit.sum(again[1:]) == posit.sum(a[1:])
    with pytest.raises(ValueError, match="read-only"):
        again[0] = 1
    private = np.memmap(tmp_path / "a", d, "c", 3, (5, 7))
    private[...] = 1
    assert not np.array_equal(again, private)


THREADED: list[Callable[[Array, Array], Any]] = [
    lambda a, b: a + b, lambda a, b: a * b, lambda a, b: a / b, lambda a, b: np.sort(a),
    lambda a, b: np.argsort(b, kind="stable"), lambda a, b: a.astype(float), lambda a, b: a @ b,
    lambda a, b: np.sum(a), lambda a, b: posit.mean(b), lambda a, b: np.exp(a), lambda a, b: a < b,
    lambda a, b: np.cumsum(a), lambda a, b: a[:50].astype("U"), lambda a, b: np.unique(b),
    lambda a, b: a.astype(posit.dtype(32, 6, 5)), lambda a, b: np.where(a > b, a, 1),
]  # fmt: skip


@pytest.mark.parametrize("spec", [bposit16, PositSpec(34, 6, 5)], ids=str)
def test_threads_give_the_same_bits(spec: PositSpec) -> None:
    """Shared operands, private results; and one result, each thread its own part."""
    a, b = random(spec, 3000, 1), random(spec, 3000, 2)
    shared = np.zeros((4, 3000), a.dtype)
    found: list[list[Any]] = [[] for _ in range(4)]
    start = threading.Barrier(4)

    def work(i: int) -> None:
        start.wait()
        for k in range(5 * len(THREADED)):
            found[i].append(bits_of(THREADED[(k + 3 * i) % len(THREADED)](a, b)))
        np.multiply(a, b, out=shared[i])

    with np.errstate(all="ignore"):
        want = [bits_of(use(a, b)) for use in THREADED]
        workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    for i in range(4):
        for k, got in enumerate(found[i]):
            expected = np.asarray(want[(k + 3 * i) % len(THREADED)])
            assert np.asarray(got).tobytes() == expected.tobytes()
        assert np.array_equal(posit.bits(shared[i]), posit.bits(a * b))


# ---- text
@pytest.mark.parametrize("spec", [*TINY, *SPECS, *EDGES[:3]], ids=str)
def test_repr_reads_back(spec: PositSpec) -> None:
    names = {"array": np.array, "posit": posit, "NaR": NaR}
    a = posit.view(np.array(corners(spec, 1)[::5], spec.storage), spec)
    for x in (a, np.stack([a, a[::-1]]), a[:1], a[0, ...]):
        found = eval(repr(x), names)
        assert found.dtype == x.dtype
        assert np.array_equal(posit.bits(found), posit.bits(x))
    empty = eval(repr(a[:0]), names)
    assert (empty.dtype, empty.shape) == (a.dtype, (0,))


def test_printing() -> None:
    a = made([[1, 0.1], [NaR, 1e40]])
    assert str(a) == "[[1 0.1]\n [NaR 1e+40]]"
    assert repr(made([1.5, NaR])) == "array([1.5, NaR], dtype=posit.dtype(16, 6, 5))"
    assert repr(np.zeros(5000, D16)).startswith("array([0, 0, 0, ..., 0, 0, 0], shape=(5000,)")
    assert np.array2string(a[0], separator=";") == "[1;0.1]"


def test_text_files() -> None:
    """Several columns, other separators, converters and columns of records."""
    a = random(bposit32, (6, 3), 1)
    out = io.StringIO()
    np.savetxt(out, a, fmt="%s", delimiter=";")
    back = np.loadtxt(io.StringIO(out.getvalue()), a.dtype, delimiter=";")
    assert np.array_equal(posit.bits(back), posit.bits(a))
    first, last = np.loadtxt(
        io.StringIO(out.getvalue()), a.dtype, delimiter=";", usecols=(0, 2), unpack=True
    )
    assert np.array_equal(np.stack([first, last], 1), a[:, ::2])
    table = np.genfromtxt(io.StringIO("1 0.1\n2 NaR"), [("n", int), ("x", D16)])
    assert np.array_equal(table["x"], made([0.1, NaR]))
    numbers = io.StringIO()
    np.savetxt(numbers, made([0.1, 2]))  # as float64, by default
    assert [float(t) for t in numbers.getvalue().split()] == [
        float(x) for x in fractions(made([0.1, 2])) if x is not None
    ]
    with pytest.raises(ValueError, match="x"):
        np.loadtxt(io.StringIO("x"), D16)
