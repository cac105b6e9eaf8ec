"""--fail-if: its grammar, its limits, and that it fails closed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bposit.audit.gate import Gate, value
from bposit.errors import BadInput


def row(form: str = "bposit16", sqnr: float | None = 50.0, nar: int = 0, **more: Any) -> Any:
    return {"format": form, "sqnr": sqnr, "exact": False, "failed": False, "nar": nar, **more}


GOOD, POOR, SICK = row(), row("bfloat16", 30.0), row("float16", 60.0, nar=3)
FAILED = row("float16", None, failed=True)
EXACT = row("float16", None, exact=True)


@pytest.mark.parametrize(
    ("text", "fired"),
    [
        ("sqnr < 40", ["bfloat16"]), ("sqnr[bposit16] < 40", []), ("nar > 0", ["float16"]),
        ("sqnr<40 or nar>0", ["bfloat16", "float16"]), ("sqnr < 40 and nar > 0", []),
        ("not sqnr < 40", ["bposit16", "float16"]), ("not (sqnr < 40 or nar > 0)", ["bposit16"]),
        ("not not nar == 3", ["float16"]), ("sqnr >= 50 and sqnr <= 50", ["bposit16"]),
        ("sqnr[bposit16] == 5e1", ["bposit16"]), ("sqnr[bfloat16] < 40 or nar > 0",
                                                  ["bfloat16", "float16"]),
        ("sqnr[bposit16] > 40 and sqnr[bfloat16] < 40", ["bposit16", "bfloat16"]),
        ("not sqnr[bposit16] > 60", ["bposit16"]), ("nar != 0 and sqnr > -1.5", ["float16"]),
        ("nar > 0 or sqnr < 40 and nar > 9", ["float16"]), ("sqnr < inf and nar < .5",
                                                           ["bposit16", "bfloat16"]),
        ("sqnr[ <16,6,5> ] < 99", ["bposit16"]), ("absent > 0", []), ("not absent > 0", []),
        ("nar > 0 and absent > 0", []), ("not (nar > 9 and absent > 0)", []),
        ("nar > 0 or absent > 0", ["float16"]),
    ],
)  # fmt: skip
def test_what_fires(text: str, fired: list[str]) -> None:
    group = [GOOD, POOR, SICK]
    gate = Gate.parse(text)
    assert [r["format"] for r in group if gate.fires(r, group)] == fired


@pytest.mark.parametrize("text", ["sqnr < 40", "sqnr > 40", "not sqnr > 40", "not sqnr < 40",
                                  "sqnr < 1 and nar == 0", "nar > 9 or sqnr > 1"])  # fmt: skip
def test_it_fails_closed(text: str) -> None:
    assert Gate.parse(text).fires(FAILED, [FAILED])


def test_what_the_rest_decides_does_not_fire() -> None:
    assert not Gate.parse("sqnr < 40 and nar > 0").fires(FAILED, [FAILED])


def test_exact_is_more_than_any_number() -> None:
    assert value(EXACT, "sqnr") == float("inf")
    assert not Gate.parse("sqnr < 1e308").fires(EXACT, [EXACT])
    assert Gate.parse("sqnr == inf").fires(EXACT, [EXACT])


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "sqnr", "sqnr <", "sqnr < x", "< 4", "sqnr < 4 5", "sqnr < 4 or", "and", "(nar>0",
        "nar > 0)", "sqnr[floaty] < 3", "sqnr[] < 3", "nar => 3", "nar > 1 $", "not", "nar > 0x1",
        "nar > nan", "or > 3", "nar = 3", "(" * 40 + "nar > 0" + ")" * 40, "not " * 40 + "nar > 0",
        "nar > 0 or " * 100 + "nar > 0", "__import__('os')", "sqnr < 1; nar > 0",
    ],
)  # fmt: skip
def test_what_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        Gate.parse(text)
    assert "\n" not in str(caught.value)


def test_thirty_levels_are_read() -> None:
    assert Gate.parse("(" * 30 + "nar > 0" + ")" * 30).fires(SICK, [SICK])


def test_figures_and_formats_are_checked_before_work() -> None:
    gate = Gate.parse("cumulative_sqnr[bposit16] < 40 or nar > 0")
    gate.check({"cumulative_sqnr", "nar"}, ["bposit16"])
    with pytest.raises(BadInput, match="'cumulative_sqnr' is not available here"):
        gate.check({"sqnr", "nar"}, ["bposit16"])
    with pytest.raises(BadInput, match="bposit16 is not among the audited formats"):
        gate.check({"cumulative_sqnr", "nar"}, ["bfloat16"])


@given(st.text(alphabet="sqnra [](){}<>=!.0159eornotd-+16,b\n", max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        gate = Gate.parse(text)
    except BadInput:
        return
    gate.fires(GOOD, [GOOD, POOR])


def test_rows_that_accumulate_differently() -> None:
    group = [row(accumulate="quire"), row("float16", 30.0, accumulate="float32"),
             row("float16", 20.0, accumulate="quire")]  # fmt: skip
    gate = Gate.parse("sqnr[bposit16] < 60 and sqnr[float16] > 25")
    assert [gate.fires(r, group) for r in group] == [False, True, False]
