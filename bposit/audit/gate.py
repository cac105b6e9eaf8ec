"""``--fail-if``: conditions on figures, which fail closed.

    condition = term {"or" term}          term = factor {"and" factor}
    factor = "not" factor | "(" condition ")" | comparison
    comparison = figure ["[" format "]"] op number          op = < <= > >= == !=

Each row of a report (a tensor or layer in a format) is judged. ``figure`` is the row's own;
``figure[format]`` that of the same tensor or layer in the named format, and is judged in the rows
of the formats that the condition names. Of several ways of accumulating it is that of the row, or
the first where the named format has none so called. Where a figure has no value because something
failed (NaN made from finite input, nothing to compare) the comparison is neither true nor false,
and the condition fires unless the rest makes it false. What does not apply to a row is left out of
an "or", and makes an "and" or "not" of it not apply; a condition that does not apply does not fire.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf, isnan
from typing import Any

from ..errors import BadInput
from .formats import parse as parse_format

__all__ = ["Gate", "value"]

_MOST_CHARACTERS = 1000
_MOST_DEPTH = 32
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?inf\b)"
    r"|(?P<figure>[a-zA-Z_]\w*)\s*(?:\[(?P<format>[^\[\]]*)\])?"
    r"|(?P<op><=|>=|==|!=|<|>)|(?P<paren>[()]))"
)
_OPS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip

Row = Mapping[str, Any]


class _Truth(Enum):
    """Of a condition in a row."""

    TRUE = "true"
    FALSE = "false"
    FAILED = "failed"
    ABSENT = "does not apply"


_TRUE, _FALSE, _FAILED, _ABSENT = _Truth
_NOT = {_TRUE: _FALSE, _FALSE: _TRUE, _FAILED: _FAILED, _ABSENT: _ABSENT}
_FIRST = {"or": (_TRUE, _FAILED, _FALSE, _ABSENT), "and": (_ABSENT, _FALSE, _FAILED, _TRUE)}

Judge = Callable[[Row, Sequence[Row]], _Truth]


def value(row: Row, figure: str) -> float | None:
    """A figure of a row: +∞ where it is exact, NaN where it failed, None where it has none."""
    found = row.get(figure)
    if figure.endswith("sqnr"):
        prefix = figure.removesuffix("sqnr")
        if row.get(f"{prefix}failed"):
            return float("nan")
        if row.get(f"{prefix}exact"):
            return inf
    elif found is None and row.get("metric_failed" if figure == "metric_change" else "failed"):
        return float("nan")
    return None if found is None else float(found)


@dataclass(frozen=True)
class Gate:
    """A condition that was read; ``named`` are its figures with the formats asked for, or None."""

    text: str
    named: tuple[tuple[str, str | None], ...]
    judge: Judge

    @classmethod
    def parse(cls, text: str) -> Gate:
        """Read a condition; BadInput says where it is wrong."""
        if len(text) > _MOST_CHARACTERS:
            raise BadInput(
                f"--fail-if: {len(text)} characters; at most {_MOST_CHARACTERS} are read"
            )
        reader = _Reader(text)
        judge = reader.condition(0)
        if reader.here is not None:
            raise reader.wrong("and, or, or the end")
        return cls(text, tuple(reader.named), judge)

    def check(self, figures: Iterable[str], formats: Iterable[str]) -> None:
        """Raise BadInput where a figure or format is not part of this audit."""
        known, audited = sorted(figures), set(formats)
        for figure, form in self.named:
            if figure not in known:
                there = ", ".join(known)
                raise BadInput(
                    f"--fail-if: {figure[:60]!r} is not available here; there are {there}"
                )
            if form is not None and form not in audited:
                raise BadInput(
                    f"--fail-if: {form} is not among the audited formats, {', '.join(audited)}"
                )

    def fires(self, row: Row, group: Sequence[Row]) -> bool:
        """Whether it fires for a row; ``group`` are the rows of the same tensor or layer."""
        return self.judge(row, group) in (_TRUE, _FAILED)


class _Reader:
    """Recursive descent over the tokens; ``here`` is the next one, None at the end."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.named: list[tuple[str, str | None]] = []
        self.here: re.Match[str] | None = None
        self.next()

    def next(self) -> None:
        rest = self.text[self.at :]
        if not rest.strip():
            self.here = None
            return
        self.here = _TOKEN.match(self.text, self.at)
        if self.here is None:
            raise self.wrong("a figure, number, comparison or parenthesis")
        self.at = self.here.end()

    def wrong(self, wanted: str) -> BadInput:
        start = self.here.start() if self.here else self.at
        found = repr(self.text[start:].strip()[:30]) if self.text[start:].strip() else "the end"
        return BadInput(f"--fail-if: expected {wanted}, found {found}")

    def word(self) -> str:
        return self.here["figure"] or self.here["paren"] or "" if self.here else ""

    def condition(self, depth: int) -> Judge:
        return self._joined("or", depth, lambda d: self._joined("and", d, self._factor))

    def _joined(self, word: str, depth: int, part: Callable[[int], Judge]) -> Judge:
        parts = [part(depth)]
        while self.word() == word:
            self.next()
            parts.append(part(depth))
        if len(parts) == 1:
            return parts[0]
        order = _FIRST[word]

        def judge(row: Row, group: Sequence[Row]) -> _Truth:
            found = {p(row, group) for p in parts}
            return next(t for t in order if t in found)

        return judge

    def _factor(self, depth: int) -> Judge:
        if depth >= _MOST_DEPTH:
            raise BadInput(f"--fail-if: nested more than {_MOST_DEPTH} deep")
        if self.word() == "not":
            self.next()
            inner = self._factor(depth + 1)

            return lambda row, group: _NOT[inner(row, group)]
        if self.word() == "(":
            self.next()
            inner = self.condition(depth + 1)
            if self.word() != ")":
                raise self.wrong("a closing parenthesis")
            self.next()
            return inner
        return self._comparison()

    def _comparison(self) -> Judge:
        here = self.here
        if here is None or not here["figure"] or here["figure"] in ("and", "or"):
            raise self.wrong("a figure such as sqnr[bposit16]")
        figure, given = here["figure"], here["format"]
        form = None if given is None else parse_format(given).name
        self.next()
        op = self.here["op"] if self.here else None
        if not op:
            raise self.wrong("one of < <= > >= == !=")
        self.next()
        if self.here is None or not self.here["number"]:
            raise self.wrong("a number")
        compare, limit = _OPS[op], float(self.here["number"])
        self.next()
        self.named.append((figure, form))

        def judge(row: Row, group: Sequence[Row]) -> _Truth:
            if form is None:
                found = value(row, figure)
            elif row["format"] not in {f for _, f in self.named}:
                return _ABSENT
            else:
                named = [r for r in group if r["format"] == form]
                alike = [r for r in named if r.get("accumulate") == row.get("accumulate")]
                found = value((alike or named)[0], figure) if named else None
            if found is None:
                return _ABSENT
            if isnan(found):
                return _FAILED
            return _TRUE if compare(found, limit) else _FALSE

        return judge
