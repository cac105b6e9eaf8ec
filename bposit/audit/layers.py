"""One call of a unit in the reference run: what is kept of it, and each format on it alone."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import linear, recommend
from .exponents import Exponents
from .figures import Block, Errors, ordered_distance
from .formats import BLOCK, F8, Format, finite_amax, lines
from .linear import Accumulate

__all__ = [
    "Known",
    "Pair",
    "alone",
    "best",
    "held",
    "outputs",
    "product",
    "quantized",
    "seen",
    "table",
]

Pair = tuple[Format, Accumulate]

_GROWTH = 8.0  # float64 roundings on the way to an element, for each one of its row: a bound


@dataclass
class Known:
    """What the reference run found of one call, and every format's own errors there."""

    name: str
    index: int
    kind: str
    shape: tuple[int, ...]
    seed: int  # of the sample's place
    rows_at: np.ndarray  # which rows of the output are compared
    columns_at: slice
    values: F8  # the reference there
    exponents: Exponents  # of the whole output, as zeros and nonfinite are
    zeros: int
    nonfinite: int
    ceiling: float  # dB that the reference of the layer alone can be believed to
    ceiling_so_far: float
    local: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def sampled(self, whole: F8) -> F8 | None:
        """The compared part of an output; None where that has another shape."""
        rows = int(self.rows_at.max(initial=-1))
        if whole.shape[0] <= rows or whole.shape[1] < self.columns_at.stop:
            return None
        return np.ascontiguousarray(whole[self.rows_at, self.columns_at])


def table(x: Any) -> F8:
    """A tensor or array as float64 (rows, columns)."""
    return np.ascontiguousarray(lines(np.asarray(x, np.float64)))


def held(x: F8, form: Format, whole: F8) -> F8:
    """Part of a tensor as a format holds it; the scale is that of the whole."""
    return form.round(x, finite_amax(whole) if form.needs_amax else 0.0)


def quantized(x: Any, form: Format) -> Any:
    """A torch tensor as a format holds it, in float64."""
    import torch

    return torch.from_numpy(form.round(x.detach().numpy()))


def product(rows: F8, weight: F8, kind: type[np.floating[Any]]) -> F8:
    """rows · weightᵀ by the BLAS in a type."""
    import torch

    a, b = (torch.from_numpy(np.ascontiguousarray(x, kind)) for x in (rows, weight))
    return np.asarray((a @ b.T).numpy(), np.float64)


def outputs(call: Any, args: Any, kwargs: Any, form: Format) -> Any:
    """What a unit gives in float64 with parameters and arguments that are the format's.

    What it changes in place is changed in the arguments.
    """
    import torch

    from torch_bridge import audit as hooks

    if type(call.unit) is torch.nn.Embedding and not form.is_scaled:  # rows are rounded alone
        return hooks.map_floats(lambda t: quantized(t, form), call.forward(*args, **kwargs))
    given, named = (hooks.map_floats(lambda t: quantized(t, form), x) for x in (args, kwargs))
    made = _run(call, form, given, named)
    hooks.write_back(lambda t: quantized(t, form), (args, kwargs), (given, named))
    return made


def _run(call: Any, form: Format, args: Any, kwargs: Any) -> Any:
    """A unit in float64 with the format's parameters."""
    parameters = {name: quantized(p, form) for name, p in call.unit.named_parameters()}
    return call.given(parameters, args, kwargs)


def _some_output(call: Any, args: Any, kwargs: Any, form: Format, known: Known) -> F8:
    """The compared part of :func:`outputs`; of no more rows than that has, where these suffice."""
    import torch

    from torch_bridge import audit as hooks

    if not kwargs and hooks.is_by_rows(call.unit, args):
        x = table(args[0])
        rows = torch.from_numpy(held(x[known.rows_at], form, x))
        return np.ascontiguousarray(_run(call, form, (rows,), {}).numpy()[:, known.columns_at])
    given, named = hooks.map_floats(lambda t: t.clone(), (args, kwargs))
    out = table(hooks.first_float(outputs(call.apart(), given, named, form)))
    return np.ascontiguousarray(out[known.rows_at, known.columns_at])


