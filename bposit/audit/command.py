"""What ``bposit audit`` does: check everything that was asked, then measure, then say it."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from .. import terminal
from ..errors import BadInput
from . import report as reports
from . import text
from .formats import Format, parse_all
from .gate import Gate, value
from .loaders import load
from .report import LAYER_FIGURES, TENSOR_FIGURES, Report
from .source import Source, shown
from .sweep import DEFAULT_FORMATS, Stop, sweep

__all__ = ["Options", "run"]

_ROWS = 12  # of the terminal's table
_Columns = Sequence[tuple[int, Sequence[int]]]  # widths, and what fits there: widest first
_OF_ROWS: _Columns = ((170, range(15)), (100, (0, 1, 2, 3, 6, 7, 8, 13, 14)),
                      (0, (0, 1, 2, 3, 13, 14)))  # fmt: skip
_OF_FORMATS: _Columns = ((140, range(9)), (0, (0, 1, 2, 3, 5, 8)))
_INTERRUPTED = 130
_OF_STEPS = frozenset({"stagnation", "drift_sqnr"})  # of several calls, which no command makes
_OF_SOME = frozenset({"metric_change", "versor_defect"})  # of a metric, of rotors


@dataclass(frozen=True)
class Options:
    """The command line, as it was given."""

    targets: Sequence[str]
    inputs: Path | None
    formats: str | None
    accumulate: str | None
    layers: str | None
    sample: int | None
    bound: float
    best: int | None
    out: Path | None
    baseline: Path | None
    fail_if: str | None
    printed: Sequence[str]
    max_bytes: int
    threads: int | None


def run(given: Options) -> int:
    """The exit code; raises BadInput for what cannot be done."""
    if len(given.printed) > 1:
        raise BadInput(
            "--json, --markdown and --junit each want the output: give one, or --out DIR"
        )
    if not isfinite(given.bound):
        raise BadInput(f"--bound {given.bound}: dB are a number")
    if given.out is not None:
        reports.check_folder(given.out)
    if given.best is not None and not 3 <= given.best <= 64:
        raise BadInput(f"--best {given.best}: a posit has 3 to 64 bits")
    script = [t for t in given.targets if re.search(r"\.py:[^/\\]*$", t)]
    if script and len(given.targets) > 1:
        raise BadInput(f"{script[0]}: a script is audited alone, not with other files")
    formats = parse_all(DEFAULT_FORMATS if given.formats is None else given.formats)
    gate = Gate.parse(given.fail_if) if given.fail_if is not None else None
    if gate:
        known = LAYER_FIGURES - _OF_STEPS if script else TENSOR_FIGURES
        if given.baseline is None:
            known -= {"sqnr_change"}
        gate.check(known, [f.name for f in formats])
    chosen = _pattern(given.layers)
    old = reports.read(given.baseline) if given.baseline is not None else None
    if old is not None and old[0]["kind"] != ("model" if script else "tensors"):
        raise BadInput(f"{given.baseline}: it is a report of another kind")
    measure = _model if script else _files
    with _termination_interrupts():
        made, interrupted = measure(given, formats, chosen)
    if old is not None:
        reports.compare(made, *old)
    if gate and not interrupted:
        _check_measured(made, gate)
    fired = reports.judge(made, gate) if gate else False
    if given.out is not None:
        reports.write(made, given.out)
    _print(made, given.printed)
    return _INTERRUPTED if interrupted else int(fired)


@contextmanager
def _termination_interrupts() -> Iterator[None]:
    """SIGTERM ends the work as Ctrl-C does, so that a cancelled job has its partial report too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _check_measured(made: Report, gate: Gate) -> None:
    """Raise BadInput where a condition is on what this model does not have: it would never fire."""
    for figure, form in gate.named:
        rows = [row for _, rows in reports.groups(made) for row in rows
                if form in (None, row["format"])]  # fmt: skip
        absent = figure in _OF_SOME and all(value(row, figure) is None for row in rows)
        if not rows or absent:
            what = figure if form is None else f"{figure}[{form}]"
            raise BadInput(f"--fail-if: {what} has no value for any layer")


def _pattern(given: str | None) -> Callable[[str], bool]:
    if given is None:
        return lambda _: True
    try:
        wanted = re.compile(given)
    except (re.error, RecursionError, OverflowError) as error:
        raise BadInput(f"--layers {given[:60]!r}: no regular expression: {error}") from None
    return lambda name: wanted.search(name) is not None


