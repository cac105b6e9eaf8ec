"""quire's functions of posit arrays: the format is known, posits come back, bits are the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import posit
import quire
from posit import Posit, bposit16, bposit32, standard

from ..formats import mixed

BITS = mixed(bposit16, (4, 6, 6), np.random.default_rng(5))
BITS[bposit16.nar == BITS] = 3
A, B, C, D = (posit.view(x.copy(), bposit16) for x in BITS)

CALLS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = {
    "dot": (quire.dot, (A, B), {}),
    "sum": (quire.sum, (A,), {"axis": 0}),
    "total": (quire.sum, (A,), {}),
    "mean": (quire.mean, (A,), {"axis": 1}),
    "norm2": (quire.norm2, (A,), {}),
    "axpy": (quire.axpy, (A[0, 0], B, C), {}),
    "combine": (quire.combine, (A[0, :3], [B, C, D]), {}),
    "matmul": (quire.matmul, (A, B), {"add": C}),
    "conv": (quire.conv, (A[np.newaxis, np.newaxis], B[np.newaxis, np.newaxis, :2, :2]), {}),
    "residual": (quire.residual, (A, B, C), {}),
}


def bare(x: Any) -> Any:
    """Patterns of whatever is a posit."""
    if isinstance(x, (list, tuple)):
        return [bare(y) for y in x]
    return posit.bits(x) if getattr(x, "dtype", None) == A.dtype else x


@pytest.mark.parametrize("name", CALLS)
def test_posits_in_and_out(name: str) -> None:
    function, operands, options = CALLS[name]
    want = function(*map(bare, operands), bposit16, **{k: bare(v) for k, v in options.items()})
    for spec in (None, bposit16, "bposit16", A.dtype):
        got = function(*operands, **options) if spec is None else function(
            *operands, spec, **options
        )  # fmt: skip
        assert isinstance(got, Posit if np.ndim(want) == 0 else np.ndarray)
        assert got.dtype == A.dtype
        assert np.array_equal(posit.bits(np.asarray(got)), want)
    text = function(*map(bare, operands), "16,6,5", **{k: bare(v) for k, v in options.items()})
    assert np.array_equal(text, want)


def test_solutions() -> None:
    a = np.array([[2, 1], [1, 3]], A.dtype)
    found = quire.solve(a, [3, 5])
    assert found.x.dtype == A.dtype
    assert found.x.tolist() == [0.8, 1.4] or np.allclose(found.x.astype(float), [0.8, 1.4], 1e-2)
    assert found.certified.all()


def test_formats_widen_and_numbers_are_rounded() -> None:
    wide = A.astype(posit.dtype(bposit32))
    assert quire.dot(A, wide).dtype == wide.dtype
    assert np.array_equal(quire.matmul(A, np.eye(6, dtype=int)), A)
    assert quire.axpy(2, A, B).dtype == A.dtype


def test_what_is_refused() -> None:
    with pytest.raises(TypeError, match="which format"):
        quire.sum([1, 2])
    with pytest.raises(TypeError, match="posits need none"):
        quire.sum(A, bposit32)
    with pytest.raises(TypeError, match="do not mix"):
        quire.matmul(A, np.eye(6))
    with pytest.raises(TypeError, match="widening"):
        quire.dot(A, A.astype(posit.dtype(standard(16))))
    assert quire.Quire("bposit16").spec == bposit16
    assert quire.Accumulators(3, "16,6,5").spec == bposit16
