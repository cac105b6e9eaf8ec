"""What a number format does to a model, a file of weights or a computation: where, and why.

>>> import numpy as np
>>> import bposit.audit
>>> row, = bposit.audit.tensor(np.array([1.0, 1/3, 2.0**-30]), "bposit16").rows
>>> row["nar"], round(row["sqnr"])
(0, 71)

The definitions of all figures, the gate's grammar and the report's schema are in docs/audit.md.
Importing this package loads nothing else; torch only when a model is audited.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .computation import expression
    from .model import Audit
    from .report import load_schema, write
    from .sweep import files, tensor
    from .tensorboard import add_to_tensorboard

__all__ = ["Audit", "add_to_tensorboard", "expression", "files", "load_schema", "tensor", "write"]

_HOME = {
    "Audit": "model",
    "add_to_tensorboard": "tensorboard",
    "expression": "computation",
    "files": "sweep",
    "load_schema": "report",
    "tensor": "sweep",
    "write": "report",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
