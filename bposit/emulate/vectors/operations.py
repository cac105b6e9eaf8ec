"""The operations that vectors are of: their columns, and what computes the answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import posit
import quire
from posit import PositSpec

from ...errors import BadInput
from ..accumulator import Accumulator
from ..codec import FORMS, Form, widths
from ..mac import Mac
from . import answers
from .answers import Values
from .columns import Column, Words

__all__ = ["OPERATIONS", "Task"]

_MOST_TERMS = 256
_FLAGS = Column("flags", 4)


@dataclass(frozen=True)
class Task:
    """An operation in a format: what `bposit vectors` is asked for.

    Parameters
    ----------
    op : str
        One of ``OPERATIONS``.
    spec : PositSpec
    to : PositSpec, optional
        Of the results of convert, which needs it, and mac.
    form : {"sign-magnitude", "twos"}
        Of decode and encode.
    terms : int
        Of dot and mac.
    accumulator : Accumulator, optional
        Of mac.
    """

    op: str
    spec: PositSpec
    to: PositSpec | None = None
    form: Form = "sign-magnitude"
    terms: int = 4
    accumulator: Accumulator | None = None

    def __post_init__(self) -> None:
        """Check that the operation is known and its options fit."""
        if self.op not in OPERATIONS:
            raise BadInput(f"unknown operation {self.op!r}: possible are {', '.join(OPERATIONS)}")
        if self.op == "convert" and self.to is None:
            raise BadInput("convert needs the format of its results, --to FORMAT")
        if self.op not in ("convert", "mac") and self.to is not None:
            raise BadInput(f"--to belongs to convert and mac, not to {self.op}")
        if self.op == "mac" and self.accumulator is None:
            raise BadInput("mac needs --accumulator, such as 'Aligned(width=14, group=4)'")
        if self.op != "mac" and self.accumulator is not None:
            raise BadInput(f"--accumulator belongs to mac, not to {self.op}")
        if self.accumulator is not None:
            try:
                Mac(self.spec, self.result, self.accumulator)
            except ValueError as error:
                raise BadInput(str(error)) from None
        if self.form not in FORMS:
            raise BadInput(f"form {self.form!r}: possible are {', '.join(FORMS)}")
        if not 1 <= self.terms <= _MOST_TERMS:
            raise BadInput(f"{self.terms} terms: a dot product here has 1 to {_MOST_TERMS}")

    def __str__(self) -> str:
        """In words."""
        to = "" if self.to is None else f" to {self.to.name}"
        form = f", {self.form}" if self.op in ("decode", "encode") else ""
        how = "" if self.accumulator is None else f", {self.accumulator}"
        return f"{self.op} of {self.spec.name}{to}{form}{how}"

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
        return OPERATIONS[self.op].compute is None

    def start(self) -> Any:
        """What the device holds before the first vector."""
        return answers.Register() if self.sequential else None

    def answers(self, operands: dict[str, Words], state: Any = None) -> dict[str, Words]:
        """Words of every output column; ``state`` is :meth:`start`'s and goes on."""
        values = {c.name: c.values(operands[c.name]) for c in self.inputs}
        compute = OPERATIONS[self.op].compute
        found = answers.sequence(self, values, state) if compute is None else compute(self, values)
        return {c.name: c.words(found[c.name]) for c in self.outputs}


@dataclass(frozen=True, slots=True)
class _Operation:
    inputs: Callable[[Task], tuple[Column, ...]]
    compute: Callable[[Task, Values], Values] | None  # None: the answer depends on those before
    outputs: Callable[[Task], tuple[Column, ...]] = lambda task: (Column.of("result", task.result),)


def _patterns(names: str) -> Callable[[Task], tuple[Column, ...]]:
    return lambda task: tuple(Column.of(name, task.spec) for name in names)


def _terms(task: Task) -> tuple[Column, ...]:
    return tuple(Column.of(f"{x}{k}", task.spec) for x in "ab" for k in range(task.terms))


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


def _stepped(task: Task) -> tuple[Column, ...]:
    return (Column("quire", quire.Layout.exact(task.spec).width), Column.of("result", task.spec))


def _raw(width: int, signed: bool = False) -> Any:
    return lambda task: (Column("a", width, signed=signed),)


OPERATIONS: dict[str, _Operation] = {
    "decode": _Operation(_patterns("a"), answers.decode, _decoded),
    "encode": _Operation(_unencoded, answers.encode),
    "add": _Operation(_patterns("ab"), answers.add),
    "sub": _Operation(_patterns("ab"), answers.sub),
    "mul": _Operation(_patterns("ab"), answers.mul),
    "div": _Operation(_patterns("ab"), answers.div),
    "sqrt": _Operation(_patterns("a"), answers.sqrt),
    "fma": _Operation(_patterns("abc"), answers.fma),
    "neg": _Operation(_patterns("a"), answers.exact(posit.neg)),
    "abs": _Operation(_patterns("a"), answers.exact(posit.abs)),
    "compare": _Operation(_patterns("ab"), answers.compare, lambda task: (Column("result", 2),)),
    "convert": _Operation(_patterns("a"), answers.convert),
    "from_f32": _Operation(_raw(32), answers.from_float(32)),
    "from_f64": _Operation(_raw(64), answers.from_float(64)),
    "from_i64": _Operation(_raw(64, signed=True), answers.from_int),
    "to_f32": _Operation(
        _patterns("a"), answers.to_float(32), lambda task: (Column("result", 32),)
    ),
    "to_f64": _Operation(
        _patterns("a"), answers.to_float(64), lambda task: (Column("result", 64),)
    ),
    "dot": _Operation(_terms, answers.dot),
    "mac": _Operation(lambda task: (*_terms(task), Column.of("c", task.result)), answers.mac),
    "quire": _Operation(lambda task: (Column("clear", 1), *_patterns("ab")(task)), None, _stepped),
}
