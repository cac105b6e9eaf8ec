"""Posit arrays in every kind of memory, and the dtype as a backend of the suites."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

import posit
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, reference, standard

from ..formats import mixed

__all__ = ["SPECS", "Dtype", "fractions", "layouts", "made", "random", "spec_of"]

Array = npt.NDArray[Any]
Bits = npt.NDArray[np.signedinteger[Any]]

SPECS = [
    bposit8, bposit16, bposit32, bposit64, standard(16), PositSpec(3, 2, 0), PositSpec(13, 6, 5),
    PositSpec(24, 3, 0), PositSpec(34, 6, 5), PositSpec(64, 63, 6),
]  # fmt: skip
"""Every storage width, full and not; narrow and wide exponents."""


def made(values: Any, spec: PositSpec = bposit16) -> Array:
    return np.array(values, posit.dtype(spec))


def random(spec: PositSpec, shape: int | tuple[int, ...], seed: int = 0, nar: bool = True) -> Array:
    """Posits of any patterns, or of any but NaR."""
    bits = mixed(spec, shape, np.random.default_rng([seed, spec.n, spec.rs, spec.es]))
    return posit.view(bits if nar else np.where(bits == spec.nar, spec.one, bits), spec)


def spec_of(a: Array) -> PositSpec:
    found = a.dtype.spec  # type: ignore[attr-defined]
    assert isinstance(found, PositSpec)
    return found


def fractions(a: Array) -> list[Fraction | None]:
    """The exact values in C order; None for NaR."""
    spec = spec_of(a)
    return [reference.decode(p, spec) for p in posit.bits(a).reshape(-1).tolist()]


def layouts(a: Array) -> Iterator[tuple[str, Array]]:
    """The same posits in memory of every kind that an array can have."""
    yield "contiguous", a.copy()
    yield "Fortran", a.copy(order="F")
    spread = np.zeros((*a.shape, 3), a.dtype)
    spread[..., 1] = a
    yield "strided", spread[..., 1]
    backwards = (slice(None, None, -1),) * a.ndim or ...
    yield "backwards", a[backwards].copy()[backwards]
    memory = np.zeros(a.nbytes + 1, np.uint8)
    misaligned = memory[1:].view(a.dtype).reshape(a.shape)
    misaligned[...] = a
    yield "misaligned", misaligned
    records = np.zeros(a.shape, [("pad", "i1"), ("x", a.dtype), ("y", "f4")])
    records["x"] = a
    yield "field", records["x"]
    read_only = a.copy()
    read_only.flags.writeable = False
    yield "read-only", read_only


class Dtype:
    """The operations of the suites, on patterns, as NumPy does them with the dtype."""

    @staticmethod
    def encode(x: npt.ArrayLike, spec: PositSpec) -> Bits:
        return posit.bits(np.asarray(x).astype(posit.dtype(spec)))

    @staticmethod
    def decode(bits: Bits, spec: PositSpec) -> npt.NDArray[np.float64]:
        return posit.view(bits, spec).astype(np.float64)

    @staticmethod
    def convert(bits: Bits, from_spec: PositSpec, to_spec: PositSpec) -> Bits:
        return posit.bits(posit.view(bits, from_spec).astype(posit.dtype(to_spec)))

    @staticmethod
    def fma(a: Bits, b: Bits, c: Bits, spec: PositSpec) -> Bits:
        """a·b + c·1: a dot product is rounded once."""
        one = np.full(1, spec.one, spec.storage)
        left, right = np.broadcast_arrays(a, c), np.broadcast_arrays(b, one)
        shape = np.broadcast_shapes(left[0].shape, right[0].shape)
        x, y = (
            np.stack([np.broadcast_to(part, shape) for part in pair], axis=-1)
            for pair in (left, right)
        )
        return posit.bits(np.vecdot(posit.view(x, spec), posit.view(y, spec)))

    def __getattr__(self, op: str) -> Callable[..., Bits]:
        names = {"sub": "subtract", "mul": "multiply", "div": "divide", "neg": "negative",
                 "abs": "absolute"}  # fmt: skip
        ufunc = getattr(np, names.get(op, op))

        def apply(*operands: Any) -> Bits:
            *bits, spec = operands
            return posit.bits(ufunc(*(posit.view(x, spec) for x in bits)))

        return apply
