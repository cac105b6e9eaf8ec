"""``bposit records verify``: what is to be said of a record file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .errors import BadInput, printable
from .records import Record, Tampered, read_public_key, verify

__all__ = ["Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of a file: its records, or the first that is bad."""

    file: Path
    sealed: bool  # whether a head was given
    records: tuple[Record, ...]
    fault: Tampered | None

    def __str__(self) -> str:
        if self.fault:
            return f"{printable(self.file)}: {self.fault}"
        n, last = len(self.records), self.records[-1]
        lines = [
            f"{printable(self.file)}: {n} record{'s' if n > 1 else ''}, signed and in order;"
            f" the last, {printable(last.event)}, of {_date(last.time)}"
        ]
        if not self.sealed:
            lines.append("No --head was given: records missing at the end cannot be noticed.")
        return "\n".join(lines)

    def summary(self) -> dict[str, Any]:
        """For ``--json``."""
        found: dict[str, Any] = {"file": str(self.file), "valid": not self.fault,
                                 "head": self.sealed}  # fmt: skip
        if self.fault:
            return {**found, "record": self.fault.number, "kind": self.fault.kind,
                    "reason": str(self.fault)}  # fmt: skip
        return {**found, "records": len(self.records), "last_event": self.records[-1].event,
                "last_time": _date(self.records[-1].time)}  # fmt: skip


def judge(file: Path, key: Path, head: Path | None) -> Verdict:
    """Verify a file. Raises BadInput where that cannot be done: no file, no key, no head."""
    try:
        records = verify(file, read_public_key(key), head)
    except Tampered as fault:
        return Verdict(file, head is not None, (), fault)
    except ImportError:
        raise BadInput("needs cryptography: pip install 'bposit[rotation]'") from None
    except OSError as error:
        raise BadInput(f"{error.filename or file}: {error.strerror or error}") from None
    except ValueError as error:
        raise BadInput(str(error)) from None
    return Verdict(file, head is not None, records, None)


def _date(nanoseconds: int) -> str:
    try:
        return datetime.fromtimestamp(nanoseconds // 10**9, UTC).isoformat()
    except (OverflowError, ValueError):  # years up to 9999 have a name
        return f"{nanoseconds} ns after 1970"
