"""One call of a unit in a format: what it delivers to the next, and what was counted on the way."""

from __future__ import annotations

from typing import Any

import numpy as np

import posit
import quire

from . import linear
from .formats import F8, Format, PositFormat, finite_amax
from .layers import Known, outputs, product, quantized, table
from .linear import Accumulate
from .outside import Outside, outside
from .power import ratio

__all__ = ["delivered", "row"]

_PART = 1 << 20  # operands of sums that are made again, at a time


def delivered(
    call: Any, args: Any, kwargs: Any, form: Format, mode: Accumulate
) -> tuple[Any, F8 | None, Outside]:
    """A call's output in a format, its first float tensor as (rows, columns), and counts of that.

    Raises what the unit raises.
    """
    import torch

    from torch_bridge import audit as hooks

    given = args
    if type(call.unit) in hooks.PRODUCTS and not form.is_scaled:
        # such formats round each number alone: here, before patches of an image repeat it
        given = hooks.map_floats(lambda t: quantized(t, form), args)
    whole = hooks.linear_form(call.unit, given) if not kwargs else None
    if whole is not None:
        y3, counts = _product(whole, form, mode)
        return whole.fold(torch.from_numpy(y3)), y3, counts
    wide = outputs(call, args, kwargs, form)
    first = hooks.first_float(wide)
    result = hooks.map_floats(lambda t: quantized(t, form), wide)
    if first is None:
        return result, None, Outside()
    y3 = table(hooks.first_float(result))
    return result, y3, _counted(table(first), y3, form)


def _product(whole: Any, form: Format, mode: Accumulate) -> tuple[F8, Outside]:
    """Rows are the format's already, unless it scales them."""
    x, w = whole.rows.numpy(), whole.weight.detach().numpy()
    b = None if whole.bias is None else whole.bias.detach().numpy()
    if isinstance(form, PositFormat) and mode == "quire" and form.spec.fits_float64:
        return _in_a_quire(x, w, b, form)
    x, w = form.round(x) if form.is_scaled else x, form.round(w)
    b = None if b is None else form.round(b)
    y2 = linear.accumulated(x, w, b, form, mode, product)
    y3 = form.round(y2)
    return y3, _counted(y2, y3, form)


def _in_a_quire(x: F8, w: F8, b: F8 | None, form: PositFormat) -> tuple[F8, Outside]:
    """The exact product, rounded once.

    Only a result that is the largest or the smallest magnitude, or NaR, can be one of a number out
    of range: their sums are made again, the others' are not.
    """
    spec = form.spec
    p, q = posit.encode(x, spec), posit.encode(np.ascontiguousarray(w.T), spec)
    add = None
    if b is not None:
        add = np.broadcast_to(posit.encode(b, spec), (p.shape[0], q.shape[1]))
    made = np.asarray(quire.matmul(p, q, spec, add=add, threads=1))
    y3 = np.asarray(posit.decode(made, spec))
    counts = Outside()
    size = np.abs(y3)
    i, j = np.nonzero(~((size > form.bottom) & (size < form.top) | (size == 0)))
    step = max(1, _PART // max(x.shape[1], 1))
    for k in range(0, i.size, step):
        at, to = i[k : k + step], j[k : k + step]
        operands = x[at], form.round(w[to]), None if b is None else form.round(b[to])
        counts += outside(linear.exact_sums(*operands), y3[at, to], form)
    return y3, counts


def _counted(y2: F8, y3: F8, form: Format) -> Outside:
    if form.is_scaled and y2.size:
        y2 = y2 / form.scales(y2, finite_amax(y2))
    return outside(y2, y3, form)


def row(  # noqa: PLR0917
    known: Known, i: int, form: Format, mode: Accumulate, y3: F8, counts: Outside
) -> dict[str, Any]:
    """A layer's row: what it does alone, what it delivered, and counts over all of that."""
    some = known.sampled(y3)
    found = ratio(known.values, np.full_like(known.values, np.nan) if some is None else some)
    bits = known.exponents.fraction_bits(form)
    nonzero = sum(bits.values())
    local = known.local[i]
    return {
        "format": form.name, "accumulate": mode, "n": int(y3.size), "zeros": known.zeros,
        "nonfinite": known.nonfinite, **counts.row(),
        "cumulative_sqnr": found["sqnr"], "cumulative_exact": found["exact"],
        "cumulative_failed": found["failed"] or counts.nar + counts.infinite > known.nonfinite,
        **local, "failed": local["local_failed"], "exact": local["local_exact"],
        "ceiling": known.ceiling_so_far, "local_ceiling": known.ceiling,
        "bytes": form.bytes_of(known.shape),
        "fovea": bits.get(form.most_fraction_bits, 0) / nonzero if nonzero else None,
        "fraction_bits": [{"bits": b, "count": c} for b, c in bits.items()],
    }  # fmt: skip
