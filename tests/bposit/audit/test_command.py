"""`bposit audit` as one runs it: reports, exit codes, hostile names, interruption."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from bposit.audit import load_schema, report, text

from ..running import bad, good, run
from .files import npy, npz, safetensors

HOSTILE = [
    "<b>x</b>",
    "[/b]",
    "[bold red]y",
    "a\nb\x1b[31m",
    "]]>&\"'",
    "a|b`c`",
    "\ud800",
    "x" * 300,
    "",
]


_SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from bposit.audit import command, loaders, source

def slow():
    print("waiting", flush=True)
    time.sleep(60)

def load(path, limit):
    made = loaders.load(path, limit)
    made.tensors.append(source.Tensor("slow", "float32", (3,), slow))
    return made

command.load = load
from bposit.cli import main
sys.argv[1:1] = ["audit"]
main()
"""


def validate(made: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator(load_schema()).validate(made)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    return safetensors(
        tmp_path / "w.safetensors",
        {"a": rng.normal(size=(40, 30)).astype(np.float32), "b": np.full(9, 1e6, np.float32),
         "i": np.arange(3, dtype=np.int32)},
    )  # fmt: skip


def test_json_follows_the_schema(weights: Path) -> None:
    made = json.loads(good("audit", str(weights), "--json", "--best", "12"))
    validate(made)
    assert made["complete"]
    assert [t["name"] for t in made["tensors"]] == ["a", "b"]
    assert made["skipped"] == [
        {"file": 0, "name": "i", "why": "int32 is no floating type that is audited"}
    ]
    assert made["inputs"][0]["bytes"] == weights.stat().st_size
    assert [len(t["best"]) for t in made["tensors"]] == [3, 3]
    assert {r["format"]: r["infinite"] for r in made["tensors"][1]["rows"]}["float16"] == 9


def test_nine_digits_are_printed(weights: Path) -> None:
    found: list[str] = []
    json.loads(good("audit", str(weights), "--json"), parse_float=found.append)
    assert max(len(x.partition("e")[0].strip("-0").replace(".", "").strip("0")) for x in found) == 9


def test_the_schema_refuses_what_is_wrong(weights: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    for change in ({"schema_version": 2}, {"kind": "x"}, {"more": 1}, {"tensors": [{}]}):
        made = json.loads(good("audit", str(weights), "--json"))
        made.update(change)
        with pytest.raises(jsonschema.ValidationError):
            validate(made)


def test_the_same_bytes_for_any_threads_and_place(weights: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / weights.name).write_bytes(weights.read_bytes())
    texts = {
        good("audit", str(path), "--json", "--threads", threads)
        for path in (weights, other / weights.name)
        for threads in ("1", "2", "3")
    }
    assert len(texts) == 1
    found = texts.pop()
    assert str(tmp_path) not in found
    assert os.uname().nodename not in found


def test_exit_codes(weights: Path) -> None:
    for gate, code in (("sqnr[bposit16] < 20", 0), ("sqnr < 20", 1), ("infinite > 0", 1)):
        assert run("audit", str(weights), "--fail-if", gate).exit_code == code
    for args in (
        ["--fail-if", "cumulative_sqnr < 3"], ["--fail-if", "sqnr["], ["--formats", "float7"],
        ["--fail-if", "sqnr[posit8] < 3"], ["--layers", "("], ["--layers", "nothing"],
        ["--accumulate", "quire"], ["--sample", "9"], ["--best", "99"], ["--json", "--junit"],
        ["--baseline", "none.json"], ["--bound", "nan"], ["--max-bytes", "-1"],
        ["--fail-if", "sqnr_change < 0"], ["--threads", "0"],
    ):  # fmt: skip
        bad("audit", str(weights), *args)
    bad("audit")
    bad("audit", "missing.npy")
    bad("audit", str(weights), "missing.npy")


def test_the_gate_is_read_before_any_work(tmp_path: Path) -> None:
    assert "--fail-if" in bad("audit", "missing.npy", "--fail-if", "sqnr <")


def test_out_writes_all_or_says_why(weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    good("audit", str(weights), "--out", str(out), "--formats", "bposit16")
    assert {"report.json", "report.md", "junit.xml"} <= {p.name for p in out.iterdir()}
    assert not [p for p in out.iterdir() if p.name.startswith(".")]
    assert (out / "report.json").read_text() == good(
        "audit", str(weights), "--json", "--formats", "bposit16"
    )
    (tmp_path / "file").write_text("")
    bad("audit", str(weights), "--out", str(tmp_path / "file"))


def test_a_folder_that_cannot_be_is_told_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "in"):
        assert str(folder) in bad("audit", "missing.npy", "--out", str(folder))
    bad("audit", "missing.npy", "--out", str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_hostile_names_are_shown_not_obeyed(tmp_path: Path) -> None:
    x = np.linspace(1, 2, 7, dtype=np.float32)
    path = safetensors(tmp_path / "w.safetensors", dict.fromkeys(HOSTILE, x))
    common = ("audit", str(path), "--formats", "bposit16")
    assert "[/b]" in good(*common)
    assert "\x1b[31m" not in run(*common, columns=200).stdout
    made = json.loads(good(*common, "--json"))
    assert [t["name"] for t in made["tensors"]] == HOSTILE
    table = good(*common, "--markdown")
    assert "<b>" not in table
    assert sum(line.startswith("| ") for line in table.splitlines()) == 2 + len(HOSTILE) + 1
    cases = ElementTree.fromstring(good(*common, "--junit"))
    assert [c.get("classname") for c in cases][:2] == HOSTILE[:2]
    fired = ElementTree.fromstring(run(*common, "--junit", "--fail-if", "sqnr > 0").stdout)
    assert fired.get("failures") == str(len(HOSTILE))


def test_the_summary_by_hand(tmp_path: Path) -> None:
    # three tensors: exact in bfloat16, an error of 1/257 (48.2 dB), one that overflows float16
    arrays = {"a": np.ones(4), "b": np.full(3, 257 / 256), "c": np.full(2, 1e6)}
    path = safetensors(tmp_path / "w.safetensors", arrays)
    made = json.loads(good("audit", str(path), "--formats", "bfloat16,float16,mxfp4", "--json",
                           "--bound", "48"))  # fmt: skip
    validate(made)
    brain, half, four = made["summary"]
    assert (brain["rows"], brain["reached"], brain["bytes"], brain["narrowest"]) == (3, 3, 18, 1)
    assert (brain["worst"], brain["median_exact"]) == ("b", False)
    assert brain["worst_sqnr"] == pytest.approx(20 * np.log10(257), rel=1e-8)
    assert (half["worst"], half["worst_failed"], half["infinite"]) == ("c", True, 2)
    assert (half["median_exact"], half["reached"], half["narrowest"]) == (True, 2, 0)
    assert (four["reached"], four["narrowest"]) == (2, 2)  # 1 + 1/256 becomes 1 there too
    safetensors(path, {"a": np.full(1, 257 / 256), "b": np.full(1, 1e6)})
    (brain,) = json.loads(good("audit", str(path), "--formats", "bfloat16", "--json"))["summary"]
    assert brain["median_sqnr"] == brain["worst_sqnr"]  # the lower of two
    assert "48.2" in good("audit", str(path), "--formats", "bfloat16", columns=200)


def test_worst_first(weights: Path) -> None:
    made = json.loads(good("audit", str(weights), "--json"))
    found = [report.value(row, "sqnr") for _, row in text.worst_first(made)]
    assert found[0] != found[0]  # float16 overflowed
    numbers = [x for x in found[1:] if x is not None]
    assert numbers == sorted(numbers)


def test_a_baseline_shows_what_changed(tmp_path: Path) -> None:
    x = np.linspace(1, 2, 100)
    for name, change in (("old", 0.0), ("new", 1.0)):
        npz(tmp_path / f"{name}.npz", {"a.npy": npy(x * (1 + change / 7)), "b.npy": npy(x),
                                       f"{name}.npy": npy(x)})  # fmt: skip
    common = ("--formats", "bposit16,bposit32", "--json")
    old = tmp_path / "old.json"
    old.write_text(good("audit", str(tmp_path / "old.npz"), *common))
    made = json.loads(good("audit", str(tmp_path / "new.npz"), *common, "--baseline", str(old)))
    validate(made)
    base = made["baseline"]
    assert {c["name"] for c in base["changed"]} == {"a"}
    assert (base["new"], base["gone"]) == (2, 2)
    gate = ("--baseline", str(old), "--fail-if", "sqnr_change < -100 or sqnr_change > 100")
    assert run("audit", str(tmp_path / "new.npz"), *common, *gate).exit_code == 0
    gate = ("--baseline", str(old), "--fail-if", "sqnr_change != 0")
    assert run("audit", str(tmp_path / "new.npz"), *common, *gate).exit_code == 1
    for wrong in ("", "[]", "{}", '{"schema_version": 99}', "[" * 99999,
                  '{"schema_version": 1, "tensors": [{"name": 3, "rows": 4}]}'):  # fmt: skip
        old.write_text(wrong)
        bad("audit", str(tmp_path / "new.npz"), "--baseline", str(old))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_a_partial_report(tmp_path: Path, how: signal.Signals) -> None:
    """The first tensor is done, the second waits for a slow disk that this test stands for."""
    safetensors(tmp_path / "w.safetensors", {"a": np.ones(3, np.float32)})
    options = [str(tmp_path / "w.safetensors"), "--threads", "1", "--out", str(tmp_path / "out")]
    with subprocess.Popen(
        [sys.executable, "-c", _SLOW, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        time.sleep(0.2)
        process.send_signal(how)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    made = json.loads((tmp_path / "out" / "report.json").read_text())
    validate(made)
    assert not made["complete"]
    assert [t["name"] for t in made["tensors"]] == ["a"]
    assert "not complete" in (tmp_path / "out" / "report.md").read_text()


def test_interrupted_while_loading_it_leaves_an_empty_report(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: Path) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("bposit.audit.loaders.hashed", interrupt)
    result = run("audit", str(weights), "--out", str(tmp_path / "out"))
    assert result.exit_code == 130
    assert "not complete" in result.stdout
    made = json.loads((tmp_path / "out" / "report.json").read_text())
    validate(made)
    assert (made["complete"], made["tensors"]) == (False, [])
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {"report.md", "junit.xml"}


def test_eight_bits_are_judged_raw_and_scaled(weights: Path) -> None:
    made = json.loads(good("audit", str(weights), "--json"))
    assert {"float8_e4m3fn", "float8_e4m3fn@amax"} <= {r["format"] for r in made["summary"]}


def test_tables_say_of_how_many_values(tmp_path: Path) -> None:
    x = np.array([0, 0, 1.1, np.nan, np.inf, -np.inf, 7], np.float32)
    safetensors(tmp_path / "w.safetensors", {"w": x})
    common = ("audit", str(tmp_path / "w.safetensors"), "--formats", "bposit16")
    table = good(*common, "--markdown").splitlines()[-3:]
    told = dict(zip(*([c.strip() for c in table[i].split("|")] for i in (0, 2)), strict=True))
    assert [told[k] for k in ("n", "zeros", "non-finite", "NaR")] == ["7", "2", "3", "3"]
    for columns, shown in ((200, True), (100, True), (80, False)):
        heads = good(*common, columns=columns)
        assert ("non-finite" in heads) == ("zeros" in heads) == shown
        assert "bytes" in heads


def test_importing_the_command_loads_none_of_it() -> None:
    code = "import sys, bposit.cli, bposit.audit; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "posit", "torch", "rich.progress", "ml_dtypes"} & set(found.stdout.split())


@pytest.fixture
def twins(tmp_path: Path) -> list[str]:
    """Two files whose tensors have the same name; only the second overflows float16."""
    one = safetensors(tmp_path / "one.safetensors", {"w": np.array([1.1, 2.3], np.float32)})
    two = safetensors(tmp_path / "two.safetensors", {"w": np.array([1e-3, 3e9], np.float32)})
    return [str(one), str(two)]


def test_a_baseline_of_equal_names(twins: list[str], tmp_path: Path) -> None:
    common = ("audit", *twins, "--formats", "bposit16")
    old = tmp_path / "old.json"
    old.write_text(good(*common, "--json"))
    made = json.loads(good(*common, "--baseline", str(old), "--json"))
    assert {k: made["baseline"][k] for k in ("changed", "new", "gone")} == {
        "changed": [], "new": 0, "gone": 0,
    }  # fmt: skip
    gone = json.loads(good("audit", twins[0], *common[3:], "--baseline", str(old), "--json"))
    assert gone["baseline"]["gone"] == 1


def test_junit_of_equal_names(twins: list[str]) -> None:
    gate = ("--formats", "float16", "--fail-if", "infinite > 0", "--junit")
    suite = ElementTree.fromstring(run("audit", *twins, *gate).stdout)
    assert [case.find("failure") is not None for case in suite] == [False, True]
    assert suite.get("failures") == "1"


@pytest.mark.parametrize(
    "rows", ['[{"format": ["x"]}]', '[{"format": "x", "accumulate": {}}]', '[{"format": 3}]']
)
def test_a_baseline_of_other_types(rows: str, weights: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    for name in ('"w"', '["w"]'):
        held = f'[{{"name": {name}, "rows": {rows}}}], "kind": "tensors"'
        old.write_text(f'{{"schema_version": 1, "layers": [], "tensors": {held}}}')
        assert "no report" in bad("audit", str(weights), "--baseline", str(old))


def test_no_format_is_not_the_default(weights: Path) -> None:
    assert "no format" in bad("audit", str(weights), "--formats", "")
