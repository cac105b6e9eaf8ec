"""One answer for any number of processes, micro-batches, threads and orders; and what spoils it."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed as dist
from torch import multiprocessing

from torch_bridge import convert_, distributed, gradients, streams

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples"))

import reproducible_training as example  # noqa: E402

STEPS = 5
# processes, samples of a micro-batch, threads, seed of the order in each batch and of the shards
CELLS = [
    (1, 32, 1, None), (1, 1, 2, 0), (1, 4, 1, 5), (2, 32, 1, 7), (2, 4, 2, 0), (3, 1, 1, 3),
    (3, 32, 2, 5), (4, 4, 1, 9),
]  # fmt: skip


def options_of(dtype: str, micro: int, threads: int, order: int | None) -> argparse.Namespace:
    text = f"--steps {STEPS} --dtype {dtype} --micro-batch {micro} --threads {threads}"
    shuffle = "--no-shuffle" if order is None else f"--order-seed {order}"
    return example.parsed([*text.split(), *shuffle.split()])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("--steps -1", "--steps must be at least 0"), ("--seed -1", "--seed must be at least 0"),
        ("--world-size 0", "--world-size must be at least 1"), ("--dtype float64", "or float32"),
        ("--dtype bposit64", "does not hold bposit64"),
    ],
)  # fmt: skip
def test_bad_arguments(arguments: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        example.parsed(arguments.split())
    assert text in capsys.readouterr().err


def run_cells(rank: int, folder: str) -> None:
    """Of the four processes, the first few take part in a cell."""
    everywhere = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    made = {}
    for dtype in ("bposit16", "float32"):
        for i, (world, *how) in enumerate(CELLS):
            if rank < world:
                store = f"file://{folder}/{dtype}{i}"
                made[dtype, i] = example.run(rank, world, store, options_of(dtype, *how))
                if everywhere:
                    os.sched_setaffinity(0, everywhere)
    (Path(folder) / f"rank{rank}").write_bytes(pickle.dumps(made))


@cache
def hashes() -> dict[tuple[str, int], str]:
    """Those of each cell, which all its processes agreed on."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_WAIT_POLICY", "passive")  # eight threads may share two CPUs
        preload = ["torch_bridge", "torch._dynamo"]  # seconds, once
        multiprocessing.get_context("forkserver").set_forkserver_preload(preload)
        multiprocessing.start_processes(run_cells, (folder,), 4, start_method="forkserver")
        found: dict[tuple[str, int], str] = pickle.loads((Path(folder) / "rank0").read_bytes())
    return found


def test_eight_cells_give_one_answer() -> None:
    found = {hashes()["bposit16", i] for i in range(len(CELLS))}
    assert len(found) == 1
    assert len(found.pop()) == 64


def test_float32_gives_several() -> None:
    assert len({hashes()["float32", i] for i in range(len(CELLS))}) > 1


def test_shards_are_uneven_and_some_are_empty() -> None:
    """As the cells above have them: or they would show less than they seem to."""
    seen = set()
    for world, *how in CELLS:
        options = options_of("bposit16", *how)
        for step in range(STEPS):
            shards = [example.shard(rank, world, step, options) for rank in range(world)]
            assert sorted(torch.cat(shards).tolist()) == list(range(example.BATCH))
            seen.add((len({len(s) for s in shards}), min(len(s) for s in shards) == 0))
    assert {(1, False), (2, False), (3, False)} <= seen
    assert any(empty for _, empty in seen)


LAUNCHERS = {
    "itself": ["examples/reproducible_training.py", "--world-size", "2"],
    "torchrun": ["-m", "torch.distributed.run", "--nproc-per-node", "2",
                 "examples/reproducible_training.py"],
}  # fmt: skip


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_the_command(launcher: str) -> None:
    command = [sys.executable, *LAUNCHERS[launcher], "--steps", str(STEPS), "--micro-batch", "5"]
    # and with torch's scalar kernels instead of the vector ones that this processor has
    kernels = {"ATEN_CPU_CAPABILITY": "default"} if launcher == "itself" else {}
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    for _ in range(4):
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False,
            env=os.environ | kernels | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        if "terminate called without an active exception" not in done.stderr:
            break  # else torch's threads, about once in twenty, abort a process that is done
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"weights sha256: {hashes()['bposit16', 0]}"
    assert f"step {STEPS}: loss" in done.stderr


