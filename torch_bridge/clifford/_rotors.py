"""Rotors as a manifold: tangents, steps along it, and the way back onto it.

[A] the weight update preserves grades. [ours] How: a change of a rotor R is B·R with a bivector B;
a step is R <- exp(-η B) R; what rounding takes away is given back by renormalising.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

import posit
from posit import PositSpec, reference
from quire import Accumulators

from ..ops._define import spec_of, text_of
from ..ops._kernels import Patterns, bits_of, decided, tensor_of
from ._blades import BILINEAR, generated, grade, reverse_sign
from ._form import name_form
from ._product import multiply
from ._results import nature
from ._space import Space, format_in, space
from .functions import exp
from .multivector import Multivector

__all__ = ["bivectors_of", "check_rotors", "renormalized", "stepped", "tangent"]

_ULP = 2.0**-52


def bivectors_of(rotors: Space) -> Space:
    """The bivectors that such rotors are exponentials of.

    Raises ValueError for blades that are odd, or not closed under products.
    """
    if any(grade(m) & 1 for m in rotors.support) or generated(rotors.support) != rotors.support:
        raise ValueError(
            f"rotors live on even blades, closed under products; {', '.join(rotors.names)} are not"
        )
    return rotors.on(m for m in rotors.support if grade(m) == 2)


def check_rotors(x: Multivector, what: str) -> None:
    """Raise ValueError unless every multivector is nearly a rotor."""
    y = x.floats(torch.float64)
    unit = y * y.reverse() - 1.0
    if not bool((unit.coefficients.abs() < 0.5).all()):
        raise ValueError(
            f"{what} does not hold rotors: R ~R differs from 1 by more than 1/2, or is NaN;"
            " clifford.init.rotor_ makes rotors, clifford.renormalized leads near ones back"
        )


def tangent(r: Multivector, gradient: Tensor) -> Multivector:
    """The bivector B whose coefficients are the slopes of r -> exp(B') r at B' = 0.

    It is ⟨g ~R⟩₂ for the gradient g of the coefficients, in the metric in which all blades have
    length 1: in Cl(n, 0, 0) literally, elsewhere with the signs that make -B a descent. On posits
    each coefficient is one exact sum, rounded once.
    """
    rotors = space(r._space)
    bivectors = bivectors_of(rotors)
    supports = (bivectors.support, rotors.support, rotors.support)
    form = name_form(rotors.signature, "geometric", supports)
    found = multiply(r.coefficients, gradient, form, rotors.spec, slot=0)
    return Multivector(found, bivectors.text)


def stepped(r: Multivector, b: Multivector) -> Multivector:
    """exp(b) r, not renormalised."""
    return exp(b).geometric(r, into=space(r._space).support)


def renormalized(r: Multivector, spec: PositSpec | None = None) -> Multivector:
    """r divided by its norm, so that ⟨r ~r⟩₀ is 1; where r ~r has 4-vectors, they go first.

    On posits ⟨r ~r⟩₀ is exact, 1/√ of it is rounded once, correctly, and so is each of its products
    with the coefficients, to ``spec`` or their own format. On floats it is done in float64. The
    4-vectors t of r ~r are halved away, r <- (1 - t/2) r, which leaves their square. NaN where
    ⟨r ~r⟩₀ is not positive.
    """
    square = r * r.reverse() if not nature(r._space).scalar_norm else None
    if square is not None and 4 in square.grades:
        r = (square.grade(4) * -0.5 + 1.0).geometric(r, into=space(r._space).support)
    text = format_in(r._space)
    if not text:
        x = r.floats(torch.float64)
        scale = x.scalar_product(x.reverse()).rsqrt()
        return (x * scale).floats(r.coefficients.dtype)
    work = spec_of(text)
    bits = bits_of(r.coefficients, work)
    scale_bits = _reciprocal_norms(bits, space(r._space), work)[..., np.newaxis]
    to = work if spec is None else spec
    total = Accumulators(bits.shape, work)
    total.add_dots(bits[..., np.newaxis], np.broadcast_to(scale_bits, bits.shape)[..., np.newaxis])
    return Multivector(
        tensor_of(total.round(to), to), space(r._space)._replace(spec=text_of(to)).text
    )


def _reciprocal_norms(bits: Patterns, rotors: Space, spec: PositSpec) -> Patterns:
    """1/√⟨x ~x⟩₀ of each row, correctly rounded; NaR unless ⟨x ~x⟩₀ > 0."""
    geometric = BILINEAR["geometric"]
    signs = np.array([geometric(rotors.signature, m, m)[0] for m in rotors.support])
    signs = signs * [reverse_sign(m) for m in rotors.support]
    x = posit.decode(bits, spec)
    with np.errstate(all="ignore"):
        square = (signs * x * x).sum(-1)
        value = 1 / np.sqrt(square)
        relative = (len(signs) + 4) * _ULP * (x * x).sum(-1) / square
        sure = relative < 0.25
        error = np.where(sure, value * (relative + 4 * _ULP), 1.0)  # 0 ± 1 decides nothing
        value = np.where(sure, value, 0.0)
    line = bits.reshape(-1, bits.shape[-1])
    minus = np.asarray(posit.neg(line, spec), spec.storage)
    beside = np.where(signs > 0, line, np.where(signs < 0, minus, spec.storage.type(0)))

    def exact(i: int) -> Fraction | None:
        found = Accumulators((), spec).add_dots(line[i], beside[i]).values().item()
        return None if found is None or found <= 0 else reference.root(1 / found, 2 * spec.n)

    return decided(value, error, spec, exact)
