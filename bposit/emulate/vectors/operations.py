"""The operations that vectors are of: their columns, and what a correct device answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

import posit
import quire
from posit import PositSpec
from posit._arrays import Patterns

from ...errors import BadInput
from ..codec import FORMS, Form, fields, magnitudes, widths
from ..integers import Operand, beside, from_parts, normalised, parts, round_wholes
from .columns import Column, Words

__all__ = ["INEXACT", "NAR", "OPERATIONS", "SATURATED", "ZERO", "Task"]

NAR, INEXACT, SATURATED, ZERO = 1, 2, 4, 8
"""Bits of ``flags``: the result is NaR; is rounded; was beyond ±maxpos or within ±minpos (with
floats: overflowed or underflowed to 0); is zero."""

_MOST_TERMS = 256
_FLAGS = Column("flags", 4)
Values = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """An operation in a format: what `bposit vectors` is asked for.

    Parameters
    ----------
    op : str
        One of ``OPERATIONS``.
    spec : PositSpec
    to : PositSpec, optional
        Of convert's results.
    form : {"sign-magnitude", "twos"}
        Of decode and encode.
    terms : int
        Of dot.
    """

    op: str
    spec: PositSpec
    to: PositSpec | None = None
    form: Form = "sign-magnitude"
    terms: int = 4

    def __post_init__(self) -> None:
        """Check that the operation is known and its options fit."""
        if self.op not in OPERATIONS:
            raise BadInput(f"unknown operation {self.op!r}: possible are {', '.join(OPERATIONS)}")
        if (self.op == "convert") != (self.to is not None):
            raise BadInput(
                "convert needs the format of its results, --to FORMAT"
                if self.to is None
                else f"--to belongs to convert, not to {self.op}"
            )
        if self.form not in FORMS:
            raise BadInput(f"form {self.form!r}: possible are {', '.join(FORMS)}")
        if not 1 <= self.terms <= _MOST_TERMS:
            raise BadInput(f"{self.terms} terms: a dot product here has 1 to {_MOST_TERMS}")

    def __str__(self) -> str:
        """In words."""
        to = "" if self.to is None else f" to {self.to.name}"
        form = f", {self.form}" if self.op in ("decode", "encode") else ""
        return f"{self.op} of {self.spec.name}{to}{form}"

    @property
    def result(self) -> PositSpec:
        """The format of results."""
        return self.spec if self.to is None else self.to

    @cached_property
    def inputs(self) -> tuple[Column, ...]:
        """Columns of operands."""
        return OPERATIONS[self.op].inputs(self)

    @cached_property
    def outputs(self) -> tuple[Column, ...]:
        """Columns of what a device answers: the flags first."""
        return (_FLAGS, *OPERATIONS[self.op].outputs(self))

    @property
    def columns(self) -> tuple[Column, ...]:
        """All of a vector, most significant first."""
        return (*self.inputs, *self.outputs)

    @property
    def sequential(self) -> bool:
        """Whether a vector's answer depends on those before."""
        return self.op == "quire"

    def start(self) -> Any:
        """What the device holds before the first vector."""
        return Register() if self.sequential else None

    def answers(self, operands: dict[str, Words], state: Any = None) -> dict[str, Words]:
        """Words of every output column; ``state`` is :meth:`start`'s and goes on."""
        values = {c.name: c.values(operands[c.name]) for c in self.inputs}
        compute = OPERATIONS[self.op].compute
        found = _sequence(self, values, state) if self.sequential else compute(self, values)
        return {c.name: c.words(found[c.name]) for c in self.outputs}


@dataclass(frozen=True, slots=True)
class _Operation:
    inputs: Callable[[Task], tuple[Column, ...]]
    compute: Callable[[Task, Values], Values]
    outputs: Callable[[Task], tuple[Column, ...]] = lambda task: (Column.of("result", task.result),)


def _patterns(names: str) -> Callable[[Task], tuple[Column, ...]]:
    return lambda task: tuple(Column.of(name, task.spec) for name in names)


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


def _add(task: Task, v: Values) -> Values:
    bits, rest = posit.sum_and_rest(v["a"], v["b"], spec=task.spec, to=task.spec, rest=task.spec)
    return _by_rest(bits, rest, task.spec)


def _sub(task: Task, v: Values) -> Values:
    return _add(task, {"a": v["a"], "b": posit.neg(v["b"], task.spec)})


def _mul(task: Task, v: Values) -> Values:
    s = task.spec
    bits = posit.mul(v["a"], v["b"], s)
    return _by_rest(bits, posit.fma(v["a"], v["b"], posit.neg(bits, s), s), s)


def _div(task: Task, v: Values) -> Values:
    s = task.spec
    bits = posit.div(v["a"], v["b"], s)
    return _by_rest(bits, posit.fma(posit.neg(bits, s), v["b"], v["a"], s), s, v["b"])


def _sqrt(task: Task, v: Values) -> Values:
    s = task.spec
    bits = posit.sqrt(v["a"], s)
    return _by_rest(bits, posit.fma(posit.neg(bits, s), bits, v["a"], s), s)


