"""The units, the files that each is made of, and the vectors that judge it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from posit import PositSpec
from posit.spec import SpecLike

from ...errors import BadInput
from ..codec import FORMS, Form
from ..vectors import Task
from . import benches
from .arithmetic import adder, multiplier
from .coding import REGIMES, Coding, Regime
from .sums import quire_mac

__all__ = ["UNITS", "bench", "generate", "task", "top"]


@dataclass(frozen=True)
class _Unit:
    """What is made, and the operation that it computes; ``answers``: ports to expected columns."""

    make: Callable[[Coding], dict[str, str]]
    op: str
    answers: dict[str, str] = field(default_factory=lambda: {"result": "result"})
    clocked: bool = True
    fixed: dict[str, str] = field(default_factory=dict)
    forms: tuple[Form, ...] = FORMS[:1]


_DECODED = {"nar": "flags[0]", "zero": "flags[3]"} | {x: x for x in ("sign", "scale", "fraction")}
_SUMMED = {"sum": "quire", "nar": "flags[0]", "result": "result"}
_UNITS = {
    "decoder": _Unit(Coding.decoder, "decode", _DECODED, clocked=False, forms=FORMS),
    "encoder": _Unit(Coding.encoder, "encode", clocked=False, forms=FORMS),
    "multiplier": _Unit(multiplier, "mul"),
    "adder": _Unit(adder, "add", fixed={"subtract": "sent[0]", "b": "sent[0] ? -b : b"}),
    "quire-mac": _Unit(quire_mac, "quire", _SUMMED),
}
UNITS = tuple(_UNITS)


def generate(
    unit: str,
    spec: SpecLike,
    *,
    form: Form = "sign-magnitude",
    regime: Regime = "auto",
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

    Raises BadInput for an unknown unit or option.
    """
    coding = _coding(unit, spec, form, regime)
    return {f"{module}.v": text for module, text in _UNITS[unit].make(coding).items()}


def top(unit: str, spec: SpecLike, *, form: Form = "sign-magnitude") -> str:
    """The name of the unit's own module."""
    return next(reversed(generate(unit, spec, form=form))).removesuffix(".v")


def task(unit: str, spec: SpecLike, *, form: Form = "sign-magnitude") -> Task:
    """The operation whose vectors the unit's bench reads."""
    coding = _coding(unit, spec, form)
    return Task(_UNITS[unit].op, coding.spec, form=form)


def bench(unit: str, spec: SpecLike, count: int, *, form: Form = "sign-magnitude") -> str:
    """A self-checking bench for so many vectors of :func:`task`, in ``readmemh`` layout.

    Its module is called as the unit's with ``_tb`` behind, and reads a file called as the unit's
    with ``.hex``; both the number and the file are parameters of the bench.
    """
    kind, module = _UNITS[unit], top(unit, spec, form=form)
    of = task(unit, spec, form=form)
    if kind.clocked:
        return benches.clocked(module, of, kind.answers, count, kind.fixed)
    return benches.plain(module, of, kind.answers, count)


def _coding(unit: str, spec: SpecLike, form: Form, regime: Regime = "auto") -> Coding:
    if unit not in _UNITS:
        raise BadInput(f"unknown unit {unit!r}: possible are {', '.join(UNITS)}")
    if form not in _UNITS[unit].forms:
        raise BadInput(f"form {form!r}: a {unit} can have {' or '.join(_UNITS[unit].forms)}")
    if regime not in REGIMES:
        raise BadInput(f"regime {regime!r}: possible are {', '.join(REGIMES)}")
    return Coding(PositSpec.parse(spec), form, regime)
