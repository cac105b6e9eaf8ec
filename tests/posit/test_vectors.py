"""Every line of tests/vectors, through every backend, and the quire for the dot products."""

from __future__ import annotations

import csv
import re
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import posit
import quire
from posit import PositSpec, reference

from .. import checks
from ..backends import BACKENDS, CORE, Backend

FOLDER = Path(__file__).parents[1] / "vectors"
FORMATS = [
    "n8_rs3_es2", "n13_rs6_es5", "n16_rs6_es5", "n16_rs15_es2", "n20_rs6_es5", "n32_rs6_es5",
    "n32_rs31_es2", "n64_rs6_es5",
]  # fmt: skip
OPERATIONS = ["add", "sub", "mul", "div", "sqrt", "fma"]

formats = pytest.mark.parametrize("name", FORMATS)
backends = pytest.mark.parametrize("backend", BACKENDS, ids=str)


@cache
def rows(name: str, op: str) -> tuple[PositSpec, list[list[str]]]:
    """The format that the header names, and the lines below the column names."""
    with (FOLDER / f"{name}_{op}.csv").open(newline="") as file:
        header = file.readline()
        match = re.match(r"# format (<[\d,]+>) op (\w+) seed \d+;", header)
        assert match, header
        assert match[2] == op
        return PositSpec.parse(match[1]), list(csv.reader(file))[1:]


def signed(text: str, spec: PositSpec) -> int:
    """A hexadecimal unsigned pattern as a signed one."""
    unsigned = int(text, 16)
    return unsigned - (1 << spec.n) if unsigned > spec.maxpos_pattern else unsigned


def bits(texts: list[str], spec: PositSpec) -> npt.NDArray[np.signedinteger]:
    return np.array([signed(t, spec) for t in texts], spec.storage)


def test_all_files_are_used() -> None:
    ops = ["decode", "encode", "dot", *OPERATIONS]
    assert {p.name for p in FOLDER.glob("*.csv")} == {f"{f}_{o}.csv" for f in FORMATS for o in ops}
    assert all(len(rows(f, o)[1]) >= 49 for f in FORMATS for o in ops)


@formats
@pytest.mark.parametrize("op", OPERATIONS)
@backends
def test_arithmetic(backend: Backend, op: str, name: str) -> None:
    spec, lines = rows(name, op)
    *operands, want = (bits(list(column), spec) for column in zip(*lines, strict=True))
    checks.same(getattr(backend, op)(*operands, spec), want, spec, op, *operands)


@formats
def test_decode(name: str) -> None:
    spec, lines = rows(name, "decode")
    patterns = bits([p for p, _ in lines], spec)
    for p, (_, text) in zip(patterns, lines, strict=True):
        value = None if text == "NaR" else Fraction(text)
        assert posit.to_fraction(p, spec) == value
        assert reference.decode(int(p), spec) == value
    checks.decoding(CORE, spec, patterns)


@formats
def test_encode(name: str) -> None:
    spec, lines = rows(name, "encode")
    exact = np.array([Fraction(v) for v, _ in lines], dtype=object)
    want = bits([p for _, p in lines], spec)
    checks.same(posit.encode(exact, spec), want, spec, "encode", exact)
    floats = [i for i, v in enumerate(exact) if Fraction(checks.to_float(v)) == v]
    assert floats
    x = exact[floats].astype(np.float64)
    checks.same(posit.encode(x, spec), want[floats], spec, "encode", x)


@formats
def test_dot(name: str) -> None:
    spec, lines = rows(name, "dot")
    for left, right, result in lines:
        a, b, want = bits(left.split(), spec), bits(right.split(), spec), signed(result, spec)
        assert quire.dot(a, b, spec) == want
        assert quire.matmul(a[np.newaxis], b[:, np.newaxis], spec)[0, 0] == want
        q = quire.Quire(spec)
        for x, y in zip(a, b, strict=True):
            q.fma(x, y)
        assert q.round() == want
