"""Styles: which operands an operation is tried with."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

import posit
from posit import PositSpec
from posit._arrays import Patterns

from ...errors import BadInput
from ..codec import widths
from . import ties
from .cancellation import cancelling
from .columns import Words
from .operations import Task
from .sources import Rng, corners, signed, stratified, uniform

__all__ = ["STYLES", "exhaustive_count", "generate", "possible"]

STYLES = {
    "mixed": "all of the following that the operation has, in turn",
    "random": "uniform bits",
    "regimes": "each regime as likely",
    "corners": "0, NaR, ±1, ±minpos, ±maxpos, both ends of every regime",
    "ties": "results halfway between two posits, and a hair beside",
    "saturation": "results at and beyond maxpos and minpos",
    "cancellation": "results that are 0, or small beside the operands",
    "exhaustive": "all operands, where they have at most 24 bits together",
}
_MOST_BITS = 24
_ARITHMETIC = ("add", "sub", "mul", "div", "fma", "dot")
_HAVE = {
    "ties": (*_ARITHMETIC, "mac", "encode", "convert", "from_f32", "from_f64", "from_i64", "quire"),
    "saturation": (*_ARITHMETIC, "mac", "encode", "convert", "from_f32", "from_f64"),
    "cancellation": ("add", "sub", "fma", "dot", "mac", "compare", "quire"),
}

Operands = dict[str, Any]


def possible(op: str) -> list[str]:
    """The styles that an operation has."""
    return [s for s in STYLES if op in _HAVE.get(s, (op,)) and (s, op) != ("exhaustive", "quire")]


def exhaustive_count(task: Task) -> int:
    """How many vectors all operands make; BadInput if too many."""
    bits = sum(c.bits for c in task.inputs)
    if bits > _MOST_BITS:
        raise BadInput(
            f"exhaustive {task.op} of {task.spec.name} would be 2^{bits} vectors; at most"
            f" 2^{_MOST_BITS} are possible"
        )
    return 1 << bits


def check(task: Task, style: str) -> None:
    """Raise BadInput for a style that there is not, or that the operation cannot have."""
    if style not in STYLES:
        raise BadInput(f"unknown style {style!r}: possible are {', '.join(STYLES)}")
    have = possible(task.op)
    if style not in have:
        raise BadInput(f"{task.op} has no {style}: possible are {', '.join(have)}")


def generate(task: Task, style: str, rng: Rng, first: int, count: int) -> dict[str, Words]:
    """Operand words of vectors first … first + count - 1."""
    if style == "exhaustive":
        return _every(task, first, count)
    if style == "mixed":
        return _mixed(task, rng, first, count)
    values = _values(task, style, rng, count)
    return {c.name: c.words(values[c.name]) for c in task.inputs}


def _mixed(task: Task, rng: Rng, first: int, count: int) -> dict[str, Words]:
    """Shares of all styles, in stretches."""
    styles = []
    for style in possible(task.op)[1:]:
        if style != "exhaustive":
            try:
                _values(task, style, np.random.default_rng(0), 8)
                styles.append(style)
            except BadInput:  # a format without ties, say
                pass
    edges = pairwise(count * i // len(styles) for i in range(len(styles) + 1))
    made_of = [
        generate(task, s, rng, first, b - a)
        for s, (a, b) in zip(styles, edges, strict=True)
        if a < b
    ]
    return {c.name: np.concatenate([m[c.name] for m in made_of]) for c in task.inputs}


def _every(task: Task, first: int, count: int) -> dict[str, Words]:
    index = np.arange(first, first + count)
    words = {}
    for column in reversed(task.inputs):
        words[column.name] = column.words(index & ((1 << column.bits) - 1))
        index >>= column.bits
    return words


def _values(task: Task, style: str, rng: Rng, count: int) -> Operands:
    if task.op == "mac":
        return _mac(task, style, rng, count)
    if style == "ties":
        return ties.operands(task, rng, count)
    if task.op == "encode":
        return _fields(task, style, rng, count)
    if task.inputs[0].spec is None and task.op != "quire":
        return {"a": _numbers(task, style, rng, count)}
    if style == "saturation":
        return _extreme(task, rng, count)
    if style == "cancellation":
        return cancelling(task, rng, count)
    source = {"random": uniform, "regimes": stratified, "corners": corners}[style]
    values: Operands = {c.name: source(c.spec, rng, count) for c in task.inputs if c.spec}
    if task.op == "quire":
        values["clear"] = rng.integers(0, 8, count) == 0
    return values


def _mac(task: Task, style: str, rng: Rng, count: int) -> Operands:
    """A dot product's, and in one of two vectors an accumulator that is not 0."""
    values = _values(Task("dot", task.spec, terms=task.terms), style, rng, count)
    source = {"random": uniform, "corners": corners}.get(style, stratified)
    c = source(task.result, rng, count)
    values["c"] = np.where(rng.integers(0, 2, count) == 1, c, 0).astype(c.dtype)
    return values


