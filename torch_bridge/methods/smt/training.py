"""Training loops: each stops after a number of steps, or a number of seconds of its own thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .labels import LabelCache
from .model import Core, CoreKind, Gated, Shape, Teacher, make_core
from .objective import PAPER, Weights, bptt_loss, dmt_loss, read_loss, rollout, smt_loss
from .tasks import NONE, Task

__all__ = [
    "Budget",
    "Trained",
    "drift",
    "networks",
    "read",
    "taught",
    "train_bptt",
    "train_dmt",
    "train_smt",
]


@dataclass(frozen=True)
class Budget:
    """How long to train, and how.

    Parameters
    ----------
    seconds : float
        Of this thread's processor time: the time on the wall of a machine with nothing else to do.
    lr : float
        Of AdamW with β = (0.9, 0.95) and decay 0.01; after a warm-up of 1 % of the budget it falls
        in a line to a tenth.
    batch : int
    steps : int, optional
        At most so many.
    seed : int
        Of the samples.

    Raises ValueError for a budget that is not positive.
    """

    seconds: float
    lr: float = 1e-3
    batch: int = 64
    steps: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("seconds", "lr", "batch", "steps"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} = {value}: must be positive")


@dataclass
class Trained:
    """How many steps were done, and in how many seconds of processor time."""

    steps: int = 0
    seconds: float = 0.0

    def __add__(self, other: Trained) -> Trained:
        return Trained(self.steps + other.steps, self.seconds + other.seconds)


def _loop(
    groups: Sequence[nn.Module],
    loss: Callable[[torch.Generator], Tensor],
    budget: Budget,
    solved: Callable[[], bool] | None = None,
) -> Trained:
    """AdamW over modules whose gradients are clipped to norm 1, module by module."""
    parameters = [p for m in groups for p in m.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, lr=budget.lr, betas=(0.9, 0.95), weight_decay=0.01, fused=True
    )
    generator = torch.Generator().manual_seed(budget.seed)
    begin, done = time.thread_time(), Trained()
    while (share := _share(done, budget)) < 1:
        optimizer.param_groups[0]["lr"] = budget.lr * min(1, 100 * share + 0.01) * (1 - 0.9 * share)
        optimizer.zero_grad()
        loss(generator).backward()
        for m in groups:
            nn.utils.clip_grad_norm_([p for p in m.parameters() if p.grad is not None], 1.0)
        optimizer.step()
        done = Trained(done.steps + 1, time.thread_time() - begin)
        if solved is not None and done.steps % 50 == 0 and solved():
            break
    return done


def _share(done: Trained, budget: Budget) -> float:
    of_steps = 0.0 if budget.steps is None else done.steps / budget.steps
    return max(done.seconds / budget.seconds, of_steps)


def train_smt(
    teacher: Teacher,
    core: Core,
    task: Task,
    budget: Budget,
    *,
    weights: Weights = PAPER,
    solved: Callable[[], bool] | None = None,
) -> Trained:
    """Teacher and core together; then the teacher's decoder becomes the core's readout.

    ``solved``, here and below, is asked every 50 steps whether to stop; it sees the core with the
    teacher's decoder as its readout.
    """

    def loss(g: torch.Generator) -> Tensor:
        batch = task.train(budget.batch, g)
        t = int(torch.randint(-1, task.length - 1, (), generator=g))
        return smt_loss(teacher, core, batch, t, weights)[0]

    def asked() -> bool:
        core.readout.load_state_dict(teacher.decoder.state_dict())
        return solved is not None and solved()

    done = _loop([teacher, core], loss, budget, asked)
    core.readout.load_state_dict(teacher.decoder.state_dict())
    return done


def train_dmt(core: Core, cache: LabelCache, budget: Budget) -> Trained:
    """The core's step alone, on its own memories, towards cached labels; the readout stays."""

    def loss(g: torch.Generator) -> Tensor:
        rows = torch.randint(0, len(cache), (budget.batch,), generator=g)
        return dmt_loss(core, *cache[rows])

    return _loop([core.step, core.embed], loss, budget)


def train_bptt(
    core: Core | Gated,
    task: Task,
    budget: Budget,
    *,
    window: int | None = None,
    solved: Callable[[], bool] | None = None,
) -> Trained:
    """The readout's loss through time; through ``window`` steps at most where that is given."""

    def loss(g: torch.Generator) -> Tensor:
        return bptt_loss(core, *task.train(budget.batch, g), window)

    return _loop([core], loss, budget, solved)


@torch.no_grad()
def read(core: Core | Gated, x: Tensor, y: Tensor) -> tuple[float, float]:
    """(accuracy, cross-entropy in nats) of what the network reads out along x (B, T)."""
    if isinstance(core, Gated):
        return _scores(core(x), y)
    asked = (y != NONE).any(0)
    states = rollout(core, x)[:, asked]
    logits = core.readout(states.flatten(0, 1))[:, 0]
    return _scores(logits.unflatten(0, states.shape[:2]), y[:, asked])


@torch.no_grad()
def taught(teacher: Teacher, x: Tensor, y: Tensor) -> tuple[float, float]:
    """The same of the teacher, whose memory is made of all of the past anew at each time."""
    times = (y != NONE).any(0).nonzero()[:, 0].tolist()
    logits = [teacher.decoder(teacher.encode(x[:, : t + 1]))[:, 0] for t in times]
    return _scores(torch.stack(logits, dim=1), y[:, times])


def _scores(logits: Tensor, y: Tensor) -> tuple[float, float]:
    asked = y != NONE
    right = (logits.argmax(-1)[asked] == y[asked]).double().mean()
    return float(right), float(read_loss(logits, y))


@torch.no_grad()
def drift(core: Core, teacher: Teacher, x: Tensor) -> float:
    """Mean square between the core's memories and the teacher's, over x (B, T)."""
    return float((rollout(core, x) - teacher.memories(x)).square().mean())


def networks(
    task: Task, seed: int, core: CoreKind = "mlp", width: int = 32, depth: int = 2
) -> tuple[Teacher, Core]:
    """A teacher and a core with weights of a seed."""
    shape = Shape(task.vocabulary, width=width, core=depth)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Teacher(shape), make_core(shape, core)
