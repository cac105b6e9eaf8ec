"""Layers of multivectors: batches (..., channels) in and out.

[ours]; grade-wise linear maps and products of linear maps as in Ruhe, Brandstetter and Forré,
"Clifford Group Equivariant Neural Networks", 2023.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from posit import bposit32
from posit.spec import SpecLike

from .. import ops
from .._parameter import PositParameter
from ..ops._define import spec_of, text_of
from ..optim._formats import formats
from . import init
from ._space import Blade
from .algebra import Algebra
from .functions import act, exp
from .multivector import Multivector

__all__ = ["EquivariantLayer", "GradeLinear", "RotorLayer"]


def _parameter(x: Tensor, text: str) -> nn.Parameter:
    """A parameter of floats, or of posits, which then collects exact gradients."""
    return PositParameter(x, True, spec_of(text)) if text else nn.Parameter(x)


class GradeLinear(nn.Module):
    """y[o] = Σ_i Σ_k weight[o, i, k]·⟨x[i]⟩ₖ, and a bias for the scalar.

    A channel mixes with others, a grade with none, so that the map commutes with every rotor and
    reflection.

    Parameters
    ----------
    algebra : Algebra
    in_channels, out_channels : int
    grades, blades : optional
        Of the multivectors in and out; all by default. Blades of one grade share a weight.
    bias : bool
        Whether scalars are shifted; only where there are scalars.
    spec : PositSpec, dtype or text, optional
        Multivectors and weights are posits of that format; each coefficient of the result is one
        exact sum over the channels, the bias included, rounded once.
    dtype : torch.dtype
        Of the weights: float32 by default, float64 with ``spec``.
    """

    def __init__(
        self,
        algebra: Algebra,
        in_channels: int,
        out_channels: int,
        *,
        grades: Sequence[int] | None = None,
        blades: Iterable[Blade] | None = None,
        bias: bool = True,
        spec: SpecLike | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.algebra, self.spec = algebra, "" if spec is None else text_of(spec)
        self.blades = algebra.blades(grades, blades)
        kinds = sorted({m.bit_count() for m in self.blades})
        place = torch.tensor([kinds.index(m.bit_count()) for m in self.blades])
        self.register_buffer("grade_of", place, persistent=False)
        self.grade_of: Tensor
        dtype = dtype or (torch.float64 if self.spec else torch.float32)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, len(kinds), dtype=dtype))
        has_bias = bias and 0 in self.blades
        self.bias = nn.Parameter(torch.empty(out_channels, dtype=dtype)) if has_bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights as large as keeps the size of multivectors; no shift."""
        nn.init.normal_(self.weight, std=self.weight.shape[1] ** -0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Multivector) -> Multivector:
        """(..., in_channels) to (..., out_channels)."""
        rows = x.into(self.blades).coefficients.movedim(-1, 0)  # (blades, ..., in)
        matrices = self.weight[..., self.grade_of].permute(2, 1, 0)  # (blades, in, out)
        flat = rows.flatten(1, -2) if rows.dim() > 2 else rows.unsqueeze(1)
        shift = None if self.bias is None else self._shift(self.bias)
        if self.spec:
            made = ops.matmul(flat, matrices, shift, spec=self.spec)
        else:
            made = flat @ matrices
            made = made if shift is None else made + shift
        out = made.reshape(*rows.shape[:-1], made.shape[-1]).movedim(0, -1)
        return self.algebra.multivector(out, blades=self.blades, spec=self.spec or None)

    def _shift(self, bias: Tensor) -> Tensor:
        """The bias beside zeros for the other blades: (blades, 1, out)."""
        others = bias.new_zeros(len(self.blades) - 1, bias.shape[0])
        return torch.cat([bias.unsqueeze(0), others]).unsqueeze(1)

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        o, i, _ = self.weight.shape
        return f"{self.algebra}, {i}, {o}, {' '.join(self.algebra.names(blades=self.blades))}"


