"""``bposit dot``: the exact inner product of two files, beside float64's."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import isfinite, log2
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

import posit
import quire
from posit import PositSpec
from quire.dot import accumulate_dot

from . import numerals
from .errors import BadInput
from .terminal import QUIET

__all__ = ["Operand", "Product", "load", "multiply", "report", "summary"]

_LONG = 80  # characters of an exact value; a longer one is rounded and described


@dataclass(frozen=True, slots=True)
class Operand:
    """A file as patterns; ``patterns`` has the file's shape and dtype ``spec.storage``."""

    path: Path
    patterns: npt.NDArray[np.signedinteger[Any]]
    dtype: str  # as in the file
    encoded: bool  # whether the file holds numbers, which were rounded to patterns

    @property
    def reading(self) -> str:
        """What the file's elements were taken to be."""
        return f"{self.dtype} numbers, encoded" if self.encoded else f"{self.dtype} patterns"


@dataclass(frozen=True, slots=True)
class Product:
    """An inner product: accumulated exactly, rounded once; ``exact`` is None for NaR."""

    spec: PositSpec
    layout: quire.Layout
    operands: tuple[Operand, Operand]
    pattern: int
    exact: Fraction | None  # what the quire held before rounding
    inexact: bool  # whether the layout dropped bits of a product
    float64: float  # the same patterns' product in float64 arithmetic
    cancelled: float | None  # log2(Σ|t|/|Σt|) bits; inf where all cancel; None without any term


def load(path: Path, spec: PositSpec) -> Operand:
    """Read a .npy file: integers of the storage dtype are patterns, floats are encoded.

    Raises BadInput for a file that cannot be read, is not in .npy format or holds pickled objects
    (which are never loaded), for any other dtype, and for a pattern out of range.
    """
    array = _read(path)
    name = array.dtype.name
    if array.dtype.kind == "f":
        return Operand(path, np.asarray(posit.encode(array, spec)), name, encoded=True)
    if array.dtype != spec.storage.newbyteorder(array.dtype.byteorder):
        raise BadInput(
            f"{path}: {name} is neither {spec.storage.name}, the patterns of {spec.name}, nor a"
            " float to encode"
        )
    native = array.astype(spec.storage, copy=False)
    try:
        posit.neg(native, spec)
    except ValueError as error:
        raise BadInput(f"{path}: {str(error).removeprefix('a: ')}") from None
    return Operand(path, native, name, encoded=False)


def _read(path: Path) -> npt.NDArray[Any]:
    try:
        with path.open("rb") as file:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from None
    except MemoryError:
        raise BadInput(f"{path}: the array does not fit in memory") from None
    except (ValueError, SyntaxError, TokenError) as error:  # NumPy parses the header as Python
        raise BadInput(f"{path}: no array in .npy format can be read: {error}") from None


def multiply(a: Operand, b: Operand, spec: PositSpec, layout: str) -> Product:
    """Σ a·b over all elements; BadInput unless the shapes agree and the layout is of ``spec``."""
    if a.patterns.shape != b.patterns.shape:
        raise BadInput(
            f"shapes differ: {a.path} is {a.patterns.shape}, {b.path} is {b.patterns.shape}"
        )
    try:
        total, size = quire.Quire(spec, layout), quire.Quire(spec, layout)
    except ValueError as error:
        raise BadInput(f"--layout {layout}: {error}") from None
    x, y = a.patterns.ravel(), b.patterns.ravel()
    accumulate_dot(total, x, y)
    accumulate_dot(size, posit.abs(x, spec), posit.abs(y, spec))
    with np.errstate(all="ignore"):
        float64 = float(np.dot(posit.decode(x, spec), posit.decode(y, spec)))
    return Product(
        spec=spec,
        layout=total.layout,
        operands=(a, b),
        pattern=int(total.round()),
        exact=total.value,
        inexact=total.inexact,
        float64=float64,
        cancelled=_cancelled(total.value, size.value),
    )


def _cancelled(total: Fraction | None, size: Fraction | None) -> float | None:
    if total is None or not size:
        return None
    if total == 0:
        return float("inf")
    ratio = size / abs(total)
    return log2(ratio.numerator) - log2(ratio.denominator)


def summary(p: Product) -> dict[str, Any]:
    """The product for ``--json``: exact numbers are strings, p/q in full, or NaR."""
    a, b = p.operands
    return {
        "format": p.spec.name,
        "n": p.spec.n,
        "rs": p.spec.rs,
        "es": p.spec.es,
        "layout_bits": p.layout.width,
        "shape": list(a.patterns.shape),
        "a": {"path": str(a.path), "dtype": a.dtype, "encoded": a.encoded},
        "b": {"path": str(b.path), "dtype": b.dtype, "encoded": b.encoded},
        "pattern": numerals.hexadecimal(p.pattern, p.spec),
        "signed": p.pattern,
        "decimal": posit.to_string(p.pattern, p.spec),
        "value": _json_fraction(posit.to_fraction(p.pattern, p.spec)),
        "exact_sum": _json_fraction(p.exact),
        "inexact": p.inexact,
        "float64": p.float64 if isfinite(p.float64) else str(p.float64),
        "cancelled_bits": "total" if p.cancelled == float("inf") else p.cancelled,
    }


def _json_fraction(value: Fraction | None) -> str:
    return "NaR" if value is None else numerals.fraction(value)


def report(p: Product) -> RenderableType:
    """The product for people."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style=QUIET, no_wrap=True)
    table.add_column(overflow="fold")
    for name, operand in zip("AB", p.operands, strict=True):
        table.add_row(name, f"{operand.path}: {_described(operand, p.spec)}")
    table.add_row("format", f"{p.spec.name} {p.spec}, quire of {p.layout.width} bits")
    table.add_row()
    shortest, bits = posit.to_string(p.pattern, p.spec), numerals.hexadecimal(p.pattern, p.spec)
    table.add_row("quire", Text.assemble((shortest, "bold green"), f"  {bits}"))
    value = posit.to_fraction(p.pattern, p.spec)
    if value is not None and p.exact is not None:
        table.add_row("", f"exactly {_long(value)}")
        table.add_row("", f"rounded once from {_long(p.exact)}")
    if p.inexact:
        table.add_row("", Text("the layout dropped bits of some products", "bold red"))
    table.add_row("float64", f"{p.float64!r}{_apart(p)}")
    table.add_row("cancelled", _loss(p))
    return table


def _described(operand: Operand, spec: PositSpec) -> str:
    nars = int(np.count_nonzero(operand.patterns == spec.nar))
    found = f", {nars} NaR" if nars else ""
    return f"{operand.reading}, shape {operand.patterns.shape}{found}"


def _long(value: Fraction) -> str:
    forms = dict.fromkeys([numerals.decimal(value), numerals.dyadic(value)])
    text = " = ".join(forms)
    if len(text) <= _LONG:
        return text
    return f"{numerals.decimal(value)} ({value.numerator.bit_length()} bits: --json has them all)"


def _apart(p: Product) -> str:
    """How far float64 is from the exact sum."""
    if p.exact is None or not isfinite(p.float64):
        return ""
    error = abs(Fraction(p.float64) - p.exact)
    if not error:
        return "  (exact)"
    if not p.exact:
        return f"  (wrong by {numerals.rough(error)})"
    return f"  (relative error {numerals.rough(error / abs(p.exact))})"


def _loss(p: Product) -> str:
    if p.cancelled is None:
        return "-"
    if p.cancelled == float("inf"):
        return "total: the quire holds 0"
    return f"{p.cancelled:.1f} bits = log2(Σ|ab| / |Σab|)"
