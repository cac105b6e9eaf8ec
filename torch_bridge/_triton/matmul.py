"""The exact matrix product: certified rounding of a float64 product, and digits for the rest."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from dataclasses import dataclass
from math import frexp, prod
from typing import Any

import torch
from torch import Tensor

import posit
from posit import PositSpec
from quire import Accumulators, Layout
from quire.certified import can_certify

from ..ops.casts import storage
from .casts import decode, launch, of_spec
from .limbs import accumulate_kernel, round_kernel
from .products import certify_kernel, enclose_kernel, product_kernel

__all__ = ["MOST_TERMS", "accumulated", "can_multiply", "matmul", "product"]

MOST_TERMS = 1 << 28  # of one sum: digits of 64 bits then need no carries
FUSED = 1 << 27  # multiply-adds: below, one kernel is cheaper than several; above, the BLAS
FEW = 64  # of so many elements, more than one undecided is worth a second product
EMULATION = "CUBLAS_EMULATE_DOUBLE_PRECISION"  # cuBLAS's sums are then not what the proof is about
CHAINS = 128  # side by side; for sums at least four times as long
MEMORY = 1 << 28  # bytes of digits at a time
TILE, DEPTH, WIDE = 32, 16, 1024


def can_multiply(spec: PositSpec, inner: int) -> bool:
    """Whether :func:`matmul` takes sums of ``inner`` products of a format."""
    return spec.fits_float64 and spec.f_max <= 50 and inner <= MOST_TERMS


@dataclass(frozen=True)
class Operands:
    """a (batch, rows, inner), b (batch, inner, cols) and add (batch, rows, cols) or None."""

    a: Tensor
    b: Tensor
    add: Tensor | None
    spec: PositSpec

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the product."""
        return (*self.a.shape[:2], self.b.shape[2])

    @property
    def inner(self) -> int:
        return self.a.shape[2]

    def along_lines(self) -> Operands:
        """The same, rows of a and columns of b each in one piece of memory."""
        return Operands(self.a.contiguous(), self.b.mT.contiguous().mT, self.add, self.spec)

    @property
    def strides(self) -> tuple[int, ...]:
        return (*self.a.stride(), *self.b.stride())

    @property
    def term(self) -> tuple[Any, ...]:
        """``add`` and its strides, or something to stand for it."""
        return (self.a, 0, 0, 0) if self.add is None else (self.add, *self.add.stride())


def matmul(
    a: Tensor,
    b: Tensor,
    spec: PositSpec,
    *,
    add: Tensor | None = None,
    stats: MutableMapping[str, int] | None = None,
) -> Tensor:
    """The bits of :func:`quire.matmul`, which has the same parameters, on the operands' device.

    Both operands have two axes or more. ``stats`` counts elements by route: "bounds", decided by a
    float64 product; "chains", by a narrower interval of their own; "digits", by exact sums.

    Raises ValueError for shapes that do not fit, and for what :func:`can_multiply` denies.
    """
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    shape = (*batch, a.shape[-2], b.shape[-1])
    given = _operands(a, b, add, batch, spec)
    if not can_multiply(spec, given.inner):
        raise ValueError(f"sums of {given.inner} products of {spec}: see can_multiply")
    out = torch.empty(given.shape, dtype=storage(spec), device=a.device)
    left = _by_bounds(given, out)
    if left.numel() > min(given.shape[1:]):
        given = given.along_lines()
    few = _by_chains(given, left, out)
    _by_digits(given, few, out)
    counts = out.numel() - left.numel(), left.numel() - few.numel(), few.numel()
    for route, count in zip(("bounds", "chains", "digits"), counts, strict=True):
        if stats is not None:
            stats[route] = stats.get(route, 0) + count
    return out.reshape(shape)


def product(a: Tensor, b: Tensor, spec: PositSpec) -> Tensor:
    """Σ a·b of patterns (..., M, K) and (..., K, N) as a float64 sum in some order."""
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    found, _ = _fused(_operands(a, b, None, batch, spec), bound=False)
    return found.reshape(*batch, a.shape[-2], b.shape[-1])


