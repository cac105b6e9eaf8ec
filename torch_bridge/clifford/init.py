"""Random rotors: weights that begin on their manifold."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from posit.spec import SpecLike

from ..ops import fake_quant
from ._rotors import bivectors_of
from ._space import Blade, space
from .algebra import Algebra
from .functions import exp
from .multivector import Multivector

__all__ = ["rotor_"]


@torch.no_grad()
def rotor_(
    weights: Tensor,
    algebra: Algebra,
    *,
    blades: Iterable[Blade] | None = None,
    std: float = 1.0,
    spec: SpecLike | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill a tensor with exponentials of normal bivectors, in place; returns it.

    Parameters
    ----------
    weights : Tensor (..., n) of float32 or float64
        Of rotors on ``blades``, the even ones by default.
    std : float
        Of each coefficient of the bivectors: rotations are by some 2·std radians about each plane.
    spec : optional
        Coefficients are rounded to that format.
    generator : torch.Generator, optional
    """
    chosen = algebra.even if blades is None else algebra.blades(blades=blades)
    rotors = algebra.multivector(weights.detach(), blades=chosen)
    place = bivectors_of(space(rotors._space))
    shape = (*weights.shape[:-1], len(place.support))
    b = std * torch.randn(shape, generator=generator, dtype=torch.float64)
    made = exp(Multivector(b, place.text)).into(chosen).coefficients
    return weights.copy_(made if spec is None else fake_quant(made, spec))
