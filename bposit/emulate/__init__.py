"""Accelerators, bit for bit: golden vectors, datapath models, arrays, memory images, faults.

>>> import posit
>>> from bposit import emulate
>>> a, b = posit.encode([[[1.0, 2.0**-12, -1.0]], [[1.0, 1.0, 1.0]]], "bposit16")
>>> for accumulator in emulate.Quire(), emulate.Aligned(width=12, group=4):
...     cell = emulate.Mac("bposit16", accumulator=accumulator)
...     array = emulate.SystolicArray(16, 16, "os", cell)
...     print(accumulator, posit.decode(array.matmul(a, b.T), "bposit16"))
quire [[0.00024414]]
aligned to 12 bits, groups of 4 [[0.]]

Everything takes and gives patterns, for every ``<n,rs,es>`` and the Posit Standard's formats. The
``bposit`` command generates and verifies vectors and memory images. See docs/hardware.md.
"""

from .accumulator import LOST, NAR, OVERFLOW, Accumulator
from .aligned import Aligned
from .chain import FusedChain, RoundEachStep
from .codec import Fields, Widths, fields, pack, widths
from .faults import Flip, Upsets, flip, sensitivity
from .mac import Mac, Result
from .required import Required, required_accumulator
from .sweep import Point, draw, sweep
from .systolic import Plan, SystolicArray
from .trace import Signal, Trace
from .window import Quire, Window
from .written import read_accumulator

__all__ = [
    "LOST",
    "NAR",
    "OVERFLOW",
    "Accumulator",
    "Aligned",
    "Fields",
    "Flip",
    "FusedChain",
    "Mac",
    "Plan",
    "Point",
    "Quire",
    "Required",
    "Result",
    "RoundEachStep",
    "Signal",
    "SystolicArray",
    "Trace",
    "Upsets",
    "Widths",
    "Window",
    "draw",
    "fields",
    "flip",
    "pack",
    "read_accumulator",
    "required_accumulator",
    "sensitivity",
    "sweep",
    "widths",
]