def accumulated(a: Tensor, b: Tensor, spec: PositSpec) -> Accumulators:
    """Σ a·b of patterns (..., M, K) and (..., K, N), exact, not rounded; summed on the device."""
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    given = _operands(a, b, None, batch, spec)
    everything = torch.arange(prod(given.shape), device=a.device)
    digits, nars, low = _digits(given, everything, _window(given))
    shape = (*batch, a.shape[-2], b.shape[-1])
    return Accumulators.from_digits(
        digits.cpu().numpy().reshape(-1, *shape), low, spec, nars.cpu().numpy().reshape(shape) != 0
    )


def _operands(
    a: Tensor, b: Tensor, add: Tensor | None, batch: torch.Size, spec: PositSpec
) -> Operands:
    """One batch axis; none worth the name where there is one matrix on the right."""
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(f"matmul: shapes {(*a.shape,)} and {(*b.shape,)} do not agree along K")
    shape = (*batch, a.shape[-2], b.shape[-1])
    term = None if add is None else add.expand(shape)
    wide = a.expand(*batch, *a.shape[-2:])
    count, rows = prod(batch), a.shape[-2]
    if prod(b.shape[:-2]) == 1:
        lines = wide.reshape(1, count * rows, a.shape[-1])
        last = None if term is None else term.reshape(1, count * rows, shape[-1])
        return Operands(lines, b.reshape(1, *b.shape[-2:]), last, spec)
    x = wide.reshape(count, *a.shape[-2:])
    y = b.expand(*batch, *b.shape[-2:]).reshape(count, *b.shape[-2:])
    return Operands(x, y, None if term is None else term.reshape(count, *shape[-2:]), spec)


def _by_bounds(given: Operands, out: Tensor) -> Tensor:
    """Rounds what a float64 product decides; returns the row-major indices of the rest."""
    spec, shape = given.spec, given.shape
    if not can_certify(spec):
        return torch.arange(out.numel(), device=out.device)
    if prod(shape) * given.inner <= FUSED or os.environ.get(EMULATION, "0") != "0":
        return _certified(given, *_fused(given, bound=True), None, out)
    left, right = decode(given.a, spec), decode(given.b, spec)
    total = torch.matmul(left, right)
    norms = (
        torch.linalg.vector_norm(left, dim=2),
        torch.linalg.vector_norm(right, dim=1).contiguous(),
    )
    undecided = _certified(given, total, total, norms, out)
    if undecided.numel() * FEW <= out.numel():
        return undecided
    return _certified(given, total, torch.matmul(left.abs_(), right.abs_()), None, out)


