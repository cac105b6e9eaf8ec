"""What NumPy may cast on its own: posits with integers, Python numbers, and their own family."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import posit
from posit import Posit, bposit8, bposit16, bposit32, bposit64, standard

from .dtype_arrays import made

Array = npt.NDArray[Any]
D8, D16, D32, D64 = (posit.dtype(s) for s in (bposit8, bposit16, bposit32, bposit64))

INTEGERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "l", "L", "q", "Q"]
FLOATS = ["e", "f", "d", "g"]
COMPLEX = ["F", "D", "G"]
SAFE, SAME, UNSAFE = "safe", "same_kind", "unsafe"


@pytest.mark.parametrize(
    ("source", "target", "least"),
    [
        *((code, D16, SAME) for code in ["?", *INTEGERS, *FLOATS, ">f8", "U5", "S5", "T"]),
        *((code, D16, UNSAFE) for code in [*COMPLEX, "O"]),
        *((D16, code, UNSAFE) for code in ["?", *INTEGERS, "U", "S", "T"]),
        (D16, "e", SAME), (D16, "f", SAME), (D16, "d", SAFE), (D16, "g", SAFE), (D16, "D", SAFE),
        (D16, "F", SAME), (D32, "d", SAFE), (D64, "d", SAME), (D16, "O", SAFE), (D16, D32, SAFE),
        (D32, D16, SAME), (D8, D16, SAME), (D16, posit.dtype(standard(16)), SAME),
        (D16, type(D16)(bposit16), "no"),
    ],
    ids=str,
)  # fmt: skip
def test_can_cast(source: Any, target: Any, least: str) -> None:
    rules = ["no", "equiv", SAFE, SAME, UNSAFE]
    allowed = [np.can_cast(source, target, rule) for rule in rules]  # type: ignore[arg-type]
    assert allowed == [i >= rules.index(least) for i in range(len(rules))]


def test_casting_is_obeyed() -> None:
    with pytest.raises(TypeError, match="according to the rule 'safe'"):
        np.ones(2, bool).astype(D16, casting="safe")
    with pytest.raises(TypeError, match="according to the rule 'same_kind'"):
        made([1]).astype(int, casting="same_kind")
    whole = np.ones(2, int)
    with pytest.raises(TypeError, match="Cannot cast ufunc 'add' output"):
        whole += made([1, 2])
    with pytest.raises(TypeError, match="rule 'safe'"):  # were it safe, garbage would come out
        np.einsum("i,i", made([1, 2]), made([1, 2]))


@pytest.mark.parametrize("other", ["?", *INTEGERS, ">i4", D16])
def test_integers_and_booleans_keep_the_posit(other: Any) -> None:
    a, x = made([1.5, 2]), np.ones(2, other)
    assert np.promote_types(D16, other) == np.promote_types(other, D16) == D16
    assert np.result_type(a, x) == np.result_type(x[0], D16, 1, 2.5) == D16
    for found in (np.concatenate([a, x]), np.concatenate([x, a])[[2, 3, 0, 1]], np.append(a, x),
                  np.hstack([a, x]), np.r_[a, x]):  # fmt: skip
        assert np.array_equal(found, made([1.5, 2, 1, 1]))
    assert np.array_equal(np.stack([a, x]), made([[1.5, 2], [1, 1]]))
    assert np.array_equal(np.where([True, False], a, x), made([1.5, 1]))


def test_python_numbers_keep_the_posit() -> None:
    a = made([1.5, 2])
    for number in (1, 2.5, True, 10**30):
        assert np.result_type(a, number) == np.result_type(D16, number) == D16
        assert (a + number).dtype == (number * a).dtype == D16
        assert np.array_equal(np.where([True, False], a, number), made([1.5, number]))
    a[0] = 0.1
    assert a[0] == Posit("0.1", bposit16)


def test_formats_widen_within_a_family() -> None:
    narrow, wide = made([1.5]), made([0.1], bposit32)
    assert np.promote_types(D16, D32) == np.result_type(narrow, wide, True, 1.5) == D32
    assert np.array_equal(np.concatenate([narrow, wide]), made([1.5, 0.1], bposit32))
    assert np.array_equal(np.where([False], wide, narrow), narrow.astype(D32))
    for other in (D8, posit.dtype(standard(16)), posit.dtype(16, 6, 4)):
        for mix in (lambda d: np.promote_types(D16, d), lambda d: np.result_type(narrow, d),
                    lambda d: np.concatenate([narrow, np.ones(1, d)]),
                    lambda d: np.where([True], narrow, np.ones(1, d)),
                    lambda d: narrow + np.ones(1, d),
                    lambda d: narrow < np.ones(1, d)):  # fmt: skip
            with pytest.raises(TypeError, match=r"only widening .* implicit; convert one with"):
                mix(other)


MIXES: list[Callable[[Array, Any], Any]] = [
    lambda a, x: a + x, lambda a, x: x * a, lambda a, x: a < x, lambda a, x: a == x,
    lambda a, x: np.concatenate([a, x]), lambda a, x: np.append(x, a),
    lambda a, x: np.where([True, False], a, x), lambda a, x: np.result_type(a, x),
    lambda a, x: np.promote_types(a.dtype, x.dtype), lambda a, x: a + x[0], lambda a, x: a @ x,
    lambda a, x: np.hypot(x, a), lambda a, x: np.maximum(a, x), lambda a, x: np.stack([x, a]),
]  # fmt: skip


@pytest.mark.parametrize("code", [*FLOATS, *COMPLEX, ">f8"])
def test_floats_and_complex_are_told_what_to_write(code: str) -> None:
    a, x = made([1.5, 2]), np.ones(2, code)
    for mix in MIXES:
        with pytest.raises(TypeError, match=r"do not mix implicitly[:;] write x\.astype\(posit"):
            mix(a, x)
    with pytest.raises(TypeError, match="do not mix"):
        a + 1j
    if np.dtype(code).kind == "f":
        assert np.array_equal(a + x.astype(a.dtype), made([2.5, 3]))
        assert np.array_equal(np.concatenate([a, x], dtype=a.dtype), made([1.5, 2, 1, 1]))
        assert np.array_equal(a.astype(float) + x, [2.5, 3])


def test_text_and_times_have_nothing_in_common() -> None:
    for code in ("U", "S", "T", "M8[s]", "m8[s]", "V2"):
        with pytest.raises(np.exceptions.DTypePromotionError):
            np.promote_types(D16, code)
    assert np.promote_types(D16, "O") == np.dtype(object)


class Other:
    """No number, and nothing that NumPy knows."""

    def __repr__(self) -> str:
        return "Other()"


NO_NUMBERS: list[Any] = [
    None, "x", "1.5", b"1.5", Other(), {}, datetime.datetime(2026, 1, 1), np.datetime64("2026"),
    np.timedelta64(1, "s"), np.array(["1.5", "2"]), np.array([None, "x"]),
]  # fmt: skip


@pytest.mark.parametrize("other", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_not_equal(other: Any) -> None:
    """As for arrays of floats."""
    a, x = made([1.5, 2]), np.array([1.5, 2])
    for p, f in ((a == other, x == other), (other == a, other == x)):
        assert np.array_equal(p, f)
        assert not np.any(p)
    assert np.array_equal(a != other, x != other)
    with pytest.raises(TypeError) as caught:
        a < other  # noqa: B015
    assert "do not mix" not in str(caught.value)


def test_objects() -> None:
    """Beside an array of objects posits are objects, each compared exactly."""
    a = made([1.5, 2, 0.1])
    others = np.array([Fraction(3, 2), None, 0.1], object)
    assert (a == others).tolist() == [True, False, False]
    total = a + np.array([1, 2.5, Posit(1, bposit16)], object)
    assert total.dtype == object
    assert total.tolist() == [2.5, 4.5, Posit("1.1", bposit16)]
    assert (a * Fraction(1, 2)).tolist() == (a * 0.5).tolist()
    with pytest.raises(TypeError, match="unsupported operand"):
        a + None
    with pytest.raises(TypeError):
        a += others


@pytest.mark.parametrize("other", [[1.5, 2], np.sqrt(2), 1j, np.float32(1)])
def test_floats_with_a_dtype_are_told_what_to_write(other: Any) -> None:
    a = made([1.5, 2])
    for mix in (lambda: a == other, lambda: a + other, lambda: np.add(a[0], other)):
        with pytest.raises(
            TypeError, match=r"float\(x\) if it is a scalar, np.array\(x, a.dtype\) if"
        ):
            mix()
    with pytest.raises(TypeError, match="do not mix"):  # NumPy makes a float64 array of it first
        np.add.at(a, [0], 1.5)
    np.add.at(a, [0], Posit(1.5, bposit16))
    assert a[0] == 3
