"""Signed records: whatever happens to a file is noticed, and appends are all or nothing."""

from __future__ import annotations

import base64
import io
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bposit.records
from bposit.recorder import Recorder
from bposit.records import (
    Record,
    Tampered,
    read_head,
    read_public_key,
    scan,
    seal,
    verify,
)
from tests.conftest import Slice

pytest.importorskip("cryptography")

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PUBLIC = KEY.public_key()


class Clock:
    """Nanoseconds that go as they are told."""

    def __init__(self, *times: int) -> None:
        self.times = iter(times)
        self.now = 0

    def __call__(self) -> int:
        self.now = next(self.times, self.now + 1)
        return self.now


def written(folder: Path, name: str = "log", count: int = 4) -> Path:
    """A file of ``count`` records, and its head beside it, kept as ``name.head``."""
    file = folder / name
    with Recorder(file, KEY, folder / f"{name}.head", clock=Clock()) as log:
        for i in range(count - 1):
            log.append("activated", {"version": f"v{i}", "kl": i / 7})
    return file


def fault(data: bytes) -> Tampered:
    found = scan(io.BytesIO(data), PUBLIC).fault
    assert found is not None
    return found


def test_records_say_what_was_appended(tmp_path: Path) -> None:
    file = written(tmp_path)
    records = verify(file, PUBLIC, tmp_path / "log.head")
    assert [r.event for r in records] == ["opened"] + ["activated"] * 3
    assert [r.number for r in records] == [1, 2, 3, 4]
    assert [r.body.get("kl") for r in records] == [None, 0, 1 / 7, 2 / 7]
    assert len({r.log for r in records}) == 1
    with Recorder(file, KEY, tmp_path / "log.head") as again:
        assert again.records == records
        again.append("more", {})
    assert len(verify(file, PUBLIC, tmp_path / "log.head")) == 5
    assert len(verify(file, PUBLIC)) == 5


def changed_everywhere(data: bytes, values: Callable[[int], list[int]]) -> Iterator[bytes]:
    for at, byte in enumerate(data):
        for value in values(byte):
            yield data[:at] + bytes([value]) + data[at + 1 :]


def flips(byte: int) -> list[int]:
    return [byte ^ (1 << bit) for bit in range(8)]


