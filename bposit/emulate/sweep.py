"""How accurate sums are in accumulators of each width, measured on data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import quire
from posit import PositSpec, decode
from posit._arrays import patterns
from posit.spec import SpecLike

from .accumulator import Accumulator
from .mac import Mac
from .required import required_accumulator
from .window import Window

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Point", "draw", "sweep"]


@dataclass(frozen=True, slots=True)
class Point:
    """What one accumulator makes of a matrix product.

    Parameters
    ----------
    width : int
    accumulator : Accumulator
    wrong : float
        Share of results that are not the quire's.
    worst : int
        Most patterns between a result and the quire's; NaR counts as 2^n.
    error : float
        ‖result - quire's‖ / ‖quire's‖, over finite results; 0/0 is 0.
    overflow, bits_lost : float
        Shares of results so flagged.
    """

    width: int
    accumulator: Accumulator
    wrong: float
    worst: int
    error: float
    overflow: float
    bits_lost: float


def sweep(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    spec: SpecLike,
    widths: Iterable[int],
    make: Callable[[int], Accumulator] | None = None,
) -> list[Point]:
    """The product a·b, (M, K) times (K, N) patterns, in accumulators of every width.

    Parameters
    ----------
    a, b : patterns of ``spec``
    spec : PositSpec, posit dtype or name
    widths : iterable of int
    make : callable, optional
        A width to an accumulator, such as ``lambda w: Aligned(w, 4)``. By default windows that
        reach up to what these data need and are cut off below, rounding to nearest.

    Raises ValueError where the quire has a NaR: there is no error to measure.
    """
    spec = PositSpec.parse(spec)
    x, y = patterns(a, spec, "a"), patterns(b, spec, "b")
    if make is None:
        top = required_accumulator(x, y, spec).msb

        def make(width: int) -> Accumulator:
            return Window(top - width + 1, top, low="rne")

    want = np.asarray(quire.matmul(x, y, spec))
    if (want == spec.nar).any():
        raise ValueError("sweep: the exact product has a NaR, from which there is no distance")
    return [_point(width, make(width), x, y, want, spec) for width in widths]


def _point(  # noqa: PLR0917
    width: int, accumulator: Accumulator, x: Any, y: Any, want: Any, spec: PositSpec
) -> Point:
    found = Mac(spec, accumulator=accumulator).matmul(x, y)
    nar = np.asarray(found.nar)
    away = np.abs(found.bits.astype(object) - want) if spec.n > 62 else np.abs(
        found.bits.astype(np.int64) - want
    )  # fmt: skip
    away = np.where(nar, 1 << spec.n, away)
    exact, got = decode(want, spec), np.where(nar, 0.0, decode(found.bits, spec))
    size = float(np.linalg.norm(exact))
    error = float(np.linalg.norm(np.where(nar, 0.0, got - exact)))
    return Point(
        width,
        accumulator,
        float((away != 0).mean()) if away.size else 0.0,
        int(away.max(initial=0)),
        error / size if size else float(error != 0),
        float(np.mean(found.overflow)) if away.size else 0.0,
        float(np.mean(found.bits_lost)) if away.size else 0.0,
    )


_LOOKS = (("#0072B2", "-", "o"), ("#C75300", "--", "s"), ("#007A59", ":", "^"),
          ("#A8467F", "-.", "D"))  # fmt: skip


def draw(sweeps: Mapping[str, Sequence[Point]]) -> Figure:
    """Width against error and against the share of results that differ, a line for each name.

    Needs Matplotlib. Errors of 0 lie on the lower edge, hollow.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    some = [p.error for points in sweeps.values() for p in points if p.error > 0]
    floor = min(some, default=1e-9) / 10
    for i, (name, points) in enumerate(sweeps.items()):
        color, dash, marker = _LOOKS[i % len(_LOOKS)]
        x, y = [p.width for p in points], [p.error for p in points]
        drawn = [v if v > 0 else floor for v in y]
        upper.plot(x, drawn, dash, color=color, label=name)
        for exact in (False, True):
            mine = [(w, v) for w, v, e in zip(x, drawn, y, strict=True) if (e == 0) == exact]
            if mine:
                fill = "none" if exact else color
                upper.plot(*zip(*mine, strict=True), marker, color=color, markerfacecolor=fill)
        lower.plot(x, [100 * p.wrong for p in points], dash, marker=marker, color=color)
    upper.set_yscale("log")
    upper.set_ylabel("relative error of the product")
    lower.set_ylabel("results that differ, %")
    lower.set_xlabel("width of the accumulator, bits")
    lower.set_ylim(bottom=0)
    if sweeps:
        upper.legend(frameon=False)
    for axes in (upper, lower):
        axes.grid(color="#E7EAEE")
        axes.spines[["top", "right"]].set_visible(False)
    return figure
