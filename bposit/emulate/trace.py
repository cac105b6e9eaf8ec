"""Every integer of a datapath, step by step, for people and for waveform viewers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

import numpy as np

__all__ = ["Signal", "Trace"]

_FIRST, _COUNT = 33, 94  # VCD's identifiers are printable characters


@dataclass(frozen=True, slots=True)
class Signal:
    """One integer at one step.

    Parameters
    ----------
    step : int
        k, from 0; -1 for a starting value.
    stage, name : str
    value : int
    width : int
        Bits; with the sign where ``signed``.
    signed : bool
    lsb_weight : int
        log2 of the weight of bit 0; 0 for patterns.
    """

    step: int
    stage: str
    name: str
    value: int
    width: int
    signed: bool
    lsb_weight: int

    @property
    def hex(self) -> str:
        """The ``width`` bits, two's complement where signed."""
        return f"{self.value & ((1 << self.width) - 1):0{-(-self.width // 4)}x}"

    def to_json(self) -> str:
        """One line."""
        return json.dumps({"step": self.step, "stage": self.stage, "name": self.name,
                           "hex": self.hex, "width": self.width, "signed": self.signed,
                           "lsb_weight": self.lsb_weight})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trace:
    """The signals of one sum, in the order of their computation."""

    signals: list[Signal] = field(default_factory=list)

    def add(  # noqa: PLR0917
        self, step: int, stage: str, name: str, value: Any, width: int, signed: bool,
        lsb_weight: Any,
    ) -> None:  # fmt: skip
        """Record one; a probe."""
        whole, lsb = _only(value), _only(lsb_weight)
        self.signals.append(Signal(step, stage, name, whole, width, signed, lsb))

    def __iter__(self) -> Iterator[Signal]:
        return iter(self.signals)

    def __len__(self) -> int:
        return len(self.signals)

    def write_jsonl(self, file: TextIO) -> None:
        """One JSON object a line: step, stage, name, hex, width, signed, lsb_weight."""
        for signal in self.signals:
            file.write(signal.to_json() + "\n")

    def write_vcd(self, file: TextIO) -> None:
        """A value change dump (IEEE 1364), a step being one unit of time from step -1 on.

        A scope for each stage; a signal's width is the widest it has. The weight of bit 0, which
        may move, is a 32-bit signal of its own beside it, NAME_lsb.
        """
        widths: dict[tuple[str, str], int] = {}
        for s in self.signals:
            key = s.stage, s.name
            widths[key] = max(widths.get(key, 0), s.width)
        codes = {key: (_code(2 * i), _code(2 * i + 1)) for i, key in enumerate(widths)}
        file.write("$timescale 1ns $end\n")
        for stage in dict.fromkeys(stage for stage, _ in widths):
            file.write(f"$scope module {stage} $end\n")
            for (its, name), width in widths.items():
                if its == stage:
                    value, weight = codes[its, name]
                    file.write(f"$var wire {width} {value} {name} $end\n")
                    file.write(f"$var wire 32 {weight} {name}_lsb $end\n")
            file.write("$upscope $end\n")
        file.write("$enddefinitions $end\n")
        now = None
        for s in sorted(self.signals, key=lambda s: s.step):
            if s.step != now:
                now = s.step
                file.write(f"#{now + 1}\n")
            key = s.stage, s.name
            for code, x, width in zip(codes[key], (s.value, s.lsb_weight), (widths[key], 32),
                                      strict=True):  # fmt: skip
                file.write(f"b{x & ((1 << width) - 1):b} {code}\n")


def _only(x: Any) -> int:
    """The element of an array that has one, or the number itself."""
    return int(np.asarray(x, object).reshape(-1)[0])


def _code(i: int) -> str:
    text = ""
    while True:
        i, digit = divmod(i, _COUNT)
        text += chr(_FIRST + digit)
        if i == 0:
            return text
