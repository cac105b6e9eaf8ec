"""Learning by filtering: gains instead of gradients, one pass over the data.

In the manner of A. J. Kiruluta, "From Gradients to Riccati Geometry: Kalman World Models for
Single-Pass Learning" (arXiv 2603.13423), of which the abstract alone was to be had; the equations
are textbook filtering. docs/methods/kalman.md tells which is which, and what was measured.

>>> import numpy as np
>>> from torch_bridge.methods.kalman import InformationFilter
>>> rng = np.random.default_rng(0)
>>> h = rng.standard_normal((40, 3))
>>> y = h @ [[1.0], [2.0], [-1.0]]
>>> whole = InformationFilter(3).update(h, y)
>>> late, early = (InformationFilter(3).update(h[i], y[i]) for i in (slice(25, 40), slice(25)))
>>> late.merge(early).to_bytes() == whole.to_bytes()
True
>>> whole.solve(ridge=1e-3).weights.ravel()
array([1, 2, -1], dtype=posit.dtype(16, 6, 5))
"""

from .._arithmetic import ARITHMETICS, Arithmetic, arithmetic
from .activation import ActivationCorrection
from .adaptation import Gate, adapted_noise
from .identify import identify, regress, subspace_states
from .information import InformationFilter, Solved
from .parameters import ParameterFilter, SquareRootFilter
from .stability import Steady, check_stable, hidden_modes, steady_state, undriven_modes
from .state import Filtered, LinearModel, StateFilter, Step

__all__ = [
    "ARITHMETICS",
    "ActivationCorrection",
    "Arithmetic",
    "Filtered",
    "Gate",
    "InformationFilter",
    "LinearModel",
    "ParameterFilter",
    "Solved",
    "SquareRootFilter",
    "StateFilter",
    "Steady",
    "Step",
    "adapted_noise",
    "arithmetic",
    "check_stable",
    "hidden_modes",
    "identify",
    "regress",
    "steady_state",
    "subspace_states",
    "undriven_modes",
]
