"""matmul: NumPy's shape rules, every element the exact sum rounded once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import quire
from posit import PositSpec, bposit16, bposit64

from .cases import EXTREME, KINDS, SPECS, exact_dot, exact_product, finite
from .routes import ROUTES, force, module

Bits = npt.NDArray[np.signedinteger[Any]]

every = pytest.mark.parametrize("spec", SPECS + EXTREME, ids=str)


def assert_product(got: Bits, a: Bits, b: Bits, spec: PositSpec, add: Bits | None = None) -> None:
    """For (…, M, K) and (…, K, N) that broadcast."""
    want = exact_product(a, b, spec, add)
    assert got.dtype == spec.storage
    assert got.shape == want.shape
    wrong = np.argwhere(got != want)
    assert not wrong.size, f"{spec}: {len(wrong)} wrong, the first at {wrong[0]}"


@every
@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1), (3, 7, 2), (2, 513, 3), (1, 4097, 1), (70, 60, 1), (1, 65, 64), (9, 2, 1)],
    ids=str,
)
def test_shapes(spec: PositSpec, shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    rng = np.random.default_rng([spec.n, *shape])
    a, b = finite(spec, (m, k), rng), finite(spec, (k, n), rng)
    assert_product(quire.matmul(a, b, spec), a, b, spec)


@every
@pytest.mark.parametrize("route", ROUTES)
def test_nothing_to_do(route: str, spec: PositSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """No terms give zeros, or the preload; no elements, none."""
    force(monkeypatch, route)
    add = finite(spec, (5, 4), np.random.default_rng(0))
    for shape in ((5, 0, 4), (0, 3, 4), (5, 3, 0), (0, 0, 0), (5, 0, 0)):
        m, k, n = shape
        a, b = np.zeros((m, k), spec.storage), np.zeros((k, n), spec.storage)
        got = quire.matmul(a, b, spec)
        assert got.shape == (m, n)
        assert got.dtype == spec.storage
        assert not got.any()
        assert (quire.matmul(a, b, spec, add=add[:m, :n]) == add[:m, :n]).all()
        stats: dict[str, int] = {}
        assert quire.matmul(a[None], b, spec, stats=stats).shape == (1, m, n)
        assert sum(stats.values()) == m * n


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_hard_sums(kind: str, spec: PositSpec) -> None:
    a, b = KINDS[kind](spec, 41, np.random.default_rng(spec.n))
    left, right = np.stack([a, -a, a[::-1]]), np.stack([b, b[::-1]], axis=-1)
    assert_product(quire.matmul(left, right, spec), left, right, spec)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((4, 2, 3), (3, 5)), ((2, 3), (4, 3, 5)), ((4, 1, 2, 3), (6, 3, 1)), ((0, 2, 3), (3, 5)),
        ((1, 2, 3), (7, 3, 2)), ((2, 0, 3), (2, 3, 4)), ((2, 3, 4), (2, 4, 0)),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("threads", [1, 3])
def test_batches(left: tuple[int, ...], right: tuple[int, ...], threads: int) -> None:
    rng = np.random.default_rng(1)
    a, b = finite(bposit16, left, rng), finite(bposit16, right, rng)
    assert_product(quire.matmul(a, b, bposit16, threads=threads), a, b, bposit16)


@pytest.mark.parametrize("spec", [bposit16, bposit64], ids=str)
def test_one_axis_operands(spec: PositSpec) -> None:
    rng = np.random.default_rng(2)
    a, b, batch = finite(spec, (6,), rng), finite(spec, (6, 4), rng), finite(spec, (3, 5, 6), rng)
    assert quire.matmul(a, a, spec) == exact_dot(a, a, spec)
    assert np.shape(quire.matmul(a, a, spec)) == ()
    assert (quire.matmul(a, b, spec) == quire.matmul(a[None], b, spec)[0]).all()
    assert (quire.matmul(b.T, a, spec) == quire.matmul(b.T, a[:, None], spec)[:, 0]).all()
    got = quire.matmul(batch, a, spec)
    assert got.shape == (3, 5)
    assert (got == quire.matmul(batch, a[:, None], spec)[..., 0]).all()
    assert quire.matmul(a, batch.transpose(0, 2, 1), spec).shape == (3, 5)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_strides_and_transposes(spec: PositSpec) -> None:
    rng = np.random.default_rng(spec.n)
    big = finite(spec, (12, 14), rng)
    a, b = big[::2, ::-2], big.T[3:10, ::3]
    assert not a.flags.c_contiguous
    assert_product(quire.matmul(a, b, spec), a, b, spec)
    assert_product(quire.matmul(big, big.T, spec), big, big.T, spec)
    same = np.broadcast_to(big[0, 0], (3, 5))  # both strides 0
    assert_product(quire.matmul(same, same.T, spec), same, same.T, spec)
    swapped = np.asfortranarray(big)
    assert (quire.matmul(swapped, swapped.T, spec) == quire.matmul(big, big.T, spec)).all()
    item = spec.storage.itemsize
    raw = np.zeros(big.size * item + 1, np.uint8)
    crooked = raw[1:].view(spec.storage).reshape(big.shape)
    crooked[...] = big
    assert crooked.flags.aligned == (item == 1)
    assert (quire.matmul(crooked, crooked.T, spec) == quire.matmul(big, big.T, spec)).all()


@every
def test_nar_stays_in_its_row_and_column(spec: PositSpec) -> None:
    rng = np.random.default_rng(3)
    a, b = finite(spec, (3, 5), rng), finite(spec, (5, 4), rng)
    a[1, 4], b[2, 3] = spec.nar, spec.nar
    got = quire.matmul(a, b, spec)
    assert_product(got, a, b, spec)
    nar = np.zeros((3, 4), bool)
    nar[1, :], nar[:, 3] = True, True
    assert ((got == spec.nar) == nar).all()


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_threads_do_not_matter(spec: PositSpec) -> None:
    rng = np.random.default_rng(spec.n)
    a, b = finite(spec, (37, 19), rng), finite(spec, (19, 23), rng)
    want = quire.matmul(a, b, spec)
    for threads in (2, 3, 8, 64):
        assert (quire.matmul(a, b, spec, threads=threads) == want).all()


@pytest.mark.parametrize("route", ["slices", "quires alone", "slices alone"])
def test_many_bands(route: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More sums than are alive at a time."""
    force(monkeypatch, route)
    monkeypatch.setattr(module, "_BAND", 100)
    rng = np.random.default_rng(4)
    a, b = finite(bposit16, (13, 9), rng), finite(bposit16, (9, 30), rng)
    add = finite(bposit16, (13, 30), rng)
    assert_product(quire.matmul(a, b, bposit16, add=add), a, b, bposit16, add)