def _files(
    given: Options, formats: Sequence[Format], chosen: Callable[[str], bool]
) -> tuple[Report, bool]:
    for option, given_value in (("inputs", given.inputs), ("accumulate", given.accumulate),
                          ("sample", given.sample)):  # fmt: skip
        if given_value is not None:
            raise BadInput(
                f"--{option} is for script.py:factory; of files every value is counted, and"
                " rounded once"
            )
    settings = {"bound": given.bound, "best": given.best, "layers": given.layers}
    sources: list[Source] = []
    try:
        for target in given.targets:
            sources.append(load(Path(target), given.max_bytes))
    except KeyboardInterrupt:
        return reports.build("tensors", formats, settings, sources=sources, complete=False), True
    _choose(sources, given.layers, chosen)
    interrupted = False
    with _progress(sum(t.size for s in sources for t in s.tensors)) as advance:
        try:
            done = sweep(sources, formats, bound=given.bound, best=given.best,
                         threads=given.threads, progress=advance)  # fmt: skip
        except Stop as stop:
            done, interrupted = stop.done, True
    made = reports.build("tensors", formats, settings, sources=sources, tensors=done,
                         complete=not interrupted)  # fmt: skip
    return made, interrupted


def _choose(sources: Sequence[Source], given: str | None, chosen: Callable[[str], bool]) -> None:
    for source in sources:
        source.tensors = [t for t in source.tensors if chosen(t.name)]
        source.skipped = [(name, why) for name, why in source.skipped if chosen(name)]
    if not any(s.tensors for s in sources):
        raise BadInput(f"--layers {str(given)[:60]!r}: no tensor of floats has such a name")


def _model(
    given: Options, formats: Sequence[Format], chosen: Callable[[str], bool]
) -> tuple[Report, bool]:
    from .script import audit_script

    with _progress(len(formats)) as advance:
        return audit_script(
            given.targets[0], given.inputs, formats, accumulate=given.accumulate, chosen=chosen,
            layers=given.layers, sample=given.sample, bound=given.bound, best=given.best,
            max_bytes=given.max_bytes, progress=advance,
        )  # fmt: skip


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error where that is a terminal."""
    err = Console(stderr=True, highlight=False, markup=False, emoji=False)
    bar = Progress(
        TextColumn("auditing"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(), console=err, transient=True, disable=not err.is_terminal,
    )  # fmt: skip
    with bar:
        task = bar.add_task("auditing", total=total)
        yield lambda n: bar.advance(task, n)


def _print(made: Report, how: Sequence[str]) -> None:
    if how:
        make = {"json": reports.dumps, "markdown": text.markdown, "junit": text.junit}[how[0]]
        print(make(made), end="")
        return
    out = terminal.console()
    _table(out, text.SUMMARY, 1, [text.summary_cells(row) for row in made["summary"]],
           _OF_FORMATS)  # fmt: skip
    figure = text.main_figure(made)
    rows = text.worst_first(made)
    cells = [list(text.cells(name, row, figure)) for name, row in rows[:_ROWS]]
    _table(out, text.HEADINGS, 2, cells, _OF_ROWS)
    for line in _notes(made, len(rows)):
        out.print(Text(line))


def _table(
    out: Console, headings: Sequence[str], left: int, rows: Sequence[Sequence[str]],
    columns: _Columns,
) -> None:  # fmt: skip
    """On a narrow terminal only some columns."""
    kept = next(some for width, some in columns if out.width >= width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i in kept:
        table.add_column(headings[i], justify="left" if i < left else "right", no_wrap=i > 0,
                         overflow="fold")  # fmt: skip
    for cells in rows:
        table.add_row(*(Text(cells[i]) for i in kept))
    out.print(table)


def _notes(made: Report, rows: int) -> Iterator[str]:
    if rows > _ROWS:
        yield f"The worst {_ROWS} of {rows} rows; --out DIR writes them all."
    found: dict[str, int] = {}
    for subject in [*made["tensors"], *made["layers"]]:
        name = subject["narrowest"] or "none of these"
        found[name] = found.get(name, 0) + 1
    for name, count in sorted(found.items(), key=lambda item: -item[1]):
        yield f"{name} is the narrowest of at least {made['settings']['bound']:g} dB for {count}."
    if made["skipped"]:
        first = made["skipped"][0]
        more = f", and {len(made['skipped']) - 1} more" if len(made["skipped"]) > 1 else ""
        yield f"Left out: {shown(first['name'])[:60]} ({first['why']}){more}."
    base = made.get("baseline")
    if base:
        yield (
            f"Since the baseline: {len(base['changed'])} changed, {base['new']} new,"
            f" {base['gone']} gone."
        )
    gate = made.get("gate")
    if gate and gate["fired"]:
        first = gate["rows"][0]
        yield (
            f"--fail-if holds for {len(gate['rows'])} rows, such as {shown(first['name'])[:60]}"
            f" in {first['format']}."
        )
    if not made["complete"]:
        yield "Interrupted: the report is not complete."
