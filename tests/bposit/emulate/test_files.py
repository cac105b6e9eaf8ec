"""Vector files: written, read back in other hands' spelling, judged, and explained."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from bposit.emulate import Aligned, vectors
from bposit.emulate.vectors import OPERATIONS, Task, files, operands, verify
from bposit.emulate.vectors.layouts import LAYOUTS
from bposit.errors import BadInput
from posit import PositSpec, bposit8, bposit16, bposit32


def written(task: Task, **options: Any) -> str:
    file = io.BytesIO()
    vectors.write(file, task, **options)
    return file.getvalue().decode()


def judged(text: str, **options: Any) -> vectors.Report:
    return verify(io.BytesIO(text.encode()), "dut.hex", **options)


def task_of(op: str, spec: PositSpec) -> Task:
    accumulator = Aligned(12, 3) if op == "mac" else None
    return Task(op, spec, bposit8 if op == "convert" else None, accumulator=accumulator)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("op", OPERATIONS)
def test_what_is_written_is_right(op: str, layout: str) -> None:
    for spec in (bposit16, PositSpec(13, 6, 5), bposit32):
        text = written(task_of(op, spec), count=40, layout=layout, seed=3)
        report = judged(text)
        assert (report.count, report.wrong, report.warnings) == (40, 0, [])
        assert report.task == task_of(op, spec)
        rows = [line for line in text.splitlines() if line[0] not in "/#"]
        assert len({len(row) for row in rows[layout == "csv" :]}) == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_describes_itself(layout: str) -> None:
    text = written(Task("fma", bposit16), style="ties", count=30, seed=7, layout=layout)
    mark = "//" if layout == "readmemh" else "#"
    first, *rows, last = text.splitlines(keepends=True)
    header, trailer = (json.loads(line.removeprefix(mark)) for line in (first, last))
    assert {k: header[k] for k in ("op", "format", "style", "seed", "count", "layout")} == {
        "op": "fma", "format": "16,6,5", "style": "ties", "seed": 7, "count": 30, "layout": layout
    }  # fmt: skip
    assert [f["name"] for f in header["fields"]] == ["a", "b", "c", "flags", "result"]
    if layout == "csv":
        assert rows.pop(0) == "a,b,c,flags,result\n"
    assert trailer == {"count": 30, "sha256": hashlib.sha256("".join(rows).encode()).hexdigest()}
    if layout == "readmemh":  # fields lie in the word where the header says
        word = int(rows[0].replace("_", ""), 16)
        found = [word >> f["lsb"] & (1 << f["bits"]) - 1 for f in header["fields"]]
        assert found == [int(x, 16) for x in rows[0].split("_")]


def test_the_same_seed_is_the_same_file() -> None:
    task = Task("add", bposit16)
    assert written(task, seed=5, count=99) == written(task, seed=5, count=99)
    assert written(task, seed=5, count=99) != written(task, seed=6, count=99)


def test_a_longer_file_begins_like_a_shorter_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operands, "_BLOCK", 16)
    long, short = (written(Task("mul", bposit16), style="ties", count=n) for n in (80, 32))
    assert long.splitlines()[1:33] == short.splitlines()[1:33]


@pytest.mark.parametrize("op", ["add", "decode", "quire", "encode"])
def test_stimuli_are_a_file_s_operands(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task(op, bposit16)
    monkeypatch.setattr(operands, "_BLOCK", 16)
    text = written(task, style="corners", count=40, seed=9, layout="jsonl")
    rows = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    found = list(vectors.stimuli(task, "corners", 40, seed=9))
    assert found == [{c.name: int(row[c.name], 16) for c in task.inputs} for row in rows]
    with pytest.raises(BadInput, match="at least 1"):
        next(vectors.stimuli(task, count=0))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_blocks_may_be_cut_anywhere(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = written(Task("quire", bposit16), count=60, layout=layout)
    for chunk in (1, 7, 64, 1000, 5000):
        monkeypatch.setattr(files, "_CHUNK", chunk)
        report = judged(text)
        assert (report.count, report.wrong, report.warnings) == (60, 0, [])


REWRITTEN: dict[str, list[Callable[[str], str]]] = {
    "readmemh": [
        lambda t: t.replace("_", ""), lambda t: t.replace("_", " "), str.upper,
        lambda t: t.replace("\n", "\r\n"), lambda t: t.replace("\n", " // as driven\n"),
        lambda t: "\n\n" + t, lambda t: t.rstrip(),
    ],
    "csv": [
        lambda t: t.replace(",", " , "), lambda t: re.sub(r",0+(?=[0-9a-f])", ",", t),
        lambda t: t + "\n",
        lambda t: "a,b,flags,result\n" + t.upper(),
    ],
    "jsonl": [lambda t: t.replace(":", " : "), lambda t: t.replace('}', ', "time": "90"}')],
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_hands_spelling_is_read(layout: str) -> None:
    """Rows alone, as a bench prints them."""
    text = written(Task("mul", bposit16), count=20, layout=layout)
    rows = "".join(x for x in text.splitlines(True) if not x.startswith(("//", "#", "a,b")))
    asked = {"op": "mul", "format": "bposit16", "layout": layout}
    for rewrite in REWRITTEN[layout]:
        report = judged(rewrite(rows), asked=asked)
        assert (report.count, report.wrong) == (20, 0), rewrite(rows)
    guessed = judged(rows, asked={"op": "mul", "format": "16,6,5"})
    assert guessed.count == 20


def test_wrong_answers_are_counted_and_lines_told() -> None:
    lines = written(Task("add", bposit16), count=50).splitlines()
    for at in (4, 17, 41):
        lines[at] = lines[at][:-4] + f"{int(lines[at][-4:], 16) ^ 1:04x}"
    report = judged("\n".join(lines), explained=2)
    assert (report.count, report.wrong) == (50, 3)
    assert [m.line for m in report.mismatches] == [5, 18]
    (warning,) = report.warnings
    assert "SHA-256" in warning
    text = vectors.text(report)
    assert text.startswith("3 of 50 vectors of add of bposit16 are wrong")
    assert text.endswith("… and 1 more")
    assert vectors.summary(report)["mismatches"][0]["line"] == 5


def test_a_changed_operand_is_judged_anew() -> None:
    """The hash warns; the answer, no longer that of the operands, is the error."""
    lines = written(Task("add", bposit16), style="random", count=5).splitlines()
    lines[2] = f"{int(lines[2][:4], 16) ^ 0x2000:04x}" + lines[2][4:]
    report = judged("\n".join(lines))
    assert report.wrong == 1
    assert report.warnings


def test_flags_count_unless_they_do_not() -> None:
    lines = written(Task("add", bposit16), style="random", count=5).splitlines()
    parts = lines[3].split("_")
    parts[2] = f"{int(parts[2], 16) ^ 8:x}"
    lines[3] = "_".join(parts)
    text = "\n".join(lines)
    assert judged(text).wrong == 1
    assert judged(text).mismatches[0].explanation[1].startswith("flags: expected inexact, got inex")
    assert judged(text, flags=False).wrong == 0


def test_unknown_bits_are_wrong_answers() -> None:
    lines = written(Task("add", bposit16), count=5).splitlines()
    lines[1] = lines[1][:-1] + "x"
    report = judged("\n".join(lines))
    assert report.wrong == 1
    assert report.mismatches[0].actual["result"] is None
    assert "not driven" in report.mismatches[0].explanation[-1]
    lines[1] = "Z" + lines[1][1:-1] + "0"
    with pytest.raises(BadInput, match=r"dut\.hex:2: a is no operand"):
        judged("\n".join(lines))


GOOD = '// {"op": "add", "format": "16,6,5"}\n4000_4000_0_4100\n'


@pytest.mark.parametrize(("text", "said"), [
    ("", "no header"), ("4000_4000_0_4100\n", "no header"),
    ('// {"op": "add", "format": "16,6,5"}\n', "no vectors"),
    (GOOD + "4000_4000_0\n", "dut.hex:3: '4000_4000_0' has 3 fields, but there are 4"),
    (GOOD + "4000_4000_0_41g0\n", "result is '41g0', not hexadecimal"),
    (GOOD + "4000_4000_0_14100\n", "result has 5 digits, but 16 bits are 4"),
    (GOOD + "@10\n", "1 fields"), (GOOD.replace("add", "cube"), "unknown operation 'cube'"),
    (GOOD.replace("16,6,5", "16,6"), "unknown format '16,6'"),
    (GOOD.replace('"16,6,5"', "16"), "expected a format"),
    (GOOD.replace("}", ', "layout": "xml"}'), "layout 'xml'"),
    (GOOD.replace("}", ', "count": 2}'), "promises 2 vectors, but it has 1"),
    (GOOD.replace("}", ', "terms": "four"}'), "terms is 'four'"),
    (GOOD.replace("}", ', "terms": true}'), "terms is True"),
    (GOOD.replace("}", ', "count": "1"}'), "count is '1'"),
    (GOOD.replace("}", ","), "has a header that is no JSON object"),
    (GOOD.replace("}", ', "x": "' + 70000 * "x" + '"}'), "has a header that is no JSON object"),
    (GOOD.replace("}", ', "form": "ones"}'), "form 'ones'"),
    (GOOD.replace("16,6,5", "13,6,5"), "dut.hex:2: a is no operand of 13 bits"),
    ('# {"op": "abs", "format": "8,3,2", "layout": "jsonl"}\n{"a": 3}\n', "texts a, flags, result"),
    ('# {"op": "abs", "format": "8,3,2", "layout": "jsonl"}\n{"a\n', "not JSON"),
    ('# {"op": "abs", "format": "8,3,2", "layout": "csv"}\n1;2;3\n', "1 fields"),
])  # fmt: skip
def test_malformed_files_are_refused(text: str, said: str) -> None:
    with pytest.raises(BadInput) as error:
        judged(text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_line_ends_of_windows_are_line_ends(layout: str) -> None:
    """And rows are read as fast, and have the same hash."""
    text = written(Task("add", bposit16), count=20, layout=layout).replace("\n", "\r\n")
    report = judged(text)
    assert (report.count, report.wrong, report.warnings) == (20, 0, [])


def test_a_byte_order_mark_is_nothing() -> None:
    """Editors on Windows put one there."""
    assert judged("\ufeff" + GOOD).count == 1
    asked = {"op": "add", "format": "16,6,5"}
    assert judged("\ufeff" + GOOD.partition("\n")[2], asked=asked).count == 1


def test_what_was_asked_must_be_what_is_there() -> None:
    assert judged(GOOD, asked={"op": "add", "format": "n16_rs6_es5"}).wrong == 0
    for asked, said in [({"op": "mul"}, "op add, not mul"), ({"format": "posit16"}, "16,6,5"),
                        ({"format": "what"}, "unknown format")]:  # fmt: skip
        with pytest.raises(BadInput, match=said):
            judged(GOOD, asked=asked)


def test_missing_vectors_beside_wrong_ones_are_a_warning() -> None:
    text = GOOD.replace("}", ', "count": 2}').replace("4100\n", "4101\n")
    report = judged(text)
    assert report.wrong == 1
    assert "promises 2" in report.warnings[0]


@pytest.mark.parametrize(("options", "said"), [
    ({"count": 0}, "at least 1"), ({"seed": -1}, "seed -1"), ({"layout": "hex"}, "layout 'hex'"),
    ({"style": "exhaustive"}, r"2\^32"),
])  # fmt: skip
def test_impossible_files_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        written(Task("add", bposit16), **options)
    with pytest.raises(BadInput, match="is 65536 vectors, not 9"):
        written(Task("add", bposit8), style="exhaustive", count=9)
