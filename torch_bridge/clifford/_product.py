"""Products of packed coefficients: one custom op, closed under derivatives.

[A] the product is unrolled over the blades that can be there. [ours] how: on floats a table that
the C core walks; on posits every output coefficient is one exact sum of products, rounded once,
over batch axes that are summed too where a gradient flows back to an operand that was broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.autograd import forward_ad

import posit
import quire
from posit import PositSpec
from quire._threads import run

from .._deposit import Dots, Terms
from ..ops._define import Grad, Inputs, Op, Rule, define, is_plain, spec_of
from ..ops._kernels import Patterns, bits_of, broadcast_first, spread, tensor_of, together
from ..ops.products import _dot, later
from ._form import Table, form_of

__all__ = ["multiply"]

_ROOM = 1 << 22  # patterns gathered at once
_LEAST = 1 << 17  # multiply-adds: what is worth a thread


def _batch(x: Tensor, y: Tensor) -> torch.Size:
    a, b = x.shape[:-1], y.shape[:-1]
    if a == b:
        return a
    try:
        shape: torch.Size = torch.broadcast_shapes(a, b)
    except RuntimeError as e:
        raise ValueError(f"batches of shapes {tuple(a)} and {tuple(b)} do not broadcast") from e
    return shape


def _shape(x: Tensor, y: Tensor, table: Table, dims: Sequence[int]) -> list[Any]:
    kept = [n for i, n in enumerate(_batch(x, y)) if i not in dims]
    return [*kept, table.sizes[2]]


# ---- floats
def _rows(x: Tensor, batch: torch.Size) -> tuple[Tensor, int]:
    """The operand with contiguous rows, and how far apart: 0 where all are one."""
    if x.shape[:-1] == batch:
        return x.contiguous(), x.shape[-1]
    if x.numel() == x.shape[-1]:
        return x.contiguous(), 0
    return x.expand(*batch, x.shape[-1]).contiguous(), x.shape[-1]


def _of_floats(x: Tensor, y: Tensor, table: Table, dims: Sequence[int]) -> Tensor:
    batch = _batch(x, y)
    out = x.new_empty((*batch, table.sizes[2]))
    rows = prod(batch)
    (a, apart), (b, beside) = _rows(x, batch), _rows(y, batch)
    threads = torch.get_num_threads() if rows * len(table.terms) >= _LEAST else 1
    step = max(1, -(-rows // threads))

    def some(first: int) -> None:
        left = a.data_ptr() + first * apart * a.itemsize, apart
        right = b.data_ptr() + first * beside * b.itemsize, beside
        to = out.data_ptr() + first * out.shape[-1] * out.itemsize
        table.multiply(out.itemsize, min(step, rows - first), left, right, to)

    run(some, range(0, rows, step), threads)
    return out.sum(list(dims)) if dims else out


# ---- posits
def _columns(x: Patterns, y: Patterns, spec: PositSpec) -> tuple[Patterns, Patterns]:
    """The operands as Table.gathered wants them."""
    none = [np.zeros((*v.shape[:-1], 1), v.dtype) for v in (x, y)]
    minus = np.asarray(posit.neg(y, spec), spec.storage)
    return np.concatenate([x, none[0]], -1), np.concatenate([y, minus, none[1]], -1)


def _of_posits(
    x: Tensor, y: Tensor, table: Table, dims: Sequence[int], spec: PositSpec
) -> Patterns:
    batch = _batch(x, y)
    kept = [i for i in range(len(batch)) if i not in dims]
    shape = [batch[i] for i in kept]
    a, b = _columns(bits_of(x, spec), bits_of(y, spec), spec)
    left, right = table.gathered
    out = np.zeros((*shape, len(left)), spec.storage)
    step = max(1, _ROOM // max(1, prod(batch) * left.shape[1]))

    terms, last = prod(batch[i] for i in dims) * left.shape[1], len(batch)

    def rows(v: Patterns, at: npt.NDArray[np.int64]) -> Patterns:
        wide = np.broadcast_to(v[..., at], (*batch, *at.shape))
        return wide.transpose(*kept, last, *dims, last + 1).reshape(*shape, len(at), terms)

    for k in range(0, len(left), step):
        part = slice(k, k + step)
        out[..., part] = quire.dot(rows(a, left[part]), rows(b, right[part]), spec)
    return out


# ---- the op
def _kernel(  # noqa: PLR0917
    x: Tensor, y: Tensor, form: str, slot: int, dims: Sequence[int], text: str
) -> Tensor:
    table = form_of(form).table(slot)
    if not text:
        return _of_floats(x.detach(), y.detach(), table, dims)
    spec = spec_of(text)
    return tensor_of(_of_posits(x, y, table, sorted(dims), spec), spec)


def _fake(  # noqa: PLR0917
    x: Tensor, y: Tensor, form: str, slot: int, dims: Sequence[int], text: str
) -> Tensor:
    table = form_of(form).table(slot)
    return x.new_empty(_shape(x, y, table, dims), dtype=torch.float64 if text else x.dtype)


def _summed(x: Tensor, batch: torch.Size) -> list[int]:
    """The batch axes along which x was broadcast."""
    extra = len(batch) - (x.dim() - 1)
    own = [*[1] * extra, *x.shape[:-1]]
    return [i for i, n in enumerate(batch) if i < extra or own[i] == 1 != n]


def _back(i: int, inputs: Inputs, g: Tensor) -> tuple[Any, ...]:
    """What the gradient of operand i is: a product's arguments."""
    form, slot, dims, text = inputs[2:]
    others = [s for s in range(3) if s != slot]
    batch = _batch(*inputs[:2])
    parts = {slot: spread(g, (*batch, g.shape[-1]), dims), others[1 - i]: inputs[1 - i]}
    x, y = (parts[s] for s in sorted(parts))
    return x, y, form, others[i], _summed(inputs[i], batch), text


