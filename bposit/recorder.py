"""Append signed records to a file: each is on disk, or the file is as it was."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from .records import Head, Name, Record, hash_of, read_head, scan, seal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey as Key

__all__ = ["Recorder"]


class Recorder:
    """The one writer of a record file, which it keeps locked; a context manager.

    Opening verifies the whole file. A file that is new, or empty for a crash came before its first
    record, gets a record "opened"; a last line that a crash left without its end is removed, and a
    record "recovered" says how long it was. The records are then ``records``, a tuple.

    Parameters
    ----------
    file : path
    key : Ed25519PrivateKey
        Signs; it is never written anywhere.
    head : path, optional
        Where the signed head goes after each record. Keep it, or copies of it, where those who can
        write ``file`` cannot: it is what shows that records are missing at the end.
    clock : callable
        Nanoseconds since 1970 (UTC). Where it goes backwards, records keep the time of the record
        before, and say in ``behind`` how far the clock was behind it: time never decreases in a
        file, and no record is refused for the clock's sake.

    Raises :class:`~bposit.records.Tampered` for a file that is not as it was written, ValueError
    for a head that is not its own, BlockingIOError where another writer has it open, OSError.
    """

    def __init__(
        self, file: Name, key: Key, head: Name | None = None,
        *, clock: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        self.file, self.head = Path(file), None if head is None else Path(head)
        self._key, self._clock = key, clock
        self._broken = ""  # why no more records are taken
        self._turn = threading.Lock()
        self._fd = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(
                error.errno, "another process or thread is writing these records", str(self.file)
            ) from None
        public = self._key.public_key()
        with open(self.file, "rb") as stream:
            found = scan(stream, public)
        if found.fault and found.fault.kind not in ("torn", "empty"):
            raise found.fault
        if self.head is not None and self.head.exists():
            found.check_head(read_head(self.head, public))
        torn = os.fstat(self._fd).st_size - found.size
        self.records, self._size, self._last = found.records, found.size, found.last
        self._log = self.records[0].log if self.records else secrets.token_hex(16)
        if torn:
            self._cut()
        if not self.records:
            _sync_folder(self.file)
            self.append("opened", {})
        if torn:
            self.append("recovered", {"bytes_removed": torn})

    def append(self, event: str, body: Mapping[str, Any]) -> Record:
        """Sign and write one record; when this returns it, it is on disk, and so is its head.

        Raises OSError where it cannot be written (a full disk): the file and head are as they were.
        Only if even that cannot be done is the recorder broken, and takes no more records. Raises
        TypeError or ValueError for a body that JSON cannot hold, or of more than 1 MiB.
        """
        with self._turn:
            return self._append(event, body)

    def _append(self, event: str, body: Mapping[str, Any]) -> Record:
        self._check()
        previous, now = self.records[-1].time if self.records else 0, self._clock()
        if type(now) is not int:
            raise TypeError(f"the clock says {now!r}: possible are nanoseconds, an int")
        record = Record(
            log=self._log, number=len(self.records) + 1, previous=self._last,
            time=max(now, previous), behind=max(0, previous - now), event=event,
            body=json.loads(json.dumps(dict(body), allow_nan=False)),  # as it will be read
        )  # fmt: skip
        line = seal(record, self._key)
        last = hash_of(line)
        head = seal(Head(log=self._log, count=record.number, last=last), self._key)
        try:
            self._write(line, head)
        except OSError as error:
            raise self._undone(error, record.number) from error
        self.records, self._size, self._last = (*self.records, record), self._size + len(line), last
        return record

    def _check(self) -> None:
        if not self._broken:
            here = os.fstat(self._fd)
            same = self.file.exists() and os.path.samestat(here, self.file.stat())
            if here.st_size != self._size or not same:
                self._broken = "something else has changed or replaced it"
        if self._broken:
            raise OSError(f"{self.file} takes no more records: {self._broken}; open it anew")

    def _undone(self, error: OSError, number: int) -> OSError:
        """What to raise for an error, after the file is as it was."""
        why = error.strerror or str(error)
        try:
            self._cut()
        except OSError as worse:
            self._broken = f"record {number} could be neither written nor removed ({worse})"
            return OSError(error.errno, f"{why}; {self._broken}", str(self.file))
        text = f"{why}; record {number} is not written, the file is as it was"
        return OSError(error.errno, text, str(self.file))

    def close(self) -> None:
        """Let others write the file, after a record that is being written."""
        with self._turn:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd, self._broken = -1, "it is closed"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, line: bytes, head: bytes) -> None:
        """The head takes its place last: it never counts a record that is not on disk."""
        ready = self.head and self.head.with_name(f".{self.head.name}.new")
        if ready:
            fd = os.open(ready, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                _write_all(fd, head)
            finally:
                os.close(fd)
        _write_all(self._fd, line)
        if ready and self.head:
            os.replace(ready, self.head)
            with suppress(OSError):  # a crash may then leave the old head, which lags by a record
                _sync_folder(self.head)

    def _cut(self) -> None:
        os.ftruncate(self._fd, self._size)
        os.fsync(self._fd)


def _write_all(fd: int, data: bytes) -> None:
    """A short write, which is what a full disk gives first, is followed by one that raises."""
    while data:
        data = data[os.write(fd, data) :]
    os.fsync(fd)


def _sync_folder(file: Path) -> None:
    """Let the name of a file that is on disk be on disk too."""
    fd = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
