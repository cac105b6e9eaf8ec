"""Verilog-2001 of the units of an accelerator, for every format.

>>> from bposit.emulate import rtl
>>> sorted(rtl.generate("decoder", "bposit16"))
['bposit16_decoder.v']
"""

from __future__ import annotations

from .units import UNITS, bench, generate, task, top

__all__ = ["UNITS", "bench", "generate", "task", "top"]
