"""matmul depends on its operands alone: not on order, memory, threads or the BLAS. And preloads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import threadpoolctl

import posit
import quire
from posit import PositSpec, bposit16, bposit32, bposit64, standard

from .cases import exact_product, finite, matrices
from .routes import ROUTES, force

Bits = npt.NDArray[np.signedinteger[Any]]

FEW = [PositSpec(13, 6, 5), bposit16, bposit32, bposit64, standard(32)]

few = pytest.mark.parametrize("spec", FEW, ids=str)
routes = pytest.mark.parametrize("route", ROUTES)


def blend(spec: PositSpec, m: int, k: int, n: int) -> tuple[Bits, Bits]:
    """Normal data, among it rows and columns that cancel, of zeros, and of the range's ends."""
    rng = np.random.default_rng([spec.n, m, k, n])
    a, b = (posit.encode(rng.standard_normal(s), spec) for s in ((m, k), (k, n)))
    hard, side = matrices("cancelling", spec, k, rng)
    ends, far = matrices("ends", spec, k, rng)
    a[1:13] = np.concatenate([hard, ends])
    b[:, 2:8] = np.concatenate([side, far], axis=1)
    return a, b


@few
@routes
def test_threads(route: str, spec: PositSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, route)
    monkeypatch.setattr(quire.certified, "_PIECE", 1)  # so that small matrices are shared out
    a, b = blend(spec, 29, 41, 17)
    want = exact_product(a, b, spec)
    for threads in (1, 2, 3, 40, None):
        assert (quire.matmul(a, b, spec, threads=threads) == want).all(), threads


@few
@routes
def test_order_of_the_terms(route: str, spec: PositSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, route)
    a, b = blend(spec, 20, 41, 9)
    want = exact_product(a, b, spec)
    rng = np.random.default_rng(0)
    for order in (rng.permutation(41), np.arange(41)[::-1]):
        assert (quire.matmul(a[:, order], b[order], spec) == want).all()


def padded(x: Bits) -> Bits:
    """Every other element of a larger array, backwards."""
    wide = np.zeros((x.shape[0], 2 * x.shape[1]), x.dtype)
    wide[:, ::-2] = x
    return wide[:, ::-2]


def crooked(x: Bits) -> Bits:
    made = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    made[...] = x
    return made


MEMORY: dict[str, Callable[[Bits], Bits]] = {
    "columns": np.asfortranarray,
    "spaced": padded,
    "spaced columns": lambda x: padded(x.T.copy()).T,
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "misaligned": crooked,
}


@few
@routes
def test_memory(route: str, spec: PositSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, route)
    a, b = blend(spec, 20, 41, 9)
    want = exact_product(a, b, spec)
    for how, moved in MEMORY.items():
        x, y = moved(a), moved(b)
        assert (x == a).all()
        assert (quire.matmul(x, b, spec) == want).all(), how
        assert (quire.matmul(a, y, spec) == want).all(), how
        assert (quire.matmul(x, y, spec, add=moved(want * 0)) == want).all(), how
    assert (quire.matmul(b.T, a.T, spec) == want.T).all()
    for same in (np.broadcast_to(a[3], (20, 41)), np.broadcast_to(a[3, 0], (20, 41)),
                 np.broadcast_to(a[:, :1], (20, 41))):  # fmt: skip
        assert (quire.matmul(same, b, spec) == exact_product(same, b, spec)).all()
        assert (quire.matmul(b.T, same.T, spec) == exact_product(b.T, same.T, spec)).all()
    assert (a == blend(spec, 20, 41, 9)[0]).all()  # operands are read only


