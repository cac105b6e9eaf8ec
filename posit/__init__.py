"""Bounded posits ``<n, rs, es>``: exact description, correctly rounded arithmetic on arrays.

>>> import posit
>>> bits = posit.encode([1.0, 1e40, 1/3], posit.bposit16)
>>> posit.decode(posit.mul(bits, bits, posit.bposit16), posit.bposit16)
array([1.00000000e+00, 9.97...e+79, 1.10839844e-01])

Patterns are signed integers whose order is the order of the values. Every operation is as if
computed exactly and rounded once. Neither torch nor numba is imported.
"""

from . import reference
from .arithmetic import abs, add, div, fma, mul, neg, sqrt, sub
from .codec import convert, decode, encode, from_fraction, from_string, to_fraction, to_string
from .spec import PositSpec, bposit8, bposit16, bposit32, bposit64, standard

__all__ = [
    "PositSpec",
    "abs",
    "add",
    "bposit8",
    "bposit16",
    "bposit32",
    "bposit64",
    "convert",
    "decode",
    "div",
    "encode",
    "fma",
    "from_fraction",
    "from_string",
    "mul",
    "neg",
    "reference",
    "sqrt",
    "standard",
    "sub",
    "to_fraction",
    "to_string",
]
