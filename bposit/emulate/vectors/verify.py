"""Judge a device's answers: every vector of a file, recomputed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from ...errors import BadInput
from .columns import Words
from .explain import explain
from .files import Reader
from .layouts import Parsed
from .operations import Task

__all__ = ["Mismatch", "Report", "summary", "text", "verify"]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A vector that a device answered wrongly.

    Parameters
    ----------
    task : Task
    line : int
        Where it is in the file, from 1.
    operands, expected, actual : dict
        Column names to words; those of ``actual`` are None where a digit is x or z.
    """

    task: Task
    line: int
    operands: dict[str, int]
    expected: dict[str, int]
    actual: dict[str, int | None]

    @property
    def explanation(self) -> list[str]:
        """Lines of text: what was asked, expected, answered, and which step first differs."""
        return explain(self.task, self.operands, self.expected, self.actual)


@dataclass
class Report:
    """What :func:`verify` found.

    Parameters
    ----------
    task : Task
    count, wrong : int
        Vectors, and those answered wrongly.
    mismatches : list of Mismatch
        The first of them.
    warnings : list of str
    """

    task: Task
    count: int = 0
    wrong: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def verify(
    file: BinaryIO,
    path: str = "the file",
    *,
    asked: Mapping[str, Any] | None = None,
    flags: bool = True,
    explained: int = 10,
) -> Report:
    """Recompute every vector of a file and compare.

    Parameters
    ----------
    file : BinaryIO
    path : str
        For messages.
    asked : mapping, optional
        As for :class:`Reader`: op, format, … of files without a header; and count.
    flags : bool
        Whether the flags are the device's answer too.
    explained : int
        How many mismatches to keep.

    Raises BadInput for a malformed file, and for one that lacks vectors: where nothing was wrong
    but something was not checked.
    """
    reader = Reader(file, path, asked or {})
    report, state = Report(reader.task), reader.task.start()
    for block in reader.blocks():
        _judge(report, block, state, flags, explained, path)
    if not report.count:
        raise BadInput(f"{path}: there are no vectors in it")
    who, promised = "its header promises", reader.header.get("count")
    if promised is None:
        who, promised = "there should be", reader.asked.get("count", report.count)
    if report.count != promised:
        text = f"{path}: {who} {promised} vectors, but it has {report.count}"
        if not report.wrong:
            raise BadInput(text)
        report.warnings.append(text)
    told = reader.trailer.get("sha256")
    if told is not None and told != reader.digest:
        report.warnings.append(f"{path}: the rows are not those that its SHA-256 was taken of")
    return report


def _judge(  # noqa: PLR0917
    report: Report, block: Parsed, state: Any, flags: bool, explained: int, path: str
) -> None:
    task, count = report.task, len(block.lines)
    if not count:
        return
    for column in task.inputs:
        beyond = np.asarray(block.words[column.name] > (1 << column.bits) - 1, bool)
        bad = beyond | block.unknown.get(column.name, np.zeros(count, bool))
        if bad.any():
            raise BadInput(
                f"{path}:{block.lines[bad][0]}: {column.name} is no operand of {column.bits} bits"
            )
    expected = task.answers(block.words, state)
    wrong = np.zeros(count, bool)
    for column in task.outputs:
        if column.name != "flags" or flags:
            wrong |= np.asarray(block.words[column.name] != expected[column.name], bool)
            wrong |= block.unknown.get(column.name, False)
    report.count += count
    where = np.flatnonzero(wrong)
    report.wrong += len(where)
    for i in where[: explained - len(report.mismatches)].tolist():
        report.mismatches.append(_mismatch(task, block, expected, i, flags))


def _mismatch(
    task: Task, block: Parsed, expected: dict[str, Words], i: int, flags: bool
) -> Mismatch:
    def answer(name: str) -> int | None:
        unknown = name in block.unknown and bool(block.unknown[name][i])
        return None if unknown else int(block.words[name][i])

    names = [c.name for c in task.outputs if c.name != "flags" or flags]
    return Mismatch(
        task,
        int(block.lines[i]),
        {c.name: int(block.words[c.name][i]) for c in task.inputs},
        {name: int(expected[name][i]) for name in names},
        {name: answer(name) for name in names},
    )


def text(report: Report) -> str:
    """How many were right, and the explanations, for people."""
    if not report.wrong:
        return f"all {report.count} vectors of {report.task} are right"
    lines = [f"{report.wrong} of {report.count} vectors of {report.task} are wrong"]
    for m in report.mismatches:
        first, *rest = m.explanation
        lines += ["", f"line {m.line}: {first}", *(f"  {line}" for line in rest)]
    more = report.wrong - len(report.mismatches)
    return "\n".join([*lines, *(["", f"… and {more} more"] if more else [])])


def summary(report: Report) -> dict[str, Any]:
    """The same for programs."""
    return {
        "task": str(report.task),
        "count": report.count,
        "wrong": report.wrong,
        "warnings": report.warnings,
        "mismatches": [
            {"line": m.line, "operands": m.operands, "expected": m.expected, "actual": m.actual,
             "explanation": m.explanation}
            for m in report.mismatches
        ],
    }  # fmt: skip
