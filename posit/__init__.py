"""Bounded posits ``<n, rs, es>``: exact description, correctly rounded arithmetic on arrays.

>>> import numpy as np
>>> import posit
>>> a = np.array([1, 2e20, 1/3], dtype=posit.dtype(16, 6, 5))
>>> a * a
array([1, 4.1e+40, 0.1108], dtype=posit.dtype(16, 6, 5))
>>> posit.log_plus_1(a)
array([0.693, 46.7, 0.287], dtype=posit.dtype(16, 6, 5))
>>> bits = posit.encode([1.0, 2e20, 1/3], posit.bposit16)
>>> posit.decode(posit.mul(bits, bits, posit.bposit16), posit.bposit16)
array([1.00000000e+00, 4.08338840e+40, 1.10839844e-01])

Patterns are signed integers whose order is the order of the values. Every operation is as if
computed exactly and rounded once. Neither torch nor numba is imported.

All functions of :mod:`posit.functions` are attributes of this module too, by Python's names and by
the Posit Standard's.
"""

from typing import TYPE_CHECKING

from . import functions, reference
from ._dtype import bits, dtype, view
from .arithmetic import abs, add, div, fma, mul, neg, sqrt, sub
from .codec import (
    convert,
    decode,
    encode,
    from_fraction,
    from_string,
    round_to,
    to_fraction,
    to_string,
)
from .io import load, load_safetensors, save, save_safetensors, savez, savez_compressed
from .limits import finfo
from .reductions import dot, einsum, mean, median, std, sum, var
from .scalar import NaR, Posit
from .spec import PositSpec, bposit8, bposit16, bposit32, bposit64, standard
from .sums import sum_and_rest, sum_of

__all__ = [
    "NaR",
    "Posit",
    "PositSpec",
    "abs",
    "add",
    "bits",
    "bposit8",
    "bposit16",
    "bposit32",
    "bposit64",
    "convert",
    "decode",
    "div",
    "dot",
    "dtype",
    "einsum",
    "encode",
    "finfo",
    "fma",
    "from_fraction",
    "from_string",
    "functions",
    "load",
    "load_safetensors",
    "mean",
    "median",
    "mul",
    "neg",
    "reference",
    "round_to",
    "save",
    "save_safetensors",
    "savez",
    "savez_compressed",
    "sqrt",
    "standard",
    "std",
    "sub",
    "sum",
    "sum_and_rest",
    "sum_of",
    "to_fraction",
    "to_string",
    "var",
    "view",
]

if TYPE_CHECKING:
    from .functions import *  # noqa: F403
else:

    def __getattr__(name):
        if name in functions.STANDARD or name in _FUNCTIONS:
            return getattr(functions, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *_FUNCTIONS, *functions.STANDARD})

    _FUNCTIONS = frozenset(functions.__all__) - {"STANDARD", "UFUNCS"}
