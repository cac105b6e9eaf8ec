"""Correctly rounded posit arithmetic inside users' own Numba functions, on CPU and GPU.

>>> import posit, posit.jit
>>> from numba import njit
>>> p = posit.jit.ops(posit.bposit32)
>>> @njit
... def axpy(alpha, x, y):
...     for i in range(x.size):
...         y[i] = p.fma(alpha, x[i], y[i])

See docs/jit.md. Needs Numba: ``pip install 'bposit[numba]'``; ``import posit`` does not load it.
"""

try:
    import numba as _numba  # noqa: F401
except ImportError as error:
    raise ImportError(
        "posit.jit compiles with Numba, which is not installed: pip install 'bposit[numba]'"
    ) from error

from ._ops import Ops, QuireOps, convert, ops

__all__ = ["Ops", "QuireOps", "convert", "ops"]
