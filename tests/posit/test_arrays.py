"""How arrays go in and come out: strides, broadcasting, sizes, aliasing, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import posit
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64

from ..backends import ARITY
from ..formats import mixed

Bits = npt.NDArray[np.signedinteger[Any]]

STORAGES = [bposit8, bposit16, bposit32, bposit64]
NARROWER = [PositSpec(5, 3, 1), PositSpec(13, 6, 5), PositSpec(20, 6, 5), PositSpec(40, 6, 5)]
"""Formats whose patterns do not fill their storage, so that it can hold what is none."""

specs = pytest.mark.parametrize("spec", STORAGES + NARROWER, ids=str)
ops = pytest.mark.parametrize("op", ARITY)


def call(op: str, spec: PositSpec, *operands: Any, **more: Any) -> Any:
    return getattr(posit, op)(*operands, spec, **more)


def one_by_one(op: str, spec: PositSpec, *operands: Bits) -> Bits:
    """Every element by itself: no strides, no blocks."""
    wide = np.broadcast_arrays(*operands)
    out = np.empty(wide[0].shape, spec.storage)
    for index in np.ndindex(out.shape):
        out[index] = call(op, spec, *(int(x[index]) for x in wide))
    return out


def layouts(bits: Bits) -> Iterator[tuple[str, Bits]]:
    """The same two-axis array in every kind of memory."""
    yield "contiguous", bits.copy()
    yield "fortran", np.asfortranarray(bits)
    yield "reversed", bits[::-1, ::-1].copy()[::-1, ::-1]
    yield "spaced", np.repeat(np.repeat(bits, 2, axis=0), 3, axis=1)[::2, ::3]
    yield "mixed signs", np.repeat(bits[:, ::-1], 2, axis=1)[:, ::-2]
    item = bits.dtype.itemsize
    raw = np.zeros(bits.size * item + 1, np.uint8)
    crooked = raw[1:].view(bits.dtype).reshape(bits.shape)
    crooked[...] = bits
    yield "misaligned", crooked
    rows = np.zeros(bits.shape, np.dtype([("pad", "u1"), ("p", bits.dtype)]))
    rows["p"] = bits
    yield "field of a packed record", rows["p"]
    frozen = bits.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen
    yield "a memory map", np.frombuffer(bits.tobytes(), bits.dtype).reshape(bits.shape)


@ops
@specs
def test_any_strides(op: str, spec: PositSpec) -> None:
    rng = np.random.default_rng(1)
    operands = mixed(spec, (ARITY[op], 7, 11), rng)
    want = one_by_one(op, spec, *operands)
    for slot in range(ARITY[op]):
        for name, array in layouts(operands[slot]):
            row = [*operands]
            row[slot] = array
            got = call(op, spec, *row)
            assert (got == want).all(), name
            assert got.dtype == spec.storage
            assert (array == operands[slot]).all(), f"the {name} operand was changed"


@ops
@specs
def test_any_strides_out(op: str, spec: PositSpec) -> None:
    rng = np.random.default_rng(2)
    operands = mixed(spec, (ARITY[op], 7, 11), rng)
    want = one_by_one(op, spec, *operands)
    for name, out in layouts(np.zeros((7, 11), spec.storage)):
        if not out.flags.writeable:
            continue
        assert call(op, spec, *operands, out=out) is out
        assert (out == want).all(), name


@pytest.mark.parametrize("size", [0, 1, 2, 511, 512, 513, 1024, 1025, 5000])
@ops
@pytest.mark.parametrize("spec", STORAGES, ids=str)
def test_any_length(op: str, spec: PositSpec, size: int) -> None:
    """On both sides of the blocks in which the core works, with nothing written beyond the end."""
    operands = mixed(spec, (ARITY[op], size), np.random.default_rng(size))
    guarded = np.full(size + 64, 99, spec.storage)
    call(op, spec, *operands, out=guarded[32 : size + 32])
    want = call(op, spec, *(x[::-1] for x in operands))[::-1]
    assert (guarded[32 : size + 32] == want).all()
    assert (guarded[:32] == 99).all()
    assert (guarded[size + 32 :] == 99).all()
    some = slice(None, None, max(1, size // 40))
    few = [x[some] for x in operands]
    assert (want[some] == one_by_one(op, spec, *few)).all()


@pytest.mark.parametrize(
    "shapes",
    [((3, 1), (1, 4)), ((), (3,)), ((2, 3, 4), (4,)), ((1,), (0,)), ((5, 1, 2), (3, 1)), ((), ()),
     ((0, 3), (1, 3)), ((1, 1, 1), (1,)), ((2, 1, 3, 1), (4, 1, 5))],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("spec", [bposit16, bposit64], ids=str)
def test_broadcasting(spec: PositSpec, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    rng = np.random.default_rng(3)
    a, b = (mixed(spec, s, rng) for s in shapes)
    c = mixed(spec, shapes[0], rng)
    for op, row in (("add", (a, b)), ("sub", (b, a)), ("fma", (a, b, c)), ("fma", (b, a, b))):
        got = call(op, spec, *row)
        assert np.shape(got) == np.broadcast_shapes(*(x.shape for x in row))
        assert (got == one_by_one(op, spec, *row)).all()


@ops
def test_scalars_give_scalars(op: str) -> None:
    for made in (5, np.int16(5), np.array(5, np.int16)):
        got = call(op, bposit16, *[made] * ARITY[op])
        assert type(got) is np.int16
        assert got == call(op, bposit16, *[np.array([5], np.int16)] * ARITY[op])[0]
    out = np.array(0, np.int16)
    assert call(op, bposit16, *[5] * ARITY[op], out=out) is out
    assert out == got


@pytest.mark.parametrize("spec", STORAGES, ids=str)
def test_many_threads_at_once(spec: PositSpec) -> None:
    """The core has no state; the interpreter lock is released meanwhile."""
    rng = np.random.default_rng(8)
    rows = mixed(spec, (12, 3, 20_000), rng)
    want = [call(op, spec, *row[:arity]) for row in rows for op, arity in ARITY.items()]
    out = np.empty((len(want), 20_000), spec.storage)

    def work(i: int) -> None:
        op, arity = [*ARITY.items()][i % len(ARITY)]
        call(op, spec, *rows[i // len(ARITY)][:arity], out=out[i])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(len(want))))
    assert (out == want).all()


def test_lists_and_python_integers() -> None:
    want = posit.add(np.array([1, 2, -3], np.int16), np.int16(7), bposit16)
    many: list[Any] = [[1, 2, -3], (1, 2, -3), [np.int16(1), 2, -3]]
    for a in many:
        got = posit.add(a, 7, bposit16)
        assert got.dtype == np.int16
        assert (got == want).all()
    assert posit.neg([], bposit16).shape == (0,)
    assert posit.neg([[], []], bposit16).shape == (2, 0)
    assert (posit.neg(range(4), bposit16) == [0, -1, -2, -3]).all()


def overlaps(size: int, dtype: np.dtype[Any]) -> Iterator[tuple[str, Bits, Bits]]:
    """(how, input view, output view) of one buffer, of ``size`` elements each."""
    item = dtype.itemsize

    def buffer() -> Bits:
        return np.zeros(4 * size + 8, dtype)

    x = buffer()
    yield "the same", x[:size], x[:size]
    x = buffer()
    yield "the same, reversed", x[:size], x[size - 1 :: -1]
    x = buffer()
    yield "the same, both reversed", x[size - 1 :: -1], x[size - 1 :: -1]
    for shift in (1, 3, size - 1, size // 2):
        x = buffer()
        yield f"output {shift} behind", x[:size], x[shift : size + shift]
        x = buffer()
        yield f"output {shift} ahead", x[shift : size + shift], x[:size]
    x = buffer()
    yield "from every second", x[: 2 * size : 2], x[:size]
    x = buffer()
    yield "to every second", x[:size], x[: 2 * size : 2]
    x = buffer()
    yield "interleaved", x[: 2 * size : 2], x[1 : 2 * size : 2]
    x = buffer()
    yield "two speeds, the same start", x[: 3 * size : 3], x[: 2 * size : 2]
    x = buffer()
    yield "from the middle outwards", x[size : 2 * size], x[2 * size - 1 : size - 1 : -1]
    if item > 1:
        raw = np.zeros((2 * size + 2) * item, np.uint8)
        yield (
            "half an element apart",
            raw[: size * item].view(dtype),
            raw[item // 2 : size * item + item // 2].view(dtype),
        )


@ops
@pytest.mark.parametrize("spec", STORAGES, ids=str)
@pytest.mark.parametrize("size", [5, 700])
def test_out_may_overlap_any_operand(op: str, spec: PositSpec, size: int) -> None:
    rng = np.random.default_rng(size)
    for slot in range(ARITY[op]):
        for how, source, out in overlaps(size, spec.storage):
            operands: list[Bits] = [*mixed(spec, (ARITY[op], size), rng)]
            source[...] = operands[slot]
            operands[slot] = source
            want = call(op, spec, *(x.copy() for x in operands))
            assert call(op, spec, *operands, out=out) is out
            assert (out == want).all(), f"{how}, operand {slot}"


@pytest.mark.parametrize("spec", [bposit16, bposit64], ids=str)
def test_out_may_be_every_operand_at_once(spec: PositSpec) -> None:
    rng = np.random.default_rng(4)
    for op, arity in ARITY.items():
        x = mixed(spec, 2000, rng)
        want = call(op, spec, *[x.copy()] * arity)
        call(op, spec, *[x] * arity, out=x)
        assert (x == want).all()
        square = mixed(spec, (40, 40), rng)
        operands = [square, square.T, square[::-1]][:arity]
        want = call(op, spec, *(y.copy() for y in operands))
        call(op, spec, *operands, out=square)
        assert (square == want).all()


@pytest.mark.parametrize("spec", [bposit16, bposit64], ids=str)
def test_out_under_a_broadcast_operand(spec: PositSpec) -> None:
    """A row or a single element of the output is an operand of all of it."""
    rng = np.random.default_rng(5)
    for part in ((0,), (slice(None), slice(0, 1)), (3, slice(2, 3)), (slice(4, 5),)):
        x, other = mixed(spec, (9, 6), rng), mixed(spec, (9, 6), rng)
        want = posit.sub(x[part].copy(), other, spec)
        posit.sub(x[part], other, spec, out=x)
        assert (x == want).all()


def codecs(spec: PositSpec) -> list[tuple[Callable[..., Any], npt.NDArray[Any], np.dtype[Any]]]:
    """encode, decode and convert, with an input and the type of the output."""
    bits = mixed(spec, (6, 7), np.random.default_rng(6))
    x = np.random.default_rng(7).standard_normal((6, 7))
    exact = np.array([posit.to_fraction(p, spec) or 0 for p in bits.flat], object).reshape(6, 7)
    storage = np.dtype(spec.storage)
    found: list[tuple[Callable[..., Any], npt.NDArray[Any], np.dtype[Any]]] = [
        (lambda v, **k: posit.encode(v, spec, **k), x.astype(t), storage)
        for t in (np.float64, np.float32, np.float16)
    ]
    found += [
        (lambda v, **k: posit.encode(v, spec, **k), (1000 * x).astype(t), storage)
        for t in (np.int64, np.int16, np.int8)
    ]
    found += [
        (lambda v, **k: posit.encode(v, spec, **k), exact, storage),
        (lambda v, **k: posit.encode(v, spec, rounding="stochastic", key=1, **k), x, storage),
    ]
    for t in (np.float64, np.float32, np.float16):
        found.append((lambda v, t=t, **k: posit.decode(v, spec, t, **k), bits, np.dtype(t)))
    for to in STORAGES:
        found.append((lambda v, to=to, **k: posit.convert(v, spec, to, **k), bits, to.storage))
    return found


def equal(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


@specs
def test_codecs_take_any_strides(spec: PositSpec) -> None:
    for function, x, dtype in codecs(spec):
        want = function(x)
        assert want.dtype == dtype
        assert want.shape == x.shape
        for name, array in layouts(x) if x.dtype != object else [("fortran", np.asfortranarray(x))]:
            assert equal(function(array), want), name
        for name, out in layouts(np.zeros(x.shape, dtype)):
            if out.flags.writeable:
                assert function(x, out=out) is out
                assert equal(out, want), name
        assert function(x[:0]).shape == (0, 7)
        assert function(x[0, 0]).shape == ()
        assert function(x[0, 0]).dtype == dtype


@specs
def test_codecs_may_write_over_their_input(spec: PositSpec) -> None:
    for function, x, dtype in codecs(spec):
        if x.dtype == object:
            continue
        want = function(x).ravel()
        room = np.zeros(x.size * 16 + 64, np.uint8)
        for shift in (0, 8, 16):
            for back in (0, 8, 24):
                source = room[shift : shift + x.nbytes].view(x.dtype)
                out = room[back : back + x.size * dtype.itemsize].view(dtype)
                source[...] = x.ravel()
                assert function(source, out=out) is out
                assert equal(out, want)


def refusals(spec: PositSpec) -> Iterator[tuple[str, Any, Any]]:
    """(what, operand, error) of three elements."""
    right = np.ones(3, spec.storage)
    for dtype in (np.int8, np.int16, np.int32, np.int64):
        if dtype != spec.storage:
            yield f"{dtype.__name__}", right.astype(dtype), TypeError
    for other in (f"u{spec.storage.itemsize}", "f8", "f4", "?", "c16", "O"):
        yield other, right.astype(other), TypeError
    if spec.storage.itemsize > 1:
        yield "the other byte order", right.astype(spec.storage.newbyteorder()), TypeError
    yield "text", np.array(["1", "2", "3"]), TypeError
    yield "floats in a list", [1.0, 2.0, 3.0], TypeError
    yield "booleans in a list", [True, False, True], TypeError
    yield "None", None, TypeError
    yield "too short", right[:2], ValueError
    yield "too many axes", np.ones((2, 2), spec.storage), ValueError
    for bad in (spec.nar - 1, spec.maxpos_pattern + 1, 1 << 63, -(1 << 63) - 1, 1 << 64, 1 << 200):
        yield f"{bad} in a list", [0, bad, 0], (ValueError, TypeError)
        yield f"{bad}", bad, (ValueError, TypeError)
    if spec.n < 8 * spec.storage.itemsize:
        for bad in (spec.nar - 1, spec.maxpos_pattern + 1, np.iinfo(spec.storage).min):
            for place in range(3):
                array = np.zeros(3, spec.storage)
                array[place] = bad
                yield f"{bad} at {place}", array, ValueError


@ops
@specs
def test_bad_operands_write_nothing(op: str, spec: PositSpec) -> None:
    for slot in range(ARITY[op]):
        for what, operand, error in refusals(spec):
            if ARITY[op] == 1 and what in ("too short", "too many axes"):
                error = ValueError  # it does not fit out
            operands: list[Any] = [np.ones(3, spec.storage)] * ARITY[op]
            operands[slot] = operand
            out = np.full(3, 77 % spec.maxpos_pattern, spec.storage)
            before = out.copy()
            with pytest.raises(error):
                call(op, spec, *operands, out=out)
            assert (out == before).all(), what


@pytest.mark.parametrize("spec", NARROWER, ids=str)
def test_bad_patterns_name_what_is_possible(spec: PositSpec) -> None:
    bad = np.array([0, spec.maxpos_pattern + 1], spec.storage)
    for function in (
        lambda: posit.neg(bad, spec), lambda: posit.decode(bad, spec),
        lambda: posit.to_string(bad, spec),
        lambda: posit.convert(bad, spec, bposit16), lambda: posit.to_fraction(bad[1], spec),
        lambda: posit.fma(0, 0, bad, spec), lambda: posit.decode(bad, spec, np.float16),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"{bad[1]} is not a pattern of {spec}.*{spec.nar}"):
            function()


@specs
def test_wrong_outputs_write_nothing(spec: PositSpec) -> None:
    right = np.ones(3, spec.storage)
    for op, arity in ARITY.items():
        frozen = np.full(3, 7, spec.storage)
        frozen.flags.writeable = False
        wrong: list[tuple[Any, Any]] = [
            (frozen, ValueError), (np.full(4, 7, spec.storage), ValueError),
            (np.full((1, 3), 7, spec.storage), ValueError), (np.full(3, 7.0), TypeError),
            (np.full(3, 7, f"u{spec.storage.itemsize}"), TypeError), ([7, 7, 7], TypeError),
            (np.full(1, 7, spec.storage), ValueError), (np.array(7, spec.storage), ValueError),
            (np.broadcast_to(np.array([7], spec.storage), 3), ValueError),
        ]  # fmt: skip
        if spec.storage.itemsize > 1:
            wrong.append((np.full(3, 7, spec.storage.newbyteorder()), TypeError))
        for out, error in wrong:
            with pytest.raises(error):
                call(op, spec, *[right] * arity, out=out)
            assert (np.asarray(out) == 7).all()


def test_wrong_outputs_of_codecs_write_nothing() -> None:
    for function, x, dtype in codecs(bposit16):
        for out, error in (
            (np.full(x.shape, 7, np.uint8), TypeError), (np.full((2, 2), 7, dtype), ValueError),
            (np.broadcast_to(np.array(7, dtype), x.shape), ValueError), ("text", TypeError),
        ):  # fmt: skip
            with pytest.raises(error):
                function(x, out=out)
            if isinstance(out, np.ndarray):
                assert (out == 7).all()


@pytest.mark.parametrize("spec", NARROWER, ids=str)
def test_bad_patterns_in_the_codecs_write_nothing(spec: PositSpec) -> None:
    bad = np.array([1, 2, spec.nar - 1], spec.storage)
    for function, dtype in (
        (lambda out: posit.decode(bad, spec, out=out), np.float64),
        (lambda out: posit.decode(bad, spec, np.float32, out=out), np.float32),
        (lambda out: posit.decode(bad, spec, np.float16, out=out), np.float16),
        (lambda out: posit.convert(bad, spec, bposit32, out=out), np.int32),
    ):
        room = np.full(3, 7, dtype)
        with pytest.raises(ValueError, match="is not a pattern"):
            function(room)
        assert (room == 7).all()


def test_a_bad_number_among_good_ones_writes_nothing() -> None:
    out = np.full(3, 7, np.int16)
    with pytest.raises(TypeError):
        posit.encode(np.array([1, 2, "3"], object), bposit16, out=out)
    assert (out == 7).all()


def test_subclasses_come_out_as_plain_arrays() -> None:
    assert type(posit.neg(np.array([[1]], np.int16).view(np.matrix), bposit16)) is np.ndarray


def test_masks_are_not_dropped_silently() -> None:
    x = np.ma.masked_array([1, 2, 3], [False, True, False], np.int16)
    for function in (
        lambda: posit.neg(x, bposit16), lambda: posit.add(1, x, bposit16),
        lambda: posit.decode(x, bposit16), lambda: posit.encode(x, bposit16),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="masks are not understood"):
            function()