def _place(seed: int, shape: tuple[int, int], sample: int) -> tuple[np.ndarray, slice]:
    """Some rows of some whole blocks."""
    rows, columns = shape
    if not rows * columns:
        return np.zeros(0, np.int64), slice(0, min(columns, 1))
    rng = np.random.default_rng(seed)
    wanted = max(int(sample**0.5), sample // rows)  # about a square, if it can be
    width = min(columns, -(-wanted // BLOCK) * BLOCK)
    first = int(rng.integers(0, (columns - width) // BLOCK + 1)) * BLOCK
    count = min(rows, max(1, sample // width))
    return np.sort(rng.choice(rows, count, replace=False)), slice(first, first + width)


def _ceiling(terms: int) -> float:
    """dB up to which float64 can be believed over so many terms: 2^-53·8·terms at most wrong."""
    return float(-20 * np.log10(_GROWTH * max(terms, 1) * 2.0**-53))


def seen(  # noqa: PLR0917
    call: Any, form: Any, out: Any, whole: F8, sample: int, before: Iterable[Known]
) -> Known:
    """Look at a call whose first float output is ``out``, as (rows, columns) ``whole``."""
    seed = zlib.crc32(f"{call.name}/{call.index}".encode())
    rows_at, columns_at = _place(seed, whole.shape, sample)
    terms = whole.shape[1] if form is None else form.rows.shape[1]
    noise = sum(10.0 ** (-k.ceiling / 20) for k in before) + 10.0 ** (-_ceiling(terms) / 20)
    return Known(
        name=call.name, index=call.index, kind=type(call.unit).__name__,
        shape=() if out is None else tuple(out.shape),
        seed=seed, rows_at=rows_at, columns_at=columns_at,
        values=np.ascontiguousarray(whole[rows_at, columns_at]),
        exponents=Exponents.of(whole), zeros=int(whole.size - np.count_nonzero(whole)),
        nonfinite=int(np.count_nonzero(~np.isfinite(whole))),
        ceiling=linear.CEILING if form is not None else _ceiling(terms),
        ceiling_so_far=-20 * float(np.log10(noise)),
    )  # fmt: skip


def alone(  # noqa: PLR0917
    call: Any, args: Any, kwargs: Any, form: Any, known: Known, whole: F8, pairs: Sequence[Pair]
) -> list[dict[str, Any]]:
    """Each format's figures where the call is fed exact inputs, over the sample."""
    if form is not None:
        return _product_alone(form, known, whole, pairs)
    found: list[dict[str, Any]] = []
    made: dict[str, F8] = {}
    for f, _ in pairs:
        if f.name not in made:
            made[f.name] = _some_output(call, args, kwargs, f, known)
        y0, y1 = known.values, made[f.name]
        y3 = held(y1, f, whole)
        found.append({**_errors(y0, y3, f, whole), **linear.parts(y0, y1, y1, y3).row()})
    return found


def _product_alone(
    form: Any, known: Known, whole: F8, pairs: Sequence[Pair]
) -> list[dict[str, Any]]:
    x, w = form.rows.numpy(), form.weight.detach().numpy()
    b = None if form.bias is None else form.bias.detach().numpy()
    x0, w0 = x[known.rows_at], w[known.columns_at]
    b0 = None if b is None else b[known.columns_at]
    y0 = linear.exact_product(x0, w0, b0)
    lost = linear.cancellation(x0, w0, b0, y0)
    shared = {"cancellation_median": lost.median, "cancellation_p99": lost.p99,
              "cancellation_max": lost.max, "cancellation_total": lost.total}  # fmt: skip
    found, made = [], {}
    for f, mode in pairs:
        if f.name not in made:
            operands = (held(x0, f, x), held(w0, f, w),
                        None if b is None or b0 is None else held(b0, f, b))  # fmt: skip
            made[f.name] = operands, linear.exact_product(*operands)
        operands, y1 = made[f.name]
        y2 = y1 if mode == "quire" else linear.accumulated(*operands, f, mode, product)
        y3 = held(y2, f, whole)
        found.append({**_errors(y0, y3, f, whole), **linear.parts(y0, y1, y2, y3).row(), **shared})
    return found


def _errors(y0: F8, y3: F8, form: Format, whole: F8) -> dict[str, Any]:
    """The figures of a layer alone."""
    scale = form.scales(y0, finite_amax(whole)) if form.is_scaled else 1.0
    block = Block(y0)
    errors = Errors()
    errors.add(block, y3, form, Block(y0 / scale, scale) if form.is_scaled else None)
    found = errors.row()
    kept = ("relative_max", "relative_p999", "gap_error", "digits_min", "digits_p1",
            "digits_median")  # fmt: skip
    return {
        "local_sqnr": found["sqnr"], "local_exact": found["exact"], "local_failed": found["failed"],
        **{k: found[k] for k in kept}, "ulps": ordered_distance(y3 / scale, y0 / scale, form),
    }  # fmt: skip


def best(known: Known, n: int) -> list[dict[str, Any]]:
    """The formats of n bits that suit an output best, measured on the sample of it."""
    found = []
    for form in recommend.candidates(n, known.exponents, np.dtype(np.float64)):
        errors = Errors()
        errors.add(Block(known.values), form.nearest(known.values), form)
        size = form.bytes_of(known.shape)
        found.append({"format": form.name, **errors.row(), "bytes": size})
    return recommend.ranked(found, 4 * int(np.prod(known.shape, dtype=object)))
