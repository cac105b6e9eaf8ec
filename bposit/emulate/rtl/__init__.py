"""Verilog-2001 of the units of an accelerator, for every format.

>>> from bposit.emulate import rtl
>>> list(rtl.generate("multiplier", "bposit16"))  # doctest: +NORMALIZE_WHITESPACE
['bposit16_decoder.v', 'bposit16_product.v', 'bposit16_encoder.v', 'bposit16_multiplier.v']

Units agree with the library bit for bit; their benches read golden vectors. Simulators and
synthesis tools are not needed to generate them.
"""

from __future__ import annotations

from .folder import write
from .units import UNITS, bench, generate, task, top

__all__ = ["UNITS", "bench", "generate", "task", "top", "write"]