def _fused(given: Operands, bound: bool) -> tuple[Tensor, Tensor]:
    """Σ a·b and, for a bound, Σ|a||b|."""
    total = torch.empty(given.shape, dtype=torch.float64, device=given.a.device)
    sizes = torch.empty_like(total) if bound else total
    batch, rows, cols = given.shape
    tiles = batch * -(-rows // TILE) * -(-cols // TILE)
    launch(
        product_kernel, (tiles,), given.a, given.b, total, sizes, rows, cols, given.inner,
        *given.strides, **of_spec(given.spec), BOUND=bound, BM=TILE, BN=TILE, BK=DEPTH,
    )  # fmt: skip
    return total, sizes


def _certified(
    given: Operands, total: Tensor, sizes: Tensor, norms: tuple[Tensor, Tensor] | None, out: Tensor
) -> Tensor:
    """The elements that a bound, by norms or by ``sizes``, leaves undecided."""
    undecided = torch.empty_like(out, dtype=torch.bool)
    batch, rows, cols = given.shape
    width = min(WIDE, 1 << max(0, cols - 1).bit_length())
    height = WIDE // width
    blocks = batch * -(-rows // height) * -(-cols // width)
    add, *steps = given.term
    launch(
        certify_kernel, (blocks,), total, sizes, *(norms or (total, total)), add, out, undecided,
        rows, cols, given.inner, *steps, **of_spec(given.spec), BY_NORMS=norms is not None,
        ADD=given.add is not None, BR=height, BC=width,
    )  # fmt: skip
    return undecided.reshape(-1).nonzero().reshape(-1)


def _by_chains(given: Operands, where: Tensor, out: Tensor) -> Tensor:
    """The elements at these row-major indices, by shorter sums; returns those left undecided."""
    worth = where.numel() and can_certify(given.spec) and given.inner > 4 * CHAINS
    if not worth:
        return where
    undecided = torch.empty(where.shape, dtype=torch.bool, device=where.device)
    add, *steps = given.term
    launch(
        enclose_kernel, (where.numel(),), given.a, given.b, add, where, out, undecided,
        *given.shape[1:], given.inner, *given.strides, *steps, **of_spec(given.spec),
        ADD=given.add is not None, BK=CHAINS,
    )  # fmt: skip
    return where[undecided]


def _by_digits(given: Operands, where: Tensor, out: Tensor) -> None:
    """The elements at these row-major indices, from exact sums."""
    if not where.numel():
        return
    window = _window(given)
    planes = max(1, (window[1] - window[0]) // 32)
    for some in where.split(max(1, MEMORY // (8 * planes))):
        digits, nars, low = _digits(given, some, window)
        blocks = -(-some.numel() // WIDE)
        launch(
            round_kernel, (blocks,), digits, nars, out, some, some.numel(), low, len(digits),
            **of_spec(given.spec), BLOCK=WIDE,
        )  # fmt: skip


def _digits(given: Operands, where: Tensor, window: tuple[int, int]) -> tuple[Tensor, Tensor, int]:
    """(planes, count) digits of the elements' sums, whether NaR, and the lowest place."""
    low, high = window
    planes = (high - low) // 32
    wide = 1 << max(0, planes - 1).bit_length()
    count = where.numel()
    digits = torch.empty((planes, count), dtype=torch.int64, device=where.device)
    nars = torch.empty(count, dtype=torch.int32, device=where.device)
    add, *steps = given.term
    launch(
        accumulate_kernel, (count,), given.a, given.b, add, where, digits, nars, count,
        *given.shape[1:], given.inner, *given.strides, *steps, low, planes,
        **of_spec(given.spec), ADD=given.add is not None, PLANES=wide, BK=max(1, WIDE // wide),
    )  # fmt: skip
    return digits, nars, low


def _window(given: Operands) -> tuple[int, int]:
    """Multiples of 32: sums are those of 2^low, and below 2^high; (0, 0) if all terms are 0."""
    spans = [_span(x, given.spec) for x in (given.a, given.b)]
    places = []
    if spans[0] and spans[1]:
        grown = given.inner.bit_length()
        places.append((spans[0][0] + spans[1][0], spans[0][1] + spans[1][1] + grown))
    term = None if given.add is None else _span(given.add, given.spec)
    if term:
        places.append(term)
    if not places:
        return 0, 0
    lowest = max(min(low for low, _ in places), Layout.exact(given.spec).lsb)
    return lowest // 32 * 32, max(high for _, high in places) // 32 * 32 + 32


def _span(x: Tensor, spec: PositSpec) -> tuple[int, int] | None:
    """All bits lie in 2^low … 2^high; None if all elements are 0 or NaR."""
    size = x.abs()  # of NaR no more than 0, or beyond maxpos
    size = torch.where((size <= 0) | (size > spec.maxpos_pattern), 0, size)
    most = int(size.amax()) if size.numel() else 0
    if most == 0:
        return None
    least = int(torch.where(size == 0, most, size).amin())
    ends = [frexp(float(posit.decode(spec.storage.type(p), spec)))[1] for p in (least, most)]
    return ends[0] - 1 - spec.f_max, ends[1]
