"""How good weights are: on held-out data of the source, and as a start for a new task."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional

from .data import Few, Labelled
from .networks import State, with_state

__all__ = ["placed", "scores", "transfer"]

_STEPS = 100


def placed(model: nn.Module, state: State, data: Labelled) -> nn.Module:
    """A copy of the model with these weights; BatchNorm statistics are taken anew from ``data``.

    Those that it has belong to other weights. Scale and shift of BatchNorm stay.
    """
    made = with_state(copy.deepcopy(model), state)
    norms = list(_norms(made))
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches, of which there is one
    made.train()
    with torch.no_grad():
        if norms:
            made(data.x)
    for norm in norms:
        norm.momentum = 0.1
    return made.eval()


def scores(model: nn.Module, data: Labelled) -> tuple[float, float]:
    """(accuracy, cross-entropy in nats) of a classifier."""
    model.eval()
    with torch.no_grad():
        logits = model(data.x)
    right = (logits.argmax(1) == data.y).double().mean()
    return float(right), float(functional.cross_entropy(logits, data.y))


def transfer(model: nn.Module, few: Few, lr: float, seed: int, new_head: bool = False) -> float:
    """Accuracy on the rest of the target after 100 steps of Adam on a few samples of it.

    With ``new_head``, as in the released code, the last layer is a new one (by ``seed``), and first
    it and BatchNorm alone are trained, for another 100 steps. Without, the last layer is kept: it
    knows the same ten classes.
    """
    made = copy.deepcopy(model).train()
    phases = [list(made.parameters())]
    if new_head:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            _head(made).reset_parameters()
        norms = (p for n in _norms(made) for p in n.parameters())
        phases.insert(0, [*_head(made).parameters(), *norms])
    for parameters in phases:
        optimizer = torch.optim.Adam(parameters, lr=lr, fused=True)
        for _ in range(_STEPS):
            made.zero_grad()
            functional.cross_entropy(made(few.shots.x), few.shots.y).backward()
            optimizer.step()
    return scores(made, few.test)[0]


def _norms(model: nn.Module) -> Iterator[nn.BatchNorm2d]:
    return (m for m in model.modules() if isinstance(m, nn.BatchNorm2d))


def _head(model: nn.Module) -> nn.Linear:
    return [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
