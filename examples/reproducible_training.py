"""Train a small Transformer in b-posits: the same bits however the work is divided.

    python examples/reproducible_training.py --world-size 1 --steps 200
    python examples/reproducible_training.py --world-size 3 --micro-batch 4 --order-seed 9
    torchrun --nproc-per-node 2 examples/reproducible_training.py --micro-batch 1 --threads 2

All print the same last line, ``weights sha256: …``; with ``--dtype float32`` they do not. What the
model and the loop below take care of is in docs/reproducible.md.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
from contextlib import nullcontext
from pydoc_data.topics import topics
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

import torch_bridge as tb
from posit import PositSpec

BATCH, LENGTH, WIDTH, HEADS = 12, 16, 16, 2  # samples of a step on all ranks together; characters

TEXT = "\n".join(topics[name] for name in sorted(topics))
SYMBOLS = sorted(set(TEXT))
CODES = torch.tensor([SYMBOLS.index(c) for c in TEXT])


class Transformer(nn.Module):
    """Predicts each next character."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.tokens = nn.Embedding(len(SYMBOLS), WIDTH)
        self.places = nn.Embedding(LENGTH, WIDTH)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, dropout, batch_first=True)
        self.hidden = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(),
            nn.Linear(2 * WIDTH, WIDTH), nn.Dropout(dropout),
        )  # fmt: skip
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, len(SYMBOLS)))

    def forward(self, codes: Tensor) -> Tensor:
        """(N, LENGTH) numbers of characters to (N, LENGTH, characters) logits."""
        # a place for each sample: then no gradient is summed, and rounded, before it is deposited
        places = torch.arange(LENGTH).expand(codes.shape)
        x = self.dropout(self.tokens(codes) + self.places(places))
        y = self.norm(x)
        later = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
        x = x + self.attention(y, y, y, attn_mask=later, need_weights=False)[0]
        logits: Tensor = self.head(x + self.hidden(x))
        return logits


