"""PositTensor, in parts.

``wrapper`` is the class, ``gates`` how values enter and leave, ``table`` the strict table of
operations, which ``structure``, ``arithmetic``, ``order`` and ``lists`` fill; ``kernels`` are the
opaque ops on patterns to which they come.
"""

from . import arithmetic, lists, order, structure
from .gates import from_bits, from_numpy, tensor, to_float64
from .table import emulate
from .wrapper import PositTensor

__all__ = ["PositTensor", "emulate", "from_bits", "from_numpy", "tensor", "to_float64"]

_FILL_THE_TABLE = (arithmetic, lists, order, structure)
