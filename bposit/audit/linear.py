"""Matrix products with an exact reference: the quire of a format that holds every operand.

``<64,6,5>`` holds every float64 of magnitude 2^-191 to 2^191 exactly, ``<64,3,8>`` every one of
2^-767 to 2^767: F_min is 52 in both. Their quires sum products without an error; one rounding to
at least 53 significant bits and one to float64 follow, together within 2^-52, relative. With
operands of 2^-330 to 2^368 no sum leaves the wider format's range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

import numpy as np

import posit
import quire
from posit import PositSpec

from ..errors import BadInput
from .formats import F8, Format, PositFormat
from .power import decibels, power

__all__ = ["CEILING", "Accumulate", "Cancellation", "Parts", "accumulated", "cancellation",
           "default_mode", "exact_product", "exact_sums", "modes", "parts"]  # fmt: skip

Accumulate = Literal["per_op", "float32", "float64", "quire"]
Product = Callable[[F8, F8, type[np.floating[Any]]], F8]

CEILING = 20 * 52 * float(np.log10(2.0))
"""dB: beyond it an SQNR says more of the reference's last rounding than of the format."""

_FEW = 256  # elements: up to so many, a quire for each is faster than setting up one product
_NARROW, _WIDE = posit.bposit64, PositSpec(64, 3, 8)
assert _NARROW.f_min == _WIDE.f_min == 52
_LOW, _HIGH = -42, 80  # exponents, as of frexp, for which <64,6,5> is enough
assert 2 * (_LOW - 53) > -192
assert 2 * _HIGH + 31 <= 191


def modes(text: str | None) -> tuple[Accumulate, ...]:
    """Read ``--accumulate``; empty where each format takes its own default."""
    if text is None:
        return ()
    given = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    wrong = [mode for mode in given if mode not in get_args(Accumulate)]
    if wrong or not given:
        raise BadInput(
            f"--accumulate {text[:60]!r}: possible are {', '.join(get_args(Accumulate))}"
        )
    return given  # type: ignore[return-value]


def default_mode(form: Format) -> Accumulate:
    """How hardware for the format sums: posits in a quire, others in float32."""
    return "quire" if isinstance(form, PositFormat) else "float32"


def _holding(*arrays: F8) -> PositSpec:
    """The narrower of the two formats that holds all finite operands, and every sum.

    Σ of up to 2^31 products is below 2^(2·high + 31), and a multiple of 2^(2·(low - 53)).
    """
    for array in arrays:
        e = np.frexp(array[(array != 0) & np.isfinite(array)])[1]
        if e.size and (int(e.min()) < _LOW or int(e.max()) > _HIGH):
            return _WIDE
    return _NARROW


def exact_product(rows: F8, weight: F8, bias: F8 | None = None) -> F8:
    """rows (M, K) · weight (N, K)ᵀ + bias (N,), each element summed exactly and rounded at the end.

    NaN where a term is not finite.
    """
    if len(rows) * len(weight) <= _FEW:
        a, b = _joined(rows, weight, bias)
        return _sums(a[:, np.newaxis], b[np.newaxis])
    spec = _holding(rows, weight, *([] if bias is None else [bias]))
    p, q = posit.encode(rows, spec), posit.encode(np.ascontiguousarray(weight.T), spec)
    add = None
    if bias is not None:
        add = np.broadcast_to(posit.encode(bias, spec), (len(rows), len(weight)))
    made = quire.matmul(p, q, spec, add=add, threads=1)
    return np.asarray(posit.decode(made, spec))


def exact_sums(rows: F8, weight: F8, bias: F8 | None = None) -> F8:
    """Σ rows (M, K) · weight (M, K) + bias (M,) along K, each as in :func:`exact_product`."""
    return _sums(*_joined(rows, weight, bias))


def _joined(rows: F8, weight: F8, bias: F8 | None) -> tuple[F8, F8]:
    """The bias as one more weight, of ones."""
    if bias is None:
        return rows, weight
    return np.column_stack([rows, np.ones(len(rows))]), np.column_stack([weight, bias])


def _sums(a: F8, b: F8) -> F8:
    spec = _holding(a, b)
    p, q = posit.encode(a, spec), posit.encode(b, spec)
    return np.asarray(posit.decode(quire.dot(p, q, spec, threads=1), spec))