def _fields(task: Task, style: str, rng: Rng, count: int) -> Operands:
    """For the encoder."""
    spec = task.spec
    wide = widths(spec, task.form).scale
    low, high = -(1 << (wide - 1)), (1 << (wide - 1)) - 1
    if style == "random":
        scale = rng.integers(2 * low, 2 * high, count, endpoint=True)
    elif style == "saturation":
        ends = np.array([spec.min_scale, spec.max_scale])
        scale = rng.choice(ends, count) + rng.integers(-3, 4, count)
    else:
        scale = rng.integers(-spec.rs - 1, spec.rs + 1, count, endpoint=True) << spec.es
        scale += rng.integers(-1, 2, count) if style == "corners" else rng.integers(
            0, 1 << spec.es, count)  # fmt: skip
    top = (1 << spec.f_max) - 1
    fraction = rng.integers(0, top, count, endpoint=True)
    if style in ("corners", "saturation"):
        fraction = np.where(rng.integers(0, 2, count) == 1, fraction, rng.choice([0, top], count))
    flags = {n: rng.integers(0, 2, count) for n in ("sign", "guard", "sticky")}
    special = {n: rng.integers(0, 64, count) == 0 for n in ("zero", "nar")}
    scale = np.clip(scale, 2 * low, 2 * high + 1)
    return {"scale": scale, "fraction": fraction.astype(np.uint64), **flags, **special}


def _numbers(task: Task, style: str, rng: Rng, count: int) -> npt.NDArray[Any]:
    """For conversions from floats, as their bits, and from integers."""
    if task.op == "from_i64":
        x = rng.integers(-(1 << 63), (1 << 63) - 1, count, endpoint=True)
        if style == "random":
            return x
        x >>= rng.integers(0, 64, count)
        return x if style == "regimes" else np.int64(1) << rng.integers(0, 63, count)
    kind = f"f{task.inputs[0].bits // 8}"
    if style == "random":
        return rng.integers(0, 1 << 64, count, np.uint64) >> np.uint64(64 - task.inputs[0].bits)
    if style == "saturation":
        near = signed(_near_ends(task.spec, rng, count), task.spec, rng)
    else:
        near = {"regimes": stratified, "corners": corners}[style](task.spec, rng, count)
    with np.errstate(over="ignore", under="ignore"):
        x = np.asarray(posit.decode(near, task.spec, kind))
        x = x * rng.choice(np.array([1, 1 + 2**-9, 1 - 2**-9, 2, 0.5], kind), count)
    if style == "corners":
        x[::16] = rng.choice(np.array([0.0, -0.0, np.inf, -np.inf, np.nan], kind), len(x[::16]))
    return np.asarray(x.view(f"u{task.inputs[0].bits // 8}"))


def _near_ends(spec: PositSpec, rng: Rng, count: int) -> Patterns:
    """Positive patterns near 0 and near maxpos, at distances of every magnitude."""
    by = (np.int64(1) << rng.integers(0, spec.n - 1, count)) - 1
    by = np.minimum(by & rng.integers(0, 1 << 62, count, endpoint=True), spec.maxpos_pattern - 1)
    near = np.where(rng.integers(0, 2, count) == 1, 1 + by, spec.maxpos_pattern - by)
    return np.asarray(near, spec.storage)


def _extreme(task: Task, rng: Rng, count: int) -> Operands:
    spec = task.spec

    def ends() -> Patterns:
        return signed(_near_ends(spec, rng, count), spec, rng)

    if task.op == "convert":
        return {"a": _beyond(task, rng, count)}
    values: Operands = {c.name: ends() for c in task.inputs}
    if task.op in ("add", "sub", "fma", "dot"):
        last = task.inputs[-1].name
        quiet = rng.integers(0, 2, count) == 1
        if task.op == "fma":
            values["c"] = np.where(quiet, np.sign(values["c"]), values["c"])
        elif task.op in ("add", "sub"):  # of the same magnitude: sums double, differences vanish
            near = np.abs(values["a"]).astype(np.int64) + rng.integers(-2, 3, count)
            near = np.clip(near, 1, spec.maxpos_pattern).astype(spec.storage)
            values[last] = np.where(quiet, signed(near, spec, rng), values[last])
    return values


def _beyond(task: Task, rng: Rng, count: int) -> Patterns:
    """Patterns about the ends of the narrower format."""
    to = task.result
    near = _near_ends(to, rng, count)
    found = np.asarray(posit.convert(near, to, task.spec)).astype(np.int64)
    move = (np.int64(1) << rng.integers(0, task.spec.n - 1, count)) - 1
    away = np.where(near > to.one, found + move, found - move)
    inside = np.clip(away, 1, task.spec.maxpos_pattern).astype(task.spec.storage)
    return signed(inside, task.spec, rng)