def _vjp(inputs: Inputs, out: Any, g: Tensor) -> list[Grad]:
    def gradient(i: int) -> Tensor:
        return _product(*_back(i, inputs, g)).reshape(inputs[i].shape)

    return [lambda: gradient(0), lambda: gradient(1)]


def _terms(inputs: Inputs, out: Any, g: Tensor) -> list[Callable[[], Terms] | None]:
    """A gradient as the products that it is the sum of, for parameters that collect them."""
    if not inputs[5]:
        return [None, None]
    spec = spec_of(inputs[5])

    def terms(i: int) -> Terms:
        x, y, form, slot, _, _ = _back(i, inputs, g)
        columns = _columns(bits_of(x, spec), bits_of(y, spec), spec)
        batch, like = _batch(x, y), inputs[i].shape
        made = []
        for v, at in zip(columns, form_of(form).table(slot).gathered, strict=True):
            wide = np.broadcast_to(v[..., at], (*batch, *at.shape))
            made.append(broadcast_first(np.moveaxis(wide, -1, 0), like))
        return Dots(*made)

    return [lambda: terms(0), lambda: terms(1)]


def _jvp(inputs: Inputs, out: Any, tangents: Any) -> Tensor:
    """dx·y + x·dy: for posits one sum of up to twice the length, rounded once."""
    (x, y, form, slot, dims, text), (dx, dy) = inputs, tangents
    pairs = [(a, b) for a, b in ((dx, y), (x, dy)) if a is not None and b is not None]
    if len(pairs) == 1:
        return _product(*pairs[0], form, slot, dims, text)
    if not text:
        first, second = (_product(*pair, form, slot, dims, text) for pair in pairs)
        return first + second
    left, right = (torch.from_numpy(at) for at in form_of(form).table(slot).gathered)
    a = torch.cat([_beside_zero(v)[..., left] for v, _ in pairs], -1)
    b = torch.cat([_beside_zero(torch.cat([v, -v], -1))[..., right] for _, v in pairs], -1)
    return _dot(a, b, [*dims, max(a.dim(), b.dim()) - 1], text)


def _beside_zero(x: Tensor) -> Tensor:
    return torch.cat([x, x.new_zeros(*x.shape[:-1], 1)], -1)


def _batched(f: Op, inputs: Inputs, in_dims: Inputs, size: int) -> Tensor:
    x, y, form, slot, dims, text = inputs
    return f(*together((x, y), in_dims[:2]), form, slot, later(dims), text)


_product: Op = define(
    Rule(
        "clifford_product",
        "(Tensor x, Tensor y, str form, int slot, int[] dims, str spec) -> Tensor",
        _kernel,
        _fake,
        _vjp,
        _jvp,
        _batched,
        _terms,
    )
)


def multiply(x: Tensor, y: Tensor, form: str, text: str = "", slot: int = 2) -> Tensor:
    """The form's product of packed coefficients, whose batch axes broadcast.

    Parameters
    ----------
    x, y : Tensor (..., coefficients)
        Both float32 or both float64; of any float dtype where ``text`` names a format.
    form : str
        As :func:`name_form` makes it.
    text : str
        The format of posits, or "" for floats.
    slot : int
        What comes out: 2 the product; 0 or 1 what is paired with that operand instead.

    Returns
    -------
    Tensor (..., coefficients)
        Of the operands' dtype, each product and addition rounded; or float64 holding posits, each
        one exact sum, rounded once.

    Raises TypeError for other dtypes or devices, ValueError for batches that do not broadcast.
    """
    if not text and (x.dtype != y.dtype or x.dtype not in (torch.float32, torch.float64)):
        raise TypeError(
            f"products are of two float32 or two float64 tensors, got {x.dtype} and {y.dtype}"
        )
    if x.device.type != "cpu" or y.device.type != "cpu":
        raise TypeError(
            f"products are computed on the CPU; the operands are on {x.device} and {y.device}"
        )
    if _asks_nothing(x, y):
        found = _kernel if is_plain((x, y)) else torch.ops.bposit.clifford_product
        made: Tensor = found(x, y, form, slot, [], text)
        return made
    return _product(x, y, form, slot, [], text)


def _asks_nothing(x: Tensor, y: Tensor) -> bool:
    """Whether nobody asks for derivatives or batches: the bare op will do, and is faster."""
    return not (
        torch.compiler.is_compiling()
        or x.requires_grad
        or y.requires_grad
        or forward_ad._current_level >= 0
        or torch._C._are_functorch_transforms_active()
    )
