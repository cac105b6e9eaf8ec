"""Signed, hash-chained, append-only records: what they look like, and how they are verified.

That versions of a model are recorded and signed is arXiv 2603.18104's idea [A]; the format is ours.
A record file is text, one line a record: JSON, a space, a signature, a newline. The JSON has the
fields of :class:`Record`; the signature is Ed25519's, over a prefix and the JSON, in lower-case
hexadecimal. Each record holds the SHA-256 of the whole line before it. So no byte changes
unnoticed, and no record is dropped, moved or repeated, but for some dropped from the end. A *head*,
a signed line that counts the records and hashes the last, tells of the end where it is kept out of
reach of whoever may cut the file.

Files are written by :class:`bposit.recorder.Recorder`. No key is ever stored in them. Needs
``cryptography``: ``pip install 'bposit[rotation]'``; torch is not needed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey as Key
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey as PublicKey

__all__ = [
    "Head", "Record", "Scan", "Tampered", "hash_of", "read_head", "read_public_key", "scan", "seal",
    "verify",
]  # fmt: skip

NOTHING = "0" * 64  # what the first record has in place of the hash of the line before
LONGEST = 1 << 20  # bytes of a line: bounds the memory that a hostile file can take
_PREFIX = {"Record": b"bposit record 1\n", "Head": b"bposit head 1\n"}  # neither passes for another

Name = str | PathLike[str]


class Tampered(ValueError):
    """A record file, or its head, that is not as it was written.

    ``number`` is that of the first bad record, counted from 1, and ``kind`` one of altered,
    dropped, reordered, replayed, foreign (of another file), forked (it follows another record),
    clock (earlier than the record before), torn (without an end), truncated and empty.
    """

    def __init__(self, number: int, kind: str, why: str) -> None:
        super().__init__(f"record {number}: {kind}: {why}")
        self.number, self.kind = number, kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One event.

    Parameters
    ----------
    log : str
        Random name of the file, 32 hexadecimal digits, the same in all of its records.
    number : int
        1, 2, 3, …
    previous : str
        SHA-256 of the line before with its newline, hexadecimal; zeros for the first.
    time : int
        Nanoseconds since 1970 (UTC); never less than in the record before.
    behind : int
        Nanoseconds by which the clock was behind ``time`` when this was written: not 0 where it
        had gone backwards.
    event : str
    body : dict
        Whatever JSON holds.
    """

    log: str
    number: int
    previous: str
    time: int
    behind: int
    event: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of a file: its name, how many records it has, and the SHA-256 of the last line."""

    log: str
    count: int
    last: str


T = TypeVar("T", Record, Head)


@dataclass(frozen=True, slots=True)
class Scan:
    """A file as far as it is sound: ``records``, which end after ``size`` bytes; ``last`` is the
    SHA-256 of the last line. ``fault`` is what is wrong with the rest, None if there is no rest."""

    records: tuple[Record, ...]
    size: int
    last: str
    fault: Tampered | None

    def check_head(self, head: Head) -> None:
        """Raise :class:`Tampered` unless the records are those of the head, and maybe later ones:
        a record is on disk before the head that counts it."""
        count = len(self.records)
        if count and head.log != self.records[0].log:
            raise Tampered(1, "foreign", "the head is that of another file")
        if head.count > count:
            why = f"the head counts {head.count} records, the file has {count}"
            raise Tampered(count + 1, "truncated", why)
        last = self.last if head.count == count else self.records[head.count].previous
        if last != head.last:
            raise Tampered(head.count, "forked", "it is not the record that the head names")


def seal(what: Record | Head, key: Key) -> bytes:
    """The signed line of a record or head. Raises ValueError or TypeError where JSON cannot hold
    its body, or where it is longer than a line may be."""
    fields = dataclasses.asdict(what)
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    line = text + b" " + key.sign(_PREFIX[type(what).__name__] + text).hex().encode() + b"\n"
    if len(line) > LONGEST:
        raise ValueError(f"a record of {len(line)} bytes: at most {LONGEST} are possible")
    return line


def hash_of(line: bytes) -> str:
    """SHA-256, hexadecimal: what the next record has as ``previous``."""
    return hashlib.sha256(line).hexdigest()


def verify(file: Name, key: PublicKey, head: Name | None = None) -> tuple[Record, ...]:
    """All records of a file, if each is as it was signed and where it belongs.

    Parameters
    ----------
    file : path
    key : Ed25519PublicKey
        Of the writer, from a place that whoever could change the file cannot change.
    head : path, optional
        A signed head, likewise. Without one, records dropped from the end are not noticed; with
        one, those written after it.

    Raises :class:`Tampered`, which names the first bad record, and OSError.
    """
    with open(file, "rb") as stream:
        found = scan(stream, key)
    if found.fault:
        raise found.fault
    if head is not None:
        found.check_head(read_head(head, key))
    return found.records


def read_head(file: Name, key: PublicKey) -> Head:
    """A head from its file. Raises ValueError if it is damaged or of another signer, OSError."""
    line = Path(file).read_bytes()
    try:
        return _read(Head, line, key)
    except ValueError as error:
        raise ValueError(f"{file} is no head signed by this key: {error}") from None


def read_public_key(file: Name) -> PublicKey:
    """An Ed25519 public key from a PEM file. Raises ValueError for any other, OSError."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    text = Path(file).read_bytes()
    if b"PRIVATE KEY" in text:
        raise ValueError(f"{file} holds a private key, which stays with the writer of the records;"
                         " give the public one (openssl pkey -pubout)")  # fmt: skip
    try:
        key = load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"{file} holds no public key in PEM format") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"{file} holds a key of another kind than Ed25519")
    return key


