"""Linear systems: what is certified is right; and what cannot be, is not."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import posit
import quire
from posit import PositSpec, bposit16, bposit32, bposit64, reference

from ..oracle import boundary
from .cases import exact_product, finite
from .systems import bits, certified_wrongly, every, rounded

Bits = npt.NDArray[np.signedinteger[Any]]


def solves(a: Bits, b: Bits, spec: PositSpec) -> None:
    assert certified_wrongly(a, b, spec) == (b.size, 0)


# ---- what is certified is right


@every
@pytest.mark.parametrize("n", [1, 2, 7])
def test_random_systems(n: int, spec: PositSpec) -> None:
    rng = np.random.default_rng([n, spec.n, spec.rs])
    for _ in range(5):
        a = posit.encode(rng.standard_normal((n, n)) + 2 * np.eye(n), spec)
        solves(a, posit.encode(rng.standard_normal((n, 3)), spec), spec)


@every
def test_one_right_hand_side_is_a_column(spec: PositSpec) -> None:
    rng = np.random.default_rng(spec.n)
    a, b = (posit.encode(rng.standard_normal(s) + 3, spec) for s in ((4, 4), (4, 2)))
    both = quire.solve(a, b, spec)
    one = quire.solve(a, b[:, 0], spec)
    assert one.x.shape == one.certified.shape == (4,)
    assert both.certified.all()
    assert one.certified.all()
    assert (one.x == both.x[:, 0]).all()
    turned = quire.solve(np.asfortranarray(a), b[:, ::-1], spec)
    assert (turned.x == both.x[:, ::-1]).all()


@every
def test_any_patterns(spec: PositSpec) -> None:
    rng = np.random.default_rng([1, spec.n, spec.rs])
    for _ in range(20):
        a, b = finite(spec, (3, 3), rng), finite(spec, (3, 2), rng)
        try:
            assert certified_wrongly(a, b, spec)[1] == 0
        except (np.linalg.LinAlgError, StopIteration):
            continue


@every
@pytest.mark.parametrize("n", [3, 5, 8])
def test_hilbert_matrices(n: int, spec: PositSpec) -> None:
    """Condition numbers up to 10^10, if the format holds 1/(i + j + 1) well."""
    i = np.arange(n)
    a = posit.encode(1.0 / (i + i[:, np.newaxis] + 1), spec)
    b = posit.encode(np.eye(n)[:, :2], spec)
    try:
        count, wrong = certified_wrongly(a, b, spec)
    except np.linalg.LinAlgError:  # rounded to 8 bits, lines are equal
        assert spec.n == 8
    else:
        assert wrong == 0
        assert count == b.size or spec.n == 8


@every
def test_integers_with_exact_solutions(spec: PositSpec) -> None:
    """Zeros too: the sum of posits reaches the solution, and no bound is left."""
    rng = np.random.default_rng(spec.n)
    for _ in range(10):
        lower, upper = np.tril(rng.integers(-1, 2, (2, 4, 4)), -1)
        a = (lower + np.eye(4, dtype=int)) @ (upper.T + np.eye(4, dtype=int))
        x = rng.integers(-1, 2, (4, 2))
        if np.abs(a).max() <= 4 and np.abs(a @ x).max() <= 8:
            made = [bits(v.tolist(), spec) for v in (a, a @ x, x)]
            found = quire.solve(made[0], made[1], spec)
            assert (found.x == made[2]).all()
            assert found.certified.all()


def tie(spec: PositSpec, push: int) -> tuple[Bits, Bits, list[Fraction]]:
    """A solution that begins half-way between 1 and the next pattern, or a little beside that."""
    f = Fraction(1, 1 << spec.f_max)
    small = push * Fraction(1, 1 << spec.reach // 2)
    a = bits([[1, 1, 1], [1, -1, 0], [0, 0, 1]], spec)
    return (
        a,
        bits([1 + f, Fraction(1), small], spec),
        [1 + f / 2 - small / 2, (f - small) / 2, small],
    )


@every
@pytest.mark.parametrize("push", [-1, 0, 1])
def test_ties_and_their_neighbours(push: int, spec: PositSpec) -> None:
    a, b, x = tie(spec, push)
    assert boundary(spec.one, spec) == x[0] + x[2] / 2
    found = quire.solve(a, b, spec)
    want = rounded([x], spec)[0]
    assert want[0] == spec.one + (push < 0)  # even, unless pushed upwards
    assert (found.x == want).all()
    assert found.certified.all()


# ---- what cannot be solved, or not proven


def test_ill_conditioned_beyond_float64() -> None:
    """Hilbert's matrix of 14 lines, in integers: 10^19; nothing is claimed."""
    common = int(np.lcm.reduce(np.arange(1, 28, dtype=object)))
    a = [[Fraction(common // (i + j + 1)) for j in range(14)] for i in range(14)]
    found = quire.solve(bits(a, bposit64), bits([Fraction(1)] * 14, bposit64), bposit64)
    assert not found.certified.any()


@pytest.mark.parametrize("spec", [bposit16, bposit64], ids=str)
def test_singular_matrices(spec: PositSpec) -> None:
    for a in (np.zeros((2, 2)), np.ones((3, 3)), np.diag([1.0, 0.0])):
        with pytest.raises(np.linalg.LinAlgError):
            quire.solve(posit.encode(a, spec), posit.encode(np.ones(len(a)), spec), spec)
    for n in (3, 4, 5):  # float64 meets no zero pivot in some
        a = posit.encode(np.arange(n * n).reshape(n, n) * 1.0, spec)
        try:
            assert not quire.solve(a, a[0], spec).certified.any()
        except np.linalg.LinAlgError:
            continue


def test_beyond_float64_nothing_is_claimed() -> None:
    spec = PositSpec(24, 16, 8)
    huge, one = bits([[Fraction(2) ** 2000]], spec), bits([[1]], spec)
    for a, b in ((huge, one), (one, huge), (huge, huge)):
        assert not quire.solve(a, b, spec).certified.any()


@pytest.mark.parametrize(
    ("a", "b", "error"),
    [
        ((2, 3), (2,), ValueError), ((2, 2, 2), (2, 2), ValueError), ((2, 2), (3,), ValueError),
        ((2, 2), (), ValueError), ((2,), (2,), ValueError), ((2, 2), (2, 1, 1), ValueError),
    ],
)  # fmt: skip
def test_shapes(a: tuple[int, ...], b: tuple[int, ...], error: type[Exception]) -> None:
    with pytest.raises(error, match="solve"):
        quire.solve(np.zeros(a, np.int16), np.zeros(b, np.int16), bposit16)


def test_bad_operands() -> None:
    one, nar = bits([[1]], bposit16), np.array([[bposit16.nar]], np.int16)
    for a, b in ((one, nar), (nar, one)):
        with pytest.raises(np.linalg.LinAlgError, match="NaR"):
            quire.solve(a, b, bposit16)
    with pytest.raises(TypeError):
        quire.solve(one.astype(np.int32), one, bposit16)
    with pytest.raises(TypeError):
        quire.solve(np.eye(2), np.eye(2), bposit16)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_nothing_to_solve(shape: tuple[int, ...]) -> None:
    a = np.eye(shape[0], dtype=np.int16)
    found = quire.solve(a, np.zeros(shape, np.int16), bposit16)
    assert found.x.shape == found.certified.shape == shape
    assert found.steps == 0


# ---- residuals


@every
def test_residuals_when_all_digits_cancel(spec: PositSpec) -> None:
    rng = np.random.default_rng(spec.n)
    a = finite(spec, (5, 6), rng)
    x = np.repeat(finite(spec, (3, 2), rng), 2, axis=0)
    a[:, 1::2] = -a[:, ::2]  # a·x = 0
    x[0] = spec.one
    a[:, 0] = finite(spec, (5,), rng)
    a[:, 1] = spec.nar + 1  # and the rest of b
    b = a[:, :1] + np.zeros((1, 2), spec.storage)
    got = quire.residual(a, x, b, spec)
    assert (got == exact_product(a, -x, spec, b)).all()
    assert (quire.residual(a, x[:, 0], b[:, 0], spec) == got[:, 0]).all()


def test_a_residual_of_a_solution() -> None:
    """Of (1/3)·3: what float64 takes for zero."""
    a, x = posit.encode([[3.0]], bposit32), posit.encode([1 / 3], bposit32)
    left = reference.decode(int(quire.residual(a, x, bits([1], bposit32), bposit32)[0]), bposit32)
    third = reference.decode(int(x[0]), bposit32)
    assert third is not None
    assert left == 1 - 3 * third != 0
