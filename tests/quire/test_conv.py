"""Convolution: every output against the loops of its definition, in fractions."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import posit
import quire
from posit import PositSpec, bposit8, bposit16, bposit32, bposit64, reference, standard

from .cases import finite, total

Bits = npt.NDArray[np.signedinteger[Any]]
Sizes = int | tuple[int, ...]


def values(x: Bits, spec: PositSpec) -> npt.NDArray[Any]:
    """Exact values; None for NaR."""
    made = np.empty(x.size, object)
    made[:] = [reference.decode(p, spec) for p in x.reshape(-1).tolist()]
    return made.reshape(x.shape)


def convolved(  # noqa: PLR0917
    x: Bits,
    w: Bits,
    spec: PositSpec,
    stride: Sizes = 1,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    bias: Bits | None = None,
) -> Bits:
    """Plain loops over outputs, channels and taps; outside the input are zeros."""
    axes = range(x.ndim - 2)
    steps, zeros, gaps = (
        v if isinstance(v, tuple) else (v,) * len(axes) for v in (stride, padding, dilation)
    )
    sizes = tuple(
        (x.shape[2 + i] + 2 * zeros[i] - gaps[i] * (w.shape[2 + i] - 1) - 1) // steps[i] + 1
        for i in axes
    )
    out = np.empty((len(x), len(w), *sizes), spec.storage)
    inputs, weights = values(x, spec), values(w, spec)
    first = np.empty(0, object) if bias is None else values(bias, spec)
    each, outputs = w.shape[1], len(w) // groups
    for at in np.ndindex(out.shape):
        n, o, *where = at
        terms: list[Fraction | None] = [*first[o : o + 1]]
        for c, *tap in product(*map(range, w.shape[1:])):
            source = [where[i] * steps[i] + tap[i] * gaps[i] - zeros[i] for i in axes]
            inside = all(0 <= source[i] < x.shape[2 + i] for i in axes)
            channel = o // outputs * each + c
            a = inputs[(n, channel, *source)] if inside else Fraction(0)
            b = weights[(o, c, *tap)]
            terms.append(None if a is None or b is None else a * b)
        known = [t for t in terms if t is not None]
        exact = total(known) if len(known) == len(terms) else None
        out[at] = reference.encode(exact, spec)
    return out


def same(x: Bits, w: Bits, spec: PositSpec, **how: Any) -> None:
    got = quire.conv(x, w, spec, **how)
    want = convolved(x, w, spec, **how)
    assert got.dtype == spec.storage
    assert got.shape == want.shape
    assert (got == want).all(), np.argwhere(got != want)[:3]


CASES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 9), (4, 3, 3), {}),
    ((1, 2, 9), (3, 2, 2), {"stride": 2, "padding": 3, "dilation": 2}),
    ((2, 4, 6), (6, 2, 2), {"groups": 2, "padding": (1,)}),
    ((2, 3, 5, 6), (2, 3, 3, 2), {"padding": 1}),
    ((1, 2, 7, 5), (2, 2, 2, 3), {"stride": (2, 1), "padding": (0, 2), "dilation": (3, 1)}),
    ((2, 4, 4, 4), (8, 1, 3, 3), {"groups": 4, "padding": 1, "stride": 3}),  # depthwise
    ((3, 5, 2, 3), (4, 5, 1, 1), {}),  # a matrix product
    ((1, 2, 3, 3), (3, 2, 3, 3), {}),  # one output each
    ((1, 2, 4, 3, 5), (2, 2, 2, 1, 3), {"stride": (1, 2, 2), "padding": (1, 0, 1)}),
    ((2, 2, 3, 3, 3), (2, 1, 2, 2, 2), {"groups": 2, "dilation": (1, 2, 1)}),
    ((1, 1, 2, 2, 2, 2), (1, 1, 2, 1, 2, 1), {"padding": (1, 0, 0, 1)}),
]
SPECS = [bposit8, PositSpec(13, 6, 5), bposit16, bposit32, bposit64, standard(16), standard(32)]


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(("x", "w", "how"), CASES)
def test_every_shape(
    x: tuple[int, ...], w: tuple[int, ...], how: dict[str, Any], biased: bool
) -> None:
    rng = np.random.default_rng(len(x))
    bias = {"bias": finite(bposit16, (w[0],), rng)} if biased else {}
    same(finite(bposit16, x, rng), finite(bposit16, w, rng), bposit16, **how, **bias)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_every_format(spec: PositSpec) -> None:
    """Large enough for the float64 product; values of every size and of one size."""
    rng = np.random.default_rng(spec.n)
    shapes = (2, 4, 5, 7), (6, 2, 3, 3), (6,)
    for x, w, bias in (
        [finite(spec, shape, rng) for shape in shapes],
        [posit.encode(rng.standard_normal(shape), spec) for shape in shapes],
    ):
        same(x, w, spec, padding=1, groups=2, bias=bias)


def test_sums_that_cancel_keep_the_bias() -> None:
    """±large taps on equal inputs: what is left is the bias alone, and all bits of it."""
    rng = np.random.default_rng(0)
    x = np.repeat(finite(bposit16, (2, 3, 1, 5), rng), 2, axis=2)
    w = finite(bposit16, (4, 3, 1, 3), rng)
    bias = np.array([1, -1, 5, bposit16.one], np.int16)
    got = quire.conv(x, np.concatenate([w, -w], axis=2), bposit16, bias=bias)
    assert (got == bias[:, np.newaxis, np.newaxis]).all()


def test_nar() -> None:
    """In every output that sees one, and a NaR weight sees the zeros around too."""
    rng = np.random.default_rng(1)
    x, w = finite(bposit16, (2, 2, 4, 4), rng), finite(bposit16, (3, 2, 2, 2), rng)
    x[1, 0, 2, 2] = bposit16.nar
    same(x, w, bposit16, padding=1)
    w[1, 1, 0, 0] = bposit16.nar
    same(x, w, bposit16, padding=2, bias=np.array([0, 1, bposit16.nar], np.int16))


def test_any_memory_and_threads() -> None:
    rng = np.random.default_rng(2)
    x, w = finite(bposit16, (4, 6, 9, 8), rng), finite(bposit16, (8, 6, 3, 3), rng)
    want = quire.conv(x, w, bposit16, padding=1)
    stats: dict[str, int] = {}
    for threads in (1, 2, 5):
        got = quire.conv(x, w, bposit16, padding=1, threads=threads, stats=stats)
        assert (got == want).all()
    assert sum(stats.values()) == 3 * want.size
    # channels last, as many frameworks keep them, and reversed
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert (quire.conv(last, np.asfortranarray(w), bposit16, padding=1) == want).all()
    flipped = quire.conv(x[..., ::-1], w[..., ::-1], bposit16, padding=1)
    assert (flipped[..., ::-1] == want).all()
    assert want.flags.c_contiguous


@pytest.mark.parametrize(
    ("x", "w", "shape"),
    [
        ((0, 2, 4), (3, 2, 2), (0, 3, 3)), ((2, 2, 4), (0, 2, 2), (2, 0, 3)),
        ((2, 0, 4), (3, 0, 2), (2, 3, 3)),
    ],
)  # fmt: skip
def test_nothing(x: tuple[int, ...], w: tuple[int, ...], shape: tuple[int, ...]) -> None:
    got = quire.conv(np.ones(x, np.int16), np.ones(w, np.int16), bposit16)
    assert got.shape == shape
    assert not got.any()
    bias = np.arange(w[0], dtype=np.int16)
    got = quire.conv(np.ones(x, np.int16), np.ones(w, np.int16), bposit16, bias=bias)
    assert x[1] or (got == bias[:, np.newaxis]).all()


@pytest.mark.parametrize(
    ("x", "w", "how", "error", "says"),
    [
        ((2, 3), (4, 3), {}, ValueError, "must be"),
        ((2, 3, 4), (4, 3, 2, 2), {}, ValueError, "must be"),
        ((2, 3, 4), (4, 2, 2), {}, ValueError, "groups"),
        ((2, 4, 4), (3, 2, 2), {"groups": 2}, ValueError, "groups"),
        ((2, 4, 4), (4, 4, 2), {"groups": 0}, ValueError, "groups"),
        ((2, 3, 4), (4, 3, 5), {}, ValueError, "does not fit into"),
        ((2, 3, 4), (4, 3, 3), {"dilation": 2}, ValueError, "does not fit into"),
        ((2, 3, 4), (4, 3, 0), {}, ValueError, "does not fit into"),
        ((2, 3, 4), (4, 3, 2), {"stride": 0}, ValueError, "stride"),
        ((2, 3, 4), (4, 3, 2), {"padding": -1}, ValueError, "padding"),
        ((2, 3, 4), (4, 3, 2), {"dilation": (1, 1)}, ValueError, "dilation"),
        ((2, 3, 4), (4, 3, 2), {"stride": 1.5}, TypeError, "float"),
        ((2, 3, 4), (4, 3, 2), {"bias": [1, 2, 3]}, ValueError, "bias"),
        ((2, 3, 4), (4, 3, 2), {"bias": [[1, 2, 3, 4]]}, ValueError, "bias"),
        ((2, 4, 4), (4, 2, 2), {"bias": [1], "groups": 2}, ValueError, "bias"),
        ((2, 3, 4), (4, 3, 2), {"bias": [1.0] * 4}, TypeError, "bias"),
        ((2, 3, 4), (4, 3, 2), {"threads": 0}, ValueError, "threads"),
    ],
)
def test_errors(
    x: tuple[int, ...], w: tuple[int, ...], how: dict[str, Any], error: Any, says: str
) -> None:
    with pytest.raises(error, match=says):
        quire.conv(np.zeros(x, np.int16), np.zeros(w, np.int16), bposit16, **how)


def test_patterns_of_another_format_are_refused() -> None:
    for x, w in ((np.int32, np.int16), (np.int16, np.float64)):
        with pytest.raises(TypeError):
            quire.conv(np.zeros((1, 1, 3), x), np.zeros((1, 1, 2), w), bposit16)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("spec", [bposit16, bposit32], ids=str)
def test_as_torch_does(spec: PositSpec, groups: int) -> None:
    """On normal data float64, rounded once more, nearly always has the same bits; here always."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    shapes = ((2, 8, 11, 9), (12, 8 // groups, 3, 2), (12,))
    x, w, bias = (posit.encode(rng.standard_normal(s), spec) for s in shapes)
    exact = [torch.from_numpy(np.asarray(posit.decode(v, spec))) for v in (x, w, bias)]
    how: dict[str, Any] = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}
    made = torch.nn.functional.conv2d(*exact, **how, groups=groups).numpy()
    got = quire.conv(x, w, spec, **how, groups=groups, bias=bias)
    assert (got == posit.encode(made, spec)).all()