def _dot_rest(bits: Patterns, left: list[Patterns], right: list[Patterns], s: PositSpec) -> Values:
    one = np.full_like(bits, s.one)
    rest = quire.dot(np.stack([*left, posit.neg(bits, s)], -1), np.stack([*right, one], -1), s)
    return _by_rest(bits, np.asarray(rest), s)


def _fma(task: Task, v: Values) -> Values:
    bits = posit.fma(v["a"], v["b"], v["c"], task.spec)
    one = np.full_like(bits, task.spec.one)
    return _dot_rest(bits, [v["a"], v["c"]], [v["b"], one], task.spec)


def _dot(task: Task, v: Values) -> Values:
    left, right = ([v[f"{x}{k}"] for k in range(task.terms)] for x in "ab")
    bits = np.asarray(quire.dot(np.stack(left, -1), np.stack(right, -1), task.spec))
    return _dot_rest(bits, left, right, task.spec)


def _exact(function: Callable[[Any, PositSpec], Any]) -> Callable[[Task, Values], Values]:
    def compute(task: Task, v: Values) -> Values:
        bits = function(v["a"], task.spec)
        return {"result": bits, "flags": _status(bits, task.spec, False, False)}

    return compute


def _compare(task: Task, v: Values) -> Values:
    a, b = v["a"], v["b"]
    nar = (a == task.spec.nar) | (b == task.spec.nar)
    return {"result": np.uint8(1) * (a < b) | np.uint8(2) * (a == b), "flags": np.uint8(NAR) * nar}


def _convert(task: Task, v: Values) -> Values:
    sig, scale = parts(v["a"], task.spec)
    bits = posit.convert(v["a"], task.spec, task.result)
    return {"result": bits, "flags": _status(bits, task.result, *beside(sig, scale, bits,
                                                                         task.result))}  # fmt: skip


def _decode(task: Task, v: Values) -> Values:
    f = fields(v["a"], task.spec, task.form)
    flags = np.uint8(NAR) * f.nar | np.uint8(ZERO) * f.zero
    return {"sign": f.sign, "scale": f.scale, "fraction": f.fraction, "flags": flags}


def _encode(task: Task, v: Values) -> Values:
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


def _significand(s: PositSpec) -> int:
    return max(1, s.f_max)  # a column has a bit; where a format has no fraction it is ignored


def _decoded(task: Task) -> tuple[Column, ...]:
    scale = widths(task.spec, task.form).scale
    return (
        Column("sign", 1),
        Column("scale", scale, signed=True),
        Column("fraction", _significand(task.spec)),
    )


def _unencoded(task: Task) -> tuple[Column, ...]:
    scale = widths(task.spec, task.form).scale + 1  # room for what saturates
    return (
        *(Column(name, 1) for name in ("nar", "zero", "sign")),
        Column("scale", scale, signed=True),
        Column("fraction", _significand(task.spec)),
        *(Column(name, 1) for name in ("guard", "sticky")),
    )


def _from_float(width: int) -> Callable[[Task, Values], Values]:
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


def _to_float(width: int) -> Callable[[Task, Values], Values]:
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


def _from_int(task: Task, v: Values) -> Values:
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


def _sequence(task: Task, v: Values, state: Register) -> Values:
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


def _stepped(task: Task) -> tuple[Column, ...]:
    return (Column("quire", quire.Layout.exact(task.spec).width), Column.of("result", task.spec))


def _none(task: Task, v: Values) -> Values:
    raise AssertionError("sequences have a state")


def _raw(width: int, signed: bool = False) -> Any:
    return lambda task: (Column("a", width, signed=signed),)


OPERATIONS: dict[str, _Operation] = {
    "decode": _Operation(_patterns("a"), _decode, _decoded),
    "encode": _Operation(_unencoded, _encode),
    "add": _Operation(_patterns("ab"), _add),
    "sub": _Operation(_patterns("ab"), _sub),
    "mul": _Operation(_patterns("ab"), _mul),
    "div": _Operation(_patterns("ab"), _div),
    "sqrt": _Operation(_patterns("a"), _sqrt),
    "fma": _Operation(_patterns("abc"), _fma),
    "neg": _Operation(_patterns("a"), _exact(posit.neg)),
    "abs": _Operation(_patterns("a"), _exact(posit.abs)),
    "compare": _Operation(_patterns("ab"), _compare, lambda task: (Column("result", 2),)),
    "convert": _Operation(_patterns("a"), _convert),
    "from_f32": _Operation(_raw(32), _from_float(32)),
    "from_f64": _Operation(_raw(64), _from_float(64)),
    "from_i64": _Operation(_raw(64, signed=True), _from_int),
    "to_f32": _Operation(_patterns("a"), _to_float(32), lambda task: (Column("result", 32),)),
    "to_f64": _Operation(_patterns("a"), _to_float(64), lambda task: (Column("result", 64),)),
    "dot": _Operation(
        lambda task: tuple(
            Column.of(f"{x}{k}", task.spec) for x in "ab" for k in range(task.terms)
        ),
        _dot,
    ),
    "quire": _Operation(lambda task: (Column("clear", 1), *_patterns("ab")(task)), _none, _stepped),
}
