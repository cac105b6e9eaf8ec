"""Accelerators, bit for bit: golden vectors, datapath models, arrays, memory images, faults.

>>> import posit
>>> from bposit import emulate
>>> a, b = posit.encode([[1.5, -2.0, 1e20], [2.0, 0.5, 1e-20]], "bposit16")
>>> cell = emulate.Mac("bposit16", accumulator=emulate.Aligned(width=14, group=4))
>>> array = emulate.SystolicArray(16, 16, "os", cell)
>>> posit.decode(array.matmul(a[:, None], b[None, :]), "bposit16")[1]
array([-4., -1., -0.])

Everything takes and gives patterns, for every ``<n,rs,es>`` and the Posit Standard's formats. The
``bposit`` command generates and verifies vectors and memory images. See docs/hardware.md.
"""

from .accumulator import LOST, NAR, OVERFLOW, Accumulator
from .aligned import Aligned
from .chain import FusedChain, RoundEachStep
from .codec import Fields, Widths, fields, pack, widths
from .mac import Mac, Result
from .required import Required, required_accumulator
from .systolic import Plan, SystolicArray
from .trace import Signal, Trace
from .window import Quire, Window

__all__ = [
    "LOST",
    "NAR",
    "OVERFLOW",
    "Accumulator",
    "Aligned",
    "Fields",
    "FusedChain",
    "Mac",
    "Plan",
    "Quire",
    "Required",
    "Result",
    "RoundEachStep",
    "Signal",
    "SystolicArray",
    "Trace",
    "Widths",
    "Window",
    "fields",
    "pack",
    "required_accumulator",
    "widths",
]
