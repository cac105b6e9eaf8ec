"""Decoders and encoders of a format.

The regime is told in one of two ways. ``mux``: a line for each length of the run, and a multiplexer
of as many inputs as regimes have sizes, which for the ``<n,6,5>`` is five: the b-posit decoder of
arXiv 2603.01615. ``count``: leading zeros are counted and the rest is shifted, as decoders of
unbounded posits do. Either serves every format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from posit import PositSpec

from ..codec import Form, widths
from .leading import leading
from .text import any_of, filled, head, join, part, row, zeros

__all__ = ["REGIMES", "Coding", "Regime"]

Regime = Literal["auto", "mux", "count"]
REGIMES: tuple[Regime, ...] = ("auto", "mux", "count")
_MOST_SIZES = 15  # inputs of a multiplexer; beyond, shifting is smaller
_MEANING = {
    "sign-magnitude": "value = (-1)^sign * 2^scale * (1 + fraction/2^{f})",
    "twos": "value = 2^scale * (-2 if sign else 1, + fraction/2^{f})",
}


@dataclass(frozen=True)
class Coding:
    """Between patterns and fields.

    Parameters
    ----------
    spec : PositSpec
    form : {"sign-magnitude", "twos"}
    regime : {"auto", "mux", "count"}
        ``auto`` is ``mux`` for bounded posits whose regimes have at most 15 sizes.
    """

    spec: PositSpec
    form: Form = "sign-magnitude"
    regime: Regime = "auto"

    @property
    def mux(self) -> bool:
        """Whether regimes are told by a multiplexer."""
        if self.regime != "auto":
            return self.regime == "mux"
        return self.spec.rs < self.spec.n - 1 and self.spec.rs - 1 <= _MOST_SIZES

    @property
    def suffix(self) -> str:
        """Of module names."""
        return "_twos" if self.form == "twos" else ""

    @property
    def scale(self) -> int:
        """Bits of a decoder's scale."""
        return widths(self.spec, self.form).scale

    @property
    def fraction(self) -> int:
        """Bits of a fraction's port, of which there is always one."""
        return max(1, self.spec.f_max)

    @property
    def counted(self) -> int:
        """Bits of a run's length less 1, at most rs - 1."""
        return (self.spec.rs - 1).bit_length()

    def decoder(self) -> dict[str, str]:
        """Modules by name, the decoder last."""
        s, width = self.spec, self.scale
        module = f"{s.name}_decoder{self.suffix}"
        n, rs, f = s.n, s.rs, s.f_max
        field = s.es + f  # the longest rest of a pattern, or its exponent
        more = f"{{{self.counted}{{~first}}}} ^ more"
        scale = row("~first", more, part("rest", field - 1, f))
        regime, needed = self._told(field) if self.mux else self._counted(field)
        text = filled(
            "decoder",
            head=head(module, f"the fields of a posit, {self.form}", s),
            formula=_MEANING[self.form].format(f=f),
            how=self._how("is decoded"),
            module=module,
            n_top=n - 1,
            b_top=n - 2,
            s_top=width - 1,
            s_width=width,
            f_top=self.fraction - 1,
            t_top=rs - 2,
            t_width=rs - 1,
            turn=f"{n - 3}:{n - 1 - rs}",
            body=part("a", n - 2) if self.suffix else f"a[{n - 1}] ? -a[{n - 2}:0] : a[{n - 2}:0]",
            regime=regime,
            scale=f"{scale} ^ {{{width}{{a[{n - 1}]}}}}" if self.suffix else scale,
            fraction=part("rest", f - 1) or "1'b0",
        )
        return needed | {module: text}

    def _how(self, done: str) -> str:
        if self.mux:
            return f"the regime {done} by a multiplexer of its {self.spec.rs - 1} sizes"
        return f"the regime {done} by counting and shifting"

    def _told(self, field: int) -> tuple[str, dict[str, str]]:
        n, rs = self.spec.n, self.spec.rs
        lines = [f"    wire [{rs - 1}:0] run;  // one is 1: the run has bit + 1 bits"]
        for i in range(rs):
            seen = [f"~{any_of('turn', rs - 2, rs - 1 - i)}"] if i else []
            ends = [f"turn[{rs - 2 - i}]"] if i < rs - 1 else []
            lines.append(f"    assign run[{i}] = {' & '.join(seen + ends)};")
        bits = [
            row(*(f"run[{i}]" for i in range(rs) if i >> k & 1)) for k in range(self.counted)
        ]  # fmt: skip
        more = row(*(f"|{b}" if b[0] == "{" else b for b in reversed(bits)))
        lines.append(f"    wire [{self.counted - 1}:0] more = {more};")
        terms = []
        for size in range(2, rs + 1):
            have = n - 1 - size
            line = f"run[{size - 2}]" if size < rs else f"(run[{rs - 2}] | run[{rs - 1}])"
            if have > 0:
                bits_of = row(part("body", have - 1), zeros(field - have))
                terms.append(f"({{{field}{{{line}}}}} & {bits_of})")
        if not terms:
            lines.append("    wire unused = run[0];")
        if field:
            rest = join(terms) if terms else zeros(field)
            lines.append(f"    wire [{field - 1}:0] rest =\n        {rest};")
        return "\n".join(lines), {}

    def _counted(self, field: int) -> tuple[str, dict[str, str]]:
        n, rs, top = self.spec.n, self.spec.rs, self.counted - 1
        counter = leading(self.spec, rs - 1)
        lines = [
            f"    wire [{top}:0] more;",
            f"    {next(reversed(counter))} count (.x(turn), .zeros(more));",
        ]
        by = "more"
        if rs < n - 1:  # the longest run is not ended by another bit
            lines.append(f"    wire [{top}:0] by = more - {row(zeros(top), self._last())};")
            by = "by"
        if field:
            have = n - 3
            all_of = row(part("body", have - 1), zeros(field - have))
            rest = f"{all_of} << {by}" if have else zeros(field)
            lines.append(f"    wire [{field - 1}:0] rest = {rest};")
        return "\n".join(lines), counter

    def _last(self) -> str:
        """Whether more is rs - 1."""
        return f"(more[{self.counted - 1}:0] == {self.counted}'d{self.spec.rs - 1})"

    def encoder(self) -> dict[str, str]:
        """Modules by name."""
        s = self.spec
        module = f"{s.name}_encoder{self.suffix}"
        n, es, f, q = s.n, s.es, s.f_max, self.counted
        length = es + f + 1
        spare = (1 << q) > s.rs
        beyond = f"|more[SCALE-{es + 2}:{q}]"
        if spare:
            beyond += f" | (more[{q - 1}:0] > {q}'d{s.rs - 1})"
        plain = f"body + {row(zeros(n - 2), 'up')}"
        turned = f"(body ^ {{{n - 1}{{sign}}}}) + {row(zeros(n - 2), 'up ^ sign')}"
        text = filled(
            "encoder",
            head=head(module, f"a posit of its fields, {self.form}, rounded", s),
            formula=_MEANING[self.form].format(f=f),
            tail_note="" if self.form != "twos" else ", of the two's complement",
            how=self._how("is written"),
            module=module,
            scale_bits=self.scale + 1,
            n=n,
            n_top=n - 1,
            b_top=n - 2,
            b_width=n - 1,
            f_top=self.fraction - 1,
            es=es,
            es_1=es + 1,
            es_2=es + 2,
            raw="scale ^ {SCALE{sign}}" if self.suffix else "scale",
            beyond=beyond,
            tail_top=length - 1,
            tail=row(part("raw", es - 1), part("fraction", f - 1), "guard"),
            regime=self._written(length) if self.mux else self._shifted(length),
            rounded=plain if self.suffix else turned,
            unused="" if f else "\n    wire unused = &{1'b0, fraction};",
        )
        return {module: text}

    def _written(self, length: int) -> str:
        n, rs, q = self.spec.n, self.spec.rs, self.counted
        cuts, later = [], []
        lines = []
        for size in range(2, rs + 1):
            line = f"size{size}"
            if size < rs:
                regime = row(f"{{{size - 1}{{first}}}}", "~first")
                lines.append(f"    wire {line} = more[{q - 1}:0] == {q}'d{size - 2};")
            else:
                lines.append(f"    wire ended = more[{q - 1}:0] == {q}'d{rs - 2};")
                lines.append(f"    wire {line} = ended | (more[{q - 1}:0] == {q}'d{rs - 1});")
                regime = row(f"{{{size - 1}{{first}}}}", "first ^ ended")
            low = size + length - n  # bits of tail that are below the cut
            bits = row(regime, part("tail", length - 1, low))
            cuts.append(f"({{{n}{{{line}}}}} & {bits})")
            if low:
                later.append(f"({line} & {any_of('tail', low - 1)})")
        lines.append(f"    wire [{n - 1}:0] cut =\n        {join(cuts)};")
        lines.append(f"    wire below =\n        {join([*later, 'sticky'])};")
        return "\n".join(lines)

    def _shifted(self, length: int) -> str:
        n, rs, q = self.spec.n, self.spec.rs, self.counted
        full = 2 + length + rs - 1
        begin = "{first, ~first, tail}"
        if rs < n - 1:  # the longest run is not ended by another bit
            begin = f"{self._last()} ? {{first, tail, 1'b0}} : {begin}"
        return "\n".join([
            f"    wire [{length + 1}:0] start = {begin};",
            f"    wire signed [{full - 1}:0] wide =",
            f"        $signed({{start, {rs - 1}'b0}}) >>> more[{q - 1}:0];",
            f"    wire [{n - 1}:0] cut = wide[{full - 1}:{full - n}];",
            f"    wire below = ({any_of('wide', full - n - 1)}) | sticky;",
        ])  # fmt: skip
