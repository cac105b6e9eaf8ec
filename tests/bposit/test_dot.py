"""`bposit dot`: exact sums of files, and the files and arrays that it refuses."""

import json
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import posit
from posit import PositSpec, bposit16, reference

from .running import bad, entry, good, run

Save = Callable[[str, Any], str]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(name: str, array: Any) -> str:
        path = tmp_path / f"{name}.npy"
        np.save(path, array, allow_pickle=True)
        return str(path)

    return write


def test_dot_of_patterns_and_of_numbers(save: Save) -> None:
    rng = np.random.default_rng(2)
    a = posit.encode(rng.standard_normal(300), bposit16)
    numbers = rng.standard_normal(300).astype(np.float32)
    b = posit.encode(numbers, bposit16)
    terms = [
        (posit.to_fraction(x, bposit16) or Fraction(0)) * (posit.to_fraction(y, bposit16) or 0)
        for x, y in zip(a, b, strict=True)
    ]
    found = json.loads(good("dot", save("a", a), save("b", numbers), "--json"))
    assert Fraction(found["exact_sum"]) == sum(terms)
    assert found["signed"] == reference.encode(sum(terms, Fraction(0)), bposit16)
    assert int(found["pattern"], 16) == found["signed"] & 0xFFFF
    assert Fraction(found["value"]) == reference.decode(found["signed"], bposit16)
    assert reference.from_string(found["decimal"], bposit16) == found["signed"]
    assert found["float64"] == pytest.approx(float(sum(terms)))
    ratio = sum(map(abs, terms)) / abs(sum(terms))
    assert found["cancelled_bits"] == pytest.approx(log2(ratio))
    assert (found["a"]["encoded"], found["b"]["encoded"]) == (False, True)
    assert (found["layout_bits"], found["inexact"]) == (808, False)
    text = good("dot", save("a", a), save("b", numbers), columns=200)
    assert entry(text, "A").endswith("int16 patterns, shape (300,)")
    assert entry(text, "B").endswith("float32 numbers, encoded, shape (300,)")
    assert entry(text, "quire").split() == [found["decimal"], found["pattern"]]


def test_dot_sums_over_all_axes_and_any_byte_order(save: Save) -> None:
    a = np.array([[0x4000, 0x4100], [0x4180, 0x4000]], ">i2")
    found = json.loads(good("dot", save("a", a), save("a", a), "--json"))
    assert (found["value"], found["exact_sum"], found["shape"]) == ("15", "15", [2, 2])
    scalar = save("s", np.float64(3))
    assert json.loads(good("dot", scalar, scalar, "--json"))["value"] == "9"


def test_dot_tells_a_total_cancellation_from_no_terms(save: Save) -> None:
    a, b = save("a", np.array([1e30, 1e30])), save("b", np.array([1.0, -1.0]))
    assert json.loads(good("dot", a, b, "--json"))["cancelled_bits"] == "total"
    assert entry(good("dot", a, b), "cancelled") == "total: the quire holds 0"
    empty = save("empty", np.zeros(0))
    found = json.loads(good("dot", empty, empty, "--json"))
    assert (found["value"], found["cancelled_bits"]) == ("0", None)


def test_dot_finds_what_float64_loses(save: Save) -> None:
    a, b = save("a", np.array([1e20, 1.0, -1e20])), save("b", np.ones(3))
    text = good("dot", a, b, "--format", "bposit64", columns=200)
    assert entry(text, "quire") == "1  0x4000000000000000"
    assert entry(text, "float64").split()[0] in {"0.0", "1.0"}  # the BLAS chooses the order
    assert entry(text, "cancelled").startswith("67.4 bits")


def test_dot_by_layout_on_the_witness(save: Save) -> None:
    a, b = save("a", np.array([2, 1], np.int16)), save("b", np.array([2, -3], np.int16))
    exact = json.loads(good("dot", a, b, "--json"))
    assert (exact["signed"], exact["exact_sum"]) == (1, f"1/{1 << 392}")
    paper = json.loads(good("dot", a, b, "--json", "--layout", "paper800"))
    assert (paper["signed"], paper["inexact"], paper["layout_bits"]) == (0, True, 800)
    assert "dropped bits" in good("dot", a, b, "--layout", "paper800")
    ones = save("ones", np.ones(2))
    standard = json.loads(
        good("dot", ones, ones, "--json", "--layout", "standard", "--format", "posit32")
    )
    assert (standard["value"], standard["layout_bits"]) == ("2", 512)