def scan(stream: IO[bytes], key: PublicKey) -> Scan:
    """Read a file from where it stands, up to its end or the first fault."""
    records: list[Record] = []
    size, last, lines = 0, NOTHING, _lines(stream)
    for line in lines:
        try:
            record = _place(_parse(line, len(records) + 1, key), records, last, lines, key)
        except Tampered as fault:
            return Scan(tuple(records), size, last, fault)
        records.append(record)
        size, last = size + len(line), hash_of(line)
    empty = None if records else Tampered(1, "empty", "the file has no record")
    return Scan(tuple(records), size, last, empty)


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    while line := stream.readline(LONGEST + 1):
        yield line


def _parse(line: bytes, number: int, key: PublicKey) -> Record:
    if not line.endswith(b"\n") and len(line) <= LONGEST:
        raise Tampered(number, "torn", "the file ends before the record does; writing it was"
                       " interrupted, or its end was cut off")  # fmt: skip
    try:
        return _read(Record, line, key)
    except ValueError as error:
        raise Tampered(number, "altered", str(error)) from None


def _place(
    record: Record, before: list[Record], last: str, rest: Iterator[bytes], key: PublicKey
) -> Record:
    """The record, if it is the one that follows; ``rest`` tells dropped from reordered."""
    due, number = len(before) + 1, record.number
    if before and record.log != before[0].log:
        raise Tampered(due, "foreign", "it was written to another file")
    if number < due:
        raise Tampered(due, "replayed", f"record {number} stands here again")
    if number > due:
        if any(number == due for number in _numbers(rest, key)):
            raise Tampered(due, "reordered", f"it comes after record {number}")
        missing = f"records {due} to {number - 1} are" if number > due + 1 else f"record {due} is"
        raise Tampered(due, "dropped", f"{missing} missing before record {number}")
    if record.previous != last:
        raise Tampered(due, "forked", "it was written after another record than the one before it")
    if before and record.time < before[-1].time:
        raise Tampered(due, "clock", "it is earlier than the record before it")
    return record


def _numbers(lines: Iterator[bytes], key: PublicKey) -> Iterator[int]:
    for line in lines:
        try:
            yield _read(Record, line, key).number
        except ValueError:
            continue


def _read(kind: type[T], line: bytes, key: PublicKey) -> T:
    """A sealed line. The signature is checked before anything else is made of it."""
    from cryptography.exceptions import InvalidSignature

    text, _, seal = line.removesuffix(b"\n").rpartition(b" ")
    try:
        signature = bytes.fromhex(seal.decode("ascii"))
    except ValueError:
        signature = b""
    if not line.endswith(b"\n") or signature.hex().encode() != seal:
        raise ValueError("its line does not end in a signature")
    try:
        key.verify(signature, _PREFIX[kind.__name__] + text)
    except InvalidSignature:
        raise ValueError("the signature is not this key's for what it says") from None
    found = json.loads(text)
    if not isinstance(found, dict) or found.keys() != {f.name for f in dataclasses.fields(kind)}:
        raise ValueError(f"it is signed, but no {kind.__name__.lower()} of this version")
    return kind(**found)
