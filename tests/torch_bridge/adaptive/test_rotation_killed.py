"""``kill -9`` at every step of a rotation: what is restarted serves a version, whole and valid."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")

from .killed import STAGES

ROOT = Path(__file__).parents[3]
BEFORE = ["opened", "activated", "activated"]


def deaths(folder: Path, *mutant: str) -> list[dict[str, Any]]:
    program = [sys.executable, "-m", "tests.torch_bridge.adaptive.killed", str(folder), *mutant]
    done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return deaths(tmp_path_factory.mktemp("killed"))


def test_whatever_the_moment_a_valid_version_serves(lives: list[dict[str, Any]]) -> None:
    for life in lives:
        assert life["bits"], life
        assert life["goes on"], life
        assert life["serves"] == life["recorded"], life
        assert life["kept"] == 2, life  # nothing is left behind
        after = {"version 2": (2, 1), "rollback": (0, 1)}[life["what"]]
        assert (life["serves"], life["previous"]) in {(1, 0), after}, life


def test_a_version_serves_once_it_is_recorded(lives: list[dict[str, Any]]) -> None:
    for what, event in (("version 2", "activated"), ("rollback", "rolled back")):
        for life in lives:
            changed = life["what"] == what and life["serves"] != 1
            if changed:
                assert life["events"] == [*BEFORE, event]
            elif life["what"] == what:
                assert life["events"] in (BEFORE, [*BEFORE, "recovered"])
        served = [x["serves"] != 1 for x in lives if x["what"] == what and x["death"].isdigit()]
        assert served == sorted(served)  # never back
        assert {False, True} == set(served)


def test_every_step_was_one_to_die_at(lives: list[dict[str, Any]]) -> None:
    died = [life for life in lives if life["code"] == -signal.SIGKILL]
    assert {x["death"] for x in died if x["what"] == "version 2"} >= set(STAGES)
    assert {x["death"] for x in died if x["what"] == "rollback"} >= set(STAGES[-3:])
    assert any("recovered" in life["events"] for life in died)  # in the middle of a record
    assert len([x for x in died if x["death"].isdigit()]) > 20
    assert {life["code"] for life in lives} == {0, -signal.SIGKILL}


def test_a_slot_that_tidies_first_is_seen(tmp_path: Path) -> None:
    lost = [life for life in deaths(tmp_path, "mutant") if "error" in life]
    assert lost
    assert "no version can serve: 00000001-" in lost[0]["error"]
