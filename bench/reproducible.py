"""``python -m bench.reproducible``: does training end in the same bits however it is divided?

examples/reproducible_training.py, 200 steps, for every number of processes, micro-batch, number of
threads and order, in bposit16 and beside it in float32. Cells that the JSON file has from the same
commit are not run again, so that a run may be stopped and resumed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pickle
import sys
import tempfile
import time
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from torch import multiprocessing
from torch.multiprocessing.spawn import start_processes

from . import _machine

os.environ["OMP_WAIT_POLICY"] = "passive"  # of the processes started here, more than CPUs
ROOT = _machine.ROOT
sys.path.insert(0, str(ROOT / "examples"))

import reproducible_training as example  # noqa: E402

RESULTS = ROOT / "bench" / "results" / "reproducible.json"
DTYPES = ("bposit16", "float32")
WORLDS, MICRO_BATCHES, THREADS, ORDERS = (1, 2, 3, 4), (1, 4, 32), (1, 2), (1, 2)
SEED = 0


@dataclass(frozen=True)
class Cell:
    """One way to divide the work."""

    world: int
    micro_batch: int
    threads: int
    order_seed: int
    dtype: str

    def options(self, steps: int) -> argparse.Namespace:
        """As the example takes them."""
        own = {"world_size": self.world, "steps": steps, "seed": SEED, "shuffle": True}
        return argparse.Namespace(**asdict(self) | own)


def cells() -> list[Cell]:
    """All; in the first half every pair of (processes, micro-batch) meets each thread count."""
    each = itertools.product(WORLDS, MICRO_BATCHES, DTYPES)
    hows = [(1, 1), (2, 2), (1, 2), (2, 1)]
    found = [Cell(w, m, t, o, d) for (w, m, d), (t, o) in itertools.product(each, hows)]
    return sorted(found, key=lambda c: hows.index((c.threads, c.order_seed)) // 2)


def run(cell: Cell, steps: int) -> dict[str, Any]:
    """The hash, seconds on the wall, and CPU seconds of all processes, without their start."""
    with tempfile.TemporaryDirectory() as folder:
        start_processes(_rank, (cell, steps, folder), cell.world, start_method="forkserver")
        made = [pickle.loads((Path(folder) / str(r)).read_bytes()) for r in range(cell.world)]
    (found,) = {m[0] for m in made}
    return {
        **asdict(cell), "steps": steps, "sha256": found,
        "wall": max(m[1] for m in made), "cpu": sum(m[2] for m in made),
    }  # fmt: skip


def _rank(rank: int, cell: Cell, steps: int, folder: str) -> None:
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
        example.run(rank, cell.world, f"file://{folder}/warm", cell.options(3))  # imports, tables
        wall, cpu = time.perf_counter(), time.process_time()
        found = example.run(rank, cell.world, f"file://{folder}/store", cell.options(steps))
    spent = (time.perf_counter() - wall, time.process_time() - cpu)
    (Path(folder) / str(rank)).write_bytes(pickle.dumps((found, *spent)))


# ---- report
def report(data: dict[str, Any]) -> str:
    """Markdown: how many hashes, the matrix of their beginnings, and what it cost."""
    done = data["cells"]
    total = len(cells()) // len(DTYPES)
    lines = ["# Training divided in many ways", "", "`python -m bench.reproducible` wrote this."]
    lines += ["", *(f"- {key}: {value}" for key, value in data["machine"].items()), ""]
    lines += ["| format | cells | different hashes |", "| --- | --- | --- |"]
    for dtype in DTYPES:
        own = [c for c in done if c["dtype"] == dtype]
        lines.append(f"| {dtype} | {len(own)} of {total} | {len({c['sha256'] for c in own})} |")
    lines += ["", f"Each cell is {data['steps']} steps; below, the first eight digits of sha256."]
    hows = list(itertools.product(THREADS, ORDERS))
    for dtype in DTYPES:
        names = [f"{t} thread{'s' * (t > 1)}, order {o}" for t, o in hows]
        lines += ["", f"## {dtype}", "", _row(["processes", "micro-batch", *names])]
        lines.append(_row(["--:", "--:", *["---"] * len(hows)]))
        for world, micro in itertools.product(WORLDS, MICRO_BATCHES):
            row = [_found(done, Cell(world, micro, t, o, dtype)) for t, o in hows]
            short = ["" if c is None else f"`{c['sha256'][:8]}`" for c in row]
            lines.append(_row([str(world), str(micro), *short]))
    said = "CPU milliseconds of a step, of all processes: the median over cells of one thread."
    lines += ["", "## Cost", "", said, ""]
    lines += [_row(["processes", "micro-batch", *DTYPES, "ratio"]), _row(["--:"] * 5)]
    for world, micro in itertools.product(WORLDS, MICRO_BATCHES):
        spent = [_cpu(done, world, micro, dtype) for dtype in DTYPES]
        if None not in spent:
            ours, theirs = (1e3 * s / data["steps"] for s in spent if s is not None)
            numbers = [f"{ours:.0f}", f"{theirs:.1f}", f"{ours / theirs:.0f}×"]
            lines.append(_row([str(world), str(micro), *numbers]))
    return "\n".join(lines) + "\n"


def _found(done: list[dict[str, Any]], cell: Cell) -> dict[str, Any] | None:
    own = asdict(cell)
    return next((c for c in done if own.items() <= c.items()), None)


def _cpu(done: list[dict[str, Any]], world: int, micro: int, dtype: str) -> float | None:
    key = {"world": world, "micro_batch": micro, "dtype": dtype, "threads": 1}
    found = [c["cpu"] for c in done if key.items() <= c.items()]
    return median(found) if found else None


def _row(items: list[str]) -> str:
    return f"| {' | '.join(items)} |"


def main(
    steps: Annotated[int, typer.Option(min=1, help="Of each cell.")] = 200,
    json_file: Annotated[Path, typer.Option("--json", help="Kept and resumed.")] = RESULTS,
    minutes: Annotated[float, typer.Option(help="Begin no cell after that long.")] = 1e9,
) -> None:
    """Run what is missing and write the JSON file, and the Markdown file beside it.

    Exits with 1 if two cells of bposit16 differ, or all of float32 agree.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(
        ["torch_bridge", "torch._dynamo"]
    )
    machine = _machine.describe(SEED, None, os.cpu_count() or 1)
    machine["threads"] = ", ".join(map(str, THREADS)) + " for each process"
    data: dict[str, Any] = {"machine": machine, "steps": steps, "cells": []}
    if json_file.exists():
        old = json.loads(json_file.read_text(encoding="utf-8"))
        same = [old["machine"][k] == machine[k] for k in ("commit", "compiler", "packages")]
        if all(same) and old["steps"] == steps:
            data = old
    console, end = Console(stderr=True), time.monotonic() + 60 * minutes
    missing = [c for c in cells() if _found(data["cells"], c) is None]
    with console.status("") as status:
        for i, cell in enumerate(missing):
            if time.monotonic() > end:
                break
            status.update(f"{i} of {len(missing)}: {cell}")
            data["cells"].append(run(cell, steps))
            rows = ",\n  ".join(json.dumps(c) for c in data["cells"])
            head = json.dumps({k: data[k] for k in ("machine", "steps")}, indent=1)
            text = f'{head.removesuffix("}").rstrip()},\n "cells": [\n  {rows}\n ]\n}}\n'
            json_file.write_text(text, encoding="utf-8")
    json_file.with_suffix(".md").write_text(report(data), encoding="utf-8")
    count = {d: len({c["sha256"] for c in data["cells"] if c["dtype"] == d}) for d in DTYPES}
    console.print(f"{len(data['cells'])} cells; different hashes: {count}")
    if count["bposit16"] > 1 or count["float32"] == 1:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
