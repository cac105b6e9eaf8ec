"""The implementations under test, behind one set of functions on arrays.

A new backend is one line in ``BACKENDS``; every suite that is parametrised over backends and
formats then judges it. ``dataclasses.replace`` makes mutants of one for the meta-tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

import posit
from posit import PositSpec, reference

from .posit.dtype_arrays import Dtype

__all__ = ["ARITY", "BACKENDS", "CORE", "DTYPE", "FAST", "REFERENCE", "VALUES", "Backend"]

Function = Callable[..., Any]

ARITY = {"add": 2, "sub": 2, "mul": 2, "div": 2, "sqrt": 1, "neg": 1, "abs": 1, "fma": 3}


@dataclass(frozen=True)
class Backend:
    """encode(x, spec), decode(bits, spec), convert(bits, from, to), and op(patterns…, spec)."""

    name: str
    encode: Function
    decode: Function
    convert: Function
    add: Function
    sub: Function
    mul: Function
    div: Function
    sqrt: Function
    neg: Function
    abs: Function
    fma: Function

    @classmethod
    def of(cls, name: str, module: Any) -> Backend:
        """The functions of a module or object that names them as here."""
        found = {f: getattr(module, f) for f in ("encode", "decode", "convert", *ARITY)}
        return cls(name, **found)

    def __str__(self) -> str:
        return self.name


class _Lifted:
    """The scalar definition, element by element."""

    @staticmethod
    def encode(x: npt.ArrayLike, spec: PositSpec) -> npt.NDArray[Any]:
        source = np.asarray(x)
        made = [reference.encode(v, spec) for v in source.reshape(-1).tolist()]
        return np.array(made, spec.storage).reshape(source.shape)

    @staticmethod
    def decode(bits: npt.NDArray[Any], spec: PositSpec) -> npt.NDArray[np.float64]:
        found = [_as_float(reference.decode(p, spec)) for p in bits.reshape(-1).tolist()]
        return np.array(found, np.float64).reshape(bits.shape)

    @staticmethod
    def convert(
        bits: npt.NDArray[Any], from_spec: PositSpec, to_spec: PositSpec
    ) -> npt.NDArray[Any]:
        flat = bits.reshape(-1).tolist()
        made = [reference.encode(reference.decode(p, from_spec), to_spec) for p in flat]
        return np.array(made, to_spec.storage).reshape(bits.shape)

    def __getattr__(self, op: str) -> Function:
        scalar: Function = getattr(reference, op, None) or {"neg": _neg, "abs": _abs}[op]

        def lifted(*args: Any) -> npt.NDArray[Any]:
            spec = args[-1]
            operands = np.broadcast_arrays(*args[:-1])
            flat = zip(*(x.reshape(-1).tolist() for x in operands), strict=True)
            made = [scalar(*row, spec) for row in flat]
            return np.array(made, spec.storage).reshape(operands[0].shape)

        return lifted


def _as_float(value: Fraction | None) -> float:
    """float(Fraction) rounds to nearest even, but raises where IEEE rounds to infinity."""
    if value is None:
        return float("nan")
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _neg(a: int, spec: PositSpec) -> int:
    value = reference.decode(a, spec)
    return reference.encode(None if value is None else -value, spec)


def _abs(a: int, spec: PositSpec) -> int:
    value = reference.decode(a, spec)
    return reference.encode(None if value is None else abs(value), spec)


def _through_values(x: npt.ArrayLike, spec: PositSpec) -> npt.NDArray[Any]:
    """``posit.round_to``, which must give posits' values, bit for bit."""
    if not spec.fits_float64:
        return np.asarray(posit.encode(x, spec))
    values = posit.round_to(x, spec)
    bits = np.asarray(posit.encode(values, spec))
    again = np.asarray(posit.decode(bits, spec))
    assert (again.view(np.int64) == np.asarray(values).view(np.int64)).all()
    return bits


CORE = Backend.of("core", posit)
VALUES = replace(CORE, name="values", encode=_through_values)
REFERENCE = Backend.of("reference", _Lifted())
DTYPE = Backend.of("dtype", Dtype())
BACKENDS = [CORE, DTYPE, REFERENCE]
FAST = [b for b in BACKENDS if b is not REFERENCE]
