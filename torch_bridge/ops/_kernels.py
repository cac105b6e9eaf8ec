"""Between tensors and patterns; those are on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import posit
from posit import PositSpec

__all__ = [
    "Patterns", "as_rows", "bits_of", "broadcast_first", "decided", "divided", "empty", "every",
    "fraction", "leading", "reduced_shape", "round_", "rounded", "spread", "tensor_of", "together",
    "unbroadcast",
]  # fmt: skip

Patterns = npt.NDArray[np.signedinteger[Any]]
F8 = npt.NDArray[np.float64]

ULP = 2.0**-52  # bounds the relative error of one float64 operation, twice over
ROOM = 900  # bits: with a reach below, quotients by counts stay normal float64 numbers


def bits_of(x: Tensor, spec: PositSpec) -> Patterns:
    """The patterns nearest to a float tensor's elements."""
    x = x.detach().cpu()
    if not x.is_floating_point():
        raise TypeError(f"expected a float tensor, got {x.dtype}")
    if x.dtype not in (torch.float32, torch.float64):
        x = x.to(torch.float64)
    return np.asarray(posit.encode(x.numpy(), spec), spec.storage)


def tensor_of(bits: npt.ArrayLike, spec: PositSpec) -> Tensor:
    """The values as a float64 tensor."""
    patterns = np.asarray(bits, spec.storage)
    return torch.from_numpy(np.asarray(posit.decode(patterns, spec), np.float64))


def rounded(x: Tensor, spec: PositSpec) -> Tensor:
    """The nearest posits' values, float64, of a float tensor's elements."""
    x = x.detach()
    if not x.is_floating_point():
        raise TypeError(f"expected a float tensor, got {x.dtype}")
    given = x.to("cpu", torch.float64).numpy()
    return torch.from_numpy(posit.round_to(given, spec, out=np.empty(given.shape)))


def round_(x: Tensor, spec: PositSpec) -> Tensor:
    """Round a float64 tensor on the CPU in place, and return it."""
    numbers = x.numpy()
    posit.round_to(numbers, spec, out=numbers)
    return x


def empty(x: Tensor, shape: Any) -> Tensor:
    """What a kernel will return: float64 of this shape."""
    return x.new_empty(shape, dtype=torch.float64)


# ---- axes
def every(dims: Sequence[int], rank: int) -> list[int]:
    """The axes meant by ``dims``, counted from the front, ascending."""
    return sorted(d % rank for d in dims)


def as_rows(bits: npt.NDArray[Any], dims: Sequence[int]) -> npt.NDArray[Any]:
    """The array with the axes ``dims`` joined as its last one."""
    gone = every(dims, bits.ndim)
    kept = [i for i in range(bits.ndim) if i not in gone]
    length = prod(bits.shape[i] for i in gone)
    return bits.transpose(*kept, *gone).reshape(*(bits.shape[i] for i in kept), length)


def reduced_shape(x: Tensor, dims: Sequence[int]) -> list[Any]:
    """The shape that is left without the axes ``dims``."""
    gone = every(dims, x.dim())
    return [n for i, n in enumerate(x.shape) if i not in gone]


def spread(x: Tensor, shape: Any, dims: Sequence[int]) -> Tensor:
    """What a reduction over ``dims`` has left, as constant along these axes of ``shape``."""
    for d in every(dims, len(shape)):
        x = x.unsqueeze(d)
    return x.expand(shape)


def unbroadcast(gradient: Tensor, shape: torch.Size, total: Any) -> Tensor:
    """The gradient of an operand that was broadcast from ``shape``; ``total`` sums over axes."""
    extra = gradient.dim() - len(shape)
    axes = [*range(extra)]
    axes += [i + extra for i, n in enumerate(shape) if n == 1 and gradient.shape[i + extra] != 1]
    found: Tensor = total(gradient, axes) if axes else gradient
    return found.reshape(shape)


def broadcast_first(bits: Patterns, shape: Sequence[int]) -> Patterns:
    """(..., *shape): the axes along which an operand of ``shape`` was broadcast, then its own."""
    extra = bits.ndim - len(shape)
    gone = [*range(extra)]
    gone += [i + extra for i, n in enumerate(shape) if n == 1 != bits.shape[i + extra]]
    kept = [i for i in range(bits.ndim) if i not in gone]
    count = prod(bits.shape[i] for i in gone)
    return bits.transpose(*gone, *kept).reshape(count, *shape)


# ---- batches of torch.vmap
def leading(x: Tensor, dim: int | None, size: int) -> Tensor:
    """x with its batch axis first; the same for all of the batch where it has none."""
    return x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)


def together(tensors: Sequence[Any], dims: Sequence[int | None]) -> list[Any]:
    """Operands that broadcast, the batch axis as their first; None stays None.

    Operands without a batch keep their shape, for they broadcast as they are.
    """
    pairs = list(zip(tensors, dims, strict=True))
    most = max(x.dim() - (d is not None) for x, d in pairs if x is not None)

    def fitted(x: Tensor, dim: int) -> Tensor:
        moved = x.movedim(dim, 0)
        return moved.reshape(moved.shape[0], *[1] * (most + 1 - moved.dim()), *moved.shape[1:])

    return [x if x is None or d is None else fitted(x, d) for x, d in pairs]


# ---- quotients that are rounded once
def decided(
    value: F8, error: F8 | float, spec: PositSpec, exact: Callable[[int], Fraction | None]
) -> Patterns:
    """The patterns of numbers that lie in value ± error, each rounded once.

    Where both ends do not round alike, ``exact`` is asked for the number at a flat index.
    """
    with np.errstate(all="ignore"):
        low, high = (
            np.array(posit.encode(x, spec), spec.storage) for x in (value - error, value + error)
        )
    flat = low.reshape(-1)
    for i in np.flatnonzero(flat != high.reshape(-1)).tolist():
        flat[i] = posit.from_fraction(exact(i), spec)
    return low


def fraction(bits: Patterns, spec: PositSpec) -> Callable[[int], Fraction | None]:
    """The exact value at a flat index."""
    flat = bits.reshape(-1)
    return lambda i: posit.to_fraction(flat[i], spec)


def divided(
    bits: Patterns, counts: npt.NDArray[np.int64] | int, spec: PositSpec, times: int = 1
) -> Patterns:
    """x·times/counts, rounded once; NaR where the count is 0.

    A significand of P bits over one of q lies at least 2^-(p+q) of its value away from every
    boundary, which has p bits, or is one; with both below 53 bits, rounding the float64 quotient
    decides as the quotient itself does.
    """
    x = posit.decode(bits, spec)
    n = np.asarray(counts, np.int64)
    most = int(np.abs(n).max(initial=1)).bit_length()
    short = spec.f_max + 2 + max(most, abs(times).bit_length()) < 52
    with np.errstate(all="ignore"):
        value = np.where(n == 0, np.nan, x * float(times) / n)
    plain = short and spec.reach <= ROOM
    error = 0.0 if plain else np.abs(x) + np.abs(value)  # decides nothing but 0 and NaR
    flat, at = np.broadcast_to(bits, value.shape), np.broadcast_to(n, value.shape).reshape(-1)
    number = fraction(np.ascontiguousarray(flat), spec)

    def exact(i: int) -> Fraction | None:
        found = number(i)
        return None if found is None else found * times / int(at[i])

    return decided(value, error, spec, exact)
