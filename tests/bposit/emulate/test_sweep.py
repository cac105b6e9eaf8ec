"""The sweep of accumulator widths, and its picture."""

from __future__ import annotations

import io

import numpy as np
import pytest

import quire
from bposit.emulate import Aligned, draw, required_accumulator, sweep
from posit import bposit16, bposit64, decode, encode


def data(spec: object = bposit16) -> tuple[object, object]:
    rng = np.random.default_rng(8)
    return encode(rng.standard_normal((12, 30)), spec), encode(rng.standard_normal((30, 9)), spec)  # type: ignore[arg-type]


def test_wider_is_better_until_exact() -> None:
    a, b = data()
    need = required_accumulator(a, b, bposit16)  # type: ignore[arg-type]
    points = sweep(a, b, bposit16, [8, 12, 16, need.width, need.width + 9])  # type: ignore[arg-type]
    errors = [p.error for p in points]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 8 * errors[1] > 0
    assert [p.wrong for p in points[-2:]] == [0, 0]
    assert [p.worst for p in points[-2:]] == [0, 0]
    assert [p.bits_lost for p in points[-2:]] == [0, 0]
    assert points[0].bits_lost == 1
    assert not any(p.overflow for p in points)


def test_what_a_point_says() -> None:
    a, b = data()
    (p,) = sweep(a, b, bposit16, [10], lambda w: Aligned(w, 4))  # type: ignore[arg-type]
    assert str(p.accumulator) == "aligned to 10 bits, groups of 4"
    want, got = quire.matmul(a, b, bposit16), None  # type: ignore[arg-type]
    from bposit.emulate import Mac

    got = Mac(bposit16, accumulator=p.accumulator).matmul(a, b).bits  # type: ignore[arg-type]
    assert p.wrong == (got != want).mean()
    assert p.worst == np.abs(got.astype(int) - want).max()
    x, y = decode(got, bposit16), decode(want, bposit16)
    assert p.error == pytest.approx(np.linalg.norm(x - y) / np.linalg.norm(y))


def test_wide_formats_and_nothing() -> None:
    a, b = data(bposit64)
    points = sweep(a, b, bposit64, [60, 200])  # type: ignore[arg-type]
    assert points[0].worst > points[1].worst == 0
    (p,) = sweep(np.zeros((2, 3), np.int16), np.zeros((3, 2), np.int16), bposit16, [9])
    assert (p.wrong, p.error) == (0, 0)


def test_nar_has_no_distance() -> None:
    with pytest.raises(ValueError, match="NaR"):
        sweep([[bposit16.nar]], [[1]], bposit16, [9], lambda w: Aligned(w, 4))


def test_the_picture() -> None:
    a, b = data()
    widths = [8, 16, 24, 60]
    sweeps = {
        "window": sweep(a, b, bposit16, widths),  # type: ignore[arg-type]
        "aligned": sweep(a, b, bposit16, widths, lambda w: Aligned(w, 4)),  # type: ignore[arg-type]
    }
    figure = draw(sweeps)
    upper, lower = figure.axes
    legend = upper.get_legend()
    assert legend is not None
    assert [t.get_text() for t in legend.get_texts()] == ["window", "aligned"]
    line = lower.lines[0]
    assert list(line.get_xdata()) == widths
    assert list(line.get_ydata()) == [100 * p.wrong for p in sweeps["window"]]
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    assert b"width of the accumulator" in file.getvalue() or file.tell() > 1000
