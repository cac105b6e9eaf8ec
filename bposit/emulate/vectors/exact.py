"""What an operation's exact result is, as a fraction: for explanations."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from fractions import Fraction
from math import isfinite

from posit import PositSpec
from posit.reference import decode
from posit.reference.arithmetic import root

from ..codec import magnitudes
from .operations import Task

__all__ = ["exact", "signed", "value"]

Asked = Mapping[str, int]


def signed(word: int, bits: int) -> int:
    """The low ``bits`` bits in two's complement."""
    word &= (1 << bits) - 1
    return word - (1 << bits) if word >> (bits - 1) else word


def value(word: int, spec: PositSpec) -> Fraction | None:
    """What a pattern's word means; None for NaR."""
    return decode(signed(word, spec.n), spec)


def exact(task: Task, operands: Asked) -> Fraction | None:
    """The exact result, or None where it is NaR or there is none."""
    if task.op == "encode":
        return _encoded(task, operands)
    if task.inputs[0].spec is None:
        return _given(task, operands["a"])
    values = [value(word, task.spec) for word in operands.values()]
    if task.op == "dot":
        half = len(values) // 2
        pairs = zip(values[:half], values[half:], strict=True)
        products = [None if x is None or y is None else x * y for x, y in pairs]
        return None if None in products else sum((x for x in products if x is not None), Fraction())
    if None in values or task.op not in _FUNCTIONS:
        return None
    try:
        return _FUNCTIONS[task.op](*values)
    except (ZeroDivisionError, ValueError):
        return None


def _given(task: Task, word: int) -> Fraction | None:
    if task.op == "from_i64":
        return Fraction(signed(word, 64))
    size = task.inputs[0].bits // 8
    (x,) = struct.unpack({4: ">f", 8: ">d"}[size], word.to_bytes(size, "big"))
    return Fraction(x) if isfinite(x) else None


def _encoded(task: Task, operands: Asked) -> Fraction | None:
    if operands["nar"] or operands["zero"]:
        return None
    spec, column = task.spec, {c.name: c for c in task.inputs}["scale"]
    fraction = operands["fraction"] & ((1 << spec.f_max) - 1)
    scale = signed(operands["scale"], column.bits)
    sign, sig, t = magnitudes(operands["sign"], scale, fraction, operands["guard"],
                              operands["sticky"], spec, task.form)  # fmt: skip
    size = Fraction(int(sig), 1 << 63) * Fraction(2) ** int(t)
    return -size if sign else size


def _root(x: Fraction) -> Fraction:
    if x < 0:
        raise ValueError
    return root(x, 128)


_FUNCTIONS: dict[str, Callable[..., Fraction]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "fma": lambda a, b, c: a * b + c,
    "sqrt": _root,
    "neg": lambda a: -a,
    "abs": abs,
    "convert": lambda a: a,
}
