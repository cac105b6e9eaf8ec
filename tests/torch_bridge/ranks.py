"""Runs a function in several processes that form a gloo group, and collects what they return."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist
from torch import multiprocessing

__all__ = ["run_ranks"]


def run_ranks(function: Callable[..., Any], world: int, *arguments: Any) -> list[Any]:
    """[function(rank, world, *arguments) of each rank]; what a rank raises is its result."""
    with tempfile.TemporaryDirectory() as folder:
        # forked from a process that has imported what takes seconds, and started no thread
        multiprocessing.get_context("forkserver").set_forkserver_preload(["torch_bridge"])
        multiprocessing.start_processes(
            _one, (function, world, folder, arguments), world, start_method="forkserver"
        )
        return [pickle.loads((Path(folder) / str(rank)).read_bytes()) for rank in range(world)]


def _one(rank: int, function: Callable[..., Any], world: int, folder: str, arguments: Any) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world
    )
    try:
        made = function(rank, world, *arguments)
    except (ValueError, RuntimeError) as error:
        made = error
    (Path(folder) / str(rank)).write_bytes(pickle.dumps(made))
    dist.destroy_process_group()
