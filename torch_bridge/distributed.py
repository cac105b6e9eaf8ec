"""Exact sums over the ranks of a process group: the same bits for every number of ranks.

What travels are the integers of exact accumulators, never rounded gradients:

1. MAX of the ends of every sum's window of digits, of whether it has NaR, and of its format; ranks
   that have nothing yet learn from it what the others have;
2. SUM of the int64 digits of those windows, at most 2^31 - 1 ranks of them without overflow;
3. MAX of the NaR flags, if there are any.

These are ordinary collectives on int64 and uint8, on gloo and NCCL. All ranks call with the same
list, in the same order, with or without data. After ``torchrun`` and ``init_process_group``::

    for x, y in my_share_of_the_batch:           # any share, none included
        loss(model(x), y).backward()             # the loss divided by the *global* batch's size
    distributed.all_reduce_gradients(model.parameters())
    optimizer.step()                             # the same on every rank
    optimizer.zero_grad()
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from posit import PositSpec
from quire import Accumulators

from . import gradients
from ._patterns import is_zero
from ._tensor import PositTensor
from .ops._kernels import bits_of, tensor_of

__all__ = ["all_reduce", "all_reduce_gradients", "ddp", "ddp_hook", "reduce_scatter"]

_BUCKET = 1 << 23  # digits: 64 MiB travel at a time
_NONE = -(1 << 62)  # below every entry of a header
_FAULTS = (
    "",
    "a rank has a rounded .grad, whose sum would depend on how the batch was split among ranks",
    "these gradients were reduced, or used by a step; optimizer.zero_grad() clears them",
)

Group: TypeAlias = "dist.ProcessGroup | None"
Integers = npt.NDArray[Any]  # int64, or uint8 for flags


@dataclass(frozen=True)
class _Common:
    """What the ranks agreed on for one sum."""

    spec: PositSpec
    window: tuple[int, int]
    has_nar: bool

    @property
    def planes(self) -> int:
        return (self.window[1] - self.window[0]) // 32


def all_reduce(sums: Sequence[Accumulators], group: Group = None) -> None:
    """Make each the sum of what all ranks have in its place, on all ranks.

    Parameters
    ----------
    sums : sequence of Accumulators
        On every rank as many, of the same shapes and formats; empty sums are zeros.
    group : ProcessGroup, optional
        Default all ranks.

    Raises ValueError, on all ranks, where formats or shapes differ.
    """
    totals = _reduced(sums, [s.shape for s in sums], [0] * len(sums), group)
    for mine, total in zip(sums, totals, strict=True):
        assert total is not None  # this rank has it
        mine.clear().merge(total)


def all_reduce_gradients(parameters: Iterable[Tensor], group: Group = None) -> None:
    """Replace the exact gradients of parameters by their sums over all ranks.

    A rank on which a parameter took part in nothing gets the others' sum. The sums are closed to
    further deposits, as adding to the total of all ranks and reducing again would count them twice;
    ``zero_grad`` opens them.

    Raises ValueError, on all ranks, if a parameter has a ``.grad`` that is not 0 on any: it is
    rounded already, and its sum would depend on how the batch was split. RuntimeError, on all, for
    gradients that have been reduced or used.
    """
    given = list(parameters)
    found = [gradients.find(p) for p in given]
    sums = [None if g is None or g.is_empty else g.to_accumulators() for g in found]
    faults = [_fault(p, g) for p, g in zip(given, found, strict=True)]
    made = _reduced(sums, [tuple(p.shape) for p in given], faults, group)
    for p, total in zip(given, made, strict=True):
        if total is not None:
            gradients.of(p, total.spec).replace(total).close("was summed over all ranks")


def ddp(module: nn.Module, group: Group = None, **options: Any) -> DistributedDataParallel:
    """``DistributedDataParallel`` of a converted model, or of one with PositTensors as parameters.

    Every rank gets rank 0's parameters and buffers, and :func:`ddp_hook` is registered.

    Parameters
    ----------
    module : nn.Module
        On every rank the same layers.
    group : ProcessGroup, optional
        Default all ranks.
    **options
        As ``DistributedDataParallel`` has them, but ``process_group`` and ``init_sync``.

    Raises ValueError, on all ranks, if parameters or buffers differ in number, shape or format.
    """
    held = [*module.parameters(), *module.buffers()]
    kinds = [(tuple(x.shape), str(x.dtype), str(getattr(x, "spec", None))) for x in held]
    word = int.from_bytes(sha256(repr(kinds).encode()).digest()[:7], "big")
    (found,) = _total([np.array([word, -word])], dist.ReduceOp.MAX, group)
    if found[0] != -found[1]:
        raise ValueError("ddp: the ranks' parameters or buffers differ in number, shape or format")
    first = dist.get_global_rank(group, 0) if group is not None else 0
    with torch.no_grad():
        for x in held:
            own = x.bits() if isinstance(x, PositTensor) else x.detach()
            sent = own.contiguous().reshape(-1).view(torch.uint8)  # gloo knows no int16
            dist.broadcast(sent, first, group)
            own.copy_(sent.view(own.dtype).reshape(own.shape))
    made = DistributedDataParallel(module, process_group=group, init_sync=False, **options)
    made.register_comm_hook(group, ddp_hook)
    return made


def ddp_hook(state: Group, bucket: Any) -> torch.futures.Future[Tensor]:
    """Reduce exact gradients where DistributedDataParallel would average rounded ones.

    ``model.register_comm_hook(group, ddp_hook)``, with None for all ranks; :func:`ddp` does it.
    Gradients are summed, not averaged: divide the loss by the global batch's size. Inside
    ``model.no_sync()`` micro-batches add up. Parameters whose layers deposit nothing raise
    ValueError, as in :func:`all_reduce_gradients`, whose work this is.

    A PositTensor's gradient is rounded at every rank, as its own operations are; the sum over ranks
    is exact, and rounded once. It is the same for every order of ranks, not for every number.
    """
    pairs = list(zip(bucket.parameters(), bucket.gradients(), strict=True))
    all_reduce_gradients([p for p, _ in pairs if not isinstance(p, PositTensor)], state)
    posits = [(p.spec, g) for p, g in pairs if isinstance(p, PositTensor)]
    sums = [Accumulators(tuple(g.shape), s).add(bits_of(g, s)) for s, g in posits]
    all_reduce(sums, state)
    for (spec, g), total in zip(posits, sums, strict=True):
        g.copy_(tensor_of(total.round(spec), spec))
    done: torch.futures.Future[Tensor] = torch.futures.Future()
    done.set_result(bucket.buffer())
    return done


# DistributedDataParallel compares the annotations themselves, not their text
ddp_hook.__annotations__["bucket"] = getattr(dist, "GradBucket", Any)
ddp_hook.__annotations__["return"] = torch.futures.Future[Tensor]


def reduce_scatter(sums: Accumulators, group: Group = None) -> Accumulators:
    """This rank's share of the sums over all ranks, in one axis.

    Of n elements, in C order, and w ranks each gets ⌈n/w⌉, one rank after the other, the last ones
    fewer or none.

    Raises ValueError, on all ranks, where formats or shapes differ.
    """
    ranks, rank = dist.get_world_size(group), dist.get_rank(group)
    (common,) = _agree([sums], [sums.shape], [0], group)
    assert common is not None  # this rank has it
    size = prod(sums.shape)
    share = -(-size // ranks)
    digits = np.zeros((common.planes + common.has_nar, ranks * share), np.int64)
    digits[: common.planes, :size] = sums.digits(common.window).reshape(common.planes, size)
    if common.has_nar:  # counted: one more plane of the sum
        digits[-1, :size] = sums.is_nar.reshape(size)
    parts = digits.reshape(len(digits), ranks, share).transpose(1, 0, 2)
    sent = _sent(np.ascontiguousarray(parts).reshape(-1), group)
    got = sent.new_empty(len(digits) * share)
    if len(digits):
        dist.reduce_scatter_tensor(got, sent, group=group)
    mine = got.cpu().numpy().reshape(len(digits), share)[:, : max(0, size - rank * share)]
    nar = mine[-1] != 0 if common.has_nar else False
    return Accumulators.from_digits(
        np.ascontiguousarray(mine[: common.planes]), common.window[0], common.spec, nar
    )


def _reduced(
    sums: Sequence[Accumulators | None],
    shapes: Sequence[tuple[int, ...]],
    faults: Sequence[int],
    group: Group,
) -> list[Accumulators | None]:
    """The totals; None for those that no rank has."""
    commons = _agree(sums, shapes, faults, group)
    mine = [
        None if c is None else Accumulators(shape, c.spec) if x is None else x
        for x, shape, c in zip(sums, shapes, commons, strict=True)
    ]
    used = [(x, c) for x, c in zip(mine, commons, strict=True) if x is not None and c is not None]
    digits = _total([x.digits(c.window) for x, c in used], dist.ReduceOp.SUM, group)
    stained = [x.is_nar.view(np.uint8) for x, c in used if c.has_nar]
    nar = iter(_total(stained, dist.ReduceOp.MAX, group))
    made = iter(
        Accumulators.from_digits(d, c.window[0], c.spec, next(nar) if c.has_nar else False)
        for d, (_, c) in zip(digits, used, strict=True)
    )
    return [None if c is None else next(made) for c in commons]


def _fault(parameter: Tensor, found: gradients.GradientSum | None) -> int:
    """Why a parameter's gradient cannot be reduced: an index of _FAULTS, or 0."""
    if found is not None and found.is_closed:
        return 2
    return int(parameter.grad is not None and not is_zero(parameter.grad))