def test_dot_never_loses_nar(save: Save) -> None:
    a = save("a", np.array([1.0, np.nan, np.inf]))
    found = json.loads(good("dot", a, a, "--json"))
    assert (found["decimal"], found["exact_sum"], found["float64"]) == ("NaR", "NaR", "nan")
    text = good("dot", a, a, columns=200)
    assert entry(text, "quire") == "NaR  0x8000"
    assert entry(text, "A").endswith(", 2 NaR")


def test_dot_of_a_format_with_an_enormous_quire(save: Save) -> None:
    spec = PositSpec(64, 16, 8)
    a = save("a", np.array([1, spec.maxpos_pattern], spec.storage))
    found = json.loads(good("dot", a, a, "--json", "--format", "64,16,8"))
    top, bottom = (int(Decimal(part)) for part in found["exact_sum"].split("/"))  # no digit limit
    assert Fraction(top, bottom) == spec.minpos**2 + spec.maxpos**2


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.arange(3), "int64 is neither int16, the patterns of bposit16, nor a float"),
        (np.arange(3, dtype=np.uint16), "uint16 is neither int16"),
        (np.arange(3, dtype=np.int8), "int8 is neither int16"),
        (np.ones(3, bool), "bool is neither int16"),
        (np.ones(3, complex), "complex128 is neither int16"),
        (np.array(["1", "2", "3"]), "is neither int16"),
        (np.zeros(3, [("a", "i2")]), "is neither int16"),
        (np.array([1, None, "x"], object), "Object arrays cannot be loaded"),
        (np.ones(4), "shapes differ"),
        (np.ones((3, 1)), "shapes differ"),
    ],
)
def test_arrays_that_dot_refuses(array: Any, says: str, save: Save) -> None:
    path = save("bad", array)
    message = bad("dot", path, save("ones", np.ones(3)))
    assert says in message
    assert path in message


def test_dot_refuses_patterns_out_of_range(save: Save) -> None:
    path = save("a", np.array([0, 2048], np.int16))
    assert "2048 is not a pattern of <12,6,5>" in bad("dot", path, path, "--format", "12,6,5")


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"\x93NUMPY", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f8', ", b"PK\x03\x04" * 9],
)
def test_files_that_dot_refuses(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    assert f"{path}: no array in .npy format" in bad("dot", str(path), str(path))


def test_damaged_files_never_give_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.ones((2, 3)))
    whole = path.read_bytes()
    for place in range(10, 80):
        for byte in b"({'9>,\x00":
            path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
            result = run("dot", str(path), str(path), "--json")
            assert result.exit_code in {0, 2}, result.exception
    path.write_bytes(whole[:-1])
    assert f"{path}: no array" in bad("dot", str(path), str(path))
    path.write_bytes(
        whole.replace(b"(2, 3)", b"(2, 3" + b"0" * 12 + b")").replace(b" " * 12, b"", 1)
    )
    assert str(path) in bad("dot", str(path), str(path))


def test_paths_that_dot_refuses(tmp_path: Path, save: Save) -> None:
    ones = save("ones", np.ones(3))
    assert f"{tmp_path}: Is a directory" in bad("dot", ones, str(tmp_path))
    assert "missing.npy: No such file" in bad("dot", str(tmp_path / "missing.npy"), ones)


def test_layouts_that_dot_refuses(save: Save) -> None:
    ones = save("ones", np.ones(3))
    assert "paper800 is the layout of <n,6,5>" in bad(
        "dot", ones, ones, "--layout", "paper800", "--format", "bposit8"
    )
    assert "Posit Standard's formats" in bad("dot", ones, ones, "--layout", "standard")
    assert "'exact', 'paper800', 'standard'" in bad("dot", ones, ones, "--layout", "x")
