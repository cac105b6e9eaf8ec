"""What a correct device answers: results, and flags that say what rounding did."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import posit
import quire
from posit import PositSpec
from posit._arrays import Patterns

from ..codec import fields, magnitudes
from ..integers import Operand, beside, from_parts, normalised, parts, round_wholes
from ..mac import Mac

if TYPE_CHECKING:
    from .operations import Task

__all__ = [
    "INEXACT", "NAR", "SATURATED", "ZERO", "Register", "Values", "add", "compare", "convert",
    "decode", "div", "dot", "encode", "exact", "fma", "from_float", "from_int", "mac", "mul",
    "sequence", "sqrt", "sub", "to_float",
]  # fmt: skip

NAR, INEXACT, SATURATED, ZERO = 1, 2, 4, 8
"""Bits of ``flags``: the result is NaR; is rounded; was beyond ±maxpos or within ±minpos (with
floats: overflowed or underflowed to 0); is zero."""

Values = dict[str, Any]
"""Column names to patterns, signed integers or words."""


def _status(bits: Patterns, spec: PositSpec, lost: Any, above: Any) -> npt.NDArray[np.uint8]:
    """Flags of rounded results; ``above``: the exact magnitude is larger than the result's."""
    size = np.abs(bits)
    nar = bits == spec.nar
    ends = ((size == spec.maxpos_pattern) & above) | ((size == 1) & ~above)
    flags = np.uint8(NAR) * nar | np.uint8(ZERO) * (bits == 0)
    lost = np.asarray(lost, bool) & ~nar
    return np.asarray(flags | np.uint8(INEXACT) * lost | np.uint8(SATURATED) * (lost & ends))


def _by_rest(bits: Patterns, rest: Patterns, spec: PositSpec, turn: Any = 0) -> Values:
    """Results and flags from the rounded difference of exact and rounded, negated where turn < 0:
    it is 0 only where nothing was lost."""
    above = (rest < 0) == ((bits < 0) ^ np.asarray(turn < 0))
    return {"result": bits, "flags": _status(bits, spec, rest != 0, above)}


def add(task: Task, v: Values) -> Values:
    """a + b."""
    bits, rest = posit.sum_and_rest(v["a"], v["b"], spec=task.spec, to=task.spec, rest=task.spec)
    return _by_rest(bits, rest, task.spec)


def sub(task: Task, v: Values) -> Values:
    """a - b."""
    return add(task, {"a": v["a"], "b": posit.neg(v["b"], task.spec)})


def mul(task: Task, v: Values) -> Values:
    """a · b."""
    s = task.spec
    bits = posit.mul(v["a"], v["b"], s)
    return _by_rest(bits, posit.fma(v["a"], v["b"], posit.neg(bits, s), s), s)


def div(task: Task, v: Values) -> Values:
    """a / b."""
    s = task.spec
    bits = posit.div(v["a"], v["b"], s)
    return _by_rest(bits, posit.fma(posit.neg(bits, s), v["b"], v["a"], s), s, v["b"])


def sqrt(task: Task, v: Values) -> Values:
    """√a."""
    s = task.spec
    bits = posit.sqrt(v["a"], s)
    return _by_rest(bits, posit.fma(posit.neg(bits, s), bits, v["a"], s), s)


def _dot_rest(bits: Patterns, left: list[Patterns], right: list[Patterns], s: PositSpec) -> Values:
    one = np.full_like(bits, s.one)
    rest = quire.dot(np.stack([*left, posit.neg(bits, s)], -1), np.stack([*right, one], -1), s)
    return _by_rest(bits, np.asarray(rest), s)


def fma(task: Task, v: Values) -> Values:
    """a · b + c."""
    bits = posit.fma(v["a"], v["b"], v["c"], task.spec)
    one = np.full_like(bits, task.spec.one)
    return _dot_rest(bits, [v["a"], v["c"]], [v["b"], one], task.spec)


def dot(task: Task, v: Values) -> Values:
    """Σ a[k] · b[k]."""
    left, right = ([v[f"{x}{k}"] for k in range(task.terms)] for x in "ab")
    bits = np.asarray(quire.dot(np.stack(left, -1), np.stack(right, -1), task.spec))
    return _dot_rest(bits, left, right, task.spec)


def mac(task: Task, v: Values) -> Values:
    """c + Σ a[k] · b[k] on the task's datapath; flags are the datapath's."""
    assert task.accumulator is not None
    left, right = ([v[f"{x}{k}"] for k in range(task.terms)] for x in "ab")
    cell = Mac(task.spec, task.result, task.accumulator)
    found = cell.dot(np.stack(left, -1), np.stack(right, -1), v["c"])
    return {"result": found.bits, "flags": found.flags}


def exact(function: Callable[[Any, PositSpec], Any]) -> Callable[[Task, Values], Values]:
    """An operation that never rounds."""

    def compute(task: Task, v: Values) -> Values:
        bits = function(v["a"], task.spec)
        return {"result": bits, "flags": _status(bits, task.spec, False, False)}

    return compute


def compare(task: Task, v: Values) -> Values:
    """Bit 0: less; bit 1: equal. The flag NaR: either is."""
    a, b = v["a"], v["b"]
    nar = (a == task.spec.nar) | (b == task.spec.nar)
    return {"result": np.uint8(1) * (a < b) | np.uint8(2) * (a == b), "flags": np.uint8(NAR) * nar}


