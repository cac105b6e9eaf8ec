"""Posits in PyTorch: three doors, from lightest to strictest.

1. ``convert_(model, "bposit16")`` rounds what a model computes to posits, products exact.
2. ``tensor(data, spec=bposit16)`` makes tensors whose elements are posits.
3. ``ops`` has the functions that both are made of: float tensors in, posit values out, each rounded
   once, with reverse- and forward-mode derivatives.
"""

from . import distributed, gradients, ops, optim
from ._tensor import PositTensor, emulate, from_bits, from_numpy, tensor, to_float64
from .config import PositConfig
from .convert import ConversionReport, convert_, unconvert_
from .io import load_safetensors, save_safetensors
from .mode import Rounding, UnsupportedOp
from .streams import stream
from .watch import watch_nar

__all__ = [
    "ConversionReport",
    "PositConfig",
    "PositTensor",
    "Rounding",
    "UnsupportedOp",
    "convert_",
    "distributed",
    "emulate",
    "from_bits",
    "from_numpy",
    "gradients",
    "load_safetensors",
    "ops",
    "optim",
    "save_safetensors",
    "stream",
    "tensor",
    "to_float64",
    "unconvert_",
    "watch_nar",
]