def accumulated(  # noqa: PLR0917
    rows: F8, weight: F8, bias: F8 | None, form: Format, mode: Accumulate, product: Product
) -> F8:
    """The product of operands that are the format's, as ``mode`` sums; ``product`` is the BLAS's.

    - quire: exactly;
    - float32, float64: the operands in that type, summed by the BLAS on one thread;
    - per_op: in the order of K, each product and each sum rounded to the format.
    """
    if mode == "quire":
        return exact_product(rows, weight, bias)
    if mode == "per_op":
        return _per_op(rows, weight, bias, form)
    kind: type[np.floating[Any]] = np.float32 if mode == "float32" else np.float64
    with np.errstate(over="ignore", invalid="ignore"):
        made = product(rows, weight, kind)
        return made if bias is None else (made + bias).astype(kind).astype(np.float64)


def _per_op(rows: F8, weight: F8, bias: F8 | None, form: Format) -> F8:
    if form.is_scaled:
        raise BadInput(f"{form.name} scales whole tensors: it has no per_op accumulation")
    shape = len(rows), len(weight)
    start = np.zeros(shape) if bias is None else np.broadcast_to(bias, shape)
    if isinstance(form, PositFormat):
        spec = form.spec
        a, b = posit.encode(rows, spec), posit.encode(weight, spec)
        total = np.asarray(posit.encode(start, spec))
        for k in range(rows.shape[1]):
            total = posit.add(total, posit.mul(a[:, k, None], b[None, :, k], spec), spec)
        return np.asarray(posit.decode(total, spec))
    # one float64 operation, then the format: right for significands up to 25 bits, which these are
    made = form.nearest(np.ascontiguousarray(start))
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(rows.shape[1]):
            made = form.nearest(made + form.nearest(rows[:, k, None] * weight[None, :, k]))
    return made


@dataclass(frozen=True)
class Cancellation:
    """log2(Σ|t| / |Σt|) of sums, in bits; ``total`` counts those that are zero with terms."""

    median: float | None
    p99: float | None
    max: float | None
    total: int


def cancellation(rows: F8, weight: F8, bias: F8 | None, sums: F8) -> Cancellation:
    """Of a product's elements, ``sums`` being their exact values."""
    sizes = exact_product(np.abs(rows), np.abs(weight), None if bias is None else np.abs(bias))
    kept = np.isfinite(sizes) & np.isfinite(sums) & (sizes > 0)
    total = kept & (sums == 0)
    kept &= sums != 0
    if not kept.any():
        return Cancellation(None, None, None, int(np.count_nonzero(total)))
    bits = np.sort(np.maximum(np.log2(sizes[kept]) - np.log2(np.abs(sums[kept])), 0.0))
    at = [int(np.ceil(share * bits.size)) - 1 for share in (0.5, 0.99, 1.0)]
    median, high, most = (float(bits[i]) for i in at)
    return Cancellation(median, high, most, int(np.count_nonzero(total)))


@dataclass(frozen=True)
class Parts:
    """What y3 - y0 consists of, as powers; the parts telescope, their powers do not add."""

    signal: Fraction
    quantization: Fraction  # y1 - y0: the operands rounded
    accumulation: Fraction  # y2 - y1: the sum
    rounding: Fraction  # y3 - y2: the result rounded
    total: Fraction

    def row(self) -> dict[str, Any]:
        """As in report.json; an SQNR is None with ``exact`` where a part has no power."""
        found: dict[str, Any] = {}
        for name in ("quantization", "accumulation", "rounding"):
            noise = getattr(self, name)
            bad = noise > 0 and not self.signal
            found[f"{name}_sqnr"] = decibels(self.signal, noise) if noise and not bad else None
            found[f"{name}_exact"], found[f"{name}_failed"] = not noise, bad
        cross = self.total - self.quantization - self.accumulation - self.rounding
        found["cross_share"] = float(cross / self.total) if self.total else None
        return found


def parts(y0: F8, y1: F8, y2: F8, y3: F8) -> Parts:
    """The powers of the differences, over elements where all four are finite."""
    kept = np.isfinite(y0) & np.isfinite(y1) & np.isfinite(y2) & np.isfinite(y3)
    a, b, c, d = (y[kept] for y in (y0, y1, y2, y3))
    return Parts(power(a), power(b - a), power(c - b), power(d - c), power(d - a))
