"""NumPy functions in every format beside 1024 bits."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from bposit.audit import expression, load_schema
from bposit.errors import BadInput


def rows(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["format"]: row for row in report["layers"][0]["rows"]}


def test_a_sum_by_hand() -> None:
    # 256 + 1 + 1 in bfloat16, one after the other, is 256; in bposit16 the sum is exact
    def total(x: Any) -> Any:
        return x[0] + x[1] + x[2], x.sum()

    found = rows(expression(lambda x: total(x)[0], [256.0, 1.0, 1.0], formats="bfloat16,bposit32"))
    assert found["bfloat16"]["sqnr"] == pytest.approx(20 * np.log10(258 / 2), rel=1e-8)
    assert found["bfloat16"]["relative_max"] == pytest.approx(2 / 258, rel=1e-8)
    assert found["bposit32"]["exact"]
    found = rows(expression(lambda x: total(x)[1], [512.0, 1.0, 1.0], formats="bposit16"))
    assert found["bposit16"]["exact"]


def test_the_reference_keeps_what_float64_loses() -> None:
    found = rows(
        expression(lambda x: x[0] + x[1] + x[2], [1e300, 1.0, -1e300], formats="bfloat16,bposit32")
    )
    assert found["bfloat16"]["failed"]  # 1e300 overflows
    assert found["bposit32"]["sqnr"] == 0.0  # 0, or all of the signal, is lost
    found = rows(expression(lambda x: x.sum(), [1e15, 1.0, -1e15], formats="bposit32,float32"))
    assert found["bposit32"]["exact"]
    assert found["float32"]["sqnr"] is not None


def test_functions_and_products() -> None:
    x = np.random.default_rng(1).normal(size=20)
    made = expression(lambda a: np.sqrt(np.exp(a)) * a / 3 - 1, x, formats="bposit32,float16")
    found = rows(made)
    assert found["bposit32"]["sqnr"] > 140
    assert 50 < found["float16"]["sqnr"] < 80
    assert made["layers"][0]["narrowest"] == "float16"
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator(load_schema()).validate(made)
    matrix = np.random.default_rng(2).normal(size=(4, 4))
    assert rows(expression(lambda a: a @ a, matrix, formats="bposit16"))["bposit16"]["ulps"] < 20000


def test_what_has_no_arithmetic() -> None:
    with pytest.raises(BadInput):
        expression(lambda x: x, [1.0], formats="mxfp8")
    with pytest.raises(BadInput):
        expression(lambda x: x[:0], [1.0], formats="bposit16")
    with pytest.raises(ZeroDivisionError):
        expression(lambda x: x + 1 // 0, [1.0])


@pytest.mark.parametrize("name", ["bfloat16", "bposit16", "float32"])
def test_what_leaves_the_format_is_refused(name: str) -> None:
    x = [2.0, 3.0, 5.0]
    for function in (lambda a: a * np.asarray(2.2, a.dtype), lambda a: a.argmax()):
        expression(function, x, formats=name)
    with pytest.raises(BadInput, match=f"{name}: the result is float"):
        expression(lambda a: a if a.dtype == object else a.astype(np.float64), x, formats=name)


def test_digits_beyond_float64_count() -> None:
    """1 - 2^-60 is no bposit64: 1 is nearest, which is not exact; 1 - 2^-55 is one."""
    one, tiny = np.array([1.0]), np.array([2.0**-60, 2.0**-55])
    row = expression(lambda a, b: a - b, one, tiny, formats="bposit64")["layers"][0]["rows"][0]
    assert not row["exact"]
    exact = sum((Fraction(1) - Fraction(t)) ** 2 for t in tiny.tolist())
    noise = Fraction(2) ** -120
    assert row["sqnr"] == pytest.approx(10 * math.log10(exact / noise))
    alone = expression(lambda a, b: a - b, one, tiny[1:], formats="bposit64")["layers"][0]["rows"]
    assert alone[0]["exact"]
