"""Exact accumulation of posits: any order, any split, any thread count, the same bits.

>>> import posit, quire
>>> a = posit.encode([1e20, 1.0, -1e20], posit.bposit16)
>>> posit.decode(quire.sum(a, posit.bposit16), posit.bposit16)
np.float64(1.0)
"""

from posit._dtype import _ext

from .conv import conv
from .dot import axpy, combine, dot, mean, norm2, sum
from .gradient import Accumulators
from .layout import Layout
from .matmul import fill_product, matmul
from .quire import Quire
from .solve import Solution, residual, solve

__all__ = [
    "Accumulators",
    "Layout",
    "Quire",
    "Solution",
    "axpy",
    "combine",
    "conv",
    "dot",
    "matmul",
    "mean",
    "norm2",
    "residual",
    "solve",
    "sum",
]

_ext.set_product(fill_product)  # from now on `a @ b` of large posit arrays comes here
