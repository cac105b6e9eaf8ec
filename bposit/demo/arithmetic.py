"""The numbers that an arm of the demo computes with: bounded posits and quires, or floats.

The training loop sees arrays it cannot tell apart: zero is 0, order is the array's own ``<``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol, Self, final

import numpy as np
import numpy.typing as npt

import posit
import quire

__all__ = ["Arithmetic", "BoundedPosit", "Float", "Labels", "Numbers", "Sums"]

Numbers = npt.NDArray[Any]  # patterns of the format, or floats
Labels = npt.NDArray[np.int64]


class Sums(Protocol):
    """An array of sums of products; ``quire.Accumulators`` is the exact one."""

    def add_products(self, a: Numbers, b: Numbers, /) -> Any:
        """Add the matrix product a·b."""

    def merge(self, other: Any, /) -> Any:
        """Add another worker's sums."""

    def round(self) -> Numbers:
        """The sums in the format they are stored in."""


class Arithmetic(ABC):
    """What training needs of a number format."""

    name: str
    note: str  # how it accumulates and rounds, for the reader of the results

    @abstractmethod
    def encode(self, x: npt.NDArray[np.float64]) -> Numbers:
        """Round float64 to the format, once."""

    @abstractmethod
    def decode(self, x: Numbers) -> npt.NDArray[np.float64]:
        """Values, exactly."""

    @abstractmethod
    def sums(self, shape: tuple[int, int]) -> Sums:
        """Sums of products, all zero."""

    @abstractmethod
    def matmul(self, a: Numbers, b: Numbers) -> Numbers:
        """a·b in the format."""

    @abstractmethod
    def fma(self, a: Numbers, b: Numbers, c: Numbers) -> Numbers:
        """a·b + c element by element."""

    @abstractmethod
    def relu(self, z: Numbers) -> Numbers:
        """The larger of z and 0; NaN and NaR stay."""

    @abstractmethod
    def residual(self, z: Numbers, labels: Labels) -> Numbers:
        """Gradient of softmax cross-entropy by logits z (B, C): softmax(z) - onehot(labels)."""


@final
class BoundedPosit(Arithmetic):
    """Everything is a pattern of ``spec``; every inner product and every sum is a quire.

    Softmax, rounded once at each step: z - max z; the exponential, computed in float64;
    the sum of the exponentials, in a quire; the quotient; the difference from the label.
    """

    note = (
        "every inner product and gradient sum exact in a quire, rounded once; exponentials of"
        " softmax computed in float64, rounded once"
    )

    def __init__(self, spec: posit.PositSpec) -> None:
        self.name = spec.name
        self.spec = spec

    def encode(self, x: npt.NDArray[np.float64]) -> Numbers:
        """See the base class."""
        return posit.encode(x, self.spec)

    def decode(self, x: Numbers) -> npt.NDArray[np.float64]:
        """See the base class."""
        return posit.decode(x, self.spec)

    def sums(self, shape: tuple[int, int]) -> quire.Accumulators:
        """See the base class."""
        return quire.Accumulators(shape, self.spec)

    def matmul(self, a: Numbers, b: Numbers) -> Numbers:
        """See the base class."""
        return quire.matmul(a, b, self.spec)

    def fma(self, a: Numbers, b: Numbers, c: Numbers) -> Numbers:
        """See the base class."""
        return posit.fma(a, b, c, self.spec)

    def relu(self, z: Numbers) -> Numbers:
        """See the base class."""
        return np.where((z < 0) & (z != self.spec.nar), z.dtype.type(0), z)

    def exp(self, x: Numbers) -> Numbers:
        """Patterns of e^x for x <= 0, computed in float64 and rounded once.

        float64 would underflow to 0 below -745, where a posit stays at minpos; at -700 the
        exponential is below every bounded posit's minpos already, hence the clamp. For bposit16
        the result is the correctly rounded one for every x <= 0; a test goes through all of them.
        """
        return self.encode(np.exp(np.maximum(self.decode(x), -700.0)))

    def residual(self, z: Numbers, labels: Labels) -> Numbers:
        """See the base class."""
        powers = self.exp(posit.sub(z, z.max(axis=1, keepdims=True), self.spec))
        total = quire.sum(powers, self.spec, axis=1, keepdims=True)
        share = posit.div(powers, total, self.spec)
        return posit.sub(share, self.encode(np.eye(z.shape[1])[labels]), self.spec)


class _FloatSums:
    """Sums of products in float32, in the order in which they arrive."""

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self.total = np.zeros(shape, dtype=np.float32)
        self.dtype = dtype

    def add_products(self, a: Numbers, b: Numbers) -> Self:
        self.total += a.astype(np.float32) @ b.astype(np.float32)
        return self

    def merge(self, other: _FloatSums) -> Self:
        self.total += other.total
        return self

    def round(self) -> Numbers:
        return self.total.astype(self.dtype)


@final
class Float(Arithmetic):
    """Arrays of ``dtype``; each operation is done in float32 and its result stored as ``dtype``."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self.name = self.dtype.name
        self.note = "computed and summed in float32, in the order in which terms arrive"
        if self.dtype != np.float32:
            self.note += f"; each result rounded to {self.name}"

    def _wide(self, x: Numbers) -> npt.NDArray[np.float32]:
        return x.astype(np.float32, copy=False)

    def encode(self, x: npt.NDArray[np.float64]) -> Numbers:
        """See the base class."""
        return x.astype(self.dtype)

    def decode(self, x: Numbers) -> npt.NDArray[np.float64]:
        """See the base class."""
        return x.astype(np.float64)

    def sums(self, shape: tuple[int, int]) -> _FloatSums:
        """See the base class."""
        return _FloatSums(shape, self.dtype)

    def matmul(self, a: Numbers, b: Numbers) -> Numbers:
        """See the base class."""
        return (self._wide(a) @ self._wide(b)).astype(self.dtype)

    def fma(self, a: Numbers, b: Numbers, c: Numbers) -> Numbers:
        """See the base class."""
        return (self._wide(a) * self._wide(b) + self._wide(c)).astype(self.dtype)

    def relu(self, z: Numbers) -> Numbers:
        """See the base class."""
        return np.maximum(z, self.dtype.type(0))

    def residual(self, z: Numbers, labels: Labels) -> Numbers:
        """See the base class."""
        wide = self._wide(z)
        powers = np.exp(wide - wide.max(axis=1, keepdims=True))
        share = powers / powers.sum(axis=1, keepdims=True)
        delta: Numbers = share - np.eye(z.shape[1], dtype=np.float32)[labels]
        return delta.astype(self.dtype)