def train(rank: int, world: int, options: argparse.Namespace) -> str:
    """Train on this rank's samples, the group being initialised; the hash of the weights."""
    exact = options.dtype != "float32"
    torch.manual_seed(options.seed)
    # torch draws dropout by process: that alone would make float32 differ
    model = Transformer(dropout=0.1 if exact else 0.0)
    if exact:
        tb.convert_(model, options.dtype)
    parameters = list(model.parameters())
    optimizer = (tb.optim.PositAdamW if exact else torch.optim.AdamW)(parameters, lr=0.01)
    warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=10)
    clip = tb.optim.clip_grad_norm_ if exact else nn.utils.clip_grad_norm_

    for step in range(options.steps):
        inputs, targets = batch_of(options.seed, step)
        mine, losses = shard(rank, world, step, options), []
        for start in range(0, len(mine), options.micro_batch):
            samples = mine[start : start + options.micro_batch]
            with tb.stream(options.seed, step, samples) if exact else nullcontext():
                logits = model(inputs[samples]).flatten(0, 1)
            loss = loss_of(logits, targets[samples].flatten(), options)
            loss.backward()
            losses.append(loss.item())
        if exact:
            tb.distributed.all_reduce_gradients(parameters)
        else:
            all_reduce_rounded(parameters)
        clip(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        warm_up.step()
        report(step, losses, options)
    return hash_of(model)


def batch_of(seed: int, step: int) -> tuple[Tensor, Tensor]:
    """The same on every rank: two times (BATCH, LENGTH), the second one character later."""
    draw = torch.Generator().manual_seed(1_000_003 * seed + step)
    starts = torch.randint(len(CODES) - LENGTH, (BATCH, 1), generator=draw)
    at = starts + torch.arange(LENGTH)
    return CODES[at], CODES[at + 1]


def shard(rank: int, world: int, step: int, options: argparse.Namespace) -> Tensor:
    """The numbers of this rank's samples: cut anywhere, so that some ranks get none at times."""
    draw = torch.Generator().manual_seed(1_000_003 * options.order_seed + step)
    order = torch.randperm(BATCH, generator=draw) if options.shuffle else torch.arange(BATCH)
    cuts = torch.randint(BATCH + 1, (world - 1,), generator=draw).sort().values
    return order.tensor_split(cuts)[rank]


def loss_of(logits: Tensor, targets: Tensor, options: argparse.Namespace) -> Tensor:
    """This micro-batch's part of the mean over the whole batch."""
    if options.dtype == "float32":
        return F.cross_entropy(logits, targets, reduction="sum") / (BATCH * LENGTH)
    return tb.ops.cross_entropy(logits, targets, count=BATCH * LENGTH, spec=options.dtype)


def all_reduce_rounded(parameters: list[nn.Parameter]) -> None:
    """Sum the float gradients over ranks; one without samples has none."""
    for p in parameters:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        dist.all_reduce(p.grad)


def report(step: int, losses: list[float], options: argparse.Namespace) -> None:
    """To stderr, from time to time. This sum is rounded: it is no part of the guarantee."""
    if (step + 1) % max(1, options.steps // 10) == 0:
        loss = torch.tensor(sum(losses), dtype=torch.float64)
        dist.all_reduce(loss)
        if dist.get_rank() == 0:
            print(f"step {step + 1}: loss {loss:.3f}", file=sys.stderr, flush=True)


def hash_of(model: nn.Module) -> str:
    """sha256 of every parameter's name, shape, format and patterns, in the order of names."""
    digest = hashlib.sha256()
    for name, p in sorted(model.named_parameters()):
        spec: Any = getattr(p, "spec", None)
        bits = p.detach() if spec is None else tb.ops.encode(p.detach(), spec)
        kind = p.dtype if spec is None else f"<{spec.n},{spec.rs},{spec.es}>"
        values = bits.numpy()
        digest.update(f"{name} {list(p.shape)} {kind}\n".encode())
        digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def run(rank: int, world: int, store: str, options: argparse.Namespace) -> str:
    """One process: join the others, train, and compare hashes with them."""
    use_threads(options.threads, rank)
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    hashes: list[Any] = [None] * world
    dist.all_gather_object(hashes, train(rank, world, options))
    dist.barrier()  # none leaves while another still talks to it
    dist.destroy_process_group()
    if len(set(hashes)) > 1:
        raise RuntimeError(f"the ranks ended with different weights: {hashes}")
    return str(hashes[0])


def use_threads(count: int, rank: int) -> None:
    """For torch; exact sums use one thread for each CPU that the process may run on."""
    torch.set_num_threads(count)
    if hasattr(os, "sched_setaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cpus[(rank * count + i) % len(cpus)] for i in range(count)})


def told(*arguments: Any) -> None:
    """Run, and let the first process say what came out."""
    found = run(*arguments)
    if arguments[0] == 0:
        print(f"weights sha256: {found}", flush=True)


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add = parser.add_argument
    add("--world-size", type=int, default=1, help="processes; torchrun's own under torchrun")
    add("--micro-batch", type=int, default=32, help="samples of one backward pass")
    add("--threads", type=int, default=1, help="of each process")
    add("--steps", type=int, default=200)
    add("--seed", type=int, default=0, help="of weights, batches and dropout")
    add("--order-seed", type=int, default=0, help="of the order in each batch, and the cuts")
    add("--shuffle", action=argparse.BooleanOptionalAction, default=True)
    add("--dtype", default="bposit16", help="a posit format such as bposit16 or 16,6,5; float32")
    found = parser.parse_args(arguments)
    least = {"world_size": 1, "micro_batch": 1, "threads": 1, "steps": 0, "seed": 0}
    for name, low in least.items():
        if getattr(found, name) < low:
            parser.error(f"--{name.replace('_', '-')} must be at least {low}")
    if found.dtype != "float32":
        try:
            spec = PositSpec.parse(found.dtype)
        except ValueError as error:
            parser.error(f"--dtype: {error}; or float32")
        if not spec.fits_float64:
            parser.error(
                f"--dtype: float64, in which torch shows posits, does not hold {found.dtype}"
            )
    return found


def main() -> None:
    """Be one of torchrun's processes, or start them."""
    options = parsed()
    if "RANK" in os.environ:
        told(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), "env://", options)
        return
    world = options.world_size
    with tempfile.TemporaryDirectory() as folder:
        store = f"file://{folder}/store"
        if world == 1:
            told(0, 1, store, options)
        else:
            spawn(told, (world, store, options), world)


if __name__ == "__main__":
    main()
