"""dot, sum, norm2, axpy and combine against fractions, on operands that break accumulators."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import posit
import quire
from posit import PositSpec, bposit16, bposit32, reference
from quire import Quire

from ..conftest import Slice
from ..formats import corners, every_spec, mixed
from ..oracle import rounds_to_root
from .cases import EXTREME, KINDS, SIZES, SPECS, dot_is_exact, exact_dot, total

every = pytest.mark.parametrize("spec", SPECS + EXTREME, ids=str)
kinds = pytest.mark.parametrize("kind", KINDS)


@every
@kinds
def test_dot(kind: str, spec: PositSpec) -> None:
    rng = np.random.default_rng([spec.n, spec.rs, spec.es])
    for k in SIZES if spec in SPECS else SIZES[:4]:
        dot_is_exact(quire.dot, spec, *KINDS[kind](spec, k, rng))


@every
@kinds
def test_sum(kind: str, spec: PositSpec) -> None:
    rng = np.random.default_rng([spec.n, spec.rs, spec.es])
    for k in (0, 1, 2, 5, 513):
        a, _ = KINDS[kind](spec, k, rng)
        ones = np.full(a.size, spec.one, a.dtype)
        assert quire.sum(a, spec) == exact_dot(a, ones, spec)


@every
@pytest.mark.parametrize("k", [1, 3, 513])
def test_one_nar_anywhere(spec: PositSpec, k: int) -> None:
    rng = np.random.default_rng(k)
    a, b = KINDS["ends"](spec, k, rng)
    for i in range(k) if k < 9 else (0, 1, 255, 510, 511, 512):
        for side in (0, 1):
            pair = [a.copy(), b.copy()]
            pair[side][i] = spec.nar
            pair[1 - side][i] = 0  # not even 0 rescues it
            assert quire.dot(pair[0], pair[1], spec) == spec.nar
        assert quire.sum(np.insert(a, i, spec.nar), spec) == spec.nar


@every
def test_windows_on_both_sides_of_a_machine_word(spec: PositSpec) -> None:
    """A block's worth of the largest significands, and one product 2^w below or above them, so
    that for some w the sum just fits 64 bits, then 128, and then only the limbs."""
    odd = spec.one | ((1 << spec.f_max) - 1)  # 2 - epsilon, or as near as it gets
    x = reference.decode(odd, spec)
    assert x is not None
    a = np.full(512, odd, spec.storage)
    b = a.copy()
    for w in range(-150, 151):
        p = reference.encode(Fraction(2) ** w, spec) | 1  # and a last bit
        y = reference.decode(p, spec)
        assert y is not None
        for sign in (1, -1):
            for k in (0, 511):
                a[k] = sign * p
                want = reference.encode(511 * x * x + sign * x * y, spec)
                assert quire.dot(a, b, spec) == want, (w, sign, k)
                assert quire.dot(-a, b, spec) == -want, (w, sign, k)
                a[k] = odd


@pytest.mark.parametrize("n", [14, 16, 20, 24, 32, 48, 64])
@pytest.mark.parametrize("padding", [0, 1, 509, 510, 511])
def test_the_witness(n: int, padding: int) -> None:
    """v2·v2 - v1·v3 among zeros, with both products in one block of the core or in two."""
    spec = PositSpec(n, 6, 5)
    zeros = np.zeros(padding, spec.storage)
    a = np.concatenate([[2], zeros, [-1]]).astype(spec.storage)
    b = np.concatenate([[2], zeros, [3]]).astype(spec.storage)
    assert quire.dot(a, b, spec) == 1
    assert quire.dot(a, b, spec, layout="exact") == 1
    assert quire.dot(a, b, spec, layout="paper800") == 0


@pytest.mark.parametrize("n", [14, 16, 32, 64])
@kinds
def test_paper800_is_the_quire_step_by_step(kind: str, n: int) -> None:
    spec = PositSpec(n, 6, 5)
    rng = np.random.default_rng(n)
    for k in (1, 7, 513):
        a, b = KINDS[kind](spec, k, rng)
        q = Quire(spec, "paper800")
        for x, y in zip(a, b, strict=True):
            q.fma(x, y)
        assert quire.dot(a, b, spec, layout="paper800") == q.round()


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_threads_do_not_matter(spec: PositSpec) -> None:
    rng = np.random.default_rng(spec.n)
    a, b = KINDS["cancelling"](spec, 1 << 18, rng)
    want = quire.dot(a, b, spec)
    total_ = quire.sum(a, spec)
    for threads in (2, 3, 5):
        assert quire.dot(a, b, spec, threads=threads) == want
        assert quire.sum(a, spec, threads=threads) == total_
    order = rng.permutation(a.size)
    assert quire.dot(a[order], b[order], spec, threads=2) == want
    assert quire.dot(a[::-1], b[::-1], spec) == want


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_shapes_and_strides(spec: PositSpec) -> None:
    rng = np.random.default_rng(spec.n)
    a, b = mixed(spec, (3, 1, 10), rng), mixed(spec, (4, 20), rng)[:, ::-2]
    got = quire.dot(a, b, spec)
    assert got.shape == (3, 4)
    assert got.dtype == spec.storage
    for i in range(3):
        for j in range(4):
            assert got[i, j] == exact_dot(a[i, 0], b[j], spec)
    assert quire.dot(a[0, 0], b[0], spec).shape == ()
    assert quire.dot(a[:, :, :0], b[:, :0], spec).tolist() == [[0] * 4] * 3
    assert quire.dot(a[:0], b, spec).shape == (0, 4)
    square = mixed(spec, (10, 10), rng)
    assert (
        quire.dot(square.T, square[4], spec) == quire.dot(square.T.copy(), square[4], spec)
    ).all()
    same = np.broadcast_to(a[0, 0, :1], 10)  # stride 0
    assert quire.dot(same, same, spec) == exact_dot(same, same, spec)
    crooked = np.zeros(10 * spec.storage.itemsize + 1, np.uint8)[1:].view(spec.storage)
    crooked[:] = a[0, 0]
    assert quire.dot(crooked, crooked, spec) == exact_dot(crooked, crooked, spec)


@every
@pytest.mark.parametrize("layout", ["exact", "paper800"])
def test_many_rows_at_once(spec: PositSpec, layout: str) -> None:
    """Nothing of one row is left in the next: each as if alone, in any memory."""
    if layout == "paper800" and (spec.n <= 12 or (spec.rs, spec.es) != (6, 5)):
        pytest.skip("not a layout of this format")
    rng = np.random.default_rng([spec.n, spec.rs, spec.es, 1])
    pairs = [make(spec, 40, rng) for make in KINDS.values() for _ in range(2)]
    a, b = (np.stack([p[side][:39] for p in pairs if p[0].size >= 39]) for side in (0, 1))
    a[3, 5], b[6, 0], a[-1, -1] = spec.nar, spec.nar, spec.nar
    want = [Quire(spec, layout) for _ in a]
    for q, x, y in zip(want, a, b, strict=True):
        for u, v in zip(x, y, strict=True):
            q.fma(u, v)
    rounded = [int(q.round()) for q in want]
    for x, y in (
        (a, b), (np.asfortranarray(a), b), (a, np.asfortranarray(b)),
        (a[:, ::-1].copy()[:, ::-1], b[::-1].copy()[::-1]), (np.repeat(a, 2, 1)[:, ::2], b),
    ):  # fmt: skip
        assert quire.dot(x, y, spec, layout=layout).tolist() == rounded
        assert quire.dot(x[::-1], y[::-1], spec, layout=layout).tolist() == rounded[::-1]
    ones = np.full(39, spec.one, spec.storage)
    sums = [exact_dot(x, ones, spec) for x in a]
    assert quire.sum(a, spec, axis=1).tolist() == sums
    assert quire.sum(np.asfortranarray(a), spec, axis=-1).tolist() == sums
    assert quire.sum(a.T.copy(), spec, axis=0).tolist() == sums


@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, -3, (0, 1), (2, 0), (0, 1, 2), (1, -1), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_sum_over_axes(axis: Any, keepdims: bool) -> None:
    spec = bposit16
    a = mixed(spec, (3, 4, 5), np.random.default_rng(0))
    a[a == spec.nar] = 5
    got = np.asarray(quire.sum(a, spec, axis=axis, keepdims=keepdims))
    exact = np.array([reference.decode(p, spec) for p in a.flat.base.reshape(-1).tolist()]
                     ).reshape(a.shape)  # fmt: skip
    wanted = np.asarray(exact.sum(axis=axis, keepdims=keepdims))
    assert got.shape == wanted.shape
    assert got.dtype == spec.storage
    for p, v in zip(got.flat, wanted.flat, strict=True):
        assert p == reference.encode(v, spec)


def test_sum_of_nothing_and_of_one() -> None:
    assert quire.sum(np.zeros((0, 3), np.int16), bposit16) == 0
    assert quire.sum(np.zeros((0, 3), np.int16), bposit16, axis=0).tolist() == [0, 0, 0]
    assert quire.sum(np.int16(77), bposit16) == 77
    assert quire.sum([1, 2], bposit16).dtype == np.int16


@pytest.mark.parametrize("axis", [3, -4, (0, 0), (1, -2)])
def test_bad_axes(axis: Any) -> None:
    with pytest.raises(ValueError, match="axis"):
        quire.sum(np.zeros((3, 4, 5), np.int16), bposit16, axis=axis)


@every
def test_norm2(spec: PositSpec) -> None:
    rng = np.random.default_rng(spec.n)
    for k in (0, 1, 2, 30):
        for kind in ("anything", "narrow", "maxima", "smallest", "sparse"):
            a, _ = KINDS[kind](spec, k, rng)
            squares = total(v * v for p in a.tolist() if (v := reference.decode(p, spec)))
            assert rounds_to_root(int(quire.norm2(a, spec)), squares, spec)
    assert quire.norm2(np.array([1, spec.nar, 3], spec.storage), spec) == spec.nar
    assert quire.norm2(mixed(spec, (4, 5), rng)[:, ::2] * 0, spec) == 0


@pytest.mark.parametrize("spec", [bposit16, bposit32], ids=str)
def test_axpy_and_combine(spec: PositSpec) -> None:
    rng = np.random.default_rng(spec.n)
    c, terms = mixed(spec, 4, rng), mixed(spec, (4, 3, 50), rng)
    assert (quire.axpy(c[0], terms[0], terms[1], spec)
            == posit.fma(c[0], terms[0], terms[1], spec)).all()  # fmt: skip
    got = quire.combine(c, list(terms), spec)
    assert got.shape == (3, 50)
    for i in range(3):
        for j in range(50):
            assert got[i, j] == exact_dot(c, terms[:, i, j], spec)
    assert quire.combine(c[:2], [terms[0], terms[0, 0, 0]], spec).shape == (3, 50)


def test_bad_combinations() -> None:
    x = np.zeros(3, np.int16)
    for c, arrays in (([1], [x, x]), ([], []), ([[1]], [x]), ([1, 2], [x, np.zeros(4, np.int16)])):
        with pytest.raises(ValueError, match=r"combine|coefficients|broadcast"):
            quire.combine(np.array(c, np.int16), arrays, bposit16)


@pytest.mark.parametrize(
    ("a", "b", "error"),
    [
        (np.zeros(3, np.int16), np.zeros(4, np.int16), ValueError),
        (np.zeros((2, 3), np.int16), np.zeros((4, 3), np.int16), ValueError),
        (np.int16(1), np.zeros(3, np.int16), ValueError),
        (np.zeros(3, np.int32), np.zeros(3, np.int16), TypeError),
        (np.zeros(3), np.zeros(3, np.int16), TypeError),
        (np.zeros(3, np.int16), [1, 2, 1 << 15], ValueError),
    ],
)
def test_bad_dots(a: Any, b: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        quire.dot(a, b, bposit16)


@pytest.mark.parametrize("threads", [0, -1])
def test_bad_thread_counts(threads: int) -> None:
    x = np.zeros(3, np.int16)
    for call in (quire.dot, quire.matmul):
        with pytest.raises(ValueError, match="threads"):
            call(x, x, bposit16, threads=threads)
    with pytest.raises(ValueError, match="threads"):
        quire.sum(x, bposit16, threads=threads)


@given(data=st.data())
def test_any_format(data: st.DataObject) -> None:
    spec = data.draw(st.sampled_from(every_spec()))
    pattern = st.integers(spec.nar, spec.maxpos_pattern) | st.sampled_from(corners(spec))
    pairs = data.draw(st.lists(st.tuples(pattern, pattern), min_size=1, max_size=20))
    a, b = (np.array(column, spec.storage) for column in zip(*pairs, strict=True))
    dot_is_exact(quire.dot, spec, a, b)


@pytest.mark.slow
@kinds
def test_dot_at_every_format(kind: str, part: Slice) -> None:
    for i, spec in enumerate(part.take(every_spec())):
        rng = np.random.default_rng([i, part.index])
        dot_is_exact(quire.dot, spec, *KINDS[kind](spec, 20, rng))
