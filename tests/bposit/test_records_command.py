"""`bposit records verify`: what it prints, its exit codes, and that it needs no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bposit.recorder import Recorder

from .running import bad, good, run

pytest.importorskip("cryptography")

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of three records, its head, and the key."""
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "pub.pem").write_bytes(pem)
    with Recorder(tmp_path / "log", KEY, tmp_path / "head", clock=lambda: 86400 * 10**9) as log:
        log.append("activated", {})
        log.append("rolled\x1b[31m back", {})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_sound_file(folder: Path) -> None:
    text = good("records", "verify", "log", "--key", "pub.pem", "--head", "head")
    assert text == (
        "log: 3 records, signed and in order; the last, rolled\\x1b[31m back,"
        " of 1970-01-02T00:00:00+00:00\n"
    )
    text = good("records", "verify", "log", "--key", "pub.pem")
    assert text.endswith("No --head was given: records missing at the end cannot be noticed.\n")
    found = json.loads(good("records", "verify", "log", "--key", "pub.pem", "--json"))
    assert (found["valid"], found["head"], found["records"]) == (True, False, 3)
    assert found["last_time"] == "1970-01-02T00:00:00+00:00"


def test_a_clock_that_was_far_ahead(folder: Path) -> None:
    with Recorder("late", KEY, clock=lambda: 10**30):
        pass
    text = good("records", "verify", "late", "--key", "pub.pem")
    assert f"the last, opened, of {10**30} ns after 1970" in text


def test_the_first_bad_record_is_named(folder: Path) -> None:
    data = (folder / "log").read_bytes()
    (folder / "log").write_bytes(data.replace(b"activated", b"activatee"))
    result = run("records", "verify", "log", "--key", "pub.pem")
    assert result.exit_code == 1
    assert result.stdout.startswith("log: record 2: altered: the signature is not this key's")
    (folder / "log").write_bytes(b"".join(data.splitlines(True)[:2]))
    result = run("records", "verify", "log", "--key", "pub.pem", "--head", "head", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["valid"], found["record"], found["kind"]) == (False, 3, "truncated")
    assert run("records", "verify", "log", "--key", "pub.pem").exit_code == 0  # as it says


def test_what_cannot_be_checked(folder: Path) -> None:
    assert "Missing option '--key'" in bad("records", "verify", "log")
    assert "Missing command" in bad("records")
    for args, complaint in (
        (("none", "--key", "pub.pem"), "none: No such file or directory"),
        (("log", "--key", "none"), "none: No such file or directory"),
        ((".", "--key", "pub.pem"), ".: Is a directory"),
        (("log", "--key", "log"), "log holds no public key in PEM format"),
        (("log", "--key", "pub.pem", "--head", "none"), "none: No such file or directory"),
        (("log", "--key", "pub.pem", "--head", "pub.pem"), "pub.pem is no head signed by this key"),
    ):
        assert complaint in bad("records", "verify", *args)


def test_the_key_may_come_from_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BPOSIT_RECORDS_KEY", "pub.pem")
    monkeypatch.setenv("BPOSIT_RECORDS_HEAD", "head")
    assert "cannot be noticed" not in good("records", "verify", "log")


@pytest.mark.parametrize(("missing", "code"), [("torch", 0), ("cryptography", 2)])
def test_what_it_needs(missing: str, code: int, folder: Path) -> None:
    """A module that fails to import comes first on the path."""
    (folder / f"{missing}.py").write_text("raise ImportError\n")
    done = subprocess.run(
        [sys.executable, "-m", "bposit", "records", "verify", "log", "--key", "pub.pem"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    if code:
        assert done.stderr == "bposit: needs cryptography: pip install 'bposit[rotation]'\n"
