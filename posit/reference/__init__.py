"""The executable definition of posit arithmetic, over ``int`` and ``Fraction``.

Scalar, slow and meant to be read: every other implementation is tested against it. Each
operation is computed exactly and rounded once by :func:`encode`.
"""

from .arithmetic import add, div, fma, mul, root, sqrt, sub
from .decode import decode
from .encode import encode
from .number import exact
from .order import compare, next, prior
from .stochastic import encode_stochastic, uniform64
from .text import from_string, parse, to_string

__all__ = [
    "add",
    "compare",
    "decode",
    "div",
    "encode",
    "encode_stochastic",
    "exact",
    "fma",
    "from_string",
    "mul",
    "next",
    "parse",
    "prior",
    "root",
    "sqrt",
    "sub",
    "to_string",
    "uniform64",
]