def _agree(
    sums: Sequence[Accumulators | None],
    shapes: Sequence[tuple[int, ...]],
    faults: Sequence[int],
    group: Group,
) -> list[_Common | None]:
    """Formats and windows that serve all ranks; None for sums that no rank has.

    Every rank sees the same header, so that all raise or none does.
    """
    (count,) = _total([np.array([len(sums), -len(sums)])], dist.ReduceOp.MAX, group)
    if count[0] != -count[1]:
        raise ValueError(f"ranks came with {-count[1]} to {count[0]} sums: all must have the same")
    rows = [_row(*own) for own in zip(sums, shapes, faults, strict=True)]
    (header,) = _total([np.array(rows, np.int64).reshape(-1, 12)], dist.ReduceOp.MAX, group)
    made: list[_Common | None] = []
    for i, row in enumerate(header.tolist()):
        fault, has_nar, down, high, *pairs = row
        where = f"sum {i} of {len(sums)}, of shape {shapes[i]}"
        if fault:
            raise (RuntimeError if fault == 2 else ValueError)(f"{where}: {_FAULTS[fault]}")
        size, n, rs, es = pairs[::2]
        if size != -pairs[1]:
            raise ValueError(f"{where}: ranks have {-pairs[1]} to {size} elements")
        if n == _NONE:
            made.append(None)
            continue
        if [n, rs, es] != [-low for low in pairs[3::2]]:
            raise ValueError(f"{where}: ranks have sums of different formats")
        window = (0, 0) if high == _NONE else (-down, high)
        made.append(_Common(PositSpec(n, rs, es), window, bool(has_nar)))
    return made