def test_every_changed_byte_is_seen_and_named(tmp_path: Path) -> None:
    data = written(tmp_path, count=3).read_bytes()
    line_of = [data.count(b"\n", 0, at) + 1 for at in range(len(data))]
    for i, wrong in enumerate(changed_everywhere(data, flips)):
        assert fault(wrong).number == line_of[i // 8], i


@pytest.mark.slow
def test_every_value_of_every_byte(tmp_path: Path, part: Slice) -> None:
    data = written(tmp_path, count=2).read_bytes()
    changes = list(changed_everywhere(data, lambda byte: [v for v in range(256) if v != byte]))
    for wrong in part.take(changes):
        fault(wrong)


def test_every_changed_byte_of_a_head_is_seen(tmp_path: Path) -> None:
    file, head = written(tmp_path), tmp_path / "log.head"
    for wrong in changed_everywhere(head.read_bytes(), lambda byte: [byte ^ 1, byte ^ 32]):
        head.write_bytes(wrong)
        with pytest.raises(ValueError, match="is no head signed by this key"):
            verify(file, PUBLIC, head)


def test_every_cut_is_seen(tmp_path: Path) -> None:
    """Those between records only against the head."""
    data = written(tmp_path).read_bytes()
    head = read_head(tmp_path / "log.head", PUBLIC)
    for size in range(len(data)):
        found = scan(io.BytesIO(data[:size]), PUBLIC)
        assert len(found.records) == data.count(b"\n", 0, size)
        if data[:size].endswith(b"\n"):
            assert found.fault is None
        else:
            assert found.fault is not None
            assert found.fault.kind == ("torn" if size else "empty")
        with pytest.raises(Tampered) as cut:
            found.check_head(head)
        assert (cut.value.number, cut.value.kind) == (len(found.records) + 1, "truncated")


def line(**changes: object) -> bytes:
    """A record with a good signature in the place of record 3 of :func:`written`."""
    fields = {"log": "", "number": 3, "previous": "", "time": 3, "behind": 0, "event": "x",
              "body": {}}  # fmt: skip
    return seal(Record(**{**fields, **changes}), KEY)  # type: ignore[arg-type]


def tampered(folder: Path) -> dict[str, tuple[bytes, int, str]]:
    """What can be done without the key, to the file and the first bad record and what is said."""
    one, two, three, four = lines = written(folder).read_bytes().splitlines(True)
    foreign = written(folder, "other").read_bytes().splitlines(True)
    record = scan(io.BytesIO(b"".join(lines)), PUBLIC).records[2]
    log, previous = record.log, record.previous
    stolen = seal(record, OTHER)
    return {
        "first dropped": (two + three + four, 1, "dropped"),
        "second dropped": (one + three + four, 2, "dropped"),
        "two dropped": (one + four, 2, "dropped"),
        "swapped": (one + three + two + four, 2, "reordered"),
        "moved to the end": (one + two + four + three, 3, "reordered"),
        "moved to the front": (four + one + two + three, 1, "reordered"),
        "repeated at once": (one + two + two + three + four, 3, "replayed"),
        "repeated later": (one + two + three + two + four, 4, "replayed"),
        "first again": (one + two + one, 3, "replayed"),
        "of another file": (one + two + foreign[2] + four, 3, "foreign"),
        "all but the first": (one + b"".join(foreign[1:]), 2, "foreign"),
        "signed by another": (one + two + stolen + four, 3, "altered"),
        "unsigned": (one + two + three.rpartition(b" ")[0] + b"\n" + four, 3, "altered"),
        "upper case": (one + two + three[:-129] + three[-129:].upper() + four, 3, "altered"),
        "space before the end": (one + two + three[:-1] + b" \n" + four, 3, "altered"),
        "an empty line": (one + two + b"\n" + three, 3, "altered"),
        "too long a line": (one + two + b"x" * (1 << 21) + b"\n", 3, "altered"),
        "more behind the end": (b"".join(lines) + b"x", 5, "torn"),
        # by a writer who has the key, and errs
        "another history": (one + two + line(log=log, previous="0" * 64), 3, "forked"),
        "earlier": (one + two + line(log=log, previous=previous, time=1), 3, "clock"),
    }


CASES = [
    "first dropped", "second dropped", "two dropped", "swapped", "moved to the end",
    "moved to the front", "repeated at once", "repeated later", "first again", "of another file",
    "all but the first", "signed by another", "unsigned", "upper case", "space before the end",
    "an empty line", "too long a line", "more behind the end", "another history", "earlier",
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_was_done_is_named(case: str, tmp_path: Path) -> None:
    data, number, kind = tampered(tmp_path)[case]
    found = fault(data)
    assert (found.number, found.kind) == (number, kind)
    assert str(found).startswith(f"record {number}: {kind}: ")


def test_the_cases_are_all(tmp_path: Path) -> None:
    assert list(tampered(tmp_path)) == CASES


def test_a_checker_of_signatures_alone_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = tampered(tmp_path)
    monkeypatch.setattr(bposit.records, "_place", lambda record, *_: record)
    missed = [
        case for case, (data, *_) in cases.items() if not scan(io.BytesIO(data), PUBLIC).fault
    ]
    assert {"second dropped", "swapped", "repeated later", "of another file"} <= set(missed)


@given(st.binary(max_size=600))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    assert scan(io.BytesIO(data), PUBLIC).fault is not None


def test_heads_of_other_files_and_other_histories(tmp_path: Path) -> None:
    file = written(tmp_path)
    written(tmp_path, "other")
    with pytest.raises(Tampered, match="the head is that of another file"):
        verify(file, PUBLIC, tmp_path / "other.head")
    kept = file.read_bytes()
    with Recorder(file, KEY, tmp_path / "log.head") as log:
        log.append("one", {})
    file.write_bytes(kept)  # a backup is put back, and goes on in another way
    with pytest.raises(Tampered, match="record 5: truncated: the head counts 5"):
        Recorder(file, KEY, tmp_path / "log.head")
    with Recorder(file, KEY) as log:
        log.append("another", {})
        log.append("another", {})
    with pytest.raises(Tampered, match="record 5: forked: it is not the record that the head"):
        verify(file, PUBLIC, tmp_path / "log.head")


def test_a_lost_file_is_not_begun_anew_where_a_head_remembers_it(tmp_path: Path) -> None:
    written(tmp_path).unlink()
    with pytest.raises(Tampered, match="record 1: truncated: the head counts 4 records"):
        Recorder(tmp_path / "log", KEY, tmp_path / "log.head")


def test_what_a_head_counts_is_never_taken_for_a_crash(tmp_path: Path) -> None:
    file = written(tmp_path)
    os.truncate(file, file.stat().st_size - 1)
    before = file.read_bytes()
    with pytest.raises(Tampered, match="record 4: truncated: the head counts 4 records"):
        Recorder(file, KEY, tmp_path / "log.head")
    assert file.read_bytes() == before


def test_the_wrong_key_is_noticed_before_anything_is_written(tmp_path: Path) -> None:
    file = written(tmp_path)
    before = file.read_bytes()
    with pytest.raises(Tampered, match="record 1: altered: the signature is not this key's"):
        Recorder(file, OTHER)
    assert file.read_bytes() == before


# ---- writing
def test_time_never_decreases(tmp_path: Path) -> None:
    with Recorder(tmp_path / "log", KEY, clock=Clock(100, 90, 95, 101, 0)) as log:
        for _ in range(4):
            log.append("tick", {})
        found = [(r.time, r.behind) for r in log.records]
    assert found == [(100, 0), (100, 10), (100, 5), (101, 0), (101, 101)]
    with Recorder(tmp_path / "log", KEY, clock=Clock(50)) as log:  # nor over a restart
        again = log.append("tick", {})
        assert (again.time, again.behind) == (101, 51)
    verify(tmp_path / "log", PUBLIC)


def test_every_crash_in_an_append_is_recovered_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the last record any number of bytes came to disk, and its head did not."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # hundreds of them, for a crash that is none
    file, head = written(tmp_path, count=3), tmp_path / "log.head"
    before, sealed = file.read_bytes(), head.read_bytes()
    with Recorder(file, KEY, head) as log:
        log.append("last", {})
    after = file.read_bytes()
    for size in range(len(before), len(after) + 1):
        file.write_bytes(after[:size])
        head.write_bytes(sealed)
        with Recorder(file, KEY, head) as log:
            rest = [(r.event, dict(r.body)) for r in log.records[3:]]
        removed = size - len(before)
        if size == len(after):
            assert rest == [("last", {})]
        else:
            assert rest == ([("recovered", {"bytes_removed": removed})] if removed else [])
        assert verify(file, PUBLIC, head)[:3] == scan(io.BytesIO(before), PUBLIC).records


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writing beyond is refused by the system, as it is where the disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 1, 100, 300])
def test_no_room_leaves_the_file_as_it_was(room: int, tmp_path: Path) -> None:
    file, head = written(tmp_path), tmp_path / "log.head"
    before = file.read_bytes(), head.read_bytes()
    with Recorder(file, KEY, head) as log:
        with (
            largest_file(len(before[0]) + room),
            pytest.raises(OSError, match=r"record 5 is not written, the file is as it was.*log'"),
        ):
            log.append("too much", {})
        assert (file.read_bytes(), head.read_bytes()) == before
        log.append("again", {})
    assert [r.event for r in verify(file, PUBLIC, head)][-1] == "again"


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_whatever_fails_leaves_the_file_as_it_was(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, head = written(tmp_path), tmp_path / "log.head"
    before = file.read_bytes(), head.read_bytes()

    def fail(*_: object) -> None:
        monkeypatch.undo()
        raise OSError(28, "No space left on device")

    with Recorder(file, KEY, head) as log:
        monkeypatch.setattr(os, call, fail)
        with pytest.raises(OSError, match="No space left on device; record 5 is not written"):
            log.append("too much", {})
        assert (file.read_bytes(), head.read_bytes()) == before
        log.append("again", {})
    assert len(verify(file, PUBLIC, head)) == 5


def test_a_record_that_can_be_neither_written_nor_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with Recorder(file, KEY) as log:
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", fail)
            with pytest.raises(OSError, match="record 5 could be neither written nor removed"):
                log.append("lost", {})
        with pytest.raises(OSError, match="takes no more records: record 5 could be neither"):
            log.append("next", {})
    assert len(verify(file, PUBLIC)) == 4


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    file = written(tmp_path)
    with (
        Recorder(file, KEY) as log,
        pytest.raises(BlockingIOError, match="another process or thread is writing these records"),
    ):
        Recorder(file, KEY)
    with pytest.raises(OSError, match="takes no more records: it is closed"):
        log.append("late", {})
    log.close()
    with Recorder(file, KEY) as log:
        os.replace(written(tmp_path, "other"), file)
        with pytest.raises(OSError, match="something else has changed or replaced it"):
            log.append("lost", {})


@pytest.mark.parametrize("body", [{"x": {1}}, {"x": float("nan")}, {"x": "y" * (1 << 20)}])
def test_bodies_that_are_no_records(body: dict[str, object], tmp_path: Path) -> None:
    with Recorder(tmp_path / "log", KEY) as log:
        with pytest.raises((TypeError, ValueError)):
            log.append("bad", body)
        log.append("good", {})
    assert len(verify(tmp_path / "log", PUBLIC)) == 2


def test_bodies_are_what_will_be_read(tmp_path: Path) -> None:
    held: dict[object, object] = {"list": [1], 2: (3,)}
    with Recorder(tmp_path / "log", KEY) as log:
        log.append("x", held)  # type: ignore[arg-type]
        held["list"].append(4)  # type: ignore[attr-defined]
        assert log.records == verify(tmp_path / "log", PUBLIC)


def test_a_clock_of_seconds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"the clock says 1\.5: possible are nanoseconds"):
        Recorder(tmp_path / "log", KEY, clock=lambda: 1.5)  # type: ignore[arg-type, return-value]


