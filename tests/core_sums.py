"""The cases of sums for the driver core_sums.c: what is expected comes from integers."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

import posit
from posit import PositSpec, bposit16, bposit32, bposit64, reference
from quire import Layout, certified
from quire._core import core_spec, lib, pointer

from .formats import mixed
from .quire.cases import KINDS, exact_product, finite, matrices, whole

__all__ = ["addends", "forms", "intervals", "products", "slices", "windows"]

Bits = npt.NDArray[np.signedinteger[Any]]
Record = tuple[Any, ...]

_NAN = (1 << 63) - 1


def intervals(spec: PositSpec) -> Iterator[Record]:
    """What the core without sanitizers says; tests/quire/test_certified.py judges that."""
    rng = np.random.default_rng([3, spec.n, spec.rs, spec.es])
    certifies = certified.can_certify(spec)
    pairs = [KINDS[kind](spec, k, rng) for kind in ("anything", "ends") for k in (0, 1, 17, 1030)]
    a, b = mixed(spec, (2, 530), rng)
    a[5] = spec.nar
    pairs += [(a, b), (b, np.full_like(b, 3))]
    for a, b in pairs:
        ends = (0, 0)
        if certifies:
            found = lib.bp_dot_enclosed(
                core_spec(spec), a.size, pointer(a), *a.strides, pointer(b), *b.strides
            )
            ends = (_bits(found.middle), _bits(found.error))
        yield spec, int(certifies), a.size, a, b, *ends


def _bits(x: float) -> int:
    return _NAN if np.isnan(x) else int(np.float64(x).view(np.int64))


def windows(spec: PositSpec) -> Iterator[Record]:
    """p·by to all, q to every other one, integers to half, and p·q to the last."""
    rng = np.random.default_rng([4, spec.n, spec.rs, spec.es])
    top = spec.maxpos_pattern
    for n, by, narrow in (
        (0, 1, False), (3, spec.one, False), (4, -1, True), (513, -top, False), (520, 3, True),
        (6, spec.nar, False), (9, 1 - spec.one, True), (5, 0, False),
    ):  # fmt: skip
        pq = mixed(spec, (2, n), rng)
        p = pq[0]
        if narrow:  # a block near 1 and then, maybe, one far away
            p[:512] = posit.encode(rng.uniform(1, 2, p[:512].size), spec)
        x = rng.integers(-(1 << 51), 1 << 51, n, endpoint=True).astype(np.float64)
        x[:2] = [1 << 51, -(1 << 51)][:n]
        yield _window(spec, pq, by, x, narrow=narrow, at=int(rng.integers(-70, 70)))
    zeros = np.zeros((2, 3), spec.storage)
    yield _window(spec, zeros, top, np.zeros(3), narrow=True, at=0)
    beyond = Layout.exact(spec).lsb + Layout.exact(spec).width - 3
    yield _window(spec, zeros, top, np.array([3.0, 4.0, -5.0]), narrow=True, at=beyond)


def _window(
    spec: PositSpec, pq: Bits, by: int, x: npt.NDArray[np.float64], *, narrow: bool, at: int
) -> Record:
    (p, q), n = pq, pq.shape[1]
    (a, low_a, nar_a), (b, low_b, nar_b) = whole(p, spec), whole(q, spec)
    factor, low_f, _ = whole(np.array([by], spec.storage), spec)
    if not (a.any() or b.any() or x.any()):
        low, planes = 0, 0
    else:  # one that holds every digit of the format
        layout = Layout.exact(spec)
        low = min(layout.lsb - 64, at) // 32 * 32
        planes = (max(layout.lsb + layout.width, at + 64) - low) // 32 + 2
    sums = np.zeros(2 * n, object)  # in units of 2^low
    _add(sums[:n], a * factor, low_a + low_f, low)
    _add(sums[1::2], b, low_b, low)
    _add(sums[n:], np.array([int(v) for v in x], object), -at, low)
    nar = np.zeros(2 * n, bool)
    nar[:n] = nar_a | (by == spec.nar)
    nar[1::2] |= nar_b
    if n:
        if not (nar_a | nar_b).any():
            _add(sums[-1:], np.array([np.dot(a, b)], object), low_a + low_b, low)
        nar[-1] |= bool((nar_a | nar_b).any())
    digits = [sums >> 32 * k & 0xFFFFFFFF for k in range(planes - 1)]
    digits += [sums >> 32 * (planes - 1)] if planes else []
    most = max((abs(d) for d in digits[-1]), default=0) if planes else 0
    rounded = [spec.nar if bad else _round(v, low, spec) for v, bad in zip(sums, nar, strict=True)]
    start = (low + 64, max(0, planes - 4)) if not narrow else (0, 0) if planes == 0 else (low, 0)
    if narrow and planes and low <= -64:
        start = (-64, 4)
    table = np.array(digits, object).reshape(-1)
    return (spec, low, planes, *start, by, spec.one, at, n, p, q, x.view(np.int64), most,
            table, nar, rounded)  # fmt: skip


def _add(to: Any, numbers: Any, unit: int, low: int) -> None:
    """to += numbers·2^-unit, in units of 2^low: every term is a multiple of that."""
    shift = -unit - low
    to += numbers * 2**shift if shift >= 0 else numbers // 2**-shift


def _round(v: int, low: int, spec: PositSpec) -> int:
    layout = Layout.exact(spec)
    value = v * Fraction(2) ** low
    fits = abs(value) < Fraction(2) ** (layout.lsb + layout.width - 1)
    return reference.encode(value, spec) if fits else spec.nar


def addends(spec: PositSpec) -> Iterator[Record]:
    """What the core without sanitizers says; tests/posit/test_sums.py judges that."""
    rng = np.random.default_rng([7, spec.n, spec.rs, spec.es])
    for others, to, rest, n in (
        ((), spec, bposit16, 5), ((spec,), bposit16, spec, 513), ((bposit16, spec), spec, spec, 30),
        ((bposit32, bposit16), bposit16, bposit32, 1030), ((bposit64,), spec, spec, 40),
        ((spec,) * 32, spec, bposit64, 3), ((bposit32, bposit32), bposit32, spec, 0),
    ):  # fmt: skip
        specs = (spec, *others)
        terms = [mixed(s, n, rng) for s in specs]
        for k, s in enumerate(specs):
            terms[k][n // 3 :] = posit.encode(rng.standard_normal(n - n // 3) * 2.0 ** -(9 * k), s)
        if len(terms) == 3 and n:
            terms[1][:] = terms[1][0]
        made = posit.sum_and_rest(*terms, spec=specs, to=to, rest=rest)
        formats = [x for s in (*specs, to, rest) for x in (s.n, s.rs, s.es)]
        yield (len(terms), *formats, n, *terms, *made)


def slices(spec: PositSpec) -> Iterator[Record]:
    rng = np.random.default_rng([6, spec.n, spec.rs, spec.es])
    origin = -(spec.reach + spec.f_max)
    span = 2 * spec.reach + spec.f_max + 1
    for n, top, bits, parts in (
        (0, 3, 20, 2), (1, 1, 25, 1), (515, 20, 20, 3), (40, spec.reach, 20, 8),
        (40, 9 - spec.reach, 1, 3), (513, 1, 7, 8),
    ):  # fmt: skip
        p = mixed(spec, n, rng)
        p[::3] = posit.encode(rng.standard_normal(p[::3].size), spec)
        numbers, unit, _ = whole(p, spec)
        highest, lowest = np.zeros((2, span), np.int64)
        part = np.zeros((parts, n), np.int64)
        outside = []
        for i, v in enumerate(numbers):
            mag = abs(v)
            if mag == 0:
                continue
            least = (mag & -mag).bit_length() - 1 - unit
            highest[mag.bit_length() - 1 - unit - origin] += 1
            lowest[least - origin] += 1
            if mag.bit_length() - unit > top or least < top - parts * bits:
                outside.append(i)
                continue
            for t in range(parts):
                shift = unit + top - (t + 1) * bits
                digit = (mag >> shift if shift > 0 else mag << -shift) & ((1 << bits) - 1)
                part[t, i] = digit if v > 0 else -digit
        yield (spec, origin, top, bits, parts, span, n, len(outside), p, highest, lowest, part,
               outside)  # fmt: skip


class _Recorded(certified.Product):
    """A product that keeps the bounds it judged by."""

    def _round(self, row: Any, col: Any, magnitude: Any) -> Any:
        self.bounds = row, col, magnitude
        return super()._round(row, col, magnitude)


def products(spec: PositSpec) -> Iterator[Record]:
    rng = np.random.default_rng([8, spec.n, spec.rs, spec.es])
    if not certified.can_certify(spec):
        return
    for kind, k, added in (
        ("cancelling", 41, False), ("narrow", 600, True), ("ends", 20, True), ("zeros", 9, False),
        ("ties", 30, True),
    ):  # fmt: skip
        if kind == "ties" and spec.f_min < 1:
            continue
        a, b = matrices(kind, spec, k, rng)
        b = np.concatenate([b] * 200, axis=1) if kind == "zeros" else b  # more than a block
        a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
        add = finite(spec, (a.shape[0], b.shape[1]), rng) if added else None
        if kind == "ends":
            a[2, 3] = spec.nar
        want = exact_product(a, b, spec, add)
        made = _Recorded(a, b, spec, add, want.copy(), 1)
        for by_norms in (True, False):
            left = made.by_norms() if by_norms else made.by_magnitudes()
            row, col, magnitude = made.bounds
            bounds = [row, col] if by_norms else [row, magnitude]
            yield (spec, a.shape[0], a.shape[1], b.shape[1], int(added), int(by_norms), a, b,
                   add if add is not None else [], made.estimate.view(np.int64),
                   *(np.ascontiguousarray(x).view(np.int64) for x in bounds), left.size, left,
                   want)  # fmt: skip


def forms() -> Iterator[Record]:
    """Tables of random terms over integers, in short and long batches, shared and strided rows."""
    rng = np.random.default_rng(11)
    sizes = [(0, 0, 0), (1, 1, 1), (3, 4, 7), (0, 2, 3), (8, 5, 4), (64, 64, 64)]
    for (left, right, outputs), rows in product(sizes, (0, 1, 6, 32, 64, 67, 130)):
        many = rng.integers(0, 9, outputs) if left and right else np.zeros(outputs, np.int64)
        start = np.concatenate([[0], np.cumsum(many)])
        i = rng.integers(0, max(left, 1), start[-1])
        j = rng.integers(0, max(2 * right, 1), start[-1])
        ra, rb = (int(rng.choice([0, n, n + 3])) for n in (left, right))
        a = rng.integers(-99, 100, (rows - 1) * ra + left if rows else 0)
        b = rng.integers(-99, 100, (rows - 1) * rb + right if rows else 0)
        at = np.arange(rows)[:, np.newaxis]
        terms = a[at * ra + i] * b[at * rb + j % max(right, 1)] * np.where(j < right, 1, -1)
        sums = np.concatenate([np.zeros((rows, 1), np.int64), terms.cumsum(axis=1)], axis=1)
        want = sums[:, start[1:]] - sums[:, start[:-1]]
        yield (
            (left, right, outputs, rows, ra, rb, a.size, b.size),
            start, np.stack([i, j], axis=-1), a, b, want,
        )  # fmt: skip
