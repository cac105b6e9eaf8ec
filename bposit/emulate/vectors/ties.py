"""Operands whose exact results lie halfway between two posits; and half of them, moved a hair."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import posit
from posit import PositSpec
from posit._arrays import Patterns

from .operations import Task
from .sources import Halfway, Rng, fill, flipped, halfway, made, powers, signed, stratified

__all__ = ["operands"]

Operands = dict[str, Any]


def operands(task: Task, rng: Rng, count: int) -> Operands:
    """Values of every operand column; BadInput where a format has no such results."""
    what = f"ties of {task.op} in {task.spec.name}" + (f" to {task.to.name}" if task.to else "")
    if task.op == "quire":
        return _sequence(task, rng, count)
    if task.op == "encode":
        return _fields(task, rng, count)

    def make(some: int) -> Operands:
        return _MAKERS[task.op](task, rng, some)

    found = fill(what, make, count)
    return _nudged(task, found, rng)


def _nudged(task: Task, found: Operands, rng: Rng) -> Operands:
    """Half of the rows with their last factor or term one step further in its bits, or one less, or
    steps of any power of two: so that what is dropped is a half and any single bit below."""
    name = "b" if task.op == "fma" else task.inputs[-1].name
    x = found[name]
    by = rng.choice(np.array([0, 0, 1, -1], np.int8), len(x))
    if task.inputs[-1].spec is not None:
        spec = task.inputs[-1].spec
        step = np.int64(1) << rng.integers(0, spec.f_max + 1, len(x)) * rng.integers(0, 2, len(x))
        free = (x > spec.nar + step) & (x < spec.maxpos_pattern - step + 1)
        found[name] = (x + by * step * free).astype(x.dtype)
    elif task.op == "from_i64":
        found[name] = x + by
    else:
        found[name] = x + by.astype(x.dtype)  # the next float; wraps only from 0
    return found


def _sums(task: Task, rng: Rng, count: int) -> Operands:
    """below + half a unit, and other ways to make the same sum."""
    spec = task.spec
    h = halfway(spec, rng, count)
    half, ok = powers(h.unit, spec)
    b = np.where(
        rng.integers(0, 2, count) == 1, half, signed(stratified(spec, rng, count), spec, rng)
    )
    # a + b is halfway where a, rounded, is what it takes
    minus = posit.neg(b, spec)
    a, rest = posit.sum_and_rest(h.below, half, minus, spec=spec, to=spec, rest=spec)
    ok = ok & (rest == 0) & (a != 0) & (b != 0)
    flip = rng.integers(0, 2, count) == 1
    a, b = flipped(a, flip, spec), flipped(b, flip, spec)
    swap = rng.integers(0, 2, count) == 1
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    return {"a": a, "b": posit.neg(b, spec) if task.op == "sub" else b, "keep": ok}


def _odd(length: npt.NDArray[np.int64], rng: Rng) -> npt.NDArray[np.uint64]:
    """Odd numbers of so many bits, 1 to 63."""
    top = np.int64(1) << (length - 1)
    return np.asarray(rng.integers(0, 1 << 62, len(length)) % top | top | 1, np.uint64)


def _normal(x: npt.NDArray[np.uint64], length: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    return np.asarray(x << (64 - length).astype(np.uint64), np.uint64)


def _factors(h: Halfway, spec: PositSpec, rng: Rng) -> tuple[Patterns, Patterns, Any]:
    """a·b of that scale with one bit more than posits have there."""
    count, want = len(h.below), h.fraction + 2
    i = 1 + rng.integers(0, 1 << 30, count) % want
    i = np.where(rng.integers(0, 4, count) == 0, 1, i)
    j = np.clip(want - i + rng.integers(0, 2, count), 1, want)
    x, y = _odd(i, rng), _odd(j, rng)
    product = x * y  # of at most 64 bits, exact where it has `want`
    fits = (product >> (want - 1).astype(np.uint64)) == 1
    scale = h.scale - want + 1  # of the factors' last bits together
    first = h.scale // 2 + rng.integers(-spec.reach // 2, spec.reach // 2 + 1, count)
    a, exact = made(_normal(x, i), first, spec)
    b, too = made(_normal(y, j), scale - (first - i + 1) + j - 1, spec)
    return a, b, fits & exact & too


def _products(task: Task, rng: Rng, count: int) -> Operands:
    spec = task.spec
    a, b, ok = _factors(halfway(spec, rng, count), spec, rng)
    if spec.f_max >= 2:
        near = rng.integers(0, 2, count) == 0
        x, y, whole = _beside(spec, rng, count)
        a, b, ok = np.where(near, x, a), np.where(near, y, b), np.where(near, whole, ok)
    return {"a": signed(a, spec, rng), "b": signed(b, spec, rng), "keep": ok}


def _beside(spec: PositSpec, rng: Rng, count: int) -> tuple[Patterns, Patterns, Any]:
    """Significands x, y of F + 1 bits whose product drops a half and one single bit more or less.

    It drops L = F bits, or F + 1 where it is 2^(2·F + 1) or more: y ≡ x⁻¹·(2^(L-1) ± 2^t) mod 2^L,
    so that each bit that is dropped decides somewhere.
    """
    f = spec.f_max
    x = _odd(np.full(count, f + 1), rng)
    inverse = x.copy()  # mod 8; each turn of Newton's doubles the bits
    for _ in range(5):
        inverse *= np.uint64(2) - x * inverse
    long = rng.integers(0, 2, count, np.uint64)
    bit = np.uint64(1) << rng.integers(0, f - 1 + long, dtype=np.uint64)
    bit = np.where(rng.integers(0, 4, count) > 0, bit, -bit)
    half, top = np.uint64(1 << (f - 1)) << long, np.uint64(1 << f)
    y = inverse * (half + bit) & ((top << long) - np.uint64(1)) | top * (1 - long)
    product = x.astype(np.float64) * y.astype(np.float64)  # exact where f <= 25; else nearly
    fits = (y >= top) & ((product >= 2.0 ** (2 * f + 1)) == (long == 1))
    length = np.full(count, f + 1)
    reach = 1 << spec.es  # where posits have F bits: scales -2^es … 2^es - 1
    scale, both = rng.integers(-reach, reach, count), rng.integers(-reach, reach, count)
    a, exact = made(_normal(x, length), scale, spec)
    b, too = made(_normal(y, length), both - scale, spec)
    return a, b, fits & exact & too


def _quotients(task: Task, rng: Rng, count: int) -> Operands:
    """a = m·b for halfway values m, where a significand has room for the product."""
    spec = task.spec
    h = halfway(spec, rng, count)
    room = spec.f_max - 1 - h.fraction  # bits of b, at most
    j = 1 + rng.integers(0, 1 << 30, count) % np.maximum(room, 1)
    y = _odd(j, rng)
    m = h.sig >> (62 - h.fraction).astype(np.uint64)
    product = m * y
    length = h.fraction + 2 + j
    length = length - (product >> (length - 1).astype(np.uint64) == 0)
    first = rng.integers(-spec.reach, spec.reach, count)
    b, exact = made(_normal(y, j), first, spec)
    scale = (h.unit + first - (j - 1)) + length - 1
    a, too = made(_normal(product, length), scale, spec)
    return {"a": signed(a, spec, rng), "b": signed(b, spec, rng), "keep": exact & too & (room >= 1)}


def _fused(task: Task, rng: Rng, count: int) -> Operands:
    """c and a product of half its unit; or a product that is halfway, and a c that tips it."""
    spec = task.spec
    h = halfway(spec, rng, count)
    first = h.unit // 2 + rng.integers(-spec.reach // 2, spec.reach // 2 + 1, count)
    a, exact = powers(first, spec)
    b, too = powers(h.unit - first, spec)
    x, y, ok = _factors(h, spec, rng)
    tipped = rng.integers(0, 4, count) == 0
    flip = rng.integers(0, 2, (3, count)) == 1
    a, b = np.where(tipped, x, a), np.where(tipped, y, b)
    tiny = rng.integers(-2, 3, count).astype(spec.storage)
    c = np.where(tipped, tiny, h.below)
    a, b = np.where(flip[0], -a, a), np.where(flip[1], -b, b)
    c = np.where(flip[0] ^ flip[1], -c, c)
    keep = np.where(tipped, ok, exact & too)
    return {n: x.astype(spec.storage) for n, x in zip("abc", (a, b, c), strict=True)} | {
        "keep": keep
    }


def _dots(task: Task, rng: Rng, count: int) -> Operands:
    """A fused multiply-add's terms, and others that cancel in pairs."""
    spec, terms = task.spec, task.terms
    if terms == 1:
        found = _products(task, rng, count)
        return {"a0": found["a"], "b0": found["b"], "keep": found["keep"]}
    found = _fused(task, rng, count)
    one = np.full(count, spec.one, spec.storage)
    pairs = [(found["c"], one), (found["a"], found["b"])]
    for _ in range((terms - 2) // 2):
        x, y = (signed(stratified(spec, rng, count), spec, rng) for _ in "ab")
        x, y = (np.where(v == spec.nar, one, v) for v in (x, y))
        pairs[1:1] = [(x, y), (x, -y)]
    if terms % 2:
        pairs.insert(0, (one * 0, one))
    columns = {f"{x}{k}": pair[i] for k, pair in enumerate(pairs) for i, x in enumerate("ab")}
    return columns | {"keep": found["keep"]}


def _sequence(task: Task, rng: Rng, count: int) -> Operands:
    """Of four steps: two that cancel, a posit, and half its unit, which is a product."""
    quarter = -(-count // 4)
    single = Task("dot", task.spec, terms=4)
    rows = fill(f"ties of quire in {task.spec.name}", lambda n: _dots(single, rng, n), quarter)
    order = (1, 2, 0, 3)
    both = {x: np.stack([rows[f"{x}{k}"] for k in order], 1).reshape(-1)[:count] for x in "ab"}
    return {**both, "clear": np.arange(count) % 4 == 0}


def _converted(task: Task, rng: Rng, count: int) -> Operands:
    h = halfway(task.result, rng, count)
    a, ok = made(h.sig, h.scale, task.spec)
    return {"a": signed(a, task.spec, rng), "keep": ok}


def _floats(task: Task, rng: Rng, count: int) -> Operands:
    kind = np.dtype(f"f{task.inputs[0].bits // 8}")
    info = np.finfo(kind)
    h = halfway(task.spec, rng, count)
    ok = (h.fraction + 1 <= info.nmant) & (h.scale < info.maxexp) & (h.scale >= info.minexp)
    scale = np.where(ok, h.scale, 0)
    x = np.ldexp((h.sig >> np.uint64(11)).astype(np.float64), scale - 52).astype(kind)
    x = np.where(rng.integers(0, 2, count) == 1, -x, x).astype(kind)
    return {"a": x.view(f"u{kind.itemsize}"), "keep": ok}


def _whole(task: Task, rng: Rng, count: int) -> Operands:
    h = halfway(task.spec, rng, count)
    ok = (h.unit >= 0) & (h.scale <= 61)
    x = (h.sig >> np.where(ok, 63 - h.scale, 0).astype(np.uint64)).astype(np.int64)
    return {"a": np.where(rng.integers(0, 2, count) == 1, -x, x), "keep": ok}


def _fields(task: Task, rng: Rng, count: int) -> Operands:
    """A fraction whose last set bit is the first that does not fit, also in two's complement; or a
    hair less, or more: in the sticky bit, or in any one that is below."""
    spec = task.spec
    h = halfway(spec, rng, count)
    tail = h.sig << np.uint64(1) >> np.uint64(1) >> np.uint64(62 - spec.f_max)  # f_max + 1 bits
    sign = rng.integers(0, 2, count)
    if task.form == "twos":
        turned = np.uint64(1 << (spec.f_max + 1)) - tail
        tail = np.where(sign == 1, turned, tail)
    near = rng.integers(0, 6, count)
    lower = (near == 1) & (tail & np.uint64(1) == 0)  # a little less: the bits below, all set
    below = (tail & -tail) >> rng.integers(1, spec.f_max + 2, count, np.uint64)
    tail = np.where(near == 3, tail | below, tail - lower)
    return {
        "sign": sign,
        "scale": h.scale,
        "fraction": tail >> np.uint64(1),
        "guard": tail & np.uint64(1),
        "sticky": lower | (near == 2),
        "zero": np.zeros(count, bool),
        "nar": np.zeros(count, bool),
    }


_MAKERS = {
    "add": _sums, "sub": _sums, "mul": _products, "div": _quotients, "fma": _fused, "dot": _dots,
    "convert": _converted, "from_f32": _floats, "from_f64": _floats, "from_i64": _whole,
}  # fmt: skip
