"""Vector files: a header, rows, a trailer with the rows' hash; written and read in blocks."""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, BinaryIO

from posit import PositSpec

from ... import __version__
from ...errors import BadInput
from ..accumulator import Accumulator
from ..written import read_accumulator
from .layouts import LAYOUTS, Layout, Parsed
from .operands import blocks, how_many
from .operations import Task

__all__ = ["Reader", "write"]

_CHUNK = 1 << 22  # bytes
_MOST_HEADER = 1 << 16
_KEYS = ("op", "format", "to", "form", "terms", "accumulator")


def write(
    file: BinaryIO,
    task: Task,
    *,
    style: str = "mixed",
    count: int | None = None,
    seed: int = 0,
    layout: str = "readmemh",
) -> int:
    """Write vectors of ``task``; the same bytes for the same arguments. Returns how many.

    Raises BadInput for a style that the operation does not have, a count that makes no sense or a
    seed that is not 0 to 2^64-1.
    """
    count = how_many(task, style, count, seed)
    form = Layout(layout, task.columns)
    file.write(f"{form.mark} {json.dumps(_header(task, form, style, count, seed))}\n".encode())
    file.write(form.title.encode())
    digest, state = hashlib.sha256(), task.start()
    for words, size in blocks(task, style, count, seed):
        rows = form.rows(words | task.answers(words, state), size)
        digest.update(rows)
        file.write(rows)
    trailer = {"count": count, "sha256": digest.hexdigest()}
    file.write(f"{form.mark} {json.dumps(trailer)}\n".encode())
    return count


def _header(task: Task, layout: Layout, style: str, count: int, seed: int) -> dict[str, Any]:
    header: dict[str, Any] = {
        "bposit": __version__, "op": task.op, "format": _triple(task.spec),
    }  # fmt: skip
    if task.to is not None:
        header["to"] = _triple(task.to)
    if task.op in ("decode", "encode"):
        header["form"] = task.form
    if task.op in ("dot", "mac"):
        header["terms"] = task.terms
    if task.accumulator is not None:
        header["accumulator"] = repr(task.accumulator)
    header |= {"style": style, "seed": seed, "count": count, "layout": layout.name}
    place, fields = sum(4 * c.digits for c in layout.columns), []
    for column in layout.columns:
        place -= 4 * column.digits
        fields.append({"name": column.name, "bits": column.bits, "lsb": place})
    return header | {"fields": fields}


def _triple(spec: PositSpec) -> str:
    return f"{spec.n},{spec.rs},{spec.es}"


@dataclass
class Reader:
    """A vector file, read once from its start.

    Parameters
    ----------
    file : BinaryIO
    path : str
        For messages.
    asked : mapping, optional
        What the file must be of: op, format, to, form, terms, accumulator, layout, as the header
        has them. Where there is no header op and format are needed; the layout is guessed.
    """

    file: BinaryIO
    path: str
    asked: Mapping[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(init=False)
    trailer: dict[str, Any] = field(init=False, default_factory=dict)
    digest: str = field(init=False, default="")
    task: Task = field(init=False)
    form: Layout = field(init=False)
    _rest: bytes = field(init=False, default=b"")
    _lines: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        """Read the header."""
        first = self.file.readline(_MOST_HEADER).removeprefix(codecs.BOM_UTF8)
        self.header = _json_after(first) or {}
        if "op" not in self.header:
            self._rest, self.header = first, {}
        else:
            self._lines = 1
        known = {key: self._agreed(key) for key in _KEYS}
        if known["op"] is None or known["format"] is None:
            what = "has no header"
            if re.match(rb"\s*(//|#)\s*\{", first) and not self.header:
                what = "has a header that is no JSON object with op and format"
            raise BadInput(f"{self.path} {what}: say what it is of, --op OP --format FORMAT")
        _check_whole("count", self.header.get("count"), self.path)
        self.task = _task_of(known, self.path)
        layout = self._agreed("layout") or _guess(first)
        self.form = Layout(layout, self.task.columns)

    def _agreed(self, key: str) -> Any:
        """What the header says, or what was asked for; BadInput if that is not the same."""
        found, wanted = self.header.get(key), self.asked.get(key)
        if found is None or wanted is None:
            return wanted if found is None else found
        same = found == wanted
        if key == "accumulator":
            same = _accumulator(found, self.path) == _accumulator(wanted, self.path)
        if key in ("format", "to"):
            same = _spec(found, self.path) == _spec(wanted, self.path)
        if not same:
            raise BadInput(f"{self.path}: its header says {key} {found}, not {wanted}")
        return found

    def blocks(self) -> Iterator[Parsed]:
        """The rows; afterwards ``digest`` is their hash and ``trailer`` what the file says."""
        digest, rest = hashlib.sha256(), b""
        for data in chain([self._rest], iter(lambda: self.file.read(_CHUNK), b"")):
            whole, newline, rest = (rest + data).rpartition(b"\n")
            if newline:
                yield self._block(whole + newline, digest)
        if rest:
            yield self._block(rest + b"\n", digest)
        self.digest = digest.hexdigest()

    def _told(self, line: bytes) -> None:
        """Keep the trailer, if a comment is one."""
        found = _json_after(line)
        if found and "sha256" in found:
            self.trailer = found

    def _block(self, data: bytes, digest: Any) -> Parsed:
        """Comments at either end are taken off, and carriage returns at line ends: what is left may
        be regular rows."""
        data = data.replace(b"\r\n", b"\n")
        start, end, mark = 0, len(data), self.form.mark.encode()
        title = self.form.title.encode()
        while data.startswith(mark, start) or (title and data.startswith(title, start)):
            after = data.index(b"\n", start) + 1
            self._told(data[start:after])
            start = after
            self._lines += 1
        below = 0
        while end > start:
            last = data.rfind(b"\n", start, end - 1) + 1 or start
            line = data[last:end]
            if line.strip() and not line.startswith(mark):
                break
            self._told(line)
            end, below = last, below + 1
        body = data[start:end]
        digest.update(body)
        parsed = self.form.parse(body, self._lines + 1, self.path)
        self._lines += body.count(b"\n") + below
        return parsed


def _json_after(line: bytes) -> dict[str, Any] | None:
    """The object in a comment line."""
    text = line.decode("latin-1").strip()
    for mark in ("//", "#"):
        if text.startswith(mark):
            try:
                found = json.loads(text.removeprefix(mark))
            except ValueError:
                return None
            return found if isinstance(found, dict) else None
    return None


def _spec(given: Any, path: str) -> PositSpec:
    try:
        return PositSpec.parse(given)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{path}: {error}") from None


def _accumulator(given: Any, path: str) -> Accumulator | None:
    try:
        return None if given is None else read_accumulator(str(given))
    except ValueError as error:
        raise BadInput(f"{path}: {error}") from None


def _check_whole(name: str, given: Any, path: str) -> None:
    if given is not None and (isinstance(given, bool) or not isinstance(given, int)):
        raise BadInput(f"{path}: {name} is {given!r}, which is no whole number")


def _task_of(known: dict[str, Any], path: str) -> Task:
    to, terms = known["to"], known["terms"]
    _check_whole("terms", terms, path)
    return Task(
        str(known["op"]),
        _spec(known["format"], path),
        None if to is None else _spec(to, path),
        known["form"] or "sign-magnitude",
        4 if terms is None else terms,
        _accumulator(known["accumulator"], path),
    )


def _guess(first: bytes) -> str:
    text = first.decode("latin-1").strip()
    if text.startswith("{"):
        return "jsonl"
    return "csv" if "," in text and not text.startswith("/") else LAYOUTS[0]
