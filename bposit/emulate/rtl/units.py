"""The units, the files that each is made of, and the vectors that judge it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from posit import PositSpec
from posit.spec import SpecLike

from ...errors import BadInput
from ..codec import FORMS, Form
from ..vectors import Task
from . import benches
from .arithmetic import adder, multiplier
from .coding import REGIMES, Coding, Regime
from .sums import DATAFLOWS, Dataflow, pe, quire_mac

__all__ = ["UNITS", "bench", "generate", "task", "top"]


@dataclass(frozen=True)
class _Unit:
    """What is made, and the operation that it computes.

    ``answers``: output ports to expected columns; ``bench``: its kind; ``fixed``: what other ports
    of a clocked one are given.
    """

    make: Callable[[Coding, Dataflow], dict[str, str]]
    op: str
    answers: dict[str, str] = field(default_factory=lambda: {"result": "result"})
    bench: Literal["plain", "clocked", "element"] = "clocked"
    fixed: dict[str, str] = field(default_factory=dict)
    forms: tuple[Form, ...] = FORMS[:1]
    dataflows: tuple[Dataflow, ...] = DATAFLOWS[:1]


_DECODED = {"nar": "flags[0]", "zero": "flags[3]"} | {x: x for x in ("sign", "scale", "fraction")}
_SUMMED = {"sum": "quire", "nar": "flags[0]", "result": "result"}
_UNITS = {
    "decoder": _Unit(lambda c, _: c.decoder(), "decode", _DECODED, "plain", forms=FORMS),
    "encoder": _Unit(lambda c, _: c.encoder(), "encode", bench="plain", forms=FORMS),
    "multiplier": _Unit(lambda c, _: multiplier(c), "mul"),
    "adder": _Unit(
        lambda c, _: adder(c),
        "add",
        fixed={"subtract": "sent[0]", "b": "sent[0] ? -b : b"},
    ),
    "quire-mac": _Unit(lambda c, _: quire_mac(c), "quire", _SUMMED),
    "pe": _Unit(pe, "quire", _SUMMED, "element", dataflows=DATAFLOWS),
}
UNITS = tuple(_UNITS)


def generate(
    unit: str,
    spec: SpecLike,
    *,
    form: Form = "sign-magnitude",
    regime: Regime = "auto",
    dataflow: Dataflow = "os",
) -> dict[str, str]:
    """Verilog-2001: names of files and their texts, one module each, the unit's own last.

    Parameters
    ----------
    unit : str
        One of ``UNITS``.
    spec : PositSpec, posit dtype or name
    form : {"sign-magnitude", "twos"}
        Of the fields of decoder and encoder, as :func:`bposit.emulate.fields` has them.
    regime : {"auto", "mux", "count"}
        ``mux``: one multiplexer input for each size of a regime, as decoders of bounded posits
        have them; ``count``: leading zeros counted, and a shift; ``auto``: what suits the format.
    dataflow : {"os", "ws"}
        Of the processing element, as :class:`bposit.emulate.SystolicArray` has it.

    Raises BadInput for an unknown unit or option.
    """
    of = _coding(unit, spec, form, regime, dataflow)
    return {f"{module}.v": text for module, text in _UNITS[unit].make(of, dataflow).items()}


def top(
    unit: str, spec: SpecLike, *, form: Form = "sign-magnitude", dataflow: Dataflow = "os"
) -> str:
    """The name of the unit's own module."""
    files = generate(unit, spec, form=form, dataflow=dataflow)
    return next(reversed(files)).removesuffix(".v")


def task(unit: str, spec: SpecLike, *, form: Form = "sign-magnitude") -> Task:
    """The operation whose vectors the unit's bench reads."""
    of = _coding(unit, spec, form)
    return Task(_UNITS[unit].op, of.spec, form=form)


def bench(
    unit: str,
    spec: SpecLike,
    count: int,
    *,
    form: Form = "sign-magnitude",
    dataflow: Dataflow = "os",
) -> str:
    """A self-checking bench for so many vectors of :func:`task`, in ``readmemh`` layout.

    Its module is called as the unit's with ``_tb`` behind, and reads a file called as the unit's
    with ``.hex``; both the number and the file are parameters of the bench. It prints ``PASS`` and
    the number only if it has judged so many vectors, and found all right.

    Raises BadInput for an unknown unit or option, and fewer than one vector.
    """
    if count < 1:
        raise BadInput(f"{count} vectors: at least 1 is possible")
    module, of = top(unit, spec, form=form, dataflow=dataflow), task(unit, spec, form=form)
    kind = _UNITS[unit]
    if kind.bench == "clocked":
        return benches.clocked(module, of, kind.answers, count, kind.fixed)
    if kind.bench == "element":
        return benches.element(module, of, kind.answers, count, dataflow)
    return benches.plain(module, of, kind.answers, count)


def _coding(
    unit: str, spec: SpecLike, form: Form, regime: Regime = "auto", dataflow: Dataflow = "os"
) -> Coding:
    if unit not in _UNITS:
        raise BadInput(f"unknown unit {unit!r}: possible are {', '.join(UNITS)}")
    kind = _UNITS[unit]
    for name, given, known, possible in (
        ("form", form, kind.forms, FORMS),
        ("dataflow", dataflow, kind.dataflows, DATAFLOWS),
        ("regime", regime, REGIMES, REGIMES),
    ):
        if given not in possible:
            raise BadInput(f"{name} {given!r}: possible are {', '.join(possible)}")
        if given not in known:
            raise BadInput(f"{name} {given}: {unit} has {known[0]} only")
    return Coding(PositSpec.parse(spec), form, regime)