@routes
def test_batches(route: str, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, route)
    rng = np.random.default_rng(5)
    for left, right in (((3, 4, 9), (9, 5)), ((2, 1, 4, 9), (3, 9, 2)), ((4, 9), (3, 9, 5)),
                        ((3, 4, 9), (1, 9, 5)), ((0, 4, 9), (9, 5))):  # fmt: skip
        a, b = finite(bposit16, left, rng), finite(bposit16, right, rng)
        want = exact_product(a, b, bposit16)
        stats: dict[str, int] = {}
        assert (quire.matmul(a, b, bposit16, stats=stats) == want).all()
        assert sum(stats.values()) == want.size
        add = finite(bposit16, want.shape, rng)
        got = quire.matmul(a, b, bposit16, add=add)
        assert (got == exact_product(a, b, bposit16, add)).all()


@pytest.mark.parametrize("spec", [bposit16, bposit32], ids=str)
def test_threads_of_the_blas(spec: PositSpec) -> None:
    """Large enough for the BLAS to share out: its float64 sums may differ, our bits may not."""
    a, b = blend(spec, 200, 301, 150)
    want = None
    for blas in (1, 2):
        with threadpoolctl.threadpool_limits(blas, user_api="blas"):
            got = quire.matmul(a, b, spec)
        want = got if want is None else want
        assert (got == want).all()
    some = np.s_[:14]
    assert (want[some, :9] == exact_product(a[some], b[:, :9], spec)).all()


@few
@routes
def test_preloads(route: str, spec: PositSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, route)
    rng = np.random.default_rng(spec.n)
    a, b = blend(spec, 20, 41, 9)
    product = quire.matmul(a, b, spec)
    for add in (finite(spec, (20, 9), rng), finite(spec, (9,), rng), finite(spec, (20, 1), rng),
                finite(spec, (), rng), np.negative(product)):  # fmt: skip
        full = np.broadcast_to(add, (20, 9))
        got = quire.matmul(a, b, spec, add=add, threads=2)
        assert (got == exact_product(a, b, spec, full)).all()
    add = full.copy()
    add[4, 4] = spec.nar
    assert (quire.matmul(a, b, spec, add=add) == exact_product(a, b, spec, add)).all()
    line = finite(spec, (9,), rng)
    got = quire.matmul(a[0], b, spec, add=line)
    assert (got == exact_product(a[:1], b, spec, line[np.newaxis])[0]).all()
    column = finite(spec, (20,), rng)
    got = quire.matmul(a, b[:, 0], spec, add=column)
    assert (got == exact_product(a, b[:, :1], spec, column[:, np.newaxis])[:, 0]).all()
    one = quire.matmul(a[0], b[:, 0], spec, add=column[5])
    assert one == exact_product(a[:1], b[:, :1], spec, column[5:6, np.newaxis])[0, 0]


@few
def test_a_preload_is_not_rounded_before(spec: PositSpec) -> None:
    """maxpos + minpos·minpos - maxpos, and WᵀW - I where float64 has nothing left."""
    top, one = spec.maxpos_pattern, spec.one
    a, b = np.array([[1, top]], spec.storage), np.array([[1], [one]], spec.storage)
    assert quire.matmul(a, b, spec, add=[[-top]])[0, 0] == quire.Quire(spec).fma(1, 1).round()
    rng = np.random.default_rng(0)
    w = posit.encode(np.linalg.qr(rng.standard_normal((24, 24)))[0], spec)
    eye = posit.encode(-np.eye(24), spec)
    got = quire.matmul(w.T, w, spec, add=eye)
    assert (got == exact_product(w.T, w, spec, eye)).all()


@pytest.mark.parametrize(
    ("add", "error"),
    [
        (np.zeros((3, 3), np.int16), ValueError), (np.zeros((1, 2, 3), np.int16), ValueError),
        (np.zeros((2, 3), np.int32), TypeError), (np.zeros((2, 3)), TypeError),
        ([[1 << 15] * 3] * 2, ValueError),
    ],
)  # fmt: skip
def test_bad_preloads(add: Any, error: type[Exception]) -> None:
    x = np.zeros((2, 4), np.int16)
    with pytest.raises(error):
        quire.matmul(x, np.zeros((4, 3), np.int16), bposit16, add=add)
