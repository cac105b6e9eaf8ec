"""What does an accuracy audit cost? ``python -m bench.audit [--out FOLDER]``, two minutes.

A hooked model: one call of ``bposit.audit.Audit`` in the six default formats, with everything that
the report has, for each format; beside the plain float32 forward pass, as torch runs it in eval
mode without gradients. One thread.

A file: ``bposit audit FILE`` of 100 million float32 weights in six formats, as a process of its
own, with the report written; beside what one would write by hand with ml_dtypes: cast there and
back, and the SQNR, in six formats that it has.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from . import _machine, _report
from ._harness import Config, Mismatch, Pair, Side, measure

FEWEST = 1 / 10  # plain forward passes in the time of one format
FORMATS = "bposit16,posit16,bfloat16,float16,bposit8,float8_e4m3fn@amax"
CASTS = "bfloat16,float16,float8_e4m3fn,float8_e5m2,float8_e4m3,float8_e3m4"
SHAPES = [(8000, 1000)] * 12 + [(4000, 1000)]
LIMITS = {"wall": 40.0, "memory": 2e9}  # seconds on two cores, bytes

BY_HAND = """
import sys, numpy as np, ml_dtypes
from safetensors import safe_open
with safe_open(sys.argv[1], "np") as file:
    for name in file.keys():
        x = file.get_tensor(name)
        for kind in sys.argv[2].split(","):
            y = x.astype(np.dtype(getattr(ml_dtypes, kind, kind))).astype(np.float32)
            wrong = y - x
            print(name, kind, 10 * np.log10(np.vdot(x, x) / np.vdot(wrong, wrong)))
"""


def pairs(config: Config) -> Iterator[Pair]:
    """Models, each with its size; small ones pay for calls rather than for arithmetic."""
    import torch
    from torch import nn

    from bposit.demo.models import Transformer, conv_net

    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    layer = nn.TransformerEncoderLayer(384, 12, 1536, batch_first=True, activation="gelu")
    wide = nn.Sequential(nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1024))
    text = torch.randint(65, (64, 64))
    yield _beside_float32("an encoder layer of MiniLM, 4 × 64 tokens", layer,
                          torch.randn(4, 64, 384), config)  # fmt: skip
    yield _beside_float32("perceptron 1024-1024-1024, batch 256", wide, torch.randn(256, 1024),
                          config)  # fmt: skip
    yield _beside_float32("the demo's Transformer, 64 × 64 characters", Transformer(65, 64), text,
                          config)  # fmt: skip
    yield _beside_float32("the demo's convolutions, batch 1024", conv_net(),
                          torch.randn(1024, 1, 8, 8), config)  # fmt: skip


def _beside_float32(name: str, model: Any, x: Any, config: Config) -> Pair:
    import torch

    from bposit.audit import Audit

    model = model.eval()
    formats = FORMATS.split(",")

    def plain() -> Any:
        with torch.no_grad():
            return model(x)

    def audited() -> Any:
        audit = Audit(model, FORMATS)
        audit.measure(x)
        return audit.report

    def check() -> str:
        rows = [row for layer in audited()["layers"] for row in layer["rows"]]
        found = [row["cumulative_sqnr"] for row in rows if row["format"] == "bposit16"]
        if not found or len(rows) != len(found) * len(formats) or min(found) < 30:
            raise Mismatch(f"{name}: {len(rows)} rows, bposit16 at {min(found, default=0)} dB")
        return f"{len(found)} calls, bposit16 ≥ {min(found):.0f} dB"

    size = sum(p.numel() for p in model.parameters())
    what = f"{name}, {size / 1e6:.2f} M parameters, sample 1024"
    ours = Side(what, audited, len(formats), 4 * size * len(formats))
    peer = Side("plain float32 forward", plain, 1, 4 * size)
    return Pair(ours, peer, "formats", check, FEWEST)


def write_weights(path: Path, seed: int, shapes: list[tuple[int, int]]) -> int:
    """Normal float32 weights as safetensors; returns how many."""
    rng = np.random.default_rng(seed)
    header, at = {}, 0
    for i, shape in enumerate(shapes):
        size = 4 * shape[0] * shape[1]
        header[f"layer.{i}.weight"] = {"dtype": "F32", "shape": shape,
                                       "data_offsets": [at, at + size]}  # fmt: skip
        at += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes:
            file.write(rng.standard_normal(shape, np.float32) * np.float32(0.03))
    return at // 4


def process(*command: str) -> dict[str, float]:
    """Wall and CPU seconds and the peak of resident memory, in bytes, of a Python process."""
    begun = time.perf_counter()
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL) as child:
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise Mismatch(f"{command[:3]} exited with {child.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "wall": time.perf_counter() - begun, "cpu": used.ru_utime + used.ru_stime,
        "memory": unit * used.ru_maxrss,
    }  # fmt: skip


def file_cost(seed: int, quick: bool) -> dict[str, Any]:
    """Ours and by hand, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, "weights.safetensors"), Path(folder, "report")
        count = write_weights(path, seed, [(100, 100)] if quick else SHAPES)
        ours = process("-m", "bposit", "audit", str(path), "--formats", FORMATS, "--out", str(out))
        found = json.loads((out / "report.json").read_text())
        if not found["complete"] or sum(t["n"] for t in found["tensors"]) != count:
            raise Mismatch("the report of the file lacks values")
        peer = process("-c", BY_HAND, str(path), CASTS)
    return {"values": count, "ours": ours, "peer": peer, "ratio": peer["cpu"] / ours["cpu"]}


def _file_text(found: dict[str, Any]) -> str:
    met = {k: "met" if found["ours"][k] <= limit else "missed" for k, limit in LIMITS.items()}
    ours, peer = found["ours"], found["peer"]
    n = 6 * found["values"]
    return f"""
## a file

{found["values"] / 1e6:.0f} M float32 values as safetensors, six formats, each side a process; ours
on as many threads as there are CPUs, with the report written. By hand only SQNR is computed, and no
posit.

| ours | peer | ratio of CPU time | wall, ours | target | peak memory, ours | target | CPU ns a value and format, ours | peer |
| --- | --- | --: | --: | --- | --: | --- | --: | --: |
| bposit audit, {FORMATS} | ml_dtypes by hand, {CASTS} | {found["ratio"]:.2f}× | {ours["wall"]:.1f} s | ≤ 40 s {met["wall"]} | {ours["memory"] / 1e9:.2f} GB | ≤ 2 GB {met["memory"]} | {1e9 * ours["cpu"] / n:.1f} | {1e9 * peer["cpu"] / n:.1f} |
"""  # noqa: E501


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Seconds: checks, not speed.")] = False,
    seed: Annotated[int, typer.Option(help="Of the data.")] = Config.seed,
    out: Annotated[Path | None, typer.Option(help="Folder for audit.md and audit.json.")] = None,
) -> None:
    """Measure models, then a file."""
    cost = file_cost(seed, quick)  # before this process keeps to one CPU
    machine = _machine.describe(seed, _machine.pin(), 1)
    config = Config(quick=quick, seed=seed, cores=1)
    results = [measure("audit", pair, config) for pair in pairs(config)]
    text = _report.as_markdown(machine, results, quick) + _file_text(cost)
    print(text)
    if out is not None:
        both = {**json.loads(_report.as_json(machine, results, quick)), "file": cost}
        (out / "audit.md").write_text(text, encoding="utf-8")
        (out / "audit.json").write_text(json.dumps(both, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