class RotorLayer(nn.Module):
    """y[c] = R[c] x[c] ~R[c]: each channel turned by a rotor of its own.

    It is no equivariant layer: turned data are turned again, about axes that stay.

    Parameters
    ----------
    algebra : Algebra
    channels : int
    stored : {"rotor", "generator"}
        What the parameter holds. "rotor": coefficients of R on the even blades, which
        :class:`RotorSGD` and :class:`RotorAdam` keep on the manifold. "generator": a bivector, R
        being its exponential, whatever an optimizer makes of it; also in few bits.
    std : float
        As in :func:`init.rotor_`, which fills it.
    spec : PositSpec, dtype or text, optional
        Of multivectors and of the parameter. A rotor made of a generator is computed in float64 and
        rounded to the wider of this format and bposit32, in which it acts; y is rounded to ``spec``.
    dtype : torch.dtype
        Of the parameter: float32 by default, float64 with ``spec``.
    """

    def __init__(
        self,
        algebra: Algebra,
        channels: int,
        *,
        stored: str = "rotor",
        std: float = 1.0,
        spec: SpecLike | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if stored not in ("rotor", "generator"):
            raise ValueError(f"stored={stored!r}: possible are 'rotor' and 'generator'")
        self.algebra, self.stored, self.std = algebra, stored, std
        self.spec = "" if spec is None else text_of(spec)
        self._wide = text_of(formats(spec_of(self.spec), bposit32).work) if self.spec else ""
        blades = algebra.even if stored == "rotor" else algebra.blades(grades=(2,))
        dtype = dtype or (torch.float64 if self.spec else torch.float32)
        self.weight = _parameter(torch.empty(channels, len(blades), dtype=dtype), self.spec)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Rotors by normal bivectors."""
        if self.stored == "rotor":
            init.rotor_(self.weight, self.algebra, std=self.std, spec=self.spec or None)
        else:
            nn.init.normal_(self.weight, std=self.std)
            if self.spec:
                self.weight.copy_(ops.fake_quant(self.weight, self.spec))

    def rotor(self) -> Multivector:
        """The rotors (channels)."""
        if self.stored == "rotor":
            return self.algebra.rotor(self.weight, spec=self.spec or None)
        if not self.spec:
            return exp(self.algebra.bivector(self.weight))
        b = self.algebra.bivector(self.weight, spec=self.spec)
        return exp(b.floats()).rounded(self._wide)

    def forward(self, x: Multivector) -> Multivector:
        """(..., channels) to the same."""
        if self.stored == "rotor" or not self.spec:
            return act(self.rotor(), x)
        return act(self.rotor(), x.rounded(self._wide)).rounded(self.spec)

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        return f"{self.algebra}, {self.weight.shape[0]}, stored={self.stored!r}"


class EquivariantLayer(nn.Module):
    """y = s + ⟨p q⟩ + R w ~R with R = exp⟨u v⟩₂, where s, p, q, u, v, w are grade-wise linear in x.

    A function of products, sums, grades and exponentials alone is the same in every frame: turning
    or reflecting x turns or reflects y. The rotors here come from the data, so that they turn with
    them, where those of :class:`RotorLayer` would not.

    Parameters
    ----------
    algebra : Algebra
    in_channels, out_channels : int
    grades : optional
        Of the multivectors in and out; all by default.
    spec, dtype : optional
        As in :class:`GradeLinear`.
    """

    def __init__(
        self,
        algebra: Algebra,
        in_channels: int,
        out_channels: int,
        *,
        grades: Sequence[int] | None = None,
        spec: SpecLike | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.grades = tuple(grades or range(algebra.dimension + 1))
        self.parts = nn.ModuleDict(
            {
                name: GradeLinear(
                    algebra, in_channels, out_channels, grades=self.grades, bias=name == "s",
                    spec=spec, dtype=dtype,
                )
                for name in "spquvw"
            }
        )  # fmt: skip

    def forward(self, x: Multivector) -> Multivector:
        """(..., in_channels) to (..., out_channels)."""
        s, p, q, u, v, w = (self.parts[name](x) for name in "spquvw")
        rotor = exp(u.geometric(v, grades=(2,)))
        made: Multivector = s + p.geometric(q, grades=self.grades) + act(rotor, w)
        return made
