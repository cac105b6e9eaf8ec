"""Which format to take: the narrowest that is accurate enough, and the best ``<n, rs, es>``."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from posit import PositSpec

from ..errors import BadInput
from .exponents import FIRST, Exponents
from .formats import Format, PositFormat

__all__ = ["BOUND", "candidates", "narrowest", "ranked"]

BOUND = 40.0  # dB: a relative error of 1 % of the root mean square
_MEASURED = 3


def narrowest(
    rows: Sequence[dict[str, Any]], formats: Sequence[Format], bound: float, figure: str = "sqnr"
) -> str | None:
    """The format of the fewest bytes that reaches ``bound`` dB; of equals the more accurate.

    One that makes NaN or infinity of a finite number never does. None where none reaches it.
    """
    names = [f.name for f in formats]
    fit = [
        (row["bytes"], -reached, names.index(row["format"]))
        for row in rows
        if (reached := _reached(row, figure)) >= bound
    ]
    return names[min(fit)[2]] if fit else None


def _reached(row: dict[str, Any], figure: str) -> float:
    prefix = figure.removesuffix("sqnr")
    if row[f"{prefix}failed"]:
        return -inf
    return inf if row[f"{prefix}exact"] else float(row[figure])


def candidates(n: int, exponents: Exponents, dtype: np.dtype[Any]) -> list[PositFormat]:
    """The three formats of n bits whose noise the histogram of exponents lets expect to be least.

    A value in [2^e, 2^(e+1)) with F fraction bits has a squared error of 4^(e-F)/12 on average
    (its own square where it is out of range), and none where its dtype has no more bits than F.
    """
    if not 3 <= n <= 64:
        raise BadInput(f"--best {n}: a posit has 3 to 64 bits")
    used = np.flatnonzero(exponents.counts)
    weights = exponents.counts[used].astype(np.float64)
    e = used + FIRST
    try:
        import ml_dtypes

        held = int(ml_dtypes.finfo(dtype).nmant)  # type: ignore[no-untyped-call]
    except ImportError:
        held = int(np.finfo(dtype).nmant)
    top = int(e.max(initial=0))
    scored = []
    for rs in range(2, n):
        for es in range(9):
            if rs << es > 1022:
                continue
            form = PositFormat.of(PositSpec(n, rs, es))
            noise = _noise(form.fraction_bits(e), form.cut_bits(e), e - top, held)
            scored.append((float(np.dot(weights, noise)), rs, es, form))
    return [form for *_, form in sorted(scored, key=lambda s: s[:3])[:_MEASURED]]


def _noise(
    bits: npt.NDArray[np.int64], cut: npt.NDArray[np.int64], e: npt.NDArray[np.int64], held: int
) -> npt.NDArray[np.float64]:
    inside = np.where(bits >= held, 0.0, np.exp2(2.0 * (e - bits)) / 12)
    coarse = np.exp2(2.0 * np.minimum(e + (1 << np.minimum(cut, 8)) - 1, 500)) / 12
    found = np.where(cut > 0, coarse, inside)
    return np.where(bits < 0, np.exp2(2.0 * e), found)


def ranked(rows: Sequence[dict[str, Any]], bytes_now: int) -> list[dict[str, Any]]:
    """What was measured of the candidates, best first, and the share of memory saved."""
    kept = ("format", "sqnr", "exact", "failed", "relative_max", "bytes")
    found = [{**{k: row[k] for k in kept}, "saved": 1 - row["bytes"] / bytes_now} for row in rows]
    return sorted(found, key=lambda row: (-_reached(row, "sqnr"), row["relative_max"] or 0.0))