def convert(task: Task, v: Values) -> Values:
    """To another format."""
    sig, scale = parts(v["a"], task.spec)
    bits = posit.convert(v["a"], task.spec, task.result)
    return {"result": bits, "flags": _status(bits, task.result, *beside(sig, scale, bits,
                                                                         task.result))}  # fmt: skip


def decode(task: Task, v: Values) -> Values:
    """The fields; flags zero and NaR."""
    f = fields(v["a"], task.spec, task.form)
    flags = np.uint8(NAR) * f.nar | np.uint8(ZERO) * f.zero
    return {"sign": f.sign, "scale": f.scale, "fraction": f.fraction, "flags": flags}


def encode(task: Task, v: Values) -> Values:
    """From fields."""
    s = task.spec
    fraction = v["fraction"] & v["fraction"].dtype.type((1 << s.f_max) - 1)
    given = v["sign"], v["scale"], fraction, v["guard"], v["sticky"]
    negative, sig, scale = magnitudes(*given, s, task.form)
    bits = from_parts(negative, sig, scale, s)
    lost, above = beside(sig, scale, bits, s)
    zero, nar = v["zero"] != 0, v["nar"] != 0
    bits[zero] = 0
    bits[nar] = s.nar
    return {"result": bits, "flags": _status(bits, s, lost & ~zero, above)}


def from_float(width: int) -> Callable[[Task, Values], Values]:
    """From an IEEE float's bits."""

    def compute(task: Task, v: Values) -> Values:
        x = v["a"].view(f"f{width // 8}")
        bits = np.asarray(posit.encode(x, task.spec))
        lost, above = beside(*_float_parts(x), bits, task.spec)
        return {"result": bits, "flags": _status(bits, task.spec, lost, above)}

    return compute


def _float_parts(x: npt.NDArray[Any]) -> tuple[Any, Any]:
    with np.errstate(invalid="ignore"):
        wide = np.where(np.isfinite(x), x, 0).astype(np.float64)
    part, scale = np.frexp(np.abs(wide))
    return (part * 2.0**53).astype(np.uint64) << np.uint64(11), scale.astype(np.int64) - 1


def to_float(width: int) -> Callable[[Task, Values], Values]:
    """To an IEEE float's bits."""

    def compute(task: Task, v: Values) -> Values:
        nar = v["a"] == task.spec.nar
        with np.errstate(over="ignore", under="ignore"):
            x = np.asarray(posit.decode(v["a"], task.spec, f"f{width // 8}"))
        sig, scale = parts(v["a"], task.spec)
        got, its = _float_parts(x)
        lost = ((sig != got) | ((sig != 0) & (scale != its))) & ~nar
        ends = lost & (np.isinf(x) | (x == 0))
        flags = np.uint8(NAR) * nar | np.uint8(ZERO) * (x == 0)
        flags |= np.uint8(INEXACT) * lost | np.uint8(SATURATED) * ends
        return {"result": x.view(f"u{width // 8}"), "flags": flags}

    return compute


def from_int(task: Task, v: Values) -> Values:
    """From a signed 64-bit integer."""
    bits = np.asarray(posit.encode(v["a"], task.spec))
    low = v["a"] == np.iinfo(np.int64).min  # its magnitude is no int64
    sig, scale = normalised(np.where(low, 1, v["a"]), 0)
    scale = np.where(low, 63, scale)
    lost, above = beside(sig, scale, bits, task.spec)
    return {"result": bits, "flags": _status(bits, task.spec, lost, above)}


class Register:
    """A quire's integer, in units of its lsb, and whether it is NaR. Fewer than 2^31 steps cannot
    leave its width."""

    def __init__(self) -> None:
        self.total, self.nar = 0, False


def sequence(task: Task, v: Values, state: Register) -> Values:
    """Each vector clears first if it says so, adds a product, and rounds."""
    s = task.spec
    lsb = quire.Layout.exact(s).lsb
    a, b = Operand.of(v["a"], s), Operand.of(v["b"], s)
    shifts = np.where((a.sig == 0) | (b.sig == 0), 0, a.scale + b.scale - 2 * s.f_max - lsb)
    products = a.sig.astype(object) * b.sig
    # scale - f_max may be below the last bit that a posit has there; those bits are 0
    terms = (products << np.maximum(shifts, 0).astype(object)) >> np.maximum(-shifts, 0).astype(
        object
    )
    held, nar = np.empty(len(terms), object), np.empty(len(terms), bool)
    rows = zip(v["clear"].tolist(), terms.tolist(), (a.nar | b.nar).tolist(), strict=True)
    for i, (clear, term, bad) in enumerate(rows):
        if clear:
            state.total, state.nar = 0, False
        state.nar |= bad
        state.total = 0 if state.nar else state.total + term
        held[i], nar[i] = state.total, state.nar
    bits = round_wholes(held, lsb, s)
    bits[nar] = s.nar
    lost, above = beside(*normalised(np.where(nar, 0, held), lsb), bits, s)
    return {"quire": held, "result": bits, "flags": _status(bits, s, lost, above)}