def test_closing_waits_for_a_record_that_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Recorder(tmp_path / "log", KEY)
    begun, sync = threading.Event(), os.fsync

    def slow(fd: int) -> None:
        begun.set()
        closing.join(0.2)
        sync(fd)

    closing = threading.Thread(target=lambda: begun.wait(9) and log.close())
    monkeypatch.setattr(os, "fsync", slow)
    closing.start()
    log.append("x", {})
    closing.join()
    assert len(verify(tmp_path / "log", PUBLIC)) == 2


# ---- keys
def test_keys_are_never_written_with_the_records(tmp_path: Path) -> None:
    written(tmp_path)
    raw = [KEY.private_bytes_raw(), PUBLIC.public_bytes_raw()]
    forms = [f(key) for key in raw for f in (bytes, base64.b64encode, lambda k: k.hex().encode())]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 2
    for path in files:
        assert not any(form in path.read_bytes() for form in [*forms, b"KEY"])


def test_only_public_ed25519_keys_are_read(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert read_public_key(file) == PUBLIC
    for how in (NoEncryption(), BestAvailableEncryption(b"x")):
        file.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
        with pytest.raises(ValueError, match="holds a private key"):
            read_public_key(file)
    file.write_bytes(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    with pytest.raises(ValueError, match="holds no public key in PEM format"):
        read_public_key(file)
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    of_another_kind = X25519PrivateKey.generate().public_key()
    file.write_bytes(of_another_kind.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(ValueError, match="of another kind than Ed25519"):
        read_public_key(file)
