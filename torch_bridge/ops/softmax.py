"""Softmax and its logarithm over the last axis, terms skipped by a mask."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import posit
import quire
from posit import PositSpec, functions
from posit.spec import SpecLike

from ._define import Grad, Inputs, Op, Rule, define, spec_of, text_of
from ._kernels import ROOM, ULP, Patterns, bits_of, decided, empty, tensor_of, together
from .elementwise import _fma, _mul, _sub
from .products import _dot, _sum, repeated

__all__ = ["log_softmax", "softmax"]

Mask = npt.NDArray[np.bool_]


def _exponentials(
    x: Tensor, mask: Tensor | None, spec: PositSpec
) -> tuple[Patterns, Patterns, Mask | None]:
    """x - max of each row and e to that, both rounded; 0 where a term is skipped; what is kept."""
    bits = bits_of(x, spec)
    kept = None if mask is None else np.broadcast_to(mask.numpy(), bits.shape)
    seen = bits if kept is None else np.where(kept, bits, spec.storage.type(-spec.maxpos_pattern))
    if not bits.shape[-1]:
        return bits, bits, kept
    top = seen.max(-1, keepdims=True)  # NaR, the least pattern, makes its own row NaR below
    nothing = spec.storage.type(0)
    less = posit.sub(seen if kept is None else np.where(kept, bits, top), top, spec)
    raised = functions.exp(less, spec)
    poisoned = (seen == spec.nar).any(-1, keepdims=True)
    raised = np.where(poisoned, spec.storage.type(spec.nar), raised)
    return less, raised if kept is None else np.where(kept, raised, nothing), kept


def _shares(raised: Patterns, spec: PositSpec) -> Patterns:
    """Each element over the exact sum of its row, rounded once; 0 in rows that have no terms."""
    value = posit.decode(raised, spec)
    length = value.shape[-1]
    total = value.sum(-1, keepdims=True)  # of terms >= 0: relatively wrong by length·2^-53 at most
    with np.errstate(invalid="ignore"):
        share = value / np.where(total == 0, 1.0, total)

    def exact(i: int) -> Fraction | None:
        row = raised.reshape(-1, length)[i // length]
        terms = [posit.to_fraction(p, spec) for p in row]
        whole = sum((t for t in terms if t is not None), Fraction(0))
        found = terms[i % length]
        return None if found is None else found / whole

    error = share * ((length + 8) * ULP)
    if spec.reach > ROOM:
        error = value  # quotients may underflow: decides nothing but 0
    return decided(share, error, spec, exact)


def _softmax_kernel(x: Tensor, mask: Tensor | None, text: str) -> Tensor:
    spec = spec_of(text)
    return tensor_of(_shares(_exponentials(x, mask, spec)[1], spec), spec)


def _softmax_slope(y: Tensor, t: Tensor, text: str) -> Tensor:
    """y·(t - Σ y·t): the exact dot product, the difference and the product are rounded."""
    return _mul(y, _sub(t, _dot(y, t, [y.dim() - 1], text).unsqueeze(-1), text), text)


def _skipping(t: Tensor, mask: Tensor | None) -> Tensor:
    return t if mask is None else torch.where(mask, t, 0.0)


def _batched(f: Op, inputs: Inputs, dims: Inputs, size: int) -> Tensor:
    x, mask, text = inputs
    wide = repeated(x, dims[0], size, text)
    return f(*together([wide, mask], [0, dims[1]]), text)


def _rule(name: str, kernel: Any, vjp: Any, jvp: Any) -> Any:
    def reverse(inputs: Inputs, out: Tensor, g: Tensor) -> list[Grad]:
        return [lambda: vjp(inputs, out, g), None]

    return define(
        Rule(
            name,
            "(Tensor x, Tensor? mask, str spec) -> Tensor",
            kernel,
            lambda x, mask, text: empty(x, x.shape),
            reverse,
            lambda i, out, t: jvp(i, out, t[0]),
            _batched,
            uses_output=name == "softmax",
        )
    )


_softmax: Op = _rule(
    "softmax",
    _softmax_kernel,
    lambda i, y, g: _softmax_slope(y, _skipping(g, i[1]), i[2]),
    lambda i, y, t: _softmax_slope(y, _skipping(t, i[1]), i[2]),
)


# ---- logarithm
def _log_kernel(x: Tensor, mask: Tensor | None, text: str) -> Tensor:
    """x - max - log Σe. One e is 1, so that log(1 + rest) keeps what is small beside it."""
    spec = spec_of(text)
    less, raised, kept = _exponentials(x, mask, spec)
    if not raised.size:
        return torch.zeros(x.shape, dtype=torch.float64, device=x.device)
    minus_one = np.broadcast_to(spec.storage.type(-spec.one), (*raised.shape[:-1], 1))
    rest = np.asarray(quire.sum(np.concatenate([raised, minus_one], -1), spec, axis=-1))
    out = posit.sub(less, functions.log_plus_1(rest, spec)[..., np.newaxis], spec)
    if kept is not None:
        out = np.where(kept, out, spec.storage.type(spec.nar))
    return tensor_of(out, spec)


def _log_vjp(inputs: Inputs, out: Tensor, g: Tensor) -> Tensor:
    x, mask, text = inputs
    seen = _skipping(g, mask)
    total = _sum(seen, [x.dim() - 1], text).unsqueeze(-1)
    return _fma(-_softmax(x, mask, text), total, seen, text)


def _log_jvp(inputs: Inputs, out: Tensor, t: Tensor) -> Tensor:
    x, mask, text = inputs
    seen = _skipping(t, mask)
    mean = _dot(_softmax(x, mask, text), seen, [x.dim() - 1], text).unsqueeze(-1)
    return _skipping(_sub(seen, mean, text), mask)


_log_softmax: Op = _rule("log_softmax", _log_kernel, _log_vjp, _log_jvp)


def _last(function: Any, x: Tensor, mask: Tensor | None, dim: int, spec: SpecLike) -> Tensor:
    if mask is not None and mask.dtype != torch.bool:
        raise TypeError(
            f"the mask must be booleans, True where a term counts, got {mask.dtype}: a posit has"
            " no -inf that would make a term vanish"
        )
    if x.dim() == 0:
        raise ValueError("softmax needs a tensor with at least one axis")
    if mask is not None:
        mask = mask.expand(x.shape).movedim(dim, -1)
    found: Tensor = function(x.movedim(dim, -1), mask, text_of(spec)).movedim(-1, dim)
    return found


def softmax(x: Tensor, dim: int = -1, *, spec: SpecLike, mask: Tensor | None = None) -> Tensor:
    """e^(x - max) over the sum of such terms along ``dim``.

    Rounded are x - max, its exponential, and the quotient by the exact sum of the rounded
    exponentials. The derivative y·(t - Σ y·t) rounds the exact dot product, the difference and the
    product.

    Parameters
    ----------
    x : Tensor
    dim : int
    mask : Tensor of bool, optional
        True where a term counts; it broadcasts to ``x``. Others are skipped: their result is 0, and
        so is all of a row in which no term counts.
    """
    return _last(_softmax, x, mask, dim, spec)


def log_softmax(x: Tensor, dim: int = -1, *, spec: SpecLike, mask: Tensor | None = None) -> Tensor:
    """The logarithm of the softmax, as (x - max) - log(1 + rest), rest = Σ e^(x - max) - 1.

    Rounded are x - max, the exponentials, their exact sum less 1, the logarithm and the difference.
    Skipped terms (see :func:`softmax`) have no logarithm: NaN. The gradient g - y·Σg rounds the
    softmax y, the exact sum and the result; a tangent t - Σ y·t the softmax, the exact dot product
    and the difference.
    """
    return _last(_log_softmax, x, mask, dim, spec)
