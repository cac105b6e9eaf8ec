"""Columns of vectors: unsigned words of so many bits, as patterns, integers or hexadecimal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from posit import PositSpec
from posit._arrays import Patterns

__all__ = ["Column", "Words", "digits_of", "rows_of", "words_of"]

Words = npt.NDArray[Any]
"""(N,) unsigned integers; beyond 64 bits an object array of Python's."""

Text = npt.NDArray[np.uint8]

_HEX = np.frombuffer("".join(f"{i:02x}" for i in range(256)).encode(), np.uint16)
UNKNOWN, WRONG = 16, 255  # what _VALUE has for x and z, and for what is no digit


def _values() -> Text:
    table = np.full(256, WRONG, np.uint8)
    for i, digit in enumerate("0123456789abcdef"):
        table[[ord(digit), ord(digit.upper())]] = i
    table[[ord(c) for c in "xXzZ"]] = UNKNOWN
    return table


VALUE = _values()


@dataclass(frozen=True, slots=True)
class Column:
    """A field of every vector.

    Parameters
    ----------
    name : str
    bits : int
        At least 1.
    spec : PositSpec or None
        Of patterns.
    signed : bool
        Of integers that are no patterns: whether in two's complement.
    """

    name: str
    bits: int
    spec: PositSpec | None = None
    signed: bool = False

    @classmethod
    def of(cls, name: str, spec: PositSpec) -> Column:
        """A column of patterns."""
        return cls(name, spec.n, spec)

    @property
    def digits(self) -> int:
        """Hexadecimal digits: whole ones, so that fields can be read by eye."""
        return -(-self.bits // 4)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the words."""
        for size in (8, 16, 32, 64):
            if self.bits <= size:
                return np.dtype(f"uint{size}")
        return np.dtype(object)

    def words(self, values: npt.ArrayLike) -> Words:
        """Integers or patterns as unsigned words."""
        x = np.asarray(values)
        if object in (x.dtype, self.dtype):
            return np.array([int(v) & ((1 << self.bits) - 1) for v in x.flat], self.dtype)
        wide = x.astype(self.dtype)
        return wide if self.bits == 8 * self.dtype.itemsize else wide & self._mask

    def values(self, words: Words) -> Any:
        """Patterns of ``spec``, signed integers, or the words themselves."""
        if self.spec is None and not self.signed:
            return words
        kind = np.dtype(f"int{8 * self.dtype.itemsize}")
        x = words.view(kind)
        spare = kind.type(8 * kind.itemsize - self.bits)
        return (x << spare) >> spare if spare else x

    @property
    def _mask(self) -> Any:
        return self.dtype.type((1 << self.bits) - 1)


def patterns_of(column: Column, words: Words) -> Patterns:
    """The patterns in a column of them."""
    found: Patterns = column.values(words)
    return found


def digits_of(words: Words, digits: int) -> Text:
    """(N, digits) characters, lower case."""
    if words.dtype == object:
        text = "".join(f"{int(x):0{digits}x}" for x in words)
        return np.frombuffer(text.encode(), np.uint8).reshape(len(words), digits)
    swapped = np.ascontiguousarray(words.astype(words.dtype.newbyteorder(">")))
    pairs = _HEX[swapped.view(np.uint8)]
    return pairs.view(np.uint8).reshape(len(words), -1)[:, -digits:]


def words_of(text: Text, column: Column) -> tuple[Words, npt.NDArray[np.bool_]]:
    """Words of (N, digits) characters that are digits, x or z, and which have an x or z."""
    nibbles = VALUE[text]
    unknown = (nibbles == UNKNOWN).any(axis=1)
    if unknown.any():
        nibbles[nibbles == UNKNOWN] = 0
    if column.dtype == object:
        rows = nibbles.tolist()
        return np.array([int("".join(f"{d:x}" for d in row), 16) for row in rows], object), unknown
    full = np.zeros((len(text), 2 * column.dtype.itemsize), np.uint8)
    full[:, full.shape[1] - text.shape[1] :] = nibbles
    packed = np.ascontiguousarray(full[:, ::2] << 4 | full[:, 1::2])
    words = packed.view(column.dtype.newbyteorder(">")).reshape(-1).astype(column.dtype)
    return words, unknown


def rows_of(columns: dict[str, Words], some: npt.NDArray[Any]) -> Iterator[dict[str, int]]:
    """The words of some rows, as integers."""
    for i in some.tolist():
        yield {name: int(x[i]) for name, x in columns.items()}
