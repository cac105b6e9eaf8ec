"""What docs/numpy.md says that NumPy cannot do with posits, and what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import posit
from posit import Posit, bposit16

from .dtype_arrays import made

D16 = posit.dtype(bposit16)
X = made([1.5, np.nan, -3, 2])
OK = ~np.isnan(X)
A = made([1.5, 2, 3])
MASKED = np.ma.array(A, mask=[False, True, False])


def same(got: Any, want: Any) -> bool:
    """Equal, and of posits; NaR equals itself."""
    return got.dtype == D16 and np.array_equal(got, made(want))


def is_nar(value: Any) -> bool:
    return isinstance(value, Posit) and value.is_nar


@pytest.mark.parametrize("name", ["nansum", "nanprod", "nanmean", "nanvar", "nanstd"])
def test_nan_reductions_give_nar(name: str) -> None:
    assert is_nar(getattr(np, name)(X))


@pytest.mark.parametrize("name", ["nancumsum", "nancumprod"])
def test_nan_running_totals_give_nar(name: str) -> None:
    assert np.isnan(getattr(np, name)(X)).tolist() == [False, True, True, True]


def test_nan_functions_that_skip_it() -> None:
    found = np.nanmax(X), np.nanmin(X), np.nanmedian(X), np.nanquantile(X, 0.5)
    assert found == (2, -3, 1.5, 1.5)
    assert np.nanpercentile(X, 50) == np.fmax.reduce(X) - 0.5 == 1.5


def test_nan_functions_that_find_it() -> None:
    assert np.nanargmax(X) == np.nanargmin(X) == np.argmax(X) == np.argmin(X) == 1
    assert is_nar(np.nan_to_num(X)[1])
    assert is_nar(np.max(X))
    assert is_nar(np.min(X))


def test_without_nar() -> None:
    assert np.sum(X, where=OK) == posit.sum(X[OK]) == posit.sum(np.where(OK, X, 0)) == 0.5
    assert np.prod(X, where=OK) == -9
    assert same(np.sum(X.reshape(2, 2), 1, where=OK.reshape(2, 2)), [1.5, -1])
    assert same(np.cumsum(np.where(OK, X, 0)), [1.5, 1.5, -1.5, 0.5])
    assert same(np.cumprod(np.where(OK, X, 1)), [1.5, 1.5, -4.5, -9])
    assert np.flatnonzero(OK)[X[OK].argmax()] == 3
    assert np.flatnonzero(OK)[X[OK].argmin()] == 2


def test_nar_is_least_to_quantiles() -> None:
    assert is_nar(np.percentile(X, 0))
    assert np.median(X) == np.quantile(X, 0.5) == np.percentile(X, 50) == -0.75
    assert is_nar(posit.median(X))


FAILS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "float64 scalars": (lambda: A * np.sqrt(2), TypeError, "do not mix implicitly"),
    "add.at of a float": (lambda: np.add.at(A.copy(), [0], 1.5), TypeError, "do not mix"),
    "lists of floats": (lambda: A * [0.5, 1, 2], TypeError, "do not mix"),
    "an array of q": (lambda: np.quantile(A, [0.25, 0.5]), TypeError, "do not mix"),
    "searchsorted": (lambda: np.searchsorted(np.arange(5), A), TypeError, "Cannot cast"),
    "digitize": (lambda: np.digitize(A, [0, 2]), TypeError, "Cannot cast"),
    "vectorize": (lambda: np.vectorize(lambda x: x)(A), TypeError, "not understood"),
    "vdot": (lambda: np.vdot(A, A), TypeError, "native NumPy dtypes"),
    "a matrix": (lambda: A.view(np.matrix) * 2, TypeError, "native NumPy dtypes"),
    "masked max": (lambda: MASKED.max(), TypeError, "Unsuitable type"),
    "masked min": (lambda: MASKED.min(), TypeError, "Unsuitable type"),
    "masked sort": (lambda: MASKED.copy().sort(), TypeError, "Unsuitable type"),
    "masked median": (lambda: np.ma.median(MASKED), TypeError, "Unsuitable type"),
    "filled": (lambda: MASKED.filled(), ValueError, "not a number"),
    "memoryview": (lambda: memoryview(A), ValueError, "buffer"),
    "data": (lambda: A.data, ValueError, "buffer"),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("what", FAILS)
def test_what_numpy_refuses(what: str) -> None:
    use, error, text = FAILS[what]
    with pytest.raises(error, match=text):
        use()


def test_what_to_write_instead() -> None:
    b = A.copy()
    np.add.at(b, [0], Posit(1.5, D16))
    assert same(b, [3, 2, 3])
    assert (A * float(np.sqrt(2))).dtype == D16
    assert A[0] * np.sqrt(2) == (A * 2**0.5)[0]
    assert (
        [np.quantile(A, q) for q in (0, 0.5)] == np.quantile(A, made([0, 0.5])).tolist() == [1.5, 2]
    )
    assert np.searchsorted(np.arange(5).astype(D16), A).tolist() == [2, 2, 3]
    assert np.searchsorted(A, [1.5, 2.5]).tolist() == [0, 2]
    assert same(np.vectorize(lambda x: x * x, otypes=[D16])(A), [2.25, 4, 9])
    assert np.vecdot(A, A) == posit.dot(A, A) == 15.25
    assert (MASKED.sum(), MASKED.mean(), MASKED.compressed().max()) == (4.5, 2.25, 3)
    assert same(MASKED.filled(0), [1.5, 0, 3])
    assert bytes(memoryview(posit.bits(A))) == A.tobytes()
    assert np.array([A[0], 0.5]).dtype == object
    assert same(np.array([A[0], 0.5], D16), [1.5, 0.5])


def test_partition_of_the_patterns() -> None:
    v = made(np.random.default_rng(0).normal(size=101))
    want = np.sort(v)
    posit.bits(v).partition(50)
    assert v[50] == want[50]
    assert (v[:50] <= v[50]).all()
    assert (v[51:] >= v[50]).all()


def test_nar_as_an_integer() -> None:
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert X.astype(int).tolist() == [1, 0, -3, 2]
    assert X.astype(bool).all()
    with pytest.raises(ValueError, match="NaR"):
        int(X[1])


def test_scalars_compare_exactly_and_arrays_round() -> None:
    tenth = made([0.1])
    assert tenth[0] != 0.1
    assert (tenth == 0.1).all()
    assert hash(tenth[0]) == hash(float(tenth[0]))
