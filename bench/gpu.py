"""``python -m bench.gpu``: how fast are casts and exact matrix products on a GPU?

Beside encode and decode a copy that moves as many bytes of the device's memory; beside the exact
product cuBLAS's float64 product of the same shape, which is inexact. Data as in cast.py and
matmul.py. Times are of CUDA events and hold everything that a call does, its waits for the GPU's
answers too.

Results are checked, printed, and written to results/. The exit status is 2 where there is no GPU or
no Triton, and 1 if a result is wrong.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from math import ceil
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from torch import Tensor

import posit
import quire
from posit import PositSpec

from . import _machine, _report
from ._harness import Config, Mismatch, Pair, Result, Side, agree, sample

DEVICE = "cuda"
SPECS = (posit.bposit8, posit.bposit16, posit.bposit32)
FLOATS = {torch.float64: "float64", torch.float32: "float32"}
OF_A_COPY = 0.8  # the share of its bandwidth that a cast should reach
OF_CUBLAS = 1 / 3
SAMPLE = 64
WARM = 3


def pairs(config: Config) -> Iterator[tuple[str, Pair]]:
    """Suite and pair, one at a time."""
    for spec in SPECS:
        for dtype in FLOATS:
            yield "cast", _encode(spec, dtype, config)
        yield "cast", _decode(spec, config)
    for n in (256,) if config.quick else (1024, 2048, 4096, 8192):
        for spec in (posit.bposit16, posit.bposit32):
            yield "matmul", _product("normal", n, spec, config)
    n = 256 if config.quick else 1024
    yield "matmul", _product("ReLU", n, posit.bposit16, config)
    yield "matmul", _product("WᵀW - I", n, posit.bposit16, config)
    yield "matmul", _fused(n, posit.bposit16, config)


def _copy(moved: int) -> Side:
    """Reading and writing ``moved`` bytes together."""
    source, to = torch.zeros((2, moved // 2), dtype=torch.uint8, device=DEVICE)
    return Side("copy on the device", lambda: to.copy_(source), moved, moved)


def _encode(spec: PositSpec, dtype: torch.dtype, config: Config) -> Pair:
    from torch_bridge import _triton

    size = config.size(1 << 26)
    x = torch.from_numpy(config.rng().standard_normal(size)).to(DEVICE, dtype)
    moved = size * (x.element_size() + spec.storage.itemsize)

    def check() -> str:
        at = sample(size, config.rng(), 1 << 16)
        got = _triton.encode(x, spec).cpu().numpy()[at]
        agree(f"{spec} encode", got, posit.encode(x.cpu().numpy()[at], spec))
        return f"{at.size} elements = posit.encode"

    name = f"encode {FLOATS[dtype]} → {spec.name}"
    ours = Side(name, lambda: _triton.encode(x, spec), moved, moved)
    return Pair(ours, _copy(moved), "bytes", check, None if config.quick else OF_A_COPY)


def _decode(spec: PositSpec, config: Config) -> Pair:
    from torch_bridge import _triton

    size = config.size(1 << 26)
    bits = posit.encode(config.rng().standard_normal(size), spec)
    there = torch.from_numpy(bits).to(DEVICE)
    moved = size * (8 + spec.storage.itemsize)

    def check() -> str:
        agree(f"{spec} decode", _triton.decode(there, spec).cpu().numpy(), posit.decode(bits, spec))
        return f"{size} elements = posit.decode"

    ours = Side(f"decode {spec.name} → float64", lambda: _triton.decode(there, spec), moved, moved)
    return Pair(ours, _copy(moved), "bytes", check, None if config.quick else OF_A_COPY)


def _operands(kind: str, n: int, spec: PositSpec, config: Config) -> tuple[Any, Any, Any]:
    """Patterns a (n, n) and b (n, n), and what is added or None."""
    rng = config.rng()
    x, y = rng.standard_normal((2, n, n))
    if kind == "ReLU":
        x = np.maximum(x, 0) * (rng.random((n, 1)) < 0.97)
    elif kind != "normal":
        y = np.linalg.qr(y)[0]
        x = y.T
    a, b = posit.encode(x, spec), posit.encode(y, spec)
    return a, b, posit.encode(-np.eye(n), spec) if x.base is y else None


def _product(kind: str, n: int, spec: PositSpec, config: Config) -> Pair:
    from torch_bridge import _triton

    a, b, add = _operands(kind, n, spec, config)
    x, y = torch.from_numpy(a).to(DEVICE), torch.from_numpy(b).to(DEVICE)
    term = None if add is None else torch.from_numpy(add).to(DEVICE)

    def ours() -> Tensor:
        return _triton.matmul(x, y, spec, add=term)

    def check() -> str:
        taken: dict[str, int] = {}
        got = _triton.matmul(x, y, spec, add=term, stats=taken).cpu().numpy().reshape(-1)
        at = sample(n * n, config.rng(), SAMPLE)
        i, j = np.divmod(at, n)
        sums = quire.Accumulators(at.size, spec).add_dots(a[i], b[:, j].T)
        if add is not None:
            sums.add(add[i, j])
        agree(f"{spec} matmul", got[at], sums.round())
        routes = ", ".join(f"{count} by {route}" for route, count in taken.items() if count)
        return f"{at.size} elements = quire; {routes}"

    peer = _cublas(x, y, spec, n)
    target = None if config.quick or kind != "normal" else OF_CUBLAS
    side = Side(f"{spec.name}, {kind}, {n}³", ours, n**3, 3 * a.nbytes)
    return Pair(side, peer, "multiply-adds", check, target)


def _fused(n: int, spec: PositSpec, config: Config) -> Pair:
    """The inexact product that small matrices take, for judging where they should not."""
    from torch_bridge import _triton

    a, b, _ = _operands("normal", n, spec, config)
    x, y = torch.from_numpy(a).to(DEVICE), torch.from_numpy(b).to(DEVICE)

    def check() -> str:
        got = _triton.product(x, y, spec).cpu().numpy()
        left, right = posit.decode(a, spec), posit.decode(b, spec)
        far = np.abs(got - left @ right) > 2.0**-48 * n * (np.abs(left) @ np.abs(right))
        if far.any():
            raise Mismatch(f"{spec}: {far.sum()} float64 products are beyond their bound")
        return "all within the error bound of float64 sums"

    name = f"{spec.name} decoded and multiplied in float64, {n}³"
    ours = Side(name, lambda: _triton.product(x, y, spec), n**3, 2 * a.nbytes + 8 * n * n)
    return Pair(ours, _cublas(x, y, spec, n), "multiply-adds", check)


def _cublas(x: Tensor, y: Tensor, spec: PositSpec, n: int) -> Side:
    from torch_bridge import _triton

    u, v = _triton.decode(x, spec), _triton.decode(y, spec)
    out = torch.empty(n, n, dtype=torch.float64, device=DEVICE)
    return Side(f"cuBLAS float64, {n}³", lambda: torch.matmul(u, v, out=out), n**3, 24 * n * n)


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Of one call, between events on the device."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1000 / repeats


def measure(suite: str, pair: Pair, config: Config) -> Result:
    """Check the results, then time ours and the peer in turns."""
    checked = pair.check()
    sides = (pair.ours.call, pair.peer.call)
    repeats = []
    for call in sides:
        seconds(call, WARM)
        repeats.append(max(1, ceil(config.sample / max(seconds(call, WARM), 1e-7))))
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(config.rounds):
        for call, count, to in zip(sides, repeats, times, strict=True):
            to.append(seconds(call, count))
    return Result(suite, pair, checked, times, (0.0, 0.0), 1.0)


def describe(config: Config) -> dict[str, str]:
    """The GPU and all that the times may depend on."""
    import triton

    properties = torch.cuda.get_device_properties(0)
    gpu = f"{properties.name}, {properties.total_memory >> 30} GiB"
    versions = f"CUDA {torch.version.cuda}, triton {triton.__version__}"
    machine = _machine.describe(config.seed, None, 1)
    return {"GPU": gpu, "GPU software": versions, "clock": "CUDA events", **machine}


def run(
    quick: Annotated[
        bool, typer.Option("--quick", help="Small sizes: checks results, not speed.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the data.")] = Config.seed,
) -> None:
    """Time casts and exact products on the GPU beside a copy and cuBLAS."""
    aside = Console(stderr=True)
    for there, what in (
        (torch.cuda.is_available(), "a CUDA device; torch finds none"),
        (find_spec("triton") is not None, "Triton: pip install 'bposit[triton]'"),
    ):
        if not there:
            aside.print(f"bench.gpu needs {what}", highlight=False, markup=False)
            raise typer.Exit(2)
    config = Config(quick=quick, seed=seed)
    machine = describe(config)
    results: list[Result] = []
    problems: list[str] = []
    with aside.status("starting …") as status:
        for suite, pair in pairs(config):
            status.update(f"{suite}: {pair.ours.name}")
            try:
                results.append(measure(suite, pair, config))
            except Mismatch as wrong:
                problems.append(f"{suite}: wrong result: {wrong}")
    console = Console(width=None if sys.stdout.isatty() else 100)
    _report.show(console, machine, results, quick)
    if not quick:
        name = re.sub(r"\W+", "-", machine["GPU"].split(",")[0]).strip("-").lower()
        path = _machine.ROOT / "bench" / "results" / f"gpu-{name}.md"
        path.write_text(_report.as_markdown(machine, results, quick), encoding="utf-8")
        console.print(f"written to {path.relative_to(_machine.ROOT)}")
    for problem in problems:
        aside.print(problem, style="red", highlight=False, markup=False)
    if problems:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(run)
