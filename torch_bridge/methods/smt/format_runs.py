"""Does the format hold: labels, rollouts and gradients of trained cores, in each arithmetic."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import lru_cache, partial

import torch

from .._harness import Run
from .._result import Experiment, Metric
from .experiments import CACHED, TESTED, Found
from .formats import ARITHMETICS, exact_gradients, fingerprint, float_gradients, rounding_drift
from .labels import LabelCache
from .model import Core, Teacher
from .tasks import needle
from .training import Budget, drift, networks, read, train_dmt

__all__ = ["ACCURACY", "DRIFT", "gradients", "labels", "rollouts"]

ACCURACY = Metric("of the answer, by the network's own rollout; chance is 1/4", "higher")
DRIFT = Metric("mean square between the rollout's memories and the teacher's", "lower")

Trained = Callable[[int], tuple[Teacher, Core]]


def labels(run: Run, length: int, lr: float, trained: Trained) -> None:
    """A new core, trained by DMT alone on labels kept in each format."""
    forms = {"float32": torch.float32, "bfloat16": torch.bfloat16, "bposit16": "bposit16",
             "bposit8": "bposit8"}  # fmt: skip

    def trial(name: str, seed: int) -> Found:
        teacher, core = trained(seed)
        fresh = networks(needle(length), seed + 50)[1]
        fresh.readout.load_state_dict(core.readout.state_dict())
        g = torch.Generator().manual_seed(seed + 500)
        x = needle(length).train(CACHED, g)[0]
        cache, exact = LabelCache(teacher, x, forms[name]), LabelCache(teacher, x, torch.float32)  # type: ignore[arg-type]
        rows = torch.arange(len(x))
        train_dmt(fresh, cache, Budget(60, lr, batch=32, seed=seed, steps=600))
        x, y = needle(length).test(TESTED, torch.Generator().manual_seed(seed))
        return {
            "accuracy": read(fresh, x, y)[0],
            "drift": drift(fresh, teacher, x),
            "label error": float((cache[rows][1] - exact[rows][1]).square().mean()),
            "bytes": cache.nbytes / exact.nbytes * 4,
        }

    run.trials(
        Experiment(
            "label cache", "format",
            f"Labels of {CACHED} sequences of {length}, and a new core trained on them for 600"
            " steps of DMT, from the same start.",
            {
                "accuracy": ACCURACY,
                "drift": DRIFT,
                "label error": Metric("mean square of what storage changed in a label", "lower"),
                "bytes": Metric("a number"),
            },
            run.seeds,
        ),
        {name: partial(trial, name) for name in forms},
    )  # fmt: skip


def rollouts(run: Run, length: int, lr: float, trained: Trained) -> None:
    """The core after DMT, rolled out in each arithmetic over twice its length."""
    far = 2 * length

    @lru_cache(maxsize=8)
    def tuned(seed: int) -> Core:
        teacher, core = trained(seed)
        core = copy.deepcopy(core)
        x = needle(length).train(CACHED, torch.Generator().manual_seed(seed + 500))[0]
        train_dmt(core, LabelCache(teacher, x), Budget(60, lr / 2, batch=32, seed=seed, steps=300))
        return core

    def trial(arm: str, seed: int) -> Mapping[str, float | list[float]]:
        x, y = needle(far).test(64, torch.Generator().manual_seed(seed))
        found = rounding_drift(tuned(seed), x, arm)
        curve = found.median(0).values
        placed = copy.deepcopy(tuned(seed))
        ARITHMETICS[arm](placed)
        return {
            "drift": float(curve.mean()),
            "apart": float((found[:, -1] > 0.1).double().mean()),
            "accuracy": read(placed, x, y)[0],
            "curve": curve.tolist(),
        }

    run.trials(
        Experiment(
            "rollout", "format",
            f"Cores trained on sequences of {length}, over {far} steps. bposit16 rounds after each"
            " operation, with the quire once for each product of matrices.",
            {
                "drift": Metric(
                    "mean square to the rollout in float64, the median over sequences, the mean"
                    " over steps", "lower",
                ),
                "apart": Metric("share of sequences more than 0.1 off at the end", "lower"),
                "accuracy": ACCURACY,
                "curve": Metric("the median drift at each step", "lower"),
            },
            run.seeds,
        ),
        {arm: partial(trial, arm) for arm in ARITHMETICS},
    )  # fmt: skip


def gradients(run: Run, length: int, trained: Trained) -> None:
    """How many different gradients of L_dyn eight orders and splits of the same steps give."""
    makers = {
        "float32": float_gradients,
        "float64": lambda core, m, *rest: float_gradients(
            copy.deepcopy(core).double(), m.double(), rest[0], rest[1].double(), rest[2]
        ),
        "bposit16 + quire": exact_gradients,
    }

    def trial(arm: str, seed: int) -> Found:
        teacher, core = trained(seed)
        g = torch.Generator().manual_seed(seed)
        x = needle(length).train(8, g)[0]
        made = teacher.memories(x)
        before, after = made[:, :-1].flatten(0, 1), made[:, 1:].flatten(0, 1)
        count = len(before)
        splits = [[torch.arange(count)]]
        for size in (1, 3, 10, 17, 40, count, count):
            splits.append(list(torch.randperm(count, generator=g).split(size)))
        symbols = x[:, 1:].reshape(-1)
        prints = {fingerprint(makers[arm](core, before, symbols, after, s)) for s in splits}
        return {"different": len(prints), "divisions": len(splits)}

    run.trials(
        Experiment(
            "gradients", "exact",
            "The one-step gradients of a batch, its steps in other orders and micro-batches.",
            {
                "different": Metric("gradients, by their bits; 1 is exact", "lower"),
                "divisions": Metric("of the batch that were tried"),
            },
            run.seeds,
        ),
        {arm: partial(trial, arm) for arm in makers},
    )  # fmt: skip
