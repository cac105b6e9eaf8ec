"""posit.jit as backends of the suites: its scalar functions in jitted loops over arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

import posit.jit
from posit import PositSpec
from posit.jit import _arith, _codec

from ..backends import ARITY, Backend

__all__ = ["AT_RUN_TIME", "JIT", "mapped"]


@njit
def _map1(f: Any, out: Any, a: Any) -> None:
    for i in range(out.size):
        out[i] = f(a[i])


@njit
def _map2(f: Any, out: Any, a: Any, b: Any) -> None:
    for i in range(out.size):
        out[i] = f(a[i], b[i])


@njit
def _map3(f: Any, out: Any, a: Any, b: Any, c: Any) -> None:
    for i in range(out.size):
        out[i] = f(a[i], b[i], c[i])


@njit
def _spec1(f: Any, s: Any, out: Any, a: Any) -> None:
    for i in range(out.size):
        out[i] = f(a[i], s)


@njit
def _spec2(f: Any, s: Any, out: Any, a: Any, b: Any) -> None:
    for i in range(out.size):
        out[i] = f(a[i], b[i], s)


@njit
def _spec3(f: Any, s: Any, out: Any, a: Any, b: Any, c: Any) -> None:  # noqa: PLR0917
    for i in range(out.size):
        out[i] = f(a[i], b[i], c[i], s)


def _over(loop: Callable[..., None], dtype: npt.DTypeLike, *operands: npt.ArrayLike) -> Any:
    """Broadcast, and give the loop one-axis arrays: an output of ``dtype``, then the operands."""
    arrays = np.broadcast_arrays(*operands)
    out = np.empty(arrays[0].shape, dtype)
    loop(out.reshape(-1), *(np.array(x).reshape(-1) for x in arrays))
    return out


def mapped(f: Any, dtype: npt.DTypeLike, *operands: npt.ArrayLike) -> Any:
    """A jitted scalar function over arrays that broadcast together."""
    loop = (_map1, _map2, _map3)[len(operands) - 1]
    return _over(lambda *arrays: loop(f, *arrays), dtype, *operands)


class _Bound:
    """``posit.jit.ops(spec)``: each spec is a constant of the code compiled for it."""

    @staticmethod
    def encode(x: npt.ArrayLike, spec: PositSpec) -> Any:
        return mapped(posit.jit.ops(spec).encode, spec.storage, x)

    @staticmethod
    def decode(bits: npt.ArrayLike, spec: PositSpec) -> Any:
        return mapped(posit.jit.ops(spec).decode, np.float64, bits)

    @staticmethod
    def convert(bits: npt.ArrayLike, from_spec: PositSpec, to_spec: PositSpec) -> Any:
        return mapped(posit.jit.convert(from_spec, to_spec), to_spec.storage, bits)

    def __getattr__(self, op: str) -> Callable[..., Any]:
        def function(*args: Any) -> Any:
            *operands, spec = args
            return mapped(getattr(posit.jit.ops(spec), op), spec.storage, *operands)

        return function


class _Free:
    """The functions that ``ops`` binds, with the spec as an argument: compiled once for all."""

    @staticmethod
    def _run(f: Any, dtype: npt.DTypeLike, spec: PositSpec, *operands: npt.ArrayLike) -> Any:
        s = _codec.Spec(spec.n, spec.rs, spec.es)
        loop = (_spec1, _spec2, _spec3)[len(operands) - 1]
        wide = [np.asarray(x) for x in operands]
        wide = [x.astype(np.int64) if x.dtype.kind == "i" else x for x in wide]
        return _over(lambda *arrays: loop(f, s, *arrays), dtype, *wide)

    def encode(self, x: npt.ArrayLike, spec: PositSpec) -> Any:
        return self._run(_codec.nearest_pattern, spec.storage, spec, np.asarray(x, np.float64))

    def decode(self, bits: npt.ArrayLike, spec: PositSpec) -> Any:
        return self._run(_codec.decode, np.float64, spec, bits)

    convert = neg = abs = None  # they depend on the spec alone: JIT has them

    def __getattr__(self, op: str) -> Callable[..., Any]:
        f = getattr(_arith, op)
        return lambda *args: self._run(f, args[-1].storage, args[-1], *args[:-1])


JIT = Backend.of("jit", _Bound())
AT_RUN_TIME = Backend.of("jit at run time", _Free())
assert set(ARITY) <= set(vars(JIT))
