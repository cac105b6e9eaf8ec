"""A format's units beside those that do the same for posits and floats of its width."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from posit import PositSpec, bposit32, standard
from posit.spec import SpecLike

from ...errors import BadInput
from .. import rtl
from ..codec import Form
from . import floats
from .synthesis import Cost, Yosys

__all__ = ["CODING", "UNITS", "Comparison", "Module", "compare", "summary"]

Modules = dict[str, str]
Make = Callable[[], Modules]

Claim = tuple[str, str]
"""Area and delay of ours beside another's, in words."""

_PAPER: dict[str, Claim] = {"decoder": ("−71 %", "−60 %"), "encoder": ("−46 %", "−44 %")}
"""arXiv 2603.01615, on 32 bits beside the Posit Standard; rounding is not mentioned."""
_PAPER_FLOAT: Claim = ("smaller", "faster")


@dataclass(frozen=True, slots=True)
class Module:
    """A circuit and its cost; ``claim`` is what the paper says of ours beside it."""

    name: str
    cost: Cost
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One unit of a format, and what it is compared with."""

    unit: str
    ours: Module
    others: tuple[Module, ...]

    def ratios(self, other: Module) -> dict[str, float | None]:
        """Ours over the other's, by the names of :class:`Cost`'s fields; None over 0."""
        names = ("area", "depth", "luts", "lut_depth")
        both = ((name, getattr(self.ours.cost, name), getattr(other.cost, name)) for name in names)
        return {name: mine / its if its else None for name, mine, its in both}


@dataclass(frozen=True, slots=True)
class _Unit:
    kind: str  # of rtl.UNITS
    form: Form = "sign-magnitude"
    rounds: bool = True


_UNITS = {
    "decoder": _Unit("decoder", "twos"),
    "decoder of magnitudes": _Unit("decoder"),
    "encoder": _Unit("encoder", "twos"),
    "encoder without rounding": _Unit("encoder", "twos", rounds=False),
    "encoder of magnitudes": _Unit("encoder"),
    "multiplier": _Unit("multiplier"),
    "adder": _Unit("adder"),
    "quire-mac": _Unit("quire-mac"),
}
UNITS = tuple(_UNITS)
"""``of magnitudes``: in sign-magnitude form, as floats have it; others read the raw bits."""
CODING = UNITS[:5]
"""What takes seconds; the others take up to some minutes."""


def compare(spec: SpecLike, yosys: Yosys, unit: str) -> Comparison:
    """Synthesise a unit of a format and its baselines.

    Baselines are the unit of the Posit Standard's format of the same width, whose decoders and
    encoders count leading zeros and shift; the format's own unit made that way, where it has a
    multiplexer; and of magnitudes, the IEEE float's.

    Raises BadInput for another unit.
    """
    if unit not in UNITS:
        raise BadInput(f"unknown unit {unit!r}: possible are {', '.join(UNITS)}")
    spec = PositSpec.parse(spec)
    (name, ours), *others = _made(spec, unit)
    found = [Module(n, _cost(yosys, make), _claim(spec, unit, n)) for n, make in others]
    return Comparison(unit, Module(name, _cost(yosys, ours)), tuple(found))


def _cost(yosys: Yosys, make: Make) -> Cost:
    modules = make()
    return yosys.cost(modules, next(reversed(modules)))


def _made(spec: PositSpec, unit: str) -> Iterator[tuple[str, Make]]:
    """Names and makers of modules, the top last; the first is the unit itself."""
    u, posit = _UNITS[unit], standard(spec.n)
    yield spec.name, partial(_generated, u, spec, "auto")
    if spec != posit:
        yield f"{posit.name}, zeros counted", partial(_generated, u, posit, "count")
        if unit in CODING:
            yield f"{spec.name}, zeros counted", partial(_generated, u, spec, "count")
    if unit.endswith("of magnitudes") and spec.n in floats.EXPONENTS:
        make = {"decoder": floats.decoder, "encoder": floats.encoder}[u.kind]
        yield f"IEEE binary{spec.n}", partial(make, spec)


def _claim(spec: PositSpec, unit: str, name: str) -> Claim | None:
    if spec != bposit32 or name.startswith(spec.name) or unit not in CODING:
        return None
    return _PAPER_FLOAT if name.startswith("IEEE") else _PAPER[_UNITS[unit].kind]


def _generated(unit: _Unit, spec: PositSpec, regime: Any) -> Modules:
    files = rtl.generate(unit.kind, spec, form=unit.form, regime=regime)
    modules = {name.removesuffix(".v"): text for name, text in files.items()}
    if not unit.rounds:
        modules = {name: _unrounded(text) for name, text in modules.items()}
    return modules


def _unrounded(text: str) -> str:
    """An encoder that cuts what does not fit."""
    text, count = re.subn(r"\bwire up = [^;]*;", "wire up = 1'b0;", text)
    if count != 1:
        raise ValueError("the encoder's rounding is not where it was")
    return text


def summary(found: list[Comparison], spec: PositSpec, yosys: Yosys) -> dict[str, Any]:
    """The same for programs."""
    return {
        "format": spec.name,
        "tool": str(yosys),
        "area": "transistors" if yosys.liberty is None else "the library's",
        "depth": "gates" if yosys.liberty is None else "ps",
        "units": [
            {"unit": c.unit, "modules": [_row(c, c.ours), *(_row(c, m) for m in c.others)]}
            for c in found
        ],
    }  # fmt: skip


def _row(c: Comparison, m: Module) -> dict[str, Any]:
    row: dict[str, Any] = {"name": m.name}
    row |= {name: getattr(m.cost, name) for name in Cost.__slots__}
    if m is not c.ours:
        row["ratios"] = c.ratios(m)
    if m.claim is not None:
        row["paper"] = dict(zip(("area", "delay"), m.claim, strict=True))
    return row
