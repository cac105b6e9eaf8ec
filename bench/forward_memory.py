"""How much memory does a training step take, over depth? ``python -m bench.forward_memory``

A perceptron of 2 to 64 layers of width 256 with ReLU and a head of 10 classes, a batch of 1024, in
float32. Five ways through it: inference; a step of ``forward.Trainer`` with one tangent, through an
``nn.Sequential`` and through a module that calls its layers one by one; one directional derivative
by ``torch.func.jvp`` with the whole direction in memory; and torch's backward pass.

*Above* is what a step has in memory at most, beside weights and batch: the peak of the running sum
of the allocator events that torch's profiler records, plus the peak of NumPy's arrays and Python's
objects by tracemalloc until the loss is known, as if both came at one time. Weights move when the
activations are gone; what that takes is measured too, and is less. The C core allocates nothing: it
works in NumPy's arrays.
*Process* is the same question asked of the system: how far the peak of a fresh process's resident
memory lies above what it had before the step.
"""

from __future__ import annotations

import gc
import json as to_json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.profiler import ProfilerActivity, profile

from torch_bridge.adaptive import forward
from torch_bridge.adaptive._tangents import BLOCK

from . import _machine

WIDTH, BATCH, CLASSES = 256, 1024, 10
DEPTHS = (2, 4, 8, 16, 32, 64)
LIMIT = 2.2  # times inference, for forward training
CHECKED = (2, 16, 64)  # depths that fresh processes look at


_until_loss: list[int] = []


def loss(output: Tensor, target: Tensor) -> Tensor:
    """Half the squared error of each sample; activations are gone when it has been called."""
    if tracemalloc.is_tracing():
        _until_loss.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.reset_peak()
    return (output - target).square().sum(1) / 2


class OneByOne(nn.Module):
    """The same layers, called from a forward of its own."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def build(depth: int, width: int = WIDTH) -> nn.Sequential:
    """Linear and ReLU, ``depth`` times, and a head."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, CLASSES))


def data(samples: int = BATCH, width: int = WIDTH) -> tuple[Tensor, Tensor]:
    """A batch, and what is wanted of it."""
    return torch.randn(samples, width), torch.randn(samples, CLASSES)


Step = Callable[[tuple[Tensor, Tensor]], object]


def _inference(model: nn.Module) -> Step:
    def run(batch: tuple[Tensor, Tensor]) -> None:
        with torch.no_grad():
            loss(model(batch[0]), batch[1]).mean()

    return run


def _forward(model: nn.Module) -> Step:
    return forward.Trainer(model, loss, lr=1e-6).step


def _one_by_one(model: nn.Module) -> Step:
    assert isinstance(model, nn.Sequential)
    return _forward(OneByOne(model))


def _whole_tree(model: nn.Module) -> Step:
    weights = {name: p.detach() for name, p in model.named_parameters()}

    def run(batch: tuple[Tensor, Tensor]) -> None:
        direction = {name: torch.randn_like(p) for name, p in weights.items()}
        with torch.no_grad():
            jvp(
                lambda w: loss(functional_call(model, w, (batch[0],)), batch[1]).mean(),
                (weights,), (direction,),
            )  # fmt: skip

    return run


def _reverse(model: nn.Module) -> Step:
    def run(batch: tuple[Tensor, Tensor]) -> None:
        loss(model(batch[0]), batch[1]).mean().backward()
        with torch.no_grad():
            for p in model.parameters():
                assert p.grad is not None
                p.sub_(p.grad, alpha=1e-6)
                p.grad = None

    return run


ARMS: dict[str, Callable[[nn.Module], Step]] = {
    "inference": _inference,
    "forward": _forward,
    "forward, one by one": _one_by_one,
    "jvp, whole direction": _whole_tree,
    "reverse": _reverse,
}
BOUNDED = ("forward", "forward, one by one")


def kept(model: nn.Module, batch: tuple[Tensor, Tensor]) -> int:
    """Bytes of weights and batch."""
    return sum(x.numel() * x.element_size() for x in (*model.parameters(), *batch))


def peak(run: Callable[[], object]) -> tuple[int, int, int]:
    """The most bytes that a call has in memory above what was there before.

    Of torch's tensors; of NumPy and Python up to the loss; and of those afterwards.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run()
    results = recorded.profiler.kineto_results  # type: ignore[union-attr]
    events = [e for e in results.events() if e.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    gc.collect()
    _until_loss.clear()
    tracemalloc.start()
    try:
        run()
        after = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return most, max(_until_loss, default=0), after


def measure(arm: str, depth: int) -> dict[str, int]:
    """Bytes of an arm at a depth, by the allocators."""
    model, batch = build(depth), data()
    step = ARMS[arm](model)
    step(data(8))  # what is made once
    tensors, python, after = peak(lambda: step(batch))
    above, rest = tensors + python, kept(model, batch)
    if arm in BOUNDED:  # some blocks of tensors are there too
        assert after + 8 * 4 * BLOCK < above
    return {
        "torch": tensors, "python": python, "update": after, "above": above, "total": above + rest
    }  # fmt: skip


def _status(field: str) -> int:
    """Bytes of a line of /proc/self/status."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def in_process(arm: str, depth: int) -> int:
    """Bytes of resident memory that a step needs at most, above what the process had before."""
    torch.set_num_threads(1)
    model, batch = build(depth), data()
    step = ARMS[arm](model)
    step(data(8))
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    before = _status("VmRSS")
    step(batch)
    return _status("VmHWM") - before


