"""The information form, held in quires: Λ = Σ h·hᵀ and ξ = Σ h·yᵀ without any rounding.

W = (Λ + (R/p₀)·I)⁻¹·ξ is what the parameter filter gives after the same samples. Λ and ξ are sums,
so in quires they are integers: any order and any split of the samples, over batches, workers or
days, gives the same bits, and merging adds. Rounding Λ to 16 bits, even once, loses the answer,
because Λ is ill-conditioned; so the sums stay exact, the solution is found in 64 bits, and W alone
is rounded.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

import posit
import quire
from posit import PositSpec, bposit64
from posit.spec import SpecLike

from .._arithmetic import Array
from .samples import check_finite, table, vector

__all__ = ["InformationFilter", "Solved"]


class Solved(NamedTuple):
    """The weights that the samples so far give."""

    weights: Array
    """(size, outputs), of a posit dtype."""
    certified: npt.NDArray[np.bool_]
    """Which are proven to be the system's exact solution, rounded to 64 bits and then once more."""


class InformationFilter:
    """Exact sums of samples; see the module.

    One object is for one thread at a time: give each thread its own and merge them.

    Parameters
    ----------
    size, outputs : int
    spec : format
        Of features and targets: they are rounded to it, and nothing else is.
    """

    def __init__(self, size: int, outputs: int = 1, *, spec: SpecLike = "bposit16") -> None:
        self.spec = PositSpec.parse(spec)
        self.information = quire.Accumulators((size, size), self.spec)
        self.evidence = quire.Accumulators((size, outputs), self.spec)

    def update(self, h: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Take in N samples h (N, size), y (N, outputs), or one, h (size,), y (outputs,).

        A single output may be (N,), or a number for one sample. Raises ValueError, and changes
        nothing, for other shapes, and for numbers that are not finite.
        """
        size, outputs = self.evidence.shape
        if np.ndim(h) == 1:
            rows, targets = vector("h", h, size)[np.newaxis], vector("y", y, outputs)[np.newaxis]
        else:
            rows, targets = table("h", h, size), table("y", y, outputs)
        if len(rows) != len(targets):
            raise ValueError(f"{len(rows)} rows of features, {len(targets)} of targets")
        check_finite("h", rows)
        check_finite("y", targets)
        left, right = posit.encode(rows, self.spec), posit.encode(targets, self.spec)
        self.information.add_products(left.T, left)
        self.evidence.add_products(left.T, right)
        return self

    def merge(self, other: InformationFilter) -> Self:
        """Take in all samples of another filter of the same shape and format.

        Raises TypeError or ValueError, and changes nothing, if it is not one.
        """
        if not isinstance(other, InformationFilter):
            raise TypeError(f"can only merge an InformationFilter, got {type(other).__name__}")
        ours, theirs = ((f.spec, *f.evidence.shape) for f in (self, other))
        if ours != theirs:
            raise ValueError(
                "cannot merge sums of {} for {} features and {} outputs".format(*theirs)
                + " into sums of {} for {} and {}".format(*ours)
            )
        self.information.merge(other.information)
        self.evidence.merge(other.evidence)
        return self

    def to_bytes(self) -> bytes:
        """The sums, exactly; the same bytes for the same samples."""
        first = self.information.to_bytes()
        return len(first).to_bytes(8, "little") + first + self.evidence.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes, size: int, outputs: int = 1) -> InformationFilter:
        """Read what :meth:`to_bytes` wrote. Raises ValueError if it is damaged or another shape."""
        end = 8 + int.from_bytes(data[:8], "little")
        information = quire.Accumulators.from_bytes(data[8:end], (size, size))
        evidence = quire.Accumulators.from_bytes(data[end:], (size, outputs))
        if information.spec != evidence.spec:
            raise ValueError(f"sums of {information.spec} beside sums of {evidence.spec}")
        made = cls(size, outputs, spec=information.spec)
        made.information, made.evidence = information, evidence
        return made

    def solve(self, ridge: float = 1.0, to: SpecLike | None = None) -> Solved:
        """W = (Λ + ridge·I)⁻¹·ξ, with ridge = R/p₀; ``to`` is the format of W, by default ``spec``.

        ``ridge`` is rounded to ``spec``. Λ + ridge·I and ξ are rounded once, to bposit64 (57
        significand bits near 1); the solution is found with exact residuals (:func:`quire.solve`),
        and rounded to ``to``.

        Raises ValueError unless ridge > 0.
        """
        if not 0 < ridge < np.inf:
            raise ValueError(
                f"ridge={ridge}: possible are numbers above 0; Λ alone may be singular"
            )
        found = PositSpec.parse(self.spec if to is None else to)
        system = self.information.copy()
        count = system.shape[0]
        system.add(np.where(np.eye(count, dtype=bool), posit.encode(ridge, self.spec), 0))
        left, right = system.round(bposit64), self.evidence.round(bposit64)
        solution = quire.solve(left, right, bposit64)
        weights = posit.view(posit.convert(solution.x, bposit64, found), found)
        return Solved(weights, solution.certified)
