"""How fast are golden vectors written and judged?

bposit16 additions in every layout, computed, formatted and hashed, or read and recomputed; beside
what a script would do, which only formats the same rows with f-strings, or parses them with int().
This project asked itself for a million vectors a second both ways.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from bposit.emulate import vectors
from posit import bposit16

from ._harness import Config, Mismatch, Pair, Side

FULL = 1 << 18
LAYOUTS = ("readmemh", "csv", "jsonl")
TASK = vectors.Task("add", bposit16)
FORMATS: dict[str, Callable[[int, int, int, int], str]] = {
    "readmemh": lambda a, b, f, r: f"{a:04x}_{b:04x}_{f:x}_{r:04x}\n",
    "csv": lambda a, b, f, r: f"{a:04x},{b:04x},{f:x},{r:04x}\n",
    "jsonl": lambda a, b, f, r: (
        f'{{"a":"{a:04x}","b":"{b:04x}","flags":"{f:x}","result":"{r:04x}"}}\n'
    ),
}
PARSERS: dict[str, Callable[[str], list[int]]] = {
    "readmemh": lambda line: [int(x, 16) for x in line.split("_")],
    "csv": lambda line: [int(x, 16) for x in line.split(",")],
    "jsonl": lambda line: [int(x, 16) for x in json.loads(line).values()],
}


def pairs(config: Config) -> Iterator[Pair]:
    for layout in LAYOUTS:
        yield from _both(layout, config.size(FULL), config)


def _both(layout: str, count: int, config: Config) -> Iterator[Pair]:
    def write() -> bytes:
        file = io.BytesIO()
        vectors.write(file, TASK, style="random", count=count, seed=config.seed, layout=layout)
        return file.getvalue()

    text = write()
    lines = text.decode().splitlines()[2 if layout == "csv" else 1 : -1]
    rows = [PARSERS[layout](line) for line in lines]
    note = "asked for: 1 M vectors a second both ways"

    def format_all() -> str:
        return "".join(FORMATS[layout](*row) for row in rows)

    def parse_all() -> list[Any]:
        return [PARSERS[layout](line) for line in lines]

    def check() -> str:
        if len(rows) != count or format_all().encode() not in text:
            raise Mismatch(f"{layout}: the script's rows are not ours")
        report = vectors.verify(io.BytesIO(text))
        if report.wrong or report.count != count or report.warnings:
            raise Mismatch(f"{layout}: {report.wrong} of {report.count} are wrong")
        wrong = re.sub(r"[0-9a-f](?=\W*$)", lambda m: f"{int(m[0], 16) ^ 1:x}", lines[0])
        broken = text.replace(lines[0].encode(), wrong.encode(), 1)
        if vectors.verify(io.BytesIO(broken)).wrong != 1:
            raise Mismatch(f"{layout}: a wrong result is not seen")
        return "written = read; a changed row is seen"

    size = len(text)
    yield Pair(
        Side(f"{layout}, generate", write, count, size),
        Side(f"{layout}, f-strings", format_all, count, size),
        "vectors", check, 1.0, note=note,
    )  # fmt: skip
    yield Pair(
        Side(f"{layout}, verify", lambda: vectors.verify(io.BytesIO(text)), count, size),
        Side(f"{layout}, int(…, 16)", parse_all, count, size),
        "vectors", check, 1.0, note=note,
    )  # fmt: skip
