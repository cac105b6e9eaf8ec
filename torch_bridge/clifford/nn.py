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
from ._blades import grade
from ._space import Blade, constant, format_in
from .algebra import Algebra
from .functions import act, exp
from .multivector import Multivector

__all__ = ["EquivariantLayer", "GradeLinear", "RotorLayer"]


def _parameter(x: Tensor, text: str) -> nn.Parameter:
    """A parameter of floats, or of posits, which then collects exact gradients."""
    return PositParameter(x, True, spec_of(text)) if text else nn.Parameter(x)


@torch.no_grad()
def _fill(x: Tensor, std: float, text: str) -> None:
    """Normal numbers, rounded to the format."""
    x.normal_(std=std)
    if text:
        x.copy_(ops.fake_quant(x, text))


def _check(x: Multivector, algebra: Algebra, channels: int, text: str) -> None:
    """Raise TypeError or ValueError unless a layer can take x."""
    if x.algebra != algebra:
        raise TypeError(f"the layer is of {algebra}, its input of {x.algebra}")
    if format_in(x._space) != text:
        layer, given = (f"posits of <{t}>" if t else "floats" for t in (text, format_in(x._space)))
        raise TypeError(
            f"the layer is of {layer}, its input of {given}; rounded() and floats() help"
        )
    if x.shape[-1:] != (channels,):
        raise ValueError(f"the layer takes batches (..., {channels}), got {tuple(x.shape)}")


@constant
def _wide(text: str) -> str:
    """The wider of a format and bposit32: in fewer bits a rotor is none."""
    return text_of(formats(spec_of(text), bposit32).work)


def _rotor_of(b: Multivector) -> Multivector:
    """e^b; of posits in the wide format."""
    text = format_in(b._space)
    return exp(b.floats()).rounded(_wide(text)) if text else exp(b)


def _turned(r: Multivector, x: Multivector) -> Multivector:
    """r x ~r; of posits computed in r's format and rounded to that of x."""
    text = format_in(x._space)
    return act(r, x.rounded(format_in(r._space))).rounded(text) if text else act(r, x)


class GradeLinear(nn.Module):
    """⟨y[o]⟩ₖ = Σ_i weights[k][o, i]·⟨x[i]⟩ₖ, and a bias for the scalar.

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
        exact sum over the channels, the bias included, rounded once. Weights collect exact
        gradients: over the batch and over the blades of their grade.
    dtype : torch.dtype
        Of the weights: float32 by default, float64 with ``spec``.

    Attributes
    ----------
    grades : tuple of int
        Those of the blades, ascending.
    weights : ParameterList of (out_channels, in_channels)
        One for each of the grades.
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
        self.grades = tuple(sorted({grade(m) for m in self.blades}))
        self.channels = in_channels, out_channels
        # by grade, and back
        self._order = sorted(range(len(self.blades)), key=lambda i: grade(self.blades[i]))
        self._back = sorted(range(len(self.blades)), key=self._order.__getitem__)
        self._sizes = [sum(grade(m) == k for m in self.blades) for k in self.grades]
        dtype = dtype or (torch.float64 if self.spec else torch.float32)
        self.weights = nn.ParameterList(
            _parameter(torch.empty(out_channels, in_channels, dtype=dtype), self.spec)
            for _ in self.grades
        )
        shifted = bias and 0 in self.blades
        self.bias = (
            _parameter(torch.empty(out_channels, dtype=dtype), self.spec) if shifted else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights as large as keeps the size of multivectors; no shift."""
        for weight in self.weights:
            _fill(weight, max(1, self.channels[0]) ** -0.5, self.spec)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Multivector) -> Multivector:
        """(..., in_channels) to (..., out_channels).

        Raises TypeError for another algebra or format, ValueError for another number of channels or
        blades that the layer lacks.
        """
        _check(x, self.algebra, self.channels[0], self.spec)
        rows = x.into(self.blades).coefficients.movedim(-1, 0)[self._order]  # (blades, ..., in)
        made = [
            self._mixed(part, weight, self.bias if k == 0 else None)
            for k, part, weight in zip(
                self.grades, rows.split(self._sizes), self.weights, strict=True
            )
        ]
        out = torch.cat(made)[self._back].movedim(0, -1)
        return self.algebra.multivector(out, blades=self.blades, spec=self.spec or None)

    def _mixed(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.spec:
            return ops.linear(x, weight, bias, spec=self.spec)
        return nn.functional.linear(x, weight, bias)

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        i, o = self.channels
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
        Of multivectors and of the parameter, which collects exact gradients. A rotor made of a
        generator is computed in float64, rounded to the wider of this format and bposit32, and acts
        in that; y is rounded to ``spec``.
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
        blades = algebra.even if stored == "rotor" else algebra.blades(grades=(2,))
        dtype = dtype or (torch.float64 if self.spec else torch.float32)
        self.weight = _parameter(torch.empty(channels, len(blades), dtype=dtype), self.spec)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Rotors by normal bivectors."""
        if self.stored == "rotor":
            init.rotor_(self.weight, self.algebra, std=self.std, spec=self.spec or None)
        else:
            _fill(self.weight, self.std, self.spec)

    def rotor(self) -> Multivector:
        """The rotors (channels)."""
        if self.stored == "rotor":
            return self.algebra.rotor(self.weight, spec=self.spec or None)
        return _rotor_of(self.algebra.bivector(self.weight, spec=self.spec or None))

    def forward(self, x: Multivector) -> Multivector:
        """(..., channels) to the same; errors are those of :class:`GradeLinear`."""
        _check(x, self.algebra, self.weight.shape[0], self.spec)
        if self.stored == "rotor":
            return act(self.rotor(), x)
        return _turned(self.rotor(), x)

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
        As in :class:`GradeLinear`; rotors are made as :class:`RotorLayer` makes them of generators.
        Equivariance then holds up to the roundings of the format.

    Rotations are bounded, boosts are not: where squares are negative, large x overflow.
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
        self.grades = tuple(range(algebra.dimension + 1) if grades is None else grades)
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
        rotor = _rotor_of(u.geometric(v, grades=(2,)))
        made: Multivector = s + p.geometric(q, grades=self.grades) + _turned(rotor, w)
        return made
