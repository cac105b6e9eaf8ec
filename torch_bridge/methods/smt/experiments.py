"""Arms of the benchmark: each trains a network for a budget, and says how well it reads."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from math import log, nan

import torch

from .labels import LabelCache
from .model import Core, CoreKind, Gated, Shape, Teacher
from .objective import rollout
from .tasks import Task, needle
from .training import (
    Budget,
    Trained,
    drift,
    networks,
    read,
    taught,
    train_bptt,
    train_dmt,
    train_smt,
)

__all__ = ["SECONDS", "bptt", "by_smt", "gated", "lengths", "on_data", "smt_core"]

SECONDS = {8: 3.0, 16: 6.0, 32: 12.0, 64: 24.0}
"""Budget for each length of the needle task: seconds of processor time, alike for all arms."""

CACHED, TESTED, ENOUGH = 512, 512, 0.995
_DMT = 0.2  # share of the budget

Found = Mapping[str, float]


def lengths(length: int) -> list[int]:
    """The curriculum, the same for all arms: 8, 16, …, up to the length itself."""
    found = [8]
    while found[-1] < length:
        found.append(2 * found[-1])
    return found


def _through(
    length: int, seconds: float, lr: float, seed: int, train: Callable[[Task, Budget], Trained]
) -> Trained:
    """Train on the curriculum: each task may take k + 1 parts of what is left, of all to come."""
    done, found = Trained(), lengths(length)
    for k, n in enumerate(found):
        share = (k + 1) / sum(range(k + 1, len(found) + 1))
        left = max(share * (seconds - done.seconds), 0.01)
        done += train(needle(n), Budget(left, lr, batch=32, seed=10 * seed + k))
    return done


def _solves(core: Core | Gated, task: Task) -> Callable[[], bool]:
    x, y = task.test(TESTED // 2, torch.Generator().manual_seed(12345))
    return lambda: read(core, x, y)[0] >= ENOUGH


@lru_cache(maxsize=8)
def smt_core(length: int, kind: CoreKind, lr: float, seed: int) -> tuple[Teacher, Core, Trained]:
    """A teacher and a core after SMT on the needle task, before DMT."""
    teacher, core = networks(needle(length), seed, kind)

    def train(task: Task, budget: Budget) -> Trained:
        return train_smt(teacher, core, task, budget, solved=_solves(core, task))

    return teacher, core, _through(length, (1 - _DMT) * SECONDS[length], lr, seed, train)


def by_smt(length: int, *, kind: CoreKind, seed: int, lr: float) -> Found:
    """SMT, then DMT on labels cached in bposit16: all of the numbers that belong together."""
    teacher, trained, done = smt_core(length, kind, lr, seed)
    core = copy.deepcopy(trained)
    task = needle(length)
    x, y = task.test(TESTED, torch.Generator().manual_seed(seed))
    before, apart = read(core, x, y)[0], drift(core, teacher, x)
    cache = LabelCache(teacher, task.train(CACHED, torch.Generator().manual_seed(seed + 500))[0])
    budget = Budget(_DMT * SECONDS[length], lr / 2, batch=32, seed=seed)
    done = done + train_dmt(core, cache, budget)
    return {
        "accuracy": read(core, x, y)[0],
        "teacher": taught(teacher, x, y)[0],
        "before DMT": before,
        "drift before DMT": apart,
        "drift": drift(core, teacher, x),
        "seconds": done.seconds,
    }


def bptt(length: int, *, kind: CoreKind, seed: int, lr: float, window: int | None = None) -> Found:
    """The same core and readout through time, or through ``window`` steps at most."""
    return _through_time(networks(needle(length), seed, kind)[1], length, seed, lr, window)


def gated(length: int, *, kind: str, seed: int, lr: float) -> Found:
    """torch's GRU or LSTM through time."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = Gated(Shape(needle(length).vocabulary), kind)  # type: ignore[arg-type]
    return _through_time(net, length, seed, lr)


def _through_time(
    net: Core | Gated, length: int, seed: int, lr: float, window: int | None = None
) -> Found:
    def train(task: Task, budget: Budget) -> Trained:
        return train_bptt(net, task, budget, window=window, solved=_solves(net, task))

    done = _through(length, SECONDS[length], lr, seed, train)
    x, y = needle(length).test(TESTED, torch.Generator().manual_seed(seed))
    others = dict.fromkeys(("teacher", "before DMT", "drift before DMT", "drift"), nan)
    return {"accuracy": read(net, x, y)[0], **others, "seconds": done.seconds}


def on_data(task: Task, arm: str, seconds: float, seed: int, lr: float) -> Found:
    """A task with a target at every time: bits a symbol, and a linear probe of the last memory."""
    x, y = task.test(TESTED, torch.Generator().manual_seed(seed))
    budget = partial(Budget, lr=lr, batch=32, seed=seed)
    found = dict.fromkeys(("teacher", "before DMT", "drift before DMT", "drift"), nan)
    if arm in ("GRU", "LSTM"):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            net: Core | Gated = Gated(Shape(task.vocabulary), arm.lower())  # type: ignore[arg-type]
        done = train_bptt(net, task, budget(seconds))
    elif arm == "BPTT":
        net = networks(task, seed)[1]
        done = train_bptt(net, task, budget(seconds))
    else:
        teacher, net = networks(task, seed)
        done = train_smt(teacher, net, task, budget((1 - _DMT) * seconds))
        found["teacher"] = taught(teacher, x, y)[1] / log(2)
        found["before DMT"] = read(net, x, y)[1] / log(2)
        found["drift before DMT"] = drift(net, teacher, x)
        g = torch.Generator().manual_seed(seed + 500)
        cache = LabelCache(teacher, task.train(CACHED // 2, g)[0])
        done += train_dmt(net, cache, budget(_DMT * seconds, lr=lr / 2))
        found["drift"] = drift(net, teacher, x)
    made = {"bits": read(net, x, y)[1] / log(2), **found, "seconds": done.seconds}
    return made if task.labels is None else {**made, "probe": _probe(net, task, seed)}


@torch.no_grad()
def _probe(net: Core | Gated, task: Task, seed: int) -> float:
    """Accuracy of a logistic regression from the last memory to the class."""
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
    from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

    assert task.labels is not None
    g = torch.Generator().manual_seed(seed)
    sets = []
    for training in (True, False):
        x, classes = task.labels(2 * TESTED, g, training)
        last = net.states(x)[:, -1] if isinstance(net, Gated) else rollout(net, x)[:, -1].flatten(1)
        sets.append((last.numpy(), classes.numpy()))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(*sets[0])
    return float(model.score(*sets[1]))