def _in_fresh_process(arm: str, depth: int) -> int | None:
    """None where the system has no such counters."""
    if not Path("/proc/self/clear_refs").exists():
        return None
    command = [sys.executable, "-m", "bench.forward_memory", "--process", f"{arm}:{depth}"]
    # Large arrays come from the system one by one, and go back: what is freed does not count.
    apart = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        command, env=os.environ | apart, cwd=_machine.ROOT, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return int(done.stdout.split()[-1])


def ratios(found: dict[str, list[dict[str, Any]]], what: str) -> dict[str, list[float]]:
    """Each arm's bytes over those of inference, by depth."""
    base = [row[what] for row in found["inference"]]
    return {
        arm: [row[what] / b for row, b in zip(rows, base, strict=True)]
        for arm, rows in found.items()
    }


def _text(found: dict[str, list[dict[str, Any]]], depths: list[int]) -> list[str]:
    machine = _machine.describe(0, None, 1)
    lines = ["# Memory of a training step over depth", ""]
    lines += [f"- {key}: {machine[key]}" for key in ("machine", "packages", "commit", "date")]
    lines += ["", f"Width {WIDTH}, batch {BATCH}, float32, one tangent. MiB; × is over inference."]
    for what, title in (
        ("above", "Above weights and batch"),
        ("total", "In all, weights and batch included"),
        ("process", "Resident memory of a fresh process, above what it had before the step"),
    ):
        at = [i for i in range(len(depths)) if found["inference"][i][what] is not None]
        if not at:
            continue
        some = {arm: [rows[i] for i in at] for arm, rows in found.items()}
        times = ratios(some, what)
        lines += ["", f"## {title}", "", "| depth | " + " | ".join(found) + " |"]
        lines += ["|--:|" + "--:|" * len(found)]
        for k, i in enumerate(at):
            cells = [f"{rows[k][what] / 2**20:.2f} ({times[arm][k]:.2f}×)"
                     for arm, rows in some.items()]  # fmt: skip
            lines.append(f"| {depths[i]} | " + " | ".join(cells) + " |")
    return lines


def plot(found: dict[str, list[dict[str, Any]]], depths: list[int], folder: Path) -> None:
    """Draw both ratios over depth."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
    for axis, what, title in zip(
        axes, ("above", "total"), ("above weights and batch", "in all"), strict=True
    ):
        for arm, values in ratios(found, what).items():
            axis.plot(depths, values, marker="o", markersize=3, label=arm)
        axis.axhline(LIMIT, color="grey", linestyle=":", linewidth=1)
        axis.set_xscale("log", base=2)
        axis.set_yscale("log", base=2)
        axis.set_xticks(depths, [str(d) for d in depths])
        axis.set_yticks([1, 2, 4, 8, 16, 32, 64], ["1×", "2×", "4×", "8×", "16×", "32×", "64×"])
        axis.set_xlabel("depth")
        axis.set_title(title)
    axes[0].set_ylabel("peak memory over inference's")
    axes[0].legend(fontsize=8)
    for kind in ("svg", "png"):
        figure.savefig(folder / f"forward_memory.{kind}", dpi=110)


def main(  # noqa: PLR0917
    depth: Annotated[list[int] | None, typer.Option(help="Depths; 2, 4, … 64 by default.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print depths, peaks and ratios.")] = False,
    fresh: Annotated[bool, typer.Option(help="Also look at fresh processes.")] = True,
    out: Annotated[
        Path | None, typer.Option(help="Folder for forward_memory.md and .json.")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="Folder for the plot.")] = None,
    process: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Measure every arm at every depth; exit with 1 if forward training needs more than 2.2×."""
    if process:
        arm, _, at = process.partition(":")
        print(in_process(arm, int(at)))
        return
    torch.set_num_threads(1)
    depths = sorted(depth or DEPTHS)
    found: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
    for d in track(depths, "measuring …", console=Console(stderr=True)):
        for arm in ARMS:
            row: dict[str, Any] = {"depth": d, **measure(arm, d)}
            row["process"] = _in_fresh_process(arm, d) if fresh and d in CHECKED else None
            found[arm].append(row)
    times = {what: ratios(found, what) for what in ("above", "total")}
    result = {"depths": depths, "width": WIDTH, "batch": BATCH, "peaks": found, "ratios": times}
    text = to_json.dumps(result, indent=1) + "\n"
    lines = _text(found, depths)
    if out is not None:
        (out / "forward_memory.json").write_text(text, encoding="utf-8")
        (out / "forward_memory.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if image is not None:
        plot(found, depths, image)
    print(text if json else "\n".join(lines))
    worst = max(x for what in times.values() for arm in BOUNDED for x in what[arm])
    if worst > LIMIT:
        Console(stderr=True).print(f"forward training takes {worst:.2f}× inference", style="red")
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
