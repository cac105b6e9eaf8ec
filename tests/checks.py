"""The checks themselves, apart from the tests, so that the meta-tests can run them on mutants.

Each raises AssertionError with the operands of the first wrong results.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from posit import PositSpec, reference

from . import oracle
from .backends import Backend

__all__ = [
    "boundaries",
    "decoding",
    "same",
    "scalars",
    "table",
    "to_float",
]

Bits = npt.NDArray[np.signedinteger[Any]]


def same(got: Any, want: Bits, spec: PositSpec, what: str, *operands: npt.ArrayLike) -> None:
    """Equal patterns of the right dtype and shape."""
    assert isinstance(got, np.ndarray), f"{what} {spec}: {type(got).__name__}"
    assert got.dtype == want.dtype, f"{what} {spec}: {got.dtype} instead of {want.dtype}"
    assert got.shape == want.shape, f"{what} {spec}: shape {got.shape} instead of {want.shape}"
    wrong = np.argwhere(got != want)
    if not len(wrong):
        return
    full = np.broadcast_arrays(*operands, got)[:-1]
    lines = [
        f"  {what}({', '.join(str(x[tuple(i)]) for x in full)}) = {got[tuple(i)]},"
        f" not {want[tuple(i)]}"
        for i in wrong[:5]
    ]
    raise AssertionError(f"{len(wrong)} of {got.size} wrong at {spec}\n" + "\n".join(lines))


def table(backend: Backend, op: str, spec: PositSpec, *operands: Bits) -> None:
    """An operation on narrow patterns that broadcast together, against the boundaries."""
    got = getattr(backend, op)(*operands, spec)
    same(got, oracle.expected(op, spec, *operands), spec, f"{backend}.{op}", *operands)


def scalars(backend: Backend, op: str, spec: PositSpec, *operands: Bits) -> None:
    """An operation on patterns of any width, in equal lists, against the definition."""
    rows = zip(*(x.tolist() for x in operands), strict=True)
    want = np.array([getattr(reference, op)(*row, spec) for row in rows], spec.storage)
    same(getattr(backend, op)(*operands, spec), want, spec, f"{backend}.{op}", *operands)


def decoding(backend: Backend, spec: PositSpec, bits: Bits) -> None:
    """Patterns to float64, rounded once; NaR to NaN; and back."""
    got = backend.decode(bits, spec)
    assert got.dtype == np.float64
    assert got.shape == bits.shape
    for p, x in zip(bits.tolist(), got.tolist(), strict=True):
        value = reference.decode(p, spec)
        if value is None:
            assert np.isnan(x), f"{backend}.decode({p}, {spec}) = {x}, not NaN"
        else:
            want = nearest_float(value, np.float64)
            assert x == want, f"{backend}.decode({p}, {spec}) = {x!r}, not {want!r}"
    if spec.fits_float64:
        same(backend.encode(got, spec), bits, spec, f"{backend}.encode∘decode", bits)


def boundaries(backend: Backend, spec: PositSpec, dtype: npt.DTypeLike) -> None:
    """Encode every boundary and both its neighbours among floats of ``dtype``, both signs.

    For narrow formats. Boundaries that are no float of ``dtype`` are left out; there must be some.
    """
    bodies = range(1, spec.maxpos_pattern)
    kind: Any = np.dtype(dtype).type
    with np.errstate(over="ignore", under="ignore"):
        exact = [oracle.boundary(k, spec) for k in bodies]
        # ldexp-free: float(Fraction) is exact where the comparison below says so
        near = np.array([to_float(v) for v in exact]).astype(dtype)
    kept = [
        i for i, v in enumerate(exact) if np.isfinite(near[i]) and Fraction(float(near[i])) == v
    ]
    assert kept, f"no boundary of {spec} is a {np.dtype(dtype).name}"
    edge = near[kept]
    body = np.array([bodies[i] for i in kept], dtype=np.int64)
    for x, want in (
        (edge, body + body % 2),
        (np.nextafter(edge, kind(np.inf)), body + 1),
        (np.nextafter(edge, kind(0)), body),
    ):
        # Above 1 an (n+1)-bit boundary may be the largest float; then the neighbour is infinity.
        ok = np.isfinite(x) & (x != 0)
        for sign in (1, -1):
            bits = (sign * want[ok]).astype(spec.storage)
            same(backend.encode(sign * x[ok], spec), bits, spec, f"{backend}.encode", sign * x[ok])


def to_float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def monotone_pairs(backend: Backend, op: str, spec: PositSpec, rows: range) -> None:
    """op(a, b) for every a, and b the patterns of the given ranks; f_max <= 24, narrow."""
    p = oracle.all_patterns(spec)
    finite = p[1:]
    x = np.array([float(v) for v in oracle.values(spec)[1:] if v is not None])
    half = np.array([float(oracle.boundary(k, spec)) for k in range(1, spec.maxpos_pattern)])
    edges = np.concatenate([-half[::-1], [0], [0], half])  # between finite[0], finite[1], …
    function = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}[op]
    for rank in rows:
        b = p[rank]
        got = getattr(backend, op)(p, b, spec)
        assert got[0] == spec.nar
        if b == spec.nar or (op == "div" and b == 0):
            assert (got == spec.nar).all(), f"{op}(…, {b})"
            continue
        exact = function(x, x[rank - 1])
        want = finite[_rank(exact, edges, finite)]
        same(got[1:], want, spec, f"{backend}.{op}", finite, b)


def _rank(x: npt.NDArray[np.float64], edges: npt.NDArray[np.float64], p: Bits) -> Any:
    """Index of the pattern that each x (monotonic) rounds to, ties to the even pattern."""
    step = -1 if x[0] > x[-1] else 1
    rising = x[::step]
    # edge i lies between patterns i and i + 1; on it the even one wins. Around 0 nothing rounds
    # to 0 but 0: both edges are 0 there, the lower exclusive and the upper inclusive.
    lower_even = p[:-1] % 2 == 0
    first = np.where(
        lower_even,
        np.searchsorted(rising, edges, side="right"),
        np.searchsorted(rising, edges, side="left"),
    )
    counts = np.diff(np.concatenate([[0], first, [x.size]]))
    return np.repeat(np.arange(p.size), counts)[::step]


def every_float32(backend: Backend, spec: PositSpec, blocks: range, size: int) -> None:
    """Encode the positive and negative float32 whose bits are in the given blocks of ``size``.

    For narrow formats. Boundaries in float64 are exact or, where they are not, no float32 either.
    """
    half = np.array([to_float(oracle.boundary(k, spec)) for k in range(1, spec.maxpos_pattern)])
    body = np.arange(1, spec.maxpos_pattern + 1)
    for block in blocks:
        bits = np.arange(block * size, (block + 1) * size, dtype=np.uint32)
        x = bits.view(np.float32)
        with np.errstate(invalid="ignore"):  # NumPy warns of signalling NaNs
            wide = x.astype(np.float64)
        finite = np.isfinite(x)
        odd = body[:-1] % 2 == 1  # the lower one: on the boundary the upper one wins
        inside = wide[finite]
        first = np.where(
            odd, np.searchsorted(inside, half), np.searchsorted(inside, half, side="right")
        )
        counts = np.diff(np.concatenate([[0], first, [inside.size]]))
        want = np.full(size, spec.nar, np.int64)
        want[finite] = np.where(inside == 0, 0, np.repeat(body, counts))
        for sign in (1, -1):
            y = x if sign == 1 else -x
            bits_wanted = np.where(finite, sign * want, want).astype(spec.storage)
            same(backend.encode(y, spec), bits_wanted, spec, f"{backend}.encode", y)


def nearest_float(value: Fraction, dtype: npt.DTypeLike) -> float:
    """The value rounded as IEEE 754 asks: nearest, ties to even, gradually down to 0, up to ±∞."""
    info = np.finfo(np.dtype(dtype))
    size = abs(value)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= size < Fraction(2) ** exponent  # floor(log2(size))
    unit = Fraction(2) ** (max(exponent, int(info.minexp)) - int(info.nmant))
    made = round(size / unit) * unit  # Python rounds fractions to nearest, ties to even
    finite = float(made) if made <= Fraction(float(info.max)) else float("inf")
    return -finite if value < 0 else finite
