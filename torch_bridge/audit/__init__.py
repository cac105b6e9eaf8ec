"""Run a model again, one unit at a time in other hands: the hooks under ``bposit audit``.

A unit is a module without modules inside, or an attention, which calls none of those it has. What
happens between units (residual additions, functional calls) runs as it stands, and is listed.
"""

from .forms import PRODUCTS, Linear, is_by_rows, linear_form
from .units import Call, Run, run, shadow, single_threaded, units
from .values import first_float, map_floats, write_back

__all__ = [
    "PRODUCTS",
    "Call",
    "Linear",
    "Run",
    "first_float",
    "is_by_rows",
    "linear_form",
    "map_floats",
    "run",
    "shadow",
    "single_threaded",
    "units",
    "write_back",
]
