"""Layouts of vector files: every row is as long as the others, so that rows are array columns."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ...errors import BadInput
from .columns import VALUE, WRONG, Column, Words, digits_of, words_of

__all__ = ["LAYOUTS", "Layout", "Parsed"]

LAYOUTS = ("readmemh", "csv", "jsonl")
_MARKS = {"readmemh": "//", "csv": "#", "jsonl": "#"}


@dataclass(frozen=True, slots=True)
class Parsed:
    """Rows of a file.

    Parameters
    ----------
    words : dict
        Column names to words.
    unknown : dict
        Column names to (N,) bool: where a digit is x or z. Only columns that have some.
    lines : ndarray of int
        Line numbers, from 1.
    """

    words: dict[str, Words]
    unknown: dict[str, npt.NDArray[np.bool_]]
    lines: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """How rows of ``columns`` are written."""

    name: str
    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        """Check the name."""
        if self.name not in LAYOUTS:
            raise BadInput(f"layout {self.name!r}: possible are {', '.join(LAYOUTS)}")

    @property
    def mark(self) -> str:
        """What begins a comment."""
        return _MARKS[self.name]

    @property
    def title(self) -> str:
        """The line of column names that csv has, or nothing."""
        return ",".join(c.name for c in self.columns) + "\n" if self.name == "csv" else ""

    @cached_property
    def _template(self) -> tuple[npt.NDArray[np.uint8], tuple[slice, ...]]:
        """A row with zeros for digits, and where those are."""
        text, places = "{" if self.name == "jsonl" else "", []
        for i, column in enumerate(self.columns):
            between = {"readmemh": "_", "csv": ",", "jsonl": ","}[self.name]
            text += between if i else ""
            text += f'"{column.name}":"' if self.name == "jsonl" else ""
            places.append(slice(len(text), len(text) + column.digits))
            text += "0" * column.digits + ('"' if self.name == "jsonl" else "")
        text += "}\n" if self.name == "jsonl" else "\n"
        return np.frombuffer(text.encode(), np.uint8), tuple(places)

    @property
    def width(self) -> int:
        """Bytes of a row."""
        return len(self._template[0])

    def rows(self, words: dict[str, Words], count: int) -> bytes:
        """Text of so many rows."""
        template, places = self._template
        text = np.empty((count, len(template)), np.uint8)
        text[:] = template
        for column, place in zip(self.columns, places, strict=True):
            text[:, place] = digits_of(words[column.name], column.digits)
        return text.tobytes()

    def parse(self, data: bytes, line: int, path: str) -> Parsed:
        """Whole lines that begin at line number ``line``.

        Rows may be written otherwise than here: without underscores, with blanks, capitals, fewer
        leading zeros where fields are apart, empty lines and comments. Raises BadInput for others.
        """
        found = self._regular(data)
        if found is not None:
            return self._taken(found, line + np.arange(len(found)))
        rows, lines = [], []
        for i, text in enumerate(data.decode("latin-1").splitlines(), line):
            row = self._tidied(text, i, path)
            if row is not None:
                rows.append(row)
                lines.append(i)
        tidy = self._regular("".join(rows).encode())
        assert tidy is not None
        return self._taken(tidy, np.array(lines, np.int64))

    def _regular(self, data: bytes) -> npt.NDArray[np.uint8] | None:
        """The rows as characters, if every row is just as :meth:`rows` writes it."""
        template, places = self._template
        if len(data) % len(template):
            return None
        text = np.frombuffer(data, np.uint8).reshape(-1, len(template))
        fixed = np.ones(len(template), bool)
        for place in places:
            fixed[place] = False
            if (VALUE[text[:, place]] == WRONG).any():
                return None
        return text if (text[:, fixed] == template[fixed]).all() else None

    def _taken(self, text: npt.NDArray[np.uint8], lines: npt.NDArray[np.int64]) -> Parsed:
        words, unknown = {}, {}
        for column, place in zip(self.columns, self._template[1], strict=True):
            words[column.name], missing = words_of(text[:, place], column)
            if missing.any():
                unknown[column.name] = missing
        return Parsed(words, unknown, lines)

    def _tidied(self, text: str, line: int, path: str) -> str | None:
        """A row as we write it, with its newline; None for a line without one."""
        plain = text.split(self.mark, maxsplit=1)[0].strip()
        if not plain or (self.name == "csv" and plain == self.title.strip()):
            return None
        fields = self._fields(plain, line, path)
        for column, digits in zip(self.columns, fields, strict=True):
            if not re.fullmatch(r"[0-9a-fA-FxXzZ]+", digits):
                raise BadInput(f"{path}:{line}: {column.name} is {digits[:40]!r}, not hexadecimal")
            spare = len(digits) - column.digits
            if spare > 0 and digits[:spare].strip("0"):
                raise BadInput(f"{path}:{line}: {column.name} has {len(digits)} digits, but"
                               f" {column.bits} bits are {column.digits}")  # fmt: skip
        whole = [d[-c.digits :].rjust(c.digits, "0") for c, d in zip(self.columns, fields,
                                                                     strict=True)]  # fmt: skip
        row = bytearray(self._template[0].tobytes())
        for place, digits in zip(self._template[1], whole, strict=True):
            row[place] = digits.encode()
        return row.decode()

    def _fields(self, plain: str, line: int, path: str) -> Sequence[str]:
        names = [c.name for c in self.columns]
        if self.name == "jsonl":
            try:
                found = json.loads(plain)
            except ValueError:
                raise BadInput(f"{path}:{line}: not JSON: {plain[:60]!r}") from None
            if not isinstance(found, dict) or any(not isinstance(found.get(n), str) for n in names):
                raise BadInput(
                    f"{path}:{line}: expected an object with the texts {', '.join(names)}"
                )
            return [found[n].strip() for n in names]
        if self.name == "csv":
            fields = [part.strip() for part in plain.split(",")]
        else:
            fields = plain.replace("_", " ").split()
            total = sum(c.digits for c in self.columns)
            if len(fields) == 1 and len(fields[0]) == total:
                ends = np.cumsum([c.digits for c in self.columns]).tolist()
                fields = [fields[0][e - c.digits : e] for e, c in zip(ends, self.columns,
                                                                      strict=True)]  # fmt: skip
        if len(fields) != len(names):
            raise BadInput(
                f"{path}:{line}: {plain[:60]!r} has {len(fields)} fields, but there are"
                f" {len(names)}: {', '.join(names)}"
            )
        return fields