@pytest.mark.parametrize("n", [14, 16, 20, 24, 32, 48, 64])
def test_the_witness(n: int) -> None:
    spec = PositSpec(n, 6, 5)
    a = np.array([[2, -1], [-2, 1]], spec.storage)
    b = np.array([[2, 0], [3, 0]], spec.storage)
    assert quire.matmul(a, b, spec).tolist() == [[1, 0], [-1, 0]]
    assert quire.matmul(a, b, spec, layout="paper800").tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("a", "b", "error"),
    [
        (np.zeros((2, 3), np.int16), np.zeros((4, 2), np.int16), ValueError),
        (np.zeros((2, 2, 3), np.int16), np.zeros((3, 3, 2), np.int16), ValueError),
        (np.zeros(3, np.int16), np.zeros(4, np.int16), ValueError),
        (np.int16(1), np.zeros((3, 3), np.int16), ValueError),
        (np.zeros((2, 3), np.int32), np.zeros((3, 2), np.int16), TypeError),
        (np.zeros((2, 3)), np.zeros((3, 2)), TypeError),
        ([[1 << 15]], [[0]], ValueError),
    ],
)
def test_bad_operands(a: Any, b: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        quire.matmul(a, b, bposit16)


def test_a_pattern_out_of_range_is_refused() -> None:
    spec = PositSpec(13, 6, 5)
    good, bad = np.zeros((2, 2), np.int16), np.full((2, 2), 1 << 12, np.int16)
    for a, b in ((good, bad), (bad, good)):
        with pytest.raises(ValueError, match="4096"):
            quire.matmul(a, b, spec)
