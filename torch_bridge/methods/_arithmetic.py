"""Number types in which one and the same NumPy code runs: what is stored, how products are summed.

An array of a posit dtype rounds every operation once, and its ``@`` is a quire's. ml_dtypes'
bfloat16 rounds every operation too; its products are summed in float32, as accelerators do, and
rounded once. So a filter written with ``+ - * / @`` runs in each of them, without a copy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import posit
import quire  # noqa: F401  posit arrays' `@` of any size goes through it

__all__ = ["ARITHMETICS", "FLOAT64", "Arithmetic", "Array", "Doubles", "arithmetic", "each_op"]

Array = npt.NDArray[Any]
Doubles = npt.NDArray[np.floating[Any]]  # float64; NumPy's linalg is typed no closer


@dataclass(frozen=True)
class Arithmetic:
    """A number type.

    Parameters
    ----------
    name : str
    dtype : numpy dtype
    matmul : callable
        Product of two arrays of the dtype, of one or two axes, in the dtype.
    """

    name: str
    dtype: np.dtype[Any]
    matmul: Callable[[Array, Array], Any] = np.matmul

    def array(self, x: npt.ArrayLike) -> Array:
        """The numbers x, each rounded once."""
        return np.asarray(x).astype(self.dtype)

    def number(self, x: float) -> Any:
        """One number, rounded."""
        return self.array([x])[0]


def each_op(a: Array, b: Array) -> Any:
    """a·b where every product and every partial sum is rounded, in the order of the index.

    ``a`` (…, K), ``b`` (K,): what a machine without a wide accumulator does.
    """
    terms = np.ascontiguousarray(np.moveaxis(a * b, -1, 0))
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _in_float32(a: Array, b: Array) -> Any:
    return (a.astype(np.float32) @ b.astype(np.float32)).astype(a.dtype)


def arithmetic(name: str) -> Arithmetic:
    """The number type of a name in :data:`ARITHMETICS`. Raises ValueError for another name."""
    if name not in ARITHMETICS:
        raise ValueError(f"arithmetic {name!r}: possible are {', '.join(ARITHMETICS)}")
    if name == "bfloat16":
        import ml_dtypes

        return Arithmetic(name, np.dtype(ml_dtypes.bfloat16), _in_float32)
    if name.startswith("float"):
        return Arithmetic(name, np.dtype(name))
    bits = 32 if name == "bposit32" else 16
    dtype: Any = posit.dtype(bits, 6, 5)
    return Arithmetic(name, dtype, each_op if name == "bposit16" else np.matmul)


ARITHMETICS = ("float64", "float32", "bfloat16", "bposit16", "bposit16 + quire", "bposit32")
"""bposit16 rounds every partial sum; + quire, and bposit32, round a sum once."""

FLOAT64 = arithmetic("float64")