def test_the_page_says_what_the_bench_found() -> None:
    """The committed matrix has one hash for b-posits, and docs/reproducible.md its counts."""
    data = json.loads((ROOT / "bench/results/reproducible.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs/reproducible.md").read_text(encoding="utf-8")
    for dtype in ("bposit16", "float32"):
        own = [c for c in data["cells"] if c["dtype"] == dtype]
        hashes = {c["sha256"] for c in own}
        assert f"\n| {dtype} | {len(own)} | {len(hashes)} |\n" in page
        assert len(hashes) == 1 or dtype == "float32"
        assert {c["steps"] for c in own} == {200}
        for key, every in (("world", 4), ("micro_batch", 3), ("threads", 2), ("order_seed", 2)):
            assert len({c[key] for c in own}) == every


# ---- what spoils it
@contextmanager
def alone(folder: Path) -> Iterator[None]:
    store = f"file://{tempfile.mkdtemp(dir=folder)}/store"
    dist.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        dist.destroy_process_group()


def in_parts(folder: Path) -> set[str]:
    """Hashes of one process, from whole batches and from micro-batches of five samples."""
    with alone(folder):
        return {
            example.train(0, 1, options_of("bposit16", micro, 1, order))
            for micro, order in ((32, None), (5, 3))
        }


def test_in_parts(tmp_path: Path) -> None:
    assert in_parts(tmp_path) == {hashes()["bposit16", 0]}


def local_keys(patch: pytest.MonkeyPatch) -> None:
    """Dropout by the place in the micro-batch."""
    real = streams.stream
    patch.setattr(example.tb, "stream", lambda seed, step, samples: real(seed, step))


def rounded_gradients(patch: pytest.MonkeyPatch) -> None:
    """Each micro-batch's gradient rounded, and these added."""
    no_deposits(patch)
    patch.setattr(distributed, "all_reduce_gradients", lambda parameters: None)


def local_means(patch: pytest.MonkeyPatch) -> None:
    """The mean over each micro-batch."""
    real = example.tb.ops.cross_entropy

    def loss(x: Any, target: Any, *, count: int, spec: Any) -> Any:
        return real(x, target, spec=spec)

    patch.setattr(example.tb.ops, "cross_entropy", loss)


MUTANTS: list[Callable[[pytest.MonkeyPatch], None]] = [local_keys, rounded_gradients, local_means]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda f: f.__name__)
def test_mutants_are_seen(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mutant(monkeypatch)
    assert len(in_parts(tmp_path)) == 2


def no_deposits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(gradients, "collect", lambda parameters: None)


def float_products(patch: pytest.MonkeyPatch) -> None:
    config = example.tb.PositConfig.emulate_hardware("bposit16", "float64")
    patch.setattr(example.tb, "convert_", lambda model, dtype: convert_(model, config))


@pytest.mark.parametrize("mutant", [no_deposits, float_products], ids=lambda f: f.__name__)
def test_sums_that_are_not_exact_are_refused(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the all-reduce, which is why a single process calls it too."""
    mutant(monkeypatch)
    with pytest.raises(ValueError, match=r"a rank has a rounded \.grad"):
        in_parts(tmp_path)


def test_the_hash_is_of_every_parameter_and_its_format() -> None:
    made = []
    for spec in ("bposit32", "bposit16"):
        torch.manual_seed(0)
        model = example.Transformer(0.0)
        for p in model.parameters():
            torch.nn.init.ones_(p)
        convert_(model, spec)
        made.append(example.hash_of(model))
    for p in model.parameters():
        with torch.no_grad():
            p.view(-1)[-1] = -1.0
        made.append(example.hash_of(model))
    assert len(set(made)) == len(made)
