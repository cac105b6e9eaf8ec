"""Norms, inverses, exponentials, logarithms, and the action of versors.

[ours] The paper names none of these; what each docstring says of rounding holds for posits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .. import ops
from ._product import multiply
from ._results import nature
from ._scalar import cosh_of_root, log_factor, sinh_over_root
from ._space import format_in, support_in
from .multivector import Multivector

__all__ = [
    "act", "defect", "exp", "inverse", "log", "norm", "norm_squared", "normalized", "sandwich",
]  # fmt: skip

_HALVINGS = 6
_TERMS = 9  # of atanh: enough for tanh of 1/8, so for logarithms up to 16 after six halvings
_NEWTON = 16  # steps, for roots down to 2^-12 of the mean; only in six dimensions


# ---- norms
def norm_squared(x: Multivector) -> Tensor:
    """⟨x ~x⟩₀ (...); on posits one exact sum, rounded once. It may be negative."""
    return x.scalar_product(x.reverse())


def norm(x: Multivector) -> Tensor:
    """√|⟨x ~x⟩₀| (...); on posits the exact ⟨x ~x⟩₀ rounded, then its root, rounded."""
    found, spec = norm_squared(x), format_in(x._space)
    if not spec:
        return found.abs().sqrt()
    return ops.sqrt(ops.unary(found, "abs", spec=spec), spec=spec)


def normalized(x: Multivector) -> Multivector:
    """x over its norm; on posits that is one rounding more for each coefficient."""
    return x / norm(x)


def defect(x: Multivector) -> Tensor:
    """The largest coefficient of x ~x - 1, as float64 (...): how far x is from a unit versor."""
    y = x.floats(torch.float64)
    return (y * y.reverse() - 1.0).coefficients.abs().amax(-1)


# ---- versors at work
def sandwich(v: Multivector, x: Multivector) -> Multivector:
    """v x v.reverse(), on all blades that it can have; on posits it rounds twice."""
    return v * x * v.reverse()


def act(v: Multivector, x: Multivector, *, unit: bool = True) -> Multivector:
    """What a versor does to points, planes, … in a batch: v x v⁻¹, or v x̂ v⁻¹ for an odd v.

    Versors keep grades (Hestenes and Sobczyk, Clifford Algebra to Geometric Calculus, 1984,
    section 1-3), so only the grades of x are computed. On posits it rounds twice, and once more
    unless ``unit``.

    Parameters
    ----------
    v : Multivector
        A product of vectors: of even blades, or of odd ones. Its batch broadcasts with that of x.
    x : Multivector
    unit : bool
        Whether v ~v = 1; else the result is divided by it.

    Raises ValueError for a v with even and odd blades.
    """
    kind = nature(v._space)
    if not kind.even and not kind.odd:
        raise ValueError(f"a versor is even or odd; this multivector has the grades {v.grades}")
    moved = v * (x if kind.even else x.involute())
    found = moved.geometric(v.reverse(), grades=x.grades)
    return found if unit else found / norm_squared(v)


# ---- inverse
def inverse(x: Multivector) -> Multivector:
    """x⁻¹, with x x⁻¹ = 1; on posits computed in float64 and rounded once.

    ~x / ⟨x ~x⟩₀ where the blades imply that x ~x is a scalar: vectors, and rotors of up to three
    dimensions. Else a linear system, with all blades that products of x can have. A versor of more
    dimensions is inverted faster as ``~v / norm_squared(v)``.

    Raises torch.linalg.LinAlgError for a multivector without inverse. Where the linear system is
    singular but for rounding, as with all of torch.linalg, coefficients are huge instead.
    """
    return _in_floats(_inverse, x)


def _inverse(x: Multivector) -> Multivector:
    kind = nature(x._space)
    if kind.scalar_norm:
        square = norm_squared(x)[..., None, None]
        over: Tensor = torch.linalg.inv(square)[..., 0, 0]  # refuses zeros in every mode
        return x.reverse() * over
    columns = _times(x, kind.by_itself, kind.closure)
    one = x.coefficients.new_zeros(columns.shape[-1])
    one[0] = 1.0
    return Multivector(torch.linalg.solve(columns, one.expand(columns.shape[:-1])), kind.closure)


def _times(x: Multivector, form: str, closure: str) -> Tensor:
    """The matrix (..., n, n) of y -> x y on the closure of x, with n blades."""
    basis = torch.eye(len(support_in(closure)), dtype=x.coefficients.dtype)
    return multiply(x.coefficients.unsqueeze(-2), basis, form).mT


def _in_floats(function: Callable[[Multivector], Multivector], x: Multivector) -> Multivector:
    spec = format_in(x._space)
    return function(x.floats()).rounded(spec) if spec else function(x)


# ---- exponential
def exp(b: Multivector) -> Multivector:
    """The rotor e^b of a bivector; on posits computed in float64 and rounded once.

    cosh √s + (sinh √s / √s)·b where the blades of b imply that b² is a scalar s, as those of all
    bivectors of up to three dimensions do. Else ``torch.linalg.matrix_exp`` of the product with b.

    Raises ValueError for a multivector that is no bivector.
    """
    if b.grades not in ((), (2,)):
        raise ValueError(f"exp is of bivectors; this multivector has the grades {b.grades}")
    return _in_floats(_exp, b)


def _exp(b: Multivector) -> Multivector:
    kind = nature(b._space)
    if kind.simple:
        s = b.scalar_product(b)
        return b * sinh_over_root(s) + cosh_of_root(s)
    powers = torch.linalg.matrix_exp(_times(b, kind.by_itself, kind.closure))
    return Multivector(powers[..., 0], kind.closure)


# ---- logarithm
def log(r: Multivector) -> Multivector:
    """The bivector b with e^b = r; on posits computed in float64 and rounded once.

    The principal one, of which e^(b/2) is the square root nearest to 1. r ~r must be 1; it is not
    checked. NaN where there is no such b: for r = -1, where a boost has a negative scalar, and in
    six dimensions for some rotors that turn far in three planes at once.

    By the inverse of exp's formula where r consists of a scalar and of bivectors whose square is
    one. Else [ours] by six square roots √r = (1 + r)((1 + r)(1 + ~r))^(-1/2) and the series of
    atanh, which serves to 2^-50 where |b| is at most 16.

    Raises ValueError for a multivector with odd blades.
    """
    if not nature(r._space).even:
        raise ValueError(f"log is of rotors, which are even; got the grades {r.grades}")
    return _in_floats(_log, r)


def _log(r: Multivector) -> Multivector:
    b = r.grade(2)
    if nature(b._space).simple and r.grades in ((0,), (2,), (0, 2)):
        return b * log_factor(r["1"], b.scalar_product(b))
    r = r.into(support_in(nature(r._space).closure))
    odd = tuple(k for k in r.grades if k % 4 == 2)
    for _ in range(_HALVINGS):
        r = (r + 1.0) * _inverse_root(_both(r))
    y = _inverse_root(_both(r))
    z = y.geometric(y, grades=(0, 4))
    t = (r - r.reverse()).geometric(z, grades=odd)  # tanh of half the logarithm: (r - 1)/(r + 1)
    square = t.geometric(t, grades=(0, 4))
    total = square * 0.0 + 1 / (2 * _TERMS - 1)
    for k in reversed(range(_TERMS - 1)):
        total = total.geometric(square, grades=(0, 4)) + 1 / (2 * k + 1)
    found = t.geometric(total, grades=odd) * 2.0 ** (_HALVINGS + 1)
    if 6 not in odd:
        return found
    turns = found.grade(6).coefficients  # multiples of π/2
    return found.grade(2) * torch.where(turns.abs() < 1, 1.0, torch.nan)[..., 0]


def _both(r: Multivector) -> Multivector:
    """(1 + r)(1 + ~r) of a rotor: 2 + r + ~r, whose bivectors cancel."""
    return r.grade(0, 4) * 2.0 + 2.0


def _inverse_root(z: Multivector) -> Multivector:
    """z^(-1/2) of a scalar plus a 4-vector t.

    Closed where t² is a scalar, as in up to five dimensions (De Keninck and Roelfs, Normalization,
    square roots, and the exponential and logarithmic maps in geometric algebras of less than 6D,
    2022); else Newton's iteration.
    """
    t, s = z.grade(4), z["1"]
    if nature(t._space).scalar_norm:
        m = torch.sqrt(s * s - t.scalar_product(t))
        closed: Multivector = (-t + (s + m)) / (m * torch.sqrt(2 * (s + m)))
        return closed
    root: Multivector = z * 0.0 + s.rsqrt()
    for _ in range(_NEWTON):
        root = (root + inverse(z.geometric(root, grades=(0, 4))).grade(0, 4)) * 0.5
    return root
