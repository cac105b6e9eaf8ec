"""One measurement as a table for people, as Markdown to keep, and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ._harness import Result, Side

__all__ = ["as_json", "as_markdown", "show", "summary"]

READING = (
    "ratio: the peer's time over ours for the same work, median of several rounds in one run; 2× is"
    " twice as fast. Rates are medians too. GB/s: array bytes that must be read and written."
)
COLUMNS = ("ours, and the peer below", "ratio", "min–max", "target", "per s", "GB/s")


def _digits(x: float, largest: float | None = None) -> str:
    """x with the decimals that give ``largest``, or x itself, two or three significant digits."""
    size = x if largest is None else largest
    return f"{x:.{3 if size < 0.1 else 2 if size < 10 else 1 if size < 100 else 0}f}"


def _rate(x: float) -> str:
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if x >= unit:
            return f"{_digits(x / unit)} {name}"
    return _digits(x)


def _span(result: Result) -> str:
    low, high = min(result.ratios), max(result.ratios)
    return f"{_digits(low, high)}–{_digits(high)}"


def _target(result: Result, quick: bool) -> str:
    if result.pair.target is None:
        return ""
    verdict = "" if quick else " met" if result.met else " missed"
    return f"≥ {result.pair.target:.1f}{verdict}"


def _numbers(result: Result, side: int) -> tuple[str, str]:
    return _rate(result.rate(side)), _digits(result.bandwidth(side) / 1e9)


def _by_suite(results: Sequence[Result]) -> dict[str, list[Result]]:
    grouped: dict[str, list[Result]] = {}
    for result in results:
        grouped.setdefault(result.suite, []).append(result)
    return grouped


def _notes(results: Iterable[Result]) -> list[str]:
    return list(dict.fromkeys(r.pair.note for r in results if r.pair.note))


def _faults(results: Iterable[Result]) -> str:
    """Where first touches of memory are inside the times: fewer than one a call is noise."""
    sides = ((side, n) for r in results for side, n in zip(_sides(r), r.faults, strict=True))
    found = [f"{side.name} {n:.0f} a call" for side, n in sides if n >= 1]
    return "Page faults inside the times: " + (", ".join(found) or "none") + "."


def _sides(result: Result) -> tuple[Side, Side]:
    return result.pair.ours, result.pair.peer


def summary(results: Sequence[Result], quick: bool) -> str:
    """How many pairs and how many targets were met, in one line."""
    right = f"{len(results)} pairs with right results"
    if quick:
        return f"{right}; sizes too small to judge the targets"
    judged = [r.met for r in results if r.met is not None]
    busy = min((r.share for r in results), default=1.0)
    shared = f"; the machine was shared (at worst {busy:.0%} of a CPU)" if busy < 0.9 else ""
    return f"{right}; {sum(judged)} of {len(judged)} targets met{shared}"


def show(console: Console, machine: dict[str, str], results: Sequence[Result], quick: bool) -> None:
    """Print the header and a table for each suite."""
    header = Table.grid(padding=(0, 1))
    for key, value in machine.items():
        header.add_row(Text(key, style="bold"), value)
    console.print(header)
    for suite, group in _by_suite(results).items():
        console.print(Text.assemble((f"\n{suite}", "bold"), f": {group[0].pair.unit} per second"))
        table = Table(box=box.SIMPLE_HEAD)
        for name in COLUMNS:
            text = name in (COLUMNS[0], "target")
            table.add_column(name, justify="left" if text else "right", no_wrap=True)
        for r in group:
            style = "" if r.met is None or quick else "green" if r.met else "red"
            verdict = Text(_target(r, quick), style=style)
            ratio = Text(f"{_digits(r.ratio)}×", style=f"bold {style}")
            table.add_row(r.pair.ours.name, ratio, _span(r), verdict, *_numbers(r, 0))
            table.add_row(f"  {r.pair.peer.name}", "", "", "", *_numbers(r, 1), style="dim")
        console.print(table)
        for note in _notes(group):
            console.print(Text(_sentence(note), style="dim"))
    console.print(Text(f"\n{READING} {_faults(results)}\n", style="dim"))
    console.print(summary(results, quick), style="bold")


def as_markdown(machine: dict[str, str], results: Sequence[Result], quick: bool) -> str:
    """The same as text to commit, with what each result was checked against."""
    lines = ["# Benchmark", ""]
    lines += [f"- {key}: {value}" for key, value in machine.items()]
    lines += ["", summary(results, quick) + ".", "", f"{READING} {_faults(results)}"]
    for suite, group in _by_suite(results).items():
        lines += ["", f"## {suite}", "", f"Rates: {group[0].pair.unit} per second.", ""]
        header = ["ours", "peer", *COLUMNS[1:4]]
        header += [f"{name}, {who}" for name in COLUMNS[4:] for who in ("ours", "peer")]
        lines.append(_row([*header, "checked"]))
        lines.append(_row(["---", "---", "--:", "--:", "---", *["--:"] * 4, "---"]))
        for r in group:
            numbers = [n for pair in zip(_numbers(r, 0), _numbers(r, 1), strict=True) for n in pair]
            words = [r.pair.ours.name, r.pair.peer.name, f"{_digits(r.ratio)}×", _span(r)]
            lines.append(_row([*words, _target(r, quick), *numbers, r.checked]))
        lines += [f"\n{_sentence(note)}" for note in _notes(group)]
    return "\n".join(lines) + "\n"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def as_json(machine: dict[str, str], results: Sequence[Result], quick: bool) -> str:
    """Everything measured; times are CPU seconds of one call, one for each round."""
    rows = [
        {
            "suite": r.suite,
            "ours": r.pair.ours.name,
            "peer": r.pair.peer.name,
            "unit": r.pair.unit,
            "ratio": r.ratio,
            "ratios": r.ratios,
            "target": r.pair.target,
            "met": None if quick else r.met,
            "work": [r.pair.ours.work, r.pair.peer.work],
            "bytes": [r.pair.ours.moved, r.pair.peer.moved],
            "seconds": r.seconds,
            "faults": r.faults,
            "cpu_share": r.share,
            "checked": r.checked,
            "note": r.pair.note,
        }
        for r in results
    ]
    lines = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in rows)
    head = json.dumps({"quick": quick, "machine": machine}, indent=1, ensure_ascii=False)
    return f'{head.removesuffix("}").rstrip()},\n "results": [\n  {lines}\n ]\n}}\n'
