"""Clifford algebras of up to six dimensions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posit.spec import SpecLike

from .._parameter import PositParameter
from .._tensor import PositTensor, to_float64
from ..ops import fake_quant
from ..ops._define import text_of
from ._blades import MOST, Signature, Support, grade, name_of
from ._space import Blade, blades_of, placed
from .multivector import Multivector

__all__ = ["CGA3D", "PGA3D", "STA", "Algebra", "Cl3"]


@dataclass(frozen=True)
class Algebra:
    """Cl(p, q, r): p basis vectors square to +1, q to -1, r to 0.

    Null vectors come first, then the positive, then the negative ones. A single null vector is
    called e0 and the others follow as e1, e2, …; else names begin with e1. Coefficients are packed
    by blade mask, in ascending order: bit i of a mask stands for the i-th basis vector.

    >>> from torch_bridge.clifford import Algebra
    >>> Algebra(3, 0, 1).names(grades=(2,))
    ('e01', 'e02', 'e12', 'e03', 'e13', 'e23')

    Raises ValueError for negative counts, or more than six dimensions.
    """

    p: int
    q: int = 0
    r: int = 0
    _counts: str = field(init=False, repr=False, compare=False)
    """As text, which torch.compile takes as constant; integers become variables sometimes."""

    def __post_init__(self) -> None:
        """Check the counts."""
        counts = self.signature
        if any(not isinstance(n, int) or n < 0 for n in counts) or sum(counts) > MOST:
            raise ValueError(
                f"{self}: possible are counts from 0, of together at most {MOST} (64 blades)"
            )
        object.__setattr__(self, "_counts", self.signature.text)

    def __repr__(self) -> str:
        return f"Algebra({self.p}, {self.q}, {self.r})"

    @property
    def signature(self) -> Signature:
        """The three counts."""
        return Signature(self.p, self.q, self.r)

    @property
    def dimension(self) -> int:
        """Basis vectors."""
        return self.p + self.q + self.r

    # ---- blades
    def blades(
        self, grades: Sequence[int] | None = None, blades: Iterable[Blade] | None = None
    ) -> Support:
        """The masks of these grades, or of blades by mask or name; all by default. Ascending.

        Raises ValueError for what the algebra does not have.
        """
        return blades_of(
            self._counts,
            None if grades is None else tuple(grades),
            None if blades is None else tuple(blades),
        )

    @property
    def even(self) -> Support:
        """The masks of the blades of even grade, of which rotors consist."""
        return tuple(m for m in self.blades() if not grade(m) & 1)

    def names(
        self, grades: Sequence[int] | None = None, blades: Iterable[Blade] | None = None
    ) -> tuple[str, ...]:
        """The names of :meth:`blades`."""
        return tuple(name_of(m, self.signature) for m in self.blades(grades, blades))

    def mask(
        self,
        grades: Sequence[int] | None = None,
        blades: Iterable[Blade] | None = None,
        *,
        of: Iterable[Blade] | None = None,
    ) -> Tensor:
        """Bools (n,): which of the blades ``of`` (default all) have these grades, or are these."""
        chosen = set(self.blades(grades, blades))
        return torch.tensor([m in chosen for m in self.blades(blades=of)], dtype=torch.bool)

    # ---- multivectors
    def multivector(
        self,
        coefficients: Any,
        *,
        grades: Sequence[int] | None = None,
        blades: Iterable[Blade] | None = None,
        spec: SpecLike | None = None,
    ) -> Multivector:
        """A multivector, or a batch of them.

        Parameters
        ----------
        coefficients : Tensor (..., n) of float32 or float64, PositTensor, or numbers
            For the n blades in ascending order of their masks. Arrays of floats keep their dtype;
            other numbers are float64 where a format is given, else torch's default dtype.
        grades, blades
            Which these are, as :meth:`blades` reads them; all by default.
        spec : PositSpec, dtype or text, optional
            Coefficients are rounded to posits of that format. A PositTensor brings its own; a
            parameter of a converted model is taken as it is.

        Raises
        ------
        TypeError
            For a tensor of another dtype, or a PositTensor of another format.
        ValueError
            For another number of coefficients.
        """
        x = coefficients
        if isinstance(x, PositTensor):
            text = text_of(x.spec)
            if spec is not None and text_of(spec) != text:
                raise TypeError(f"the coefficients are posits of {x.spec}, not of {spec}")
            x = to_float64(x)
        else:
            text = "" if spec is None else text_of(spec)
            x = _tensor(x, text)
            x = fake_quant(x, text) if text and not _holds(x, text) else x
        if x.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"coefficients are float32 or float64, got {x.dtype}")
        place, names = placed(
            self._counts,
            None if grades is None else tuple(grades),
            None if blades is None else tuple(blades),
            text,
        )
        if x.dim() == 0 or x.shape[-1] != len(names):
            raise ValueError(
                f"coefficients of shape {tuple(x.shape)} for {len(names)} blades:"
                f" {', '.join(names)}"
            )
        return Multivector(x, place)

    def scalar(self, x: Any, spec: SpecLike | None = None) -> Multivector:
        """Scalars: x of the batch's shape."""
        x = _tensor(x, "" if spec is None else text_of(spec))
        return self.multivector(x.unsqueeze(-1), grades=(0,), spec=spec)

    def vector(self, x: Any, spec: SpecLike | None = None) -> Multivector:
        """Vectors: x (..., dimension)."""
        return self.multivector(x, grades=(1,), spec=spec)

    def bivector(self, x: Any, spec: SpecLike | None = None) -> Multivector:
        """Bivectors: x (..., dimension·(dimension - 1)/2)."""
        return self.multivector(x, grades=(2,), spec=spec)

    def rotor(self, x: Any, spec: SpecLike | None = None) -> Multivector:
        """Even multivectors: x (..., 2^(dimension - 1)). Nothing is normalised."""
        return self.multivector(x, blades=self.even, spec=spec)

    def blade(self, name: Blade, dtype: torch.dtype = torch.float32) -> Multivector:
        """A basis blade, by name or mask."""
        return self.multivector(torch.ones(1, dtype=dtype), blades=(name,))

    @property
    def pseudoscalar(self) -> Multivector:
        """The product of all basis vectors."""
        return self.blade(self.signature.whole)


def _tensor(x: Any, text: str) -> Tensor:
    """Numbers as a tensor; those for a format are not rounded to float32 on the way."""
    if isinstance(x, Tensor):
        return x
    if isinstance(x, np.ndarray) and x.dtype.kind == "f":
        return torch.as_tensor(x)
    return torch.as_tensor(x, dtype=torch.float64 if text else torch.get_default_dtype())


def _holds(x: Tensor, text: str) -> bool:
    """Whether x is a parameter of posits of the format: as it is, it collects exact gradients."""
    return isinstance(x, PositParameter) and text_of(x.spec) == text


Cl3 = Algebra(3)
"""Of space: Cl(3,0)."""
STA = Algebra(1, 3)
"""Of spacetime: Cl(1,3), e1 is time."""
PGA3D = Algebra(3, 0, 1)
"""Projective, for rigid motions of space: Cl(3,0,1), e0 is null."""
CGA3D = Algebra(4, 1)
"""Conformal, of space: Cl(4,1), e5 squares to -1."""
