"""Bounded posits ``<n, rs, es>``: exact description, correctly rounded arithmetic on arrays.

>>> import posit
>>> bits = posit.encode([1.0, 2e20, 1/3], posit.bposit16)
>>> posit.decode(posit.mul(bits, bits, posit.bposit16), posit.bposit16)
array([1.00000000e+00, 4.08338840e+40, 1.10839844e-01])

Patterns are signed integers whose order is the order of the values. Every operation is as if
computed exactly and rounded once. Neither torch nor numba is imported.
"""

from . import functions, reference
from ._dtype import bits, dtype, view
from .arithmetic import abs, add, div, fma, mul, neg, sqrt, sub
from .codec import convert, decode, encode, from_fraction, from_string, to_fraction, to_string
from .io import load, load_safetensors, save, save_safetensors, savez
from .limits import finfo
from .reductions import dot, einsum, mean, median, std, sum, var
from .scalar import NaR, Posit
from .spec import PositSpec, bposit8, bposit16, bposit32, bposit64, standard

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
    "save",
    "save_safetensors",
    "savez",
    "sqrt",
    "standard",
    "std",
    "sub",
    "sum",
    "to_fraction",
    "to_string",
    "var",
    "view",
]
