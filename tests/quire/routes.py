"""Makes matmul take one of its routes, whatever they cost."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest

from quire import certified, products

__all__ = ["FLOAT64", "ROUTES", "force", "module"]

module: Any = import_module("quire.matmul")  # whose name in quire is the function's

FLOAT64 = ["as it comes", "exact", "magnitudes", "slices", "quire"]
"""Routes that begin with a float64 product."""
ROUTES = [*FLOAT64, "slices alone", "quires alone", "tiny"]


def force(patch: pytest.MonkeyPatch, route: str) -> None:
    """Costs and bounds that only this route can meet. A larger bound is a bound too."""
    patch.setattr(module, "_TINY", 1 << 62 if route == "tiny" else 0)
    if route in ("slices", "quire"):
        patch.setattr(certified, "bound_factor", lambda inner: 4.0)
    if route in ("exact", "magnitudes"):
        patch.setattr(certified.Product, "by_norms", lambda self: np.arange(self.out.size))
        patch.setattr(module, "_helps", lambda product, undecided: True)
    if route in ("magnitudes", "slices", "quire"):
        patch.setattr(certified.Product, "by_grids", lambda self, undecided: undecided)
    if route.endswith("alone"):
        patch.setattr(module, "can_certify", lambda spec: False)
    if route in ("exact", "magnitudes", "slices", "slices alone"):
        patch.setattr(products, "QUIRE", 1e9)
    if route in ("quire", "quires alone"):
        patch.setattr(products, "QUIRE", 1e-9)
