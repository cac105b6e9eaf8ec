"""`bposit table`: every pattern, and windows."""

import csv
import io
from fractions import Fraction

import pytest

from posit import PositSpec, reference

from .running import good


@pytest.mark.parametrize("name", ["8,3,2", "posit8", "12,6,5", "3,2,8", "6,5,0"])
def test_table_as_csv_holds_every_pattern(name: str) -> None:
    spec = PositSpec.parse(name)
    rows = list(csv.DictReader(io.StringIO(good("table", "--format", name, "--csv"))))
    assert [int(row["pattern"], 16) for row in rows] == list(range(1 << spec.n))
    for i, row in enumerate(rows):
        signed = int(row["signed"])
        assert signed & ((1 << spec.n) - 1) == i
        assert int(row["binary"], 2) == i
        value = reference.decode(signed, spec)
        assert row["exact"] == ("NaR" if value is None else str(value))
        assert reference.from_string(row["shortest"], spec) == signed
        if value:
            size = (1 + Fraction(row["f"])) * Fraction(2) ** (
                int(row["r"]) * 2**spec.es + int(row["e"])
            )
            assert size == abs(value)
            assert (row["sign"] == "1") == (value < 0)
        else:
            assert {row[k] for k in ("sign", "regime", "exponent", "fraction", "r")} == {""}


def test_table_for_people() -> None:
    lines = good("table", "--format", "5,3,1").splitlines()
    assert lines[0].split() == ["pattern", "fields", "exact", "shortest"]
    assert lines[1].split() == ["0x00", "00000", "0", "0"]
    assert lines[4].split() == ["0x03", "0", "001", "1", "1/8", "0.1"]
    assert lines[17].split() == ["0x10", "10000", "NaR", "NaR"]
    assert lines[32].split() == ["0x1F", "1", "000", "1", "-1/32", "-0.03"]
    assert len(lines) == 34  # the last explains the fields of negative patterns


@pytest.mark.parametrize("columns", [50, 120])
def test_table_of_a_window(columns: int) -> None:
    text = good("table", "--format", "bposit64", "--around", "-1", "--count", "5", columns=columns)
    marked = [line for line in text.splitlines() if line.startswith("> ")]
    assert [line.split()[1] for line in marked] == ["0xC000000000000000"]
    found = [int(word, 16) for word in text.split() if word.startswith("0x")]
    assert found == [0xC000000000000000 + d for d in range(-2, 3)]
    assert "1 10 00000 " + "0" * 56 in text


@pytest.mark.parametrize(
    ("around", "expected"),
    [
        ("NaR", [-32768, -32767, -32766]),
        ("1e99", [32765, 32766, 32767]),
        ("0", [-2, -1, 0, 1, 2]),
        ("0x0001", [-1, 0, 1, 2, 3]),
    ],
)
def test_table_window_ends_where_the_format_ends(around: str, expected: list[int]) -> None:
    text = good("table", "--format", "bposit16", "--around", around, "--count", "5", "--csv")
    assert [int(row["signed"]) for row in csv.DictReader(io.StringIO(text))] == expected