def _row(mine: Accumulators | None, shape: tuple[int, ...], fault: int) -> list[int]:
    """What the others must know, so that MAX over ranks is what serves all.

    Fault, NaR, -low, high; then numbers that must agree, each beside its opposite: the elements,
    and n, rs, es.
    """
    size = prod(shape)
    if mine is None:
        return [fault, 0, _NONE, _NONE, size, -size, *[_NONE] * 6]
    low, high = mine.settle().window
    ends = (-low, high) if low < high else (_NONE, _NONE)
    spec = mine.spec
    same = (size, -size, spec.n, -spec.n, spec.rs, -spec.rs, spec.es, -spec.es)
    return [fault, int(mine.is_nar.any()), *ends, *same]


def _total(arrays: Sequence[Integers], operation: Any, group: Group) -> list[Integers]:
    """All-reduce arrays of one dtype, joined and then cut into pieces of bounded size."""
    if not arrays:
        return []
    flat = np.concatenate([x.reshape(-1) for x in arrays])
    for start in range(0, flat.size, _BUCKET):
        part = flat[start : start + _BUCKET]
        sent = _sent(part, group)
        dist.all_reduce(sent, operation, group=group)
        part[:] = sent.cpu().numpy()
    ends = np.cumsum([x.size for x in arrays])[:-1]
    parts = np.split(flat, ends)
    return [part.reshape(x.shape) for part, x in zip(parts, arrays, strict=True)]


def _sent(values: Integers, group: Group) -> Tensor:
    """The array where the group's backend takes it: NCCL's on the current GPU."""
    made = torch.from_numpy(values)
    return made.cuda() if dist.get_backend(group) == "nccl" else made
