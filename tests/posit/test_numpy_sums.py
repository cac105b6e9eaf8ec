"""What docs/numpy.md says about sums in NumPy: which are exact, and which round on the way."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import posit

from .dtype_arrays import SPECS, layouts

Array = npt.NDArray[Any]
Sum = Callable[[Array], Any]

EXACT: dict[str, tuple[tuple[int, ...], Sum, Sum]] = {
    "1-D": ((1000,), np.sum, posit.sum),
    "many": ((100_000,), np.sum, posit.sum),
    "every third": ((3000,), lambda a: a[::3].sum(), lambda a: posit.sum(a[::3])),
    "backwards": ((1000,), lambda a: a[::-1].sum(), posit.sum),
    "misaligned": (
        (1000,),
        lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).sum(),
        posit.sum,
    ),
    "all of a contiguous array": ((5, 6, 70), np.sum, posit.sum),
    "all of a Fortran array": ((50, 60), lambda a: a.T.sum(), posit.sum),
    "the last axis": ((50, 60), lambda a: a.sum(-1), lambda a: posit.sum(a, -1)),
    "the last axes": ((5, 6, 70), lambda a: a.sum((1, 2)), lambda a: posit.sum(a, (1, 2))),
    "the first axis of a Fortran array": (
        (50, 60), lambda a: np.asfortranarray(a).sum(0), lambda a: posit.sum(a, 0),
    ),
    "initial=": ((999,), lambda a: a[1:].sum(initial=a[0]), posit.sum),
    "cumsum": (
        (200,), np.cumsum, lambda a: np.array([posit.sum(a[: i + 1]) for i in range(a.size)]),
    ),
    "cumsum down the columns": ((20, 30), lambda a: np.cumsum(a, 0)[-1], lambda a: posit.sum(a, 0)),
    "reduceat": (
        (1000,), lambda a: np.add.reduceat(a, [0, 500]), lambda a: posit.sum(a.reshape(2, 500), 1),
    ),
    "@": ((20, 30), lambda a: a @ a.T, lambda a: posit.einsum("ik,jk->ij", a, a)),
    "vecdot": ((20, 30), lambda a: np.vecdot(a, a), lambda a: posit.einsum("ij,ij->i", a, a)),
    "the middle two": ((1000,), np.median, posit.median),
}  # fmt: skip

ROUNDED: dict[str, tuple[tuple[int, ...], Sum, Sum]] = {
    "the first axis": ((50, 60), lambda a: a.sum(0), lambda a: posit.sum(a, 0)),
    "the middle axis": ((5, 60, 7), lambda a: a.sum(1), lambda a: posit.sum(a, 1)),
    "rows with gaps": ((600, 61), lambda a: a[:, ::2].sum(), lambda a: posit.sum(a[:, ::2])),
    "where=": ((1000,), lambda a: a.sum(where=a > 0), lambda a: posit.sum(a[a > 0])),
    "mean": ((999,), np.mean, posit.mean),
    "var": ((999,), np.var, posit.var),
    "std": ((999,), np.std, posit.std),
}


def differences(shape: tuple[int, ...], theirs: Sum, ours: Sum) -> int:
    """Of 20 arrays, on how many NumPy's result and the exact one differ."""
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = rng.standard_normal(shape) * 2.0 ** rng.integers(-30, 30, shape)
        a = values.astype(posit.dtype(posit.bposit16))
        found += not np.array_equal(theirs(a), ours(a))
    return found


@pytest.mark.parametrize("name", EXACT)
def test_exact(name: str) -> None:
    assert differences(*EXACT[name]) == 0


@pytest.mark.parametrize("name", ROUNDED)
def test_rounded_on_the_way(name: str) -> None:
    """If one of these fails, NumPy or the dtype has become better: say so in docs/numpy.md."""
    assert differences(*ROUNDED[name]) > 0


def test_add_at_rounds_each_time() -> None:
    total = np.zeros(1, posit.dtype(posit.bposit16))
    np.add.at(total, [0, 0, 0], np.array([1e20, 3, -1e20], total.dtype))
    assert total[0] == 0


REFUSED: dict[str, Callable[[Array], Any]] = {
    "dot": lambda a: np.dot(a, a),
    "inner": lambda a: np.inner(a, a),
    "tensordot": lambda a: np.tensordot(a, a, 1),
    "convolve": lambda a: np.convolve(a, a),
    "einsum": lambda a: np.einsum("i,i->", a, a),
    "sum(dtype=)": lambda a: np.sum(a, dtype=a.dtype),
    "average": lambda a: np.average(a),
    "weighted average": lambda a: np.average(a, weights=a),
    "histogram": lambda a: np.histogram(a),
    "cov": lambda a: np.cov(a),
    "corrcoef": lambda a: np.corrcoef(a, a),
    "fft": lambda a: np.fft.fft(a),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    with pytest.raises(TypeError):
        REFUSED[name](np.array([1, 2, 3], dtype=posit.dtype(posit.bposit16)))


def test_what_leaves_posits_for_float64() -> None:
    a = np.array([1, 2, 4], dtype=posit.dtype(posit.bposit16))
    for found in (np.linalg.norm(a), np.interp(1.5, a, a), np.gradient(a)):
        assert np.asarray(found).dtype == np.float64


def test_median_and_nar() -> None:
    a = np.array([3, np.nan, -1], dtype=posit.dtype(posit.bposit16))
    assert posit.median(a).is_nar
    assert np.median(a) == -1


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_running_sums_go_on_where_float64_ends(spec: posit.PositSpec) -> None:
    """Exact in float64 at first, then not, at places within a block and at its edges."""
    near = np.random.default_rng(3).standard_normal(1100).astype(posit.dtype(spec))
    for at in (0, 1, 511, 512, 513, 1024, 1099, None):
        a = near.copy()
        if at is not None:
            a[at] = posit.Posit.from_bits(spec.maxpos_pattern - 1, spec)
            a[at + 1 : at + 2] = posit.Posit.from_bits(1, spec)
            a[at + 2 : at + 3] = posit.Posit.from_bits(-(spec.maxpos_pattern - 1), spec)
        total, want = Fraction(0), []
        for x in a:
            total += x.as_fraction()
            want.append(posit.reference.encode(total, spec))
        for what, x in layouts(a):
            assert posit.bits(np.cumsum(x)).tolist() == want, (at, what)
            if x.flags.writeable:
                np.cumsum(x, out=x)
                assert posit.bits(x).tolist() == want, (at, what)
    a[700] = posit.NaR
    found = np.cumsum(a)
    assert posit.bits(found[:700]).tolist() == want[:700]
    assert np.isnan(found[700:]).all()
