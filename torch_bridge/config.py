"""What a converted model computes in: a versioned, serialisable configuration."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Self

from posit import PositSpec
from posit.spec import SpecLike

__all__ = ["PositConfig"]

VERSION = 1
ACCUMULATE = ("quire", "float64", "each_op")


@dataclass(frozen=True)
class PositConfig:
    """Formats of a converted module.

    Parameters
    ----------
    weights : format, optional
        Of parameters; None leaves them as they are.
    activations : format, optional
        Of operands and results of every operation, forward and backward; None computes in float64
        on the rounded weights (``weight_only``).
    accumulate : str or object
        How products are summed: ``"quire"``, exactly, rounded once; ``"float64"``, in float64,
        rounded once at the end, which is faster and depends on order; ``"each_op"``, rounded after
        every multiplication and addition, in order of k, as hardware without an accumulator does.
        Or an object with ``matmul(a, b, spec)`` on patterns, such as an accelerator's model.

    Raises TypeError or ValueError for what is no format, or an unknown way to accumulate.
    """

    weights: PositSpec | None = None
    activations: PositSpec | None = None
    accumulate: Any = "quire"
    version: int = VERSION

    def __post_init__(self) -> None:
        """Read formats in any spelling."""
        for name in ("weights", "activations"):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, PositSpec.parse(given))
        if isinstance(self.accumulate, str):
            if self.accumulate not in ACCUMULATE:
                raise ValueError(
                    f"accumulate={self.accumulate!r}: possible are {', '.join(ACCUMULATE)}, or an"
                    " object with a matmul"
                )
        elif not callable(getattr(self.accumulate, "matmul", None)):
            raise TypeError(f"accumulate: {self.accumulate!r} has no matmul(a, b, spec)")
        if self.version != VERSION:
            raise ValueError(f"PositConfig of version {self.version}; this is version {VERSION}")

    @classmethod
    def weight_only(cls, spec: SpecLike) -> Self:
        """Rounded weights, float64 arithmetic: what storage in posits costs."""
        return cls(weights=PositSpec.parse(spec))

    @classmethod
    def training(cls, spec: SpecLike) -> Self:
        """Weights, activations and gradients in one format, products exact."""
        return cls(weights=PositSpec.parse(spec), activations=PositSpec.parse(spec))

    @classmethod
    def emulate_hardware(cls, spec: SpecLike, accumulate: Any = "each_op") -> Self:
        """As ``training``, with the accumulator of an accelerator."""
        found = PositSpec.parse(spec)
        return cls(weights=found, activations=found, accumulate=accumulate)

    @classmethod
    def of(cls, given: PositConfig | SpecLike) -> PositConfig:
        """A configuration, or ``training`` in the format given."""
        return given if isinstance(given, PositConfig) else cls.training(given)

    def to_json(self) -> str:
        """Text that :meth:`from_json` reads. Raises TypeError for an accumulator object."""
        if not isinstance(self.accumulate, str):
            raise TypeError(f"accumulate={self.accumulate!r} has no JSON form")
        made = dataclasses.asdict(self)
        for name in ("weights", "activations"):
            spec = getattr(self, name)
            made[name] = None if spec is None else f"{spec.n},{spec.rs},{spec.es}"
        return json.dumps(made)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ValueError for text of another shape or version."""
        found = json.loads(text)
        names = {f.name for f in dataclasses.fields(cls)}
        if not isinstance(found, dict) or set(found) - names:
            raise ValueError(f"no PositConfig: {text[:80]!r}")
        return cls(**found)
